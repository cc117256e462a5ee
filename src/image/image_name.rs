//! The name of an image, as users write it to have it read.

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr as _,
};

use super::{EngineImage, EngineImageError, RegistryName, RegistryNameError, Transport};
use crate::{
    digest::{Digest, DigestError},
    path::escape,
};

/// The name of an image: where it is, and which of several images there it selects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageName {
    /// In a file or directory.
    Stored(StoredImage),
    /// In a registry.
    Registry(RegistryName),
    /// In the store of an engine on this machine.
    Engine(EngineImage),
}

/// The name of an image in a file or directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredImage {
    /// How it is stored; `None` where its content decides.
    pub transport: Option<Transport>,
    /// The file or directory.
    pub path: PathBuf,
    /// Which of the images there: a tag or a whole name.
    pub tag: Option<String>,
    /// Which of the images there: the digest of its manifest or of an index, or the image's ID in
    /// an archive of `docker save`.
    pub digest: Option<Digest>,
}

/// Why a text does not name an image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageNameError {
    /// Nothing follows the transport.
    #[error("`{}` does not name a file", escape(.0.as_bytes()))]
    Empty(String),
    /// A transport that imgb does not read.
    #[error("cannot read images from `{0}:`; known are {known}", known = Transport::readable())]
    Transport(Transport),
    /// `docker:` without the slashes.
    #[error("`{}`: write `docker://` before the name of an image in a registry",
        escape(.0.as_bytes()))]
    Slashes(String),
    /// What follows `docker://` is not a name.
    #[error(transparent)]
    Registry(#[from] RegistryNameError),
    /// What follows `docker-daemon:` or `containers-storage:` is not a name.
    #[error(transparent)]
    Engine(#[from] EngineImageError),
    /// What follows the `@` is not a digest.
    #[error(transparent)]
    Digest(#[from] DigestError),
}

impl ImageName {
    /// Parses the names of containers-transports(5): `docker://NAME[:TAG]`, `docker-daemon:NAME`,
    /// `containers-storage:NAME`, `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]`,
    /// `docker-archive:FILE[:NAME]`, `dir:DIR`, and `PATH[:TAG]`; `@sha256:HEX` may follow each.
    /// After the transport of a file the path ends at the first colon; a bare path, and that of
    /// `dir:`, may contain colons if `exists` says that the host has it.
    ///
    /// # Errors
    /// [`ImageNameError`]
    pub fn parse(text: &str, exists: impl Fn(&Path) -> bool) -> Result<Self, ImageNameError> {
        match Transport::split_prefix(text) {
            Some((Transport::Docker, rest)) => match rest.strip_prefix("//") {
                Some(name) => Ok(Self::Registry(name.parse()?)),
                None if exists(Path::new(text)) || exists(Path::new("docker")) => {
                    StoredImage::parse(text, exists).map(Self::Stored)
                }
                None => Err(ImageNameError::Slashes(text.into())),
            },
            Some((Transport::DockerDaemon | Transport::ContainersStorage, _)) => {
                Ok(Self::Engine(text.parse()?))
            }
            _ => StoredImage::parse(text, exists).map(Self::Stored),
        }
    }

    /// As [`ImageName::parse`], and a bare name that the host does not have as a file is that of an
    /// image in a registry, as in FROM.
    ///
    /// # Errors
    /// [`ImageNameError`]
    pub fn parse_in_recipe(
        text: &str,
        exists: impl Fn(&Path) -> bool,
    ) -> Result<Self, ImageNameError> {
        let parsed = Self::parse(text, &exists)?;
        match &parsed {
            Self::Stored(StoredImage { transport: None, path, .. }) if !exists(path) => {
                Ok(as_registry_name(text).map_or(parsed, Self::Registry))
            }
            _ => Ok(parsed),
        }
    }

    /// The file or directory of an image that is stored in one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Stored(stored) => Some(&stored.path),
            Self::Registry(_) | Self::Engine(_) => None,
        }
    }
}

