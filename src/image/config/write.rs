//! The configuration as a document.

use std::collections::BTreeSet;

use oci_spec::image as oci;
use serde_json::{Map, Value, json};

use super::{Config, Healthcheck};
use crate::image::Layer;

impl Config {
    /// The configuration of an image of `layers`, which begin with the base's.
    pub(in crate::image) fn to_json(&self, layers: &[Layer]) -> Value {
        let mut root = self.original.clone();
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
        // What this configuration does not say any more (`USER ""`, an ENTRYPOINT that resets CMD)
        // must not come back from the base.
        for field in [
            "User",
            "Entrypoint",
            "Cmd",
            "Env",
            "ExposedPorts",
            "Volumes",
            "WorkingDir",
            "Labels",
            "StopSignal",
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
pub(in crate::image) fn to_value(document: &impl serde::Serialize) -> Value {
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
    use crate::{
        image::{History, Platform},
        timestamp::Timestamp,
    };

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
        let original = json!({
            "architecture": "amd64", "os": "linux",
            "config": {
                "OnBuild": ["x"], "Cmd": ["old"], "User": "1", "StopSignal": "", "future": 1,
            },
            "history": [{"created_by": "base"}],
            "moby.future": 1, "container": "abc",
        });
        let platform = Platform::linux("amd64", None);
        let mut config = Config::parse(original, &platform).unwrap();
        config.cmd = None;
        config.history = vec![History { created_by: "imgb".into(), empty_layer: true }];
        let json = config.to_json(&[]);
        assert_eq!(json["config"], json!({"OnBuild": ["x"], "User": "1", "future": 1}));
        assert_eq!(json["moby.future"], 1);
        assert_eq!(json.get("container"), None);
        assert_eq!(json["history"][0]["created_by"], "base");
        assert_eq!(json["history"][1]["empty_layer"], true);
    }
}
