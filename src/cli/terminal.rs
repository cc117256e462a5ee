//! Data on stdout, messages on stderr.

use std::io::Write as _;

use super::failure::Failure;

/// Writes one line to stderr. A closed stderr must not stop the work, so errors are ignored.
pub(super) fn print_message(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Writes `text` to stdout.
///
/// # Errors
/// If stdout is closed or full.
pub(super) fn print_data(text: &str) -> Result<(), Failure> {
    print_data_bytes(text.as_bytes())
}

/// As [`print_data`], for paths that may not be UTF-8.
pub(super) fn print_data_bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    stdout
        .write_all(bytes)
        .and_then(|()| stdout.flush())
        .map_err(|error| Failure::local(format!("cannot write to stdout: {error}")))
}
