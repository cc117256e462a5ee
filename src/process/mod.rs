//! How the program of an image starts: its command line, PATH, user and working directory.
//!
//! `check` proves that this works and `run` does it; both take the answers from here, so that they
//! cannot disagree.

mod locate;
mod user;

use crate::{
    image::{Config, Platform},
    oci::Image,
};

pub use crate::image::DEFAULT_PATH;
pub use locate::{Located, locate};
pub use user::{Access, User, UserError};

/// How an image is started, as its configuration says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// Program and arguments that every start begins with.
    pub entrypoint: Vec<String>,
    /// Arguments, or program and arguments where there is no entrypoint.
    pub cmd: Vec<String>,
    /// `NAME=VALUE`
    pub env: Vec<String>,
    /// Whom it runs as: `NAME|UID[:GROUP|GID]`.
    pub user: Option<String>,
    /// Where it runs; `/` if nothing is said.
    pub workdir: Option<String>,
    /// What it runs on.
    pub platform: Platform,
}

impl Start {
    /// As the configuration of an image that is about to be written says it.
    pub fn of_config(config: &Config) -> Self {
        Self {
            entrypoint: config.entrypoint.clone().unwrap_or_default(),
            cmd: config.cmd.clone().unwrap_or_default(),
            env: config.env.clone(),
            user: config.user.clone(),
            workdir: config.workdir.clone(),
            platform: config.platform.clone(),
        }
    }

    /// As the configuration of an image that was read says it.
    pub fn of_image(image: &Image) -> Self {
        Self {
            entrypoint: image.texts("Entrypoint"),
            cmd: image.texts("Cmd"),
            env: image.texts("Env"),
            user: image.text("User"),
            workdir: image.text("WorkingDir"),
            platform: image.platform.clone(),
        }
    }

    /// Program and arguments.
    pub fn command(&self) -> Vec<&str> {
        self.entrypoint.iter().chain(&self.cmd).map(|word| &**word).collect()
    }

    /// The value of a variable; of several the last.
    pub fn variable(&self, name: &str) -> Option<&str> {
        let pairs = self.env.iter().rev().filter_map(|entry| entry.split_once('='));
        pairs.into_iter().find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    /// PATH, or what runtimes set without one.
    pub fn path(&self) -> &str {
        self.variable("PATH").unwrap_or(DEFAULT_PATH)
    }
}
