//! What a user calls an image that is a file or directory here: the transports of
//! containers-transports(5).

use std::{
    fmt,
    path::{Path, PathBuf},
};

/// A local image: where it is, and which of several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageName {
    /// What it must be; `None` where its content decides.
    pub transport: Option<Transport>,
    /// The file or directory.
    pub path: PathBuf,
    /// Which of the images in it: a tag or a whole name.
    pub tag: Option<String>,
}

/// What kind of file an image is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// An OCI layout directory.
    Oci,
    /// A tar of an OCI layout.
    OciArchive,
    /// A tar as `docker save` makes it.
    DockerArchive,
}

/// Why text names no local image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing behind the transport.
    #[error("`{}` names no file", crate::path::escape(.0.as_bytes()))]
    Empty(String),
    /// A transport that is not read.
    #[error("cannot read images from `{0}:`; known are oci:, oci-archive: and docker-archive:")]
    Transport(String),
}

impl ImageName {
    /// Reads `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]`, `docker-archive:FILE[:NAME]` and
    /// `PATH[:TAG]`. Behind a transport the path ends at the first colon; a bare path may have
    /// colons in it if `exists` says that it is there.
    ///
    /// # Errors
    /// [`NameError`]
    pub fn parse(text: &str, exists: impl Fn(&Path) -> bool) -> Result<Self, NameError> {
        let (transport, rest) = match text.split_once(':') {
            Some(("oci", rest)) => (Some(Transport::Oci), rest),
            Some(("oci-archive", rest)) => (Some(Transport::OciArchive), rest),
            Some(("docker-archive", rest)) => (Some(Transport::DockerArchive), rest),
            Some((
                other @ ("docker" | "docker-daemon" | "containers-storage" | "dir" | "ostree"
                | "sif"),
                _,
            )) if !exists(Path::new(text)) && !exists(Path::new(other)) => {
                return Err(NameError::Transport(other.into()));
            }
            _ => (None, text),
        };
        let (path, tag) = match transport {
            Some(_) => rest.split_once(':').map_or((rest, None), |(path, tag)| (path, Some(tag))),
            None => bare(rest, exists),
        };
        if path.is_empty() {
            return Err(NameError::Empty(text.into()));
        }
        let tag = tag.filter(|tag| !tag.is_empty()).map(Into::into);
        Ok(Self { transport, path: path.into(), tag })
    }
}

/// The longest front that exists, up to a colon or the end.
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
        f.write_str(&crate::path::escape(self.path.as_os_str().as_encoded_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_end_where_the_transport_says() {
        let there = |path: &Path| matches!(path.to_str(), Some("a:b.tar" | "dir"));
        for (text, transport, path, tag) in [
            ("oci:dir:1.0", Some(Transport::Oci), "dir", Some("1.0")),
            ("oci:dir", Some(Transport::Oci), "dir", None),
            ("docker-archive:x.tar:app:1", Some(Transport::DockerArchive), "x.tar", Some("app:1")),
            ("a:b.tar", None, "a:b.tar", None),
            ("a:b.tar:app:1", None, "a:b.tar", Some("app:1")),
            ("dir:latest", None, "dir", Some("latest")),
            ("gone:x", None, "gone:x", None),
        ] {
            let wanted = ImageName { transport, path: path.into(), tag: tag.map(Into::into) };
            assert_eq!(ImageName::parse(text, there), Ok(wanted), "{text}");
        }
        assert!(ImageName::parse("docker://alpine", there).is_err());
        assert!(ImageName::parse("oci:", there).is_err());
    }
}
