//! The configuration of an image that was read.

use serde_json::{Map, Value};

use super::{Config, Healthcheck};
use crate::{image::Platform, timestamp::Timestamp};

/// A document that is not an image's configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// It is another kind of value.
    #[error("not a JSON object")]
    NoObject,
    /// A field without which nothing can be run is missing or empty.
    #[error("it has no architecture or os")]
    NoPlatform,
}

impl Config {
    /// Reads a configuration as engines do: a field of another type counts as missing, and so does
    /// an item of another type in a list. `history` stays empty. `created` loses fractions of a
    /// second, and is 1970 if the document does not say it.
    ///
    /// # Errors
    /// [`ConfigError`]
    pub fn parse(document: Value) -> Result<Self, ConfigError> {
        let platform = Platform::of_json(&document);
        let Value::Object(original) = document else { return Err(ConfigError::NoObject) };
        let platform = platform.ok_or(ConfigError::NoPlatform)?;
        let created = original.get("created").and_then(Value::as_str);
        let created = created.and_then(Timestamp::from_rfc3339).unwrap_or_default();
        let process = original.get("config").and_then(Value::as_object);
        let text = |name: &str| process.and_then(|process| text(process, name));
        let list = |name: &str| {
            let items = process.and_then(|process| process.get(name)).and_then(Value::as_array);
            items.map(|items| strings(items)).filter(|items| !items.is_empty())
        };
        let map = |name: &str| {
            let map = process.and_then(|process| process.get(name)).and_then(Value::as_object);
            map.into_iter().flatten()
        };
        let keys = |name: &str| map(name).map(|(key, _)| key.clone()).collect();
        let label =
            |(name, value): (&String, &Value)| Some((name.clone(), value.as_str()?.to_owned()));
        let healthcheck = process.and_then(|process| process.get("Healthcheck"));
        Ok(Self {
            author: self::text(&original, "author"),
            user: text("User"),
            exposed_ports: keys("ExposedPorts"),
            env: list("Env").unwrap_or_default(),
            entrypoint: list("Entrypoint"),
            cmd: list("Cmd"),
            volumes: keys("Volumes"),
            workdir: text("WorkingDir"),
            labels: map("Labels").filter_map(label).collect(),
            stop_signal: text("StopSignal"),
            healthcheck: healthcheck.and_then(Healthcheck::parse),
            shell: list("Shell"),
            original,
            ..Self::new(platform, created)
        })
    }
}

impl Healthcheck {
    /// `None` where `value` has no test.
    fn parse(value: &Value) -> Option<Self> {
        let number =
            |name: &str| value.get(name).and_then(Value::as_u64).filter(|&number| number > 0);
        Some(Self {
            test: strings(value.get("Test")?.as_array()?),
            interval: number("Interval"),
            timeout: number("Timeout"),
            start_period: number("StartPeriod"),
            start_interval: number("StartInterval"),
            retries: number("Retries"),
        })
    }
}

/// A field that is text and not empty.
fn text(fields: &Map<String, Value>, name: &str) -> Option<String> {
    fields.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
}

fn strings(items: &[Value]) -> Vec<String> {
    items.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::image::History;

    #[test]
    fn reads_what_imgb_writes() {
        let created = Timestamp::from_seconds(1_700_000_000).unwrap();
        let written = Config {
            author: Some("me".into()),
            user: Some("1:2".into()),
            exposed_ports: ["80/tcp".to_owned()].into(),
            env: vec!["B=1".into(), "A=2".into()],
            entrypoint: Some(vec!["/app".into()]),
            cmd: Some(vec!["-x".into()]),
            volumes: ["/data".to_owned()].into(),
            workdir: Some("/srv".into()),
            labels: [("a".to_owned(), "1".to_owned())].into(),
            stop_signal: Some("SIGINT".into()),
            healthcheck: Some(Healthcheck {
                test: vec!["CMD".into(), "/app".into()],
                interval: Some(1),
                timeout: Some(2),
                start_period: Some(3),
                start_interval: Some(4),
                retries: Some(5),
            }),
            shell: Some(vec!["/bin/sh".into(), "-c".into()]),
            history: vec![History { created_by: "imgb".into(), empty_layer: true }],
            ..Config::new(Platform::linux("arm", Some("v6")), created)
        };
        let document = written.to_json(&[]);
        let read = Config::parse(document.clone()).unwrap();
        assert_eq!(read.to_json(&[]), document);
        let original = document.as_object().unwrap().clone();
        assert_eq!(read, Config { history: Vec::new(), original, ..written });
    }

    #[test]
    fn reads_what_says_nothing() {
        let platform = Platform::linux("amd64", None);
        for process in [
            json!(null),
            json!({}),
            json!([]),
            json!({"User": "", "Env": [], "Entrypoint": null, "Labels": {}, "Healthcheck": {}}),
            json!({"User": 1, "Env": "A=1", "Cmd": [1], "Volumes": ["/x"], "Labels": {"a": 1}}),
        ] {
            let mut document = platform_json();
            document["config"] = process;
            let original = document.as_object().unwrap().clone();
            let nothing = Config::new(platform.clone(), Timestamp::EPOCH);
            assert_eq!(Config::parse(document).unwrap(), Config { original, ..nothing });
        }
    }

    #[test]
    fn skips_items_that_are_not_text() {
        let mut document = platform_json();
        document["config"] = json!({"Env": ["A=1", 2, "B"], "OnBuild": [1], "Cmd": ["x", null]});
        document["created"] = "2023-11-14T22:13:20.5Z".into();
        let config = Config::parse(document).unwrap();
        assert_eq!(config.env, ["A=1", "B"]);
        assert_eq!(config.cmd.as_deref(), Some(&["x".to_owned()][..]));
        assert_eq!(config.trigger(), Some(""));
        assert_eq!(config.created.seconds(), 1_700_000_000);
    }

    #[test]
    fn refuses_what_has_no_platform() {
        let parse = |document: Value| Config::parse(document).unwrap_err();
        assert_eq!(parse(json!([])), ConfigError::NoObject);
        for document in [json!({}), json!({"os": "linux"}), json!({"os": "", "architecture": "x"})]
        {
            assert_eq!(parse(document), ConfigError::NoPlatform);
        }
    }

    fn platform_json() -> Value {
        json!({"architecture": "amd64", "os": "linux"})
    }
}
