//! The configuration of an image that was read.

use serde_json::{Map, Value};

use super::{Config, Healthcheck};
use crate::{
    image::{
        Platform,
        fields::CONFIG,
        shape::{ShapeError, conform},
    },
    timestamp::Timestamp,
};

impl Config {
    /// Reads a configuration as engines do: names of fields in any case, `null` as a missing field.
    /// `history` stays empty. `created` loses fractions of a second, and is 1970 if the document
    /// does not say it. What the document does not say of its platform is taken from `fallback`.
    ///
    /// # Errors
    /// [`ShapeError`] if a field has a value that engines refuse.
    pub fn parse(document: Value, fallback: &Platform) -> Result<Self, ShapeError> {
        let original = match conform(document, &CONFIG)? {
            Value::Object(original) => original,
            // `null`: other values that are not objects have been refused.
            _ => Map::new(),
        };
        let platform = platform(&original, fallback);
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

/// The platform that a configuration gives; what it does not say is `fallback`'s.
fn platform(document: &Map<String, Value>, fallback: &Platform) -> Platform {
    let platform = match text(document, "architecture") {
        Some(architecture) => Platform::linux(&architecture, text(document, "variant").as_deref()),
        None => fallback.clone(),
    };
    Platform { os: text(document, "os").unwrap_or_else(|| fallback.os.clone()), ..platform }
}

/// A field that is text and not empty.
fn text(fields: &Map<String, Value>, name: &str) -> Option<String> {
    fields.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// The items as text; `null` is the empty text, as in Go.
fn strings(items: &[Value]) -> Vec<String> {
    items.iter().map(|item| item.as_str().unwrap_or_default().to_owned()).collect()
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
        let read = Config::parse(document.clone(), &Platform::linux("s390x", None)).unwrap();
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
            json!({"User": "", "Env": [], "Entrypoint": null, "Labels": {}, "Healthcheck": {}}),
        ] {
            let mut document = platform_json();
            document["config"] = process;
            let original = document.as_object().unwrap().clone();
            let nothing = Config::new(platform.clone(), Timestamp::EPOCH);
            let read = Config::parse(document, &platform).unwrap();
            assert_eq!(read, Config { original, ..nothing });
        }
    }

    #[test]
    fn reads_fields_in_any_case_and_writes_them_once() {
        let document = json!({
            "architecture": "amd64", "OS": "linux", "rootFS": {"Diff_IDs": []},
            "Config": {"entrypoint": ["/old", null], "env": ["A=1"], "onbuild": ["RUN x"]},
            "created": "2023-11-14T22:13:20.5Z",
        });
        let mut config = Config::parse(document, &Platform::linux("s390x", None)).unwrap();
        assert_eq!(config.entrypoint, Some(vec!["/old".into(), String::new()]));
        assert_eq!(config.env, ["A=1"]);
        assert_eq!(config.trigger(), Some("RUN x"));
        assert_eq!(config.created.seconds(), 1_700_000_000);
        config.entrypoint = Some(vec!["/new".into()]);
        let written = config.to_json(&[]);
        let process = json!({"Entrypoint": ["/new"], "Env": ["A=1"], "OnBuild": ["RUN x"]});
        assert_eq!(written["config"], process);
        let names: Vec<&str> = written.as_object().unwrap().keys().map(|name| &**name).collect();
        assert_eq!(names, ["architecture", "config", "created", "history", "os", "rootfs"]);
    }

    #[test]
    fn takes_the_platform_that_is_not_said_from_elsewhere() {
        let fallback = Platform::linux("arm", Some("v6"));
        for (document, wanted) in [
            (json!(null), "linux/arm/v6"),
            (json!({"os": "linux", "architecture": ""}), "linux/arm/v6"),
            (json!({"os": "windows"}), "windows/arm/v6"),
            (json!({"architecture": "arm64", "variant": "v8"}), "linux/arm64"),
        ] {
            let config = Config::parse(document, &fallback).unwrap();
            assert_eq!(config.platform.to_string(), wanted);
        }
    }

    #[test]
    fn refuses_what_engines_refuse_and_names_the_field() {
        let platform = Platform::linux("amd64", None);
        for (process, field) in [
            (json!([]), "`config`"),
            (json!({"Env": {}}), "`config.Env`"),
            (json!({"Labels": [1]}), "`config.Labels`"),
            (json!({"Entrypoint": "/app"}), "`config.Entrypoint`"),
            (json!({"Volumes": {"/x": 1}}), "`config.Volumes./x`"),
            (json!({"Healthcheck": {"Interval": 1.5}}), "`config.Healthcheck.Interval`"),
        ] {
            let mut document = platform_json();
            document["config"] = process;
            let error = Config::parse(document, &platform).unwrap_err().to_string();
            assert!(error.starts_with(field), "{error}");
        }
        let mut document = platform_json();
        document["history"] = "x".into();
        let error = Config::parse(document, &platform).unwrap_err().to_string();
        assert_eq!(error, "`history` is a string, not a list");
    }

    fn platform_json() -> Value {
        json!({"architecture": "amd64", "os": "linux"})
    }
}
