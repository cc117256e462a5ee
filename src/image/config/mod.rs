//! The image configuration (OCI image-spec, config.md).

mod read;
pub(super) mod write;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::{DEFAULT_PATH, Platform};
use crate::timestamp::Timestamp;

/// The configuration of an image without its list of layers: of an image that was read, of one that
/// is to be written, and of one that is started.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Of the programs in the image.
    pub platform: Platform,
    /// The time in `created` and in each entry of [`Config::history`].
    pub created: Timestamp,
    /// Whom the image names as its maker (`MAINTAINER`).
    pub author: Option<String>,
    /// User, `NAME|UID[:GROUP|GID]`.
    pub user: Option<String>,
    /// `PORT/PROTOCOL`.
    pub exposed_ports: BTreeSet<String>,
    /// `NAME=VALUE`, in order. imgb writes each name once.
    pub env: Vec<String>,
    /// Program and arguments that every start begins with.
    pub entrypoint: Option<Vec<String>>,
    /// Arguments that a start without its own gets.
    pub cmd: Option<Vec<String>>,
    /// Absolute paths.
    pub volumes: BTreeSet<String>,
    /// Absolute path.
    pub workdir: Option<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Name or number.
    pub stop_signal: Option<String>,
    /// Docker's health check, which OCI reserves the field for.
    pub healthcheck: Option<Healthcheck>,
    /// Docker's `SHELL`.
    pub shell: Option<Vec<String>>,
    /// One entry for each layer that imgb adds, and for steps without one, in order. The entries
    /// of the image that was read are in `original`.
    pub history: Vec<History>,
    /// The whole document that this was read from, with known fields in their proper spelling;
    /// empty if there is none. Fields that are not above are written as they are there.
    pub original: Map<String, Value>,
}

/// One step in the image's making.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// The instruction or input.
    pub created_by: String,
    /// Whether the step made no layer.
    pub empty_layer: bool,
}

/// Docker's HEALTHCHECK; durations in nanoseconds, as the configuration has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Healthcheck {
    /// `["NONE"]`, or `CMD` and arguments, or `CMD-SHELL` and a line.
    pub test: Vec<String>,
    /// Between checks.
    pub interval: Option<u64>,
    /// Of one check.
    pub timeout: Option<u64>,
    /// Before failures count.
    pub start_period: Option<u64>,
    /// Between checks in the start period.
    pub start_interval: Option<u64>,
    /// Failures until unhealthy.
    pub retries: Option<u64>,
}

impl Config {
    /// Sets those of `variables`, each `NAME=VALUE`, whose names have no value yet.
    pub fn add_variables(&mut self, variables: &[String]) {
        let name = |text: &String| text.split_once('=').map(|(name, _)| name.to_owned());
        for variable in variables {
            if self.env.iter().all(|known| name(known) != name(variable)) {
                self.env.push(variable.clone());
            }
        }
    }

    /// A configuration that says nothing but its platform and time.
    pub fn new(platform: Platform, created: Timestamp) -> Self {
        Self {
            platform,
            created,
            author: None,
            user: None,
            exposed_ports: BTreeSet::new(),
            env: Vec::new(),
            entrypoint: None,
            cmd: None,
            volumes: BTreeSet::new(),
            workdir: None,
            labels: BTreeMap::new(),
            stop_signal: None,
            healthcheck: None,
            shell: None,
            history: Vec::new(),
            original: Map::new(),
        }
    }

    /// Program and arguments.
    pub fn command(&self) -> Vec<&str> {
        let words = self.entrypoint.iter().chain(&self.cmd).flatten();
        words.map(|word| &**word).collect()
    }

    /// The value of a variable; of several the last.
    pub fn variable(&self, name: &str) -> Option<&str> {
        let mut pairs = self.env.iter().rev().filter_map(|entry| entry.split_once('='));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    /// PATH, or what runtimes set without one.
    pub fn path(&self) -> &str {
        self.variable("PATH").unwrap_or(DEFAULT_PATH)
    }

    /// The first instruction that the image asks builds from it to carry out (Docker's `ONBUILD`);
    /// empty if it is not text.
    pub fn trigger(&self) -> Option<&str> {
        let triggers = self.original.get("config")?.get("OnBuild")?.as_array()?;
        triggers.first().map(|first| first.as_str().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_how_the_program_starts() {
        let mut config = Config::new(Platform::linux("amd64", None), Timestamp::EPOCH);
        assert_eq!((config.command(), config.path()), (Vec::new(), DEFAULT_PATH));
        config.cmd = Some(vec!["-x".into()]);
        assert_eq!(config.command(), ["-x"]);
        config.entrypoint = Some(vec!["/app".into()]);
        assert_eq!(config.command(), ["/app", "-x"]);
        config.env = vec!["PATH=/a".into(), "PATH=/b=c".into(), "A".into()];
        assert_eq!((config.path(), config.variable("A")), ("/b=c", None));
    }
}
