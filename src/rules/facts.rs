//! Facts about the files of the closure that a rule may ask for.

use std::collections::{BTreeMap, BTreeSet};

use super::{Libc, Mention};
use crate::{
    ownership::{Bond, Tie},
    path::ImagePath,
};

/// Facts, each with the file that it was found in. Only what [`super::Table::wanted`] asks for has
/// to be in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Symbols that objects other than the C library's own import.
    pub symbols: BTreeMap<Box<[u8]>, Symbol>,
    /// Objects of the closure by SONAME and by file name.
    pub libraries: BTreeMap<Box<[u8]>, ImagePath>,
    /// Absolute paths in constant data, each with the object.
    pub paths: BTreeMap<Box<[u8]>, ImagePath>,
    /// Files and directories that belong to an object or script that mentions them, by their
    /// paths.
    pub owned: BTreeMap<Box<[u8]>, Owned>,
    /// Everything that mentions them, and what it says.
    pub mentioned: BTreeMap<Box<[u8]>, BTreeSet<Said>>,
    /// Names of libraries that a program may pass to dlopen(3), if the loader's search finds them
    /// and a package asks for them: each path that it opens, with the file that has the name.
    pub opens: BTreeMap<Box<[u8]>, Mentions>,
    /// Names of libraries that objects in archives inside the inputs' files need, if the loader's
    /// search finds them.
    pub embedded: BTreeMap<Box<[u8]>, Mentions>,
    /// Names and paths of libraries in texts, each with the text: scripts, modules, configuration.
    pub library_names: BTreeMap<Box<[u8]>, ImagePath>,
    /// Those of them for which no package of the program asks.
    pub may_open: BTreeMap<Box<[u8]>, Mentions>,
    /// Words in constant data of programs.
    pub words: BTreeMap<String, ImagePath>,
    /// Programs and scripts by the path that starts them, each with its real path.
    pub programs: BTreeMap<ImagePath, ImagePath>,
    /// Interpreters of scripts by file name, each with one of the scripts: those of the sysroot
    /// that the user names or that rules add.
    pub scripts: BTreeMap<Box<[u8]>, ImagePath>,
    /// Installed modules that Python scripts import, directly or not, if the user names the
    /// scripts: their paths, each with the script.
    pub modules: BTreeMap<Box<[u8]>, Paths>,
    /// Installed modules that Perl scripts of the sysroot load, directly or not, by their paths
    /// below the directories of modules: their files, each with what loads it.
    pub perl_modules: BTreeMap<Box<[u8]>, Paths>,
    /// Commands in shell scripts that the user names or that rules add, if the sysroot has such a
    /// program: its path, with the script.
    pub commands: BTreeMap<Box<[u8]>, Opened>,
    /// Likewise, those that a script needs: it is the user's own, or it executes the command in its
    /// own place, or its package depends on that of the command.
    pub needed_commands: BTreeMap<Box<[u8]>, Opened>,
    /// Constants of objects that start programs, if they have the form of a command line, and what
    /// Python modules start, each with the file and whether that is a program which runs a shell.
    /// They are taken out when their commands are looked for.
    pub command_lines: BTreeMap<Box<[u8]>, (ImagePath, bool)>,
    /// The commands in them that the sysroot has, by file name.
    pub line_commands: BTreeMap<Box<[u8]>, Mentions>,
    /// Programs that a program which starts others mentions, if its own packages have them, by
    /// file name.
    pub own_programs: BTreeMap<Box<[u8]>, Mentions>,
    /// Programs of the image that a script or command line in it starts, by their real paths.
    pub started: BTreeSet<ImagePath>,
    /// Objects of the closure that start no programs, as far as their imports tell, by their real
    /// paths.
    pub starts_nothing: BTreeSet<ImagePath>,
    /// The image's environment, `NAME=VALUE`.
    pub environment: Vec<String>,
    /// C libraries.
    pub libcs: BTreeSet<Libc>,
    /// The user that the image's configuration names.
    pub user: Option<String>,
    /// Accounts of the sysroot by name.
    pub accounts: BTreeMap<String, Account>,
    /// Groups of the sysroot by name.
    pub groups: BTreeMap<String, u32>,
}

