//! The log of strace(1) as accesses: `strace -f -y -e trace=%file -o LOG COMMAND`.
//!
//! Process numbers and times before a call, calls that others interrupt (`<unfinished ...>`),
//! directories by number or by name (`-y`) and all escapes in strings are understood. A directory
//! that a program opened is known by its number from then on; `chdir` is followed within a process.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, BufRead, Read as _},
};

use super::{Access, Call};
use crate::{error_kind::ErrorKind, path::escape};

/// Bytes of a line: execve(2) with all its arguments is the longest.
const MAX_LINE: u64 = 8 << 20;
/// Different accesses that are kept.
const MAX_ACCESSES: usize = 1 << 20;

/// Why a log cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StraceError {
    /// It cannot be read.
    #[error("cannot read it")]
    Read(#[from] io::Error),
    /// A line is longer than any that strace writes.
    #[error("line {0} is longer than {MAX_LINE} bytes")]
    Long(usize),
    /// More files than any program opens.
    #[error("it names more than {MAX_ACCESSES} files")]
    Many,
    /// Nothing in it looks like a call.
    #[error(
        "it has no calls that name files; record it with `strace -f -y -e trace=%file -o LOG COMMAND`"
    )]
    Empty,
}

impl StraceError {
    /// What the error means to the caller.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Read(_) => ErrorKind::Input,
            Self::Long(_) | Self::Many | Self::Empty => ErrorKind::Refused,
        }
    }
}

/// What is known of a process.
#[derive(Clone, Debug, Default)]
struct Process {
    cwd: Vec<u8>,
    program: String,
    directories: BTreeMap<u32, Vec<u8>>,
    /// A call whose end comes on a later line.
    unfinished: Vec<u8>,
}

/// The accesses in `log`, in order and each once; `cwd` is where the command was started.
///
/// # Errors
/// [`StraceError`]
pub fn read(mut log: impl BufRead, cwd: &[u8]) -> Result<Vec<Access>, StraceError> {
    let mut processes: BTreeMap<u32, Process> = BTreeMap::new();
    let mut last = Process { cwd: cwd.to_vec(), ..Process::default() };
    let (mut out, mut known) = (Vec::new(), BTreeSet::new());
    let (mut line, mut number) = (Vec::new(), 0);
    let mut calls = 0_usize;
    loop {
        line.clear();
        number += 1;
        if (&mut log).take(MAX_LINE).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        if line.len() as u64 == MAX_LINE {
            return Err(StraceError::Long(number));
        }
        let (pid, text) = process_number(line.trim_ascii_end());
        // A process that is new was started by one that is known; which one the log need not say.
        let process = processes
            .entry(pid)
            .or_insert_with(|| Process { unfinished: Vec::new(), ..last.clone() });
        let Some(text) = joined(process, text) else { continue };
        if let Some(access) = call(process, &text) {
            calls += 1;
            if let Some(access) = access
                && known.insert(access.clone())
            {
                out.push(access);
            }
            last.clone_from(process);
        }
        if known.len() > MAX_ACCESSES || processes.len() > MAX_ACCESSES {
            return Err(StraceError::Many);
        }
    }
    if calls == 0 { Err(StraceError::Empty) } else { Ok(out) }
}

/// The process that a line is about, 0 where it does not say, and the rest of it without a time.
fn process_number(line: &[u8]) -> (u32, &[u8]) {
    let line = line.trim_ascii_start();
    let line = line.strip_prefix(b"[pid").map_or(line, <[u8]>::trim_ascii_start);
    let digits = line.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (pid, rest) = line.split_at(digits);
    let (pid, mut rest) =
        match (std::str::from_utf8(pid).ok().and_then(|pid| pid.parse().ok()), rest.first()) {
            (Some(pid), Some(b' ' | b']' | b'<')) => (pid, rest),
            _ => (0, line),
        };
    // With --decode-pids=comm the name stands behind the number.
    if let Some(name) = rest.strip_prefix(b"<") {
        rest = memchr::memchr(b'>', name).map_or(rest, |end| &name[end + 1..]);
    }
    rest = rest.strip_prefix(b"]").unwrap_or(rest).trim_ascii_start();
    let time = rest.iter().take_while(|byte| byte.is_ascii_digit() || b".:".contains(byte)).count();
    rest = rest[time..].trim_ascii_start();
    // -n and -i: the number of the call and where it was made.
    while let Some(end) = rest.strip_prefix(b"[").and_then(|inner| memchr::memchr(b']', inner)) {
        rest = rest[end + 2..].trim_ascii_start();
    }
    (pid, rest)
}

