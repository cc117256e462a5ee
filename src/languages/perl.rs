//! The source of a Perl program or module → the modules that it may load. Pure.
//!
//! This does not parse the language. It finds every name that has the form of a module's, wherever
//! it stands in the code; the caller drops those that are not installed.

use std::collections::{BTreeSet, VecDeque};

use super::Perl;

/// Names of one source.
const MAX_NAMES: usize = 5000;
/// Bytes of a path in quotes.
const MAX_PATH: usize = 200;

/// What one source may load. Paths are relative to the directories of modules.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Files: `File/Spec.pm`, `unicore/Name.pl`.
    pub files: BTreeSet<Vec<u8>>,
    /// Directories, below which the source completes the names of modules: `Math/BigInt` for
    /// `"Math::BigInt::$name"`.
    pub directories: BTreeSet<Vec<u8>>,
}

/// What the source `text` may load.
pub fn loaded(text: &[u8], language: &Perl) -> Loaded {
    let mut out = Loaded::default();
    let mut lists = false;
    for line in code(text) {
        lists |= language.lists.iter().any(|word| has(line, word));
        out.names(line, lists, language);
        out.paths(line, language);
        for implied in &language.implied {
            if implied.signs.iter().any(|sign| has(line, sign)) {
                let modules = implied.modules.iter();
                out.files.extend(modules.map(|name| file(name.as_bytes(), language)));
            }
        }
        lists &= !line.contains(&b';');
    }
    out
}

/// The file of the module `name`, relative to a directory of modules.
pub fn file(name: &[u8], language: &Perl) -> Vec<u8> {
    [&path(name)[..], language.source.as_bytes()].concat()
}

impl Loaded {
    /// Adds the modules that `line` names: after `use` and the like, with `::` in them, and each
    /// word if `lists`.
    fn names(&mut self, line: &[u8], lists: bool, language: &Perl) {
        let mut loads = false;
        let mut at = 0;
        while let Some(found) = line.get(at..).and_then(|rest| rest.iter().position(starts_name)) {
            let start = at + found;
            loads &= line.get(at..start).is_some_and(|gap| gap.iter().all(|b| b" \t(".contains(b)));
            let rest = line.get(start..).unwrap_or_default();
            let name = rest.get(..length(rest)).unwrap_or_default();
            at = start + name.len();
            // A variable, or part of a number or a longer word.
            let before = start.checked_sub(1).and_then(|at| line.get(at));
            let is_part = before.is_some_and(|b| b.is_ascii_alphanumeric() || b"$@".contains(b));
            // `perl -MFile::Find`
            let option = name.strip_prefix(b"M").or_else(|| name.strip_prefix(b"m"));
            if let Some(module) = option.filter(|it| before == Some(&b'-') && !it.is_empty()) {
                self.name(module, true, language);
            }
            let is_load = language.imports.iter().any(|word| word.trim().as_bytes() == name);
            if !is_part && self.files.len() + self.directories.len() < MAX_NAMES {
                self.name(name, loads || lists, language);
            }
            loads = is_load && rest.get(name.len()).is_some_and(|b| b" \t(".contains(b));
        }
    }

    fn name(&mut self, name: &[u8], is_module: bool, language: &Perl) {
        if let Some(prefix) = name.strip_suffix(b"::") {
            self.directories.insert(path(prefix));
            return;
        }
        let parent = memchr::memmem::rfind(name, b"::").and_then(|end| name.get(..end));
        if is_module || parent.is_some() {
            self.files.insert(file(name, language));
        }
        // The last part may be a function: `POSIX::floor`.
        self.files.extend(parent.map(|parent| file(parent, language)));
    }

    /// Adds the quoted paths of sources in `line`: `require "unicore/Name.pl"`.
    fn paths(&mut self, line: &[u8], language: &Perl) {
        for ending in &language.endings {
            for at in memchr::memmem::find_iter(line, ending.as_bytes()) {
                let (before, after) = line.split_at(at);
                let in_path = |b: &&u8| b.is_ascii_alphanumeric() || b"_/.-".contains(b);
                let len = before.iter().rev().take(MAX_PATH).take_while(in_path).count();
                let stem = before.get(at - len..).unwrap_or_default();
                let is_quoted = after.get(ending.len()).is_some_and(|b| b"\"'".contains(b));
                if is_quoted && len > 0 && self.files.len() < MAX_NAMES {
                    self.files.insert([stem, ending.as_bytes()].concat());
                }
            }
        }
    }
}

/// The lines of `text` that are neither documentation (perlpod) nor comments, up to its end. Those
/// of here-documents are among them.
fn code(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut is_pod, mut is_over) = (false, false);
    let mut ends: VecDeque<&[u8]> = VecDeque::new();
    text.split(|&b| b == b'\n').filter(move |&line| {
        if is_over {
            return false;
        }
        // In a here-document, nothing is documentation or the end of the code.
        if let Some(end) = ends.front() {
            if line.trim_ascii() == *end {
                ends.pop_front();
            }
            return true;
        }
        if line.first() == Some(&b'=') && line.get(1).is_some_and(u8::is_ascii_alphabetic) {
            is_pod = !line.starts_with(b"=cut");
            return false;
        }
        is_over = !is_pod && line.trim_ascii() == b"__END__";
        let is_code = !is_pod && !is_over && !line.trim_ascii_start().starts_with(b"#");
        if is_code {
            ends.extend(here_documents(line));
        }
        is_code
    })
}

