//! The rule table: TOML → rules, checked.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::{LibcKind, pattern, version::parse_version};
use crate::path::{
    ImagePath, PathError,
    glob::{Glob, GlobError},
};

/// All rules, in the order they were read.
#[derive(Clone, Debug, Default)]
pub struct Table {
    rules: Vec<Rule>,
}

/// One rule: when it fires, and what it adds. docs/rules.md describes each field.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Rule {
    /// The name, for `--with` and `--without`.
    pub name: String,
    /// What it is for, in one line.
    pub description: String,
    /// At which level it adds by itself.
    pub level: Level,
    /// Bytes that it may add at [`super::Soft::Auto`].
    #[serde(default = "default_limit")]
    pub limit: u64,
    /// Bytes of one file that it may add at [`super::Soft::Auto`]: larger ones stay out, the others
    /// come.
    #[serde(default)]
    pub file_limit: Option<u64>,
    /// Bytes that one piece of evidence may add at [`super::Soft::Auto`]: what is larger stays out,
    /// the others come.
    #[serde(default)]
    pub match_limit: Option<u64>,
    /// What makes it fire: any of these. None: only `--with` does.
    #[serde(default)]
    pub when: Vec<When>,
    /// Files and directories of the sysroot, as patterns.
    #[serde(default)]
    pub files: Vec<String>,
    /// Files of the sysroot of which one must be there, as patterns: without, the rule does not
    /// fire.
    #[serde(default)]
    pub present: Vec<String>,
    /// Below these directories, what is not taken: patterns of whole paths.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// What is generated where the image has nothing.
    #[serde(default)]
    pub make: Vec<Make>,
    /// Accounts and groups of the sysroot that the image's passwd(5) and group(5) are to have.
    #[serde(default)]
    pub users: Vec<String>,
    /// Whether only regular files are meant, not directories and what is below them.
    #[serde(default)]
    pub files_only: bool,
    /// Whether scripts among the files are started: then their interpreters join, and the commands
    /// that shell scripts name are evidence. Scripts of other rules are examples, or modules that
    /// something else reads.
    #[serde(default)]
    pub starts: bool,
    /// What to tell the user where the rule fires and is not followed.
    #[serde(default)]
    pub hint: Option<String>,
    /// `exclude`, read.
    #[serde(skip)]
    excluded: Vec<Glob>,
}

/// At which `--soft` a rule adds by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// `auto` and above.
    Auto,
    /// `all`.
    All,
    /// Never: the user is told.
    Hint,
}

/// A combination of evidence: each field that is given must hold, and holds if any of its patterns
/// does.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct When {
    /// Symbols that an object other than the C library's own imports.
    pub symbols: Vec<String>,
    /// Symbols that a program itself imports.
    pub own_symbols: Vec<String>,
    /// SONAMEs or file names of objects in the closure.
    pub libraries: Vec<String>,
    /// Absolute paths in constant data. Without a star, they are looked for anywhere in it, and
    /// need not exist.
    pub paths: Vec<String>,
    /// As `paths`, of objects that the path is named after: bison's `/usr/share/bison`.
    pub namesakes: Vec<String>,
    /// Names of libraries in constant data of objects that call dlopen(3), where the search finds
    /// them.
    pub opens: Vec<String>,
    /// Words anywhere in constant data of programs: names of functions in Go programs, names of
    /// locales.
    pub words: Vec<String>,
    /// Variables of the image's environment, `NAME=VALUE`.
    pub environment: Vec<String>,
    /// File names of programs or, with a slash, their whole paths.
    pub programs: Vec<String>,
    /// File names of the interpreters of scripts of the sysroot.
    pub scripts: Vec<String>,
    /// Names of installed modules that Python scripts import.
    pub modules: Vec<String>,
    /// Names of commands in shell scripts.
    pub commands: Vec<String>,
    /// Rules that are followed.
    pub rules: Vec<String>,
    /// Rules that come before this one in the table and are not followed.
    pub unless: Vec<String>,
    /// The C library.
    pub libc: Option<LibcKind>,
    /// The C library is older than this version, `MAJOR.MINOR`.
    pub libc_before: Option<String>,
    /// The configuration names a user.
    pub user: bool,
}

