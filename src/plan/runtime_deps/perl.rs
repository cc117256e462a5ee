//! Perl scripts of the sysroot → the installed modules that they load, directly or not: the
//! interpreter's own library is taken whole only for programs whose sources are not known.

use std::collections::BTreeSet;

use super::files;
use crate::{
    elf::{Lookup as _, ReadFailure, script::Shebang},
    languages::{
        Languages,
        perl::{self, Loaded},
    },
    path::ImagePath,
    plan::{builder::ImageBuilder, interpreters, programs::Programs},
    rules::Facts,
    tree::Tree,
};

/// Bytes of a source that are read.
const MAX_SOURCE: usize = 1 << 20;
/// Sources that are read for one image.
const MAX_SOURCES: usize = 20_000;
/// Names of files that are looked for, for one image.
const MAX_FILES: usize = 200_000;
/// Bytes of all sources that are read for one image.
const MAX_BYTES: usize = 256 << 20;

/// The interpreters whose programs are all known, and what was found for them.
#[derive(Debug, Default)]
pub(super) struct PerlModules {
    /// Real paths of interpreters that only installed scripts need so far.
    followed: BTreeSet<ImagePath>,
    /// The directories of modules, in the order in which they are searched; empty if this
    /// distribution does not separate those that the interpreter cannot do without.
    dirs: Vec<ImagePath>,
    /// Those with the interpreter's own modules.
    own: Vec<ImagePath>,
    /// The directory of those that it cannot do without. They load no others.
    least: Vec<ImagePath>,
    /// Sources that were read, and directories that were looked through.
    seen: BTreeSet<ImagePath>,
    /// Files that were looked for in `dirs`.
    asked: BTreeSet<Vec<u8>>,
    /// Bytes of the sources that were read.
    bytes: usize,
}

impl PerlModules {
    /// `programs` are the inputs' own; `is_named` tells which of them the user names. Commands are
    /// looked for in `command_dirs`.
    ///
    /// # Errors
    /// [`ReadFailure`]
    pub(super) fn new(
        programs: &Programs,
        is_named: &dyn Fn(&ImagePath) -> bool,
        command_dirs: &[ImagePath],
        builder: &ImageBuilder<'_>,
    ) -> Result<Self, ReadFailure> {
        let language = &Languages::builtin().perl;
        let mut this = Self::default();
        let least = expand(&language.least, builder)?;
        if least.is_empty() {
            return Ok(this);
        }
        this.own = [least.clone(), expand(&language.own, builder)?].concat();
        this.least = least;
        this.dirs = [expand(&language.packages, builder)?, this.own.clone()].concat();
        let mut whole = BTreeSet::new();
        for (path, _) in &programs.objects {
            whole.extend(builder.view.resolve(path.as_bytes())?.ok().map(|found| found.path));
        }
        for (script, line) in &programs.scripts {
            let Some(interpreter) = interpreter(line, command_dirs, builder)? else { continue };
            let is_installed = is_named(script) && !builder.view.is_own(script);
            if is_installed { &mut this.followed } else { &mut whole }.insert(interpreter);
        }
        this.followed.retain(|path| !whole.contains(path));
        Ok(this)
    }

    /// Whether only scripts whose modules are known need the program at the real path `path`.
    pub(super) fn is_followed(&self, path: &ImagePath) -> bool {
        self.followed.contains(path)
    }

    /// Notes that a rule added a script for the interpreter at the real path `path`, which is not
    /// in the image yet. Returns whether its modules are followed.
    pub(super) fn follow(&mut self, line: &Shebang, path: &ImagePath) -> bool {
        let follows = is_for_perl(line) && !self.dirs.is_empty();
        if follows {
            self.followed.insert(path.clone());
        }
        follows
    }

    /// Notes the modules that the script at the real path `path` loads, if it is one for Perl.
    ///
    /// # Errors
    /// [`ReadFailure`]
    pub(super) fn add_script(
        &mut self,
        (path, line): (&ImagePath, &Shebang),
        facts: &mut Facts,
        builder: &ImageBuilder<'_>,
    ) -> Result<(), ReadFailure> {
        if self.followed.is_empty() || !is_for_perl(line) {
            return Ok(());
        }
        let language = &Languages::builtin().perl;
        let always = language.always.iter().map(|name| perl::file(name.as_bytes(), language));
        let always = Loaded { files: always.collect(), ..Loaded::default() };
        let mut left = Vec::new();
        self.take(&always, path, &mut left, (facts, builder))?;
        left.push(path.clone());
        self.read(left, (facts, builder))
    }

    /// Notes the modules that the sources in `tree` load, which a rule added: a program may choose
    /// among them when it runs.
    ///
    /// # Errors
    /// [`ReadFailure`]
    pub(super) fn add_sources(
        &mut self,
        tree: &Tree,
        facts: &mut Facts,
        builder: &ImageBuilder<'_>,
    ) -> Result<(), ReadFailure> {
        if self.followed.is_empty() {
            return Ok(());
        }
        let language = &Languages::builtin().perl;
        let is_source = |path: &&ImagePath| {
            language.endings.iter().any(|ending| path.file_name().ends_with(ending.as_bytes()))
        };
        let files = tree.iter().filter(|(_, node)| node.file().is_some()).map(|(path, _)| path);
        // The interpreter's own are there for whoever loads them.
        let is_own = |path: &ImagePath| self.own.iter().any(|dir| path.is_within(dir));
        let sources: Vec<_> =
            files.filter(is_source).filter(|path| !is_own(path)).cloned().collect();
        self.read(sources, (facts, builder))
    }

