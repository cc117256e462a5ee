//! The line of a script or of its configuration by which it leads to a path.

use super::why::Edge;
use crate::{
    elf::{Lookup as _, ReadFailure},
    path::{ImagePath, unescape},
    rules::mentioned,
    tree::Tree,
    view::View,
};

/// Bytes of a text that are read.
const MAX_TEXT: usize = 1 << 20;
/// Characters of a line that are kept.
const MAX_LINE: usize = 80;
/// Directories that a path is looked for by: real paths have fewer.
const MAX_DIRS: usize = 16;

/// A line of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptLine {
    /// Counted from 1.
    pub number: usize,
    /// Its beginning, without blanks around it. Bytes that are not UTF-8 are replaced.
    pub text: String,
}

/// How a text may call a path.
#[derive(Clone, Copy)]
enum Form {
    /// By the whole path.
    Path,
    /// By its name, after a slash.
    Last,
    /// By a directory that it is in, with a pattern or a variable.
    Directory,
    /// By a word.
    Word,
}

/// The texts of an image.
#[derive(Debug)]
pub struct Scripts<'t> {
    view: View<'t>,
    /// The text of the cause that was asked for last.
    last: Option<(ImagePath, Vec<u8>)>,
}

impl<'t> Scripts<'t> {
    /// Those of the image whose whole file system is `tree`.
    pub fn of(tree: &'t Tree) -> Self {
        Self { view: View::of_tree(tree), last: None }
    }

    /// The line of the text that `reason` of `path` comes from; `None` if its cause is not a text,
    /// or has no such line: a name may be put together.
    ///
    /// # Errors
    /// [`ReadFailure`] if the text cannot be read.
    pub fn line<R: Edge>(
        &mut self,
        path: &ImagePath,
        reason: &R,
    ) -> Result<Option<ScriptLine>, ReadFailure> {
        let Some(cause) = reason.cause() else { return Ok(None) };
        let wanted = match (reason.kind(), reason.rule()) {
            ("interpreter", _) => vec![(b"#!".to_vec(), Form::Word)],
            ("named", _) => names(path),
            (_, Some((_, evidence))) => {
                let word = mentioned(&evidence).and_then(unescape);
                let form = |word: &[u8]| match word.starts_with(b"/") {
                    true => Form::Path,
                    false => Form::Word,
                };
                word.map(|word| (word.clone(), form(&word))).into_iter().collect()
            }
            _ => return Ok(None),
        };
        let text = self.text(cause)?;
        Ok(wanted.iter().find_map(|(word, form)| line_with(text, word, *form)))
    }

    /// The beginning of the file `path`; empty if it is not a file.
    fn text(&mut self, path: &ImagePath) -> Result<&[u8], ReadFailure> {
        if self.last.as_ref().is_none_or(|(last, _)| last != path) {
            let found = self.view.find(path.as_bytes())?.ok();
            let file = found.filter(|found| found.is_file());
            let text = match file {
                Some(file) => self.view.read(&file, MAX_TEXT)?.unwrap_or_default(),
                None => Vec::new(),
            };
            self.last = Some((path.clone(), text));
        }
        Ok(self.last.as_ref().map_or(&[], |(_, text)| text))
    }
}

/// What a text may call `path`, the clearest first: its path, its name, directories that it is in.
fn names(path: &ImagePath) -> Vec<(Vec<u8>, Form)> {
    let dirs = std::iter::successors(path.parent(), ImagePath::parent);
    let dirs = dirs.take_while(|dir| !dir.is_root()).take(MAX_DIRS);
    let dirs = dirs.map(|dir| (dir.as_bytes().to_vec(), Form::Directory));
    let (whole, name) = (path.as_bytes().to_vec(), path.file_name().to_vec());
    let clear = [(whole, Form::Path), (name.clone(), Form::Last)];
    clear.into_iter().chain(dirs).chain([(name, Form::Word)]).collect()
}

/// The first line of `text` that has `word` in that form, comments without. `#!` is that of the
/// interpreter.
fn line_with(text: &[u8], word: &[u8], form: Form) -> Option<ScriptLine> {
    if word.is_empty() || text.contains(&0) {
        return None;
    }
    let lines = text.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii).zip(1..);
    let has = |line: &[u8]| match word {
        b"#!" => line.starts_with(word),
        _ => !line.starts_with(b"#") && has_word(line, word, form),
    };
    let (line, number) = lines.into_iter().find(|(line, _)| has(line))?;
    let text = String::from_utf8_lossy(line).chars().take(MAX_LINE).collect();
    Some(ScriptLine { number, text })
}

