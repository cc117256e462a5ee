//! The programs, scripts and libraries that the image's own program does not load.

use std::collections::BTreeSet;

use super::{Finding, Findings, Subject, loader, start::Started};
use crate::{
    elf::{
        self, Lookup as _, ReadFailure, Root, Sniffed,
        script::{self, Shebang},
        sniff,
    },
    path::ImagePath,
    process::locate,
};

/// What else is in the image that a loader or the kernel works on.
#[derive(Default)]
struct Others {
    programs: Vec<ImagePath>,
    libraries: Vec<ImagePath>,
    scripts: Vec<(ImagePath, Shebang)>,
}

/// Checks every program, script and library that [`Started::files`] does not have.
pub(super) fn prove(
    subject: &Subject<'_>,
    started: &Started,
    findings: &mut Findings,
) -> Result<(), ReadFailure> {
    let view = subject.view;
    let others = find(subject, started, findings)?;
    let options = loader::options(subject.config);
    let roots =
        |paths: &[ImagePath]| paths.iter().cloned().map(|path| Root { path }).collect::<Vec<_>>();
    let closure = elf::closure(&roots(&others.programs), &options, view)?;
    // A program for another C library is part of software that supports several, and nothing starts
    // it. If no program has its loader, the loader is what is missing.
    let some_start = !started.files.is_empty()
        || closure.programs.iter().any(|program| program.interpreter.is_some());
    for (program, path) in closure.programs.iter().zip(&others.programs) {
        for finding in loader::findings(subject, &closure, program, path) {
            let other_libc = program.interpreter.is_none() && some_start;
            if started.needs_all && !other_libc {
                findings.fault(finding);
            } else {
                findings.warn(finding);
            }
        }
    }
    let provided: BTreeSet<Vec<u8>> =
        view.tree().iter().map(|(path, _)| path.file_name().to_vec()).collect();
    let closure = elf::closure(&roots(&others.libraries), &options, view)?;
    for (library, path) in closure.programs.iter().zip(&others.libraries) {
        for finding in loader::findings(subject, &closure, library, path) {
            // A library may be loaded into a program that has already loaded what it needs.
            if !matches!(&finding, Finding::Library { name, .. } if provided.contains(name)) {
                findings.warn(finding);
            }
        }
    }
    for (script, line) in others.scripts {
        check_script(subject, &script, &line, findings)?;
    }
    Ok(())
}

/// Checks that the image has what the first line of `script` names.
fn check_script(
    subject: &Subject<'_>,
    script: &ImagePath,
    line: &Shebang,
    findings: &mut Findings,
) -> Result<(), ReadFailure> {
    for name in [Some(&line.interpreter), line.command.as_ref()].into_iter().flatten() {
        let missing = locate(subject.view, name, "/", subject.config.path())?.is_err();
        if missing && !subject.may_be_missing(name) {
            let why = "it is not in the image".into();
            findings.warn(Finding::Interpreter { script: script.clone(), name: name.clone(), why });
        }
    }
    Ok(())
}

/// Sorts the files that are executable or named like a library.
fn find(
    subject: &Subject<'_>,
    started: &Started,
    findings: &mut Findings,
) -> Result<Others, ReadFailure> {
    let view = subject.view;
    let mut others = Others::default();
    for (path, node) in view.tree() {
        let Some(file) = node.file().filter(|_| node.may_be_code(path)) else {
            continue;
        };
        if started.files.contains(path) {
            continue;
        }
        let Ok(front) = view.head(file, script::FIRST_LINE)? else { continue };
        match sniff(&front) {
            Sniffed::Data => {}
            Sniffed::Script if node.meta.mode & 0o111 == 0 => {}
            Sniffed::Script => {
                others.scripts.extend(script::shebang(&front).map(|line| (path.clone(), line)));
            }
            Sniffed::Elf => {
                let Ok(found) = view.find(path.as_bytes())? else { continue };
                match view.object(&found)? {
                    Ok(object) => {
                        match loader::other_machine(&subject.config.platform, path, &object) {
                            Some(finding) => findings.warn(finding),
                            None if object.is_program() => others.programs.push(path.clone()),
                            None => others.libraries.push(path.clone()),
                        }
                    }
                    Err(error) => {
                        findings.warn(Finding::Loader {
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
