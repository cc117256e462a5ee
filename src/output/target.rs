//! Where an image goes: the transports of containers-transports(5), and imgb's own.

use std::path::{Path, PathBuf};

use crate::image::{Reference, ReferenceError};

/// One output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// What is written.
    pub format: Format,
    /// Where.
    pub place: Place,
    /// The tag in an OCI layout (`oci:DIR:TAG`), instead of the image's names.
    pub tag: Option<String>,
}

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// OCI layout and docker's manifest.json in one tar.
    Archive,
    /// A tar with docker's manifest.json.
    DockerArchive,
    /// An OCI layout in a tar.
    OciArchive,
    /// An OCI layout as a directory.
    OciLayout,
    /// The root file system as a tar.
    Rootfs,
}

/// Where an output goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A file, or a directory for [`Format::OciLayout`].
    Path(PathBuf),
    /// Standard output.
    Stdout,
}

/// Why text is no output.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Nothing behind the transport.
    #[error("output `{0}` names no file")]
    Empty(String),
    /// An OCI layout is a directory.
    #[error(
        "output `{0}`: an OCI layout is a directory and cannot go to stdout; use `oci-archive:-`"
    )]
    LayoutToStdout(String),
    /// A directory was named where a file is written.
    #[error("output `{0}` is a directory, and this format is written to a file")]
    Directory(String),
    /// A transport that imgb does not write.
    #[error(
        "output `{text}`: cannot write to `{transport}:`; known are docker-archive:, oci-archive:, oci: and rootfs:"
    )]
    Transport {
        /// As written.
        text: String,
        /// The word before the colon.
        transport: String,
    },
    /// A tag that is none.
    #[error(transparent)]
    Tag(#[from] ReferenceError),
}

impl Target {
    /// Reads an output; `default` is the format of those that do not say it. `is_directory` tells
    /// of a path of the host whether it is a directory now.
    ///
    /// # Errors
    /// [`TargetError`].
    pub fn parse(
        text: &str,
        default: Option<Format>,
        is_directory: impl Fn(&Path) -> bool,
    ) -> Result<Self, TargetError> {
        let (format, rest) = match text.split_once(':') {
            Some(("docker-archive", rest)) => (Some(Format::DockerArchive), rest),
            Some(("oci-archive", rest)) => (Some(Format::OciArchive), rest),
            Some(("rootfs", rest)) => (Some(Format::Rootfs), rest),
            Some(("oci", rest)) => return Self::layout(text, rest),
            Some((
                transport @ ("docker" | "docker-daemon" | "containers-storage" | "dir" | "ostree"),
                _,
            )) => {
                return Err(TargetError::Transport {
                    text: text.into(),
                    transport: transport.into(),
                });
            }
            _ => (default, text),
        };
        if rest.is_empty() {
            return Err(TargetError::Empty(text.into()));
        }
        if rest == "-" {
            return match format.unwrap_or(Format::Archive) {
                Format::OciLayout => Err(TargetError::LayoutToStdout(text.into())),
                format => Ok(Self { format, place: Place::Stdout, tag: None }),
            };
        }
        let directory = rest.ends_with('/') || is_directory(Path::new(rest));
        let format = match (format, directory) {
            (None | Some(Format::OciLayout), true) => Format::OciLayout,
            (None, false) => Format::Archive,
            (Some(Format::OciLayout), false) => Format::OciArchive,
            (Some(format), false) => format,
            (Some(_), true) => return Err(TargetError::Directory(text.into())),
        };
        Ok(Self { format, place: Place::Path(rest.into()), tag: None })
    }

    /// `DIR[:TAG]`; the path ends at the first colon (containers-transports(5)).
    fn layout(text: &str, rest: &str) -> Result<Self, TargetError> {
        let (dir, tag) = match rest.split_once(':') {
            Some((dir, tag)) => (dir, Some(tag)),
            None => (rest, None),
        };
        match dir {
            "" => return Err(TargetError::Empty(text.into())),
            "-" => return Err(TargetError::LayoutToStdout(text.into())),
            _ => {}
        }
        if let Some(tag) = tag {
            format!("image:{tag}").parse::<Reference>()?;
        }
        Ok(Self {
            format: Format::OciLayout,
            place: Place::Path(dir.into()),
            tag: tag.map(Into::into),
        })
    }

    /// The file or directory, unless it is stdout.
    pub fn path(&self) -> Option<&Path> {
        match &self.place {
            Place::Path(path) => Some(path),
            Place::Stdout => None,
        }
    }

    /// The name of an image that was given none: the output's, without directory and ending. `None`
    /// for stdout.
    pub fn stem(&self) -> Option<String> {
        let Place::Path(path) = &self.place else { return None };
        let name = path.file_name()?.to_string_lossy().into_owned();
        let archive = [".docker.tar", ".oci.tar", ".tar", ".oci"]
            .iter()
            .find_map(|ending| name.strip_suffix(ending));
        Some(Reference::repository_from(archive.unwrap_or(&name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, default: Option<Format>, wanted: &str) {
        let target = Target::parse(text, default, |path| path == Path::new("dir"));
        let said = match target {
            Ok(Target { format, place: Place::Path(path), tag }) => {
                format!(
                    "{format:?} {}{}",
                    path.display(),
                    tag.map(|t| format!(" {t}")).unwrap_or_default()
                )
            }
            Ok(target) => format!("{:?} {:?}", target.format, target.place),
            Err(error) => error.to_string(),
        };
        assert_eq!(said, wanted);
    }

    #[test]
    fn reads_transports() {
        check("app.tar", None, "Archive app.tar");
        check("dir", None, "OciLayout dir");
        check("new/", None, "OciLayout new/");
        check("-", None, "Archive Stdout");
        check("-", Some(Format::Rootfs), "Rootfs Stdout");
        check("docker-archive:a:b.tar", None, "DockerArchive a:b.tar");
        check("oci:dir", None, "OciLayout dir");
        check("oci:dir:1.0", Some(Format::DockerArchive), "OciLayout dir 1.0");
        check("x.tar", Some(Format::OciLayout), "OciArchive x.tar");
        check("dir", Some(Format::OciLayout), "OciLayout dir");
        check("rootfs:-", None, "Rootfs Stdout");
        check("C:x", None, "Archive C:x");
    }

    #[test]
    fn refuses_what_cannot_be_written() {
        check("rootfs:", None, "output `rootfs:` names no file");
        check(
            "rootfs:dir",
            None,
            "output `rootfs:dir` is a directory, and this format is written to a file",
        );
        check(
            "docker://x/y",
            None,
            "output `docker://x/y`: cannot write to `docker:`; known are docker-archive:, oci-archive:, oci: and rootfs:",
        );
        check(
            "oci:-",
            None,
            "output `oci:-`: an OCI layout is a directory and cannot go to stdout; use `oci-archive:-`",
        );
        assert!(Target::parse("oci:dir:../x", None, |_| false).is_err());
    }

    #[test]
    fn names_an_image_after_its_output() {
        let stem = |text| Target::parse(text, None, |_| false).unwrap().stem().unwrap();
        assert_eq!(stem("out/My App.tar"), "my-app");
        assert_eq!(stem("oci:layout:x"), "layout");
    }
}
