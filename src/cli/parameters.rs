//! The command and those of its options that decide about an image, for its provenance.

use clap::{ArgAction, ArgMatches, CommandFactory as _, parser::ValueSource};
use serde_json::{Map, Value, json};

use super::{command::Cli, environment::variable};

/// Options whose headings say that they do not decide about the image, and do.
const DECIDING: [&str; 3] = ["tag", "compress", "created"];
/// The headings of options that decide about the image.
const HEADINGS: [&str; 4] = ["Buildfile", "Image", "Inputs", "Run-time dependencies"];

/// What the user gave to this process, as it was written: the command's name, its inputs, and its
/// options by their names. Outputs, caches, registries and messages are left out, and credentials
/// with them.
pub(super) fn parameters() -> Value {
    let command = Cli::command();
    let Ok(all) = command.clone().try_get_matches_from(std::env::args_os()) else {
        return Value::Null;
    };
    let Some((name, matches)) = all.subcommand() else { return Value::Null };
    let arguments = command.find_subcommand(name).into_iter().flat_map(|one| one.get_arguments());
    let mut options = Map::new();
    let mut inputs = json!([]);
    for argument in arguments {
        let id = argument.get_id().as_str();
        let decides = argument.is_positional()
            || DECIDING.contains(&id)
            || argument.get_help_heading().is_some_and(|heading| HEADINGS.contains(&heading));
        if !decides || matches.value_source(id) != Some(ValueSource::CommandLine) {
            continue;
        }
        let value = value(matches, id, argument.get_action());
        match argument.is_positional() {
            true => inputs = value,
            false => drop(options.insert(id.replace('_', "-"), value)),
        }
    }
    let mut parameters = json!({"command": name, "inputs": inputs, "options": options});
    if let Some(time) = variable("SOURCE_DATE_EPOCH") {
        parameters["environment"] = json!({"SOURCE_DATE_EPOCH": time.to_string_lossy()});
    }
    parameters
}

fn value(matches: &ArgMatches, id: &str, action: &ArgAction) -> Value {
    match action {
        ArgAction::SetTrue | ArgAction::SetFalse | ArgAction::Count => true.into(),
        _ => {
            let values = matches.get_raw(id).into_iter().flatten();
            values.map(|value| value.to_string_lossy().into_owned()).collect()
        }
    }
}
