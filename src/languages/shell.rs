//! The text of a shell script → the commands it names. Pure.
//!
//! This does not parse the language. It collects words in places where a command may stand; the
//! caller drops those that are not commands. A variable stands for every constant that the text
//! assigns to it, wherever it does.

use std::collections::BTreeSet;

use super::{
    Shell,
    variables::{self, END, Variables},
};

/// Commands of one script.
const MAX_COMMANDS: usize = 1000;

/// Bytes of a command line among the constants of a program.
const MAX_LINE: usize = 200;
/// Bytes after a question in which the answer is looked for.
const MAX_CHECK: usize = 500;
/// Bytes of an option there.
const MAX_OPTION: usize = 24;
/// Bytes that one script has read again.
const MAX_EVALUATED: usize = 256 << 10;

/// What a script names.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Words where a command may stand, without those that the shell executes itself.
    pub commands: BTreeSet<Vec<u8>>,
    /// Words that stand there if variables have the values that the script assigns, and the first
    /// of the words that it makes its arguments (`set -- server "$@"`).
    pub assigned: BTreeSet<Vec<u8>>,
    /// Those of both that the script executes in its own place (`exec`).
    pub executed: BTreeSet<Vec<u8>>,
    /// Files that `.` and `source` read.
    pub sourced: BTreeSet<Vec<u8>>,
}

/// What the script `text` names. `variables` are those that scripts around it assign; the script's
/// own are added.
pub fn names(text: &[u8], language: &Shell, variables: &mut Variables) -> Names {
    let mut reader = Reader::new(language, variables);
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = reader.step(byte, after);
    }
    // A word inside an unterminated quote does not count.
    if reader.within.is_empty() {
        reader.end();
    }
    let Reader { mut names, functions, templates, .. } = reader;
    for (template, executed) in templates {
        for value in variables.expand(&template) {
            let word = value.split(u8::is_ascii_whitespace).next().unwrap_or_default();
            if !word.is_empty() && !language.builtins.contains(word) {
                names.assigned.insert(word.to_vec());
                if executed {
                    names.executed.insert(word.to_vec());
                }
            }
        }
    }
    for template in std::mem::take(&mut names.sourced) {
        names.sourced.extend(variables.expand(&template));
    }
    names.commands.retain(|name| !functions.contains(name));
    names
}

/// Whether `name` looks like the name or path of a command.
pub fn is_plain(name: &[u8]) -> bool {
    let is_plain = |b: &u8| b.is_ascii_alphanumeric() || b"._+-/".contains(b);
    name.iter().all(is_plain) && name.first().is_some_and(|b| !b"._+-".contains(b))
}

/// Whether `text`, a constant of a program, has the form of a line for a shell and not of prose: an
/// option stands after its first word (`sort -u %s`), or its output is redirected.
pub fn is_command_line(text: &[u8]) -> bool {
    let Some(mut words) = words_of_line(text) else { return false };
    words.next().is_some_and(is_option) || redirects(text)
}

/// Whether `text`, a constant of a program, may be a line for a shell or prose: a format stands
/// after its first word, and neither plain words nor signs of messages do (`mv %s %s`).
pub fn is_formatted_line(text: &[u8]) -> bool {
    let Some(words) = words_of_line(text) else { return false };
    let has_format = |word: &[u8]| memchr::memmem::find(word, b"%s").is_some();
    let is_argument = |word: &[u8]| {
        is_option(word)
            || matches!(word, b"|" | b"<" | b">" | b">>" | b"&&" | b"&" | b";")
            || (word.iter().any(|b| !b.is_ascii_alphabetic())
                && word.iter().all(|b| b.is_ascii_alphanumeric() || b"%/._+*=<>-".contains(b)))
    };
    let words: Vec<_> = words.collect();
    words.iter().any(|word| has_format(word)) && words.iter().all(|word| is_argument(word))
}

