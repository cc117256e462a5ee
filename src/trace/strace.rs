//! Reads accesses from a log of strace(1): `strace -f -y -e trace=%file -o LOG COMMAND`.
//!
//! Understands process ids and times before a call, calls that are interrupted by those of other
//! processes (`<unfinished ...>`), directories by descriptor or by name (`-y`), and all escapes in
//! strings. Keeps track of the descriptors of opened directories, and of each process's working
//! directory.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, BufRead, Read as _},
};

use super::{
    Access,
    strace_call::{Process, parse_call},
};
use crate::error_kind::ErrorKind;

/// The longest line in bytes: execve(2) with all its arguments.
const MAX_LINE: u64 = 8 << 20;
/// Different accesses that are kept.
const MAX_ACCESSES: usize = 1 << 20;
/// Bytes of all their paths.
const MAX_BYTES: usize = 128 << 20;

/// Why a log cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StraceError {
    /// The log cannot be read.
    #[error("cannot read it")]
    Read(#[from] io::Error),
    /// A line, by its number, is longer than any that strace writes.
    #[error("line {0} is longer than {MAX_LINE} bytes")]
    Long(usize),
    /// More files than any program opens.
    #[error("it names more than {MAX_ACCESSES} files")]
    Many,
    /// Nothing in it looks like a call.
    #[error(
        "it has no calls that name files; record it with \
         `strace -f -y -e trace=%file -o LOG COMMAND`"
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

/// Reads the accesses in `log`, in order and without duplicates. `cwd` is the directory in which
/// the command was started.
///
/// # Errors
/// [`StraceError`]
pub fn read(mut log: impl BufRead, cwd: &[u8]) -> Result<Vec<Access>, StraceError> {
    let mut processes: BTreeMap<u32, Process> = BTreeMap::new();
    let mut last = Process { cwd: cwd.to_vec(), ..Process::default() };
    let (mut out, mut known) = (Vec::new(), BTreeSet::new());
    let (mut line, mut number) = (Vec::new(), 0);
    let (mut calls, mut bytes) = (0_usize, 0_usize);
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
        // A new process inherits from the one that started it. The log need not say which one that
        // is, so take the last.
        let process = processes
            .entry(pid)
            .or_insert_with(|| Process { unfinished: Vec::new(), ..last.clone() });
        let Some(text) = joined(process, text) else { continue };
        if let Some(access) = parse_call(process, &text) {
            calls += 1;
            if let Some(access) = access
                && known.insert(access.clone())
            {
                bytes += access.path.len();
                out.push(access);
            }
            last.clone_from(process);
        }
        let is_long = known.len() > MAX_ACCESSES || processes.len() > MAX_ACCESSES;
        if is_long || bytes > MAX_BYTES {
            return Err(StraceError::Many);
        }
    }
    if calls == 0 { Err(StraceError::Empty) } else { Ok(out) }
}

/// The process id at the start of a line, 0 if there is none, and the rest without the time.
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
    // With --decode-pids=comm the name follows the id.
    if let Some(name) = rest.strip_prefix(b"<") {
        rest = memchr::memchr(b'>', name).map_or(rest, |end| &name[end + 1..]);
    }
    rest = rest.strip_prefix(b"]").unwrap_or(rest).trim_ascii_start();
    let time = rest.iter().take_while(|byte| byte.is_ascii_digit() || b".:".contains(byte)).count();
    rest = rest[time..].trim_ascii_start();
    // -n and -i: the number of the system call and the instruction pointer.
    while let Some(end) = rest.strip_prefix(b"[").and_then(|inner| memchr::memchr(b']', inner)) {
        rest = rest[end + 2..].trim_ascii_start();
    }
    (pid, rest)
}

/// The whole call that `text` completes; `None` where `text` is only the start of one.
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

#[cfg(test)]
mod tests {
    use super::super::Call;
    use super::*;

    fn accesses(log: &str) -> Vec<(String, Call, bool, String)> {
        let all = read(log.as_bytes(), b"/home/me").unwrap();
        let row =
            |a: Access| (String::from_utf8_lossy(&a.path).into_owned(), a.call, a.found, a.by);
        all.into_iter().map(row).collect()
    }

    /// Options of strace change what precedes a call, and how descriptors are written.
    #[test]
    fn understands_what_options_add() {
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
    fn understands_what_strace_writes() {
        let log = r#"1200  execve("/usr/bin/app", ["app", "a(\"b\")"], 0x7ffc /* 3 vars */) = 0
1200  access("/etc/ld.so.preload", R_OK) = -1 ENOENT (No such file or directory)
1200  openat(AT_FDCWD, "conf/a b\t\303\274", O_RDONLY|O_CLOEXEC) = 3
1200  newfstatat(3, "", {st_mode=S_IFREG|0644, st_size=1, ...}, AT_EMPTY_PATH) = 0
1200  openat(AT_FDCWD, "/usr/lib/plugins", O_RDONLY|O_DIRECTORY) = 4
1200  openat(4, "one.so", O_RDONLY <unfinished ...>
[pid  1201] 12:30:01.123456 openat(AT_FDCWD</srv>, "log", O_WRONLY|O_CREAT, 0666) = 5</srv/log>
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
    fn refuses_what_is_not_a_log() {
        for text in ["", "hello\n", "write(1, \"x\", 1) = 1\n", "open(\"/x\n", "\u{0}\u{1}(\n"] {
            assert!(matches!(read(text.as_bytes(), b"/"), Err(StraceError::Empty)), "{text:?}");
        }
        let long = std::io::BufReader::new(std::io::repeat(b'x').take(MAX_LINE + 10));
        assert!(matches!(read(long, b"/"), Err(StraceError::Long(1))));
    }

    #[test]
    fn a_cut_or_changed_log_does_not_panic() {
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
