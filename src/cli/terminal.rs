//! Data on stdout, messages on stderr.

use std::{
    io::{self, Write as _},
    os::fd::AsFd,
    sync::atomic::{AtomicBool, Ordering},
};

use rustix::{fs::OFlags, io::retry_on_intr};
use serde_json::{Value, json};

use super::{failure::Failure, printable::printable};
use crate::error_kind::system_reason;

/// The version of the JSON that commands print (docs/json.md). A new field does not change it;
/// a field that is removed, or means something else, does.
const JSON_VERSION: u64 = 1;

/// Writes one line to stderr, in which control characters are escaped. A closed stderr must not
/// stop the work, so errors are ignored.
pub(super) fn print_message(line: &str) {
    let _ = io::stderr().write_all((printable(line) + "\n").as_bytes());
}

/// Whether [`print_notice`] prints nothing.
static IS_QUIET: AtomicBool = AtomicBool::new(false);

/// Makes [`print_notice`] print nothing, for commands that only print errors.
pub(super) fn silence_notices() {
    IS_QUIET.store(true, Ordering::Relaxed);
}

/// Prints a warning that comes up in the middle of the work, wherever that is.
pub(super) fn print_notice(text: &str) {
    if !IS_QUIET.load(Ordering::Relaxed) {
        print_message(&format!("warning: {text}"));
    }
}

/// As [`print_message`], for several lines. Names in them have to be [`printable`] already: a line
/// break in a name looks like the end of a line here.
pub(super) fn print_lines(text: &str) {
    let lines: String = text.lines().map(|line| printable(line) + "\n").collect();
    let _ = io::stderr().write_all(lines.as_bytes());
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
        _ => unwritable(&error),
    })
}

/// Whether `stream` was closed when imgb was started: the standard library opens `/dev/null` for
/// reading and writing in its place, so that no other file gets its number.
pub(super) fn is_closed(stream: impl AsFd) -> bool {
    let is_null = retry_on_intr(|| rustix::fs::fstat(&stream))
        .is_ok_and(|stat| stat.st_rdev == rustix::fs::makedev(1, 3));
    is_null
        && rustix::fs::fcntl_getfl(&stream)
            .is_ok_and(|flags| flags & OFlags::ACCMODE == OFlags::RDWR)
}

/// The failure to write to stdout, for instance to a full disk.
pub(super) fn unwritable(error: &io::Error) -> Failure {
    Failure::local(format!("cannot write to stdout: {}", system_reason(error)))
}

/// Writes an object to stdout on one line, with the version of its form.
///
/// # Errors
/// As [`print_data`].
pub(super) fn print_json(mut object: Value) -> Result<(), Failure> {
    object["schema_version"] = json!(JSON_VERSION);
    print_data(&format!("{object}\n"))
}
