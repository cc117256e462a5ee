//! Inputs → plan.

use super::{
    Note, Plan, PlanError, PlanOptions, PlannedLayer, Reason, View,
    builder::{ImageBuilder, add_parents},
    closure::{self, Roots},
    interpreters, libc_mismatch, links, merge, parent_meta,
    programs::{self, Programs},
    runtime_deps::RuntimeDeps,
    split,
};
use crate::{
    elf::{Lookup as _, Object},
    image::{Config, History, Platform},
    path::ImagePath,
    source::{self, HostView, Input, InputKind},
    tree::{Kind, Node, Tree, capability},
};

/// Decides what the image holds: the inputs over each other, what they need from the sysroot, the
/// layers, the configuration.
///
/// # Errors
/// [`PlanError`]; missing files are collected and reported together.
pub fn make(
    mut inputs: Vec<Input>,
    host: &HostView,
    source: &source::InputOptions,
    options: &PlanOptions,
) -> Result<Plan, PlanError> {
    let (mut tree, mut reasons) = merge::merge(&mut inputs)?;
    add_parents(&mut tree, &mut reasons, source.mtime);
    let kinds: Vec<_> = inputs.iter().map(|input| input.kind.clone()).collect();
    let names = inputs.into_iter().map(|input| input.name).collect();
    let view = View::new(&tree, host, source);
    let mut builder =
        ImageBuilder { view: &view, added: Tree::new(), reasons, mtime: source.mtime };
    let named = take_named(&kinds, options, &mut builder)?;
    if options.dependencies {
        links::take(&tree, &kinds, &mut builder)?;
    }
    let mut found = programs::find(&tree, &view)?;
    found.append(programs::find(&builder.added, &view)?);
    if !found.broken.is_empty() {
        return Err(PlanError::Broken(found.broken));
    }
    let (platform, mut notes) = platform(&mut found, &named, options)?;
    notes.extend(libc_mismatch::take_out(&mut found, &named, &view)?);
    if options.strict && !notes.is_empty() {
        return Err(PlanError::Foreign(notes.into_iter().map(|note| note.text).collect()));
    }
    if options.dependencies {
        let commands = kinds.iter().filter_map(InputKind::command).cloned().collect::<Vec<_>>();
        notes.extend(take_needed(&found, (&named, &commands), source, options, &mut builder)?);
    }
    let ImageBuilder { added, reasons, .. } = builder;

    let mut config = Config::new(platform, source.mtime);
    config.entrypoint = entrypoint(&kinds, &found, &tree, &added);
    options.settings.apply(&mut config);
    let mut plan =
        Plan { layers: Vec::new(), config, reasons, inputs: names, notes, base: Tree::new() };
    let mut whole = tree;
    whole.extend(added);
    finish(&mut plan, whole, source, options)?;
    Ok(plan)
}

/// Takes what is named by its path in the sysroot: commands and `--include`. Returns all paths that
/// the user named as single files.
pub(super) fn take_named(
    kinds: &[InputKind],
    options: &PlanOptions,
    builder: &mut ImageBuilder<'_>,
) -> Result<Vec<ImagePath>, PlanError> {
    let missing = |path: &ImagePath, option: &str| PlanError::NotIncluded {
        path: path.clone(),
        option: option.into(),
    };
    let mut named = Vec::new();
    for (number, kind) in kinds.iter().enumerate() {
        match kind {
            InputKind::File(path) => named.push(path.clone()),
            InputKind::Command(path) => {
                let found =
                    builder.view.find(path.as_bytes())?.map_err(|_| missing(path, "input"))?;
                builder.take(&found, Reason::Listed(number))?;
                named.push(found.path);
            }
            InputKind::Directory | InputKind::Tarball => {}
        }
    }
    for (path, option) in &options.include {
        let found = builder.view.find(path.as_bytes())?.map_err(|_| missing(path, option))?;
        builder.add_path_components(&found.path, &found.links, &found.dotdot_dirs)?;
        builder.add_all(&found.path, &Reason::Included(option.as_str().into()))?;
    }
    Ok(named)
}

/// The platform of the programs. Objects for another one than the image's are taken out of `found`:
/// in a directory they are data, of which a note tells.
pub(super) fn platform(
    found: &mut Programs,
    named: &[ImagePath],
    options: &PlanOptions,
) -> Result<(Platform, Vec<Note>), PlanError> {
    let mut seen: Vec<(Platform, ImagePath, bool)> = Vec::new();
    for (path, object) in &found.objects {
        if let Some((architecture, variant)) = object.header.machine.oci() {
            let platform = Platform::linux(architecture, variant);
            let is_named = named.contains(path);
            match seen.iter_mut().find(|(known, ..)| *known == platform) {
                None => seen.push((platform, path.clone(), is_named)),
                Some((_, example, was_named)) if is_named && !*was_named => {
                    (*example, *was_named) = (path.clone(), true);
                }
                Some(_) => {}
            }
        }
    }
    let deciding = |only_named: bool| {
        let of = seen.iter().filter(|(_, _, is_named)| *is_named || !only_named);
        of.map(|(platform, path, _)| (platform.clone(), path.clone())).collect::<Vec<_>>()
    };
    let candidates = if deciding(true).is_empty() { deciding(false) } else { deciding(true) };
    let has = |platform: &Platform| candidates.iter().any(|(candidate, _)| candidate == platform);
    let platform = match (&options.platform, &candidates[..]) {
        (Some(platform), _) => platform.clone(),
        (None, [(platform, _)]) => platform.clone(),
        (None, []) => options.fallback_platform.clone(),
        // A directory of prebuilt modules for many machines: this one's are meant.
        (None, _) if deciding(true).is_empty() && has(&options.fallback_platform) => {
            options.fallback_platform.clone()
        }
        (None, _) => return Err(PlanError::MixedPlatforms(candidates)),
    };
    let is_ours = |object: &Object| {
        let own = object
            .header
            .machine
            .oci()
            .map(|(architecture, variant)| Platform::linux(architecture, variant));
        own.is_none_or(|own| own.architecture == platform.architecture)
    };
    let mut notes = Vec::new();
    found.objects.retain(|(path, object)| {
        let ours = is_ours(object);
        if !ours {
            let text = format!(
                "{path} is for {}, the image for {platform}: packed as data",
                object.header.machine
            );
            notes.push(Note::warning(text));
        }
        ours
    });
    Ok((platform, notes))
}