/// What belongs to an object or script that mentions it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owned {
    /// The object or script.
    pub by: ImagePath,
    /// What it says.
    pub mention: Box<[u8]>,
    /// The package that owns this, unless no package owns either.
    pub tie: Option<Tie>,
    /// Whether the object is loaded only by programs that nothing starts.
    pub is_weak: bool,
}

impl Owned {
    /// What no package owns, for the object `by` that says `mention`.
    pub fn by_nobody(by: &ImagePath, mention: &[u8]) -> Self {
        Self { by: by.clone(), mention: mention.into(), tie: None, is_weak: false }
    }

    /// Whether the object has a path of this, or of a directory above it, and not only a name.
    pub fn is_by_path(&self) -> bool {
        self.mention.starts_with(b"/")
    }

    /// Whether this is stronger evidence than `other`: of a program that something starts, or else
    /// a path and not only a name. What is only recommended is never stronger than what is not.
    pub fn is_stronger(&self, other: &Self) -> bool {
        let strength = |one: &Self| (!one.is_weak, one.is_by_path());
        self.is_recommended() <= other.is_recommended() && strength(self) > strength(other)
    }

    /// Whether the package of the object only recommends that of this.
    pub fn is_recommended(&self) -> bool {
        self.tie.as_ref().is_some_and(|tie| tie.bond == Bond::Recommends)
    }
}

/// Paths that one name leads to, each with the file that has the name.
pub type Paths = BTreeMap<Box<[u8]>, ImagePath>;

/// Paths of libraries that one name leads to, each with where the name was found.
pub type Mentions = BTreeMap<Box<[u8]>, Mention>;

/// A file, and what it says.
pub(super) type Said = (ImagePath, Box<[u8]>);

/// The path that a name leads to, and the file that has the name.
pub type Opened = (Box<[u8]>, ImagePath);

/// Who imports a symbol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbol {
    /// The first object that imports it, preferably a program.
    pub by: ImagePath,
    /// Whether that is one of the programs, and not only a library that they load.
    pub own: bool,
}

/// A line of passwd(5), without its password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its number.
    pub uid: u32,
    /// Its group's number.
    pub gid: u32,
    /// Its home directory.
    pub home: String,
}

impl Facts {
    /// The number of facts that come from scripts and other texts.
    pub fn of_texts(&self) -> usize {
        let of_scripts = self.scripts.len() + self.modules.len() + self.commands.len();
        of_scripts
            + self.perl_modules.len()
            + self.needed_commands.len()
            + self.line_commands.values().map(BTreeMap::len).sum::<usize>()
            + self.own_programs.len()
            + self.programs.len()
            + self.library_names.len()
            + self.opens.len()
            + self.embedded.len()
    }

    /// Notes what belongs to an object or script at `path`. Of several mentions, the strongest is
    /// the evidence.
    pub fn add_owned(&mut self, path: &[u8], owned: Owned) {
        let mention = (owned.by.clone(), owned.mention.clone());
        self.mentioned.entry(path.into()).or_default().insert(mention);
        match self.owned.get_mut(path) {
            Some(known) if !owned.is_stronger(known) => {}
            Some(known) => *known = owned,
            None => drop(self.owned.insert(path.into(), owned)),
        }
    }

    /// Notes that `by` imports `name`. A program replaces a library; otherwise the first stays.
    pub fn add_symbol(&mut self, name: &[u8], by: &ImagePath, own: bool) {
        match self.symbols.get_mut(name) {
            Some(known) if known.own || !own => {}
            Some(known) => *known = Symbol { by: by.clone(), own },
            None => drop(self.symbols.insert(name.into(), Symbol { by: by.clone(), own })),
        }
    }

    /// The directories in which the distribution keeps libraries: those of the C libraries, with
    /// `/usr` and without.
    pub fn library_dirs(&self) -> Vec<ImagePath> {
        let mut dirs = Vec::new();
        for libc in &self.libcs {
            let Some(dir) = libc.path.parent() else { continue };
            let other = match dir.as_bytes().strip_prefix(b"/usr") {
                Some(rest) => ImagePath::new(rest),
                None => ImagePath::new([b"/usr", dir.as_bytes()].concat()),
            };
            for dir in [Some(dir), other.ok()].into_iter().flatten() {
                if !dirs.contains(&dir) {
                    dirs.push(dir);
                }
            }
        }
        dirs
    }
}
