//! Which run-time dependencies are added.

use std::{
    fmt::Display,
    io::{self, Read as _},
    path::PathBuf,
};

use clap::{Args, ValueEnum};

use crate::{
    cli::failure::Failure,
    error_kind::{ErrorKind, system_reason},
    plan::RuleSet,
    quantity,
    rules::{Choice, Soft, Table},
    suggest,
};

/// Bytes of a rules file.
const MAX_RULES: u64 = 1 << 20;

/// Which run-time dependencies are added.
#[derive(Args, Debug)]
pub(in crate::cli) struct RuntimeDepsArgs {
    /// How much to add of what programs open only at run time: certificates, time zones, plugins,
    /// standard libraries
    #[arg(
        long,
        value_enum,
        value_name = "LEVEL",
        default_value = "auto",
        help_heading = "Run-time dependencies"
    )]
    soft: SoftArg,

    /// Follow this rule whatever its evidence says (repeatable); `imgb rules` lists them
    #[arg(long, value_name = "RULE", help_heading = "Run-time dependencies")]
    with: Vec<String>,

    /// Do not follow this rule (repeatable)
    #[arg(long, value_name = "RULE", help_heading = "Run-time dependencies")]
    without: Vec<String>,

    /// A file with additional rules (repeatable); docs/rules.md describes the format
    #[arg(long, value_name = "FILE", help_heading = "Run-time dependencies")]
    rules: Vec<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum SoftArg {
    /// Nothing
    None,
    /// What is needed with high confidence and not too large
    Auto,
    /// Everything there is evidence for
    All,
}

impl RuntimeDepsArgs {
    /// The files of `--rules`.
    pub(in crate::cli) fn files(&self) -> &[PathBuf] {
        &self.rules
    }

    /// The rules, and the user's choice among them.
    pub(in crate::cli) fn rule_set(&self) -> Result<RuleSet, Failure> {
        let choice = Choice {
            soft: match self.soft {
                SoftArg::None => Soft::None,
                SoftArg::Auto => Soft::Auto,
                SoftArg::All => Soft::All,
            },
            with: self.with.iter().cloned().collect(),
            without: self.without.iter().cloned().collect(),
        };
        let table = table(&self.rules)?;
        if let Some(name) = choice.unknown(&table).next() {
            let names = table.rules().iter().map(|rule| rule.name.as_str());
            let near = suggest::closest(name, names)
                .map_or_else(String::new, |near| format!(", did you mean `{near}`?"));
            return Err(Failure::usage(format!("no rule `{name}`{near}; `imgb rules` lists them")));
        }
        Ok(RuleSet { table, choice })
    }
}

/// The built-in rules and those of `files`.
pub(in crate::cli) fn table(files: &[PathBuf]) -> Result<Table, Failure> {
    let mut table =
        Table::builtin().map_err(|error| Failure::local(format!("built-in rules: {error}")))?;
    for file in files {
        let message = |why: &dyn Display| format!("--rules `{}`: {why}", file.display());
        let wrong = |why: &dyn Display| Failure::usage(message(why));
        let unreadable = |error: io::Error| match error.kind() {
            io::ErrorKind::InvalidData => wrong(&"the text is not UTF-8"),
            _ => Failure::new(ErrorKind::Input, message(&system_reason(&error))),
        };
        let mut text = String::new();
        let opened = std::fs::File::open(file).map_err(unreadable)?;
        // The limit is enforced while reading: a pipe has no length, and a device no end.
        opened.take(MAX_RULES + 1).read_to_string(&mut text).map_err(unreadable)?;
        if text.len() as u64 > MAX_RULES {
            return Err(wrong(&format!("more than {}", quantity::bytes(MAX_RULES))));
        }
        table.add(&text).map_err(|error| wrong(&error))?;
    }
    Ok(table)
}
