//! A stage while it is built: its files, its layers, its configuration.

use std::sync::Arc;

use crate::{
    elf::ReadFailure,
    image::{Config, History},
    oci::UnpackedImage,
    path::ImagePath,
    plan::{self, Base, Decision, Instruction, Layers, PlannedLayer, Reason, Reasons},
    timestamp::Mtime,
    tree::{Change, Node, Tree},
};

/// An image that new layers are put on.
#[derive(Clone, Debug)]
pub struct OpenBase {
    /// Its files and its configuration.
    pub base: Base,
    /// Its layers, which are copied; `None` for a root file system.
    pub image: Option<Arc<UnpackedImage>>,
}

/// An image while it is built.
#[derive(Clone, Debug)]
pub(super) struct Stage {
    /// All files, with their parents.
    pub(super) tree: Tree,
    /// The layers that are written, lowest first: those of a root file system that the stage
    /// starts from, then those that instructions made.
    pub(super) layers: Vec<PlannedLayer>,
    /// How many of them are the base's.
    base_layers: usize,
    pub(super) config: Config,
    /// Every reason why each path is in the stage.
    pub(super) reasons: Reasons,
    /// What PACK instructions name, by the numbers that reasons use.
    pub(super) inputs: Vec<String>,
    /// The files and commands that PACK instructions name, in order.
    pub(super) named: Vec<ImagePath>,
    /// Annotations of the manifest.
    pub(super) annotations: Vec<(String, String)>,
    /// The image whose layers lie below.
    pub(super) image: Option<Arc<UnpackedImage>>,
    /// Its files.
    pub(super) image_tree: Tree,
    /// Whether CMD came in this stage.
    pub(super) cmd_set: bool,
    /// Whether it starts from an operating system, which PACK takes files from.
    pub(super) is_system: bool,
    /// Whether the platform is more than a guess.
    pub(super) platform_known: bool,
    pub(super) mtime: Mtime,
    /// How what an instruction adds is cut into layers.
    cut: Layers,
}

impl Stage {
    /// A stage that starts from `open`.
    pub(super) fn on(open: OpenBase, mtime: Mtime, cut: Layers) -> Self {
        let tree = open.base.files().into_owned();
        let Base { tree: image_tree, layers, config, platform_known, is_scratch } = open.base;
        let reasons = if is_scratch { Reasons::new() } else { Reasons::all(Reason::Base) };
        Self {
            is_system: plan::is_system(&tree),
            tree,
            base_layers: layers.len(),
            layers,
            config,
            reasons,
            inputs: Vec::new(),
            named: Vec::new(),
            annotations: Vec::new(),
            image: open.image,
            image_tree,
            cmd_set: false,
            platform_known,
            mtime,
            cut,
        }
    }

    /// Adds a layer with the `changes` that an instruction makes, if there are any, and a line in
    /// the history. The layer holds the parents of its paths as the image has them. A large one is
    /// cut.
    ///
    /// # Errors
    /// [`ReadFailure`] if a database of packages in the image cannot be read.
    pub(super) fn add(
        &mut self,
        instruction: Instruction,
        changes: Tree,
    ) -> Result<(), ReadFailure> {
        let created_by = instruction.text.clone();
        let reason = Reason::Instruction(Arc::new(instruction));
        for (path, node) in &changes {
            if node.is_directory() && self.tree.get(path).is_some_and(Node::is_directory) {
                self.reasons.add_further(path, reason.clone());
            } else {
                put_reason(&mut self.reasons, &self.tree, (path, node), reason.clone());
            }
        }
        let changes = self.with_parents(changes);
        let cut = self.cut();
        if !cut.cuts(&changes) {
            self.add_layer(created_by, PlannedLayer::new("", changes));
            return Ok(());
        }
        let mut all = self.tree.clone();
        all.apply(Change { tree: changes.clone(), ..Change::default() });
        for layer in plan::split_files(changes, &all, cut, self.mtime)? {
            self.add_layer(format!("{created_by} ({})", layer.name), layer);
        }
        Ok(())
    }

    /// How the next instruction's files are cut into layers: no instruction takes more than what
    /// those before it leave.
    pub(super) fn cut(&self) -> Layers {
        self.cut.less(self.layers.len().saturating_sub(self.base_layers))
    }

    /// Puts `node`, whose content is that of the file at `path` now, in its place. The layer of an
    /// instruction that brings the file is changed, so that the content is not stored twice; those
    /// of the base are shared with other images and stay as they are.
    pub(super) fn change_metadata(
        &mut self,
        instruction: Instruction,
        path: ImagePath,
        node: Node,
    ) -> Result<(), ReadFailure> {
        let mut made = self.layers.iter_mut().skip(self.base_layers).rev();
        match made.find_map(|layer| layer.tree.get_mut(&path)) {
            Some(old) => {
                *old = node.clone();
                self.config
                    .history
                    .push(History { created_by: instruction.text.clone(), empty_layer: true });
                let reason = Reason::Instruction(Arc::new(instruction));
                put_reason(&mut self.reasons, &self.tree, (&path, &node), reason);
                self.tree.insert(path, node);
                Ok(())
            }
            None => self.add(instruction, Tree::from_iter([(path, node)])),
        }
    }

    /// Adds the layers that the planner decided on for the instruction `text`.
    pub(super) fn add_decision(&mut self, text: &str, decision: Decision) {
        let first_input = self.inputs.len();
        self.inputs.extend(decision.inputs);
        self.named.extend(decision.named);
        for layer in decision.layers {
            for (path, node) in &layer.tree {
                let mut causes = decision.reasons.causes(path).map(|cause| match cause {
                    Reason::Listed(number) => Reason::Listed(first_input + number),
                    other => other.clone(),
                });
                let known = self.tree.get(path).is_some_and(Node::is_directory);
                let is_new = !(known && node.is_directory());
                if let Some(first) = causes.next().filter(|_| is_new) {
                    put_reason(&mut self.reasons, &self.tree, (path, node), first);
                    causes.for_each(|cause| self.reasons.add_further(path, cause));
                }
            }
            let tree = self.with_parents(layer.tree);
            let created_by = format!("{text} ({})", layer.name);
            self.add_layer(created_by, PlannedLayer { tree, ..layer });
        }
    }

