//! Inputs and what lies below them → layers and the reason for each path.

use std::collections::BTreeSet;

use super::{
    Below, Decision, Generated, Note, PlanError, PlanOptions, Reason, Reasons, Request,
    builder::{ImageBuilder, add_parents, unreadable},
    closure::{self, Roots},
    compiled, denied, ineffective, interpreters, leftovers, libc_mismatch, links,
    merge::{self, Merged},
    package_metadata, parent, platform,
    programs::{self, Programs},
    runtime_deps::{RuntimeDeps, is_for_shell},
    split::{self, Cut},
    start, venv,
};
use crate::{
    elf::{Absence, Lookup as _, ReadFailure},
    path::ImagePath,
    source::{self, Input, InputKind, Sysroot},
    tree::{Tree, capability, resolve::destination},
    view::View,
};

/// Decides what the image holds: the inputs over each other and over what lies below them, what
/// they need from the sysroot, and the layers.
///
/// # Errors
/// [`PlanError`]; missing files are collected and reported together.
pub fn make(request: Request<'_>) -> Result<Decision, PlanError> {
    let Request { inputs, below, sysroot, source, options } = request;
    let options = &*below.under(options);
    let mut closed: Vec<_> = inputs.iter().flat_map(|input| input.closed.iter().cloned()).collect();
    let leftovers = leftovers::notes(&inputs)?;
    let places = inputs.iter().filter_map(place).collect();
    let Merged { mut tree, mut reasons, kinds, names } = merge::merge(inputs, below.tree)?;
    add_parents(&mut tree, below.tree, &mut reasons, source.mtime);
    let view = View::new(&tree, sysroot, source).over(below.tree);
    let relocations = venv::relocations(&tree, &reasons, &view)?;
    closed.extend(view.denied());
    let mut relocated = relocations.apply(&mut tree);
    let view = View::new(&tree, sysroot, source).over(below.tree);
    let mut builder = ImageBuilder {
        view: &view,
        inputs: &tree,
        added: Tree::new(),
        reasons,
        mtime: source.mtime,
    };
    let named = take_named(&kinds, options, &mut builder)?;
    if options.dependencies {
        links::take(&tree, &kinds, &mut builder)?;
        venv::take_originals(&tree, &mut builder)?;
    }
    let mut found = find_programs(&builder)?;
    let given = below.platform.as_ref().or(options.platform.as_ref());
    let (platform, mut notes) =
        platform::decide(&mut found, &named, given, &options.fallback_platform)?;
    notes.append(&mut relocated);
    notes.extend(found.app_images.iter().map(programs::app_image_note));
    notes.extend(libc_mismatch::take_out(&mut found, &named, &view)?);
    if options.strict && !notes.is_empty() {
        return Err(PlanError::Foreign(notes.into_iter().map(|note| note.text).collect()));
    }
    let mut variables = Vec::new();
    if options.dependencies {
        let commands = kinds.iter().filter_map(InputKind::command).cloned().collect::<Vec<_>>();
        let taken = take_needed(&found, (&named, &commands), source, options, &mut builder);
        let in_base = matches!(sysroot, Sysroot::Tree(tree) if std::ptr::eq(tree, below.tree));
        let (more, found) = taken.map_err(|error| if in_base { error.in_base() } else { error })?;
        notes.extend(more);
        variables = found;
        compiled::take(source, &mut builder)?;
    }
    if options.dependencies && options.package_metadata {
        notes.extend(package_metadata::take(below.tree, &mut builder)?);
    }
    notes.extend(leftovers);
    notes.extend(ineffective::notes(source, options, &view)?);
    notes.extend(denied::note(closed.into_iter().chain(view.denied())));
    let ImageBuilder { added, mut reasons, .. } = builder;
    let entrypoint = start::entrypoint(&kinds, &found, &tree, &added);
    let named = start::named(&kinds);
    let cut = match options.layers.cut([&tree, &added]) {
        Cut::Small if !is_installed(&kinds, &reasons, &added, &view)? => Cut::Two,
        cut => cut,
    };
    let database = cut.packages(&added, view)?;
    tree.extend(added);
    finish(&mut tree, &mut reasons, &below, source, options)?;
    let layers = split::split(tree, &reasons, cut, (database, source.mtime))?;
    Ok(Decision {
        layers,
        reasons,
        inputs: names,
        places,
        named,
        platform,
        entrypoint,
        variables,
        notes,
    })
}

