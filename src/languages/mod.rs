//! Facts about languages, as data: what their runtimes read, where their packages are, which words
//! they understand. The facts are in `languages.toml`.

pub mod calls;
mod constants;
mod interpreted;
pub mod library_names;
pub mod perl;
pub mod python;
pub mod shell;
pub mod tcl;
pub mod typelib;
mod variables;

use std::{collections::BTreeSet, sync::LazyLock};

use serde::Deserialize;

use crate::path::ImagePath;

pub use interpreted::{Interpreted, Magic};
pub use variables::Variables;

/// A set of words.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(transparent)]
pub struct Words(BTreeSet<String>);

impl Words {
    /// Whether `word` is one of them.
    pub fn contains(&self, word: &[u8]) -> bool {
        std::str::from_utf8(word).is_ok_and(|word| self.0.contains(word))
    }
}

/// All facts.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Languages {
    /// Shells.
    pub shell: Shell,
    /// Python.
    pub python: Python,
    /// Perl.
    pub perl: Perl,
    /// Tcl.
    pub tcl: Tcl,
    /// Texts that may name libraries.
    pub texts: Texts,
    /// How other languages start commands.
    pub calls: Calls,
    /// Endings of files that are archives.
    pub archives: Vec<String>,
    /// What programs read before they do anything.
    pub startup: Vec<Startup>,
    /// Compiled modules that are read only if their source exists.
    pub bytecode: Vec<Bytecode>,
    /// Files that are not programs, and what starts them.
    pub interpreted: Vec<Interpreted>,
    /// Version managers.
    pub manager: Vec<Manager>,
}

/// A version manager, which starts the version of a program that is wanted where it is called.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Manager {
    /// Its file name.
    pub program: String,
    /// The file in its directory that holds the version to use.
    pub version: Option<String>,
    /// The file in a project's directory that holds the version to use there.
    pub local: Option<String>,
    /// The environment variable that overrides both.
    pub variable: Option<String>,
    /// The command that prints the path of a program, whose name follows.
    pub which: Option<String>,
}

/// Shells and their scripts.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Shell {
    /// File names of shells.
    pub interpreters: Words,
    /// Shells for accounts, in order of preference.
    pub login: Vec<String>,
    /// Commands that read another script.
    pub source: Words,
    /// Words after which a command stands.
    pub before_commands: Words,
    /// What precedes a command or file that a script only asks about.
    pub asks: Vec<String>,
    /// Words with which a script ends that cannot do without what it asked about.
    pub gives_up: Words,
    /// The word after which a command takes the place of the script.
    pub replaces: String,
    /// The word that has the shell read what follows once more.
    pub evaluates: String,
    /// The word that makes what follows `--` the arguments of the script.
    pub sets: String,
    /// Commands that start another command.
    pub starters: Words,
    /// Commands that are followed by assignments.
    pub declares: Words,
    /// Words that a shell executes itself.
    pub builtins: Words,
}

/// Python's scripts and packages.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Python {
    /// The start of the interpreter's file name.
    pub interpreter: String,
    /// Patterns of the directories of packages, in the order in which they are searched.
    pub packages: Vec<String>,
    /// The ending of a source file.
    pub source: String,
    /// The ending of an extension module.
    pub extension: String,
    /// Names of directories whose imports do not count.
    pub without_imports: Words,
    /// Endings of directories with a package's metadata.
    pub metadata: Vec<String>,
    /// The file that makes a directory a virtual environment.
    pub environment: String,
    /// Patterns of the directories of typelibs (GObject introspection).
    pub typelibs: Vec<String>,
    /// The end of the path of a directory with additions to namespaces of typelibs.
    pub additions: String,
}

impl Python {
    /// Whether the sources in `dir` add to namespaces of typelibs for those who use these.
    pub fn adds_to(&self, dir: &ImagePath) -> bool {
        dir.as_bytes().ends_with(self.additions.as_bytes())
    }
}

/// Texts that may name libraries.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Texts {
    /// Endings of programs' sources.
    pub sources: Vec<String>,
    /// Endings of configuration.
    pub configuration: Vec<String>,
    /// Endings of configuration in directories whose names end in `.d`.
    pub drop_ins: Vec<String>,
    /// What precedes a quoted library's name without `lib` and `.so`.
    pub completing: Vec<String>,
}

