//! The image configuration (OCI image-spec, config.md).

use std::collections::{BTreeMap, BTreeSet};

use oci_spec::image as oci;
use serde_json::{Map, Value, json};

use super::{Layer, Platform};
use crate::timestamp::Timestamp;

/// What the configuration says beside its layers.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Of the programs in the image.
    pub platform: Platform,
    /// The time in `created` and each history entry.
    pub created: Timestamp,
    /// Whom the image names as its maker (`MAINTAINER`).
    pub author: Option<String>,
    /// User, `NAME|UID[:GROUP|GID]`.
    pub user: Option<String>,
    /// `PORT/PROTOCOL`.
    pub exposed_ports: BTreeSet<String>,
    /// `NAME=VALUE`, in order, names once each.
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
    /// One entry for each layer that imgb adds, and for steps without one, in order.
    pub history: Vec<History>,
    /// The base image's whole configuration; what is not said above stays as it is there.
    pub base: Option<Value>,
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
            base: None,
        }
    }

    /// The configuration of an image of `layers`, which begin with the base's.
    pub(super) fn to_json(&self, layers: &[Layer]) -> Value {
        let mut root = self.base.as_ref().and_then(Value::as_object).cloned().unwrap_or_default();
        let base_history =
            root.get("history").and_then(Value::as_array).cloned().unwrap_or_default();
        let base_config =
            root.get("config").and_then(Value::as_object).cloned().unwrap_or_default();
        // What the base's builder noted of its own container says nothing of this image.
        for stale in [
            "container",
            "container_config",
            "docker_version",
            "variant",
            "moby.buildkit.buildinfo.v1",
        ] {
            root.remove(stale);
        }
        root.append(&mut object(to_value(&self.document(layers))));
        root.insert("config".into(), self.process(base_config).into());
        let own = root.get("history").and_then(Value::as_array).cloned().unwrap_or_default();
        root.insert("history".into(), base_history.into_iter().chain(own).collect());
        Value::Object(root)
    }

    fn document(&self, layers: &[Layer]) -> oci::ImageConfiguration {
        let created = self.created.to_string();
        let history = self.history.iter().map(|step| {
            let mut entry = oci::History::default();
            entry.set_created(Some(created.clone())).set_created_by(Some(step.created_by.clone()));
            entry.set_empty_layer(step.empty_layer.then_some(true));
            entry
        });
        let mut rootfs = oci::RootFs::default();
        rootfs
            .set_typ("layers".into())
            .set_diff_ids(layers.iter().map(|l| l.diff_id.to_string()).collect());
        let mut document = oci::ImageConfiguration::default();
        document
            .set_created(Some(created.clone()))
            .set_author(self.author.clone())
            .set_architecture(oci::Arch::from(&*self.platform.architecture))
            .set_os(oci::Os::from(&*self.platform.os))
            .set_variant(self.platform.variant.clone())
            .set_rootfs(rootfs)
            .set_history(Some(history.collect()))
            .set_config(None);
        document
    }

    /// The `config` object: the base's with ours over it.
    fn process(&self, mut config: Map<String, Value>) -> Map<String, Value> {
        // Fields that a Buildfile can take back (an ENTRYPOINT resets CMD) must not shine through.
        for field in [
            "Entrypoint",
            "Cmd",
            "Env",
            "ExposedPorts",
            "Volumes",
            "Labels",
            "Healthcheck",
            "Shell",
        ] {
            config.remove(field);
        }
        let set = |items: &BTreeSet<String>| {
            (!items.is_empty()).then(|| items.iter().cloned().collect::<Vec<_>>())
        };
        let mut own = oci::Config::default();
        own.set_user(self.user.clone())
            .set_exposed_ports(set(&self.exposed_ports))
            .set_env((!self.env.is_empty()).then(|| self.env.clone()))
            .set_entrypoint(self.entrypoint.clone())
            .set_cmd(self.cmd.clone())
            .set_volumes(set(&self.volumes))
            .set_working_dir(self.workdir.clone())
            .set_labels(
                (!self.labels.is_empty()).then(|| self.labels.clone().into_iter().collect()),
            )
            .set_stop_signal(self.stop_signal.clone());
        config.append(&mut object(to_value(&own)));
        if let Some(healthcheck) = &self.healthcheck {
            config.insert("Healthcheck".into(), healthcheck.to_json());
        }
        if let Some(shell) = &self.shell {
            config.insert("Shell".into(), json!(shell));
        }
        config
    }
}

impl Healthcheck {
    fn to_json(&self) -> Value {
        let mut out = Map::new();
        out.insert("Test".into(), json!(self.test));
        for (name, value) in [
            ("Interval", self.interval),
            ("Timeout", self.timeout),
            ("StartPeriod", self.start_period),
            ("StartInterval", self.start_interval),
            ("Retries", self.retries),
        ] {
            if let Some(value) = value {
                out.insert(name.into(), value.into());
            }
        }
        Value::Object(out)
    }
}

/// Through a [`Value`], whose maps are sorted.
pub(super) fn to_value(document: &impl serde::Serialize) -> Value {
    // The types are maps with string keys, which cannot fail to be one.
    serde_json::to_value(document).unwrap_or_default()
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_all_and_in_order() {
        let mut config = Config::new(Platform::linux("arm", Some("v7")), Timestamp::EPOCH);
        config.entrypoint = Some(vec!["/app".into()]);
        config.env = vec!["B=1".into(), "A=2".into()];
        config.labels = [("z".to_owned(), "1".to_owned()), ("a".into(), "2".into())].into();
        config.exposed_ports = ["80/tcp".to_owned()].into();
        config.healthcheck =
            Some(Healthcheck { test: vec!["NONE".into()], ..Healthcheck::default() });
        config.history = vec![History { created_by: "imgb".into(), empty_layer: false }];
        assert_eq!(
            config.to_json(&[]).to_string(),
            concat!(
                r#"{"architecture":"arm","config":{"Entrypoint":["/app"],"Env":["B=1","A=2"],"#,
                r#""ExposedPorts":{"80/tcp":{}},"Healthcheck":{"Test":["NONE"]},"#,
                r#""Labels":{"a":"2","z":"1"}},"created":"1970-01-01T00:00:00Z","#,
                r#""history":[{"created":"1970-01-01T00:00:00Z","created_by":"imgb"}],"#,
                r#""os":"linux","#,
                r#""rootfs":{"diff_ids":[],"type":"layers"},"variant":"v7"}"#
            )
        );
    }

    #[test]
    fn keeps_what_it_does_not_know_of_the_base() {
        let mut config = Config::new(Platform::linux("amd64", None), Timestamp::EPOCH);
        config.base = Some(json!({
            "config": {"OnBuild": ["x"], "Cmd": ["old"], "User": "1"},
            "history": [{"created_by": "base"}],
            "moby.future": 1, "container": "abc",
        }));
        config.history = vec![History { created_by: "imgb".into(), empty_layer: true }];
        let json = config.to_json(&[]);
        assert_eq!(json["config"], json!({"OnBuild": ["x"], "User": "1"}));
        assert_eq!(json["moby.future"], 1);
        assert_eq!(json.get("container"), None);
        assert_eq!(json["history"][0]["created_by"], "base");
        assert_eq!(json["history"][1]["empty_layer"], true);
    }
}