/// What a bare name means as the name of an image in a registry; `None` if it looks like that of a
/// file: an archive's, without a registry.
pub fn as_registry_name(text: &str) -> Option<RegistryName> {
    let name = RegistryName::from_str(text).ok()?;
    let is_archive = [".tar", ".tgz", ".tar.gz", ".tar.zst", ".tar.xz", ".oci"]
        .iter()
        .any(|ending| name.repository.ends_with(ending));
    let is_archive = is_archive && name.tag.is_none() && name.registry == "docker.io";
    (!is_archive).then_some(name)
}

impl StoredImage {
    fn parse(text: &str, exists: impl Fn(&Path) -> bool) -> Result<Self, ImageNameError> {
        let prefix = Transport::split_prefix(text);
        let (transport, rest) = match prefix {
            // A directory that is called so, and a tag.
            Some((Transport::Dir, rest))
                if exists(Path::new("dir")) && !exists(Path::new(rest)) =>
            {
                (None, text)
            }
            Some((transport, rest)) if transport.is_file() && transport.is_read() => {
                (Some(transport), rest)
            }
            Some((transport, _))
                if !exists(Path::new(text)) && !exists(Path::new(&transport.to_string())) =>
            {
                return Err(ImageNameError::Transport(transport));
            }
            _ => (None, text),
        };
        let (rest, digest) = match split_digest(rest) {
            Some((rest, digest)) if !exists(Path::new(text)) => (rest, Some(digest.parse()?)),
            _ => (rest, None),
        };
        let (path, tag) = match transport {
            None | Some(Transport::Dir) => bare(rest, exists),
            Some(_) => rest.split_once(':').map_or((rest, None), |(path, tag)| (path, Some(tag))),
        };
        if path.is_empty() {
            return Err(ImageNameError::Empty(text.into()));
        }
        let tag = tag.filter(|tag| !tag.is_empty()).map(Into::into);
        Ok(Self { transport, path: path.into(), tag, digest })
    }
}

/// What stands before and after the `@` of a digest. The algorithm has to be one that OCI names: a
/// path or tag may have an `@` too.
fn split_digest(text: &str) -> Option<(&str, &str)> {
    let (rest, digest) = text.rsplit_once('@')?;
    let (algorithm, _) = digest.split_once(':')?;
    matches!(algorithm, "sha256" | "sha384" | "sha512" | "blake3").then_some((rest, digest))
}

/// Path and tag: the longest prefix that exists and ends before a colon or at the end.
fn bare(text: &str, exists: impl Fn(&Path) -> bool) -> (&str, Option<&str>) {
    if exists(Path::new(text)) {
        return (text, None);
    }
    let colons = text.char_indices().rev().filter(|&(_, c)| c == ':').map(|(at, _)| at);
    let mut splits = colons.filter_map(|at| Some((text.get(..at)?, text.get(at + 1..)?)));
    match splits.find(|(path, _)| !path.is_empty() && exists(Path::new(path))) {
        Some((path, tag)) => (path, Some(tag)),
        None => (text, None),
    }
}

/// The path, or the name with its transport, for messages: one printable line.
impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stored(stored) => stored.fmt(f),
            Self::Registry(name) => write!(f, "docker://{name}"),
            Self::Engine(name) => name.fmt(f),
        }
    }
}

