//! Names of images in the stores of engines: `docker-daemon:app:1.0`, `containers-storage:app:1.0`.

use std::{fmt, str::FromStr};

use super::{RegistryName, RegistryNameError, Transport};

/// A container engine of this machine, which imgb talks to through its command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Engine {
    /// `docker`, and the daemon that it talks to.
    Docker,
    /// `podman`, whose store buildah and CRI-O use too.
    Podman,
}

/// The name or ID of an image in an engine's store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineImage {
    /// The engine.
    pub engine: Engine,
    /// A name by Docker's grammar, or an image ID.
    pub name: String,
}

/// Why a text does not name an image in an engine's store.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineImageError {
    /// The name or the ID is invalid.
    #[error(transparent)]
    Name(#[from] RegistryNameError),
    /// A store other than that of podman's configuration.
    #[error("`{}`: imgb reads the store that podman is configured for; leave out `[…]`",
        crate::path::escape(.0.as_bytes()))]
    Store(String),
    /// The text has no transport of an engine.
    #[error("`{}` does not name an image of docker or podman",
        crate::path::escape(.0.as_bytes()))]
    Transport(String),
}

impl Engine {
    /// The command.
    pub fn command(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
        }
    }

    /// The transport of its store.
    pub fn transport(self) -> Transport {
        match self {
            Self::Docker => Transport::DockerDaemon,
            Self::Podman => Transport::ContainersStorage,
        }
    }
}

impl EngineImage {
    /// Whether the name is a whole image ID. The beginning of one may be a name, too.
    pub(super) fn is_id(&self) -> bool {
        let id = self.name.strip_prefix("sha256:").unwrap_or(&self.name);
        id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit())
    }
}

impl FromStr for EngineImage {
    type Err = EngineImageError;

    /// Parses `docker-daemon:NAME` and `containers-storage:NAME`. NAME may be an image ID: 64 hex
    /// digits or their beginning, with `sha256:` before them for docker.
    fn from_str(text: &str) -> Result<Self, EngineImageError> {
        let (engine, name) = match Transport::split_prefix(text) {
            Some((Transport::DockerDaemon, name)) => (Engine::Docker, name),
            Some((Transport::ContainersStorage, name)) => (Engine::Podman, name),
            _ => return Err(EngineImageError::Transport(text.into())),
        };
        if name.starts_with('[') {
            return Err(EngineImageError::Store(text.into()));
        }
        let id = name.strip_prefix("sha256:").unwrap_or(name);
        let is_id = (12..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_hexdigit());
        if !is_id {
            name.parse::<RegistryName>()?;
        }
        Ok(Self { engine, name: name.into() })
    }
}

/// As it is parsed.
impl fmt::Display for EngineImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.engine.transport(), self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_ids() {
        let id = "ab".repeat(32);
        for name in ["app", "app:1.0", "localhost/app:1.0", &id, &format!("sha256:{id}"), &id[..12]]
        {
            for engine in [Engine::Docker, Engine::Podman] {
                let text = format!("{}:{name}", engine.transport());
                let image: EngineImage = text.parse().unwrap();
                assert_eq!((image.engine, &*image.name), (engine, name));
                assert_eq!(image.to_string(), text);
            }
        }
        for text in ["docker-daemon:", "docker-daemon:--help", "containers-storage:a b", "app"] {
            assert!(text.parse::<EngineImage>().is_err(), "{text}");
        }
        let error = "containers-storage:[overlay@/x]app".parse::<EngineImage>().unwrap_err();
        assert!(matches!(error, EngineImageError::Store(_)));
    }
}