/// The programs among the inputs and what was named.
fn find_programs(builder: &ImageBuilder<'_>) -> Result<Programs, PlanError> {
    let mut found = programs::find(builder.inputs, builder.view)?;
    found.append(programs::find(&builder.added, builder.view)?);
    match found.broken.is_empty() {
        true => Ok(found),
        false => Err(PlanError::Broken(found.broken)),
    }
}

/// Whether the user named only programs that packages of the sysroot brought.
///
/// # Errors
/// [`ReadFailure`]
fn is_installed(
    kinds: &[InputKind],
    reasons: &Reasons,
    added: &Tree,
    view: &View<'_>,
) -> Result<bool, ReadFailure> {
    if kinds.iter().any(|kind| kind.command().is_none()) {
        return Ok(false);
    }
    let Some(database) = view.packages()? else { return Ok(false) };
    let files = added.iter().filter(|(_, node)| node.file().is_some());
    let mut named = files.filter(|(path, _)| matches!(reasons.get(path), Some(Reason::Listed(_))));
    Ok(named.all(|(path, _)| !database.owners(path).is_empty()))
}

/// Where an input is in the image; `None` if it has no files.
fn place(input: &Input) -> Option<ImagePath> {
    if let InputKind::File(path) | InputKind::Command(path) = &input.kind {
        return Some(path.clone());
    }
    let mut paths = input.tree.iter().map(|(path, _)| path);
    let first = paths.next()?.clone();
    paths.try_fold(first, |common, path| match path.is_within(&common) {
        true => Some(common),
        false => common.ancestors().filter(|dir| path.is_within(dir)).last(),
    })
}

/// Takes what is named by its path in the sysroot: commands and `--include`. Returns all paths that
/// the user named as single files.
fn take_named(
    kinds: &[InputKind],
    options: &PlanOptions,
    builder: &mut ImageBuilder<'_>,
) -> Result<BTreeSet<ImagePath>, PlanError> {
    let absent = |path: &ImagePath, option: &str, absence| match absence {
        Absence::Denied => unreadable(path, absence),
        Absence::Missing | Absence::Loop => {
            PlanError::NotIncluded { path: path.clone(), option: option.into() }
        }
    };
    let mut named = BTreeSet::new();
    for (number, kind) in kinds.iter().enumerate() {
        match kind {
            InputKind::File(path) => {
                named.insert(path.clone());
            }
            InputKind::Command(path) => {
                let found = builder.view.find(path.as_bytes())?;
                let found = found.map_err(|absence| absent(path, "input", absence))?;
                builder.take(&found, Reason::Listed(number))?;
                named.insert(found.path);
            }
            InputKind::Directory | InputKind::Tarball => {}
        }
    }
    for include in &options.include {
        let found = builder.view.find(include.path())?;
        let name = || ImagePath::new(include.path()).unwrap_or_else(|_| ImagePath::root());
        let found = found.map_err(|absence| absent(&name(), include.option(), absence))?;
        builder.add_path_components(&found.path, &found.links, &found.dotdot_dirs)?;
        let reason = include.reason();
        match include.is_empty_directory() {
            true => builder.add(&found.path, reason)?,
            false => builder.add_all(&found.path, &reason)?,
        }
    }
    Ok(named)
}