/// The words of `text` after the first, if that may be a command.
fn words_of_line(text: &[u8]) -> Option<impl Iterator<Item = &[u8]>> {
    let mut words = text.split(|&b| b == b' ').filter(|word| !word.is_empty() && *word != b"exec");
    let is_line = text.len() <= MAX_LINE
        && text.iter().all(|b| (b' '..=b'~').contains(b))
        && words.next().is_some_and(|word| is_plain(word) && !word.ends_with(b"."));
    is_line.then_some(words)
}

fn is_option(word: &[u8]) -> bool {
    word.len() <= MAX_OPTION
        && word.strip_prefix(b"-").is_some_and(|rest| {
            let name = rest.strip_prefix(b"-").unwrap_or(rest);
            name.first().is_some_and(u8::is_ascii_alphanumeric)
                && name.iter().all(|b| b.is_ascii_alphanumeric() || b"-=%/._".contains(b))
        })
}

fn redirects(text: &[u8]) -> bool {
    const REDIRECTIONS: [&[u8]; 3] = [b"2>&1", b">/dev/null", b"> /dev/null"];
    REDIRECTIONS.iter().any(|sign| memchr::memmem::find(text, sign).is_some())
}

/// Whether the script `text` asks whether there is a command or file `name`, and goes on without
/// it.
pub fn asks_for(text: &[u8], name: &[u8], language: &Shell) -> bool {
    let ends = |after: Option<&u8>| {
        after.is_none_or(|b| !b.is_ascii_alphanumeric() && !b"._-/".contains(b))
    };
    memchr::memmem::find_iter(text, name).any(|at| {
        let (before, from) = text.split_at(at);
        let before = before.strip_suffix(b"\"").unwrap_or(before);
        ends(from.get(name.len()))
            && language.asks.iter().any(|word| before.ends_with(word.as_bytes()))
            && !gives_up(before, from.get(name.len()..).unwrap_or_default(), language)
    })
}

/// Whether a script ends where what it asks for, between `before` and `after`, is not there:
/// `command -v x || exit 1`, `if ! which x; then … exit 1; fi`.
fn gives_up(before: &[u8], after: &[u8], language: &Shell) -> bool {
    let after = after.get(..after.len().min(MAX_CHECK)).unwrap_or_default();
    let line = after.get(..after.len() - line_end(after).len()).unwrap_or_default();
    let start = memchr::memrchr(b'\n', before).map_or(0, |at| at + 1);
    let condition = before.get(start..).unwrap_or_default().trim_ascii_start();
    let up_to = |text: &[u8], end: &[u8]| {
        text.get(..memchr::memmem::find(text, end).unwrap_or(text.len()))
            .unwrap_or_default()
            .to_vec()
    };
    let block = if let Some(at) = memchr::memmem::find(line, b"||") {
        let then = after.get(at + 2..).unwrap_or_default().trim_ascii_start();
        // Another command will do.
        if language.asks.iter().any(|ask| then.starts_with(ask.as_bytes())) {
            return false;
        }
        match then.strip_prefix(b"{") {
            Some(block) => up_to(block, b"}"),
            None => up_to(&up_to(then, b"\n"), b";"),
        }
    } else if condition.starts_with(b"if !") || condition.starts_with(b"if [ !") {
        [&b"else"[..], b"elif", b"fi\n", b"fi;"]
            .iter()
            .fold(after.to_vec(), |text, end| up_to(&text, end))
    } else {
        return false;
    };
    let mut words = block.split(|b| !b.is_ascii_alphanumeric() && *b != b'_');
    words.any(|word| language.gives_up.contains(word))
}

/// What a word does to the arguments of a script.
#[derive(Debug, Default)]
enum Arguments {
    /// Nothing.
    #[default]
    Keeps,
    /// They are replaced by what follows a `--`.
    Sets,
    /// It is the first of the new ones.
    First,
}

