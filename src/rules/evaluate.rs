//! Rules and evidence → which rules fire, and which paths they name.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    Choice, Evidence, Rule, Table, Verdict, When, evidence::Paths, pattern, table::parse_version,
};
use crate::path::{ImagePath, escape};

/// A rule that fires.
#[derive(Clone, Debug)]
pub struct Fired<'t> {
    /// The rule.
    pub rule: &'t Rule,
    /// What is to be done about it.
    pub verdict: Verdict,
    /// The first evidence, as a phrase: `it imports getaddrinfo`.
    pub evidence: String,
    /// The file that the evidence is in; `None` where the user asked for the rule.
    pub by: Option<ImagePath>,
    /// The rule's files with their variables filled in, in order.
    pub files: Vec<NamedBy>,
    /// Files of which one must be there, likewise; none: it does not matter.
    pub present: Vec<NamedBy>,
}

/// Files that a rule names.
#[derive(Clone, Debug)]
pub struct NamedBy {
    /// An absolute pattern of `crate::path::glob`.
    pub pattern: Vec<u8>,
    /// The evidence that filled it in, as [`Fired::evidence`].
    pub evidence: Arc<str>,
    /// The file that has that evidence, as [`Fired::by`].
    pub by: Option<ImagePath>,
}

/// Paths of one rule: from much evidence come many.
const MAX_FILES: usize = 10_000;

/// Every rule that fires and is not to be ignored, in the table's order.
pub fn evaluate<'t>(table: &'t Table, evidence: &Evidence, choice: &Choice) -> Vec<Fired<'t>> {
    let mut fired: BTreeMap<usize, Fired<'t>> = BTreeMap::new();
    let mut followed: BTreeMap<&str, Option<ImagePath>> = BTreeMap::new();
    let dirs = evidence.library_dirs();
    // A rule may fire because another does: again until nothing new does.
    loop {
        let before = fired.len();
        for (index, rule) in table.rules().iter().enumerate() {
            if choice.verdict(rule) == Verdict::Ignore || fired.contains_key(&index) {
                continue;
            }
            let Some(one) = fire(rule, choice, evidence, &followed, &dirs) else { continue };
            if one.verdict != Verdict::Suggest {
                followed.insert(&rule.name, one.by.clone());
            }
            fired.insert(index, one);
        }
        if fired.len() == before {
            return fired.into_values().collect();
        }
    }
}

/// What a pattern of a trigger stood for, and in which file that was.
struct Match {
    phrase: String,
    by: ImagePath,
    /// The path that `{match}` stands for.
    path: Option<Vec<u8>>,
    /// `{1}` and so on.
    captures: Vec<Vec<u8>>,
}

/// The rules that are followed so far, each with the file that its evidence is in.
type Followed<'t> = BTreeMap<&'t str, Option<ImagePath>>;

fn fire<'t>(
    rule: &'t Rule,
    choice: &Choice,
    evidence: &Evidence,
    followed: &Followed<'_>,
    dirs: &[ImagePath],
) -> Option<Fired<'t>> {
    let mut matches: Vec<Match> =
        rule.when.iter().filter_map(|when| holds(when, evidence, followed)).flatten().collect();
    let (phrase, by) = match matches.first() {
        Some(first) => (first.phrase.clone(), Some(first.by.clone())),
        None if choice.with.contains(&rule.name) => ("--with".into(), None),
        None => return None,
    };
    if matches.is_empty() {
        matches.push(Match {
            phrase: String::new(),
            by: ImagePath::root(),
            path: None,
            captures: Vec::new(),
        });
    }
    let named: Vec<(Arc<str>, Option<ImagePath>)> = matches
        .iter()
        .map(|one| match by {
            Some(_) => (one.phrase.as_str().into(), Some(one.by.clone())),
            None => (phrase.as_str().into(), None),
        })
        .collect();
    let fill = |patterns: &[String]| fill(patterns, &matches, &named, dirs);
    let (files, present) = (fill(&rule.files), fill(&rule.present));
    Some(Fired { rule, verdict: choice.verdict(rule), evidence: phrase, by, files, present })
}

/// `patterns` with their variables filled in from each of `matches`, which `named` describes.
fn fill(
    patterns: &[String],
    matches: &[Match],
    named: &[(Arc<str>, Option<ImagePath>)],
    dirs: &[ImagePath],
) -> Vec<NamedBy> {
    let mut files = Vec::new();
    let mut seen = BTreeSet::new();
    for pattern in patterns {
        for (one, (evidence, by)) in matches.iter().zip(named) {
            for dir in dirs.iter().map(Some).chain(dirs.is_empty().then_some(None)) {
                let Some(path) = expand(pattern, one, dir) else { continue };
                if files.len() < MAX_FILES && seen.insert(path.clone()) {
                    files.push(NamedBy {
                        pattern: path,
                        evidence: evidence.clone(),
                        by: by.clone(),
                    });
                }
            }
        }
    }
    files
}

