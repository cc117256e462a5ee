//! Parses `SRC[:DEST]` and determines which kind of input it is.

use std::{
    fs::Metadata,
    io,
    path::{Path, PathBuf},
};

use super::{
    HostRoot, Input, InputKind, InputOptions, SourceError, dir, meant,
    presence::if_present,
    shim::{self, Shim},
    stat::HostStat,
    tarball,
};
use crate::{
    elf::{Absence, Answer, ReadFailure},
    path::{ImagePath, PathError},
    tree::{Kind, Node, Tree},
};

/// What the user asked to pack, and where it goes in the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The text as the user wrote it.
    pub text: String,
    source: PathBuf,
    /// The source ends in a slash: its contents are packed, not the directory itself.
    contents: bool,
    destination: Option<Destination>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Destination {
    path: ImagePath,
    /// The destination ends in a slash: the source goes into that directory under its own name.
    directory: bool,
}

/// Why a text is not a valid `SRC[:DEST]`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The source is empty.
    #[error("an input is empty")]
    Empty,
    /// A URL, or an image with its transport.
    #[error("`{0}` is a URL, and imgb opens no network connection: download it and pack the file")]
    Url(String),
    /// The destination is not a path in an image.
    #[error("`{text}`: the destination is not a path in an image: {source}")]
    Destination {
        /// The whole input.
        text: String,
        /// The reason.
        source: PathError,
    },
}

impl Request {
    /// Parses `SRC[:DEST]`. The destination starts at the last `:/`, so that sources may contain
    /// colons.
    ///
    /// # Errors
    /// [`RequestError`] if the source is empty or the destination is not a valid image path.
    pub fn parse(text: &str) -> Result<Self, RequestError> {
        if is_url(text) {
            return Err(RequestError::Url(text.into()));
        }
        let (source, destination) = match text.rfind(":/") {
            Some(at) => (&text[..at], Some(&text[at + 1..])),
            None => (text, None),
        };
        if source.is_empty() {
            return Err(RequestError::Empty);
        }
        let destination = match destination {
            None => None,
            Some(dest) => {
                let path = ImagePath::new(dest)
                    .map_err(|source| RequestError::Destination { text: text.into(), source })?;
                Some(Destination { path, directory: dest.ends_with('/') })
            }
        };
        let contents = source.ends_with('/') || Path::new(source).file_name().is_none();
        Ok(Self { text: text.into(), source: source.into(), contents, destination })
    }

    /// The path on the host that this request names, if it is not a command.
    pub fn source(&self) -> &Path {
        &self.source
    }

    /// The path in the sysroot that this request names, if any: an absolute path that exists there,
    /// or a host file that lies in the sysroot.
    ///
    /// # Errors
    /// [`ReadFailure`]
    pub fn in_sysroot(&self, host: &HostRoot) -> Result<Option<ImagePath>, ReadFailure> {
        if self.destination.is_some() { Ok(None) } else { self.located(host) }
    }

    /// As [`Request::in_sysroot`], wherever it goes in the image.
    fn located(&self, host: &HostRoot) -> Result<Option<ImagePath>, ReadFailure> {
        match self.absolute_in_sysroot(host)? {
            Ok(path) => Ok(Some(path)),
            Err(absence @ Absence::Denied) => {
                let path = host.root().join(self.source.strip_prefix("/").unwrap_or(&self.source));
                Err(ReadFailure { path, source: io::Error::other(absence.to_string()) })
            }
            Err(Absence::Missing | Absence::Loop) => self.below(host),
        }
    }

    /// The path in the sysroot of a host file that lies in it.
    fn below(&self, host: &HostRoot) -> Result<Option<ImagePath>, ReadFailure> {
        let path = if host.root() == Path::new("/") {
            self.below_root(host)?
        } else {
            self.below_sysroot(host)?
        };
        Ok(match path {
            Some(path) if host.resolve(path.as_bytes())?.is_ok() => Some(path),
            _ => None,
        })
    }

    /// The path of this file if the sysroot is `/`, with the links in its directory resolved.
    fn below_root(&self, host: &HostRoot) -> Result<Option<ImagePath>, ReadFailure> {
        use std::os::unix::ffi::OsStrExt as _;
        let source = std::path::absolute(&self.source).ok();
        let parts =
            source.as_ref().and_then(|source| Some((source.parent()?, source.file_name()?)));
        let Some((dir, name)) = parts else { return Ok(None) };
        let dir = host.resolve(dir.as_os_str().as_bytes())?;
        Ok(dir.ok().and_then(|dir| dir.path.join(name.as_bytes()).ok()))
    }