#[derive(Debug)]
struct Reader<'l> {
    language: &'l Shell,
    names: Names,
    variables: &'l mut Variables,
    functions: BTreeSet<Vec<u8>>,
    /// The word, as a template of [`variables`].
    word: Vec<u8>,
    /// Words with variables where a command may stand, and whether the script executes them in its
    /// own place.
    templates: BTreeSet<(Vec<u8>, bool)>,
    /// The command that follows takes the place of the script.
    executes: bool,
    /// The command that follows is read twice: quotes inside its words are quotes.
    evaluates: bool,
    /// Bytes in single quotes, with what is before them in their words, that may be read again.
    left_to_evaluate: usize,
    /// The word is more than text and variables.
    odd: bool,
    /// What follows may be assignments, as after `export`.
    declares: bool,
    /// The word stands where a command may.
    command: bool,
    /// The word is what `.` reads.
    source: bool,
    /// What the word does to the arguments of the script.
    arguments: Arguments,
    /// Commands that were first named since the last line or `;` began.
    fresh: Vec<Vec<u8>>,
    /// What the text is in: `"`, `` ` `` or `(`.
    within: Vec<u8>,
    /// Ends of here-documents that begin with the next line.
    documents: Vec<Vec<u8>>,
}

impl<'l> Reader<'l> {
    fn new(language: &'l Shell, variables: &'l mut Variables) -> Self {
        Self {
            language,
            names: Names::default(),
            variables,
            functions: BTreeSet::new(),
            word: Vec::new(),
            templates: BTreeSet::new(),
            executes: false,
            evaluates: false,
            left_to_evaluate: MAX_EVALUATED,
            odd: false,
            declares: false,
            command: true,
            source: false,
            arguments: Arguments::Keeps,
            fresh: Vec::new(),
            within: Vec::new(),
            documents: Vec::new(),
        }
    }