/// A file, link or directory that is generated.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Make {
    /// Where.
    pub path: String,
    /// Permission bits; 0644 or 0755 if it does not say.
    #[serde(default)]
    pub mode: Option<u16>,
    /// A file with this text; `{passwd}`, `{group}` and `{shadow}` stand for the accounts.
    #[serde(default)]
    pub text: Option<String>,
    /// A link to the first of these that is in the image. Where none is, there is no link.
    #[serde(default)]
    pub link: Vec<String>,
    /// A directory.
    #[serde(default)]
    pub directory: bool,
}

/// What evidence is asked for, so that nothing else is gathered.
#[derive(Clone, Debug, Default)]
pub struct Wanted<'a> {
    /// Symbols.
    pub symbols: BTreeSet<&'a [u8]>,
    /// Paths without stars.
    pub literals: BTreeSet<&'a [u8]>,
    /// Paths with stars.
    pub patterns: BTreeSet<&'a [u8]>,
    /// Words of programs.
    pub words: BTreeSet<&'a str>,
}

/// Why a table cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// It is no TOML, or fields are missing, unknown or of the wrong type.
    #[error("line {line}: {message}")]
    Toml {
        /// The line, from 1; 0 where it is not known.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// A pattern of `exclude` is none.
    #[error("rule `{rule}`: exclude `{pattern}`: {source}")]
    Exclude {
        /// The rule.
        rule: String,
        /// The pattern.
        pattern: String,
        /// Why.
        source: GlobError,
    },
    /// A path that no image can have.
    #[error("rule `{rule}`: path `{path}`: {source}")]
    Path {
        /// The rule.
        rule: String,
        /// The path.
        path: String,
        /// Why.
        source: PathError,
    },
    /// A value that cannot be.
    #[error("rule `{rule}`: `{value}`: {why}")]
    Value {
        /// The rule.
        rule: String,
        /// The value.
        value: String,
        /// Why.
        why: &'static str,
    },
}

/// Bytes that a rule may add by itself if it does not say.
const DEFAULT_LIMIT: u64 = 10 << 20;

fn default_limit() -> u64 {
    DEFAULT_LIMIT
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    rule: Vec<Rule>,
}

impl Table {
    /// The built-in rules.
    ///
    /// # Errors
    /// None that the tests let pass.
    pub fn builtin() -> Result<Self, TableError> {
        let mut table = Self::default();
        for text in [
            include_str!("table/libc.toml"),
            include_str!("table/security.toml"),
            include_str!("table/languages.toml"),
            include_str!("table/programs.toml"),
            include_str!("table/desktop.toml"),
            include_str!("table/general.toml"),
        ] {
            table.add(text)?;
        }
        Ok(table)
    }

    /// Adds the rules in `text`. A rule with the name of one that is there replaces it.
    ///
    /// # Errors
    /// [`TableError`]; the table is then as it was.
    pub fn add(&mut self, text: &str) -> Result<(), TableError> {
        let file: File = toml::from_str(text).map_err(|error| TableError::toml(text, &error))?;
        let mut rules = file.rule;
        rules.iter_mut().try_for_each(Rule::check)?;
        for rule in rules {
            match self.rules.iter_mut().find(|known| known.name == rule.name) {
                Some(known) => *known = rule,
                None => self.rules.push(rule),
            }
        }
        Ok(())
    }

