//! What instructions say of an image's configuration. Pure.

use crate::{
    image::{Config, DEFAULT_PATH},
    recipe::action::Action,
};

/// Gives `config` the PATH that Docker gives an image without one.
pub(super) fn default_path(config: &mut Config) {
    if !config.env.iter().any(|entry| entry.starts_with("PATH=")) {
        config.env.push(format!("PATH={DEFAULT_PATH}"));
    }
}

/// Does to `config` what `action` says of it. `cmd_set` is whether this stage has had a CMD, which
/// a later ENTRYPOINT then leaves.
pub(super) fn apply(config: &mut Config, cmd_set: &mut bool, action: &Action) {
    let some = |words: &[String]| (!words.is_empty()).then(|| words.to_vec());
    match action {
        Action::Env(pairs) => {
            for (name, value) in pairs {
                set(&mut config.env, name, value);
            }
        }
        Action::Label(pairs) => config.labels.extend(pairs.iter().cloned()),
        Action::Cmd(words) => {
            config.cmd = some(words);
            *cmd_set = true;
        }
        Action::Entrypoint(words) => {
            config.entrypoint = some(words);
            if !*cmd_set {
                config.cmd = None;
            }
        }
        Action::Expose(ports) => {
            config.exposed_ports.extend(ports.iter().flat_map(|ports| ports.keys()));
        }
        Action::Volume(paths) => config.volumes.extend(paths.iter().cloned()),
        Action::User(user) => config.user = (!user.is_empty()).then(|| user.clone()),
        Action::Workdir(dir) => {
            config.workdir = Some(String::from_utf8_lossy(dir.as_bytes()).into_owned());
        }
        Action::StopSignal(signal) => config.stop_signal = Some(signal.to_string()),
        Action::Shell(words) => config.shell = Some(words.clone()),
        Action::Maintainer(name) => config.author = Some(name.clone()),
        Action::Healthcheck(health) => config.healthcheck = Some(health.config()),
        Action::Annotation(_)
        | Action::Arg(_)
        | Action::Cap { .. }
        | Action::Copy(_)
        | Action::Mkdir(_)
        | Action::Pack(_)
        | Action::Symlink { .. } => {}
    }
}

/// Sets a variable. One that exists keeps its position.
fn set(env: &mut Vec<String>, name: &str, value: &str) {
    let entry = format!("{name}={value}");
    match env.iter_mut().find(|old| old.split_once('=').is_some_and(|(old, _)| old == name)) {
        Some(old) => *old = entry,
        None => env.push(entry),
    }
}