    /// Takes one byte and as many after it as belong to it; returns the rest.
    fn step<'t>(&mut self, byte: u8, after: &'t [u8]) -> &'t [u8] {
        let quoted = self.within.last() == Some(&b'"');
        match byte {
            b'\\' if self.evaluates && after.first() == Some(&b'"') => {
                return after.get(1..).unwrap_or_default();
            }
            b'\\' => {
                self.odd = true;
                return after.get(1..).unwrap_or_default();
            }
            b'$' if after.starts_with(b"((") => return skip(after, b"))"),
            b'$' if variables::own_directory(after).is_some() => {
                self.word.extend(variables::OWN_DIRECTORY);
                return after
                    .get(variables::own_directory(after).unwrap_or_default()..)
                    .unwrap_or_default();
            }
            b'$' if after.starts_with(b"(") => {
                self.open(b'(');
                return after.get(1..).unwrap_or_default();
            }
            b'$' => return self.dollar(after),
            // No shell keeps these in a word; templates have their own use for them.
            0..=END => {}
            b'`' if variables::own_directory_in_backquotes(after).is_some() => {
                self.word.extend(variables::OWN_DIRECTORY);
                let end = variables::own_directory_in_backquotes(after).unwrap_or_default();
                return after.get(end..).unwrap_or_default();
            }
            b'`' if self.within.last() == Some(&b'`') => self.close(),
            b'`' => self.open(b'`'),
            b'"' if quoted => drop(self.within.pop()),
            b'"' => self.within.push(b'"'),
            _ if quoted => self.word.push(byte),
            b'\'' => {
                let end = memchr::memchr(b'\'', after).unwrap_or(after.len());
                let inside = after.get(..end).unwrap_or_default();
                let len = self.word.len() + inside.len();
                if self.evaluates && self.left_to_evaluate >= len {
                    self.left_to_evaluate -= len;
                    self.evaluate(inside);
                }
                self.word.extend(inside);
                return after.get(end + 1..).unwrap_or_default();
            }
            _ => return self.plain(byte, after),
        }
        after
    }

    /// Takes what stands in quotes after `eval`, and what begins the word, as text of the script.
    fn evaluate(&mut self, quoted: &[u8]) {
        let text = [&self.word, quoted].concat();
        let found = names(&text, self.language, self.variables);
        self.names.commands.extend(found.commands);
        self.names.assigned.extend(found.assigned);
        self.names.executed.extend(found.executed);
        self.names.sourced.extend(found.sourced);
        // The word itself is none.
        self.odd = true;
    }

    /// Takes what follows a dollar sign.
    fn dollar<'t>(&mut self, after: &'t [u8]) -> &'t [u8] {
        let (template, rest) = variables::parameter(after);
        if let Some((name, value)) = variables::default_assignment(after) {
            self.variables.assign(name, value);
        }
        match template {
            Some(template) => self.word.extend(template),
            None => self.odd = true,
        }
        rest
    }

    /// Takes a byte that stands in no quotes and begins none.
    fn plain<'t>(&mut self, byte: u8, after: &'t [u8]) -> &'t [u8] {
        match byte {
            b'#' if self.word.is_empty() => return line_end(after),
            b'<' if after.starts_with(b"<") && !after.starts_with(b"<<") => {
                return self.document(after);
            }
            b'\n' => {
                self.separate();
                self.fresh.clear();
                return self.documents.drain(..).fold(after, skip_document);
            }
            b' ' | b'\t' => self.end(),
            b'|' => self.separate(),
            b';' | b'&' => {
                self.separate();
                self.fresh.clear();
            }
            // A function.
            b'(' if after.trim_ascii_start().starts_with(b")") => {
                self.end();
                self.functions.extend(self.fresh.pop());
                self.command = true;
                return skip(after, b")");
            }
            b'(' => self.open(b'('),
            b')' if self.within.last() == Some(&b'(') => self.close(),
            // A pattern of `case`.
            b')' => {
                self.word.clear();
                for alternative in self.fresh.drain(..) {
                    self.names.commands.remove(&alternative);
                }
                self.separate();
            }
            b'<' | b'>' => {
                if self.word.iter().all(u8::is_ascii_digit) {
                    self.word.clear();
                }
                self.end();
                // The next word is a file.
                self.odd = true;
                return after.strip_prefix(b"&").unwrap_or(after);
            }
            _ => self.word.push(byte),
        }
        after
    }

    fn open(&mut self, what: u8) {
        self.odd |= !self.word.is_empty();
        self.end();
        self.within.push(what);
        self.command = true;
    }

    fn close(&mut self) {
        self.end();
        self.within.pop();
        (self.odd, self.command) = (true, false);
    }

    fn separate(&mut self) {
        self.end();
        self.declares = false;
        self.executes = false;
        self.evaluates = false;
        self.command = true;
        self.source = false;
        self.arguments = Arguments::Keeps;
    }

    /// The end of a word.
    fn end(&mut self) {
        let word = std::mem::take(&mut self.word);
        let odd = std::mem::take(&mut self.odd);
        if word.is_empty() {
            self.command &= !odd;
            if odd {
                self.arguments = Arguments::Keeps;
            }
            return;
        }
        let word = &word[..];
        if std::mem::take(&mut self.source) && !odd {
            self.names.sourced.insert(word.into());
        }
        match std::mem::take(&mut self.arguments) {
            Arguments::Keeps => {}
            Arguments::Sets => {
                self.arguments = if word == b"--" { Arguments::First } else { Arguments::Sets };
            }
            Arguments::First if odd || variables::is_template(word) => {}
            // It ends in `exec "$@"`.
            Arguments::First => {
                self.names.assigned.insert(word.into());
                self.names.executed.insert(word.into());
            }
        }
        if (self.command || self.declares)
            && let Some((name, value)) = variables::assignment(word)
        {
            if !odd {
                self.variables.assign(name, value);
            }
            return;
        }
        if !self.command || (self.language.before_commands.contains(word) && !odd) {
            self.executes |= self.command && word == self.language.replaces.as_bytes();
            self.evaluates |= self.command && word == self.language.evaluates.as_bytes();
            return;
        }
        self.source = self.language.source.contains(word) && !odd;
        if word == self.language.sets.as_bytes() && !odd {
            self.arguments = Arguments::Sets;
        }
        self.declares = self.language.declares.contains(word) && !odd;
        self.command = self.language.starters.contains(word);
        let wanted = !odd
            && !self.language.builtins.contains(word)
            && self.names.commands.len() + self.templates.len() < MAX_COMMANDS;
        if !wanted {
            return;
        }
        if variables::is_template(word) {
            self.templates.insert((word.into(), self.executes));
            return;
        }
        if self.executes {
            self.names.executed.insert(word.into());
        }
        if self.names.commands.insert(word.into()) {
            self.fresh.push(word.into());
        }
    }

    /// `<<` and the word that ends the document.
    fn document<'t>(&mut self, after: &'t [u8]) -> &'t [u8] {
        let rest = after.get(1..).unwrap_or_default();
        let rest = rest.strip_prefix(b"-").unwrap_or(rest).trim_ascii_start();
        let end = rest.iter().position(|b| b" \t\n;&|)<>".contains(b)).unwrap_or(rest.len());
        let (word, rest) = rest.split_at(end);
        self.documents.push(word.iter().copied().filter(|b| !b"'\"\\".contains(b)).collect());
        rest
    }
}

