//! PACK: words → programs, and what they add to the stage.

use std::{io, os::unix::ffi::OsStrExt as _, path::PathBuf};

use super::{BuildOptions, Cause, OpenSysroot, layer_writer::LayerWriter, stage::Stage, suggest};
use crate::{
    elf::Absence,
    path::{ImagePath, glob::clean},
    plan::{self, Below, Decision, Settings},
    recipe::action::{Dest, Pack, Soft},
    rules,
    source::{self, Input, InputKind, InputOptions, Search, SourceError, Sysroot},
    tree::{Node, Tree},
};

/// What `pack` adds to `stage`.
pub(super) fn pack(
    pack: &Pack,
    stage: &Stage,
    (context, open): (&Tree, &OpenSysroot),
    options: &BuildOptions,
) -> Result<Decision, Cause> {
    let sysroot = open.files(&stage.tree);
    let source = &*open.options(&options.source, &stage.config.env);
    let inputs = pack
        .programs
        .iter()
        .map(|word| input(word, pack, stage, (context, sysroot), (source, options)))
        .collect::<Result<Vec<_>, _>>()?;
    let own = &options.plan;
    let library_path: Vec<Vec<u8>> = pack
        .library_path
        .iter()
        .flat_map(|dirs| dirs.split(':').filter(|dir| !dir.is_empty()))
        .map(|dir| absolute(&options.context, dir).as_os_str().as_bytes().to_vec())
        .chain(own.library_path.iter().cloned())
        .collect();
    let plan = plan::PlanOptions {
        dependencies: true,
        rules: rule_set(pack.soft, &own.rules),
        package_metadata: own.package_metadata,
        strict: false,
        include: Vec::new(),
        allow_missing: own.allow_missing.clone(),
        library_path,
        hwcaps_all: own.hwcaps_all,
        layers: stage.cut(),
        platform: None,
        fallback_platform: stage.config.platform.clone(),
        settings: Settings::default(),
        capabilities: Vec::new(),
    };
    let below = Below {
        tree: &stage.tree,
        platform: stage.platform_known.then(|| stage.config.platform.clone()),
        env: &stage.config.env,
        user: stage.config.user.as_deref(),
        // WORKDIR makes its directory itself.
        workdir: None,
    };
    Ok(plan::make(plan::Request { inputs, below, sysroot, source, options: &plan })?)
}

/// The usual choice among the rules, or what `--soft` says.
fn rule_set(wanted: Option<Soft>, usual: &plan::RuleSet) -> plan::RuleSet {
    let mut soft = usual.clone();
    match wanted {
        None => {}
        Some(Soft::None) => soft.choice.soft = rules::Soft::None,
        Some(Soft::Auto) => soft.choice.soft = rules::Soft::Auto,
        Some(Soft::All) => soft.choice.soft = rules::Soft::All,
    }
    soft
}

/// A path of the sysroot as it is; a relative one is the context's.
fn absolute(context: &std::path::Path, dir: &str) -> PathBuf {
    let dir = context.join(dir);
    std::path::absolute(&dir).unwrap_or(dir)
}

/// One program: a file of the context, or else a command or path of the sysroot.
fn input(
    word: &str,
    pack: &Pack,
    stage: &Stage,
    (context, sysroot): (&Tree, Sysroot<'_>),
    (source, options): (&InputOptions, &BuildOptions),
) -> Result<Input, Cause> {
    let cleaned = clean(word.as_bytes());
    let own = |named: &ImagePath| context.find(named.as_bytes()).ok().and_then(|(_, node)| node);
    let named = ImagePath::new(&cleaned);
    let is_directory = named.as_ref().ok().and_then(own).is_some_and(Node::is_directory);
    let missing = |closed: &[ImagePath]| {
        let mut cause = Cause::not_found(word);
        if let (Cause::NotFound { hint, .. }, false) = (&mut cause, closed.is_empty()) {
            let dirs: Vec<String> = closed.iter().map(ToString::to_string).collect();
            *hint = Some(format!("permission denied, not searched: {}", dirs.join(", ")));
        }
        if let (Cause::NotFound { hint: hint @ None, .. }, true) = (&mut cause, is_directory) {
            *hint = Some("it is a directory: PACK takes programs, COPY takes directories".into());
        }
        suggest::explain(&mut cause, context, Some((&options.context, &options.ignore)));
        if let Cause::NotFound { hint: hint @ None, .. } = &mut cause
            && !word.contains('/')
        {
            let near = source::similar_command(word, sysroot, source);
            *hint = near.map(|near| format!("did you mean `{near}`?"));
        }
        cause
    };
    let named = named.map_err(|_| missing(&[]))?;
    if let Some(node) = own(&named).filter(|node| node.file().is_some()) {
        return placed(word, named.file_name(), node.clone(), pack, stage);
    }
    let Search { found, closed } = if word.starts_with('/') {
        Search { found: Some(named), closed: Vec::new() }
    } else if word.contains('/') {
        Search::default()
    } else {
        source::command(word.as_bytes(), sysroot, source)?
    };
    let path = found.ok_or_else(|| missing(&closed))?;
    let gone = |absence| match absence {
        Absence::Denied => {
            let source = io::Error::other(absence.to_string());
            SourceError::Unreadable { path: path.to_string().into(), source }.into()
        }
        Absence::Missing | Absence::Loop => missing(&[]),
    };
    let real = sysroot.resolve(path.as_bytes())?.map_err(gone)?.path;
    let stays = |dest: &Dest| match dest.is_dir {
        true => dest.path.join(path.file_name()).is_ok_and(|dest| dest == path),
        false => dest.path == path,
    };
    if pack.dest.as_ref().is_none_or(stays) {
        let input = Input::new(word, Tree::new(), InputKind::Command(path));
        return Ok(Input { closed, ..input });
    }
    let node = sysroot.node(&real)?.map_err(gone)?;
    let mut node = node.filter(|node| node.file().is_some()).ok_or_else(|| missing(&[]))?;
    node.meta = source.meta(node.meta.mode.into(), false);
    let input = placed(word, path.file_name(), node, pack, stage)?;
    Ok(Input { closed, ..input })
}

/// A file at PACK's destination, or in the root if it has none.
fn placed(word: &str, name: &[u8], node: Node, pack: &Pack, stage: &Stage) -> Result<Input, Cause> {
    let mut layer = LayerWriter::new(&stage.tree, (0, 0), stage.mtime);
    let root = Dest { path: ImagePath::root(), is_dir: true };
    let dest = pack.dest.as_ref().unwrap_or(&root);
    let path = layer.file_target(dest, name, pack.programs.len() > 1)?;
    layer.put(path.clone(), node)?;
    Ok(Input::new(word, layer.finish(), InputKind::File(path)))
}
