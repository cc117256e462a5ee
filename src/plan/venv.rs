//! Python virtual environments: their scripts name the interpreter by the path that the
//! environment was made at. In the image they name the packed one.

use std::collections::BTreeSet;

use super::{Note, PlanError, Reason, Reasons, builder::ImageBuilder};
use crate::{
    elf::{Absence, Lookup as _, ReadFailure, script},
    languages::Languages,
    path::ImagePath,
    tree::{Content, FileNode, Kind, Node, Tree},
    view::View,
};

/// Bytes of a script that are rewritten.
const MAX_SCRIPT: u64 = 1 << 20;
/// Bytes of a compiled module's header (`importlib._bootstrap_external`).
const BYTECODE_HEADER: usize = 16;

/// What becomes of the files of environments that were made at another path.
#[derive(Debug, Default)]
pub(super) struct Relocations {
    /// Files with other content.
    rewritten: Vec<(ImagePath, Node)>,
    /// Compiled modules. They hold the old path, and Python does not take them anyway: they were
    /// made for sources with other times.
    stale: Vec<ImagePath>,
    /// Environments.
    environments: Vec<ImagePath>,
}

impl Relocations {
    /// Carries them out. Returns notes on what was done.
    pub(super) fn apply(self, tree: &mut Tree) -> Vec<Note> {
        for path in &self.stale {
            tree.remove(path);
        }
        for (path, node) in self.rewritten {
            tree.insert(path, node);
        }
        let note = |path: &ImagePath| {
            Note::hint(
                format!("the environment {path} was made elsewhere: its scripts now name {path}"),
                "its compiled modules are left out, as they are for the old path".into(),
            )
        };
        self.environments.iter().map(note).collect()
    }
}

/// Finds the environments that the inputs bring and what names the paths that they were made at.
///
/// # Errors
/// [`ReadFailure`]
pub(super) fn relocations(
    tree: &Tree,
    reasons: &Reasons,
    view: &View<'_>,
) -> Result<Relocations, ReadFailure> {
    let mark = Languages::builtin().python.environment.as_bytes();
    let mut out = Relocations::default();
    for (path, node) in tree {
        let is_listed = || matches!(reasons.get(path), Some(Reason::Listed(_)));
        if path.file_name() == mark
            && let Some(file) = node.file().filter(|_| is_listed())
            && let Some(root) = path.parent()
        {
            relocate(tree, &root, (path, file), view, &mut out)?;
        }
    }
    Ok(out)
}

/// Rewrites what in the environment `root` names another place of it.
fn relocate(
    tree: &Tree,
    root: &ImagePath,
    (config, config_file): (&ImagePath, &FileNode),
    view: &View<'_>,
    out: &mut Relocations,
) -> Result<(), ReadFailure> {
    let Ok(bin) = root.join("bin") else { return Ok(()) };
    let mut texts = vec![(config, text(config_file, view)?)];
    for (path, node) in tree.below(&bin) {
        if let Some(file) = node.file().filter(|_| path.parent().as_ref() == Some(&bin)) {
            texts.push((path, text(file, view)?));
        }
    }
    let mut old = BTreeSet::new();
    let on_host = match &config_file.content {
        Content::Host(host) => host.path.dir().to_str(),
        _ => None,
    };
    old.extend(on_host.and_then(|dir| ImagePath::new(dir).ok()));
    for text in texts.iter().filter_map(|(_, text)| text.as_ref()) {
        old.extend(made_at(text, &bin, old.first(), view)?);
    }
    old.remove(root);
    if old.iter().any(ImagePath::is_root) {
        return Ok(());
    }
    let before = out.rewritten.len();
    for (path, text) in texts {
        let Some(text) = text else { continue };
        // The longest first, since one may lie in another.
        let new = old.iter().rev().fold(text.clone(), |text, old| replace(&text, old, root));
        if let Some(node) = tree.get(path).filter(|_| new != text) {
            let meta = node.meta.clone();
            out.rewritten.push((path.clone(), Node { meta, ..Node::inline(0, new) }));
        }
    }
    if out.rewritten.len() > before {
        out.environments.push(root.clone());
        out.stale.extend(stale(tree, root, view)?);
    }
    Ok(())
}

/// The content of a text file; `None` for other files.
fn text(file: &FileNode, view: &View<'_>) -> Result<Option<Vec<u8>>, ReadFailure> {
    if file.len > MAX_SCRIPT {
        return Ok(None);
    }
    let text = view.head(file, MAX_SCRIPT as usize)?.ok();
    Ok(text.filter(|text| memchr::memchr(0, text).is_none()))
}

/// Where the environment of a script was made, by its first lines: where its interpreter should be,
/// if nothing is there, it is `on_host`, or it is an environment that is not in the image and of
/// which this one is a copy; and if the environment's own `bin` has the interpreter.
fn made_at(
    text: &[u8],
    bin: &ImagePath,
    on_host: Option<&ImagePath>,
    view: &View<'_>,
) -> Result<Option<ImagePath>, ReadFailure> {
    // pip writes `#!/bin/sh` and `'''exec' INTERPRETER "$0" "$@"` where the path is too long.
    let long = text.split(|&b| b == b'\n').nth(1).and_then(|line| line.strip_prefix(b"'''exec' "));
    let interpreter = match (long, script::shebang(text)) {
        (Some(line), _) => {
            // A path with spaces is in quotation marks.
            let (line, end) = match line.strip_prefix(b"\"") {
                Some(line) => (line, b'"'),
                None => (line, b' '),
            };
            line.split(|&b| b == end).next().unwrap_or_default().to_vec()
        }
        (None, Some(line)) => line.interpreter,
        (None, None) => return Ok(None),
    };
    let Some(interpreter) = ImagePath::new(&interpreter).ok() else { return Ok(None) };
    let is_python =
        interpreter.file_name().starts_with(Languages::builtin().python.interpreter.as_bytes());
    let dir = interpreter.parent().filter(|dir| is_python && dir.file_name() == b"bin");
    let Some(place) = dir.and_then(|dir| dir.parent()) else { return Ok(None) };
    let own = bin.join(interpreter.file_name());
    if !own.is_ok_and(|own| view.is_own(&own)) {
        return Ok(None);
    }
    Ok(match view.resolve(place.as_bytes())? {
        Ok(real) if Some(&real.path) == on_host => Some(place),
        Ok(real) => is_foreign(&real.path, view)?.then_some(place),
        Err(absence) => (absence == Absence::Missing).then_some(place),
    })
}

