//! A Python script → the installed packages that it imports, and those that these import.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{depends::depends, files, owners::Owners, typelibs};
use crate::{
    elf::{Lookup as _, ReadFailure},
    languages::{
        Languages, Python, calls, library_names,
        python::{
            Depth, named, namespaces, package_name, quoted, required, required_by_list,
            required_by_metadata, words,
        },
    },
    ownership::{Belongings, Mentions, is_command},
    packages::Strength,
    path::ImagePath,
    plan::builder::ImageBuilder,
};

/// Bytes of a source file that are read.
const MAX_SOURCE: usize = 1 << 20;
/// Source files that are read for one script.
const MAX_SOURCES: usize = 20_000;
/// Depth of directories.
const MAX_DEPTH: usize = 12;
/// Modules and packages of one script.
const MAX_MODULES: usize = 2000;

/// What one script leads to.
#[derive(Debug, Default)]
pub(super) struct Modules {
    /// Each path that belongs to a module, by the module's or package's name.
    pub(super) paths: BTreeMap<Vec<u8>, BTreeSet<ImagePath>>,
    /// Names of libraries in their sources, each with the source.
    pub(super) libraries: BTreeMap<Box<[u8]>, ImagePath>,
    /// Command lines in their sources, each with the source.
    pub(super) lines: BTreeMap<Vec<u8>, ImagePath>,
    /// Paths that modules quote which start programs, each with the source.
    pub(super) programs: BTreeMap<Vec<u8>, ImagePath>,
    /// Sources that mention what belongs to their packages.
    pub(super) mentions: Vec<(ImagePath, Arc<Belongings>, Mentions)>,
}

/// The installed modules that the script at this real path, with this text, needs. Python looks for
/// them next to the script first.
///
/// # Errors
/// [`ReadFailure`]
pub(super) fn modules(
    (script, text): (&ImagePath, &[u8]),
    language: &Python,
    (owners, builder): (&mut Owners<'_>, &ImageBuilder<'_>),
) -> Result<Modules, ReadFailure> {
    // Next to commands are others, whose names are not those of modules.
    let of_itself = script.parent().filter(|dir| !dir.is_root() && !is_command(script));
    let own = of_itself.filter(|_| !builder.view.is_own(script));
    let mut finder = Finder::new(own, language, (owners, builder))?;
    finder.ask(named(text, Depth::All));
    finder.ask_quoted(script, text)?;
    finder.namespaces.extend(namespaces(text));
    finder.ask_packages(required(text));
    finder.finish()
}

/// As [`modules`], for a program that imports modules of these names.
///
/// # Errors
/// [`ReadFailure`]
pub(super) fn imported(
    names: BTreeSet<Vec<u8>>,
    language: &Python,
    (owners, builder): (&mut Owners<'_>, &ImageBuilder<'_>),
) -> Result<Modules, ReadFailure> {
    let mut finder = Finder::new(None, language, (owners, builder))?;
    finder.ask(names);
    finder.finish()
}

/// A package's metadata.
#[derive(Debug)]
struct Package {
    /// `NAME-VERSION.dist-info` or `.egg-info`.
    path: ImagePath,
    /// The modules that it declares; its own name if it declares none.
    modules: BTreeSet<Vec<u8>>,
    /// Packages that it requires.
    requires: BTreeSet<Vec<u8>>,
}

struct Finder<'g, 't> {
    language: &'g Python,
    owners: &'g mut Owners<'t>,
    builder: &'g ImageBuilder<'g>,
    /// The directories of packages, with what is in each.
    dirs: Vec<(ImagePath, BTreeSet<Vec<u8>>)>,
    packages: BTreeMap<Vec<u8>, Package>,
    asked: Vec<Vec<u8>>,
    seen: BTreeSet<Vec<u8>>,
    /// Modules that a source imports if they are there, each with the source.
    conditional: BTreeSet<(Vec<u8>, ImagePath)>,
    /// Namespaces of GObject introspection, with their versions.
    namespaces: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    sources: usize,
    /// What the module starts whose sources are being read.
    started: ModuleStarts,
    out: Modules,
}

/// What the sources of one module say of programs.
#[derive(Debug, Default)]
struct ModuleStarts {
    /// One of them starts programs.
    starts: bool,
    /// Paths that they quote, each with the source.
    paths: Vec<(Vec<u8>, ImagePath)>,
}

