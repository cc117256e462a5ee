//! A rule's triggers and the facts → the matches that make it fire.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Evidence, Facts, When,
    facts::{Mentions, Owned, Paths},
    pattern,
    version::parse_version,
};
use crate::path::ImagePath;

/// What matched a trigger, and in which file that was.
pub(super) struct Match {
    pub(super) evidence: Arc<Evidence>,
    /// The file that the evidence is in; `None` if it is in the image's configuration.
    pub(super) by: Option<ImagePath>,
    /// The path that `{match}` stands for.
    pub(super) path: Option<Vec<u8>>,
    /// What the stars of the pattern matched: `{1}` and so on.
    pub(super) captures: Vec<Vec<u8>>,
}

/// The rules that are followed so far, each with the file that its evidence is in.
pub(super) type Followed<'t> = BTreeMap<&'t str, Option<ImagePath>>;

/// The matches of a combination; `None` if a part of it does not hold.
pub(super) fn matches(when: &When, facts: &Facts, followed: &Followed<'_>) -> Option<Vec<Match>> {
    let mut out: Vec<Match> = Vec::new();
    if when.unless.iter().any(|name| followed.contains_key(&**name)) {
        return None;
    }
    type Find<'a> = &'a dyn Fn(&[String]) -> Vec<Match>;
    let parts: [(&[String], Find<'_>); 20] = [
        (&when.programs, &|patterns| programs(patterns, facts)),
        (&when.opens, &|patterns| mentions(patterns, &facts.opens)),
        (&when.may_open, &|patterns| mentions(patterns, &facts.may_open)),
        (&when.embedded, &|patterns| mentions(patterns, &facts.embedded)),
        (&when.modules, &|patterns| named(patterns, each(&facts.modules), Evidence::ScriptModule)),
        (&when.perl_modules, &|patterns| {
            named(patterns, each(&facts.perl_modules), Evidence::ScriptModule)
        }),
        (&when.commands, &|patterns| {
            let commands = facts.commands.iter().map(|(name, (path, by))| (&**name, &**path, by));
            named(patterns, commands, Evidence::ScriptCommand)
        }),
        (&when.needed_commands, &|patterns| {
            let commands = &facts.needed_commands;
            let commands = commands.iter().map(|(name, (path, by))| (&**name, &**path, by));
            named(patterns, commands, Evidence::ScriptNeeds)
        }),
        (&when.command_lines, &|patterns| mentions(patterns, &facts.line_commands)),
        (&when.own_programs, &|patterns| mentions(patterns, &facts.own_programs)),
        (&when.scripts, &|patterns| {
            let scripts = facts.scripts.iter().map(|(name, by)| (&**name, by.as_bytes(), by));
            named(patterns, scripts, Evidence::ScriptInterpreter)
        }),
        (&when.libraries, &|patterns| {
            let libraries = facts.libraries.iter().map(|(name, by)| (&**name, by.as_bytes(), by));
            named(patterns, libraries, Evidence::Library)
        }),
        (&when.paths, &|patterns| paths(patterns, &facts.paths)),
        (&when.owned, &|patterns| owned(patterns, facts, |owned| !owned.is_recommended())),
        (&when.recommended, &|patterns| owned(patterns, facts, Owned::is_recommended)),
        (&when.own_symbols, &|names| symbols(names, facts, true)),
        (&when.symbols, &|names| symbols(names, facts, false)),
        (&when.words, &|words| self::words(words, facts)),
        (&when.environment, &|patterns| environment(patterns, facts)),
        (&when.rules, &|names| rules(names, followed)),
    ];
    for (patterns, find) in parts {
        if patterns.is_empty() {
            continue;
        }
        let found = find(patterns);
        if found.is_empty() {
            return None;
        }
        if out.is_empty() {
            out = found;
        }
    }
    if when.libc.is_some() || when.libc_before.is_some() {
        let found = libc(when, facts)?;
        if out.is_empty() {
            out.push(found);
        }
    }
    if when.user {
        let user = facts.user.as_ref()?;
        if out.is_empty() {
            out.push(Match::new(Evidence::User(user.as_str().into()), None));
        }
    }
    (!out.is_empty()).then_some(out)
}

impl Match {
    /// A match that gives no variable a value.
    pub(super) fn new(evidence: Evidence, by: Option<&ImagePath>) -> Self {
        Self { evidence: evidence.into(), by: by.cloned(), path: None, captures: Vec::new() }
    }
}

/// What the stars of the first of `patterns` that matches `text` stand for.
fn first(patterns: &[String], text: &[u8]) -> Option<Vec<Vec<u8>>> {
    let captures =
        patterns.iter().find_map(|pattern| pattern::captures(pattern.as_bytes(), text))?;
    Some(captures.into_iter().map(<[u8]>::to_vec).collect())
}

fn programs(patterns: &[String], facts: &Facts) -> Vec<Match> {
    let (whole, names): (Vec<String>, Vec<String>) =
        patterns.iter().cloned().partition(|pattern| pattern.contains('/'));
    let captures = |path: &ImagePath| {
        first(&names, path.file_name()).or_else(|| first(&whole, path.as_bytes()))
    };
    // A link may have the name that matches (`java` among the alternatives), but the files are next
    // to the target.
    let find = |(named, real): (&ImagePath, &ImagePath)| {
        let captures = captures(real).or_else(|| captures(named))?;
        let path = Some(real.as_bytes().to_vec());
        Some(Match { evidence: Evidence::Program.into(), by: Some(real.clone()), path, captures })
    };
    facts.programs.iter().filter_map(find).collect()
}

/// Names that match. `found`: each name, the path that it leads to, and the file that has it.
fn named<'f>(
    patterns: &[String],
    found: impl Iterator<Item = (&'f [u8], &'f [u8], &'f ImagePath)>,
    evidence: impl Fn(Box<[u8]>) -> Evidence,
) -> Vec<Match> {
    let find = |(name, path, by): (&[u8], &[u8], &ImagePath)| {
        let captures = first(patterns, name)?;
        let (evidence, path) = (Arc::new(evidence(name.into())), Some(path.to_vec()));
        Some(Match { evidence, by: Some(by.clone()), path, captures })
    };
    found.filter_map(find).collect()
}

/// Libraries whose names match.
fn mentions(patterns: &[String], names: &BTreeMap<Box<[u8]>, Mentions>) -> Vec<Match> {
    let mut found = Vec::new();
    for (name, paths) in names {
        let Some(captures) = first(patterns, name) else { continue };
        found.extend(paths.iter().map(|(path, mention)| Match {
            evidence: mention.evidence.clone(),
            by: Some(mention.by.clone()),
            path: Some(path.to_vec()),
            captures: captures.clone(),
        }));
    }
    found
}

/// Each name with each of its paths, and the file that has it.
fn each(names: &BTreeMap<Box<[u8]>, Paths>) -> impl Iterator<Item = (&[u8], &[u8], &ImagePath)> {
    names
        .iter()
        .flat_map(|(name, paths)| paths.iter().map(move |(path, by)| (&**name, &**path, by)))
}

fn owned(patterns: &[String], facts: &Facts, counts: impl Fn(&Owned) -> bool) -> Vec<Match> {
    let mut found = Vec::new();
    for (path, owned) in facts.owned.iter().filter(|(_, owned)| counts(owned)) {
        let Owned { by, mention, tie, .. } = owned;
        let evidence = Evidence::Owned(mention.clone(), tie.clone()).into();
        let Some(captures) = first(patterns, path) else { continue };
        found.push(Match { evidence, by: Some(by.clone()), path: Some(path.to_vec()), captures });
    }
    found
}

fn paths(patterns: &[String], paths: &BTreeMap<Box<[u8]>, ImagePath>) -> Vec<Match> {
    let found = paths.iter().map(|(path, by)| (&**path, &**path, by));
    named(patterns, found, Evidence::Constant)
}

fn symbols(names: &[String], facts: &Facts, own: bool) -> Vec<Match> {
    let find = |name: &String| {
        let symbol = facts.symbols.get(name.as_bytes()).filter(|symbol| symbol.own || !own)?;
        Some(Match::new(Evidence::Symbol(name.as_str().into()), Some(&symbol.by)))
    };
    names.iter().find_map(find).into_iter().collect()
}

fn words(words: &[String], facts: &Facts) -> Vec<Match> {
    let find = |word: &String| {
        let by = facts.words.get(word)?;
        Some(Match::new(Evidence::Word(word.as_str().into()), Some(by)))
    };
    words.iter().find_map(find).into_iter().collect()
}

fn environment(patterns: &[String], facts: &Facts) -> Vec<Match> {
    let find = |variable: &String| {
        first(patterns, variable.as_bytes())?;
        Some(Match::new(Evidence::Environment(variable.as_str().into()), None))
    };
    facts.environment.iter().find_map(find).into_iter().collect()
}

fn rules(names: &[String], followed: &Followed<'_>) -> Vec<Match> {
    let find = |name: &String| {
        let by = followed.get(&**name)?;
        Some(Match::new(Evidence::Rule(name.as_str().into()), by.as_ref()))
    };
    names.iter().find_map(find).into_iter().collect()
}

fn libc(when: &When, facts: &Facts) -> Option<Match> {
    let before = when.libc_before.as_deref().and_then(parse_version);
    let libc = facts.libcs.iter().find(|libc| {
        when.libc.is_none_or(|kind| kind == libc.kind)
            && before.is_none_or(|before| libc.version.is_some_and(|version| version < before))
    })?;
    Some(Match::new(Evidence::Libc(libc.kind), Some(&libc.path)))
}
