//! Scripts: the first line → the interpreter and, for `env`, the command that it runs. Pure.

/// Bytes of a script that the kernel reads for its first line (`BINPRM_BUF_SIZE` since Linux 5.1).
pub const FIRST_LINE: usize = 256;

/// The contents of a script's `#!` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shebang {
    /// The interpreter's path, as written.
    pub interpreter: Vec<u8>,
    /// The command that `env` looks up in PATH.
    pub command: Option<Vec<u8>>,
}

impl Shebang {
    /// The file name of the interpreter: that of the command for `env`.
    pub fn interpreter_name(&self) -> &[u8] {
        let interpreter = self.command.as_ref().unwrap_or(&self.interpreter);
        interpreter.rsplit(|&b| b == b'/').next().unwrap_or_default()
    }
}

/// Parses the `#!` line at the start of `head` as the kernel does (`fs/binfmt_script.c`): blanks
/// are trimmed, and the rest of the line is a single argument. `None` if there is no such line or
/// it is empty.
pub fn shebang(head: &[u8]) -> Option<Shebang> {
    let rest = head.strip_prefix(b"#!")?;
    let line =
        rest.get(..FIRST_LINE - 2).unwrap_or(rest).split(|&b| b == b'\n' || b == 0).next()?;
    // A carriage return belongs to the name: the kernel looks for `/bin/sh\r`.
    let line = trim(line);
    let end = line.iter().position(|b| matches!(b, b' ' | b'\t')).unwrap_or(line.len());
    let (interpreter, argument) = line.split_at(end);
    if interpreter.is_empty() {
        return None;
    }
    let is_env = interpreter.rsplit(|&b| b == b'/').next() == Some(b"env");
    let command = if is_env { env_command(trim(argument)) } else { None };
    Some(Shebang { interpreter: interpreter.into(), command })
}

fn trim(mut line: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = line {
        line = rest;
    }
    line
}

/// The command in `env`'s single argument: a name, or with `-S` the first word after options and
/// assignments (coreutils `env.c`).
fn env_command(argument: &[u8]) -> Option<Vec<u8>> {
    let text = String::from_utf8_lossy(argument);
    let split = text
        .strip_prefix("-S")
        .or_else(|| text.strip_prefix("--split-string="))
        .or_else(|| text.strip_prefix("-vS"));
    let words = match split {
        Some(rest) => shell_words::split(rest).ok()?,
        None if text.starts_with('-') => return None,
        None => vec![text.into_owned()],
    };
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        match &*word {
            "-u" | "--unset" | "-C" | "--chdir" => drop(words.next()),
            _ if word.starts_with('-') || word.contains('=') => {}
            _ => return Some(word.into_bytes()).filter(|word| !word.is_empty()),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(head: &[u8], interpreter: &str, command: Option<&str>) {
        let wanted = Shebang { interpreter: interpreter.into(), command: command.map(Into::into) };
        assert_eq!(shebang(head), Some(wanted));
    }

    #[test]
    fn reads_what_the_kernel_reads() {
        check(b"#!/bin/sh\necho", "/bin/sh", None);
        check(b"#! /bin/sh -e\n", "/bin/sh", None);
        check(b"#!\t/usr/bin/perl -w", "/usr/bin/perl", None);
        check(b"#!/bin/sh\r\n", "/bin/sh\r", None);
        assert_eq!(shebang(b"#!\n"), None);
        assert_eq!(shebang(b"# !/bin/sh"), None);
        assert_eq!(shebang(b"\x7fELF"), None);
    }

    #[test]
    fn finds_the_command_of_env() {
        check(b"#!/usr/bin/env python3\n", "/usr/bin/env", Some("python3"));
        check(b"#!/usr/bin/env -S python3 -u\n", "/usr/bin/env", Some("python3"));
        check(b"#!/usr/bin/env -S A=1 -u B node --x\n", "/usr/bin/env", Some("node"));
        check(b"#!/usr/bin/env -S'perl' -w\n", "/usr/bin/env", Some("perl"));
        check(b"#!/usr/bin/env\n", "/usr/bin/env", None);
        check(b"#!/usr/bin/env -i\n", "/usr/bin/env", None);
    }

    #[test]
    fn a_line_longer_than_the_kernel_reads_is_cut() {
        let long = [b"#!/", &[b'a'; 400][..]].concat();
        assert_eq!(shebang(&long).unwrap().interpreter.len(), FIRST_LINE - 2);
    }
}
