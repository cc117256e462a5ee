//! `.note.dlopen`: the libraries that an object may open with dlopen (UAPI.12, ELF dlopen
//! metadata).

use std::sync::Arc;

use serde::Deserialize;

/// Maximum dependencies of one object; systemd's library, which has the most, names about 25.
const MAX_ENTRIES: usize = 1024;

/// One dependency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dlopen {
    /// The names to try, in order. The first that is found is used.
    pub sonames: Vec<Arc<[u8]>>,
    /// The feature that needs it, in a word.
    pub feature: Option<String>,
    /// The feature that needs it, in a sentence.
    pub description: Option<String>,
    /// How important it is.
    pub priority: Priority,
}

/// How important a dependency is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Without it, the object does not work.
    Required,
    /// Without it, something important does not work. The default if the note gives no priority or
    /// an unknown one.
    #[default]
    Recommended,
    /// Without it, something optional does not work.
    Suggested,
}

/// An error in a note.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DlopenError {
    /// The note is not JSON, or lacks names where they are required.
    #[error("invalid dlopen metadata: {0}")]
    Json(String),
    /// A priority that the specification does not define. It is treated as recommended.
    #[error("unknown priority `{0}` in dlopen metadata, taken as `recommended`")]
    Priority(String),
    /// More entries than any real object has; the rest is ignored.
    #[error("more than {MAX_ENTRIES} entries or names in dlopen metadata")]
    TooMany,
}

/// An entry as written in the note. Other keys are the producer's own.
#[derive(Deserialize)]
struct Raw {
    soname: OneOrMany<String>,
    feature: Option<String>,
    description: Option<String>,
    priority: Option<String>,
}

/// The specification first had single values; arrays came before the first release that used it.
#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    Many(Vec<T>),
    One(T),
}

impl<T> OneOrMany<T> {
    fn into_vec(self) -> Vec<T> {
        match self {
            Self::Many(many) => many,
            Self::One(one) => vec![one],
        }
    }
}

/// Parses a note's JSON text. Returns the dependencies that it names, and its errors.
pub fn parse(text: &[u8]) -> (Vec<Dlopen>, Vec<DlopenError>) {
    let raw: OneOrMany<Raw> = match serde_json::from_slice(text) {
        Ok(raw) => raw,
        Err(error) => return (Vec::new(), vec![DlopenError::Json(error.to_string())]),
    };
    let mut raw = raw.into_vec();
    let mut errors = Vec::new();
    if raw.len() > MAX_ENTRIES {
        raw.truncate(MAX_ENTRIES);
        errors.push(DlopenError::TooMany);
    }
    let mut names_left = MAX_ENTRIES;
    let mut out = Vec::new();
    for entry in raw {
        let priority = match entry.priority.as_deref() {
            Some("required") => Priority::Required,
            Some("recommended") | None => Priority::Recommended,
            Some("suggested") => Priority::Suggested,
            Some(other) => {
                errors.push(DlopenError::Priority(other.to_owned()));
                Priority::default()
            }
        };
        let mut names = entry.soname.into_vec();
        if names.len() > names_left {
            names.truncate(names_left);
            errors.push(DlopenError::TooMany);
        }
        names_left -= names.len();
        let sonames: Vec<Arc<[u8]>> = names
            .iter()
            .filter(|name| !name.is_empty())
            .map(|name| name.as_bytes().into())
            .collect();
        if !sonames.is_empty() {
            let (feature, description) = (entry.feature, entry.description);
            out.push(Dlopen { sonames, feature, description, priority });
        }
    }
    (out, errors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_alternatives_and_priorities() {
        let text = br#"[
            {"soname": ["liba.so.2", "liba.so.1"], "feature": "a", "description": "A",
             "priority": "required"},
            {"soname": "libb.so", "x-own": 1},
            {"soname": ["libc.so"], "priority": "vital"},
            {"soname": [], "priority": "suggested"}
        ]"#;
        let (entries, errors) = parse(text);
        let priorities: Vec<_> = entries.iter().map(|entry| entry.priority).collect();
        assert_eq!(priorities, [Priority::Required, Priority::Recommended, Priority::Recommended]);
        assert_eq!(
            entries[0].sonames,
            [Arc::from(&b"liba.so.2"[..]), Arc::from(&b"liba.so.1"[..])]
        );
        assert_eq!(errors, [DlopenError::Priority("vital".to_owned())]);
    }

    #[test]
    fn what_is_no_metadata_is_said() {
        for text in ["", "[", "[{}]", "[{\"soname\": 1}]", "3"] {
            let (entries, errors) = parse(text.as_bytes());
            assert!(entries.is_empty() && matches!(errors[..], [DlopenError::Json(_)]), "{text}");
        }
    }
}
