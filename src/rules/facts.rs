//! What was found in the files of the closure that a rule may ask for.

use std::collections::{BTreeMap, BTreeSet};

use crate::path::ImagePath;

/// Evidence, each piece with the file that gives it. Only what [`super::Table::wanted`] asks for
/// need be in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Symbols that objects other than the C library's own import.
    pub symbols: BTreeMap<Box<[u8]>, Symbol>,
    /// Objects of the closure by SONAME and by file name.
    pub libraries: BTreeMap<Box<[u8]>, ImagePath>,
    /// Absolute paths in constant data, and whose.
    pub paths: BTreeMap<Box<[u8]>, ImagePath>,
    /// Those of the paths that bear the name of the object that has them, and that object.
    pub namesakes: BTreeMap<Box<[u8]>, ImagePath>,
    /// Names of libraries in constant data of objects that call dlopen(3), as far as the search
    /// leads somewhere: each path that it opens, and whose data.
    pub opens: BTreeMap<Box<[u8]>, Paths>,
    /// Words in constant data of programs.
    pub words: BTreeMap<String, ImagePath>,
    /// Programs and scripts by the path they are started by, and their real path.
    pub programs: BTreeMap<ImagePath, ImagePath>,
    /// Interpreters by file name, of scripts of the sysroot that are packed by name or come by
    /// rules: a script.
    pub scripts: BTreeMap<Box<[u8]>, ImagePath>,
    /// Installed modules that Python scripts which are packed by name import, one by another: their
    /// paths, and the script.
    pub modules: BTreeMap<Box<[u8]>, Paths>,
    /// Names where a command stands in shell scripts that are packed by name or come by rules, as
    /// far as the sysroot has such a program: its path, and the script.
    pub commands: BTreeMap<Box<[u8]>, Opened>,
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

/// Paths that one name leads to, and whose data has it.
pub type Paths = BTreeMap<Box<[u8]>, ImagePath>;

/// The path that a name leads to, and whose data has the name.
pub type Opened = (Box<[u8]>, ImagePath);

/// Who imports a symbol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbol {
    /// The first object that does, a program if there is one.
    pub by: ImagePath,
    /// Whether that is one of the programs, not only a library they load.
    pub own: bool,
}

/// A C library of the closure.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Libc {
    /// Which.
    pub kind: LibcKind,
    /// Major and minor version, where it says so.
    pub version: Option<(u32, u32)>,
    /// Its file.
    pub path: ImagePath,
}

/// The C libraries whose needs are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LibcKind {
    /// The GNU C library.
    Glibc,
    /// musl.
    Musl,
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
    /// How much of it comes from scripts.
    pub fn of_scripts(&self) -> usize {
        self.scripts.len() + self.modules.len() + self.commands.len() + self.programs.len()
    }

    /// Notes who imports `name`: programs before libraries, otherwise the first.
    pub fn add_symbol(&mut self, name: &[u8], by: &ImagePath, own: bool) {
        match self.symbols.get_mut(name) {
            Some(known) if known.own || !own => {}
            Some(known) => *known = Symbol { by: by.clone(), own },
            None => drop(self.symbols.insert(name.into(), Symbol { by: by.clone(), own })),
        }
    }

    /// The directories where the C library's distribution keeps libraries: the C library's own,
    /// with `/usr` and without.
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
