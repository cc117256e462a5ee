//! The source of a program in Perl, Python, Ruby or the like → the commands that it starts. Pure.
//!
//! This does not parse the languages. It looks at quoted texts: at what stands before them, and at
//! their form.

use std::collections::BTreeSet;

use super::{Calls, shell};

/// Bytes of a quoted text.
const MAX_TEXT: usize = 400;
/// Texts of one source.
const MAX_TEXTS: usize = 5000;

/// What one source starts.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Started {
    /// Lines for a shell, or commands without their arguments.
    pub lines: BTreeSet<Vec<u8>>,
    /// Words that may be names of commands: quoted, and nothing else in the quotes.
    pub words: BTreeSet<Vec<u8>>,
    /// A variable holds the name of what it starts: `system(@cmd)`.
    pub by_variable: bool,
}

/// What the source `text` starts.
pub fn started(text: &[u8], language: &Calls) -> Started {
    let by_variable = language.before.iter().any(|call| starts_variable(text, call.as_bytes()));
    let mut out = Started { by_variable, ..Started::default() };
    let mut at = 0;
    let mut left = MAX_TEXTS;
    while let Some(found) = text
        .get(at..)
        .and_then(|rest| rest.iter().position(|b| b"'\"`".contains(b) || *b == b'q' || *b == b'%'))
    {
        at += found;
        let Some(quoted) = quoted(text, at, language) else {
            at += 1;
            continue;
        };
        at = quoted.end;
        left -= 1;
        if left == 0 {
            break;
        }
        out.add(quoted.text, quoted.is_command || is_called(text, quoted.start, language));
    }
    out
}

impl Started {
    fn add(&mut self, text: &[u8], is_command: bool) {
        // A pipe from or to a command, as the second argument of Perl's `open`.
        let bare = text.trim_ascii();
        let piped = bare.strip_suffix(b"|").or_else(|| bare.strip_prefix(b"|"));
        let line = piped.unwrap_or(bare).trim_ascii();
        let is_word = shell::is_plain(line) && !line.contains(&b'.');
        if is_command || (piped.is_some() && !line.is_empty()) || shell::is_command_line(line) {
            self.lines.insert(line.into());
        } else if is_word {
            self.words.insert(line.into());
        }
    }
}

/// A quoted text.
struct Quoted<'t> {
    text: &'t [u8],
    /// Where the quote begins, in bytes.
    start: usize,
    /// What comes after it.
    end: usize,
    /// It is quoted as a command.
    is_command: bool,
}

/// The text that is quoted from `start` on. An unterminated quote, and one that is too long or has
/// more than one line, quotes nothing: it is an apostrophe, or prose.
fn quoted<'t>(text: &'t [u8], start: usize, language: &Calls) -> Option<Quoted<'t>> {
    let from = text.get(start..)?;
    let first = *from.first()?;
    if b"'\"`".contains(&first) {
        let inside = from.get(1..)?;
        let len = inside.iter().take(MAX_TEXT).position(|b| *b == first || *b == b'\n')?;
        let is_closed = inside.get(len) == Some(&first);
        let text = inside.get(..len).filter(|_| is_closed)?;
        let is_command = first == b'`';
        return Some(Quoted { text, start, end: start + len + 2, is_command });
    }
    // Perl's `q$…$` and `qx{…}`, Ruby's `%x(…)`.
    let in_word = |b: &u8| b.is_ascii_alphanumeric() || b"_$@&".contains(b);
    if start.checked_sub(1).and_then(|at| text.get(at)).is_some_and(in_word) {
        return None;
    }
    let is_command = language.quotes.iter().any(|word| from.starts_with(word.as_bytes()));
    let word = match first {
        b'q' => from.iter().take_while(|b| b.is_ascii_alphabetic()).count(),
        _ if is_command => 2,
        _ => return None,
    };
    if !matches!(from.get(..word)?, b"q" | b"qq" | b"qx" | b"%x") {
        return None;
    }
    let open = *from.get(word)?;
    let close = match open {
        b'(' => b')',
        b'{' => b'}',
        b'[' => b']',
        b'<' => b'>',
        b'!' | b'/' | b'|' | b'#' | b'$' | b'~' | b'^' | b'@' => open,
        _ => return None,
    };
    let inside = from.get(word + 1..)?;
    let len = inside.iter().take(MAX_TEXT).position(|b| *b == close)?;
    let text = inside.get(..len)?;
    Some(Quoted { text, start, end: start + word + len + 2, is_command })
}