/// What ends the here-documents that begin in `line` (perlop). If one is none (`1 <<SHIFT`), more
/// of the text counts as code.
fn here_documents(line: &[u8]) -> Vec<&[u8]> {
    let end = |at: usize| {
        let before = at.checked_sub(1).and_then(|at| line.get(at));
        if before.is_some_and(|b| b.is_ascii_alphanumeric() || b")]}<".contains(b)) {
            return None;
        }
        let rest = line.get(at + 2..)?;
        let rest = rest.strip_prefix(b"~").unwrap_or(rest);
        let quote = rest.first().filter(|b| b"\"'".contains(b));
        let word = if quote.is_some() { rest.get(1..)? } else { rest };
        let letters = word.iter().take_while(|b| match quote {
            Some(quote) => *b != quote,
            None => b.is_ascii_alphanumeric() || **b == b'_',
        });
        word.get(..letters.count()).filter(|end| end.first().is_some_and(starts_name))
    };
    memchr::memmem::find_iter(line, b"<<").filter_map(end).collect()
}

fn has(line: &[u8], word: &str) -> bool {
    memchr::memmem::find(line, word.as_bytes()).is_some()
}

fn path(name: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some(at) = memchr::memmem::find(rest, b"::") {
        out.extend(rest.get(..at).unwrap_or_default());
        out.push(b'/');
        rest = rest.get(at + 2..).unwrap_or_default();
    }
    out.extend(rest);
    out
}

fn starts_name(b: &u8) -> bool {
    b.is_ascii_alphabetic() || *b == b'_'
}

/// Bytes of the name at the start of `text`, with a final `::` if nothing follows it.
fn length(text: &[u8]) -> usize {
    let mut len = 0;
    loop {
        let rest = text.get(len..).unwrap_or_default();
        let word = rest.iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count();
        len += word;
        if word == 0 || !rest.get(word..).unwrap_or_default().starts_with(b"::") {
            return len;
        }
        len += 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::languages::Languages;

    #[track_caller]
    fn check(text: &str, files: &str, directories: &str) {
        let found = loaded(text.as_bytes(), &Languages::builtin().perl);
        let texts = |set: &BTreeSet<Vec<u8>>| {
            set.iter().map(|name| String::from_utf8_lossy(name)).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(texts(&found.files), files, "{text}");
        assert_eq!(texts(&found.directories), directories, "{text}");
    }

    #[test]
    fn names_of_modules() {
        check("use strict; use File::Temp qw(tempfile);", "File.pm File/Temp.pm strict.pm", "");
        check("require Foo; require(Bar) if $x; no Baz;", "Bar.pm Baz.pm Foo.pm", "");
        check("  eval { require JSON::PP; 1 } or die", "JSON.pm JSON/PP.pm", "");
        check("my $x = POSIX::floor(1); $y::z = 2; usefoo Bar;", "POSIX.pm POSIX/floor.pm", "");
        let list = "@ISA = qw(NDBM_File\n  SDBM_File);\n my $word = Other;";
        check(list, "NDBM_File.pm SDBM_File.pm qw.pm", "");
        check("use parent -norequire, 'A', 'B';", "A.pm B.pm norequire.pm parent.pm use.pm", "");
        check("exec $^X, '-MPod::Man', '-e', 1;", "MPod.pm MPod/Man.pm Pod.pm Pod/Man.pm", "");
        check("use if 1, 'Benchmark';", "Benchmark.pm if.pm use.pm", "");
        check("my $m = \"Math::BigInt::$lib\"; my $n = 'A::' . $x", "", "A Math/BigInt");
    }

    #[test]
    fn paths_and_what_the_interpreter_loads() {
        check("do \"unicore/Name.pl\"; require 'a-b.ph'; x.pl", "a-b.ph unicore/Name.pl", "");
        check("print \"\\N{GREEK SMALL LETTER ALPHA}\"", "_charnames.pm", "");
        check("open my $f, '<:encoding(UTF-8)', $x", "Encode.pm PerlIO/encoding.pm", "");
    }

    #[test]
    fn documentation_and_comments_load_nothing() {
        check("=head1 A\n\nuse A;\n\n=cut\n\nuse B;\n # use C\n__END__\nuse D", "B.pm", "");
        check("print <<'E';\n=head1 A\n__END__\nE\nrequire Foo;", "Foo.pm", "");
        check("=pod\n\n  __END__\n\n=cut\n\nuse B;", "B.pm", "");
        check("\u{ff}\0::::\n::a::", "", "a");
    }
}
