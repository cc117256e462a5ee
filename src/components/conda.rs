//! Packages of conda: the records in `conda-meta` of an environment.

use serde::Deserialize;

use super::bounded;

/// What a record says of its package.
#[derive(Debug, Deserialize, PartialEq, Eq)]
pub struct Record {
    /// The package's name.
    pub name: String,
    /// Its files, relative to the environment; those of real packages are fewer than the limit.
    #[serde(default, deserialize_with = "bounded::list")]
    pub files: Vec<String>,
}

/// The record in `conda-meta/NAME-VERSION-BUILD.json`.
pub fn record(json: &[u8]) -> Option<Record> {
    let record: Record = serde_json::from_slice(json).ok()?;
    (!record.name.is_empty()).then_some(record)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_lists_files() {
        let json =
            br#"{"build":"0","name":"xz","version":"5","files":["bin/xz","lib/liblzma.so"]}"#;
        let found = record(json).unwrap();
        assert_eq!((&*found.name, found.files.len()), ("xz", 2));
        assert_eq!(record(br#"{"name":"x"}"#).unwrap().files.len(), 0);
        for json in ["", "[]", "{}", r#"{"name":""}"#, r#"{"name":"x","files":{}}"#] {
            assert_eq!(record(json.as_bytes()), None, "{json}");
        }
    }
}
