//! Where an image is written, as users write it.

use std::path::{Path, PathBuf};

use super::{
    EngineImage, EngineImageError, Reference, ReferenceError, RegistryName, RegistryNameError,
    Transport,
};
use crate::compress::Compression;

/// One output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// What is written.
    pub format: OutputFormat,
    /// Where it is written.
    pub destination: Destination,
    /// The tag in an OCI layout (`oci:DIR:TAG`), instead of the image's names.
    pub tag: Option<String>,
    /// How the file as a whole is compressed, besides its layers; the ending of its name says so.
    pub compression: Compression,
}

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputFormat {
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
    /// Manifests and blobs in a registry.
    Registry,
}

/// Where an output goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// A file, or a directory for [`OutputFormat::OciLayout`].
    Path(PathBuf),
    /// Standard output.
    Stdout,
    /// A repository of a registry, and the tag or digest there.
    Registry(RegistryName),
    /// The store of an engine, which is handed an [`OutputFormat::Archive`].
    Engine(EngineImage),
}

/// Why a text does not name an output.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Nothing follows the transport.
    #[error("output `{0}` does not name a file")]
    Empty(String),
    /// An OCI layout is a directory.
    #[error(
        "output `{0}`: an OCI layout is a directory and cannot go to stdout; \
         use `oci-archive:-`"
    )]
    LayoutToStdout(String),
    /// A directory where a file is written.
    #[error("output `{0}` is a directory, and this format is written to a file")]
    Directory(String),
    /// The file's name ends like that of a file in a format that imgb does not write.
    #[error("output `{0}`: imgb writes .tar, .tar.gz and .tar.zst, not .{1}")]
    Ending(String, String),
    /// A transport that imgb does not write.
    #[error("output `{text}`: cannot write to `{transport}:`; known are {}", Transport::writable())]
    Transport {
        /// The text as written.
        text: String,
        /// The transport before the colon.
        transport: Transport,
    },
    /// `docker:` without the slashes.
    #[error("output `{0}`: write `docker://` before the name of an image in a registry")]
    Slashes(String),
    /// An invalid tag.
    #[error(transparent)]
    Tag(#[from] ReferenceError),
    /// What follows `docker://` is not a name.
    #[error(transparent)]
    Registry(#[from] RegistryNameError),
    /// What follows `docker-daemon:` or `containers-storage:` is not a name.
    #[error(transparent)]
    Engine(#[from] EngineImageError),
    /// An image ID where a name is needed.
    #[error("output `{0}`: an engine computes the ID itself; write a name")]
    Id(String),
}

/// Names of standard output. Opened by a path, a file that it leads to would be written from its
/// start, over what else is printed there.
const STDOUT: [&str; 4] = ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"];

impl Target {
    /// Parses an output. `default` is the format if `text` has no transport; `is_directory` says
    /// whether a path of the host is a directory now.
    ///
    /// # Errors
    /// [`TargetError`]
    pub fn parse(
        text: &str,
        default: Option<OutputFormat>,
        is_directory: impl Fn(&Path) -> bool,
    ) -> Result<Self, TargetError> {
        let (format, rest) = match Transport::split_prefix(text) {
            Some((Transport::Oci, rest)) => return Self::layout(text, rest),
            Some((Transport::Docker, rest)) => {
                let name = rest.strip_prefix("//");
                let name = name.ok_or_else(|| TargetError::Slashes(text.into()))?.parse()?;
                return Ok(Self::remote(OutputFormat::Registry, Destination::Registry(name)));
            }
            Some((Transport::DockerDaemon | Transport::ContainersStorage, _)) => {
                let image: EngineImage = text.parse()?;
                if image.is_id() || image.name.parse::<Reference>().is_err() {
                    return Err(TargetError::Id(text.into()));
                }
                return Ok(Self::remote(OutputFormat::Archive, Destination::Engine(image)));
            }
            Some((Transport::OciArchive, rest)) => (Some(OutputFormat::OciArchive), rest),
            Some((Transport::DockerArchive, rest)) => (Some(OutputFormat::DockerArchive), rest),
            Some((Transport::Rootfs, rest)) => (Some(OutputFormat::Rootfs), rest),
            Some((transport, _)) => {
                return Err(TargetError::Transport { text: text.into(), transport });
            }
            None => (default, text),
        };
        if rest.is_empty() {
            return Err(TargetError::Empty(text.into()));
        }
        if STDOUT.contains(&rest) {
            return match format.unwrap_or(OutputFormat::Archive) {
                OutputFormat::OciLayout => Err(TargetError::LayoutToStdout(text.into())),
                format => Ok(Self {
                    format,
                    destination: Destination::Stdout,
                    tag: None,
                    compression: Compression::None,
                }),
            };
        }
        let directory = rest.ends_with('/') || is_directory(Path::new(rest));
        let format = match (format, directory) {
            (None | Some(OutputFormat::OciLayout), true) => OutputFormat::OciLayout,
            (None, false) => OutputFormat::Archive,
            (Some(OutputFormat::OciLayout), false) => OutputFormat::OciArchive,
            (Some(format), false) => format,
            (Some(_), true) => return Err(TargetError::Directory(text.into())),
        };
        let compression = match format {
            OutputFormat::OciLayout => Compression::None,
            _ => compression(rest).map_err(|ending| TargetError::Ending(text.into(), ending))?,
        };
        Ok(Self { format, destination: Destination::Path(rest.into()), tag: None, compression })
    }

    fn remote(format: OutputFormat, destination: Destination) -> Self {
        Self { format, destination, tag: None, compression: Compression::None }
    }

    /// The name that a registry or an engine gets the image under, instead of the image's names;
    /// `None` for other outputs, and for a registry where only a digest is given.
    pub fn own_name(&self) -> Option<Reference> {
        match &self.destination {
            Destination::Registry(name) => name.reference(),
            Destination::Engine(image) => image.name.parse().ok(),
            Destination::Path(_) | Destination::Stdout => None,
        }
    }

    /// The names that an image gets here: those of a registry or an engine are its own; other
    /// outputs take `names`, or their stem, or `fallback`. The tag in `oci:DIR:TAG` replaces that
    /// of the first name, and the other names are dropped.
    pub fn names(&self, names: &[Reference], fallback: &Reference) -> Vec<Reference> {
        if matches!(self.destination, Destination::Registry(_) | Destination::Engine(_)) {
            return self.own_name().into_iter().collect();
        }
        let mut names = names.to_vec();
        if names.is_empty() {
            let stem = self.stem().and_then(|stem| stem.parse().ok());
            names.push(stem.unwrap_or_else(|| fallback.clone()));
        }
        if let (Some(tag), Some(first)) = (&self.tag, names.first_mut()) {
            first.tag.clone_from(tag);
            names.truncate(1);
        }
        names
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
            format: OutputFormat::OciLayout,
            destination: Destination::Path(dir.into()),
            tag: tag.map(Into::into),
            compression: Compression::None,
        })
    }

    /// The file or directory, unless it is another kind of output.
    pub fn path(&self) -> Option<&Path> {
        match &self.destination {
            Destination::Path(path) => Some(path),
            _ => None,
        }
    }

    /// The repository name of an image that the user did not name: the file name without its
    /// ending. `None` for stdout.
    pub fn stem(&self) -> Option<String> {
        let Destination::Path(path) = &self.destination else { return None };
        let name = path.file_name()?.to_string_lossy().into_owned();
        let strip = |name: &str, endings: &[&str]| {
            let stem = endings.iter().find_map(|ending| name.strip_suffix(ending));
            stem.unwrap_or(name).to_owned()
        };
        let name = match self.compression {
            Compression::None => name,
            _ => strip(&name, &[".gz", ".tgz", ".zst", ".zstd", ".tzst"]),
        };
        let name = strip(&name, &[".docker.tar", ".oci.tar", ".tar", ".oci"]);
        Some(Reference::repository_from(&name))
    }
}

