//! Parses one system call in a log of strace(1).

use std::collections::BTreeMap;

use super::{
    Access, Call,
    strace_string::{quoted, unescaped},
};
use crate::path::escape;

/// The state of a traced process.
#[derive(Clone, Debug, Default)]
pub(super) struct Process {
    pub(super) cwd: Vec<u8>,
    pub(super) program: String,
    /// Paths of open directories, by file descriptor.
    pub(super) directories: BTreeMap<u32, Vec<u8>>,
    /// The start of a call whose end is on a later line.
    pub(super) unfinished: Vec<u8>,
}

/// Parses the call `text`. `None` if it names no path; `Some(None)` if it names one but is not an
/// access.
pub(super) fn parse_call(process: &mut Process, text: &[u8]) -> Option<Option<Access>> {
    let open = memchr::memchr(b'(', text)?;
    let (name, args) = (&text[..open], &text[open + 1..]);
    let (dir, literal) = match name {
        b"openat" | b"openat2" | b"execveat" | b"statx" | b"newfstatat" | b"fstatat64"
        | b"faccessat" | b"faccessat2" | b"readlinkat" => {
            let comma = memchr::memchr(b',', args)?;
            (Some(&args[..comma]), args[comma + 1..].trim_ascii_start())
        }
        _ => (None, args),
    };
    let Some((path, rest)) = quoted(literal) else {
        track_directories(process, name, args);
        return None;
    };
    let kind = kind_of(name, rest)?;
    let result = &rest[memchr::memmem::rfind(rest, b") = ").or_else(|| padded_result(rest))?..];
    let result = &result[memchr::memchr(b'=', result)? + 1..];
    let result = result.trim_ascii_start();
    let fd = number(result);
    let missing = result.starts_with(b"-1 ENOENT") || result.starts_with(b"-1 ENOTDIR");
    if path.is_empty() || !(missing || fd.is_some()) {
        return Some(None);
    }
    let Some(path) = absolute(process, dir, &path) else { return Some(None) };
    match (name, fd) {
        (b"chdir", Some(_)) => process.cwd.clone_from(&path),
        (b"open" | b"openat" | b"openat2", Some(fd)) => {
            drop(process.directories.insert(fd, path.clone()));
        }
        (b"execve" | b"execveat", Some(_)) => process.program = escape(&path),
        _ => {}
    }
    Some(Some(Access { path, call: kind, found: !missing, by: process.program.clone() }))
}

/// The offset of the `=` before the result of a short call, which strace pads with spaces.
fn padded_result(rest: &[u8]) -> Option<usize> {
    memchr::memmem::rfind_iter(rest, b"= ").next()
}

/// The absolute form of `path`, which is relative to the descriptor `dir` or the working directory.
fn absolute(process: &Process, dir: Option<&[u8]>, path: &[u8]) -> Option<Vec<u8>> {
    if path.starts_with(b"/") {
        return Some(path.to_vec());
    }
    let dir = dir.map_or_else(|| Some(process.cwd.clone()), |dir| directory(process, dir))?;
    dir.starts_with(b"/").then(|| [&dir[..], b"/", path].concat())
}

/// The kind of access of the system call `name`, with the arguments `rest` after the path.
fn kind_of(name: &[u8], rest: &[u8]) -> Option<Call> {
    let has = |flag: &[u8]| memchr::memmem::find(rest, flag).is_some();
    Some(match name {
        b"open" | b"openat" | b"openat2" if has(b"O_CREAT") || has(b"O_TRUNC") => Call::Create,
        b"creat" => Call::Create,
        b"open" | b"openat" | b"openat2" => Call::Open,
        b"execve" | b"execveat" => Call::Execute,
        b"stat" | b"lstat" | b"stat64" | b"lstat64" | b"statx" | b"newfstatat" | b"fstatat64"
        | b"access" | b"faccessat" | b"faccessat2" | b"readlink" | b"readlinkat" | b"chdir" => {
            Call::Look
        }
        _ => return None,
    })
}

/// Applies a call without a path to the process: its working directory and the descriptors of its
/// directories.
fn track_directories(process: &mut Process, name: &[u8], args: &[u8]) {
    let is_of_interest = matches!(name, b"fchdir" | b"dup" | b"dup2" | b"dup3")
        || name == b"fcntl" && memchr::memmem::find(args, b"F_DUPFD").is_some();
    if !is_of_interest {
        return;
    }
    let end = args.iter().position(|byte| b",)".contains(byte)).unwrap_or(args.len());
    let Some(dir) = directory(process, &args[..end]) else { return };
    match (name, args.iter().rposition(|&byte| byte == b'=').and_then(|at| number(&args[at + 1..])))
    {
        (b"fchdir", Some(_)) => process.cwd = dir,
        (_, Some(copy)) => drop(process.directories.insert(copy, dir)),
        _ => {}
    }
}

/// A result that is a number.
fn number(text: &[u8]) -> Option<u32> {
    let text = text.trim_ascii_start();
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&text[..digits]).ok()?.parse().ok()
}

/// The directory that a descriptor stands for: `3`, or with -y `3</etc>` or `AT_FDCWD</root>`, in
/// which some bytes are escaped.
fn directory(process: &Process, text: &[u8]) -> Option<Vec<u8>> {
    if let Some(begin) = memchr::memchr(b'<', text) {
        return unescaped(text[begin + 1..].strip_suffix(b">")?);
    }
    match text {
        b"AT_FDCWD" => Some(process.cwd.clone()),
        _ => process.directories.get(&std::str::from_utf8(text).ok()?.parse().ok()?).cloned(),
    }
}
