//! Shims of version managers: files that start another program of their own name → that program,
//! as far as reading tells which it is.

use std::{collections::BTreeMap, io::Read as _, path::PathBuf};

use super::{SourceError, Sysroot};
use crate::{
    elf::ReadFailure,
    languages::{Languages, Manager},
    path::ImagePath,
    uninterrupted,
};

/// The directory that managers put shims into.
const SHIMS: &[u8] = b"shims";
/// Bytes of a shim or of a file with a version that are read.
const MAX_SHIM: usize = 8192;

/// What a shim starts.
#[derive(Debug)]
pub(super) enum Shim {
    /// This program.
    Program(ImagePath),
    /// The program of its name that comes later in PATH.
    Next,
    /// Only the manager can tell.
    Unknown(&'static Manager),
}

impl Shim {
    /// The error that the program which `name` starts is unknown.
    pub(super) fn refused(name: &str, manager: &Manager) -> SourceError {
        let program = name.rsplit('/').next().unwrap_or(name);
        let which = manager.which.as_ref().map(|which| format!("{which} {program}"));
        SourceError::Shim { name: name.into(), manager: manager.program.clone(), which }
    }
}

/// What the file at `path` starts, if it is a shim: a script in a directory `shims` that executes a
/// version manager, or a link to one. `wanted` is [`super::InputOptions::versions`].
///
/// # Errors
/// [`ReadFailure`]
pub(super) fn look(
    path: &ImagePath,
    sysroot: Sysroot<'_>,
    wanted: &BTreeMap<String, String>,
) -> Result<Option<Shim>, ReadFailure> {
    let Ok(real) = sysroot.resolve(path.as_bytes())? else { return Ok(None) };
    let managers = &Languages::builtin().manager;
    let is_link = real.path.file_name() != path.file_name();
    let linked = managers.iter().find(|known| known.program.as_bytes() == real.path.file_name());
    if let Some(manager) = linked.filter(|_| is_link) {
        return Ok(Some(Shim::Unknown(manager)));
    }
    let Some(dir) = path.parent().filter(|dir| dir.file_name() == SHIMS) else { return Ok(None) };
    let text = sysroot.text(&real.path, MAX_SHIM)?;
    let Some(manager) = managers.iter().find(|manager| executes(&text, manager)) else {
        return Ok(None);
    };
    let root = dir.parent().unwrap_or_else(ImagePath::root);
    let versions = Versions { manager, root, sysroot, wanted };
    versions.find(path.file_name()).map(Some)
}

/// Whether a script executes `manager`.
fn executes(text: &str, manager: &Manager) -> bool {
    let mut lines = text.lines().map(str::trim_start).filter(|line| line.starts_with("exec "));
    let is_manager = |word: &str| word.rsplit('/').next() == Some(&manager.program);
    text.starts_with("#!")
        && lines.any(|line| {
            line.split_whitespace().any(|word| is_manager(word.trim_matches(['"', '\''])))
        })
}

/// The versions that a manager has in its directory.
struct Versions<'a> {
    manager: &'static Manager,
    root: ImagePath,
    sysroot: Sysroot<'a>,
    wanted: &'a BTreeMap<String, String>,
}

impl Versions<'_> {
    fn find(&self, name: &[u8]) -> Result<Shim, ReadFailure> {
        let Some(file) = &self.manager.version else { return Ok(Shim::Unknown(self.manager)) };
        let global = || {
            let file = self.root.join(file).ok();
            file.map_or(Ok(String::new()), |file| self.sysroot.text(&file, MAX_SHIM))
        };
        let variable = self.manager.variable.as_ref().and_then(|name| self.wanted.get(name));
        let wanted = match variable {
            Some(text) => text.clone(),
            None => self.local()?.map_or_else(global, Ok)?,
        };
        let mut wanted = wanted
            .lines()
            .map(str::trim)
            .filter(|line| !line.starts_with('#'))
            .flat_map(|line| line.split([' ', ':']))
            .filter(|version| !version.is_empty())
            .peekable();
        // Without any, the system's program runs.
        if wanted.peek().is_none() {
            return Ok(Shim::Next);
        }
        for version in wanted {
            if version == "system" {
                return Ok(Shim::Next);
            }
            if let Some(program) = self.program(version, name)? {
                return Ok(Shim::Program(program));
            }
        }
        Ok(Shim::Unknown(self.manager))
    }

    /// What the project's file says: that of the working directory, or of the nearest directory
    /// above that has one.
    fn local(&self) -> Result<Option<String>, ReadFailure> {
        let Some(name) = self.manager.local.as_ref().filter(|_| self.sysroot.is_machine()) else {
            return Ok(None);
        };
        let here = super::if_present(uninterrupted::canonicalize("."));
        let here = here.map_err(|source| ReadFailure { path: ".".into(), source })?;
        let here = here.unwrap_or_default();
        for dir in here.ancestors() {
            let text = read(&dir.join(name))?;
            if !text.trim().is_empty() {
                return Ok(Some(text));
            }
        }
        Ok(None)
    }

    /// The program of a version, of which the last parts may be left out.
    fn program(&self, version: &str, name: &[u8]) -> Result<Option<ImagePath>, ReadFailure> {
        let Ok(dir) = self.root.join("versions") else { return Ok(None) };
        let Ok(real) = self.sysroot.resolve(dir.as_bytes())? else { return Ok(None) };
        let names = self.sysroot.list(&real.path)?.unwrap_or_default();
        let prefix = format!("{version}.");
        let mut fitting: Vec<Vec<u8>> = names
            .into_iter()
            .filter(|name| name == version.as_bytes() || name.starts_with(prefix.as_bytes()))
            .collect();
        fitting.sort_by_key(|name| (name == version.as_bytes(), numbers(name)));
        for version in fitting.iter().rev() {
            let path = [dir.as_bytes(), b"/", version, b"/bin/", name].concat();
            let Ok(path) = ImagePath::new(path) else { continue };
            if matches!(self.sysroot.find(path.as_bytes())?, Ok(Some(node)) if node.is_executable())
            {
                return Ok(Some(path));
            }
        }
        Ok(None)
    }
}

/// The numbers in a version.
fn numbers(version: &[u8]) -> Vec<u64> {
    let text = String::from_utf8_lossy(version);
    text.split(|char: char| !char.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
}

/// The start of a file as text; empty if there is no such file.
fn read(path: &PathBuf) -> Result<String, ReadFailure> {
    let failure = |source| ReadFailure { path: path.clone(), source };
    let file = super::if_present(fs_err::File::open(path)).map_err(failure)?;
    let mut bytes = Vec::new();
    if let Some(file) = file
        && uninterrupted::uninterrupted(|| file.metadata()).map_err(failure)?.is_file()
    {
        file.take(MAX_SHIM as u64).read_to_end(&mut bytes).map_err(failure)?;
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
