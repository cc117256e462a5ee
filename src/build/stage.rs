//! A stage while it is built: its files, its layers, its configuration.

use std::sync::Arc;

use crate::{
    image::{Config, History},
    oci::UnpackedImage,
    path::ImagePath,
    plan::{self, Base, PlannedLayer},
    timestamp::Timestamp,
    tree::{Change, Tree},
};

/// An image that new layers are put on.
#[derive(Clone, Debug)]
pub struct OpenBase {
    /// Its files and its configuration.
    pub base: Base,
    /// Its layers, which are copied; `None` for a root file system.
    pub image: Option<Arc<UnpackedImage>>,
}

/// What there is of an image.
#[derive(Clone, Debug)]
pub(super) struct Stage {
    /// All files, with their parents.
    pub(super) tree: Tree,
    /// The layers that instructions made, lowest first.
    pub(super) layers: Vec<PlannedLayer>,
    pub(super) config: Config,
    /// Of the manifest.
    pub(super) annotations: Vec<(String, String)>,
    /// The image whose layers lie below.
    pub(super) image: Option<Arc<UnpackedImage>>,
    /// Its files.
    pub(super) image_tree: Tree,
    /// Whether CMD came in this stage.
    pub(super) cmd_set: bool,
    /// Whether the platform is more than a guess.
    pub(super) platform_known: bool,
    pub(super) mtime: Timestamp,
}

impl Stage {
    /// A stage that starts from `open`.
    pub(super) fn on(open: OpenBase, mtime: Timestamp) -> Self {
        let tree = open.base.files().into_owned();
        let Base { tree: image_tree, layers, config, platform_known, .. } = open.base;
        Self {
            tree,
            layers,
            config,
            annotations: Vec::new(),
            image: open.image,
            image_tree,
            cmd_set: false,
            platform_known,
            mtime,
        }
    }

    /// Adds a layer with `changes`, if there are any, and says in the history who made it. The
    /// layer holds the parents of its paths as the image has them.
    pub(super) fn add(&mut self, created_by: &str, mut changes: Tree) {
        let empty = changes.is_empty();
        self.config.history.push(History { created_by: created_by.into(), empty_layer: empty });
        if empty {
            return;
        }
        changes.add_parents(|path| self.parent(path));
        self.tree.apply(Change { tree: changes.clone(), ..Change::default() });
        self.layers
            .push(PlannedLayer { name: format!("layer {}", self.layers.len() + 1), tree: changes });
    }

    fn parent(&self, path: &ImagePath) -> crate::tree::Node {
        let known = self.tree.get(path).filter(|node| node.is_directory()).cloned();
        known.unwrap_or_else(|| plan::parent(path, self.mtime))
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
        self.layers.push(PlannedLayer { name: "all".into(), tree });
        // One entry makes the layer, the last that made one; the others tell of their instructions
        // still.
        let last = self.config.history.iter().rposition(|step| !step.empty_layer);
        for (at, step) in self.config.history.iter_mut().enumerate() {
            step.empty_layer = Some(at) != last;
        }
    }
}
