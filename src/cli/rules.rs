//! `imgb rules`.

use std::{fmt::Write as _, path::PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::{
    failure::Failure,
    options::runtime_deps::table,
    size,
    terminal::{print_data, print_json},
};
use crate::rules::{Denial, Level, Make, Rule, When};

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    imgb rules\n  \
    imgb rules --json | jq '.rules[] | select(.level == \"auto\")'")]
pub(super) struct RulesArgs {
    /// A file with additional rules (repeatable)
    #[arg(long, value_name = "FILE")]
    rules: Vec<PathBuf>,

    /// Print everything in the rules as JSON
    #[arg(long)]
    json: bool,
}

impl RulesArgs {
    /// Whether stdout is for JSON.
    pub(super) fn prints_json(&self) -> bool {
        self.json
    }
}

/// Lists the rules.
pub(super) fn rules(args: &RulesArgs) -> Result<(), Failure> {
    let table = table(&args.rules)?;
    if args.json {
        let rules: Vec<Value> = table.rules().iter().map(describe).collect();
        return print_json(json!({"rules": rules}));
    }
    let width = table.rules().iter().map(|rule| rule.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for rule in table.rules() {
        let limit = match rule.level {
            Level::Auto => format!(" (up to {})", size::format(rule.limit)),
            Level::All | Level::Hint => String::new(),
        };
        let _ = writeln!(
            text,
            "{:width$}  {:<4}  {}{limit}",
            rule.name,
            level(rule.level),
            rule.description
        );
    }
    print_data(&text)
}

fn level(level: Level) -> &'static str {
    match level {
        Level::Auto => "auto",
        Level::All => "all",
        Level::Hint => "hint",
    }
}

fn describe(rule: &Rule) -> Value {
    let make = |make: &Make| {
        json!({
            "path": make.path,
            "mode": make.mode.map(|mode| format!("{mode:04o}")),
            "text": make.text,
            "link": make.link,
            "directory": make.directory,
        })
    };
    let deny = |denial: &Denial| json!({ "paths": denial.paths, "reason": denial.reason });
    json!({
        "name": rule.name,
        "description": rule.description,
        "level": level(rule.level),
        "limit": rule.limit,
        "file-limit": rule.file_limit,
        "match-limit": rule.match_limit,
        "files-only": rule.files_only,
        "starts": rule.starts,
        "when": rule.when.iter().map(evidence).collect::<Vec<_>>(),
        "files": rule.files,
        "present": rule.present,
        "exclude": rule.exclude,
        "deny": rule.deny.iter().map(deny).collect::<Vec<_>>(),
        "generic": rule.generic,
        "make": rule.make.iter().map(make).collect::<Vec<_>>(),
        "env": rule.env,
        "users": rule.users,
        "hint": rule.hint,
    })
}

/// The kinds of evidence that a rule asks for, without empty ones.
fn evidence(when: &When) -> Value {
    let mut value = json!({});
    let lists = [
        ("symbols", &when.symbols),
        ("own-symbols", &when.own_symbols),
        ("libraries", &when.libraries),
        ("paths", &when.paths),
        ("opens", &when.opens),
        ("embedded", &when.embedded),
        ("may-open", &when.may_open),
        ("words", &when.words),
        ("environment", &when.environment),
        ("programs", &when.programs),
        ("owned", &when.owned),
        ("recommended", &when.recommended),
        ("scripts", &when.scripts),
        ("modules", &when.modules),
        ("perl-modules", &when.perl_modules),
        ("commands", &when.commands),
        ("needed-commands", &when.needed_commands),
        ("command-lines", &when.command_lines),
        ("own-programs", &when.own_programs),
        ("rules", &when.rules),
        ("unless", &when.unless),
    ];
    for (name, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
        value[name] = list.as_slice().into();
    }
    if let Some(kind) = when.libc {
        value["libc"] = format!("{kind:?}").to_lowercase().into();
    }
    if let Some(version) = &when.libc_before {
        value["libc-before"] = version.as_str().into();
    }
    if when.user {
        value["user"] = true.into();
    }
    value
}
