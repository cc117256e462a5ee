//! A rule's patterns → the files of the view that they match.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    elf::{Absence, Lookup as _, ReadFailure},
    machine_files,
    path::{
        ImagePath,
        glob::{Glob, has_wildcard},
    },
    plan::builder::ImageBuilder,
    rules::{Evidence, NamedBy, Rule, Table},
    tree::{Kind, Node, Resolved},
};

/// Paths that one rule may add.
const MAX_PATHS: usize = 200_000;
/// Depth of directories, including links to directories.
const MAX_DEPTH: usize = 64;

/// A path that a rule names, and its node.
#[derive(Clone, Debug)]
pub(super) struct RuleFile<'f> {
    /// What names it.
    pub(super) named: &'f NamedBy,
    pub(super) path: ImagePath,
    pub(super) node: Node,
    /// Whether the rule names it, and not a directory above it.
    pub(super) is_named: bool,
    /// The links and directories on the way, as in [`crate::elf::Found`].
    pub(super) links: Vec<ImagePath>,
    pub(super) dotdot_dirs: Vec<ImagePath>,
}

/// Everything that `files` name, directories with all below them. Files that are not readable by
/// everybody are left out: a rule never adds a secret. Those that belong to a program's own package
/// are added to `private`.
///
/// # Errors
/// [`ReadFailure`]
pub(super) fn find<'f>(
    files: &[&'f NamedBy],
    rule: &Rule,
    table: &Table,
    (builder, private): (&ImageBuilder<'_>, &mut BTreeSet<ImagePath>),
) -> Result<Vec<RuleFile<'f>>, ReadFailure> {
    let (seen, out) = Default::default();
    let mut finder = Finder { rule, table, builder, private, seen, out };
    let mut files = files.to_vec();
    // A file that is mentioned by its name stays if the directory around it is too large.
    if rule.match_limit.is_some() {
        files.sort_by_key(|file| {
            std::cmp::Reverse(memchr::memchr_iter(b'/', &file.pattern).count())
        });
    }
    for file in files {
        for path in expand(&file.pattern, builder)? {
            finder.take(&path, file, &mut Vec::new())?;
        }
    }
    Ok(finder.out)
}

