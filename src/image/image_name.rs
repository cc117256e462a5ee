//! The name of an image in a file or directory, as users write it to have it read.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use super::Transport;
use crate::{
    digest::{Digest, DigestError},
    path::escape,
};

/// The name of a local image: where it is, and which of several images there it selects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageName {
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

/// Why a text does not name a local image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageNameError {
    /// Nothing follows the transport.
    #[error("`{}` does not name a file", escape(.0.as_bytes()))]
    Empty(String),
    /// A transport that imgb does not read.
    #[error("cannot read images from `{0}:`; known are {known}", known = Transport::readable())]
    Transport(Transport),
    /// What follows the `@` is not a digest.
    #[error(transparent)]
    Digest(#[from] DigestError),
}

impl ImageName {
    /// Parses `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]`, `docker-archive:FILE[:NAME]`, `dir:DIR`
    /// and `PATH[:TAG]`; `@sha256:HEX` may follow each. After a transport the path ends at the
    /// first colon; a bare path, and that of `dir:`, may contain colons if `exists` says that the
    /// host has it.
    ///
    /// # Errors
    /// [`ImageNameError`]
    pub fn parse(text: &str, exists: impl Fn(&Path) -> bool) -> Result<Self, ImageNameError> {
        let prefix = Transport::split_prefix(text);
        let (transport, rest) = match prefix {
            // A directory that is called so, and a tag.
            Some((Transport::Dir, rest))
                if exists(Path::new("dir")) && !exists(Path::new(rest)) =>
            {
                (None, text)
            }
            Some((transport, rest)) if transport.is_read() => (Some(transport), rest),
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

/// The path as the user wrote it, for messages: one printable line.
impl fmt::Display for ImageName {
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
            let wanted = ImageName { transport, path: path.into(), tag, digest: None };
            assert_eq!(ImageName::parse(text, there), Ok(wanted), "{text}");
        }
        assert!(ImageName::parse("docker://alpine", there).is_err());
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
            "cannot read images from `rootfs:`; known are oci:, oci-archive:, \
             docker-archive: and dir:"
        );
        let file = ImageName::parse("rootfs:x.tar", |path| path == Path::new("rootfs:x.tar"));
        assert_eq!(file.unwrap().path, Path::new("rootfs:x.tar"));
    }
}
