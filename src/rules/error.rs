//! Errors in a file of rules.

use crate::path::{PathError, glob::GlobError};

/// Why a file of rules cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// It is not TOML, or a field is missing, unknown or of the wrong type.
    #[error("line {line}: {message}")]
    Toml {
        /// The line, from 1; 0 if unknown.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// An invalid pattern in `exclude` or `deny`.
    #[error("rule `{rule}`: exclude `{pattern}`: {source}")]
    Exclude {
        /// The rule.
        rule: String,
        /// The pattern.
        pattern: String,
        /// Why.
        source: GlobError,
    },
    /// A path that an image cannot have.
    #[error("rule `{rule}`: path `{path}`: {source}")]
    Path {
        /// The rule.
        rule: String,
        /// The path.
        path: String,
        /// Why.
        source: PathError,
    },
    /// An invalid value.
    #[error("rule `{rule}`: `{value}`: {why}")]
    Value {
        /// The rule.
        rule: String,
        /// The value.
        value: String,
        /// Why.
        why: String,
    },
}

impl TableError {
    pub(super) fn toml(text: &str, error: &toml::de::Error) -> Self {
        let before = error.span().and_then(|span| text.as_bytes().get(..span.start));
        let line = before.map_or(0, |before| before.iter().filter(|&&b| b == b'\n').count() + 1);
        Self::Toml { line, message: error.message().to_owned() }
    }
}
