//! Shell completions and manual pages, made from the command line's own description.

use std::path::Path;

use clap::{CommandFactory as _, builder::PossibleValuesParser};

use super::{command::Cli, failure::Failure, options::runtime_deps::table, terminal::print_data};

/// Commands that take `--with` and `--without`.
const WITH_RULES: [&str; 3] = ["pack", "build", "plan"];

/// Requests for each manual page: no word is hyphenated, because half of
/// them are commands and options, and lines are not stretched.
const NO_HYPHENS: &str = ".nh\n.ad l\n";

/// Prints the completions for `shell`.
pub(super) fn completions(shell: clap_complete::Shell) -> Result<(), Failure> {
    let table = table(&[])?;
    let names: Vec<&'static str> =
        table.rules().iter().map(|rule| &*rule.name.clone().leak()).collect();
    let mut cli = Cli::command();
    for command in WITH_RULES {
        // Only completions know the names in advance: a rules file may add others.
        cli = cli.mut_subcommand(command, |command| {
            let complete =
                |arg: clap::Arg| arg.value_parser(PossibleValuesParser::new(names.clone()));
            command.mut_arg("with", complete).mut_arg("without", complete)
        });
    }
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut cli, "imgb", &mut text);
    print_data(&String::from_utf8_lossy(&text))
}

/// Writes a manual page for each command into `dir`.
pub(super) fn man(dir: &Path) -> Result<(), Failure> {
    let mut cli = Cli::command();
    cli.build();
    fs_err::create_dir_all(dir).and_then(|()| pages(&cli, dir)).map_err(|error| {
        Failure::local(format!("cannot write manual pages to `{}`: {error}", dir.display()))
    })
}

fn pages(command: &clap::Command, dir: &Path) -> std::io::Result<()> {
    for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
        pages(below, dir)?;
    }
    let page = clap_mangen::Man::new(command.clone());
    let mut text = Vec::new();
    page.render(&mut text)?;
    let text = String::from_utf8_lossy(&text);
    // The title comes first.
    let title = text.find("\n.TH ").map_or(0, |at| at + 1);
    let end = text[title..].find('\n').map_or(text.len(), |at| title + at + 1);
    let (head, body) = text.split_at(end);
    fs_err::write(dir.join(page.get_filename()), format!("{head}{NO_HYPHENS}{body}"))
}
