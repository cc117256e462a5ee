//! The transports of containers-transports(5), and imgb's own `rootfs`.

use std::fmt;

/// What stands before the first colon in the name of an image or output, and how the image is
/// stored there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// An OCI layout directory.
    Oci,
    /// A tar of an OCI layout.
    OciArchive,
    /// A tar as `docker save` makes it.
    DockerArchive,
    /// A tar of the root file system.
    Rootfs,
    /// A registry.
    Docker,
    /// The store of dockerd.
    DockerDaemon,
    /// The store of podman and buildah.
    ContainersStorage,
    /// A directory with a manifest, as skopeo makes it.
    Dir,
    /// An OSTree repository.
    Ostree,
    /// A file of Singularity.
    Sif,
}

/// What imgb does with a transport.
struct Row {
    transport: Transport,
    name: &'static str,
    is_read: bool,
    is_written: bool,
}

const fn row(transport: Transport, name: &'static str, is_read: bool, is_written: bool) -> Row {
    Row { transport, name, is_read, is_written }
}

const TRANSPORTS: [Row; 10] = [
    row(Transport::Oci, "oci", true, true),
    row(Transport::OciArchive, "oci-archive", true, true),
    row(Transport::DockerArchive, "docker-archive", true, true),
    row(Transport::Rootfs, "rootfs", false, true),
    row(Transport::Docker, "docker", true, true),
    row(Transport::DockerDaemon, "docker-daemon", true, true),
    row(Transport::ContainersStorage, "containers-storage", true, true),
    row(Transport::Dir, "dir", true, false),
    row(Transport::Ostree, "ostree", false, false),
    row(Transport::Sif, "sif", false, false),
];

impl Transport {
    /// The transport that `text` starts with and the text after its colon; `None` if what stands
    /// before the first colon is not a transport.
    pub fn split_prefix(text: &str) -> Option<(Self, &str)> {
        let (name, rest) = text.split_once(':')?;
        let row = TRANSPORTS.iter().find(|row| row.name == name)?;
        Some((row.transport, rest))
    }

    /// Whether imgb reads images from it.
    pub fn is_read(self) -> bool {
        self.rows().any(|row| row.is_read)
    }

    /// Whether what follows the colon is the path of a file or directory.
    pub(super) fn is_file(self) -> bool {
        !matches!(self, Self::Docker | Self::DockerDaemon | Self::ContainersStorage)
    }

    /// Whether imgb writes images to it.
    pub fn is_written(self) -> bool {
        self.rows().any(|row| row.is_written)
    }

    fn rows(self) -> impl Iterator<Item = &'static Row> {
        TRANSPORTS.iter().filter(move |row| row.transport == self)
    }

    /// Those that imgb reads, as a list for messages.
    pub(super) fn readable() -> String {
        list(|row| row.is_read)
    }

    /// Those that imgb writes, as a list for messages.
    pub(super) fn writable() -> String {
        list(|row| row.is_written)
    }
}

fn list(is_listed: impl Fn(&Row) -> bool) -> String {
    let names: Vec<String> = TRANSPORTS
        .iter()
        .filter(|row| is_listed(row))
        .map(|row| match row.transport {
            Transport::Docker => "docker://".into(),
            _ => format!("{}:", row.name),
        })
        .collect();
    match &names[..] {
        [first @ .., last] if !first.is_empty() => format!("{} and {last}", first.join(", ")),
        _ => names.concat(),
    }
}

/// As it is written, without the colon.
impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.rows().try_for_each(|row| f.write_str(row.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_transport_has_one_row() {
        for row in &TRANSPORTS {
            assert_eq!(row.transport.rows().count(), 1, "{}", row.name);
            assert_eq!(row.transport.to_string(), row.name);
            assert_eq!(
                Transport::split_prefix(&format!("{}:a:b", row.name)),
                Some((row.transport, "a:b"))
            );
        }
        assert_eq!(Transport::split_prefix("oci"), None);
        assert_eq!(Transport::split_prefix("app:1.0"), None);
        assert_eq!(
            Transport::readable(),
            "oci:, oci-archive:, docker-archive:, docker://, docker-daemon:, \
             containers-storage: and dir:"
        );
    }
}