impl<'g, 't> Finder<'g, 't> {
    /// Looks in the directory `own` of the script before those of packages.
    fn new(
        own: Option<ImagePath>,
        language: &'g Python,
        (owners, builder): (&'g mut Owners<'t>, &'g ImageBuilder<'g>),
    ) -> Result<Self, ReadFailure> {
        let mut paths = Vec::from_iter(own);
        for pattern in &language.packages {
            paths.extend(files::expand(pattern.as_bytes(), builder)?);
        }
        let mut dirs = Vec::new();
        for path in paths {
            let names = builder.view.list(path.as_bytes())?.unwrap_or_default();
            if !names.is_empty() {
                dirs.push((path, names.into_iter().collect()));
            }
        }
        let mut finder = Self {
            language,
            owners,
            builder,
            dirs,
            packages: BTreeMap::new(),
            asked: Vec::new(),
            seen: BTreeSet::new(),
            conditional: BTreeSet::new(),
            namespaces: BTreeMap::new(),
            sources: 0,
            started: ModuleStarts::default(),
            out: Modules::default(),
        };
        finder.read_packages()?;
        Ok(finder)
    }

    /// Takes what was asked for, and what that leads to.
    fn finish(mut self) -> Result<Modules, ReadFailure> {
        loop {
            while let Some(name) = self.asked.pop() {
                if self.out.paths.len() < MAX_MODULES {
                    self.take(&name)?;
                }
            }
            self.ask_conditional()?;
            if self.asked.is_empty() {
                break;
            }
        }
        let found = typelibs::find(&self.namespaces, self.language, self.builder)?;
        self.out.paths.extend(found);
        Ok(self.out)
    }

    fn read(&self, path: &ImagePath) -> Result<Option<Vec<u8>>, ReadFailure> {
        let Ok(found) = self.builder.view.find(path.as_bytes())? else { return Ok(None) };
        Ok(self.builder.view.read(&found, MAX_SOURCE)?.ok())
    }

    fn read_packages(&mut self) -> Result<(), ReadFailure> {
        let mut packages = BTreeMap::new();
        for (dir, names) in &self.dirs {
            for name in names {
                let mut endings = self.language.metadata.iter();
                let is_info = endings.any(|ending| name.ends_with(ending.as_bytes()));
                let Some(package) = package_name(name).filter(|_| is_info) else { continue };
                let Ok(path) = dir.join(name) else { continue };
                let text = |file: &str| -> Result<Vec<u8>, ReadFailure> {
                    let Ok(path) = path.join(file) else { return Ok(Vec::new()) };
                    Ok(self.read(&path)?.unwrap_or_default())
                };
                let modules = words(&text("top_level.txt")?);
                let mut requires = required_by_metadata(&text("METADATA")?);
                requires.extend(required_by_metadata(&text("PKG-INFO")?));
                requires.extend(required_by_list(&text("requires.txt")?));
                let modules = if modules.is_empty() { [package.clone()].into() } else { modules };
                packages.entry(package).or_insert(Package { path, modules, requires });
            }
        }
        self.packages = packages;
        Ok(())
    }

    fn ask(&mut self, names: BTreeSet<Vec<u8>>) {
        self.asked.extend(names.into_iter().filter(|name| self.seen.insert(name.clone())));
    }

    /// Asks for the modules of a script's own package that the quoted texts in it name.
    fn ask_quoted(&mut self, script: &ImagePath, text: &[u8]) -> Result<(), ReadFailure> {
        if self.builder.view.is_own(script) {
            return Ok(());
        }
        let Some(database) = self.builder.view.packages()? else { return Ok(()) };
        let owners = database.owners(script);
        let is_related = |part: &ImagePath| {
            let of_part = database.owners(part);
            of_part.iter().any(|owner| owners.contains(owner))
        };
        let mut names = quoted(text);
        names.retain(|name| self.parts(name).iter().any(is_related));
        self.ask(names);
        Ok(())
    }

    /// Asks for packages by their own names, and for what they require.
    fn ask_packages(&mut self, names: BTreeSet<Vec<u8>>) {
        let mut left: Vec<_> = names.into_iter().collect();
        while let Some(name) = left.pop() {
            let Some(package) = self.packages.get_mut(&name) else { continue };
            let modules = package.modules.clone();
            // Taking the requirements out ensures that a package is handled once.
            left.extend(std::mem::take(&mut package.requires));
            self.out.paths.entry(name).or_default().insert(package.path.clone());
            self.ask(modules);
        }
    }

    /// Asks for the modules that sources import if they are there, where the package of the source
    /// depends on that of the module.
    fn ask_conditional(&mut self) -> Result<(), ReadFailure> {
        let conditional = std::mem::take(&mut self.conditional);
        let new = conditional.into_iter().filter(|(name, _)| !self.seen.contains(name));
        let new: Vec<_> = new.map(|(name, by)| (self.parts(&name), name, by)).collect();
        if new.iter().all(|(parts, ..)| parts.is_empty()) {
            return Ok(());
        }
        let Some(database) = self.builder.view.packages()? else { return Ok(()) };
        for (parts, name, by) in new {
            let is_needed = |part: &ImagePath| depends(database, &by, part, Strength::Depends);
            if parts.iter().any(is_needed) {
                self.ask([name].into());
            }
        }
        Ok(())
    }

