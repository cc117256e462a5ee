//! Inputs that the sysroot has: bare names, absolute paths, and files of the host that lie in it.

use std::{
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use super::Request;
use crate::{
    elf::{Absence, Answer, ReadFailure},
    path::ImagePath,
    source::{
        HostRoot, Input, InputKind, InputOptions, SourceError, Sysroot, dir,
        presence::if_present,
        shim::{self, Shim},
        tarball,
    },
    tree::{Kind, Node, Tree},
    uninterrupted,
};

/// Top-level directories that hold installed software.
const INSTALLED: [&[u8]; 8] =
    [b"usr", b"bin", b"sbin", b"opt", b"lib", b"lib32", b"lib64", b"libx32"];

/// Whether `path` is in a directory for installed software.
fn is_for_installed(path: &ImagePath) -> bool {
    INSTALLED.contains(&path.components().next().unwrap_or_default())
}

impl Request {
    /// The path in the sysroot that this request names, if any: an absolute path that exists there,
    /// or a host file that lies in the sysroot.
    ///
    /// # Errors
    /// [`ReadFailure`]
    pub fn in_sysroot(&self, sysroot: Sysroot<'_>) -> Result<Option<ImagePath>, ReadFailure> {
        if self.destination.is_some() { Ok(None) } else { self.located(sysroot) }
    }

    /// As [`Request::in_sysroot`], wherever it goes in the image.
    pub(super) fn located(&self, sysroot: Sysroot<'_>) -> Result<Option<ImagePath>, ReadFailure> {
        match self.absolute(sysroot)? {
            Some(path) => Ok(Some(path)),
            None => self.below(sysroot),
        }
    }

    /// The path of the source in a sysroot other than `/`, if the host has it as well and it is not
    /// in a directory for installed software, whose files are always meant to be the sysroot's.
    ///
    /// # Errors
    /// [`ReadFailure`]
    pub fn ambiguous(&self, sysroot: Sysroot<'_>) -> Result<Option<ImagePath>, ReadFailure> {
        let path = self.absolute(sysroot)?.filter(|path| !is_for_installed(path));
        let failure = |source| ReadFailure { path: self.source.clone(), source };
        let on_host = || if_present(uninterrupted::symlink_metadata(&self.source)).map_err(failure);
        Ok(if path.is_some() && on_host()?.is_some() { path } else { None })
    }

    /// The file with the same absolute path in a sysroot that is not this machine's root.
    pub(super) fn absolute(&self, sysroot: Sysroot<'_>) -> Result<Option<ImagePath>, ReadFailure> {
        if !self.source.is_absolute() || sysroot.is_machine() {
            return Ok(None);
        }
        let Ok(path) = ImagePath::new(self.source.as_os_str().as_bytes()) else { return Ok(None) };
        match sysroot.resolve(path.as_bytes())? {
            Ok(_) => Ok(Some(path)),
            Err(absence @ Absence::Denied) => Err(sysroot.failure(&path, absence)),
            Err(Absence::Missing | Absence::Loop) => Ok(None),
        }
    }

    /// The path in the sysroot of a host file that lies in it.
    pub(super) fn below(&self, sysroot: Sysroot<'_>) -> Result<Option<ImagePath>, ReadFailure> {
        let Sysroot::Directory(host) = sysroot else { return Ok(None) };
        let path = match sysroot.is_machine() {
            true => self.below_root(host)?,
            false => self.below_sysroot(host)?,
        };
        Ok(match path {
            Some(path) if host.resolve(path.as_bytes())?.is_ok() => Some(path),
            _ => None,
        })
    }

    /// The path of this file if the sysroot is `/`, with the links in its directory resolved.
    fn below_root(&self, host: &HostRoot) -> Result<Option<ImagePath>, ReadFailure> {
        let source = std::path::absolute(&self.source).ok();
        let parts =
            source.as_ref().and_then(|source| Some((source.parent()?, source.file_name()?)));
        let Some((dir, name)) = parts else { return Ok(None) };
        let dir = host.resolve(dir.as_os_str().as_bytes())?;
        Ok(dir.ok().and_then(|dir| dir.path.join(name.as_bytes()).ok()))
    }

    /// The path of this file in a sysroot that is another directory of the host.
    fn below_sysroot(&self, host: &HostRoot) -> Result<Option<ImagePath>, ReadFailure> {
        // As it is written, its links are those of the sysroot.
        if let (Ok(source), Ok(root)) =
            (std::path::absolute(&self.source), std::path::absolute(host.root()))
            && let Ok(below) = source.strip_prefix(root)
            && let Ok(path) = ImagePath::new(below.as_os_str().as_bytes())
            && host.resolve(path.as_bytes())?.is_ok()
        {
            return Ok(Some(path));
        }
        let failure = |source| ReadFailure { path: self.source.clone(), source };
        let there = if_present(uninterrupted::metadata(&self.source)).map_err(failure)?;
        let (Some(_), Some(name)) = (there, self.source.file_name()) else { return Ok(None) };
        let dir = self.source.parent().filter(|dir| !dir.as_os_str().is_empty());
        let dir = dir.unwrap_or(Path::new("."));
        let Some(dir) = if_present(uninterrupted::canonicalize(dir)).map_err(failure)? else {
            return Ok(None);
        };
        let Some(root) = if_present(uninterrupted::canonicalize(host.root())).map_err(failure)?
        else {
            return Ok(None);
        };
        let path = dir.join(name);
        let path = path.strip_prefix(root).ok().map(|path| path.as_os_str().as_bytes());
        Ok(path.and_then(|path| ImagePath::new(path).ok()))
    }

    /// The path in the sysroot of an installed program that the user named by its full path. Such a
    /// program looks for its own files near itself and under the path that it was built for.
    pub(super) fn installed(&self, sysroot: Sysroot<'_>) -> Result<Option<ImagePath>, ReadFailure> {
        let Some(path) = self.below(sysroot)? else { return Ok(None) };
        Ok(self.is_installed(&path, &sysroot.find(path.as_bytes())?).then_some(path))
    }

    fn is_installed(&self, path: &ImagePath, node: &Answer<Option<Node>>) -> bool {
        let stays = self.destination.is_none() || self.is_destination(path);
        self.source.is_absolute() && stays && is_for_installed(path) && is_program(node)
    }

    /// Whether the destination is `path`, where the program is installed, or the path that the user
    /// names it by. Both say the same as no destination.
    fn is_destination(&self, path: &ImagePath) -> bool {
        let absolute = || Some(&self.source).filter(|source| source.is_absolute());
        let named = || ImagePath::new(absolute()?.as_os_str().as_bytes()).ok();
        self.file_path().is_ok_and(|dest| dest == *path || named() == Some(dest))
    }

    /// An installed program at its own path, and a link to it where `cp -a` would place the
    /// program. With a destination, which is this path by another name, there is no link.
    pub(super) fn in_place(
        &self,
        path: ImagePath,
        options: &InputOptions,
    ) -> Result<Input, SourceError> {
        let dest = self.file_path()?;
        if self.destination.is_some() {
            return Ok(Input::new(&self.text, Tree::new(), InputKind::Command(dest)));
        }
        let kind = Kind::Symlink(path.as_bytes().into());
        let link = Node { meta: options.meta(0o777, false), kind };
        let shortcut = (dest != path).then_some((dest, link));
        Ok(Input { shortcut, ..Input::new(&self.text, Tree::new(), InputKind::Command(path)) })
    }

    /// What a shim of a version manager at `path` starts; `None` if the file is not a shim, or if
    /// no program of that name comes later in PATH.
    pub(super) fn of_shim(
        &self,
        path: Option<ImagePath>,
        sysroot: Sysroot<'_>,
        options: &InputOptions,
    ) -> Result<Option<Input>, SourceError> {
        let Some(path) = path.filter(|_| !options.as_file) else { return Ok(None) };
        let Some(shim) = shim::look(&path, sysroot, &options.versions)? else { return Ok(None) };
        let program = match shim {
            Shim::Program(program) => Some(program),
            Shim::Next => command(path.file_name(), sysroot, options)?.found,
            Shim::Unknown(manager) => return Err(Shim::refused(&self.text, manager)),
        };
        program.map(|program| self.of_sysroot(program, sysroot, options)).transpose()
    }

    /// A command of the sysroot, at its own path unless there is a destination.
    pub(super) fn of_sysroot(
        &self,
        path: ImagePath,
        sysroot: Sysroot<'_>,
        options: &InputOptions,
    ) -> Result<Input, SourceError> {
        if self.destination.is_some() && !self.is_destination(&path) {
            return self.elsewhere(&path, sysroot, options);
        }
        Ok(Input::new(&self.text, Tree::new(), InputKind::Command(path)))
    }

    /// A file of the sysroot that gets another path in the image.
    fn elsewhere(
        &self,
        path: &ImagePath,
        sysroot: Sysroot<'_>,
        options: &InputOptions,
    ) -> Result<Input, SourceError> {
        let (real, node) = self.found(path, sysroot)?;
        let node = self.adopted(&real, node, sysroot, options)?;
        let path = self.file_path()?;
        let tree = Tree::from_iter([(path.clone(), node)]);
        Ok(Input::new(&self.text, tree, InputKind::File(path)))
    }

    /// The sysroot's file, directory or tarball at `path`, whose links are followed there.
    pub(super) fn of_path(
        &self,
        path: ImagePath,
        sysroot: Sysroot<'_>,
        options: &InputOptions,
    ) -> Result<Input, SourceError> {
        let (real, node) = self.found(&path, sysroot)?;
        if node.is_directory() {
            let root = self.directory_root()?;
            let tree = self.directory(&real, &root, sysroot, options)?;
            return Ok(Input::new(&self.text, tree, InputKind::Directory));
        }
        if let Some(input) = self.of_shim(Some(path.clone()), sysroot, options)? {
            return Ok(input);
        }
        if let Some(file) = node.file().filter(|_| !options.as_file)
            && self.or_placed(tarball::is_tarball(&self.text, file))?
        {
            let root = self.tarball_root();
            let tree = tarball::unpack_at(&self.text, file, &root, options)?;
            return Ok(Input::new(&self.text, tree, InputKind::Tarball));
        }
        match self.is_installed(&path, &Ok(Some(node))) {
            true => self.in_place(path, options),
            false => self.elsewhere(&path, sysroot, options),
        }
    }

    /// The real path that `path` leads to, and its node.
    fn found(
        &self,
        path: &ImagePath,
        sysroot: Sysroot<'_>,
    ) -> Result<(ImagePath, Node), SourceError> {
        let gone = |absence| sysroot.failure(path, absence);
        let real = sysroot.resolve(path.as_bytes())?.map_err(gone)?.path;
        if real.is_root() {
            return Ok((real, Node::directory(0o755)));
        }
        let node = sysroot.node(&real)?.map_err(gone)?;
        let node = node.filter(|node| !matches!(node.kind, Kind::Special(_)));
        let unpackable = || SourceError::NoRegularFiles {
            name: self.text.clone(),
            entries: vec![(PathBuf::from(real.to_string()), "device, FIFO or socket")],
        };
        Ok((real.clone(), node.ok_or_else(unpackable)?))
    }

    /// A node of the sysroot as an input.
    fn adopted(
        &self,
        real: &ImagePath,
        node: Node,
        sysroot: Sysroot<'_>,
        options: &InputOptions,
    ) -> Result<Node, SourceError> {
        let xattrs = match node.is_executable() {
            true => sysroot.capability(real, &node)?,
            false => None,
        };
        let mut node = options.adopt(node);
        node.meta.xattrs = xattrs;
        Ok(node)
    }

    /// A directory of the sysroot, whose contents go below `root`.
    fn directory(
        &self,
        real: &ImagePath,
        root: &ImagePath,
        sysroot: Sysroot<'_>,
        options: &InputOptions,
    ) -> Result<Tree, SourceError> {
        let files = match sysroot {
            Sysroot::Directory(host) => {
                return dir::read(&self.text, &host.host_path(real), root, options);
            }
            Sysroot::Tree(files) => files,
        };
        let own = files.get(real).cloned().unwrap_or_else(|| Node::directory(0o755));
        let mut tree = Tree::from_iter([(root.clone(), options.adopt(own))]);
        let mut excluded: Option<ImagePath> = None;
        let mut unpackable = Vec::new();
        let skip = if real.is_root() { 1 } else { real.as_bytes().len() + 1 };
        for (path, node) in files.below(real) {
            let entry = path.as_bytes().get(skip..).unwrap_or_default();
            let bad = |source| {
                let name = self.text.clone();
                SourceError::BadPath { name, entry: entry.into(), source }
            };
            let place = root.join(entry).map_err(bad)?;
            if excluded.as_ref().is_some_and(|dir| place.is_within(dir)) {
                continue;
            }
            if options.excludes(&place) {
                excluded = Some(place);
            } else if matches!(node.kind, Kind::Special(_)) {
                unpackable.push((path.to_string().into(), "device or FIFO"));
            } else {
                tree.insert(place, self.adopted(path, node.clone(), sysroot, options)?);
            }
        }
        match unpackable.is_empty() {
            true => Ok(tree),
            false => {
                Err(SourceError::NoRegularFiles { name: self.text.clone(), entries: unpackable })
            }
        }
    }
}

/// What came of the search for a command.
#[derive(Debug, Default)]
pub struct Search {
    /// Where it is.
    pub found: Option<ImagePath>,
    /// What may not be searched and comes before that: directories, or links that lead into one.
    pub closed: Vec<ImagePath>,
}

/// Where the sysroot has the command `name`: the first of `options.command_dirs` with a program of
/// this name. A version manager's shim stands for what it starts.
///
/// # Errors
/// [`SourceError::Shim`], [`SourceError::Unreadable`].
pub fn command(
    name: &[u8],
    sysroot: Sysroot<'_>,
    options: &InputOptions,
) -> Result<Search, SourceError> {
    let mut search = Search::default();
    for dir in &options.command_dirs {
        let Ok(path) = dir.join(name) else { continue };
        match sysroot.find(path.as_bytes())? {
            answer if is_program(&answer) => match shim::look(&path, sysroot, &options.versions)? {
                Some(Shim::Next) => {}
                Some(Shim::Unknown(manager)) => {
                    return Err(Shim::refused(&String::from_utf8_lossy(name), manager));
                }
                Some(Shim::Program(program)) => {
                    search.found = Some(program);
                    break;
                }
                None => {
                    search.found = Some(path);
                    break;
                }
            },
            Err(Absence::Denied) if may_search(dir, name, sysroot)? => search.closed.push(path),
            Err(Absence::Denied) => search.closed.push(dir.clone()),
            _ => {}
        }
    }
    Ok(search)
}

/// Whether this user may look for `name` in `dir`.
fn may_search(dir: &ImagePath, name: &[u8], sysroot: Sysroot<'_>) -> Result<bool, ReadFailure> {
    let Ok(dir) = sysroot.resolve(dir.as_bytes())? else { return Ok(false) };
    let Ok(path) = dir.path.join(name) else { return Ok(false) };
    Ok(!matches!(sysroot.node(&path)?, Err(Absence::Denied)))
}

/// Whether it is a regular file that someone may execute.
fn is_program(answer: &Answer<Option<Node>>) -> bool {
    matches!(answer, Ok(Some(node)) if node.is_executable())
}
