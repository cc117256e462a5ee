//! Options for the fields of the image's configuration, read into [`Settings`] directly.

use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches};

use crate::{
    cli::values::{self, Words},
    image::{Ports, StopSignal},
    plan::Settings,
    recipe::healthcheck::Health,
};

/// What the image says about how it is started.
#[derive(Debug, Default)]
pub(in crate::cli) struct SettingsArgs(pub(in crate::cli) Settings);

impl Args for SettingsArgs {
    fn augment_args(command: Command) -> Command {
        let one = |name: &'static str, value| {
            Arg::new(name).long(name).value_name(value).help_heading("Image")
        };
        let many = |name, value| one(name, value).action(ArgAction::Append);
        command.args([
            one("entrypoint", "WORDS").value_parser(values::words).help(
                "The program to start: words, or a JSON array. A single executable input is the \
                 entrypoint by default",
            ),
            one("cmd", "WORDS")
                .value_parser(values::words)
                .allow_hyphen_values(true)
                .help("The default arguments: words, or a JSON array"),
            many("env", "NAME=VALUE")
                .value_parser(values::variable)
                .help("An environment variable (repeatable)"),
            one("workdir", "DIR")
                .value_parser(values::image_directory)
                .help("The working directory; created if it does not exist"),
            one("user", "USER[:GROUP]").value_parser(values::user).help("The user to run as"),
            many("label", "NAME=VALUE").value_parser(values::pair).help("A label (repeatable)"),
            many("expose", "PORT[-PORT][/PROTO]")
                .value_parser(clap::value_parser!(Ports))
                .help("Ports the program listens on, such as 80 or 53/udp (repeatable)"),
            many("volume", "DIR")
                .value_parser(values::image_directory)
                .help("A directory that holds data (repeatable)"),
            one("stop-signal", "SIGNAL")
                .value_parser(clap::value_parser!(StopSignal))
                .help("The signal that stops the program"),
            one("healthcheck", "CHECK")
                .value_parser(values::health)
                .allow_hyphen_values(true)
                .help(
                    "How engines check the program, as HEALTHCHECK in a Buildfile: \
                 [--interval=30s --timeout=3s --retries=3 --start-period=5s] CMD COMMAND, or NONE",
                ),
        ])
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for SettingsArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let words = |name| matches.get_one(name).map(|Words(words)| words.clone());
        let text = |name| matches.get_one::<String>(name).cloned();
        let texts =
            |name| matches.get_many::<String>(name).into_iter().flatten().cloned().collect();
        let pairs = matches.get_many::<(String, String)>("label").into_iter().flatten();
        Ok(Self(Settings {
            entrypoint: words("entrypoint"),
            cmd: words("cmd"),
            env: texts("env"),
            workdir: text("workdir"),
            user: text("user"),
            labels: pairs.cloned().collect(),
            expose: matches.get_many("expose").into_iter().flatten().copied().collect(),
            volumes: texts("volume"),
            stop_signal: matches.get_one("stop-signal").cloned(),
            created: None,
            healthcheck: matches.get_one::<Health>("healthcheck").map(Health::config),
        }))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
