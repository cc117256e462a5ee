//! The user's settings for the image's configuration.

use crate::{
    image::{Config, Healthcheck, Ports, StopSignal},
    timestamp::Timestamp,
};

/// Fields of the configuration that the user set; they replace those of a base image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Program and leading arguments.
    pub entrypoint: Option<Vec<String>>,
    /// Default arguments.
    pub cmd: Option<Vec<String>>,
    /// Variables as `NAME=VALUE`; the last of a name wins.
    pub env: Vec<String>,
    /// Absolute path.
    pub workdir: Option<String>,
    /// `USER[:GROUP]`, as names or numbers.
    pub user: Option<String>,
    /// Names and values.
    pub labels: Vec<(String, String)>,
    /// Ports that the program listens on.
    pub expose: Vec<Ports>,
    /// Absolute paths.
    pub volumes: Vec<String>,
    /// The signal that stops the program.
    pub stop_signal: Option<StopSignal>,
    /// When the image was made; no file has this time.
    pub created: Option<Timestamp>,
    /// How engines see whether the program still works.
    pub healthcheck: Option<Healthcheck>,
}

impl Settings {
    /// The program that they name, as it was written.
    pub(super) fn program(&self) -> Option<&str> {
        let words = self.entrypoint.iter().chain(&self.cmd);
        words.flatten().next().map(String::as_str)
    }

    /// The value of a variable in the image's environment.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        let value = |text: &String| Some(text.strip_prefix(name)?.strip_prefix('=')?.to_owned());
        self.env.iter().rev().find_map(value)
    }

    /// Puts the settings into `config`, over its own values.
    pub fn apply(&self, config: &mut Config) {
        config.entrypoint = self.entrypoint.clone().or(config.entrypoint.take());
        config.cmd = self.cmd.clone().or(config.cmd.take());
        for variable in &self.env {
            let name = variable.split_once('=').map(|(name, _)| name);
            config.env.retain(|old| name.is_none() || old.split_once('=').map(|old| old.0) != name);
            config.env.push(variable.clone());
        }
        config.labels.extend(self.labels.iter().cloned());
        config.exposed_ports.extend(self.expose.iter().flat_map(|ports| ports.keys()));
        config.volumes.extend(self.volumes.iter().cloned());
        config.workdir = self.workdir.clone().or(config.workdir.take());
        config.user = self.user.clone().or(config.user.take());
        let signal = self.stop_signal.as_ref().map(ToString::to_string);
        config.stop_signal = signal.or(config.stop_signal.take());
        config.created = self.created.unwrap_or(config.created);
        config.healthcheck = self.healthcheck.clone().or(config.healthcheck.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Platform;

    #[test]
    fn replaces_what_was_there() {
        let mut config = Config::new(Platform::linux("amd64", None), Timestamp::EPOCH);
        config.env = vec!["A=0".into(), "C".into()];
        config.workdir = Some("/old".into());
        let settings = Settings {
            cmd: Some(vec!["-x".into()]),
            env: vec!["A=1".into(), "B=".into(), "A=2=3".into()],
            labels: vec![("a".into(), "1".into()), ("a".into(), "2".into())],
            ..Settings::default()
        };
        settings.apply(&mut config);
        assert_eq!(config.env, ["C", "B=", "A=2=3"]);
        assert_eq!(config.cmd.unwrap(), ["-x"]);
        assert_eq!(config.labels.into_iter().collect::<Vec<_>>(), [("a".into(), "2".into())]);
        assert_eq!(config.workdir.unwrap(), "/old");
        assert_eq!(settings.variable("A").as_deref(), Some("2=3"));
    }
}