fn line_end(text: &[u8]) -> &[u8] {
    text.get(memchr::memchr(b'\n', text).unwrap_or(text.len())..).unwrap_or_default()
}

fn skip<'t>(text: &'t [u8], until: &[u8]) -> &'t [u8] {
    let end = memchr::memmem::find(text, until).map_or(text.len(), |at| at + until.len());
    text.get(end..).unwrap_or_default()
}

fn skip_document(text: &[u8], end: Vec<u8>) -> &[u8] {
    let mut rest = text;
    while !rest.is_empty() {
        let below = line_end(rest);
        let line = rest.get(..rest.len() - below.len()).unwrap_or_default();
        rest = below.get(1..).unwrap_or_default();
        if line.trim_ascii_start() == end {
            break;
        }
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::languages::Languages;

    #[track_caller]
    fn check(script: &str, wanted: &str) {
        let mut variables = Variables::default();
        let found = names(script.as_bytes(), &Languages::builtin().shell, &mut variables);
        let found = &found.commands | &found.assigned;
        let found: Vec<_> = found.iter().map(|name| String::from_utf8_lossy(name)).collect();
        assert_eq!(found.join(" "), wanted, "{script}");
    }

    #[test]
    fn words_where_a_command_may_stand() {
        check(
            "#!/bin/sh\nset -e; mkdir -p /x && chown a /x | tee y # comment rm\n",
            "chown mkdir tee",
        );
        check("if grep -q x y; then A=1 B=$C exec gosu x \"$@\"; else ! id; fi", "gosu grep id");
        check("for x in a b; do cat \"$x\" >out; done <in", "cat");
        check(
            "a=$(basename \"$0\" | sed -e 's/-/ ls/'); b=`dirname x`; echo \"$(uname -s) rm\"",
            "basename dirname sed uname",
        );
        check("case $x in start|stop) run ;; *) date ;; esac", "date run");
        check("f() { wc; }\nf; g", "g wc");
        check("cat <<EOF\nrm -rf\nEOF\nls <<-'X'\n\tcp\n\tX\nmv", "cat ls mv");
        check("'quoted' x; \"$var\" y; ${z:-a b} q; $((1 + 2)); \\rm", "a quoted");
        check(
            "env A=1 nice python3 x; exec 3>&1; [ -d x ] || /usr/bin/install x",
            "/usr/bin/install env nice python3",
        );
        check("A=/usr/lib/x; B=$A/bin\nexec $B/y \"$A\"", "/usr/lib/x/bin/y");
        check(
            "f() { \"${SED}\" s; }\nexport SED=/bin/sed GREP='grep -E'; $GREP x",
            "/bin/sed grep",
        );
        check(
            "if x; then J=a; else J=b; fi; ${J:-c} | $(uname) | $1 | ${J%y} | $Z",
            "a b c uname x",
        );
        check("A=$(pwd)/x; $A/y; B=$B; $B; C=echo; $C z; D=a$D; $D", "");
        check("M=mk\nif eval $2='$(${M} -d \"x\")'; then eval 'exec perl -x'; fi", "mk perl");
        check("eval A='b c'; echo 'd e'; eval \"$x\" && f", "c f");
        check("echo 'never\nends", "");
        check("$( ` \" ( ) } ", "");
        // One word of many pieces is not read again for each.
        check(&["eval ", &"'x '".repeat(100_000)].concat(), "x");
    }

    #[test]
    fn what_takes_the_place_of_the_script() {
        let executed = |text: &str| {
            let mut variables = Variables::default();
            variables.set_own_directory(b"/opt/x/bin");
            let names = names(text.as_bytes(), &Languages::builtin().shell, &mut variables);
            let names: Vec<_> =
                names.executed.iter().map(|name| String::from_utf8_lossy(name)).collect();
            names.join(" ")
        };
        assert_eq!(executed("a; exec b \"$@\"; c; A=/d; exec $A x"), "/d b");
        assert_eq!(executed(": ${D=/usr/share/q}; exec $D/add"), "/usr/share/q/add");
        assert_eq!(executed("A=/d/e; eval exec \"\\\"$A\\\"\" \"\\\"$B\\\"\" x"), "/d/e");
        assert_eq!(executed("exec >log; a"), "");
        assert_eq!(executed("set -- a/b \"$@\"; set -e; set -- -x; set -- \"$@\" y"), "-x a/b");
        assert_eq!(
            executed("case $1 in x|*.y) set -- serve \"$@\" ;; esac; set -o -- z"),
            "serve z"
        );
        for dir in
            ["$(dirname \"$0\")", "`dirname $0`", "${0%/*}", "$(cd \"$(dirname \"$0\")\" && pwd)"]
        {
            assert_eq!(
                executed(&format!("H={dir}\nexec \"$H/../y\" x")),
                "/opt/x/bin/../y",
                "{dir}"
            );
        }
    }

    #[test]
    fn lines_for_a_shell() {
        for line in ["sort -u %s > %s", "/bin/x --all", "cat %s >/dev/null", "A -1", "exec cc -g"] {
            assert!(is_command_line(line.as_bytes()), "{line}");
        }
        let long = format!("sort -u {}", "x".repeat(200));
        for text in
            ["sort", "sort order", "-u sort", "less - more", "two -- three", "a -b\n", &long]
        {
            assert!(!is_command_line(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn lines_that_formats_complete() {
        for line in ["mv %s %s", "rm %s/*", "exec cp %s x.y", "sort %s > %s"] {
            assert!(is_formatted_line(line.as_bytes()), "{line}");
        }
        for text in [
            "mv",
            "mv a b",
            "file %s not found",
            "write failed: %s",
            "unlink \"%s\": %s",
            "expand ${%s} -> '%s'",
            "cut: %s",
            "%s %s",
            "sort %d",
            "mv %s\n",
        ] {
            assert!(!is_formatted_line(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn what_a_script_asks_for() {
        let text = b"command -v foo && foo; [ -x \"/bin/x\" ]; type foobar; which x-y\n\
            command -v a >/dev/null || exit 1\n[ -x /b ] || { echo no b; exit; }\n\
            if ! which c >&2; then\n  die c\nfi\nif ! which d; then\n  echo d\nfi; exit\n\
            which e || echo none; exit\ncommand -v f || exit 1\ncommand -v f && f";
        let asks = |name: &str| asks_for(text, name.as_bytes(), &Languages::builtin().shell);
        assert!(asks("foo") && asks("/bin/x") && asks("x-y"));
        assert!(!asks("x") && !asks("bar") && !asks("/bin"));
        assert!(asks("d") && asks("e") && asks("f"));
        assert!(!asks("a") && !asks("/b") && !asks("c"));
    }

    #[test]
    fn files_that_are_read() {
        let text = b". git-sh-setup\nsource \"./x\" && . $Y; . $Z\nY=/y";
        let shell = &Languages::builtin().shell;
        let found = names(text, shell, &mut Variables::default());
        let wanted = [b"git-sh-setup".to_vec(), b"./x".to_vec(), b"/y".to_vec()];
        assert_eq!(found.sourced, wanted.into());
    }
}
