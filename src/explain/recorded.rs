//! The reasons of a build, as a document that goes with its image: JSON, compressed with gzip.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    path::{ImagePath, unescape},
    plan::{Plan, Reason},
    quantity,
};

/// The media type of the document.
pub const REASONS_TYPE: &str = "application/vnd.imgb.reasons.v1+gzip";

/// Bytes of the JSON that are read. That of an image of 30,000 files has about 10 MB.
const MAX_JSON: u64 = 64 << 20;
/// Values in it: each takes more memory than its text. Those of an image of 30,000 files are about
/// 400,000.
const MAX_VALUES: usize = 4_000_000;

/// Why a document of reasons cannot be used, or is not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// It is not such a document.
    #[error("the document is malformed")]
    Malformed,
    /// It takes more memory than is given to it.
    #[error(
        "the reasons take more than {} of JSON, or more than {MAX_VALUES} values",
        quantity::bytes(MAX_JSON)
    )]
    TooLarge,
}

/// A reason as the build gave it.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Recorded {
    /// The path that leads to this one; `None` at the start of a chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    /// One phrase.
    pub text: String,
    /// The reason with its kind, as `imgb plan --json` prints it.
    pub reason: Value,
    #[serde(skip)]
    cause: Option<ImagePath>,
}

#[derive(Deserialize, Serialize)]
struct Document {
    paths: BTreeMap<String, Vec<Recorded>>,
}

impl Recorded {
    /// The path that leads to this one; `None` at the start of a chain.
    pub fn cause(&self) -> Option<&ImagePath> {
        self.cause.as_ref()
    }

    /// A reason of a directory on the way to `path`.
    pub(super) fn parent(path: &ImagePath) -> Self {
        let reason = Reason::Parent(path.clone());
        let (text, json) = (reason.text(&[]), reason.json(&[]));
        Self { from: Some(path.to_string()), text, reason: json, cause: Some(path.clone()) }
    }

    /// A field of the reason.
    pub(super) fn field(&self, name: &str) -> &str {
        self.reason.get(name).and_then(Value::as_str).unwrap_or_default()
    }
}

/// The document of `plan`: every reason of every path. Bytes of paths that are not UTF-8 are
/// escaped.
///
/// # Errors
/// [`DocumentError::TooLarge`] if it could not be read again.
pub fn document(plan: &Plan) -> Result<Vec<u8>, DocumentError> {
    let mut paths = BTreeMap::new();
    for (path, _) in &plan.merged() {
        let causes = plan.reasons.causes(path).map(|reason| Recorded {
            from: reason.cause().map(ToString::to_string),
            text: reason.text(&plan.inputs),
            reason: reason.json(&plan.inputs),
            cause: None,
        });
        paths.insert(path.to_string(), causes.collect());
    }
    let malformed = |_| DocumentError::Malformed;
    let json = serde_json::to_vec(&Document { paths }).map_err(|_| DocumentError::Malformed)?;
    check_size(&json)?;
    // No name and no time: the same reasons give the same bytes.
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    out.write_all(&json).map_err(malformed)?;
    out.finish().map_err(malformed)
}

/// The reasons of each path in a document.
///
/// # Errors
/// [`DocumentError`]
pub fn parse(document: &[u8]) -> Result<BTreeMap<ImagePath, Vec<Recorded>>, DocumentError> {
    let mut json = Vec::new();
    let decoder = flate2::read::GzDecoder::new(document);
    // What follows the limit is not read, and may be malformed.
    decoder.take(MAX_JSON + 1).read_to_end(&mut json).map_err(|_| DocumentError::Malformed)?;
    check_size(&json)?;
    reasons(&json).ok_or(DocumentError::Malformed)
}

fn check_size(json: &[u8]) -> Result<(), DocumentError> {
    let values = json.iter().filter(|byte| matches!(byte, b',' | b':' | b'[' | b'{')).count();
    match json.len() as u64 > MAX_JSON || values > MAX_VALUES {
        true => Err(DocumentError::TooLarge),
        false => Ok(()),
    }
}

fn reasons(json: &[u8]) -> Option<BTreeMap<ImagePath, Vec<Recorded>>> {
    let Document { paths } = serde_json::from_slice(json).ok()?;
    let path_of = |text: &str| ImagePath::new(unescape(text)?).ok();
    let mut all = BTreeMap::new();
    for (path, mut causes) in paths {
        for one in &mut causes {
            // A reason is flat: `Reason::json`.
            let is_flat = |value: &Value| !value.is_object() && !value.is_array();
            if !one.reason.as_object()?.values().all(is_flat) || !one.reason["kind"].is_string() {
                return None;
            }
            one.cause = match &one.from {
                Some(from) => Some(path_of(from)?),
                None => None,
            };
        }
        all.insert(path_of(&path)?, causes);
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_is_not_a_document() {
        let gzip = |text: &str| {
            let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            out.write_all(text.as_bytes()).unwrap();
            out.finish().unwrap()
        };
        let good = r#"{"paths":{"/a":[{"from":"/b","text":"t","reason":{"kind":"base"}}]}}"#;
        let parsed = parse(&gzip(good)).unwrap();
        let one = &parsed[&ImagePath::new("/a").unwrap()][0];
        assert_eq!((one.cause().unwrap().to_string(), &*one.text), ("/b".into(), "t"));
        let reason =
            |reason: &str| format!(r#"{{"paths":{{"/a":[{{"text":"t","reason":{reason}}}]}}}}"#);
        let wrong = ["\"x\"", r#"{"kind":[1]}"#, r#"{"kind":"a","more":[1]}"#, "{}"].map(reason);
        let texts = ["", "{}", r#"{"paths":{"/a":[{}]}}"#, r#"{"paths":{"/../..":[]}}"#];
        for text in texts.into_iter().chain(wrong.iter().map(String::as_str)) {
            assert_eq!(parse(&gzip(text)), Err(DocumentError::Malformed), "{text}");
        }
        for bytes in [b"x", &gzip(good)[..20]] {
            assert_eq!(parse(bytes), Err(DocumentError::Malformed));
        }
    }

    #[test]
    fn a_document_that_is_too_large_is_told_from_a_malformed_one() {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        out.write_all(b"{\"paths\":{\"/a\":[").unwrap();
        std::io::copy(&mut std::io::repeat(b' ').take(MAX_JSON), &mut out).unwrap();
        out.write_all(b"]}}").unwrap();
        assert_eq!(parse(&out.finish().unwrap()), Err(DocumentError::TooLarge));
        assert_eq!(check_size(&vec![b'['; MAX_VALUES + 1]), Err(DocumentError::TooLarge));
        assert_eq!(check_size(&vec![b'['; MAX_VALUES]), Ok(()));
        let text = "the reasons take more than 67.1 MB of JSON, or more than 4000000 values";
        assert_eq!(DocumentError::TooLarge.to_string(), text);
    }
}
