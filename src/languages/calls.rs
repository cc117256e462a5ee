//! The source of a program in Perl, Python, Ruby or the like → the commands that it starts. Pure.
//!
//! This does not parse the languages. It looks at quoted texts: at what stands before them, and at
//! their form.

use std::collections::BTreeSet;

use super::{
    Calls,
    constants::{constants, is_used_again},
    shell,
};

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
    /// Constants that may hold commands, where it starts any.
    pub constants: BTreeSet<Vec<u8>>,
    /// A variable holds the name of what it starts: `system(@cmd)`.
    pub by_variable: bool,
    /// It has a call that starts something.
    pub starts: bool,
}

/// What the source `text` starts.
pub fn started(text: &[u8], language: &Calls) -> Started {
    let by_variable = language.before.iter().any(|call| starts_variable(text, call.as_bytes()));
    let mut out = Started { by_variable, starts: by_variable, ..Started::default() };
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
        let is_called = is_called(text, quoted.start, language);
        out.starts |= is_called;
        if quoted.is_list {
            out.add_list(&quoted, is_called, text);
        } else {
            out.add(quoted.text, quoted.is_command || is_called);
        }
    }
    out.add_constants(text, language);
    out
}

impl Started {
    fn add(&mut self, text: &[u8], is_command: bool) {
        // A pipe from or to a command, as the second argument of Perl's `open`.
        let bare = text.trim_ascii();
        let piped = bare.strip_suffix(b"|").or_else(|| bare.strip_prefix(b"|"));
        let line = piped.unwrap_or(bare).trim_ascii();
        let is_word = shell::is_plain(line) && !line.contains(&b'.');
        let is_piped = piped.is_some() && line.iter().any(u8::is_ascii_alphanumeric);
        if is_command || is_piped || shell::is_command_line(line) {
            self.lines.insert(line.into());
        } else if is_word {
            self.words.insert(line.into());
        }
    }

    /// Adds the words of a list: `qw(tar -x)`. Those that a statement imports are functions.
    fn add_list(&mut self, list: &Quoted<'_>, is_called: bool, text: &[u8]) {
        let from = list.start.saturating_sub(MAX_TEXT);
        let before = text.get(from..list.start).unwrap_or_default();
        let line = before.rsplit(|&b| b == b'\n').next().unwrap_or_default().trim_ascii_start();
        if line.starts_with(b"use ") || line.starts_with(b"no ") {
            return;
        }
        let words = list.text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        for (at, word) in words.enumerate() {
            self.add(word, is_called && at == 0);
        }
    }

    /// Adds the constants that a call has as its command, and those that something else uses.
    fn add_constants(&mut self, text: &[u8], language: &Calls) {
        let constants = constants(text);
        if constants.is_empty() {
            return;
        }
        let started = names_of_started(text, language);
        for (name, value) in constants {
            if started.contains(name) {
                self.starts = true;
                self.lines.insert(value.into());
            } else if is_used_again(text, name) {
                self.constants.insert(value.into());
            }
        }
        if !self.starts {
            self.constants.clear();
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
    /// It is a list of words.
    is_list: bool,
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
        let end = start + len + 2;
        return Some(Quoted { text, start, end, is_command, is_list: false });
    }
    // Perl's `q$…$`, `qx{…}` and `qw(…)`, Ruby's `%x(…)` and `%w(…)`.
    let in_word = |b: &u8| b.is_ascii_alphanumeric() || b"_$@&".contains(b);
    if start.checked_sub(1).and_then(|at| text.get(at)).is_some_and(in_word) {
        return None;
    }
    let is_any = |words: &[String]| words.iter().any(|word| from.starts_with(word.as_bytes()));
    let (is_command, is_list) = (is_any(&language.quotes), is_any(&language.lists));
    let word = match first {
        b'q' => from.iter().take_while(|b| b.is_ascii_alphabetic()).count(),
        _ if is_command || is_list => 2,
        _ => return None,
    };
    if !matches!(from.get(..word)?, b"q" | b"qq" | b"qx" | b"qw" | b"%x" | b"%w") {
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
    Some(Quoted { text, start, end: start + word + len + 2, is_command, is_list })
}

/// Whether what stands before the quote at `start` starts a command: `system("`,
/// `subprocess.run(["`.
fn is_called(text: &[u8], start: usize, language: &Calls) -> bool {
    let before = text.get(..start).unwrap_or_default().trim_ascii_end();
    let outside = before.strip_suffix(b"[").unwrap_or(before).trim_ascii_end();
    let ends = |call: &String| {
        let call = call.trim_ascii_end().as_bytes();
        before.ends_with(call) || outside.ends_with(call)
    };
    language.before.iter().any(ends)
}

/// Whether `call` starts what a variable holds. After a blank, a word without a sign is prose.
fn starts_variable(text: &[u8], call: &[u8]) -> bool {
    memchr::memmem::find_iter(text, call).any(|at| {
        let after = text.get(at + call.len()..).unwrap_or_default().trim_ascii_start();
        let open = after.iter().take_while(|b| b"({ ".contains(b)).count();
        let after = after.get(open..).unwrap_or_default();
        // The command of a list is quoted as a whole: `open(my $pipe, "-|", "$diff", @files)`.
        let is_list = call.ends_with(b",");
        match after.strip_prefix(b"\"").filter(|_| is_list).unwrap_or(after).first() {
            Some(b'$' | b'@') => true,
            Some(_) => call.ends_with(b"(") && is_variable(after),
            None => false,
        }
    })
}

/// The names of what calls start: `run([NAME, "-x"])`.
fn names_of_started<'t>(text: &'t [u8], language: &Calls) -> BTreeSet<&'t [u8]> {
    let mut names = BTreeSet::new();
    for call in &language.before {
        for at in memchr::memmem::find_iter(text, call.as_bytes()) {
            let after = text.get(at + call.len()..).unwrap_or_default().trim_ascii_start();
            let after = after.strip_prefix(b"[").unwrap_or(after).trim_ascii_start();
            names.insert(name(after).0);
        }
    }
    names
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
mod tests;