/// Whether one of `files` exists.
///
/// # Errors
/// [`ReadFailure`]
pub(super) fn any(files: &[NamedBy], builder: &ImageBuilder<'_>) -> Result<bool, ReadFailure> {
    for file in files {
        if !expand(&file.pattern, builder)?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether one of `files` is in the image.
///
/// # Errors
/// [`ReadFailure`]
pub(super) fn any_taken(
    files: &[NamedBy],
    builder: &ImageBuilder<'_>,
) -> Result<bool, ReadFailure> {
    for file in files {
        for path in expand(&file.pattern, builder)? {
            if builder.view.resolve(path.as_bytes())?.is_ok_and(|found| builder.has(&found.path)) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// The paths outside the image that `files` lead to, without the contents of directories, each with
/// the first file that names it ([`NamedBy::by`]).
///
/// # Errors
/// [`ReadFailure`]
pub(super) fn exist<'f>(
    files: &'f [NamedBy],
    rule: &Rule,
    table: &Table,
    builder: &ImageBuilder<'_>,
) -> Result<BTreeMap<ImagePath, Option<&'f ImagePath>>, ReadFailure> {
    let mut out = BTreeMap::new();
    for file in files {
        for path in expand(&file.pattern, builder)? {
            let Ok(resolved) = builder.view.resolve(path.as_bytes())? else { continue };
            let excludes = |path: &ImagePath| table.excludes(rule, path);
            let excluded = excludes(&resolved.path) || excludes(&path);
            let unwanted = excluded
                || builder.has(&resolved.path)
                || (rule.files_only && resolved.is_directory);
            if !unwanted {
                out.entry(path).or_insert(file.by.as_ref());
            }
        }
    }
    Ok(out)
}

/// Bytes of the files among `found` that are not in the image, each inode once.
pub(super) fn size(found: &[RuleFile<'_>], builder: &ImageBuilder<'_>) -> u64 {
    let mut inodes = BTreeSet::new();
    let files =
        found.iter().filter(|one| !builder.has(&one.path)).filter_map(|one| one.node.file());
    let new = files.filter(|file| inodes.insert(file.content.identity()));
    new.map(|file| file.len).sum()
}

/// The patterns whose files among `found` have more than `limit` bytes that are not in the image,
/// each with the number of bytes.
pub(super) fn larger<'f>(
    found: &[RuleFile<'f>],
    limit: u64,
    builder: &ImageBuilder<'_>,
) -> BTreeMap<&'f Vec<u8>, u64> {
    let mut of: BTreeMap<&Vec<u8>, Vec<RuleFile<'f>>> = BTreeMap::new();
    for one in found {
        of.entry(&one.named.pattern).or_default().push(one.clone());
    }
    let sizes = of.into_iter().map(|(pattern, found)| (pattern, size(&found, builder)));
    sizes.filter(|(_, bytes)| *bytes > limit).collect()
}

struct Finder<'a, 'g, 'f> {
    rule: &'a Rule,
    table: &'a Table,
    builder: &'a ImageBuilder<'g>,
    private: &'a mut BTreeSet<ImagePath>,
    seen: BTreeSet<ImagePath>,
    out: Vec<RuleFile<'f>>,
}

impl<'f> Finder<'_, '_, 'f> {
    /// Takes what `path` leads to, and all below it.
    fn take(
        &mut self,
        path: &ImagePath,
        named: &'f NamedBy,
        above: &mut Vec<ImagePath>,
    ) -> Result<(), ReadFailure> {
        if above.len() > MAX_DEPTH || self.out.len() > MAX_PATHS {
            return Ok(());
        }
        let view = self.builder.view;
        let Ok(resolved) = view.resolve(path.as_bytes())? else { return Ok(()) };
        let Resolved { path: real, links, dotdot_dirs, is_directory, .. } = resolved;
        let (table, rule) = (self.table, self.rule);
        if is_directory && rule.files_only {
            return Ok(());
        }
        let is_named = above.is_empty();
        let as_named = match is_named {
            true => table.excludes(rule, path),
            // The directory was found not to be excluded.
            false => table.excludes_entry(rule, path),
        };
        if as_named || (real != *path && table.excludes(rule, &real)) {
            return Ok(());
        }
        if !self.seen.insert(real.clone()) {
            // Another way to a path that was taken: its links are needed too.
            if let Ok(Some(node)) = view.node(&real)?
                && !links.is_empty()
            {
                self.out.push(RuleFile { named, path: real, node, is_named, links, dotdot_dirs });
            }
            return Ok(());
        }
        let Ok(Some(node)) = view.node(&real)? else { return Ok(()) };
        let public = if is_directory { 0o005 } else { 0o004 };
        let plain = matches!(node.kind, Kind::File(_) | Kind::Directory);
        if !plain {
            return Ok(());
        }
        if node.meta.mode & public != public && !self.builder.has(&real) {
            // Nothing private joins the image, but it is not left out in silence.
            if matches!(&*named.evidence, Evidence::Owned(_, Some(_))) {
                self.private.insert(real.clone());
            }
            if is_directory {
                let _ = view.list(real.as_bytes())?;
            }
            return Ok(());
        }
        if rule.generic
            && (self.is_of_machine((path, &real), is_directory, above)?
                || self.is_static_library(&real)?)
        {
            return Ok(());
        }
        self.out.push(RuleFile { named, path: real.clone(), node, is_named, links, dotdot_dirs });
        if is_directory {
            above.push(real.clone());
            for name in view.list(real.as_bytes())?.unwrap_or_default() {
                let Ok(child) = real.child(&name) else { continue };
                self.take(&child, named, above)?;
            }
            above.pop();
        }
        Ok(())
    }

    /// Whether the file at the real path `path` is an archive of objects (ar(5)), which only builds
    /// of programs read.
    fn is_static_library(&self, path: &ImagePath) -> Result<bool, ReadFailure> {
        const MAGIC: [&[u8]; 2] = [b"!<arch>\n", b"!<thin>\n"];
        if !path.file_name().ends_with(b".a") {
            return Ok(false);
        }
        let view = self.builder.view;
        let Ok(found) = view.find(path.as_bytes())? else { return Ok(false) };
        let head = view.read(&found, MAGIC[0].len())?;
        Ok(head.is_ok_and(|head| MAGIC.contains(&&*head)))
    }

    /// Whether an entry of a directory that a package owns is not of the package but of the
    /// machine: a link that no package brings and that leads out of the directory, as those in
    /// `/etc/alternatives` do, or state.
    fn is_of_machine(
        &self,
        (path, real): (&ImagePath, &ImagePath),
        is_directory: bool,
        above: &[ImagePath],
    ) -> Result<bool, ReadFailure> {
        let Some(top) = above.first() else { return Ok(false) };
        let Some(database) = self.builder.view.packages()? else { return Ok(false) };
        let is_owned = |path| !database.owners(path).is_empty();
        let leads_out = path != real && !real.ancestors().any(|dir| dir == *top);
        Ok(is_owned(top)
            && ((leads_out && !is_owned(path))
                || (!is_directory && machine_files::is_state(real.as_bytes()) && !is_owned(real))))
    }
}

/// The paths that `pattern` matches, in order. Wildcards are looked up one component at a time.
///
/// # Errors
/// [`ReadFailure`]
pub(super) fn expand(
    pattern: &[u8],
    builder: &ImageBuilder<'_>,
) -> Result<Vec<ImagePath>, ReadFailure> {
    let view = builder.view;
    let mut found = vec![ImagePath::root()];
    for part in pattern.split(|&b| b == b'/').filter(|part| !part.is_empty()) {
        let mut next = Vec::new();
        for dir in &found {
            if !has_wildcard(part) {
                let name: Vec<u8> = unescape(part);
                next.extend(dir.join(name));
                continue;
            }
            let Ok(glob) = Glob::plain(part) else { continue };
            let names = view.list(dir.as_bytes())?.unwrap_or_default();
            next.extend(
                names
                    .iter()
                    .filter(|name| glob.matches(name))
                    .filter_map(|name| dir.join(name).ok()),
            );
        }
        next.truncate(MAX_PATHS);
        found = next;
    }
    let mut out = Vec::new();
    for path in found {
        if !matches!(view.resolve(path.as_bytes())?, Err(Absence::Missing)) {
            out.push(path);
        }
    }
    Ok(out)
}

/// The path that a pattern without wildcards stands for.
pub(super) fn unescape(part: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(part.len());
    let mut bytes = part.iter();
    while let Some(&byte) = bytes.next() {
        out.push(if byte == b'\\' { bytes.next().copied().unwrap_or(byte) } else { byte });
    }
    out
}