/// Takes interpreters, libraries and loaders.
pub(super) fn take_needed(
    found: &Programs,
    (named, commands): (&[ImagePath], &[ImagePath]),
    source: &source::InputOptions,
    options: &PlanOptions,
    builder: &mut ImageBuilder<'_>,
) -> Result<Vec<Note>, PlanError> {
    let is_named = |path: &ImagePath| named.contains(path);
    let interpreters =
        interpreters::take(&found.scripts, &source.command_dirs, builder, &is_named, options)?;
    let mut roots = Roots { programs: interpreters.programs, ..Roots::default() };
    for (path, object) in &found.objects {
        roots.siblings.insert(path.file_name().to_vec());
        roots.siblings.extend(object.soname.as_ref().map(|name| name.to_vec()));
        if object.is_program() { &mut roots.programs } else { &mut roots.libraries }
            .push(path.clone());
    }
    let scripts: Vec<_> = found.scripts.iter().filter(|(path, _)| is_named(path)).collect();
    let names = commands.iter().chain(scripts.iter().map(|(path, _)| path)).cloned().collect();
    let mut rules = RuntimeDeps::new(options, names, &source.command_dirs, builder)?;
    rules.add_scripts(&scripts, builder)?;
    let outcomes = closure::take(&roots, options, rules, builder)?;
    let missing: Vec<_> = interpreters.missing.into_iter().chain(outcomes.missing).collect();
    if !missing.is_empty() {
        return Err(PlanError::Missing(missing));
    }
    if !outcomes.faults.is_empty() {
        return Err(PlanError::Faults(outcomes.faults));
    }
    Ok(interpreters.notes.into_iter().chain(outcomes.notes).collect())
}

/// The one executable that the user named as a file or command.
fn entrypoint(
    kinds: &[InputKind],
    found: &Programs,
    tree: &Tree,
    added: &Tree,
) -> Option<Vec<String>> {
    let starts = |path: &ImagePath| {
        let node = tree.get(path).or_else(|| added.get(path));
        let executable =
            node.is_some_and(|node| node.file().is_some() && node.meta.mode & 0o111 != 0);
        let known = found.objects.iter().any(|(known, object)| known == path && object.can_start())
            || found.scripts.iter().any(|(script, _)| script == path);
        executable && known
    };
    let mut programs = kinds.iter().filter_map(|kind| match kind {
        InputKind::File(path) => starts(path).then_some(path),
        InputKind::Command(path) => Some(path),
        InputKind::Directory | InputKind::Tarball => None,
    });
    match (programs.next(), programs.next()) {
        (Some(path), None) => {
            String::from_utf8(path.as_bytes().to_vec()).ok().map(|path| vec![path])
        }
        _ => None,
    }
}

/// Directories that settings ask for, capabilities, parents, layers and their history.
fn finish(
    plan: &mut Plan,
    mut tree: Tree,
    source: &source::InputOptions,
    options: &PlanOptions,
) -> Result<(), PlanError> {
    let workdir = plan
        .config
        .workdir
        .as_ref()
        .and_then(|dir| merge::resolve(&tree, &ImagePath::new(dir).ok()?).ok());
    if let Some(dir) = workdir.filter(|dir| !dir.is_root() && !tree.contains(dir)) {
        plan.reasons.insert(dir.clone(), Reason::Generated("working directory".into()));
        tree.insert(
            dir.clone(),
            Node { meta: parent_meta(&dir, source.mtime), kind: Kind::Directory },
        );
    }
    for (path, value) in &options.capabilities {
        let missing = || PlanError::NoSuchFile(path.clone());
        let file = tree.get_mut(path).filter(|node| node.file().is_some()).ok_or_else(missing)?;
        file.meta.xattrs = Some(Box::new([(capability::NAME.to_vec(), value.clone())].into()));
    }
    add_parents(&mut tree, &mut plan.reasons, source.mtime);
    plan.layers = split::split(tree, &plan.reasons, options.layers);
    plan.config.history = plan.layers.iter().map(history).collect();
    Ok(())
}

/// The history says nothing of the host: the same files give the same image wherever they lie.
fn history(layer: &PlannedLayer) -> History {
    History { created_by: format!("imgb: {}", layer.name), empty_layer: false }
}