    /// The path of this file in a sysroot that is another directory of the host.
    fn below_sysroot(&self, host: &HostRoot) -> Result<Option<ImagePath>, ReadFailure> {
        use std::os::unix::ffi::OsStrExt as _;
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
        let there = if_present(fs_err::metadata(&self.source)).map_err(failure)?;
        let (Some(_), Some(name)) = (there, self.source.file_name()) else { return Ok(None) };
        let dir = self.source.parent().filter(|dir| !dir.as_os_str().is_empty());
        let dir = dir.unwrap_or(Path::new("."));
        let Some(dir) = if_present(fs_err::canonicalize(dir)).map_err(failure)? else {
            return Ok(None);
        };
        let Some(root) = if_present(fs_err::canonicalize(host.root())).map_err(failure)? else {
            return Ok(None);
        };
        let path = dir.join(name);
        let path = path.strip_prefix(root).ok().map(|path| path.as_os_str().as_bytes());
        Ok(path.and_then(|path| ImagePath::new(path).ok()))
    }

    /// The path of the source in a sysroot other than `/`, if the host has it as well and it is not
    /// in a directory for installed software, whose files are always meant to be the sysroot's.
    ///
    /// # Errors
    /// [`ReadFailure`]
    pub fn ambiguous(&self, host: &HostRoot) -> Result<Option<ImagePath>, ReadFailure> {
        let path = self.absolute_in_sysroot(host)?.ok().filter(|path| !is_installed(path));
        let failure = |source| ReadFailure { path: self.source.clone(), source };
        let on_host = || if_present(fs_err::symlink_metadata(&self.source)).map_err(failure);
        Ok(if path.is_some() && on_host()?.is_some() { path } else { None })
    }

    /// The file with the same absolute path in a sysroot other than `/`.
    ///
    /// # Errors
    /// [`ReadFailure`]
    fn absolute_in_sysroot(&self, host: &HostRoot) -> Result<Answer<ImagePath>, ReadFailure> {
        use std::os::unix::ffi::OsStrExt as _;
        if !self.source.is_absolute() || host.root() == Path::new("/") {
            return Ok(Err(Absence::Missing));
        }
        let Ok(path) = ImagePath::new(self.source.as_os_str().as_bytes()) else {
            return Ok(Err(Absence::Missing));
        };
        Ok(host.resolve(path.as_bytes())?.map(|_| path))
    }

