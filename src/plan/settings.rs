//! What the user says of the image's configuration → its fields, checked. Pure.

use std::collections::BTreeMap;

use crate::{
    image::{Config, Ports, StopSignal},
    path::ImagePath,
};

/// The configuration's fields as the user gave them, as text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Words or a JSON array.
    pub entrypoint: Option<String>,
    /// Words or a JSON array.
    pub cmd: Option<String>,
    /// `NAME=VALUE`
    pub env: Vec<String>,
    /// A path; relative ones are taken from the root.
    pub workdir: Option<String>,
    /// `USER[:GROUP]`
    pub user: Option<String>,
    /// `NAME=VALUE`
    pub labels: Vec<String>,
    /// `PORT[/PROTO]`
    pub expose: Vec<String>,
    /// Paths.
    pub volumes: Vec<String>,
    /// A name or number.
    pub stop_signal: Option<String>,
}

/// A setting that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{option} `{value}`: {why}")]
pub struct SettingError {
    option: &'static str,
    value: String,
    why: &'static str,
}

impl Settings {
    /// A variable of the image's environment.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        let value = |text: &String| Some(text.strip_prefix(name)?.strip_prefix('=')?.to_owned());
        self.env.iter().rev().find_map(value)
    }

    /// Puts the settings into `config`, over what is there.
    ///
    /// # Errors
    /// The first setting that cannot be.
    pub fn apply(&self, config: &mut Config) -> Result<(), SettingError> {
        if let Some(text) = &self.entrypoint {
            config.entrypoint = Some(words("--entrypoint", text)?);
        }
        if let Some(text) = &self.cmd {
            config.cmd = Some(words("--cmd", text)?);
        }
        for text in &self.env {
            let (name, _) = pair("--env", text)?;
            config.env.retain(|old| old.split_once('=').is_none_or(|(old, _)| old != name));
            config.env.push(text.clone());
        }
        for text in &self.labels {
            let (name, value) = pair("--label", text)?;
            config.labels.insert(name.into(), value.into());
        }
        for text in &self.expose {
            let ports: Ports = text.parse().map_err(|_| {
                wrong("--expose", text, "write PORT or PORT/PROTO: 1 to 65535, tcp, udp or sctp")
            })?;
            config.exposed_ports.extend(ports.keys());
        }
        for text in &self.volumes {
            config.volumes.insert(absolute("--volume", text)?);
        }
        if let Some(text) = &self.workdir {
            config.workdir = Some(absolute("--workdir", text)?);
        }
        if let Some(user) = &self.user {
            let part = |part: &str| {
                !part.is_empty()
                    && !part.contains(|c: char| c.is_whitespace() || c == ':' || c == '/')
            };
            let (name, group) =
                user.split_once(':').map_or((&**user, None), |(name, group)| (name, Some(group)));
            if !part(name) || !group.is_none_or(part) {
                return Err(wrong("--user", user, "write USER or USER:GROUP, as names or numbers"));
            }
            config.user = Some(user.clone());
        }
        if let Some(signal) = &self.stop_signal {
            let valid = signal.parse::<StopSignal>().map_err(|_| {
                wrong("--stop-signal", signal, "not a signal: write SIGTERM, TERM or 15")
            })?;
            config.stop_signal = Some(valid.to_string());
        }
        Ok(())
    }
}

/// `NAME=VALUE` pairs as a map: annotations.
///
/// # Errors
/// The first that is none.
pub fn pairs(
    option: &'static str,
    texts: &[String],
) -> Result<BTreeMap<String, String>, SettingError> {
    texts
        .iter()
        .map(|text| pair(option, text).map(|(name, value)| (name.into(), value.into())))
        .collect()
}

fn wrong(option: &'static str, value: &str, why: &'static str) -> SettingError {
    SettingError { option, value: value.into(), why }
}

fn pair<'a>(option: &'static str, text: &'a str) -> Result<(&'a str, &'a str), SettingError> {
    let valid = text.split_once('=').filter(|(name, _)| !name.is_empty() && !text.contains('\0'));
    valid.ok_or_else(|| wrong(option, text, "write NAME=VALUE"))
}

/// A JSON array of strings, or words by the shell's rules of quoting, without expansion.
fn words(option: &'static str, text: &str) -> Result<Vec<String>, SettingError> {
    if text.trim_start().starts_with('[') {
        return serde_json::from_str(text)
            .map_err(|_| wrong(option, text, "a JSON array of strings is wanted"));
    }
    shell_words::split(text).map_err(|_| wrong(option, text, "a quote is not closed"))
}

fn absolute(option: &'static str, text: &str) -> Result<String, SettingError> {
    let path = ImagePath::new(text).map_err(|_| wrong(option, text, "no path in an image"))?;
    Ok(path.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{image::Platform, timestamp::Timestamp};

    fn apply(settings: &Settings) -> Result<Config, String> {
        let mut config = Config::new(Platform::linux("amd64", None), Timestamp::EPOCH);
        settings.apply(&mut config).map(|()| config).map_err(|error| error.to_string())
    }

    #[test]
    fn takes_words_and_json() {
        let settings = Settings {
            entrypoint: Some("/app 'a b'".into()),
            cmd: Some(r#"["-x", ""]"#.into()),
            env: vec!["A=1".into(), "B=".into(), "A=2=3".into()],
            expose: vec!["80".into(), "53/udp".into()],
            workdir: Some("srv/./x/".into()),
            stop_signal: Some("sigterm".into()),
            ..Settings::default()
        };
        let config = apply(&settings).unwrap();
        assert_eq!(config.entrypoint.unwrap(), ["/app", "a b"]);
        assert_eq!(config.cmd.unwrap(), ["-x", ""]);
        assert_eq!(config.env, ["B=", "A=2=3"]);
        assert_eq!(config.exposed_ports.into_iter().collect::<Vec<_>>(), ["53/udp", "80/tcp"]);
        assert_eq!(config.workdir.unwrap(), "/srv/x");
    }

    #[test]
    fn says_what_is_wrong() {
        let base = Settings::default();
        for settings in [
            Settings { env: vec!["A".into()], ..base.clone() },
            Settings { env: vec!["=A".into()], ..base.clone() },
            Settings { expose: vec!["0".into()], ..base.clone() },
            Settings { expose: vec!["80/icmp".into()], ..base.clone() },
            Settings { entrypoint: Some("'a".into()), ..base.clone() },
            Settings { cmd: Some("[1]".into()), ..base.clone() },
            Settings { user: Some("a:b:c".into()), ..base.clone() },
            Settings { stop_signal: Some("NOPE".into()), ..base.clone() },
            Settings { stop_signal: Some("RTMIN+99".into()), ..base.clone() },
            Settings { expose: vec!["+80".into()], ..base.clone() },
            Settings { workdir: Some("/../x".into()), ..base.clone() },
        ] {
            assert!(apply(&settings).is_err(), "{settings:?}");
        }
        let error = apply(&Settings { env: vec!["A".into()], ..base }).unwrap_err();
        assert_eq!(error, "--env `A`: write NAME=VALUE");
    }
}
