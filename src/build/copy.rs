//! COPY and ADD: files of one tree → what they change in another. Pure, except
//! that tarballs are read.
//!
//! The rules are those of Docker's classic builder (moby 20.10, `builder/dockerfile/copy.go`): a
//! directory gives its contents, a file keeps its name below a directory, a link that is named
//! stands for what it leads to, and links within a directory stay links.

use std::collections::BTreeMap;

use super::{Cause, layer_writer::LayerWriter};
use crate::{
    path::{
        ImagePath, escape,
        glob::{Glob, clean, has_wildcard},
        ignore::{Ignore, Verdict},
    },
    recipe::{
        action::{CopyFiles, CopySource},
        mode::Mode,
    },
    source,
    tree::{Kind, Node, Tree},
};

/// The parameters of a COPY.
#[derive(Debug)]
pub(super) struct Copying<'a> {
    pub(super) files: &'a CopyFiles,
    /// Where the sources are; it holds its paths' parents.
    pub(super) from: &'a Tree,
    /// Whether the sources are a directory of the host, which may hold what no image can.
    pub(super) from_context: bool,
    /// The owner of the copied files. Without one they keep theirs, which is root in a context.
    pub(super) owner: Option<(u32, u32)>,
    pub(super) options: &'a source::InputOptions,
}

/// A source that was found.
struct Found {
    /// Where it is, links followed.
    path: ImagePath,
    /// As it was named: it gives the name below a directory.
    named: ImagePath,
    /// Whether the user named this very file.
    outright: bool,
}

/// A directory on the way of `--parents`.
#[derive(Clone, Debug, Default)]
struct Walked {
    /// Whether it or one above it matches.
    matches: bool,
    /// The verdict of `--exclude`.
    verdict: Verdict,
    /// Whether the image has it already.
    placed: bool,
}

/// The result of a COPY.
#[derive(Debug, Default)]
pub(super) struct Copied {
    /// The changed files.
    pub(super) tree: Tree,
    /// Files of the context that came along without being named, by their place in the image.
    pub(super) swept: BTreeMap<ImagePath, ImagePath>,
    /// The first pattern that matches nothing, if the instruction copies nothing at all.
    pub(super) unmatched: Option<String>,
}

/// What `copying` changes in the image whose files are `stage`.
pub(super) fn copy(stage: &Tree, copying: &Copying<'_>) -> Result<Copied, Cause> {
    let files = copying.files;
    let exclude = Ignore::new(&files.exclude).map_err(|why| Cause::Exclude(why.to_string()))?;
    let mut layer = LayerWriter::new(stage, copying.owner.unwrap_or((0, 0)), copying.options.mtime);
    let mut swept = BTreeMap::new();
    let (mut lost, mut found_any) = (None, false);
    for source in &files.sources {
        match source {
            CopySource::Inline { name, content } => {
                let mut node = Node::inline(0o644, content.as_bytes());
                node.meta.mtime = copying.options.mtime;
                let target =
                    layer.file_target(&files.dest, name.as_bytes(), files.sources.len() > 1)?;
                layer.put(target, copying.dressed(node))?;
                found_any = true;
            }
            CopySource::Path(text) if files.parents => {
                match copying.with_parents(text, &exclude, &mut layer, &mut swept)? {
                    true => found_any = true,
                    false => lost = lost.or(Some(text)),
                }
            }
            CopySource::Path(text) => {
                let all = find(text, copying.from)?;
                if all.is_empty() {
                    lost = lost.or(Some(text));
                    continue;
                }
                found_any = true;
                let into = all.len() > 1 || files.sources.len() > 1;
                for found in all {
                    copying.one(&found, into, &exclude, &mut layer, &mut swept)?;
                }
            }
        }
    }
    // A pattern may match nothing, as in BuildKit: this is how Dockerfiles copy files that may be
    // missing.
    let unmatched = lost.filter(|_| !found_any).cloned();
    Ok(Copied { tree: layer.finish(), swept, unmatched })
}

