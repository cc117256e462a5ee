//! The line of a script or of its configuration by which it leads to a path.

use std::collections::BTreeMap;

use super::why::Edge;
use crate::{
    elf::{FoundKind, Lookup as _, ReadFailure},
    path::{ImagePath, escape, unescape},
    rules::mentioned,
    tree::Tree,
    view::View,
};

/// Bytes of a text that are read.
const MAX_TEXT: usize = 1 << 20;
/// Characters of a line that are kept.
const MAX_LINE: usize = 80;

/// A line of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptLine {
    /// Counted from 1.
    pub number: usize,
    /// Its beginning, without blanks around it. Bytes that are not UTF-8 are escaped.
    pub text: String,
}

/// The texts of an image.
#[derive(Debug)]
pub struct Scripts<'t> {
    view: View<'t>,
    /// What was found for each cause and what is looked for in it.
    known: BTreeMap<(ImagePath, Vec<u8>), Option<ScriptLine>>,
}

impl<'t> Scripts<'t> {
    /// Those of the image whose whole file system is `tree`.
    pub fn of(tree: &'t Tree) -> Self {
        Self { view: View::of_tree(tree), known: BTreeMap::new() }
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
            ("interpreter", _) => vec![b"#!".to_vec()],
            ("named", _) => names(path),
            (_, Some((_, evidence))) => {
                mentioned(&evidence).and_then(unescape).into_iter().collect()
            }
            _ => Vec::new(),
        };
        for word in wanted {
            let key = (cause.clone(), word);
            if !self.known.contains_key(&key) {
                let found = self.search(cause, &key.1)?;
                self.known.insert(key.clone(), found);
            }
            if let Some(Some(found)) = self.known.get(&key) {
                return Ok(Some(found.clone()));
            }
        }
        Ok(None)
    }

    fn search(&self, cause: &ImagePath, word: &[u8]) -> Result<Option<ScriptLine>, ReadFailure> {
        let Ok(found) = self.view.find(cause.as_bytes())? else { return Ok(None) };
        let FoundKind::File(_) = found.kind else { return Ok(None) };
        let text = self.view.read(&found, MAX_TEXT)?.unwrap_or_default();
        Ok(line_with(&text, word))
    }
}

/// What a text may call `path`, the clearest first: its path, its name, directories that it is in.
fn names(path: &ImagePath) -> Vec<Vec<u8>> {
    let mut dirs: Vec<_> = path.ancestors().filter(|dir| !dir.is_root()).collect();
    dirs.sort_by_key(|dir| std::cmp::Reverse(dir.as_bytes().len()));
    let dirs = dirs.iter().map(|dir| dir.as_bytes().to_vec());
    [path.as_bytes().to_vec(), path.file_name().to_vec()].into_iter().chain(dirs).collect()
}

/// The first line of `text` that has `word` as a whole word, comments without. `#!` is that of the
/// interpreter.
fn line_with(text: &[u8], word: &[u8]) -> Option<ScriptLine> {
    if word.is_empty() || text.contains(&0) {
        return None;
    }
    let lines = text.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii).zip(1..);
    let has = |line: &[u8]| match word {
        b"#!" => line.starts_with(word),
        _ => !line.starts_with(b"#") && has_word(line, word),
    };
    let (line, number) = lines.into_iter().find(|(line, _)| has(line))?;
    let text = escape(line).chars().take(MAX_LINE).collect();
    Some(ScriptLine { number, text })
}

fn has_word(line: &[u8], word: &[u8]) -> bool {
    let is_part = |byte: Option<&u8>| {
        byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(byte))
    };
    memchr::memmem::find_iter(line, word).any(|at| {
        let before = at.checked_sub(1).and_then(|at| line.get(at));
        let (first, last) = (word.first(), word.last());
        let starts = !is_part(first) || !is_part(before);
        starts && (!is_part(last) || !is_part(line.get(at + word.len())))
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
        let found = line_with(text, b"curl").unwrap();
        assert_eq!((found.number, &*found.text), (4, "if curl -fsS x; then"));
        assert_eq!(line_with(text, b"#!").unwrap().number, 1);
        assert_eq!(line_with(text, b"wget"), None);
        assert_eq!(line_with(b"a\0curl", b"curl"), None);
        let long = line_with(&[b"curl ", &[b'x'; 200][..]].concat(), b"curl").unwrap();
        assert_eq!(long.text.len(), MAX_LINE);
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
}
