//! Data on stdout, messages on stderr.

use std::io::{self, Write as _};

use serde_json::{Value, json};

use super::failure::Failure;
use crate::error_kind::with_causes;

/// The version of the JSON that commands print (docs/json.md). A new field does not change it;
/// a field that is removed, or means something else, does.
const JSON_VERSION: u64 = 1;

/// Writes one line to stderr. A closed stderr must not stop the work, so errors are ignored.
pub(super) fn print_message(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Writes `text` to stdout.
///
/// # Errors
/// If stdout is full; [`Failure::closed_pipe`] if its reader has stopped reading.
pub(super) fn print_data(text: &str) -> Result<(), Failure> {
    print_data_bytes(text.as_bytes())
}

/// As [`print_data`], for paths that may not be UTF-8.
pub(super) fn print_data_bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::closed_pipe(),
        _ => Failure::local(format!("cannot write to stdout: {}", with_causes(&error))),
    })
}

/// Writes an object to stdout on one line, with the version of its form.
///
/// # Errors
/// As [`print_data`].
pub(super) fn print_json(mut object: Value) -> Result<(), Failure> {
    object["schema_version"] = json!(JSON_VERSION);
    print_data(&format!("{object}\n"))
}
