//! `imgb rules`, and the options that choose among rules.

use std::{collections::BTreeSet, fmt::Write as _, io::Read as _, path::PathBuf};

use serde_json::{Value, json};

use super::{
    args::{RulesArgs, SoftArg, SoftArgs},
    report::{Failure, bytes, print},
};
use crate::{
    plan,
    rules::{Choice, Level, Make, Rule, Soft, Table, When},
    suggest,
};

/// Bytes of a file of rules.
const MAX_RULES: u64 = 1 << 20;

/// The rules and the user's choice among them.
pub(super) fn soft(input: &SoftArgs) -> Result<plan::RuleSet, Failure> {
    let set = |names: &[String]| names.iter().cloned().collect::<BTreeSet<_>>();
    let soft = match input.soft {
        SoftArg::None => Soft::None,
        SoftArg::Auto => Soft::Auto,
        SoftArg::All => Soft::All,
    };
    let choice = Choice { soft, with: set(&input.with), without: set(&input.without) };
    let table = table(&input.rules)?;
    if let Some(name) = choice.unknown(&table).next() {
        let names = table.rules().iter().map(|rule| rule.name.as_str());
        let near = suggest::closest(name, names)
            .map_or_else(String::new, |near| format!(", did you mean `{near}`?"));
        return Err(Failure::usage(format!("no rule `{name}`{near}; `imgb rules` lists them")));
    }
    Ok(plan::RuleSet { table, choice })
}

fn table(files: &[PathBuf]) -> Result<Table, Failure> {
    let mut table =
        Table::builtin().map_err(|error| Failure::local(format!("built-in rules: {error}")))?;
    for file in files {
        let wrong = |why: &dyn std::fmt::Display| {
            Failure::usage(format!("--rules `{}`: {why}", file.display()))
        };
        let mut text = String::new();
        let opened = fs_err::File::open(file).map_err(|error| wrong(&error.kind()))?;
        // A pipe has no length, and a device no end.
        opened
            .take(MAX_RULES + 1)
            .read_to_string(&mut text)
            .map_err(|error| wrong(&error.kind()))?;
        if text.len() as u64 > MAX_RULES {
            return Err(wrong(&"more than 1 MiB"));
        }
        table.add(&text).map_err(|error| wrong(&error))?;
    }
    Ok(table)
}

/// Lists the rules.
pub(super) fn rules(args: &RulesArgs) -> Result<(), Failure> {
    let table = table(&args.rules)?;
    if args.json {
        let rules: Vec<Value> = table.rules().iter().map(describe).collect();
        return print(&format!("{}\n", Value::from(rules)));
    }
    let width = table.rules().iter().map(|rule| rule.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for rule in table.rules() {
        let limit = match rule.level {
            Level::Auto => format!(" (up to {})", bytes(rule.limit)),
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
    print(&text)
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
            "path": make.path, "mode": make.mode.map(|mode| format!("{mode:04o}")), "text": make.text,
            "link": make.link, "directory": make.directory,
        })
    };
    json!({
        "name": rule.name, "description": rule.description, "level": level(rule.level),
        "limit": rule.limit, "file-limit": rule.file_limit, "match-limit": rule.match_limit, "files-only": rule.files_only,
        "starts": rule.starts, "when": rule.when.iter().map(evidence).collect::<Vec<_>>(),
        "files": rule.files, "present": rule.present, "exclude": rule.exclude,
        "make": rule.make.iter().map(make).collect::<Vec<_>>(), "users": rule.users, "hint": rule.hint,
    })
}

/// The parts of a combination that are given.
fn evidence(when: &When) -> Value {
    let mut value = json!({});
    let lists = [
        ("symbols", &when.symbols),
        ("own-symbols", &when.own_symbols),
        ("libraries", &when.libraries),
        ("paths", &when.paths),
        ("opens", &when.opens),
        ("words", &when.words),
        ("environment", &when.environment),
        ("programs", &when.programs),
        ("namesakes", &when.namesakes),
        ("scripts", &when.scripts),
        ("modules", &when.modules),
        ("commands", &when.commands),
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
