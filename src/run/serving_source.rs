//! What may be served to a watched program, and where it is: the image over the sysroot.

use std::{cell::OnceCell, collections::BTreeSet, io};

use super::personal_files;
use crate::{
    elf::{self, Found, FoundKind, Lookup as _, ReadFailure, Sniffed, script},
    path::ImagePath,
    source::Sysroot,
    trace::{self, Withheld},
    tree::{FileNode, Identity, Kind, Node, Tree},
    view::View,
};

/// Where files come from that a watched program's image lacks.
#[derive(Clone, Copy, Debug)]
pub struct Serving<'a> {
    /// The sysroot.
    pub sysroot: Sysroot<'a>,
    /// Whether a file of it looks like a secret.
    pub is_secret: fn(&FileNode, &ImagePath) -> Result<bool, ReadFailure>,
    /// Whether it gets what the caller may read and other users may not.
    pub serves_private: bool,
}

/// Why nothing was put at a path.
pub(super) enum Refusal {
    Withheld(Withheld),
    Failed(ReadFailure),
}

impl From<ReadFailure> for Refusal {
    fn from(failure: ReadFailure) -> Self {
        Self::Failed(failure)
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Withheld(Withheld::Failed(error.to_string()))
    }
}

impl From<Withheld> for Refusal {
    fn from(withheld: Withheld) -> Self {
        Self::Withheld(withheld)
    }
}

/// The image over the sysroot.
pub(super) struct ServingSource<'a> {
    tree: &'a Tree,
    view: View<'a>,
    sysroot: Sysroot<'a>,
    is_secret: fn(&FileNode, &ImagePath) -> Result<bool, ReadFailure>,
    serves_private: bool,
    /// The personal files that have other names too.
    personal: OnceCell<BTreeSet<Identity>>,
}

impl<'a> ServingSource<'a> {
    pub(super) fn new(serving: Serving<'a>, tree: &'a Tree) -> Self {
        let view = View::of_sysroot(serving.sysroot).over(tree);
        let Serving { sysroot, is_secret, serves_private } = serving;
        Self { tree, view, sysroot, is_secret, serves_private, personal: OnceCell::new() }
    }

    /// Whether the image has something at a real path.
    pub(super) fn is_own(&self, path: &ImagePath) -> bool {
        self.tree.contains(path)
    }

    /// Whether `path` leads to something in the image alone.
    pub(super) fn leads_to_own(&self, path: &[u8]) -> bool {
        self.tree.resolve(path).is_ok()
    }

    /// The file or directory that `path` leads to, unless its way goes through a directory of the
    /// kernel: the sysroot's `/etc/mtab` is a link into `/proc`.
    pub(super) fn find(&self, path: &[u8]) -> Result<Option<Found>, ReadFailure> {
        let may_be_served = |path: &ImagePath| trace::is_served_from_sysroot(path.as_bytes());
        let found = self.view.find(path)?.ok().filter(|found| {
            found.kind != FoundKind::Other
                && found.links.iter().chain([&found.path]).all(may_be_served)
        });
        Ok(found)
    }

    /// The names in the directory that `path` leads to. `None` where not everyone may list it.
    pub(super) fn names(&self, found: &Found) -> Result<Option<Vec<Vec<u8>>>, ReadFailure> {
        let is_open = |node: Node| self.serves_private || node.meta.mode & 0o5 == 0o5;
        let may_list = self.is_own(&found.path) || self.node(&found.path)?.is_some_and(is_open);
        if !may_list || !self.is_public(&found.path)? {
            return Ok(None);
        }
        Ok(self.view.list(found.path.as_bytes())?.ok())
    }

    /// The absolute path of the loader or interpreter that the image's or sysroot's file at `path`
    /// names.
    pub(super) fn interpreter(&self, path: &[u8]) -> Result<Option<Vec<u8>>, ReadFailure> {
        let Some(found) = self.find(path)? else { return Ok(None) };
        if !found.is_file() {
            return Ok(None);
        }
        let Ok(head) = self.view.read(&found, script::FIRST_LINE)? else { return Ok(None) };
        let interpreter = match elf::sniff(&head) {
            Sniffed::Elf => {
                let object = self.view.object(&found)?.ok();
                object.and_then(|object| object.interp.as_deref().map(<[u8]>::to_vec))
            }
            Sniffed::Script => script::shebang(&head).map(|line| line.interpreter),
            Sniffed::Data => None,
        };
        Ok(interpreter.filter(|path| path.starts_with(b"/")))
    }

    /// Refuses `node` at `real` in the sysroot, which has other `names` too, where it belongs in no
    /// image or other users may not read it. An empty directory tells only that it exists.
    pub(super) fn check(
        &self,
        real: &ImagePath,
        names: &[&ImagePath],
        node: &Node,
    ) -> Result<(), Refusal> {
        if self.sysroot.is_of_kernel(real.as_bytes())? {
            return Err(Withheld::Personal.into());
        }
        let names = names.iter().copied().chain([real]);
        for path in names.filter(|_| !node.is_directory()) {
            if trace::is_personal(path.as_bytes()) {
                return Err(Withheld::Personal.into());
            }
            if let Kind::File(file) = &node.kind
                && (self.is_secret)(file, path)?
            {
                return Err(Withheld::Secret.into());
            }
        }
        if self.has_personal_name(real, node)? {
            return Err(Withheld::Personal.into());
        }
        let is_readable = self.serves_private || node.file().is_none() || node.meta.mode & 0o4 != 0;
        if is_readable && self.is_public(real)? { Ok(()) } else { Err(Withheld::Private.into()) }
    }

    /// Whether another name of the file `node` is personal. A file of a package is the package's,
    /// whatever names a user has given it.
    fn has_personal_name(&self, real: &ImagePath, node: &Node) -> Result<bool, ReadFailure> {
        let Some(file) = node.file().filter(|file| file.shared) else { return Ok(false) };
        if self.view.packages()?.is_some_and(|packages| !packages.owners(real).is_empty()) {
            return Ok(false);
        }
        let personal = match self.personal.get() {
            Some(personal) => personal,
            None => {
                let found = personal_files::with_several_names(self.sysroot)?;
                self.personal.get_or_init(|| found)
            }
        };
        Ok(personal.contains(&file.content.identity()))
    }

    /// Whether every user may search the directories above `path` that are the sysroot's, if that
    /// matters.
    fn is_public(&self, path: &ImagePath) -> Result<bool, ReadFailure> {
        if self.serves_private {
            return Ok(true);
        }
        for dir in path.ancestors().filter(|dir| !dir.is_root() && !self.tree.contains(dir)) {
            if self.node(&dir)?.is_none_or(|node| node.meta.mode & 0o1 == 0) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether the image or the sysroot has the source of the compiled file `path`.
    pub(super) fn has_source(&self, path: &[u8]) -> Result<bool, ReadFailure> {
        let Some(source) = trace::source_of_compiled(path) else { return Ok(false) };
        Ok(self.view.find(&source)?.is_ok())
    }

    /// The node at a real path, with the sysroot's own mode.
    pub(super) fn node(&self, path: &ImagePath) -> Result<Option<Node>, ReadFailure> {
        Ok(self.view.node(path)?.ok().flatten())
    }
}