/// The whole call of which `text` is the end, or `None` where it only begins here.
fn joined(process: &mut Process, text: &[u8]) -> Option<Vec<u8>> {
    const UNFINISHED: &[u8] = b"<unfinished ...>";
    if let Some(begin) = text.strip_suffix(UNFINISHED) {
        process.unfinished = begin.to_vec();
        return None;
    }
    match text.strip_prefix(b"<... ") {
        Some(rest) => {
            let end = memchr::memmem::find(rest, b"resumed>")? + b"resumed>".len();
            let mut whole = std::mem::take(&mut process.unfinished);
            whole.extend_from_slice(&rest[end..]);
            Some(whole)
        }
        None => Some(text.to_vec()),
    }
}

/// What a call does with its path.
fn purpose(name: &[u8], rest: &[u8]) -> Option<Call> {
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

/// What a call without a path changes: where the process is, and which directories it has open by
/// which numbers.
fn moves(process: &mut Process, name: &[u8], args: &[u8]) {
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

/// The number that a result is.
fn number(text: &[u8]) -> Option<u32> {
    let text = text.trim_ascii_start();
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&text[..digits]).ok()?.parse().ok()
}

/// The directory of a descriptor: `3`, or with -y `3</etc>`, `AT_FDCWD</root>`, in which some bytes
/// are escaped.
fn directory(process: &Process, text: &[u8]) -> Option<Vec<u8>> {
    if let Some(begin) = memchr::memchr(b'<', text) {
        return unescaped(text[begin + 1..].strip_suffix(b">")?);
    }
    match text {
        b"AT_FDCWD" => Some(process.cwd.clone()),
        _ => process.directories.get(&std::str::from_utf8(text).ok()?.parse().ok()?).cloned(),
    }
}

fn unescaped(mut text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    while let Some((&byte, rest)) = text.split_first() {
        let (byte, len) = if byte == b'\\' { escaped(rest)? } else { (byte, 0) };
        out.push(byte);
        text = &rest[len..];
    }
    Some(out)
}

/// What the call `text` tells. `None` if it is none with a path; `Some(None)` if nothing comes of
/// it.
fn call(process: &mut Process, text: &[u8]) -> Option<Option<Access>> {
    let open = memchr::memchr(b'(', text)?;
    let (name, args) = (&text[..open], &text[open + 1..]);
    let (dir, quoted) = match name {
        b"openat" | b"openat2" | b"execveat" | b"statx" | b"newfstatat" | b"fstatat64"
        | b"faccessat" | b"faccessat2" | b"readlinkat" => {
            let comma = memchr::memchr(b',', args)?;
            (Some(&args[..comma]), args[comma + 1..].trim_ascii_start())
        }
        _ => (None, args),
    };
    let Some((path, rest)) = string(quoted) else {
        moves(process, name, args);
        return None;
    };
    let purpose = purpose(name, rest)?;
    let result = &rest[memchr::memmem::rfind(rest, b") = ").or_else(|| equals(rest))?..];
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
    Some(Some(Access { path, call: purpose, found: !missing, by: process.program.clone() }))
}

/// strace pads short calls, so that results stand below each other.
fn equals(rest: &[u8]) -> Option<usize> {
    memchr::memmem::rfind_iter(rest, b"= ").next()
}

/// `path` from the root, with what the first argument of a call in `at` says.
fn absolute(process: &Process, dir: Option<&[u8]>, path: &[u8]) -> Option<Vec<u8>> {
    if path.starts_with(b"/") {
        return Some(path.to_vec());
    }
    let dir = dir.map_or_else(|| Some(process.cwd.clone()), |dir| directory(process, dir))?;
    dir.starts_with(b"/").then(|| [&dir[..], b"/", path].concat())
}

/// The string literal at the front of `text`, and what follows it.
fn string(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let text = text.strip_prefix(b"\"")?;
    let (mut out, mut at) = (Vec::new(), 0);
    loop {
        match *text.get(at)? {
            b'"' => return Some((out, &text[at + 1..])),
            b'\\' => {
                let (byte, len) = escaped(&text[at + 1..])?;
                out.push(byte);
                at += 1 + len;
            }
            byte => {
                out.push(byte);
                at += 1;
            }
        }
    }
}

/// The byte that stands behind a backslash, and how long its name is.
fn escaped(text: &[u8]) -> Option<(u8, usize)> {
    let number =
        |digits: &[u8], radix| u8::from_str_radix(std::str::from_utf8(digits).ok()?, radix).ok();
    Some(match *text.first()? {
        b'n' => (b'\n', 1),
        b't' => (b'\t', 1),
        b'r' => (b'\r', 1),
        b'v' => (0x0b, 1),
        b'f' => (0x0c, 1),
        b'x' => (number(text.get(1..3)?, 16)?, 3),
        b'0'..=b'7' => {
            let len = text.iter().take(3).take_while(|byte| matches!(byte, b'0'..=b'7')).count();
            (number(&text[..len], 8)?, len)
        }
        byte => (byte, 1),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accesses(log: &str) -> Vec<(String, Call, bool, String)> {
        let all = read(log.as_bytes(), b"/home/me").unwrap();
        let row =
            |a: Access| (String::from_utf8_lossy(&a.path).into_owned(), a.call, a.found, a.by);
        all.into_iter().map(row).collect()
    }

    /// Options of strace change what stands before a call, and how descriptors are written.
    #[test]
    fn what_options_of_strace_add_is_understood() {
        let log = r#"10<app> openat(AT_FDCWD</srv/a\74b\303\274>, "x", O_RDONLY) = 3</srv/x>
10<app> 12:00:01 [ 257] [00007f0000000001] openat(AT_FDCWD, "/data", O_RDONLY|O_DIRECTORY) = 4
[pid 10] dup2(4, 9)                  = 9
[pid 10] openat(9, "y", O_RDONLY)    = 5
[pid 10] fcntl(4, F_DUPFD_CLOEXEC, 3) = 11
[pid 10] fchdir(11)                  = 0
[pid 10] openat(AT_FDCWD, "\x7a", O_RDONLY) = 6 <0.000123>
[pid 10] fchdir(5</else where>)       = 0
[pid 10] open("q", O_RDONLY)         = -1 ENOENT (No such file or directory)"#;
        let named: Vec<_> = accesses(log).into_iter().map(|(path, ..)| path).collect();
        assert_eq!(named, ["/srv/a<bü/x", "/data", "/data/y", "/data/z", "/else where/q"]);
    }

    #[test]
    fn what_strace_writes_is_understood() {
        let log = r#"1200  execve("/usr/bin/app", ["app", "a(\"b\")"], 0x7ffc /* 3 vars */) = 0
1200  access("/etc/ld.so.preload", R_OK) = -1 ENOENT (No such file or directory)
1200  openat(AT_FDCWD, "conf/a b\t\303\274", O_RDONLY|O_CLOEXEC) = 3
1200  newfstatat(3, "", {st_mode=S_IFREG|0644, st_size=1, ...}, AT_EMPTY_PATH) = 0
1200  openat(AT_FDCWD, "/usr/lib/plugins", O_RDONLY|O_DIRECTORY) = 4
1200  openat(4, "one.so", O_RDONLY <unfinished ...>
[pid  1201] 12:30:01.123456 openat(AT_FDCWD</srv>, "log", O_WRONLY|O_CREAT|O_TRUNC, 0666) = 5</srv/log>
1200  <... openat resumed>)             = 6
1200  chdir("/var")                     = 0
1200  stat("lib", {st_mode=S_IFDIR|0755, ...}) = 0
1200  open("/root/secret", O_RDONLY)    = -1 EACCES (Permission denied)
1201  --- SIGCHLD {si_signo=SIGCHLD} ---
1201  +++ exited with 0 +++"#;
        let app = || "/usr/bin/app".to_owned();
        let wanted = [
            ("/usr/bin/app".into(), Call::Execute, true, app()),
            ("/etc/ld.so.preload".into(), Call::Look, false, app()),
            ("/home/me/conf/a b\tü".into(), Call::Open, true, app()),
            ("/usr/lib/plugins".into(), Call::Open, true, app()),
            ("/srv/log".into(), Call::Create, true, app()),
            ("/usr/lib/plugins/one.so".into(), Call::Open, true, app()),
            ("/var".into(), Call::Look, true, app()),
            ("/var/lib".into(), Call::Look, true, app()),
        ];
        assert_eq!(accesses(log), wanted);
    }

    #[test]
    fn without_process_numbers_and_with_hexadecimal_names() {
        let log = "execve(\"/bin/a\", [\"a\"], []) = 0\nopen(\"\\x2f\\x61\", O_RDONLY) = 3\n";
        assert_eq!(accesses(log)[1].0, "/a");
    }

    #[test]
    fn what_is_no_log_is_said_to_be_none() {
        for text in ["", "hello\n", "write(1, \"x\", 1) = 1\n", "open(\"/x\n", "\u{0}\u{1}(\n"] {
            assert!(matches!(read(text.as_bytes(), b"/"), Err(StraceError::Empty)), "{text:?}");
        }
        let long = std::io::BufReader::new(std::io::repeat(b'x').take(MAX_LINE + 10));
        assert!(matches!(read(long, b"/"), Err(StraceError::Long(1))));
    }

    #[test]
    fn no_cut_or_changed_log_panics() {
        let log = r#"[pid 7] 1.5 openat(AT_FDCWD</a>, "x\303\x41\"", O_RDONLY <unfinished ...>
[pid 7] <... openat resumed>) = 3</a>
7 execveat(3, "p", [], 0) = 0"#;
        for at in 0..log.len() {
            let _ = read(&log.as_bytes()[..at], b"/");
            for byte in [b'"', b'\\', b'(', b'<', b'0', 0xff] {
                let mut changed = log.as_bytes().to_vec();
                changed[at] = byte;
                let _ = read(&changed[..], b"/");
            }
        }
    }
}
