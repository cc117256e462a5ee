//! What some engines refuse in a configuration that others take.

use serde_json::Value;

use crate::image::{Config, StopSignal};

/// The most bytes of one variable that the kernel passes to a program, with the zero byte after it
/// (`MAX_ARG_STRLEN`, execve(2)).
const MAX_VARIABLE: usize = 128 << 10;

/// What is odd about `config`, whose image has `layers` layers, as sentences.
pub(super) fn notes(config: &Config, layers: usize) -> Vec<String> {
    let mut notes: Vec<String> = too_much_history(config, layers).into_iter().collect();
    for (at, variable) in config.env.iter().enumerate() {
        let why = match variable.split_once('=') {
            _ if variable.len() >= MAX_VARIABLE => {
                "is longer than 128 KiB: no program starts with it"
            }
            None => "has no `=`: umoci refuses this",
            Some(("", _)) => "has no name: podman refuses this",
            Some(_) => continue,
        };
        notes.push(format!("`config.Env[{at}]` {why}"));
    }
    if let Some(signal) = &config.stop_signal
        && signal.parse::<StopSignal>().is_err()
    {
        notes.push("`config.StopSignal` is not a signal: podman refuses this".into());
    }
    notes
}

/// A history with more steps that made layers than there are layers.
fn too_much_history(config: &Config, layers: usize) -> Option<String> {
    let history = config.original.get("history").and_then(Value::as_array)?;
    let made_layer = |step: &&Value| step.get("empty_layer").and_then(Value::as_bool) != Some(true);
    let steps = history.iter().filter(made_layer).count();
    (steps > layers).then(|| {
        format!(
            "the history has {steps} steps with layers, the image {layers}: docker refuses this"
        )
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::image::Platform;

    #[test]
    fn what_engines_refuse_is_named() {
        let config = json!({
            "config": {
                "Env": ["A=1", "B", "=x", "C=", format!("D={}", "x".repeat(MAX_VARIABLE))],
                "StopSignal": "x",
            },
            "history": [{}, {"empty_layer": true}, {"empty_layer": false}],
        });
        let config = Config::parse(config, &Platform::linux("amd64", None)).unwrap();
        let fields: Vec<String> = notes(&config, 1);
        let starts = [
            "the history has 2 steps",
            "`config.Env[1]`",
            "`config.Env[2]`",
            "`config.Env[4]`",
            "`config.StopSignal`",
        ];
        assert_eq!(fields.len(), starts.len(), "{fields:?}");
        assert!(
            fields.iter().zip(starts).all(|(note, start)| note.starts_with(start)),
            "{fields:?}"
        );
        let good = json!({"config": {"Env": ["A="], "StopSignal": "9"}, "history": [{}]});
        let good = Config::parse(good, &Platform::linux("amd64", None)).unwrap();
        assert!(notes(&good, 1).is_empty());
    }
}