/// Whether what stands before the quote at `start` starts a command: `system("`,
/// `subprocess.run(["`.
fn is_called(text: &[u8], start: usize, language: &Calls) -> bool {
    let before = text.get(..start).unwrap_or_default();
    let before = before.trim_ascii_end();
    let before = before.strip_suffix(b"[").unwrap_or(before).trim_ascii_end();
    language.before.iter().any(|call| before.ends_with(call.trim_ascii_end().as_bytes()))
}

/// Whether `call` starts what a variable holds. After a blank, a word without a sign is prose.
fn starts_variable(text: &[u8], call: &[u8]) -> bool {
    memchr::memmem::find_iter(text, call).any(|at| {
        let after = text.get(at + call.len()..).unwrap_or_default().trim_ascii_start();
        let open = after.iter().take_while(|b| b"({ ".contains(b)).count();
        let after = after.get(open..).unwrap_or_default();
        match after.first() {
            Some(b'$' | b'@') => true,
            Some(_) => call.ends_with(b"(") && is_variable(after),
            None => false,
        }
    })
}

/// Whether the argument at the start of `text` is a variable, with a keyword before it or without
/// (`args=command`), or a formatted literal that starts with one (`f"{tool} -v"`), and not another
/// literal with a prefix (`f"x"`).
fn is_variable(text: &[u8]) -> bool {
    let (_, after) = name(text);
    let value = after.strip_prefix(b"=").filter(|value| !value.starts_with(b"="));
    let (name, after) = name(value.map_or(text, <[u8]>::trim_ascii_start));
    let is_name = name.first().is_some_and(|b| b.is_ascii_lowercase() || *b == b'_');
    let quotes = after.iter().take_while(|b| b"'\"".contains(b)).count();
    let inside = after.get(quotes..).unwrap_or_default();
    let is_formatted =
        name.contains(&b'f') && inside.starts_with(b"{") && !inside.starts_with(b"{{");
    is_name && (quotes == 0 || is_formatted)
}

/// The name at the start of `text`, which may be empty, and what comes after it and blanks.
fn name(text: &[u8]) -> (&[u8], &[u8]) {
    let len = text.iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count();
    let (name, after) = text.split_at(len);
    (name, after.trim_ascii_start())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::languages::Languages;

    #[track_caller]
    fn check(text: &str, lines: &[&str], words: &[&str]) {
        let found = started(text.as_bytes(), &Languages::builtin().calls);
        let texts = |set: &BTreeSet<Vec<u8>>| {
            set.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect::<Vec<_>>()
        };
        assert_eq!(texts(&found.lines), lines, "{text}");
        assert_eq!(texts(&found.words), words, "{text}");
    }

    #[test]
    fn commands_in_perl() {
        check("system('tar', 'x'); exec \"make all\";", &["make all", "tar"], &["x"]);
        check("my $x = `git log`; $y = qx{id -u};", &["git log", "id -u"], &[]);
        check("open(F, \"find . |\"); open(G, '|sort');", &["find .", "sort"], &[]);
        check(
            "$c = q$find . \\( -name x \\) 2>/dev/null |$;",
            &["find . \\( -name x \\) 2>/dev/null"],
            &[],
        );
        check("$s =~ s/a/x/; print 'it is', \"don't\";", &[], &[]);
    }

    #[test]
    fn commands_that_variables_hold() {
        let by_variable =
            |text: &str| started(text.as_bytes(), &Languages::builtin().calls).by_variable;
        for text in [
            "system(@cmd)",
            "exec $tar, 'x'",
            "exec { $a } @b",
            "p = Popen(command)",
            "Popen(args = cmd, shell=True)",
            "Popen(f)",
            "os.system(f\"{tool} -v\")",
        ] {
            assert!(by_variable(text), "{text}");
        }
        for text in [
            "system('x', @args)",
            "the system is new",
            "exec 'a'",
            "Popen(['x', y])",
            "Popen(f\"a {x}\")",
            "os.system(rb'a')",
            "Popen(args=['x'], y=z)",
            "check_output(input = f'x')",
        ] {
            assert!(!by_variable(text), "{text}");
        }
    }

    #[test]
    fn commands_in_python_and_ruby() {
        check(
            "subprocess.run([\"git\", 'log']); p = Popen( ['dot'])\nos.system('ls -l')",
            &["dot", "git", "ls -l"],
            &["log"],
        );
        check("%x(uname -a); CONVERT = 'convert'", &["uname -a"], &["convert"]);
        check("a = 5 % x; 'never\nends'", &[], &[]);
    }
}
