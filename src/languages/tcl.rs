//! The text of a Tcl script → the commands that it starts. Pure.

use std::collections::BTreeSet;

use super::{Tcl, shell};

/// The word that starts a command (exec(n)).
const EXEC: &[u8] = b"exec ";
/// Commands of one script.
const MAX_LINES: usize = 1000;

impl Tcl {
    /// Whether a program of this file name runs Tcl.
    pub fn is_interpreter(&self, name: &[u8]) -> bool {
        self.interpreters.iter().any(|front| name.starts_with(front.as_bytes()))
    }
}

/// The lines that `text` starts, with `|` between commands as in a shell.
pub fn started(text: &[u8]) -> BTreeSet<Vec<u8>> {
    let mut lines = BTreeSet::new();
    for line in text.split(|&b| b == b'\n').filter(|line| !line.trim_ascii().starts_with(b"#")) {
        for at in memchr::memmem::find_iter(line, EXEC) {
            let (before, after) = line.split_at(at);
            let is_command = before.trim_ascii_end().last().is_none_or(|b| b"[{;".contains(b));
            let started = command(after.get(EXEC.len()..).unwrap_or_default());
            let is_plain = started.split(|&b| b == b' ').next().is_some_and(shell::is_plain);
            if is_command && is_plain && !started.is_empty() && lines.len() < MAX_LINES {
                lines.insert(started.to_vec());
            }
        }
    }
    lines
}

/// The command at the start of `text`, after the options of `exec`.
fn command(text: &[u8]) -> &[u8] {
    let mut text = text.trim_ascii_start();
    while text.starts_with(b"-") {
        let end = memchr::memchr(b' ', text).unwrap_or(text.len());
        text = text.get(end..).unwrap_or_default().trim_ascii_start();
    }
    let text = text.strip_prefix(b"\"").unwrap_or(text);
    let end = text.iter().position(|b| b"]};\"".contains(b)).unwrap_or(text.len());
    text.get(..end).unwrap_or_default().trim_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, wanted: &[&str]) {
        let found = started(text.as_bytes());
        let found: Vec<_> = found.iter().map(|line| String::from_utf8_lossy(line)).collect();
        assert_eq!(found, wanted, "{text}");
    }

    #[test]
    fn what_a_script_executes() {
        check("exec sort $x\n  set y [exec uname -a]; puts z", &["sort $x", "uname -a"]);
        check("catch {exec -keepnewline -- ls | wc -l} out", &["ls | wc -l"]);
        check("if {[catch { exec \"/usr/bin/diff\" a b }]} {", &["/usr/bin/diff"]);
        check("exec $prog x\n# exec tar\nputs \"exec sort\"\nmyexec sort\nexec ", &[]);
    }

    #[test]
    fn interpreters() {
        let tcl = &crate::languages::Languages::builtin().tcl;
        assert!(tcl.is_interpreter(b"tclsh8.6") && tcl.is_interpreter(b"wish"));
        assert!(!tcl.is_interpreter(b"perl"));
    }
}
