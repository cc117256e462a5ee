//! One rule, as its TOML table has it. docs/rules.md describes each field.

use serde::Deserialize;

use super::LibcKind;
use crate::path::glob_set::GlobSet;

/// The limit, in bytes, of what a rule may add if its table does not set one.
const DEFAULT_LIMIT: u64 = 10 << 20;

fn default_limit() -> u64 {
    DEFAULT_LIMIT
}

/// One rule: when it fires, and what it adds.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Rule {
    /// The name, for `--with` and `--without`.
    pub name: String,
    /// What it is for, in one line.
    pub description: String,
    /// The `--soft` level at which it adds files.
    pub level: Level,
    /// Bytes that the rule may add at [`super::Soft::Auto`].
    #[serde(default = "default_limit")]
    pub limit: u64,
    /// At [`super::Soft::Auto`]: the largest file that the rule adds, in bytes. Other files are not
    /// affected.
    #[serde(default)]
    pub file_limit: Option<u64>,
    /// At [`super::Soft::Auto`]: bytes that one piece of evidence may add. What other evidence adds
    /// is not affected.
    #[serde(default)]
    pub match_limit: Option<u64>,
    /// What makes it fire: any of these. If empty, only `--with` does.
    #[serde(default)]
    pub when: Vec<When>,
    /// Files and directories of the sysroot, as patterns.
    #[serde(default)]
    pub files: Vec<String>,
    /// Files of the sysroot, as patterns: unless at least one exists, the rule does not fire.
    #[serde(default)]
    pub present: Vec<String>,
    /// Patterns of whole paths that are not taken.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// What is generated if the image has nothing at its path.
    #[serde(default)]
    pub make: Vec<Make>,
    /// Variables of the image's environment, `NAME=VALUE`, that are set if one of the rule's files
    /// is in the image, unless the image sets them otherwise.
    #[serde(default)]
    pub env: Vec<String>,
    /// Accounts and groups of the sysroot that the generated passwd(5) and group(5) get.
    #[serde(default)]
    pub users: Vec<String>,
    /// Whether directories are not taken.
    #[serde(default)]
    pub files_only: bool,
    /// At [`super::Soft::Auto`]: whether files of packages are only taken if the package of a
    /// program or script asks for theirs, directly or not.
    #[serde(default)]
    pub asked: bool,
    /// Whether scripts among the files are entry points: their interpreters are added, and the
    /// commands that shell scripts name are evidence. Scripts of other rules are examples, or
    /// modules that something else reads. Of a generic rule, only executable scripts for a shell
    /// count.
    #[serde(default)]
    pub starts: bool,
    /// What to tell the user if the rule fires and is not followed.
    #[serde(default)]
    pub hint: Option<String>,
    /// As `exclude`, each group of patterns with the reason.
    #[serde(default)]
    pub deny: Vec<Denial>,
    /// Whether the rule guesses which files belong to a program. Such a rule does not take a path
    /// that another rule of the table claims, whether or not that rule fires.
    #[serde(default)]
    pub generic: bool,
    /// The patterns of `exclude` and `deny`, parsed.
    #[serde(skip)]
    pub(super) excluded: GlobSet,
}

/// The `--soft` level at which a rule adds files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// `auto` and above.
    Auto,
    /// `all`.
    All,
    /// Never: the user gets a hint.
    Hint,
}

/// A combination of evidence. Each field that is given must hold, and a field holds if any of its
/// entries matches.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct When {
    /// Symbols that an object imports, the C library's own objects excepted.
    pub symbols: Vec<String>,
    /// Symbols that a program itself imports.
    pub own_symbols: Vec<String>,
    /// SONAMEs or file names of objects in the closure.
    pub libraries: Vec<String>,
    /// Absolute paths in constant data. A path without a star may be part of a longer string and
    /// need not exist.
    pub paths: Vec<String>,
    /// Files and directories that an object or script mentions, if its package or one with its
    /// data owns them.
    pub owned: Vec<String>,
    /// As `owned`, of packages that its package recommends.
    pub recommended: Vec<String>,
    /// Names of libraries in constant data of objects that call dlopen(3), if the loader's search
    /// finds them and their packages ask for them.
    pub opens: Vec<String>,
    /// Names of libraries that objects in archives inside the inputs' files need, if the loader's
    /// search finds them.
    pub embedded: Vec<String>,
    /// As `opens`, if their packages do not ask for them.
    pub may_open: Vec<String>,
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
    /// Paths, below the directories of modules, of those that installed Perl scripts load.
    pub perl_modules: Vec<String>,
    /// Names of commands in shell scripts.
    pub commands: Vec<String>,
    /// As `commands`, of those that the script needs.
    pub needed_commands: Vec<String>,
    /// Names of commands in the command lines among the constants of programs that run a shell.
    pub command_lines: Vec<String>,
    /// Names of programs that a program which starts others mentions, if its packages have them.
    pub own_programs: Vec<String>,
    /// Rules that are followed.
    pub rules: Vec<String>,
    /// Rules that come earlier in the table, none of which may be followed.
    pub unless: Vec<String>,
    /// The C library.
    pub libc: Option<LibcKind>,
    /// The C library is older than this version, `MAJOR.MINOR`.
    pub libc_before: Option<String>,
    /// The configuration names a user.
    pub user: bool,
}

/// Paths that a rule does not take, and why.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Denial {
    /// Patterns of whole paths.
    pub paths: Vec<String>,
    /// The reason.
    pub reason: String,
}

/// A file, link or directory that is generated.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Make {
    /// Its path.
    pub path: String,
    /// Permission bits; by default 0644, and 0755 for a directory.
    #[serde(default)]
    pub mode: Option<u16>,
    /// A file with this text. `{passwd}`, `{group}` and `{shadow}` stand for the accounts.
    #[serde(default)]
    pub text: Option<String>,
    /// A link to the first of these that is in the image. If none is, no link is made.
    #[serde(default)]
    pub link: Vec<String>,
    /// A directory.
    #[serde(default)]
    pub directory: bool,
}

impl When {
    /// The patterns whose stars are captured.
    pub(super) fn patterns(&self) -> impl Iterator<Item = &String> {
        let patterns = [
            &self.libraries,
            &self.paths,
            &self.owned,
            &self.recommended,
            &self.opens,
            &self.embedded,
            &self.may_open,
            &self.programs,
            &self.environment,
            &self.scripts,
            &self.commands,
            &self.needed_commands,
            &self.command_lines,
            &self.own_programs,
            &self.modules,
            &self.perl_modules,
        ];
        patterns.into_iter().flatten()
    }
}
