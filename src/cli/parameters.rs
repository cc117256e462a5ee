//! The command and those of its options that decide about an image, for its provenance.

use clap::{ArgAction, ArgMatches, Args, Command, parser::ValueSource};
use serde_json::{Map, Value, json};

use super::environment::variable;

/// Options whose headings say that they do not decide about the image, and do.
const DECIDING: [&str; 3] = ["tag", "compress", "created"];
/// The headings of options that decide about the image.
const HEADINGS: [&str; 4] = ["Buildfile", "Image", "Inputs", "Run-time dependencies"];

/// What the user gave to this process, whose command has the arguments `A`, as it was written: the
/// command's name, its inputs, and its options by their names. Outputs, caches, registries and
/// messages are left out, and credentials with them.
pub(super) fn parameters<A: Args>() -> Value {
    let name = std::env::args_os().nth(1).unwrap_or_default().to_string_lossy().into_owned();
    let mut command = A::augment_args(Command::new("imgb"));
    // It was parsed before: no error is left.
    let matches = command.try_get_matches_from_mut(std::env::args_os().skip(1));
    let Ok(matches) = matches else { return Value::Null };
    let mut options = Map::new();
    let mut inputs = json!([]);
    for argument in command.get_arguments() {
        let id = argument.get_id().as_str();
        let decides = argument.is_positional()
            || DECIDING.contains(&id)
            || argument.get_help_heading().is_some_and(|heading| HEADINGS.contains(&heading));
        if !decides || matches.value_source(id) != Some(ValueSource::CommandLine) {
            continue;
        }
        let value = value(&matches, id, argument.get_action());
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