    /// `changes` with the parents of its paths as the image has them; others are made.
    fn with_parents(&mut self, mut changes: Tree) -> Tree {
        let mut made = Vec::new();
        changes.add_parents(|path| {
            let known = self.tree.get(path).filter(|node| node.is_directory()).cloned();
            known.unwrap_or_else(|| {
                made.push(path.clone());
                plan::parent(path, self.mtime)
            })
        });
        for dir in made {
            if let Some((child, _)) = changes.below(&dir).next() {
                self.reasons.put_first(&dir, Reason::Parent(child.clone()));
            }
        }
        changes
    }

    /// Adds `layer`, which gets a number, and a line in the history.
    fn add_layer(&mut self, created_by: String, layer: PlannedLayer) {
        let empty_layer = layer.tree.is_empty();
        self.config.history.push(History { created_by, empty_layer });
        if empty_layer {
            return;
        }
        self.tree.apply(Change { tree: layer.tree.clone(), ..Change::default() });
        let number = self.layers.len() + 1;
        let name = match layer.components.is_empty() {
            true => number.to_string(),
            false => format!("{number} {}", layer.name),
        };
        self.layers.push(PlannedLayer { name, ..layer });
    }
}

/// Notes why `node` comes to `path`. Reasons of other content that it replaces in `tree` are
/// dropped; those of the same content, whose metadata may change, stay.
fn put_reason(
    reasons: &mut Reasons,
    tree: &Tree,
    (path, node): (&ImagePath, &Node),
    reason: Reason,
) {
    if tree.get(path).is_some_and(|old| old.kind == node.kind) {
        reasons.add_further(path, reason.clone());
        reasons.put_first(path, reason);
    } else {
        reasons.replace(path, reason);
    }
}

impl Stage {
    /// Makes one layer of those that instructions made.
    pub(super) fn squash(&mut self) {
        if self.layers.len() < 2 {
            return;
        }
        let mut tree = Tree::new();
        for layer in std::mem::take(&mut self.layers) {
            tree.apply(Change { tree: layer.tree, ..Change::default() });
        }
        self.layers.push(PlannedLayer::new("all", tree));
        // One entry makes the layer, the last that made one; the others tell of their instructions
        // still.
        let last = self.config.history.iter().rposition(|step| !step.empty_layer);
        for (at, step) in self.config.history.iter_mut().enumerate() {
            step.empty_layer = Some(at) != last;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{image::Platform, timestamp::Timestamp};

    fn path(text: &str) -> ImagePath {
        ImagePath::new(text).unwrap()
    }

    fn stage() -> Stage {
        let platform = Platform::linux("amd64", None);
        let base = Base::scratch(platform, Timestamp::EPOCH);
        Stage::on(OpenBase { base, image: None }, Mtime::OfContent, Layers::default())
    }

    fn add(stage: &mut Stage, line: usize, nodes: &[(&str, Node)]) {
        let changes = nodes.iter().map(|(at, node)| (path(at), node.clone())).collect();
        stage.add(Instruction { line, text: format!("line {line}") }, changes).unwrap();
    }

    /// The lines of the instructions that are reasons of `at`.
    fn lines(stage: &Stage, at: &str) -> Vec<usize> {
        let line = |cause: &Reason| match cause {
            Reason::Instruction(instruction) => instruction.line,
            _ => 0,
        };
        stage.reasons.causes(&path(at)).map(line).collect()
    }

    #[test]
    fn what_is_replaced_is_no_cause() {
        let mut stage = stage();
        add(&mut stage, 1, &[("/x", Node::inline(0o644, *b"1"))]);
        add(&mut stage, 2, &[("/x", Node::inline(0o644, *b"2"))]);
        assert_eq!(lines(&stage, "/x"), [2]);
        // The same content with other metadata.
        add(&mut stage, 3, &[("/x", Node::inline(0o755, *b"2"))]);
        assert_eq!(lines(&stage, "/x"), [3, 2]);
    }

    #[test]
    fn a_replaced_directory_takes_the_causes_below_it_along() {
        let mut stage = stage();
        let dir = || ("/d", Node::directory(0o755));
        add(&mut stage, 1, &[dir(), ("/d/x", Node::inline(0o644, *b"1"))]);
        add(&mut stage, 2, &[dir()]);
        assert_eq!(lines(&stage, "/d"), [1, 2]);
        add(&mut stage, 3, &[("/d", Node::symlink(*b"e"))]);
        assert_eq!(lines(&stage, "/d"), [3]);
        assert!(lines(&stage, "/d/x").is_empty());
        let mut reasons = Reasons::new();
        reasons.add(path("/d"), Reason::Listed(0));
        let decision = Decision {
            layers: vec![PlannedLayer::new(
                "inputs",
                Tree::from_iter([(path("/d"), Node::inline(0o644, *b"2"))]),
            )],
            reasons,
            inputs: vec!["d".into()],
            places: Vec::new(),
            named: Vec::new(),
            platform: Platform::linux("amd64", None),
            entrypoint: None,
            variables: Vec::new(),
            notes: Vec::new(),
        };
        stage.add_decision("PACK d", decision);
        let causes: Vec<_> = stage.reasons.causes(&path("/d")).collect();
        assert_eq!(causes, [&Reason::Listed(0)]);
    }
}