/// The sources that `text` names: a path, or everything that a pattern matches, in order.
fn find(text: &str, tree: &Tree) -> Result<Vec<Found>, Cause> {
    let missing = || Cause::not_found(text);
    let cleaned = clean(text.as_bytes());
    let relative = cleaned.strip_prefix(b"/").unwrap_or(&cleaned);
    let path = |bytes: &[u8]| ImagePath::new(bytes).map_err(|_| missing());
    if !has_wildcard(relative) {
        let named = path(relative)?;
        let real = tree.resolve(named.as_bytes()).map_err(|_| missing())?.path;
        return Ok(vec![Found { path: real, named, outright: true }]);
    }
    let glob = Glob::plain(relative).map_err(|why| Cause::Pattern { pattern: text.into(), why })?;
    let matching = tree.iter().filter(|(path, _)| glob.matches(path.relative()));
    let mut found = Vec::new();
    for (named, _) in matching {
        // A dangling link is an error, like a name that does not exist.
        let lost = |_| Cause::not_found(escape(named.relative()));
        let path = tree.resolve(named.as_bytes()).map_err(lost)?.path;
        found.push(Found { path, named: named.clone(), outright: false });
    }
    Ok(found)
}

impl Copying<'_> {
    fn one(
        &self,
        found: &Found,
        into: bool,
        exclude: &Ignore,
        layer: &mut LayerWriter<'_>,
        swept: &mut BTreeMap<ImagePath, ImagePath>,
    ) -> Result<(), Cause> {
        let dest = &self.files.dest;
        match self.from.get(&found.path) {
            Some(node) if !node.is_directory() => {
                let name = found.named.file_name();
                if exclude.excludes(name) {
                    return Ok(());
                }
                if self.files.unpack
                    && let Some(file) = node.file()
                    && source::is_tarball(&escape(found.named.relative()), file)?
                {
                    let members = source::unpack(&found.named.to_string(), file, self.options)?;
                    let root = layer.directory_as(&dest.path, (0, 0))?;
                    return layer.merge(&root, members);
                }
                let target = layer.file_target(dest, name, into)?;
                if self.from_context && !found.outright {
                    swept.insert(target.clone(), found.path.clone());
                }
                self.check(&found.path, node)?;
                layer.put(target, self.dressed(node.clone()))
            }
            _ => {
                let root = layer.directory_as(&dest.path, self.owner.unwrap_or((0, 0)))?;
                if !found.outright && exclude.excludes(found.named.file_name()) {
                    return Ok(());
                }
                self.contents(&found.path, &root, exclude, layer, swept)
            }
        }
    }

    /// All below `dir` goes below `root`.
    fn contents(
        &self,
        dir: &ImagePath,
        root: &ImagePath,
        exclude: &Ignore,
        layer: &mut LayerWriter<'_>,
        swept: &mut BTreeMap<ImagePath, ImagePath>,
    ) -> Result<(), Cause> {
        let skip = if dir.is_root() { 1 } else { dir.as_bytes().len() + 1 };
        let mut verdicts: BTreeMap<ImagePath, Verdict> = BTreeMap::new();
        for (path, node) in self.from.below(dir) {
            let below = path.as_bytes().get(skip..).unwrap_or_default();
            if !exclude.is_empty() {
                let above = path
                    .parent()
                    .and_then(|parent| verdicts.get(&parent).cloned())
                    .unwrap_or_default();
                let verdict = exclude.verdict(&above, below);
                let excluded = verdict.excluded;
                if node.is_directory() {
                    verdicts.insert(path.clone(), verdict);
                }
                if excluded {
                    continue;
                }
            }
            self.check(path, node)?;
            let target = root.join(below).map_err(|_| Cause::TooLong(path.clone()))?;
            let target = layer.put_below(root, target, self.dressed(node.clone()))?;
            if self.from_context && node.file().is_some() {
                swept.insert(target, path.clone());
            }
        }
        Ok(())
    }

    /// `--parents`: copies everything that `text` matches, each file under its path after the `/./`
    /// in `text`. As in BuildKit, `**` means any number of directories, and a directory that
    /// matches is copied with everything below it. Returns whether anything matched.
    fn with_parents(
        &self,
        text: &str,
        exclude: &Ignore,
        layer: &mut LayerWriter<'_>,
        swept: &mut BTreeMap<ImagePath, ImagePath>,
    ) -> Result<bool, Cause> {
        let (pivot, pattern) = text.split_once("/./").unwrap_or(("/", text));
        let rooted = clean(&[b"/", pattern.as_bytes()].concat());
        let pattern = rooted.strip_prefix(b"/").unwrap_or(&rooted);
        let glob =
            Glob::new(pattern).map_err(|why| Cause::Pattern { pattern: text.into(), why })?;
        let dest = layer.directory(&self.files.dest.path)?;
        let mut found = false;
        for root in find(pivot, self.from)? {
            let skip = if root.path.is_root() { 1 } else { root.path.as_bytes().len() + 1 };
            let mut walked: BTreeMap<ImagePath, Walked> = BTreeMap::new();
            for (path, node) in self.from.below(&root.path) {
                let below = path.as_bytes().get(skip..).unwrap_or_default();
                let above = path
                    .parent()
                    .and_then(|parent| walked.get(&parent).cloned())
                    .unwrap_or_default();
                let matches = above.matches || pattern.is_empty() || glob.matches(below);
                let verdict = exclude.verdict(&above.verdict, below);
                let wanted = matches && !verdict.excluded;
                found |= matches;
                if node.is_directory() {
                    walked.insert(path.clone(), Walked { matches, verdict, placed: wanted });
                }
                if !wanted {
                    continue;
                }
                for dir in
                    path.ancestors().filter(|dir| *dir != root.path && dir.is_within(&root.path))
                {
                    let Some(walked) = walked.get_mut(&dir).filter(|walked| !walked.placed) else {
                        continue;
                    };
                    walked.placed = true;
                    self.place_below(&dir, skip, &dest, layer)?;
                }
                let target = self.place_below(path, skip, &dest, layer)?;
                if self.from_context && node.file().is_some() && below != pattern {
                    swept.insert(target, path.clone());
                }
            }
        }
        if found || has_wildcard(text.as_bytes()) { Ok(found) } else { Err(Cause::not_found(text)) }
    }

    /// Puts the node at `path`, without its first `skip` bytes, below the real path `dest`.
    fn place_below(
        &self,
        path: &ImagePath,
        skip: usize,
        dest: &ImagePath,
        layer: &mut LayerWriter<'_>,
    ) -> Result<ImagePath, Cause> {
        let too_long = |_| Cause::TooLong(path.clone());
        let target =
            dest.join(path.as_bytes().get(skip..).unwrap_or_default()).map_err(too_long)?;
        let Some(node) = self.from.get(path) else { return Ok(target) };
        self.check(path, node)?;
        layer.put_below(dest, target, self.dressed(node.clone()))
    }

    /// Refuses files of the context that an image cannot contain.
    fn check(&self, path: &ImagePath, node: &Node) -> Result<(), Cause> {
        if !self.from_context {
            return Ok(());
        }
        if matches!(node.kind, Kind::Special(_)) {
            return Err(Cause::Unpackable(path.clone()));
        }
        if path.file_name().starts_with(b".wh.") {
            return Err(Cause::Whiteout(path.clone()));
        }
        Ok(())
    }

    /// The node with the owner and mode that the instruction says, and the image's time.
    fn dressed(&self, mut node: Node) -> Node {
        if let Some(owner) = self.owner {
            (node.meta.uid, node.meta.gid) = owner;
        }
        if !matches!(node.kind, Kind::Symlink(_)) {
            node.meta.mode = changed(self.files.mode.as_ref(), node.meta.mode, node.is_directory());
        }
        node
    }
}

/// `mode` after what `--chmod` or `--mode` says.
pub(super) fn changed(change: Option<&Mode>, mode: u16, is_dir: bool) -> u16 {
    let changed = change.map_or(u32::from(mode), |change| change.apply(u32::from(mode), is_dir));
    (changed & 0o7777) as u16
}
