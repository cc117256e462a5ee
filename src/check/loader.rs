//! What the loader of a program would stop at.

use super::{Finding, Subject};
use crate::{
    elf::{
        self, Absence, Closure, FaultKind, FoundKind, Lookup as _, Object, Program, ReadFailure,
    },
    image::{Config, Platform},
    path::{ImagePath, escape},
    view::View,
};

/// The search path and preloads that the image's environment sets.
pub(super) fn options(config: &Config) -> elf::LoaderOptions {
    elf::LoaderOptions {
        environment_path: config.variable("LD_LIBRARY_PATH").unwrap_or_default().into(),
        preload: elf::preload_list(config.variable("LD_PRELOAD").unwrap_or_default()),
        ..elf::LoaderOptions::default()
    }
}

/// What keeps `program` of `closure`, which is at `path`, from starting.
pub(super) fn findings(
    subject: &Subject<'_>,
    closure: &Closure,
    program: &Program,
    path: &ImagePath,
) -> Vec<Finding> {
    let file =
        |index: usize| closure.files.get(index).map_or_else(|| path.clone(), |f| f.path.clone());
    let mut out = Vec::new();
    for edge in &program.edges {
        let missing = edge.outcome == elf::Outcome::Missing && edge.tag.is_hard();
        if missing && !subject.may_be_missing(&edge.name) {
            out.push(Finding::Library {
                program: path.clone(),
                by: file(edge.requester),
                name: edge.name.to_vec(),
                searched: edge.searched(),
            });
        }
    }
    for fault in &program.faults {
        if subject.may_be_missing(&fault.path) {
            continue;
        }
        let why = match &fault.kind {
            FaultKind::Find(Absence::Missing) => {
                format!("`{}` is not in the image", escape(&fault.path))
            }
            _ => fault.to_string(),
        };
        out.push(Finding::Loader { program: path.clone(), why });
    }
    out
}

/// A finding if the file at `path`, which `program` needs, ends before its segments do. The kernel
/// fills the last page with zeros, which tools that cut off trailing zeros rely on; an access after
/// that page is a SIGBUS.
fn cut_off(
    view: &View<'_>,
    program: &ImagePath,
    path: &ImagePath,
) -> Result<Option<Finding>, ReadFailure> {
    const PAGE: u64 = 4096;
    let Ok(found) = view.find(path.as_bytes())? else { return Ok(None) };
    let FoundKind::File(len) = found.kind else { return Ok(None) };
    let Ok(object) = view.object(&found)? else { return Ok(None) };
    let extent = object.extent;
    Ok((extent > len.next_multiple_of(PAGE)).then(|| Finding::Loader {
        program: program.clone(),
        why: format!("`{path}` is truncated: it has {len} bytes, and its segments {extent}"),
    }))
}

/// A finding if the headers of the file at `path`, which `program` needs, contradict each other.
fn unsound(
    view: &View<'_>,
    program: &ImagePath,
    path: &ImagePath,
) -> Result<Option<Finding>, ReadFailure> {
    let Ok(found) = view.find(path.as_bytes())? else { return Ok(None) };
    let wrong = view.layout(&found)?.ok().flatten();
    Ok(wrong.map(|wrong| Finding::Loader {
        program: program.clone(),
        why: format!("`{path}` is damaged: wrong {wrong}"),
    }))
}

/// A finding if `object` is for another machine than the image.
pub(super) fn other_machine(
    platform: &Platform,
    path: &ImagePath,
    object: &Object,
) -> Option<Finding> {
    let machine = object.header.machine;
    let (architecture, variant) = machine.oci()?;
    let own = Platform::linux(architecture, variant);
    let runs = own.architecture == platform.architecture
        // Kernels of these machines run their predecessors' programs.
        || matches!((&*platform.architecture, architecture), ("amd64", "386") | ("arm64", "arm"));
    (!runs).then(|| Finding::Machine { path: path.clone(), machine, platform: platform.clone() })
}

/// A finding if the file at `path`, which `program` needs, is damaged.
pub(super) fn damage(
    view: &View<'_>,
    program: &ImagePath,
    path: &ImagePath,
) -> Result<Option<Finding>, ReadFailure> {
    match cut_off(view, program, path)? {
        None => unsound(view, program, path),
        cut_off => Ok(cut_off),
    }
}