/// The path as the user wrote it, for messages: one printable line.
impl fmt::Display for StoredImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&escape(self.path.as_os_str().as_encoded_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_end_where_the_transport_says() {
        let there = |path: &Path| matches!(path.to_str(), Some("a:b.tar" | "dir" | "app@1"));
        for (text, transport, path, tag) in [
            ("oci:dir:1.0", Some(Transport::Oci), "dir", Some("1.0")),
            ("oci:dir", Some(Transport::Oci), "dir", None),
            ("docker-archive:x.tar:app:1", Some(Transport::DockerArchive), "x.tar", Some("app:1")),
            ("dir:a:b.tar", Some(Transport::Dir), "a:b.tar", None),
            ("a:b.tar", None, "a:b.tar", None),
            ("a:b.tar:app:1", None, "a:b.tar", Some("app:1")),
            ("dir:latest", None, "dir", Some("latest")),
            ("app@1:latest", None, "app@1", Some("latest")),
            ("gone:x", None, "gone:x", None),
        ] {
            let tag = tag.map(Into::into);
            let wanted = StoredImage { transport, path: path.into(), tag, digest: None };
            let read = ImageName::parse(text, there);
            assert_eq!(read, Ok(ImageName::Stored(wanted)), "{text}");
        }
        assert!(ImageName::parse("oci:", there).is_err());
    }

    #[test]
    fn a_digest_follows_the_name() {
        let digest = Digest::of("x");
        let there = |path: &Path| matches!(path.to_str(), Some("a:b.tar" | "dir"));
        for (name, path, tag) in [
            ("oci:dir:1.0", "dir", Some("1.0")),
            ("oci:dir", "dir", None),
            ("a:b.tar", "a:b.tar", None),
            ("dir:1.0", "dir", Some("1.0")),
            ("a:b.tar:1", "a:b.tar", Some("1")),
        ] {
            let read = ImageName::parse(&format!("{name}@{digest}"), there).unwrap();
            let ImageName::Stored(read) = read else { panic!("{read:?}") };
            assert_eq!((read.digest, read.tag.as_deref()), (Some(digest), tag), "{name}");
            assert_eq!(read.path, Path::new(path), "{name}");
        }
        for digest in ["sha512:00", "sha256:00", "blake3:x"] {
            let error = ImageName::parse(&format!("oci:dir@{digest}"), there).unwrap_err();
            assert!(error.to_string().contains(digest), "{error}");
        }
    }

    #[test]
    fn what_is_only_written_cannot_be_read() {
        assert_eq!(
            ImageName::parse("rootfs:x.tar", |_| false).unwrap_err().to_string(),
            "cannot read images from `rootfs:`; known are oci:, oci-archive:, docker-archive:, \
             docker://, docker-daemon:, containers-storage: and dir:"
        );
        let file = ImageName::parse("rootfs:x.tar", |path| path == Path::new("rootfs:x.tar"));
        assert_eq!(file.unwrap().path(), Some(Path::new("rootfs:x.tar")));
    }

    /// The examples of containers-transports(5).
    #[test]
    fn registries_and_engines_have_transports() {
        let shown = |text| match ImageName::parse(text, |_| false) {
            Ok(name) => name.to_string(),
            Err(error) => error.to_string(),
        };
        for (text, wanted) in [
            ("docker://alpine", "docker://docker.io/library/alpine"),
            ("docker://quay.io/a/b:1", "docker://quay.io/a/b:1"),
            ("docker://localhost:5000/a", "docker://localhost:5000/a"),
            (
                "docker:alpine",
                "`docker:alpine`: write `docker://` before the name of an image in \
                               a registry",
            ),
            ("docker-daemon:app:1", "docker-daemon:app:1"),
            (
                "docker-daemon:sha256:",
                "`sha256:` has no valid tag: use at most 128 letters, \
                                       digits, `_`, `.` and `-`, as in `app:1.0`",
            ),
            ("containers-storage:localhost/app", "containers-storage:localhost/app"),
            (
                "sif:x",
                "cannot read images from `sif:`; known are oci:, oci-archive:, \
                       docker-archive:, docker://, docker-daemon:, containers-storage: and dir:",
            ),
        ] {
            assert_eq!(shown(text), wanted, "{text}");
        }
        assert!(ImageName::parse("docker://", |_| false).is_err());
    }

    #[test]
    fn bare_names_in_a_recipe_are_a_registry_s_unless_they_are_files() {
        let there = |path: &Path| path == Path::new("debian");
        let read = |text| ImageName::parse_in_recipe(text, there).unwrap().to_string();
        assert_eq!(read("debian"), "debian");
        assert_eq!(read("debian:12"), "debian");
        assert_eq!(read("alpine:3.20"), "docker://docker.io/library/alpine:3.20");
        assert_eq!(read("ghcr.io/team/app.tar"), "docker://ghcr.io/team/app.tar");
        assert_eq!(read("app.tar"), "app.tar");
        assert_eq!(read("./app"), "./app");
        assert_eq!(read("oci:layout"), "layout");
    }
}