/// Takes interpreters, libraries and loaders. Returns notes, and the variables that rules set.
fn take_needed(
    found: &Programs,
    (named, commands): (&BTreeSet<ImagePath>, &[ImagePath]),
    source: &source::InputOptions,
    options: &PlanOptions,
    builder: &mut ImageBuilder<'_>,
) -> Result<(Vec<Note>, Vec<String>), PlanError> {
    let is_named = |path: &ImagePath| named.contains(path);
    let dirs = interpreters::path_dirs(options, &source.command_dirs);
    let both = (&dirs[..], &source.command_dirs[..]);
    let interpreters = interpreters::take(&found.scripts, both, builder, &is_named, options)?;
    let mut roots = Roots { programs: interpreters.programs, ..Roots::default() };
    for (path, object) in &found.objects {
        roots.siblings.insert(path.file_name().to_vec());
        roots.siblings.extend(object.soname.as_ref().map(|name| name.to_vec()));
        if object.is_program() { &mut roots.programs } else { &mut roots.libraries }
            .push(path.clone());
    }
    let scripts: Vec<_> = found.scripts.iter().filter(|(path, _)| is_named(path)).collect();
    let names = commands.iter().chain(scripts.iter().map(|(path, _)| path)).cloned().collect();
    let mut rules = RuntimeDeps::new(options, (found, names), (&dirs, source.jobs), builder)?;
    // A wrapper in a packed directory, which the image starts.
    let started = options.settings.program().map(str::as_bytes);
    let starts = |path: &ImagePath| !is_named(path) && started == Some(path.as_bytes());
    let wrapper = found.scripts.iter().filter(|(path, line)| starts(path) && is_for_shell(line));
    let scripts: Vec<_> = scripts.into_iter().chain(wrapper).collect();
    rules.add_scripts(&scripts, builder)?;
    let outcomes = closure::take(&roots, options, rules, builder)?;
    let missing: Vec<_> = interpreters.missing.into_iter().chain(outcomes.missing).collect();
    if !missing.is_empty() {
        return Err(PlanError::Missing(missing));
    }
    if !outcomes.faults.is_empty() {
        return Err(PlanError::Faults(outcomes.faults));
    }
    let notes = interpreters.notes.into_iter().chain(outcomes.notes).collect();
    Ok((notes, outcomes.variables))
}

/// Adds the working directory, capabilities, the parents of everything, and times.
fn finish(
    tree: &mut Tree,
    reasons: &mut Reasons,
    below: &Below<'_>,
    source: &source::InputOptions,
    options: &PlanOptions,
) -> Result<(), PlanError> {
    let get = |path: &ImagePath| tree.get(path).or_else(|| below.tree.get(path));
    let workdir = options.settings.workdir.as_deref().or(below.workdir);
    let workdir = workdir.and_then(|dir| ImagePath::new(dir).ok());
    let real = |dir: ImagePath| match destination(&dir, get) {
        Ok(resolved) => Ok(resolved.path),
        Err(why) => Err(PlanError::destination(&dir, why)),
    };
    let workdir = workdir.map(real).transpose()?;
    if let Some(dir) = workdir.filter(|dir| !dir.is_root() && get(dir).is_none()) {
        reasons.add(dir.clone(), Reason::Generated(Generated::WorkingDirectory));
        tree.insert(dir.clone(), parent(&dir, source.mtime));
    }
    for (path, value) in &options.capabilities {
        let missing = || PlanError::NoSuchFile(path.clone());
        // What a file or link of the image hides below it is not in the image.
        let real = destination(path, |path| tree.get(path).or_else(|| below.tree.get(path)));
        if !real.is_ok_and(|real| real.path == *path) {
            return Err(missing());
        }
        let below = below.tree.get(path).filter(|_| !tree.contains(path));
        if let Some(node) = below.filter(|node| node.file().is_some()) {
            tree.insert(path.clone(), node.clone());
            reasons.add(path.clone(), Reason::Included("--cap".into()));
        }
        let file = tree.get_mut(path).filter(|node| node.file().is_some()).ok_or_else(missing)?;
        file.meta.xattrs = Some(Box::new([(capability::NAME.to_vec(), value.clone())].into()));
    }
    add_parents(tree, below.tree, reasons, source.mtime);
    compiled::set_times(tree, source.mtime)?;
    Ok(())
}
