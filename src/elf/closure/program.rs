//! One root: what kind of object it is, which loader it has, and what the image must do for that
//! loader.

use std::sync::Arc;

use super::{Fault, FaultKind, Program, Root, Warning, glibc, musl, state::State};
use crate::elf::{Dialect, Kind, Linkage, Machine, Object, ReadFailure, loader::usual_paths};

/// What `root` loads.
pub(super) fn resolve(state: &mut State<'_>, root: &Root) -> Result<Program, ReadFailure> {
    let mut program = Program::default();
    let path: Arc<[u8]> = root.path.as_bytes().into();
    let object = match state.files.open(&path)?.object() {
        Ok(object) => object,
        Err(kind) => {
            program.faults.push(Fault { path, kind });
            return Ok(program);
        }
    };
    program.file = state.files.take(&path);
    if object.linkage == Linkage::DebugOnly || matches!(object.header.kind, Kind::Other(_)) {
        return Ok(program);
    }
    match &object.interp {
        Some(interp) => interpreter(state, &mut program, &object, interp)?,
        None if object.linkage == Linkage::Dynamic => {
            library(state, &mut program, &path, &object)?;
        }
        None => {}
    }
    program.faults.extend(program.file.and_then(|file| state.files.cut_off(file)));
    match program.loader {
        Some(loader) if state.loaders.is_musl(loader) => musl::load(state, &mut program)?,
        Some(_) => glibc::load(state, &mut program)?,
        None => {}
    }
    Ok(program)
}

/// The loader that the kernel starts for a program, and its faults.
fn interpreter(
    state: &mut State<'_>,
    program: &mut Program,
    object: &Object,
    interp: &Arc<[u8]>,
) -> Result<(), ReadFailure> {
    let machine = object.header.machine;
    let fault = if interp.starts_with(b"/") {
        interpreter_fault(state, interp, machine)?
    } else {
        Some(FaultKind::RelativeInterpreter)
    };
    match fault {
        Some(kind) => program.faults.push(Fault { path: interp.clone(), kind }),
        None => program.interpreter = state.files.take(interp),
    }
    program.loader = Some(state.loader_at(interp, machine)?);
    Ok(())
}

fn interpreter_fault(
    state: &mut State<'_>,
    interp: &[u8],
    machine: Machine,
) -> Result<Option<FaultKind>, ReadFailure> {
    Ok(match state.files.open(interp)?.object() {
        Err(kind) => Some(kind),
        Ok(object) => {
            let own = object.header.machine;
            if (own.arch, own.is_64, own.big_endian)
                != (machine.arch, machine.is_64, machine.big_endian)
            {
                Some(FaultKind::Machine(own, machine))
            } else if object.interp.is_some() {
                Some(FaultKind::NestedInterpreter)
            } else {
                None
            }
        }
    })
}

/// The loader that a library would be loaded by: nothing in it says so, but the C library that
/// it needs.
fn library(
    state: &mut State<'_>,
    program: &mut Program,
    path: &Arc<[u8]>,
    object: &Object,
) -> Result<(), ReadFailure> {
    if object.requests.is_empty() {
        return Ok(());
    }
    let machine = object.header.machine;
    let wants_musl =
        object.needed().any(|name| name.starts_with(b"libc.musl-") || **name == *b"libc.so");
    let wants_glibc = object.needed().any(|name| **name == *b"libc.so.6");
    // Where it names no C library, that of the programs that it comes with.
    let known = state.loaders.iter().find(|known| known.machine == machine);
    let is_musl =
        wants_musl || !wants_glibc && known.is_some_and(|known| known.dialect == Dialect::Musl);
    let dialects =
        if is_musl { [Dialect::Musl, Dialect::Glibc] } else { [Dialect::Glibc, Dialect::Musl] };
    let usual = dialects.iter().flat_map(|&dialect| usual_paths(machine, dialect));
    for usual in usual {
        let usual: Arc<[u8]> = usual.into();
        if interpreter_fault(state, &usual, machine)?.is_none() {
            program.interpreter = state.files.take(&usual);
            program.loader = Some(state.loader_at(&usual, machine)?);
            return Ok(());
        }
    }
    state.warnings.insert(Warning::NoLoader(path.clone(), machine));
    let usual = usual_paths(machine, dialects[0]).into_iter().next().unwrap_or_default();
    program.loader = Some(state.loader_at(&usual.into(), machine)?);
    Ok(())
}
