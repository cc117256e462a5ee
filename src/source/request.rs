//! Parses `SRC[:DEST]` and determines which kind of input it is.

mod in_sysroot;

use std::{
    fs::Metadata,
    io,
    path::{Path, PathBuf},
};

use super::{
    Input, InputKind, InputOptions, SourceError, Sysroot, dir, meant, stat::HostStat, tarball,
};
use crate::{
    path::{ImagePath, PathError},
    tree::Tree,
    uninterrupted,
};

pub use in_sysroot::{Search, command};

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

    pub(super) fn gather(
        &self,
        sysroot: Sysroot<'_>,
        options: &InputOptions,
    ) -> Result<Input, SourceError> {
        if !sysroot.is_machine()
            && let Some(path) = self.located(sysroot)?
        {
            return self.of_path(path, sysroot, options);
        }
        let metadata = match uninterrupted::metadata(&self.source) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return match uninterrupted::read_link(&self.source) {
                    Ok(target) => {
                        Err(SourceError::DanglingLink { name: self.text.clone(), target })
                    }
                    Err(_) => self.command(sysroot, options),
                };
            }
            Err(source) => {
                return Err(SourceError::Unreadable { path: self.source.clone(), source });
            }
        };
        if metadata.is_dir() {
            let root = self.directory_root()?;
            let tree = dir::read(&self.text, &self.source, &root, options)?;
            return Ok(Input::new(&self.text, tree, InputKind::Directory));
        }
        if let Some(input) = self.of_shim(self.below(sysroot)?, sysroot, options)? {
            return Ok(input);
        }
        let is_tarball = || self.or_placed(tarball::is_tarball_at(&self.source));
        if metadata.is_file() && !options.as_file && is_tarball()? {
            let tree = tarball::read(&self.source, &self.tarball_root(), options)?;
            return Ok(Input::new(&self.text, tree, InputKind::Tarball));
        }
        match self.installed(sysroot)? {
            Some(path) => self.in_place(path, options),
            None => self.file(&metadata, options),
        }
    }

    /// Whether the source is a tarball, by `verdict`. One that is damaged may be packed as a file
    /// if the user says where.
    fn or_placed(&self, verdict: Result<bool, SourceError>) -> Result<bool, SourceError> {
        match verdict {
            Err(SourceError::NoTarball { .. }) if self.destination.is_some() => Ok(false),
            verdict => verdict,
        }
    }

    /// Where a tarball's members go.
    fn tarball_root(&self) -> ImagePath {
        self.destination.as_ref().map_or_else(ImagePath::root, |dest| dest.path.clone())
    }

    /// A single file. A link that the user names is replaced by its target.
    fn file(&self, metadata: &Metadata, options: &InputOptions) -> Result<Input, SourceError> {
        let path = || self.source.clone();
        let real = uninterrupted::canonicalize(&self.source)
            .map_err(|source| SourceError::Unreadable { path: path(), source })?;
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
    fn command(&self, sysroot: Sysroot<'_>, options: &InputOptions) -> Result<Input, SourceError> {
        use std::os::unix::ffi::OsStrExt as _;
        let name = self.source.as_os_str().as_bytes();
        let bare = !name.contains(&b'/');
        let Search { found, closed } =
            if bare { command(name, sysroot, options)? } else { Search::default() };
        let input = match found {
            Some(path) => self.of_sysroot(path, sysroot, options)?,
            None => {
                let name = self.source.display().to_string();
                let meant = meant::input(&self.text, sysroot, options);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::HostRoot;

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
            Request::parse(&text).unwrap().in_sysroot((&host).into())
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