    pub(super) fn gather(
        &self,
        host: &HostRoot,
        options: &InputOptions,
    ) -> Result<Input, SourceError> {
        let source = self.on_host(host)?;
        let metadata = match fs_err::metadata(&source) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return match fs_err::read_link(&source) {
                    Ok(target) => {
                        Err(SourceError::DanglingLink { name: self.text.clone(), target })
                    }
                    Err(_) => self.command(host, options),
                };
            }
            Err(error) => return Err(SourceError::Unreadable { path: source, source: error }),
        };
        if metadata.is_dir() {
            let root = self.directory_root()?;
            let tree = dir::read(&self.text, &source, &root, options)?;
            return Ok(Input::new(&self.text, tree, InputKind::Directory));
        }
        if let Some(input) = self.of_shim(host, &metadata, options)? {
            return Ok(input);
        }
        if metadata.is_file() && !options.as_file && self.is_tarball(&source)? {
            let root =
                self.destination.as_ref().map_or_else(ImagePath::root, |dest| dest.path.clone());
            let tree = tarball::read(&source, &root, options)?;
            return Ok(Input::new(&self.text, tree, InputKind::Tarball));
        }
        match self.installed(host)? {
            Some(path) => self.in_place(path, options),
            None => self.file(&source, &metadata, options),
        }
    }

    /// Where the source is on the host. What is in a sysroot other than `/` has all its links
    /// resolved there.
    fn on_host(&self, host: &HostRoot) -> Result<PathBuf, SourceError> {
        if host.root() != Path::new("/")
            && let Some(path) = self.located(host)?
            && let Ok(found) = host.resolve(path.as_bytes())?
        {
            return Ok(host.host_path(&found.path));
        }
        Ok(self.source.clone())
    }

    /// Whether `source` is a tarball. One that is damaged may be packed as a file if the user
    /// says where.
    fn is_tarball(&self, source: &Path) -> Result<bool, SourceError> {
        match tarball::is_tarball_at(source) {
            Err(SourceError::NoTarball { .. }) if self.destination.is_some() => Ok(false),
            verdict => verdict,
        }
    }

    /// The path in the sysroot of an installed program that the user named by its full path. Such a
    /// program looks for its own files near itself and under the path that it was built for.
    fn installed(&self, host: &HostRoot) -> Result<Option<ImagePath>, ReadFailure> {
        if !self.source.is_absolute() {
            return Ok(None);
        }
        let Some(path) = self.located(host)? else { return Ok(None) };
        let stays = self.destination.is_none() || self.is_destination(&path);
        let installed = stays && is_installed(&path);
        Ok((installed && is_program(&host.find(path.as_bytes())?)).then_some(path))
    }

    /// Whether the destination is `path`, where the program is installed, or the path that the user
    /// names it by. Both say the same as no destination.
    fn is_destination(&self, path: &ImagePath) -> bool {
        use std::os::unix::ffi::OsStrExt as _;
        let absolute = || Some(&self.source).filter(|source| source.is_absolute());
        let named = || ImagePath::new(absolute()?.as_os_str().as_bytes()).ok();
        self.file_path().is_ok_and(|dest| dest == *path || named() == Some(dest))
    }

    /// An installed program at its own path, and a link to it where `cp -a` would place the
    /// program. With a destination, which is this path by another name, there is no link.
    fn in_place(&self, path: ImagePath, options: &InputOptions) -> Result<Input, SourceError> {
        let dest = self.file_path()?;
        if self.destination.is_some() {
            return Ok(Input::new(&self.text, Tree::new(), InputKind::Command(dest)));
        }
        let kind = Kind::Symlink(path.as_bytes().into());
        let link = Node { meta: options.meta(0o777, false), kind };
        let shortcut = (dest != path).then_some((dest, link));
        Ok(Input { shortcut, ..Input::new(&self.text, Tree::new(), InputKind::Command(path)) })
    }

    /// A single file. A link that the user names is replaced by its target.
    fn file(
        &self,
        source: &Path,
        metadata: &Metadata,
        options: &InputOptions,
    ) -> Result<Input, SourceError> {
        let real = fs_err::canonicalize(source)
            .map_err(|error| SourceError::Unreadable { path: source.into(), source: error })?;
        let path = self.file_path()?;
        let node = dir::node(&self.text, &real, &HostStat::of_metadata(metadata), options)?;
        let tree = Tree::from_iter([(path.clone(), node)]);
        Ok(Input::new(&self.text, tree, InputKind::File(path)))
    }

    /// Where a directory's contents go.
    fn directory_root(&self) -> Result<ImagePath, SourceError> {
        match &self.destination {
            Some(dest) if dest.directory && !self.contents => self.named_in(&dest.path),
            Some(dest) => Ok(dest.path.clone()),
            None if self.contents => Ok(ImagePath::root()),
            None => self.named_in(&ImagePath::root()),
        }
    }

    fn file_path(&self) -> Result<ImagePath, SourceError> {
        match &self.destination {
            Some(dest) if dest.directory => self.named_in(&dest.path),
            Some(dest) => Ok(dest.path.clone()),
            None => self.named_in(&ImagePath::root()),
        }
    }

    fn named_in(&self, dir: &ImagePath) -> Result<ImagePath, SourceError> {
        use std::os::unix::ffi::OsStrExt as _;
        let name = self.source.file_name().unwrap_or_default().as_bytes();
        let wrong =
            |source| SourceError::BadPath { name: self.text.clone(), entry: name.into(), source };
        dir.join(name).map_err(wrong)
    }

    /// A bare name, looked up as a command in the sysroot.
    fn command(&self, host: &HostRoot, options: &InputOptions) -> Result<Input, SourceError> {
        use std::os::unix::ffi::OsStrExt as _;
        let name = self.source.as_os_str().as_bytes();
        let bare = !name.contains(&b'/');
        let Search { found, closed } =
            if bare { command(name, host, options)? } else { Search::default() };
        let input = match found {
            Some(path) => self.of_sysroot(path, host, options)?,
            None => {
                let name = self.source.display().to_string();
                let meant = meant::input(&self.text, host, options);
                return Err(SourceError::NotFound { name, bare, closed, meant });
            }
        };
        Ok(Input { closed, ..input })
    }
}

/// Whether `text` starts with a scheme and `//` (RFC 3986, section 3).
fn is_url(text: &str) -> bool {
    let scheme = text.split_once("://").map_or("", |(scheme, _)| scheme);
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
}

/// Top-level directories that hold installed software.
const INSTALLED: [&[u8]; 8] =
    [b"usr", b"bin", b"sbin", b"opt", b"lib", b"lib32", b"lib64", b"libx32"];

/// Whether `path` is in a directory for installed software.
fn is_installed(path: &ImagePath) -> bool {
    INSTALLED.contains(&path.relative().split(|&b| b == b'/').next().unwrap_or_default())
}

