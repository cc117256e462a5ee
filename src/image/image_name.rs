//! The name of an image in a file or directory, as users write it to have it read.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use super::Transport;
use crate::path::escape;

/// The name of a local image: where it is, and which of several images there it selects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageName {
    /// How it is stored; `None` where its content decides.
    pub transport: Option<Transport>,
    /// The file or directory.
    pub path: PathBuf,
    /// Which of the images there: a tag or a whole name.
    pub tag: Option<String>,
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
}

impl ImageName {
    /// Parses `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]`, `docker-archive:FILE[:NAME]` and
    /// `PATH[:TAG]`. After a transport the path ends at the first colon; a bare path may contain
    /// colons if `exists` says that the host has it.
    ///
    /// # Errors
    /// [`ImageNameError`]
    pub fn parse(text: &str, exists: impl Fn(&Path) -> bool) -> Result<Self, ImageNameError> {
        let (transport, (path, tag)) = match Transport::split_prefix(text) {
            Some((transport, rest)) if transport.is_read() => {
                let split = rest.split_once(':').map(|(path, tag)| (path, Some(tag)));
                (Some(transport), split.unwrap_or((rest, None)))
            }
            Some((transport, _))
                if !exists(Path::new(text)) && !exists(Path::new(&transport.to_string())) =>
            {
                return Err(ImageNameError::Transport(transport));
            }
            _ => (None, bare(text, exists)),
        };
        if path.is_empty() {
            return Err(ImageNameError::Empty(text.into()));
        }
        let tag = tag.filter(|tag| !tag.is_empty()).map(Into::into);
        Ok(Self { transport, path: path.into(), tag })
    }
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

    #[test]
    fn what_is_only_written_cannot_be_read() {
        assert_eq!(
            ImageName::parse("rootfs:x.tar", |_| false).unwrap_err().to_string(),
            "cannot read images from `rootfs:`; known are oci:, oci-archive: and docker-archive:"
        );
        let file = ImageName::parse("rootfs:x.tar", |path| path == Path::new("rootfs:x.tar"));
        assert_eq!(file.unwrap().path, Path::new("rootfs:x.tar"));
    }
}
