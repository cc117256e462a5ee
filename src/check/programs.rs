//! ELF programs: what their loaders find inside the image.

use std::{collections::BTreeSet, sync::Arc};

use super::{Finding, Proof, start::text};
use crate::{
    elf::{
        self, Absence, Closure, FaultKind, Found, FoundKind, Lookup, Object, Program, ReadFailure,
        Root, Sniffed,
        script::{self, Shebang},
        sniff,
    },
    image::Platform,
    path::ImagePath,
    process::{Access, User, locate},
};

/// Which programs the image has to be able to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Share {
    /// Every one of them.
    All,
    /// Those that have been looked at; the others only deserve a warning.
    Rest,
}

/// What else is in the image that a loader or the kernel works on.
#[derive(Default)]
struct Others {
    programs: Vec<ImagePath>,
    libraries: Vec<ImagePath>,
    scripts: Vec<(ImagePath, Shebang)>,
}

impl Proof<'_> {
    /// The image's own program.
    pub(super) fn elf(
        &mut self,
        user: &User,
        opened: &[u8],
        found: &Found,
    ) -> Result<(), ReadFailure> {
        match self.view.object(found)? {
            Ok(object) => {
                if let Some(finding) = self.other_machine(&found.path, &object) {
                    self.fault(finding);
                    return Ok(());
                }
            }
            Err(error) => {
                let why = error.to_string();
                self.fault(Finding::Loader { program: found.path.clone(), why });
                return Ok(());
            }
        }
        let Ok(path) = ImagePath::new(opened) else { return Ok(()) };
        let closure = elf::closure(&[Root { path }], &self.options(), self.view)?;
        let Some(program) = closure.programs.first() else { return Ok(()) };
        for finding in self.findings(&closure, program, &found.path) {
            self.fault(finding);
        }
        if let Some(file) = program.interpreter.and_then(|index| closure.files.get(index)) {
            // The kernel opens it for execution.
            self.permit(user, &file.path, Access::Execute);
        }
        for file in &closure.files {
            let damage = match self.cut_off(&found.path, &file.path)? {
                None => self.unsound(&found.path, &file.path)?,
                cut_off => cut_off,
            };
            if let Some(finding) = damage {
                self.fault(finding);
            }
        }
        for file in program.loads.iter().filter_map(|&index| closure.files.get(index)) {
            self.permit(user, &file.path, Access::Read);
        }
        self.parts(&found.path);
        self.on_the_way.extend(closure.files.into_iter().map(|file| file.path));
        Ok(())
    }

    /// Every other program, script and library of the image.
    pub(super) fn others(&mut self, share: Share) -> Result<(), ReadFailure> {
        let others = self.find_others()?;
        let roots = |paths: &[ImagePath]| {
            paths.iter().cloned().map(|path| Root { path }).collect::<Vec<_>>()
        };
        let closure = elf::closure(&roots(&others.programs), &self.options(), self.view)?;
        // A program for another C library came along with software for several, and nothing starts
        // it; where no program has its loader, the loader is what is missing.
        let some_start = !self.on_the_way.is_empty()
            || closure.programs.iter().any(|program| program.interpreter.is_some());
        for (program, path) in closure.programs.iter().zip(&others.programs) {
            for finding in self.findings(&closure, program, path) {
                let foreign = program.interpreter.is_none() && some_start;
                match share {
                    Share::All if !foreign => self.fault(finding),
                    _ => self.warn(finding),
                }
            }
        }
        let provided: BTreeSet<Vec<u8>> =
            self.view.tree().iter().map(|(path, _)| path.file_name().to_vec()).collect();
        let closure = elf::closure(&roots(&others.libraries), &self.options(), self.view)?;
        for (library, path) in closure.programs.iter().zip(&others.libraries) {
            for finding in self.findings(&closure, library, path) {
                // A library is loaded into a program that may have loaded what it needs already.
                if !matches!(&finding, Finding::Library { name, .. } if provided.contains(name)) {
                    self.warn(finding);
                }
            }
        }
        for (script, line) in others.scripts {
            self.script(&script, &line)?;
        }
        Ok(())
    }

    fn script(&mut self, script: &ImagePath, line: &Shebang) -> Result<(), ReadFailure> {
        for name in [Some(&line.interpreter), line.command.as_ref()].into_iter().flatten() {
            let missing = locate(self.view, name, "/", self.start.path())?.is_err();
            if missing && !self.may_be_missing(name) {
                let why = "it is not in the image".into();
                self.warn(Finding::Interpreter { script: script.clone(), name: name.clone(), why });
            }
        }
        Ok(())
    }

    /// Looks into each file that is executable or named like a library.
    fn find_others(&mut self) -> Result<Others, ReadFailure> {
        let mut others = Others::default();
        for (path, node) in self.view.tree() {
            let Some(file) = node.file().filter(|_| node.may_be_code(path)) else {
                continue;
            };
            if self.on_the_way.contains(path) {
                continue;
            }
            let Ok(front) = self.view.head(file, script::FIRST_LINE)? else { continue };
            match sniff(&front) {
                Sniffed::Data => {}
                Sniffed::Script if node.meta.mode & 0o111 == 0 => {}
                Sniffed::Script => {
                    others.scripts.extend(script::shebang(&front).map(|line| (path.clone(), line)));
                }
                Sniffed::Elf => {
                    let Ok(found) = self.view.find(path.as_bytes())? else { continue };
                    match self.view.object(&found)? {
                        Ok(object) => match self.other_machine(path, &object) {
                            Some(finding) => self.warn(finding),
                            None if object.is_program() => others.programs.push(path.clone()),
                            None => others.libraries.push(path.clone()),
                        },
                        Err(error) => {
                            self.warn(Finding::Loader {
                                program: path.clone(),
                                why: error.to_string(),
                            });
                        }
                    }
                }
            }
        }
        Ok(others)
    }

    fn options(&self) -> elf::LoaderOptions {
        elf::LoaderOptions {
            environment_path: self.start.variable("LD_LIBRARY_PATH").unwrap_or_default().into(),
            preload: elf::preload_list(self.start.variable("LD_PRELOAD").unwrap_or_default()),
            ..elf::LoaderOptions::default()
        }
    }

    /// What keeps `program` of `closure`, which is at `path`, from starting.
    fn findings(&self, closure: &Closure, program: &Program, path: &ImagePath) -> Vec<Finding> {
        let file = |index: usize| {
            closure.files.get(index).map_or_else(|| path.clone(), |f| f.path.clone())
        };
        let mut out = Vec::new();
        for edge in &program.edges {
            let missing = edge.outcome == elf::Outcome::Missing && edge.tag.is_hard();
            if missing && !self.may_be_missing(&edge.name) {
                out.push(Finding::Library {
                    program: path.clone(),
                    by: file(edge.requester),
                    name: edge.name.to_vec(),
                    searched: edge.searched(),
                });
            }
        }
        for fault in &program.faults {
            if self.may_be_missing(&fault.path) {
                continue;
            }
            let why = match &fault.kind {
                FaultKind::Find(Absence::Missing) => {
                    format!("`{}` is not in the image", text(&fault.path))
                }
                _ => fault.to_string(),
            };
            out.push(Finding::Loader { program: path.clone(), why });
        }
        out
    }

    /// That the file at `path`, which `program` needs, ends before what is mapped of it. Within the
    /// last page the kernel fills up with zeros, as tools that cut trailing zeros off rely on;
    /// beyond it is SIGBUS.
    fn cut_off(
        &self,
        program: &ImagePath,
        path: &ImagePath,
    ) -> Result<Option<Finding>, ReadFailure> {
        const PAGE: u64 = 4096;
        let Ok(found) = self.view.find(path.as_bytes())? else { return Ok(None) };
        let FoundKind::File(len) = found.kind else { return Ok(None) };
        let Ok(object) = self.view.object(&found)? else { return Ok(None) };
        let extent = object.extent;
        Ok((extent > len.next_multiple_of(PAGE)).then(|| Finding::Loader {
            program: program.clone(),
            why: format!("`{path}` is cut off: it has {len} bytes, and its segments {extent}"),
        }))
    }

    /// That the file at `path`, which `program` needs, says of itself what cannot be.
    fn unsound(
        &self,
        program: &ImagePath,
        path: &ImagePath,
    ) -> Result<Option<Finding>, ReadFailure> {
        let Ok(found) = self.view.find(path.as_bytes())? else { return Ok(None) };
        let wrong = self.view.layout(&found)?.ok().flatten();
        Ok(wrong.map(|wrong| Finding::Loader {
            program: program.clone(),
            why: format!("`{path}` is damaged: wrong {wrong}"),
        }))
    }

    /// That an object is for another machine than the image.
    fn other_machine(&self, path: &ImagePath, object: &Arc<Object>) -> Option<Finding> {
        let machine = object.header.machine;
        let (architecture, variant) = machine.oci()?;
        let (own, wanted) = (Platform::linux(architecture, variant), &self.start.platform);
        let runs = own.architecture == wanted.architecture
            // Kernels of these machines run their predecessors' programs.
            || matches!((&*wanted.architecture, architecture), ("amd64", "386") | ("arm64", "arm"));
        (!runs).then(|| Finding::Machine { path: path.clone(), machine, platform: wanted.clone() })
    }
}