/// Whether the directory is an environment that the image does not have.
fn is_foreign(dir: &ImagePath, view: &View<'_>) -> Result<bool, ReadFailure> {
    let Ok(config) = dir.join(&Languages::builtin().python.environment) else { return Ok(false) };
    Ok(!view.is_own(&config) && view.find(config.as_bytes())?.is_ok())
}

/// Takes the interpreters that packed environments were made from, where an environment has a copy
/// of its interpreter: the copy finds the standard library near the original, in the directory that
/// `home` of the configuration names (`site.py`).
///
/// # Errors
/// [`PlanError`]
pub(super) fn take_originals(tree: &Tree, builder: &mut ImageBuilder<'_>) -> Result<(), PlanError> {
    let python = &Languages::builtin().python;
    for (path, node) in tree {
        let is_listed = matches!(builder.reasons.get(path), Some(Reason::Listed(_)));
        let (true, Some(file), Some(root)) = (
            is_listed && path.file_name() == python.environment.as_bytes(),
            node.file(),
            path.parent(),
        ) else {
            continue;
        };
        let (Some(text), Ok(bin)) = (text(file, builder.view)?, root.join("bin")) else { continue };
        let Some(home) = home(&text) else { continue };
        for (copy, node) in tree.below(&bin) {
            let name = copy.file_name();
            let is_copy = node.file().is_some() && name.starts_with(python.interpreter.as_bytes());
            let Some(original) = home.join(name).ok().filter(|_| is_copy) else { continue };
            if let Ok(found) = builder.view.find(original.as_bytes())? {
                builder.take(&found, Reason::Interpreter(copy.clone()))?;
                break;
            }
        }
    }
    Ok(())
}

/// What the configuration of an environment says under `home`.
fn home(text: &[u8]) -> Option<ImagePath> {
    let text = std::str::from_utf8(text).ok()?;
    let mut pairs = text.lines().filter_map(|line| line.split_once('='));
    let (_, home) = pairs.find(|(key, _)| key.trim() == "home")?;
    ImagePath::new(home.trim()).ok()
}

/// `text` with the directory `new` for `old`, where the whole name stands.
fn replace(text: &[u8], old: &ImagePath, new: &ImagePath) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = memchr::memmem::find(rest, old.as_bytes()) {
        let (before, from) = rest.split_at(at);
        let after = from.get(old.as_bytes().len()..).unwrap_or_default();
        let in_name = |b: &u8| b.is_ascii_alphanumeric() || b"._-+@~".contains(b);
        let is_whole = !after.first().is_some_and(in_name)
            && !before.last().is_some_and(|b| in_name(b) || *b == b'/');
        out.extend_from_slice(before);
        out.extend_from_slice(if is_whole { new.as_bytes() } else { old.as_bytes() });
        rest = after;
    }
    out.extend_from_slice(rest);
    out
}

/// The compiled modules that Python checks against the time of their source (PEP 552).
fn stale(tree: &Tree, root: &ImagePath, view: &View<'_>) -> Result<Vec<ImagePath>, ReadFailure> {
    let mut out = Vec::new();
    for (path, node) in tree.below(root) {
        let Kind::File(file) = &node.kind else { continue };
        if Languages::builtin().source(path.as_bytes()).is_none() {
            continue;
        }
        let head = view.head(file, BYTECODE_HEADER)?.unwrap_or_default();
        if head.get(4..8) == Some(&[0; 4]) {
            out.push(path.clone());
        }
    }
    Ok(out)
}

/// The virtual environment that an interpreter belongs to, if the image does not have it.
///
/// # Errors
/// [`ReadFailure`]
pub(super) fn unpacked(
    interpreter: &ImagePath,
    builder: &ImageBuilder<'_>,
) -> Result<Option<ImagePath>, ReadFailure> {
    let mark = &Languages::builtin().python.environment;
    let Some(root) = interpreter.parent().and_then(|bin| bin.parent()) else { return Ok(None) };
    let Ok(config) = root.join(mark) else { return Ok(None) };
    Ok(match builder.view.find(config.as_bytes())? {
        Ok(found) if !builder.has(&found.path) => Some(root),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_names_are_replaced() {
        let (old, new) = (ImagePath::new("/a/v").unwrap(), ImagePath::new("/venv").unwrap());
        let replaced = |text: &str| replace(text.as_bytes(), &old, &new);
        assert_eq!(replaced("#!/a/v/bin/python\n\"/a/v\""), b"#!/venv/bin/python\n\"/venv\"");
        assert_eq!(replaced("/a/v2 /b/a/v /a/v.x x/a/v"), b"/a/v2 /b/a/v /a/v.x x/a/v");
    }
}