impl Texts {
    /// What kind of text the file at `path` is; `None` if its libraries do not count.
    pub fn kind(&self, path: &ImagePath) -> Option<TextKind> {
        let name = path.file_name();
        let ends = |endings: &[String]| {
            endings
                .iter()
                .any(|ending| name.ends_with(ending.as_bytes()) && name.len() > ending.len())
        };
        let in_drop_ins = || path.parent().is_some_and(|dir| dir.file_name().ends_with(b".d"));
        match () {
            () if ends(&self.sources) => Some(TextKind::Source),
            () if ends(&self.configuration) => Some(TextKind::Configuration),
            () if ends(&self.drop_ins) && in_drop_ins() => Some(TextKind::Configuration),
            () => None,
        }
    }
}

/// How languages other than those of shells start commands.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Calls {
    /// What precedes a quoted command.
    pub before: Vec<String>,
    /// Words that quote a command line as backquotes do.
    pub quotes: Vec<String>,
    /// Words that quote a list of words.
    pub lists: Vec<String>,
}

/// Tcl's scripts.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Tcl {
    /// Starts of the file names of interpreters.
    pub interpreters: Vec<String>,
}

/// The kinds of texts that may name libraries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextKind {
    /// A program's source: names are quoted.
    Source,
    /// Anything else.
    Configuration,
}

/// Perl's scripts and packages.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Perl {
    /// The start of the interpreter's file name.
    pub interpreter: String,
    /// Patterns of the directories of packages.
    pub packages: Vec<String>,
    /// Patterns of the directory with the modules that the interpreter cannot do without, where a
    /// distribution separates them.
    pub least: Vec<String>,
    /// Patterns of the directories with the interpreter's other modules.
    pub own: Vec<String>,
    /// The ending of a module.
    pub source: String,
    /// Endings of sources.
    pub endings: Vec<String>,
    /// What precedes the name of a module that a line loads.
    pub imports: Vec<String>,
    /// Words of statements in which each word may be a module.
    pub lists: Vec<String>,
    /// Modules that the interpreter loads by itself.
    pub always: Vec<String>,
    /// Modules that it loads if a source has certain signs.
    pub implied: Vec<Implied>,
}

/// Modules that an interpreter loads by itself.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Implied {
    /// Texts in a source: one of them is enough.
    pub signs: Vec<String>,
    /// The modules.
    pub modules: Vec<String>,
}

/// What a program reads before it does anything, and does not start without. Paths are relative to
/// the directory above the program's; `{version}` is what follows `program` in its file name.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Startup {
    /// The start of the program's file name.
    pub program: String,
    /// File names of the program that do not tell its version.
    pub unversioned: Vec<String>,
    /// Variables that move these files elsewhere.
    pub unless_environment: Vec<String>,
    /// Directories, any of which may contain the modules.
    pub directories: Vec<String>,
    /// An archive that may have all of the modules.
    pub archive: String,
    /// The modules, without their endings.
    pub modules: Vec<String>,
    /// Endings; a file with any of them is enough.
    pub endings: Vec<String>,
}

/// The files of a [`Startup`] for one program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartupFiles {
    /// Directories, any of which may contain the modules.
    pub directories: Vec<ImagePath>,
    /// An archive that may have all of the modules.
    pub archive: ImagePath,
    /// For each module, its possible files; any one is enough.
    pub modules: Vec<Vec<ImagePath>>,
}

/// Compiled modules that are read only if their source exists.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Bytecode {
    /// The directory next to the sources that has the compiled modules.
    pub directory: String,
    /// The ending of a compiled module. Its name up to the first dot is the source's.
    pub compiled: String,
    /// The ending of the source.
    pub source: String,
}

impl Languages {
    /// Whether a file of this name is an archive from which a runtime loads programs.
    pub fn is_archive(&self, file_name: &[u8]) -> bool {
        self.archives.iter().any(|ending| file_name.ends_with(ending.as_bytes()))
    }

    /// The built-in facts.
    pub fn builtin() -> &'static Self {
        // A test holds that the text parses.
        static BUILTIN: LazyLock<Languages> =
            LazyLock::new(|| toml::from_str(TEXT).unwrap_or_default());
        &BUILTIN
    }

    /// The source of the compiled module at `path`, if it is one.
    pub fn source(&self, path: &[u8]) -> Option<Vec<u8>> {
        self.bytecode.iter().find_map(|bytecode| bytecode.source_of(path))
    }

    /// The name of the directory, next to the source at `path`, for its compiled module; `None` for
    /// other files.
    pub fn bytecode_directory(&self, path: &[u8]) -> Option<&str> {
        let of = self.bytecode.iter().find(|kind| path.ends_with(kind.source.as_bytes()))?;
        Some(&of.directory)
    }
}