impl Request {
    /// What a shim of a version manager starts; `None` if the file is not one.
    fn of_shim(
        &self,
        host: &HostRoot,
        metadata: &Metadata,
        options: &InputOptions,
    ) -> Result<Option<Input>, SourceError> {
        let Some(path) = self.located(host)?.filter(|_| !options.as_file) else { return Ok(None) };
        let Some(shim) = shim::look(&path, host, &options.versions)? else { return Ok(None) };
        let program = match shim {
            Shim::Program(program) => Some(program),
            Shim::Next => command(path.file_name(), host, options)?.found,
            Shim::Unknown(manager) => return Err(Shim::refused(&self.text, manager)),
        };
        match program {
            Some(program) => self.of_sysroot(program, host, options),
            None => self.file(&self.on_host(host)?, metadata, options),
        }
        .map(Some)
    }

    /// A command of the sysroot, at its own path unless there is a destination.
    fn of_sysroot(
        &self,
        path: ImagePath,
        host: &HostRoot,
        options: &InputOptions,
    ) -> Result<Input, SourceError> {
        if self.destination.is_some() && !self.is_destination(&path) {
            return self.elsewhere(&path, host, options);
        }
        Ok(Input::new(&self.text, Tree::new(), InputKind::Command(path)))
    }

    /// A command of the sysroot that gets another path in the image.
    fn elsewhere(
        &self,
        path: &ImagePath,
        host: &HostRoot,
        options: &InputOptions,
    ) -> Result<Input, SourceError> {
        let gone = |error: Absence| SourceError::Unreadable {
            path: host.host_path(path),
            source: io::Error::other(error.to_string()),
        };
        let on_host = host.host_path(&host.resolve(path.as_bytes())?.map_err(gone)?.path);
        let metadata = fs_err::metadata(&on_host)
            .map_err(|source| SourceError::Unreadable { path: on_host.clone(), source })?;
        self.file(&on_host, &metadata, options)
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
    host: &HostRoot,
    options: &InputOptions,
) -> Result<Search, SourceError> {
    let mut search = Search::default();
    for dir in &options.command_dirs {
        let Ok(path) = dir.join(name) else { continue };
        match host.find(path.as_bytes())? {
            answer if is_program(&answer) => match shim::look(&path, host, &options.versions)? {
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
            Err(Absence::Denied) if may_search(dir, name, host)? => search.closed.push(path),
            Err(Absence::Denied) => search.closed.push(dir.clone()),
            _ => {}
        }
    }
    Ok(search)
}

/// Whether this user may look for `name` in `dir`.
fn may_search(dir: &ImagePath, name: &[u8], host: &HostRoot) -> Result<bool, ReadFailure> {
    let Ok(dir) = host.resolve(dir.as_bytes())? else { return Ok(false) };
    let Ok(path) = dir.path.join(name) else { return Ok(false) };
    Ok(!matches!(host.node(&path)?, Err(Absence::Denied)))
}

/// Whether it is a regular file that someone may execute.
fn is_program(answer: &Answer<Option<Node>>) -> bool {
    matches!(answer, Ok(Some(node)) if node.is_executable())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, directory: &str, file: &str) {
        let request = Request::parse(text).unwrap();
        assert_eq!(request.directory_root().unwrap().to_string(), directory, "as a directory");
        assert_eq!(request.file_path().unwrap().to_string(), file, "as a file");
    }

    #[test]
    fn places_as_cp_a_would() {
        check("./bin", "/bin", "/bin");
        check("a/b/bin", "/bin", "/bin");
        check("./bin:/opt", "/opt", "/opt");
        check("./bin:/opt/", "/opt/bin", "/opt/bin");
        check("./bin:/", "/bin", "/bin");
        check("./bin/:/opt/", "/opt", "/opt/bin");
        check("a:b:/x", "/x", "/x");
    }

    #[test]
    fn a_trailing_slash_means_the_contents() {
        for text in ["./rootfs/", ".", "./", "/", ".."] {
            let root = Request::parse(text).unwrap().directory_root().unwrap();
            assert!(root.is_root(), "{text}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_not_taken_for_absent() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("loop", dir.path().join("loop")).unwrap();
        let host = HostRoot::new(dir.path()).unwrap();
        let found = |name: &str| {
            let text = dir.path().join(name).display().to_string();
            Request::parse(&text).unwrap().in_sysroot(&host)
        };
        assert_eq!(found("gone").unwrap(), None);
        assert!(found("loop/file").is_err());
    }

    #[test]
    fn refuses_impossible_destinations() {
        assert_eq!(Request::parse(""), Err(RequestError::Empty));
        assert_eq!(Request::parse(":/x"), Err(RequestError::Empty));
        assert!(matches!(Request::parse("a:/../x"), Err(RequestError::Destination { .. })));
    }
}
