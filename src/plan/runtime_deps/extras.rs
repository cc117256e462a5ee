//! Files that rules name → what is left out for its size: plugins whose libraries are too large,
//! and what a rule adds beyond its limit. What packages depend on stays.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    files::{self, RuleFile},
    owners::{Asked, Owners},
};
use crate::{
    elf::{self, Closure, File, Outcome, ReadFailure, Root, Tag},
    ownership::Bond,
    path::ImagePath,
    plan::builder::ImageBuilder,
    rules::{Evidence, Rule},
    view::View,
};

/// Bytes that a library may add, with all that it needs, if packages at most recommend it.
pub(super) const MAX_BYTES: u64 = 3_000_000;

/// The libraries and commands among `found` that no package of `programs`, or of the file with the
/// evidence, depends on, and that add more than [`MAX_BYTES`] with what they need: each with these
/// bytes.
///
/// # Errors
/// [`ReadFailure`]
pub(super) fn heavy(
    rule: &Rule,
    found: &[RuleFile<'_>],
    (owners, programs): (&mut Owners<'_>, &[ImagePath]),
    search: &elf::LoaderOptions,
    builder: &ImageBuilder<'_>,
) -> Result<BTreeMap<ImagePath, u64>, ReadFailure> {
    let is_object = |one: &&RuleFile<'_>| {
        let is_library = memchr::memmem::find(one.path.file_name(), b".so").is_some();
        // What the table names is not in doubt.
        let is_listed = || rule.files.iter().any(|file| file.as_bytes() == one.named.pattern);
        let is_command = one.is_named && one.node.meta.mode & 0o111 != 0 && !is_listed();
        (is_library || is_command) && one.node.file().is_some()
    };
    let mut roots = Vec::new();
    for one in found.iter().filter(is_object).filter(|one| !builder.has(&one.path)) {
        let Some(by) = &one.named.by else { continue };
        // Of the directories that a library names, no package says whether it needs what is there.
        let is_of_library =
            matches!(*one.named.evidence, Evidence::Owned(_, None)) && !programs.contains(by);
        let is_asked_for = match owners.asked(by, programs, &one.path, builder.view)? {
            Asked::For(tie) => tie.bond != Bond::Recommends,
            Asked::Unknown => !is_of_library,
            Asked::Listed | Asked::No => false,
        };
        if !is_asked_for {
            roots.push(Root { path: one.path.clone() });
        }
    }
    let mut heavy = BTreeMap::new();
    let closure = elf::closure(&roots, search, builder.view)?;
    for program in &closure.programs {
        let all: BTreeSet<usize> = program.file.iter().chain(&program.loads).copied().collect();
        let mut bytes = 0;
        for file in all.into_iter().filter_map(|index| closure.files.get(index)) {
            if !builder.has(&file.path) {
                bytes += size(file, builder.view)?;
            }
        }
        let file = program.file.and_then(|index| closure.files.get(index));
        if let Some(file) = file.filter(|_| bytes > MAX_BYTES) {
            heavy.insert(file.path.clone(), bytes);
        }
    }
    Ok(heavy)
}

/// Bytes of the library of this number in `found` and of all that it needs, as far as they are not
/// in `closure`.
///
/// # Errors
/// [`ReadFailure`]
pub(super) fn new_bytes(
    (found, library): (&Closure, usize),
    closure: &Closure,
    view: &View<'_>,
) -> Result<u64, ReadFailure> {
    let known: BTreeSet<&ImagePath> = closure.files.iter().map(|file| &file.path).collect();
    let edges = || found.programs.iter().flat_map(|program| &program.edges);
    let (mut seen, mut left, mut bytes) = (BTreeSet::from([library]), vec![library], 0);
    while let Some(index) = left.pop() {
        let Some(file) = found.files.get(index) else { continue };
        if known.contains(&file.path) {
            continue;
        }
        bytes += size(file, view)?;
        for edge in edges().filter(|edge| edge.requester == index && edge.tag != Tag::Opened) {
            if let Outcome::Found(next, _) | Outcome::Same(next, ..) = edge.outcome
                && seen.insert(next)
            {
                left.push(next);
            }
        }
    }
    Ok(bytes)
}

/// Bytes of a file of the closure.
///
/// # Errors
/// [`ReadFailure`]
pub(super) fn size(file: &File, view: &View<'_>) -> Result<u64, ReadFailure> {
    let node = view.node(&file.path)?.ok().flatten();
    Ok(node.and_then(|node| node.file().map(|file| file.len)).unwrap_or_default())
}

/// Removes from `found` what packages own that none of `scripts` asks for, and directories without
/// files.
///
/// # Errors
/// [`ReadFailure`]
pub(super) fn leave_unasked(
    found: &mut Vec<RuleFile<'_>>,
    scripts: &[ImagePath],
    owners: &mut Owners<'_>,
    builder: &ImageBuilder<'_>,
) -> Result<(), ReadFailure> {
    let mut kept = BTreeSet::new();
    for one in found.iter().filter(|one| !one.node.is_directory()) {
        if owners.asked_by_scripts(scripts, &one.path, builder.view)? != Asked::No {
            kept.insert(one.path.clone());
        }
    }
    let parents: BTreeSet<ImagePath> = kept.iter().flat_map(ImagePath::ancestors).collect();
    found.retain(|one| kept.contains(&one.path) || parents.contains(&one.path));
    Ok(())
}

/// The part of `found`, of a rule whose files are too large, that is added nevertheless: what the
/// packages of `programs`, or of the file with the evidence, depend on. Of the rest, each piece of
/// evidence adds its files if they fit in `left` bytes, in order.
///
/// # Errors
/// [`ReadFailure`]
pub(super) fn core<'f>(
    found: Vec<RuleFile<'f>>,
    (rule, mut left): (&Rule, u64),
    (owners, programs): (&mut Owners<'_>, &[ImagePath]),
    builder: &ImageBuilder<'_>,
) -> Result<Vec<RuleFile<'f>>, ReadFailure> {
    let (mut core, mut rest) = (Vec::new(), BTreeMap::<&[u8], Vec<_>>::new());
    let mut order = Vec::new();
    let (directories, found): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|one| one.node.is_directory());
    for one in found {
        let asked = match &one.named.by {
            // Those of a generic rule are all of such packages.
            Some(by) if !rule.generic => owners.asked(by, programs, &one.path, builder.view)?,
            _ => Asked::Unknown,
        };
        if matches!(&asked, Asked::For(tie) if tie.bond != Bond::Recommends) {
            core.push(one);
            continue;
        }
        let pattern = &*one.named.pattern;
        let files = rest.entry(pattern).or_default();
        if files.is_empty() {
            order.push(pattern);
        }
        files.push(one);
    }
    left = left.saturating_sub(files::size(&core, builder));
    for files in order.iter().filter_map(|pattern| rest.remove(pattern)) {
        let bytes = files::size(&files, builder);
        if bytes <= left {
            left -= bytes;
            core.extend(files);
        }
    }
    let parents: BTreeSet<ImagePath> = core.iter().flat_map(|one| one.path.ancestors()).collect();
    core.extend(directories.into_iter().filter(|one| parents.contains(&one.path)));
    Ok(core)
}