/// How the file `path` is compressed by the ending of its name, or the ending if it is that of
/// another format.
fn compression(path: &str) -> Result<Compression, String> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending).to_ascii_lowercase();
    match &*ending {
        "gz" | "tgz" => Ok(Compression::GZIP),
        "zst" | "zstd" | "tzst" => Ok(Compression::ZSTD),
        "bz2" | "tbz" | "tbz2" | "xz" | "txz" | "lzma" | "lz4" | "zip" => Err(ending),
        _ => Ok(Compression::None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, default: Option<OutputFormat>, wanted: &str) {
        let target = Target::parse(text, default, |path| path == Path::new("dir"));
        let said = match target {
            Ok(Target { format, destination: Destination::Path(path), tag, .. }) => {
                format!(
                    "{format:?} {}{}",
                    path.display(),
                    tag.map(|t| format!(" {t}")).unwrap_or_default()
                )
            }
            Ok(target) => format!("{:?} {:?}", target.format, target.destination),
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
        check("-", Some(OutputFormat::Rootfs), "Rootfs Stdout");
        check("docker-archive:a:b.tar", None, "DockerArchive a:b.tar");
        check("oci:dir", None, "OciLayout dir");
        check("oci:dir:1.0", Some(OutputFormat::DockerArchive), "OciLayout dir 1.0");
        check("x.tar", Some(OutputFormat::OciLayout), "OciArchive x.tar");
        check("dir", Some(OutputFormat::OciLayout), "OciLayout dir");
        check("rootfs:-", None, "Rootfs Stdout");
        check("oci-archive:/dev/stdout", None, "OciArchive Stdout");
        check("C:x", None, "Archive C:x");
    }

    #[test]
    fn registries_and_engines_name_the_image() {
        for (text, wanted) in [
            ("docker://ghcr.io/team/app:1", "ghcr.io/team/app:1"),
            ("docker://app", "docker.io/library/app:latest"),
            ("docker-daemon:app", "docker.io/library/app:latest"),
            ("docker-daemon:0123456789ab", "docker.io/library/0123456789ab:latest"),
            ("containers-storage:localhost/app:2", "localhost/app:2"),
        ] {
            let target = Target::parse(text, Some(OutputFormat::Rootfs), |_| true).unwrap();
            assert_eq!(target.own_name().unwrap().to_string(), wanted);
            assert_eq!((target.stem(), target.path()), (None, None));
        }
    }

    #[test]
    fn refuses_what_cannot_be_written() {
        check("rootfs:", None, "output `rootfs:` does not name a file");
        check(
            "rootfs:dir",
            None,
            "output `rootfs:dir` is a directory, and this format is written to a file",
        );
        check(
            "dir:x",
            None,
            concat!(
                "output `dir:x`: cannot write to `dir:`; known are oci:, oci-archive:, ",
                "docker-archive:, rootfs:, docker://, docker-daemon: and containers-storage:"
            ),
        );
        check(
            "docker:x",
            None,
            "output `docker:x`: write `docker://` before the name of an image in a registry",
        );
        check(
            &format!("docker-daemon:sha256:{}", "0".repeat(64)),
            None,
            &format!(
                "output `docker-daemon:sha256:{}`: an engine computes the ID itself; write a name",
                "0".repeat(64)
            ),
        );
        check(
            "oci:-",
            None,
            concat!(
                "output `oci:-`: an OCI layout is a directory and cannot go to stdout; ",
                "use `oci-archive:-`"
            ),
        );
        assert!(Target::parse("oci:dir:../x", None, |_| false).is_err());
    }

    #[test]
    fn names_an_image_after_its_output() {
        let stem = |text| Target::parse(text, None, |_| false).unwrap().stem().unwrap();
        assert_eq!(stem("out/My App.tar"), "my-app");
        assert_eq!(stem("oci:layout:x"), "layout");
        assert_eq!(stem("app.tar.gz"), "app");
        assert_eq!(stem("docker-archive:app-1.2.docker.tar.zst"), "app-1.2");
        assert_eq!(stem("app.tgz"), "app");
        assert_eq!(stem("Ünï.tar"), "uni");
    }

    #[test]
    fn compresses_by_the_ending() {
        let target = |text| Target::parse(text, None, |_| false);
        for (text, wanted) in [
            ("x.tar", Compression::None),
            ("x.TAR.GZ", Compression::GZIP),
            ("oci-archive:x.tgz", Compression::GZIP),
            ("rootfs:d.xz/x.tar.zst", Compression::ZSTD),
            ("oci:x.tar.gz", Compression::None),
            ("x.xz/", Compression::None),
        ] {
            assert_eq!(target(text).unwrap().compression, wanted, "{text}");
        }
        let error = target("x.tar.xz").unwrap_err().to_string();
        assert_eq!(error, "output `x.tar.xz`: imgb writes .tar, .tar.gz and .tar.zst, not .xz");
    }
}