    /// Reads the sources `left`, and those that they lead to.
    fn read(
        &mut self,
        mut left: Vec<ImagePath>,
        (facts, builder): (&mut Facts, &ImageBuilder<'_>),
    ) -> Result<(), ReadFailure> {
        let language = &Languages::builtin().perl;
        while let Some(path) = left.pop() {
            let is_full = self.seen.len() >= MAX_SOURCES || self.bytes >= MAX_BYTES;
            if is_full || !self.seen.insert(path.clone()) {
                continue;
            }
            let Ok(found) = builder.view.find(path.as_bytes())? else { continue };
            let Ok(text) = builder.view.read(&found, MAX_SOURCE)? else { continue };
            self.bytes = self.bytes.saturating_add(text.len());
            let loaded = perl::loaded(&text, language);
            self.take(&loaded, &path, &mut left, (facts, builder))?;
        }
        Ok(())
    }

    /// Notes what of `loaded` is installed; new sources are added to `left`.
    fn take(
        &mut self,
        loaded: &Loaded,
        by: &ImagePath,
        left: &mut Vec<ImagePath>,
        (facts, builder): (&mut Facts, &ImageBuilder<'_>),
    ) -> Result<(), ReadFailure> {
        for file in &loaded.files {
            if self.asked.len() >= MAX_FILES || !self.asked.insert(file.clone()) {
                continue;
            }
            for dir in &self.dirs {
                let Ok(path) = dir.join(file) else { continue };
                if builder.view.find(path.as_bytes())?.is_ok_and(|found| found.is_file()) {
                    note(facts, file, &path, by);
                    self.note_compiled(file, by, (&mut *facts, builder))?;
                    if !self.least.contains(dir) {
                        left.push(path);
                    }
                    break;
                }
            }
        }
        for below in &loaded.directories {
            for dir in self.dirs.clone() {
                let Ok(path) = dir.join(below) else { continue };
                if self.seen.len() < MAX_SOURCES && self.seen.insert(path.clone()) {
                    let mut files = BTreeSet::new();
                    for name in builder.view.list(path.as_bytes())?.unwrap_or_default() {
                        let is_source = name.ends_with(Languages::builtin().perl.source.as_bytes());
                        files.extend(is_source.then(|| [below, &b"/"[..], &name].concat()));
                    }
                    let found = Loaded { files, ..Loaded::default() };
                    self.take(&found, by, left, (facts, builder))?;
                }
            }
        }
        Ok(())
    }

    /// Notes the libraries and parts of the module `file`, which have a directory of their own
    /// below `auto` (`DynaLoader`, `AutoLoader`).
    fn note_compiled(
        &self,
        file: &[u8],
        by: &ImagePath,
        (facts, builder): (&mut Facts, &ImageBuilder<'_>),
    ) -> Result<(), ReadFailure> {
        let ending = Languages::builtin().perl.source.as_bytes();
        let Some(stem) = file.strip_suffix(ending) else { return Ok(()) };
        let mut known = BTreeSet::new();
        for dir in &self.dirs {
            let Ok(compiled) = dir.join([b"auto/", stem].concat()) else { continue };
            for name in builder.view.list(compiled.as_bytes())?.unwrap_or_default() {
                let Ok(path) = compiled.join(&name) else { continue };
                // Of two with one name, the first counts.
                if !known.insert(name) {
                    continue;
                }
                if builder.view.find(path.as_bytes())?.is_ok_and(|found| found.is_file()) {
                    note(facts, file, &path, by);
                }
            }
        }
        Ok(())
    }
}

fn note(facts: &mut Facts, file: &[u8], path: &ImagePath, by: &ImagePath) {
    let paths = facts.perl_modules.entry(file.into()).or_default();
    paths.entry(path.as_bytes().into()).or_insert_with(|| by.clone());
}

/// The directories that `patterns` match, by the paths with links.
fn expand(patterns: &[String], builder: &ImageBuilder<'_>) -> Result<Vec<ImagePath>, ReadFailure> {
    let mut dirs = Vec::new();
    for pattern in patterns {
        dirs.extend(files::expand(pattern.as_bytes(), builder)?);
    }
    Ok(dirs)
}

/// The real path of the interpreter, if it is Perl.
fn interpreter(
    line: &Shebang,
    dirs: &[ImagePath],
    builder: &ImageBuilder<'_>,
) -> Result<Option<ImagePath>, ReadFailure> {
    if !is_for_perl(line) {
        return Ok(None);
    }
    let wanted = line.command.as_ref().unwrap_or(&line.interpreter);
    Ok(interpreters::find(wanted, dirs, builder)?.ok().map(|(_, found)| found.path))
}

fn is_for_perl(line: &Shebang) -> bool {
    line.interpreter_name().starts_with(Languages::builtin().perl.interpreter.as_bytes())
}