    /// The paths of the module `name` in the first directory that has it as a directory, source
    /// file or extension.
    fn parts(&self, name: &[u8]) -> Vec<ImagePath> {
        let source = [name, self.language.source.as_bytes()].concat();
        let extension = [name, b"."].concat();
        let libraries = [name, b".libs"].concat();
        let is_part = |entry: &[u8]| {
            let is_extension = entry.starts_with(&extension)
                && entry.ends_with(self.language.extension.as_bytes());
            entry == name || entry == source || entry == libraries || is_extension
        };
        let parts = |(dir, names): &(ImagePath, BTreeSet<Vec<u8>>)| {
            let parts = names
                .iter()
                .filter(|entry| is_part(entry))
                .filter_map(|entry| dir.join(entry).ok());
            parts.collect::<Vec<_>>()
        };
        self.dirs.iter().map(parts).find(|parts| !parts.is_empty()).unwrap_or_default()
    }

    /// Takes the module `name` if it is installed.
    fn take(&mut self, name: &[u8]) -> Result<(), ReadFailure> {
        let found = self.parts(name);
        if found.is_empty() {
            return Ok(());
        }
        let owners = self.packages.iter().filter(|(_, package)| package.modules.contains(name));
        let owners: BTreeSet<Vec<u8>> = owners.map(|(name, _)| name.clone()).collect();
        self.ask_packages(owners);
        for path in found {
            self.look(&path, 0)?;
            self.out.paths.entry(name.to_vec()).or_default().insert(path);
        }
        let ModuleStarts { starts, paths } = std::mem::take(&mut self.started);
        if starts {
            for (path, source) in paths {
                self.out.programs.entry(path).or_insert(source);
            }
        }
        Ok(())
    }

    /// Notes what a source starts, and the paths in it that may be those of programs.
    fn note_started(&mut self, source: &ImagePath, text: &[u8]) {
        let found = calls::started(text, &Languages::builtin().calls);
        for line in found.lines.into_iter().chain(found.constants) {
            self.out.lines.entry(line).or_insert_with(|| source.clone());
        }
        let is_path = |word: &Vec<u8>| word.starts_with(b"/");
        let paths = found.words.into_iter().filter(is_path);
        self.started.paths.extend(paths.map(|path| (path, source.clone())));
        self.started.starts |= found.starts;
    }

    /// Notes what of its package a source mentions.
    fn note_mentions(&mut self, path: &ImagePath, text: &[u8]) -> Result<(), ReadFailure> {
        let Some(belongings) = self.owners.belongings(path, self.builder.view)? else {
            return Ok(());
        };
        let mut mentions = Mentions::of_prose();
        belongings.names().scan(text, &mut mentions);
        if !mentions.is_empty() {
            self.out.mentions.push((path.clone(), belongings, mentions));
        }
        Ok(())
    }

    /// Asks for what the sources at and below `path` import, except in tests: those import what
    /// nothing else needs.
    fn look(&mut self, path: &ImagePath, depth: usize) -> Result<(), ReadFailure> {
        if path.file_name().ends_with(self.language.source.as_bytes()) {
            self.sources += 1;
            if self.sources <= MAX_SOURCES
                && let Some(text) = self.read(path)?
            {
                self.ask(named(&text, Depth::Outer));
                let conditional = named(&text, Depth::Inner).into_iter();
                self.conditional.extend(conditional.map(|name| (name, path.clone())));
                for name in library_names::in_source(&text, &Languages::builtin().texts) {
                    self.out.libraries.entry(name.into()).or_insert_with(|| path.clone());
                }
                self.note_started(path, &text);
                self.note_mentions(path, &text)?;
                // The bindings' own additions to namespaces are for whoever uses these.
                if !path.parent().is_some_and(|dir| self.language.adds_to(&dir)) {
                    self.namespaces.extend(namespaces(&text));
                }
            }
            return Ok(());
        }
        if depth > MAX_DEPTH || self.language.without_imports.contains(path.file_name()) {
            return Ok(());
        }
        for name in self.builder.view.list(path.as_bytes())?.unwrap_or_default() {
            if let Ok(child) = path.join(&name) {
                self.look(&child, depth + 1)?;
            }
        }
        Ok(())
    }
}