/// The matches of a combination; `None` where a part of it does not hold.
fn holds(when: &When, evidence: &Evidence, followed: &Followed<'_>) -> Option<Vec<Match>> {
    let mut out: Vec<Match> = Vec::new();
    if when.unless.iter().any(|name| followed.contains_key(&**name)) {
        return None;
    }
    type Find<'a> = &'a dyn Fn(&[String]) -> Vec<Match>;
    let parts: [(&[String], Find<'_>); 13] = [
        (&when.programs, &|patterns| programs(patterns, evidence)),
        (&when.opens, &|patterns| {
            opened(patterns, each(&evidence.opens), |name| {
                format!("it names {name} and calls dlopen")
            })
        }),
        (&when.modules, &|patterns| {
            opened(patterns, each(&evidence.modules), |name| format!("its imports lead to {name}"))
        }),
        (&when.commands, &|patterns| {
            let commands =
                evidence.commands.iter().map(|(name, (path, by))| (&**name, &**path, by));
            opened(patterns, commands, |name| format!("its script names the command {name}"))
        }),
        (&when.scripts, &|patterns| scripts(patterns, evidence)),
        (&when.libraries, &|patterns| libraries(patterns, evidence)),
        (&when.paths, &|patterns| paths(patterns, &evidence.paths)),
        (&when.namesakes, &|patterns| paths(patterns, &evidence.namesakes)),
        (&when.own_symbols, &|names| symbols(names, evidence, true)),
        (&when.symbols, &|names| symbols(names, evidence, false)),
        (&when.words, &|words| self::words(words, evidence)),
        (&when.environment, &|patterns| environment(patterns, evidence)),
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
        let libc = evidence.libcs.iter().find(|libc| {
            let before = when.libc_before.as_deref().and_then(parse_version);
            when.libc.is_none_or(|kind| kind == libc.kind)
                && before.is_none_or(|before| libc.version.is_some_and(|version| version < before))
        })?;
        if out.is_empty() {
            out.push(Match::new("it is the C library".into(), &libc.path));
        }
    }
    if when.user {
        let user = evidence.user.as_ref()?;
        if out.is_empty() {
            out.push(Match::new(format!("the image's user is {user}"), &ImagePath::root()));
        }
    }
    (!out.is_empty()).then_some(out)
}

impl Match {
    fn new(phrase: String, by: &ImagePath) -> Self {
        Self { phrase, by: by.clone(), path: None, captures: Vec::new() }
    }
}

/// The first of `patterns` that stands for `text`, and what its stars stood for.
fn first(patterns: &[String], text: &[u8]) -> Option<Vec<Vec<u8>>> {
    let captures =
        patterns.iter().find_map(|pattern| pattern::captures(pattern.as_bytes(), text))?;
    Some(captures.into_iter().map(<[u8]>::to_vec).collect())
}

fn programs(patterns: &[String], evidence: &Evidence) -> Vec<Match> {
    let (whole, names): (Vec<String>, Vec<String>) =
        patterns.iter().cloned().partition(|pattern| pattern.contains('/'));
    let captures = |path: &ImagePath| {
        first(&names, path.file_name()).or_else(|| first(&whole, path.as_bytes()))
    };
    // A link may have the telling name (`java` among the alternatives), but files lie about what it
    // leads to.
    let find = |(named, real): (&ImagePath, &ImagePath)| {
        let captures = captures(real).or_else(|| captures(named))?;
        let path = Some(real.as_bytes().to_vec());
        Some(Match { phrase: "it is such a program".into(), by: real.clone(), path, captures })
    };
    evidence.programs.iter().filter_map(find).collect()
}

fn libraries(patterns: &[String], evidence: &Evidence) -> Vec<Match> {
    let find = |(name, path): (&[u8], &ImagePath)| {
        let captures = first(patterns, name)?;
        let phrase = format!("{} is loaded", escape(name));
        Some(Match { phrase, by: path.clone(), path: Some(path.as_bytes().to_vec()), captures })
    };
    evidence.libraries.iter().map(|(name, path)| (&**name, path)).filter_map(find).collect()
}

/// Names that lead to something, `phrase` saying how one comes to be there.
/// `opened`: names, what they lead to, and whose they are.
fn opened<'e>(
    patterns: &[String],
    opened: impl Iterator<Item = (&'e [u8], &'e [u8], &'e ImagePath)>,
    phrase: impl Fn(&str) -> String,
) -> Vec<Match> {
    let find = |(name, path, by): (&[u8], &[u8], &ImagePath)| {
        let captures = first(patterns, name)?;
        Some(Match {
            phrase: phrase(&escape(name)),
            by: by.clone(),
            path: Some(path.to_vec()),
            captures,
        })
    };
    opened.filter_map(find).collect()
}

/// Each name with each of its paths, and whose it is.
fn each(names: &BTreeMap<Box<[u8]>, Paths>) -> impl Iterator<Item = (&[u8], &[u8], &ImagePath)> {
    names
        .iter()
        .flat_map(|(name, paths)| paths.iter().map(move |(path, by)| (&**name, &**path, by)))
}

fn scripts(patterns: &[String], evidence: &Evidence) -> Vec<Match> {
    let find = |(name, by): (&[u8], &ImagePath)| {
        let captures = first(patterns, name)?;
        let path = Some(by.as_bytes().to_vec());
        Some(Match {
            phrase: format!("it is a script for {}", escape(name)),
            by: by.clone(),
            path,
            captures,
        })
    };
    evidence.scripts.iter().map(|(name, by)| (&**name, by)).filter_map(find).collect()
}

fn paths(patterns: &[String], paths: &BTreeMap<Box<[u8]>, ImagePath>) -> Vec<Match> {
    let find = |(path, by): (&[u8], &ImagePath)| {
        let captures = first(patterns, path)?;
        let phrase = format!("it names {}", escape(path));
        Some(Match { phrase, by: by.clone(), path: Some(path.to_vec()), captures })
    };
    paths.iter().map(|(path, by)| (&**path, by)).filter_map(find).collect()
}

fn symbols(names: &[String], evidence: &Evidence, own: bool) -> Vec<Match> {
    let find = |name: &String| {
        let symbol = evidence.symbols.get(name.as_bytes()).filter(|symbol| symbol.own || !own)?;
        Some(Match::new(format!("it imports {name}"), &symbol.by))
    };
    names.iter().find_map(find).into_iter().collect()
}

fn words(words: &[String], evidence: &Evidence) -> Vec<Match> {
    let find = |word: &String| {
        let by = evidence.words.get(word)?;
        Some(Match::new(format!("it has the word {word}"), by))
    };
    words.iter().find_map(find).into_iter().collect()
}

fn environment(patterns: &[String], evidence: &Evidence) -> Vec<Match> {
    let find = |variable: &String| {
        first(patterns, variable.as_bytes())?;
        Some(Match::new(format!("the image's environment has {variable}"), &ImagePath::root()))
    };
    evidence.environment.iter().find_map(find).into_iter().collect()
}

fn rules(names: &[String], followed: &Followed<'_>) -> Vec<Match> {
    let find = |name: &String| {
        let by = followed.get(&**name)?.clone().unwrap_or_else(ImagePath::root);
        Some(Match::new(format!("rule {name}"), &by))
    };
    names.iter().find_map(find).into_iter().collect()
}

/// `pattern` with its variables filled in; `None` where one has no value or the whole is no
/// absolute path.
fn expand(pattern: &str, one: &Match, dir: Option<&ImagePath>) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut rest = pattern;
    while let Some(open) = rest.find('{') {
        let (before, from) = rest.split_at(open);
        let (name, after) = from.get(1..)?.split_once('}')?;
        out.extend_from_slice(before.as_bytes());
        let value = match name {
            "libdir" => dir?.as_bytes().to_vec(),
            "match" => one.path.clone()?,
            "dir" => ImagePath::new(one.path.as_ref()?).ok()?.parent()?.as_bytes().to_vec(),
            "prefix" => prefix(one.path.as_ref()?),
            number => one.captures.get(number.parse::<usize>().ok()?.checked_sub(1)?)?.clone(),
        };
        // What evidence says is a name, never a pattern.
        for byte in value {
            if matches!(byte, b'*' | b'?' | b'[' | b'\\') {
                out.push(b'\\');
            }
            out.push(byte);
        }
        rest = after;
    }
    out.extend_from_slice(rest.as_bytes());
    out.starts_with(b"/").then_some(out)
}

/// The installation prefix of a program or library: what is above its `bin` or `lib`; `/usr` where
/// it has none.
fn prefix(path: &[u8]) -> Vec<u8> {
    let parts: Vec<&[u8]> = path.split(|&b| b == b'/').collect();
    let is_kind = |part: &&[u8]| {
        matches!(*part, b"bin" | b"sbin" | b"lib" | b"lib32" | b"lib64" | b"libexec")
    };
    match parts.iter().rposition(is_kind) {
        Some(at) if at > 1 => parts.get(..at).unwrap_or_default().join(&b'/'),
        _ => b"/usr".to_vec(),
    }
}