const TEXT: &str = include_str!("languages.toml");

impl Startup {
    /// The files for `program`, a real path; `None` if this is about other programs. The version
    /// is `*` if the file name does not tell it.
    pub fn files(&self, program: &ImagePath) -> Option<StartupFiles> {
        let name = std::str::from_utf8(program.file_name()).ok()?;
        let version = match self.unversioned.iter().any(|known| known == name) {
            true => "*",
            false => name.strip_prefix(&self.program)?,
        };
        let prefix = program.parent()?.parent()?;
        let below = |dir: &ImagePath, path: &str| dir.join(path.replace("{version}", version)).ok();
        let directories: Vec<ImagePath> =
            self.directories.iter().filter_map(|path| below(&prefix, path)).collect();
        let forms = |module: &String| {
            let files = directories.iter().flat_map(|dir| {
                self.endings
                    .iter()
                    .filter_map(move |ending| dir.join(format!("{module}{ending}")).ok())
            });
            files.collect()
        };
        let modules = self.modules.iter().map(forms).collect();
        Some(StartupFiles { archive: below(&prefix, &self.archive)?, modules, directories })
    }
}

impl Startup {
    /// Whether `path` holds the first module or may hold all of them, wherever it is.
    pub fn is_part(&self, path: &ImagePath) -> bool {
        let is_module = self.modules.first().is_some_and(|module| {
            let forms = self.endings.iter().map(|ending| format!("/{module}{ending}"));
            forms.into_iter().any(|form| path.as_bytes().ends_with(form.as_bytes()))
        });
        let (start, end) = self.archive.split_once("{version}").unwrap_or((&self.archive, ""));
        let start = start.rsplit('/').next().unwrap_or_default();
        let name = path.file_name();
        is_module || (name.starts_with(start.as_bytes()) && name.ends_with(end.as_bytes()))
    }
}

impl Bytecode {
    fn source_of(&self, path: &[u8]) -> Option<Vec<u8>> {
        // Nearly all files are told by the ends of their names.
        let path = path.strip_suffix(self.compiled.as_bytes())?;
        let directory = format!("/{}/", self.directory);
        let at = memchr::memmem::rfind(path, directory.as_bytes())?;
        let (dir, name) = (path.get(..at)?, path.get(at + directory.len()..)?);
        let stem = name.split(|&byte| byte == b'.').next()?;
        Some([dir, b"/", stem, self.source.as_bytes()].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_facts_parse() {
        let languages: Languages = toml::from_str(TEXT).unwrap();
        assert!(languages.shell.builtins.contains(b"echo") && languages.startup.len() == 1);
    }

    #[test]
    fn files_of_a_start() {
        let text = |paths: &[ImagePath]| {
            paths.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        let startup = &Languages::builtin().startup[0];
        let files = |path: &str| startup.files(&ImagePath::new(path).unwrap());
        let python = files("/usr/local/bin/python3.11").unwrap();
        assert_eq!(
            text(&python.directories),
            "/usr/local/lib/python3.11 /usr/local/lib64/python3.11"
        );
        assert_eq!(python.archive.to_string(), "/usr/local/lib/python311.zip");
        assert_eq!(python.modules.len(), 3);
        assert_eq!(python.modules[1].len(), 4);
        assert_eq!(
            python.modules[1][1].to_string(),
            "/usr/local/lib/python3.11/encodings/aliases.pyc"
        );
        assert_eq!(
            text(&files("/opt/bin/python3").unwrap().directories),
            "/opt/lib/python3.* /opt/lib64/python3.*"
        );
        let is_part = |path: &str| startup.is_part(&ImagePath::new(path).unwrap());
        assert!(is_part("/x/encodings/__init__.pyc") && is_part("/x/python311.zip"));
        assert!(!is_part("/x/__init__.py") && !is_part("/x/python3"));
        assert_eq!(files("/usr/bin/perl"), None);
        assert_eq!(files("/python3.11"), None);
    }

    #[test]
    fn sources_of_compiled_modules() {
        let source = |path: &str| {
            let source = Languages::builtin().source(path.as_bytes());
            source.map(|source| String::from_utf8(source).unwrap())
        };
        let compiled = "/py/__pycache__/x.cpython-311.opt-1.pyc";
        assert_eq!(source(compiled).as_deref(), Some("/py/x.py"));
        assert_eq!(source("/py/x.pyc"), None);
        assert_eq!(source("/py/__pycache__/x.py"), None);
    }
}