    /// The rules, in order.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The rule of this name.
    pub fn get(&self, name: &str) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.name == name)
    }

    /// All that the rules ask for.
    pub fn wanted(&self) -> Wanted<'_> {
        let mut wanted = Wanted::default();
        for when in self.rules.iter().flat_map(|rule| &rule.when) {
            wanted
                .symbols
                .extend(when.symbols.iter().chain(&when.own_symbols).map(|name| name.as_bytes()));
            wanted.words.extend(when.words.iter().map(|word| &**word));
            for path in when.paths.iter().chain(&when.namesakes) {
                let set = if pattern::is_wild(path) {
                    &mut wanted.patterns
                } else {
                    &mut wanted.literals
                };
                set.insert(path.as_bytes());
            }
        }
        wanted
    }
}

impl TableError {
    fn toml(text: &str, error: &toml::de::Error) -> Self {
        let before = error.span().and_then(|span| text.as_bytes().get(..span.start));
        let line = before.map_or(0, |before| before.iter().filter(|&&b| b == b'\n').count() + 1);
        Self::Toml { line, message: error.message().to_owned() }
    }
}

impl Rule {
    /// Whether `path` is left out, for itself or with a directory above it.
    pub fn excludes(&self, path: &ImagePath) -> bool {
        let above = std::iter::successors(Some(path.clone()), ImagePath::parent);
        let excluded =
            |path: ImagePath| self.excluded.iter().any(|glob| glob.matches(path.relative()));
        !self.excluded.is_empty() && above.take_while(|path| !path.is_root()).any(excluded)
    }

    fn check(&mut self) -> Result<(), TableError> {
        let wrong = |value: &str, why| TableError::Value {
            rule: self.name.clone(),
            value: value.into(),
            why,
        };
        if self.name.is_empty()
            || !self.name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        {
            return Err(wrong(&self.name, "a name is of lower-case letters, digits and `-`"));
        }
        for pattern in self.when.iter().flat_map(When::patterns) {
            if pattern.matches('*').count() > 2 * pattern::MAX_STARS || pattern.is_empty() {
                return Err(wrong(pattern, "a pattern is not empty and has three stars at most"));
            }
        }
        for when in &self.when {
            if let Some(version) = &when.libc_before
                && parse_version(version).is_none()
            {
                return Err(wrong(version, "a version is written MAJOR.MINOR"));
            }
            if let Some(path) = when
                .paths
                .iter()
                .chain(&when.namesakes)
                .find(|path| !path.starts_with('/') || path.len() < 4)
            {
                return Err(wrong(
                    path,
                    "a path starts with a slash and is no shorter than four bytes",
                ));
            }
        }
        for file in self.files.iter().chain(&self.present) {
            if !file.starts_with('/') && !file.starts_with('{') {
                return Err(wrong(file, "a pattern of files starts with a slash or a variable"));
            }
            if file.split('/').any(|part| part == "..") {
                return Err(wrong(file, "a pattern of files has no `..`"));
            }
        }
        for make in &self.make {
            let path = || make.path.clone();
            ImagePath::new(&make.path).map_err(|source| TableError::Path {
                rule: self.name.clone(),
                path: path(),
                source,
            })?;
            let kinds = [make.text.is_some(), !make.link.is_empty(), make.directory];
            if kinds.into_iter().filter(|&given| given).count() != 1 {
                return Err(wrong(&make.path, "give it one of text, link and directory"));
            }
            if make.mode.is_some_and(|mode| mode > 0o7777) {
                return Err(wrong(&make.path, "its mode has more than permission bits"));
            }
        }
        let glob = |pattern: &String| {
            Glob::new(pattern.trim_start_matches('/').as_bytes()).map_err(|source| {
                TableError::Exclude { rule: self.name.clone(), pattern: pattern.clone(), source }
            })
        };
        self.excluded = self.exclude.iter().map(glob).collect::<Result<_, _>>()?;
        Ok(())
    }
}

impl When {
    fn patterns(&self) -> impl Iterator<Item = &String> {
        let patterns = [
            &self.libraries,
            &self.paths,
            &self.namesakes,
            &self.opens,
            &self.programs,
            &self.environment,
            &self.scripts,
            &self.commands,
            &self.modules,
        ];
        patterns.into_iter().flatten()
    }
}
