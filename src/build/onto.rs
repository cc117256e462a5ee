//! Inputs on top of an image: `pack --base`.

use std::collections::BTreeMap;

use super::{
    BuildError, Built, Cause,
    base::{self, BaseContext},
    overlay::Overlay,
    stage::Stage,
};
use crate::{
    path::ImagePath,
    plan::{self, Reasons},
    source::{HostView, Input, InputKind},
    tree::{Change, Kind, Node, Tree, resolve::destination},
};

/// Decides what `inputs` add to the image that `name` calls: they go through its links, and what
/// they need is taken from it where it has it.
///
/// # Errors
/// [`BuildError::Base`]
pub fn onto(
    name: &str,
    inputs: Vec<Input>,
    host: &HostView,
    base_context: &BaseContext<'_>,
) -> Result<Built, BuildError> {
    inner(name, inputs, host, base_context)
        .map_err(|cause| BuildError::Base { name: name.into(), cause: Box::new(cause) })
}

fn inner(
    name: &str,
    inputs: Vec<Input>,
    host: &HostView,
    base_context: &BaseContext<'_>,
) -> Result<Built, Cause> {
    let mut stage = base::open(name, None, base_context)?;
    let names = inputs.iter().map(|input| input.name.clone()).collect();
    let mut whole = stage.tree.clone();
    let mut placed = Vec::new();
    for input in inputs {
        let input = place(input, &whole, &stage)?;
        whole.apply(Change { tree: input.tree.clone(), ..Change::default() });
        placed.push(input);
    }
    let entrypoint = entrypoint(&placed, &whole);
    // The image's own variables count as those of `--env` do, which go before.
    let env = stage.config.env.iter().chain(&base_context.plan.settings.env).cloned().collect();
    let options = plan::PlanOptions {
        platform: Some(stage.config.platform.clone()),
        settings: plan::Settings { env, ..base_context.plan.settings.clone() },
        ..base_context.plan.clone()
    };
    let addition = plan::within(placed, &stage.tree, host, base_context.source, &options)?;
    for layer in addition.layers {
        stage.add(&format!("imgb: {}", layer.name), layer.tree);
    }
    if let Some(path) = entrypoint {
        (stage.config.entrypoint, stage.config.cmd) = (Some(vec![path]), None);
    }
    base_context.plan.settings.apply(&mut stage.config);
    if let Some(dir) = stage.config.workdir.clone().and_then(|dir| ImagePath::new(dir).ok()) {
        let mut overlay = Overlay::new(&stage.tree, (0, 0), stage.mtime);
        overlay.directory(&dir)?;
        let made = overlay.finish();
        if !made.is_empty() {
            stage.add("imgb: working directory", made);
        }
    }
    capabilities(&mut stage, &base_context.plan.capabilities)?;
    let plan = plan::Plan {
        layers: stage.layers,
        config: stage.config,
        reasons: Reasons::new(),
        inputs: names,
        notes: addition.notes,
        base: stage.base_tree,
    };
    Ok(Built { plan, base: stage.base, annotations: BTreeMap::new(), notices: Vec::new() })
}

/// The input where it really goes: through the links of `whole`.
fn place(input: Input, whole: &Tree, stage: &Stage) -> Result<Input, Cause> {
    let mut overlay = Overlay::new(whole, (0, 0), stage.mtime);
    let mut kind = input.kind;
    for (path, node) in input.tree {
        // A directory over a link to one, `bin/` over `/bin -> usr/bin`, is that directory.
        let is_link = matches!(whole.get(&path).map(|old| &old.kind), Some(Kind::Symlink(_)));
        if is_link && node.is_directory() {
            let real = destination(&path, |path| whole.get(path)).ok();
            if real.is_some_and(|real| whole.get(&real.path).is_some_and(Node::is_directory)) {
                continue;
            }
        }
        let real = overlay.put_below(&ImagePath::root(), path.clone(), node)?;
        if kind == InputKind::File(path) {
            kind = InputKind::File(real);
        }
    }
    Ok(Input { name: input.name, tree: overlay.finish(), kind })
}

/// The one program that was named, as without a base.
fn entrypoint(inputs: &[Input], whole: &Tree) -> Option<String> {
    let is_program = |path: &ImagePath| {
        whole.get(path).is_some_and(|node| node.file().is_some() && node.meta.mode & 0o111 != 0)
    };
    let mut programs = inputs.iter().filter_map(|input| match &input.kind {
        InputKind::File(path) => is_program(path).then_some(path),
        InputKind::Command(path) => Some(path),
        InputKind::Directory | InputKind::Tarball => None,
    });
    let (first, second) = (programs.next(), programs.next());
    first
        .filter(|_| second.is_none())
        .and_then(|path| String::from_utf8(path.as_bytes().to_vec()).ok())
}

/// `--cap`: files with their capabilities, in the layer that brings them or one of their own.
fn capabilities(stage: &mut Stage, wanted: &[(ImagePath, Vec<u8>)]) -> Result<(), Cause> {
    for (path, value) in wanted {
        let file = stage.tree.get(path).filter(|node| node.file().is_some());
        let mut node: Node = file.cloned().ok_or_else(|| Cause::NoFile(path.clone()))?;
        node.meta.xattrs =
            Some(Box::new([(crate::tree::capability::NAME.to_vec(), value.clone())].into()));
        let own = stage.layers.iter_mut().rev().find_map(|layer| layer.tree.get_mut(path));
        match own {
            Some(own) => *own = node,
            None => stage.add("imgb: capabilities", Tree::from_iter([(path.clone(), node)])),
        }
    }
    Ok(())
}
