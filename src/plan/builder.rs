//! Builds the file tree of an image: the inputs, and what joins them from the sysroot.

use super::{Generated, PlanError, Reason, Reasons, parent};
use crate::{
    elf::{Absence, Found},
    path::ImagePath,
    source::SourceError,
    timestamp::Mtime,
    tree::{Node, Tree},
    view::View,
};

/// The files of the image so far.
#[derive(Debug)]
pub(super) struct ImageBuilder<'a> {
    pub(super) view: &'a View<'a>,
    /// The files of the inputs.
    pub(super) inputs: &'a Tree,
    /// The files that are added to them.
    pub(super) added: Tree,
    pub(super) reasons: Reasons,
    /// The time of generated files.
    pub(super) mtime: Mtime,
}

impl ImageBuilder<'_> {
    /// Takes a file of the view, and every link and directory on the way to it.
    ///
    /// # Errors
    /// [`PlanError::Source`] if the host refuses.
    pub(super) fn take(&mut self, found: &Found, reason: Reason) -> Result<(), PlanError> {
        self.add_path_components(&found.path, &found.links, &found.dotdot_dirs)?;
        self.add(&found.path, reason)
    }

    /// Takes the links and directories on the way to `path`.
    pub(super) fn add_path_components(
        &mut self,
        path: &ImagePath,
        links: &[ImagePath],
        dotdot_dirs: &[ImagePath],
    ) -> Result<(), PlanError> {
        for link in links {
            self.add(link, Reason::Link(path.clone()))?;
        }
        for dir in dotdot_dirs {
            self.add(dir, Reason::Parent(path.clone()))?;
        }
        Ok(())
    }

    /// Takes `path`, a real path of the view, unless the image has it, and notes the reason in any
    /// case.
    pub(super) fn add(&mut self, path: &ImagePath, reason: Reason) -> Result<(), PlanError> {
        if path.is_root() {
            return Ok(());
        }
        if self.has(path) {
            self.note(path, reason);
            return Ok(());
        }
        let node = self.view.node(path)?.map_err(|absence| unreadable(path, absence))?;
        if let Some(node) = node {
            self.added.insert(path.clone(), node);
            self.reasons.add(path.clone(), reason);
        }
        Ok(())
    }

    /// Notes a further reason of `path`, which the image has.
    fn note(&mut self, path: &ImagePath, reason: Reason) {
        if self.inputs.contains(path) {
            self.reasons.add_further(path, reason);
        } else if self.added.contains(path) {
            self.reasons.add(path.clone(), reason);
        }
    }

    /// Takes `path` and, if it is a directory, all below it.
    ///
    /// # Errors
    /// [`PlanError::Source`] for the first directory that cannot be read.
    pub(super) fn add_all(&mut self, path: &ImagePath, reason: &Reason) -> Result<(), PlanError> {
        use crate::elf::Lookup as _;
        let mut left = vec![path.clone()];
        while let Some(path) = left.pop() {
            self.add(&path, reason.clone())?;
            let is_directory = self.added.get(&path).is_some_and(Node::is_directory)
                || self.view.is_own_directory(&path);
            if is_directory {
                let names = self.view.list(path.as_bytes())?;
                let names = names.map_err(|absence| unreadable(&path, absence))?;
                left.extend(names.iter().filter_map(|name| path.join(name).ok()));
            }
        }
        Ok(())
    }

    /// Whether `path`, a real path of the view, is in the image.
    pub(super) fn has(&self, path: &ImagePath) -> bool {
        path.is_root() || self.view.is_own(path) || self.added.contains(path)
    }

    /// Adds a node at `path` unless the image has something there. Links on the way are followed
    /// and taken.
    ///
    /// # Errors
    /// As [`ImageBuilder::add`].
    pub(super) fn make(
        &mut self,
        path: &[u8],
        node: Node,
        reason: Reason,
    ) -> Result<(), PlanError> {
        let Ok(path) = ImagePath::new(path) else { return Ok(()) };
        let mut place = path.clone();
        for dir in path.ancestors().collect::<Vec<_>>().into_iter().rev() {
            if let Ok(resolved) = self.view.resolve(dir.as_bytes())? {
                let below = path.as_bytes().get(dir.as_bytes().len()..).unwrap_or_default();
                place = resolved.path.join(below).unwrap_or(place);
                self.add_path_components(&resolved.path, &resolved.links, &resolved.dotdot_dirs)?;
                break;
            }
        }
        if self.has(&place) {
            self.note(&place, reason);
        } else {
            self.reasons.add(place.clone(), reason);
            self.added.insert(place, node);
        }
        Ok(())
    }

    /// Adds a generated file unless the image has one.
    pub(super) fn generate(&mut self, path: ImagePath, bytes: Vec<u8>, what: Generated) {
        if !self.has(&path) {
            self.replace(path, bytes, what);
        }
    }

    /// Adds a generated file in place of any other.
    pub(super) fn replace(&mut self, path: ImagePath, bytes: Vec<u8>, what: Generated) {
        let mut node = Node::inline(0o644, bytes);
        node.meta.mtime = self.mtime;
        if self.inputs.contains(&path) {
            self.reasons.add_further(&path, Reason::Generated(what));
        }
        self.reasons.put_first(&path, Reason::Generated(what));
        self.added.insert(path, node);
    }
}

/// The error that `path` of the view is wanted and cannot be read.
pub(super) fn unreadable(path: &ImagePath, absence: Absence) -> PlanError {
    let source = std::io::Error::other(absence.to_string());
    PlanError::Source(SourceError::Unreadable { path: path.to_string().into(), source })
}

/// Gives every path of `tree` its parents: those that `below` has as they are there.
pub(super) fn add_parents(tree: &mut Tree, below: &Tree, reasons: &mut Reasons, mtime: Mtime) {
    let (mut made, mut known) = (Vec::new(), Vec::new());
    tree.add_parents(|path| match below.get(path).filter(|node| node.is_directory()) {
        Some(node) => {
            known.push(path.clone());
            node.clone()
        }
        None => {
            made.push(path.clone());
            parent(path, mtime)
        }
    });
    for dir in made {
        if let Some((child, _)) = tree.below(&dir).next() {
            reasons.add(dir, Reason::Parent(child.clone()));
        }
    }
    for dir in known {
        reasons.add(dir, Reason::Base);
    }
}