fn has_word(line: &[u8], word: &[u8], form: Form) -> bool {
    let is_part = |byte: Option<&u8>| {
        byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(byte))
    };
    memchr::memmem::find_iter(line, word).any(|at| {
        let before = at.checked_sub(1).and_then(|at| line.get(at));
        let after = line.get(at + word.len()..).unwrap_or_default();
        // `/etc/a` is not in `/usr/etc/a`.
        let in_path = is_part(before) || before.is_some_and(|byte| b"./".contains(byte));
        let ends = !is_part(word.last()) || !is_part(after.first());
        // `/etc/a` is not `/etc/a.conf`, but may end a sentence.
        let has_suffix = matches!(after, [b'.', next, ..] if is_part(Some(next)));
        let is_inner = matches!(after, [b'/', next, ..] if is_part(Some(next)) || *next == b'.');
        ends && match form {
            Form::Path => !in_path && !has_suffix,
            Form::Last => before == Some(&b'/') && !has_suffix,
            Form::Directory => !in_path && !has_suffix && !is_inner,
            Form::Word => !is_part(word.first()) || !is_part(before),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{plan::Reason, tree::Node};

    fn path(text: &str) -> ImagePath {
        ImagePath::new(text).unwrap()
    }

    #[test]
    fn lines_have_whole_words_and_are_not_comments() {
        let text = b"#!/bin/sh\n# curl\nlibcurl curl-config\n  if curl -fsS x; then\n";
        let line_with = |text: &[u8], word: &[u8]| super::line_with(text, word, Form::Word);
        let found = line_with(text, b"curl").unwrap();
        assert_eq!((found.number, &*found.text), (4, "if curl -fsS x; then"));
        assert_eq!(line_with(text, b"#!").unwrap().number, 1);
        assert_eq!(line_with(text, b"wget"), None);
        assert_eq!(line_with(b"a\0curl", b"curl"), None);
        let long = line_with(&[b"curl ", &[b'x'; 200][..]].concat(), b"curl").unwrap();
        assert_eq!(long.text.len(), MAX_LINE);
        // As it is: printable, whoever prints it.
        let found = line_with(b"curl\t'a\\.b' \xff", b"curl").unwrap();
        assert_eq!(found.text, "curl\t'a\\.b' \u{fffd}");
    }

    #[test]
    fn a_path_is_named_by_itself_its_name_or_its_directory() {
        let script = "#!/bin/sh\nfor f in /init.d/*.sh; do . $f; done\n. ./lib.sh\n";
        let tree = Tree::from_iter([(path("/entry"), Node::inline(0o755, script.as_bytes()))]);
        let mut scripts = Scripts::of(&tree);
        let mut line = |of: &str, reason: Reason| {
            scripts.line(&path(of), &reason).unwrap().map(|found| found.number)
        };
        let named = || Reason::Named(path("/entry"));
        assert_eq!(line("/init.d/10.sh", named()), Some(2));
        assert_eq!(line("/opt/lib.sh", named()), Some(3));
        assert_eq!(line("/other", named()), None);
        assert_eq!(line("/bin/sh", Reason::Interpreter(path("/entry"))), Some(1));
        assert_eq!(line("/x", Reason::Named(path("/gone"))), None);
        assert_eq!(line("/x", Reason::Listed(0)), None);
    }

    #[test]
    fn a_path_is_not_a_part_of_another() {
        let script = "cat /usr/local/etc/a.conf\nsleep 10\ncat /etc/a.conf\n. /init.d/*\n\
                      cd /opt/b\ncat /etc/app.conf\ncat /etc/app\n";
        let tree = Tree::from_iter([(path("/s"), Node::inline(0o755, script.as_bytes()))]);
        let mut scripts = Scripts::of(&tree);
        let mut line = |of: &str| {
            let found = scripts.line(&path(of), &Reason::Named(path("/s"))).unwrap();
            found.map(|found| found.number)
        };
        assert_eq!(line("/etc/a.conf"), Some(3));
        assert_eq!(line("/init.d/10"), Some(4));
        assert_eq!(line("/opt/x"), None);
        assert_eq!(line("/etc/app"), Some(7));
    }

    /// Anybody may write reasons and attach them.
    #[test]
    fn few_directories_of_a_path_are_looked_for() {
        let deep = path(&"/d".repeat(1000));
        assert_eq!(names(&deep).len(), MAX_DIRS + 3);
        let tree = Tree::from_iter([(path("/s"), Node::inline(0o755, *b"cat x"))]);
        let mut scripts = Scripts::of(&tree);
        for _ in 0..2 {
            assert_eq!(scripts.line(&deep, &Reason::Named(path("/s"))).unwrap(), None);
            assert_eq!(scripts.last, Some((path("/s"), b"cat x".to_vec())));
        }
    }
}
