//! One root: what kind of object it is, which loader it has, and what the image must do for that
//! loader.

use std::sync::Arc;

use super::{Fault, FaultKind, Program, Root, State, Warning, files::Opened, glibc, musl};
use crate::elf::{
    Dialect, Kind, Linkage, Loader, Machine, Object, ReadFailure,
    loader::{has_known_name, usual_paths},
};

/// Bytes of a loader that are searched for its facts; musl's is its whole C library, with debugging
/// information.
const MAX_LOADER: usize = 16 << 20;

/// What `root` loads.
pub(super) fn resolve(state: &mut State<'_>, root: &Root) -> Result<Program, ReadFailure> {
    let mut program = Program::default();
    let path: Arc<[u8]> = root.path.as_bytes().into();
    let object = match state.open(&path)?.object() {
        Ok(object) => object,
        Err(kind) => {
            program.faults.push(Fault { path, kind });
            return Ok(program);
        }
    };
    program.file = state.take(&path);
    if object.linkage == Linkage::DebugOnly || matches!(object.header.kind, Kind::Other(_)) {
        return Ok(program);
    }
    match &object.interp {
        Some(interp) => state.interpreter(&mut program, &object, interp)?,
        None if object.linkage == Linkage::Dynamic => {
            state.library(&mut program, &path, &object)?;
        }
        None => {}
    }
    program.faults.extend(program.file.and_then(|file| state.cut_off(file)));
    match program.loader {
        Some(loader) if state.is_musl(loader) => musl::load(state, &mut program)?,
        Some(_) => glibc::load(state, &mut program)?,
        None => {}
    }
    Ok(program)
}

impl State<'_> {
    /// The loader that the kernel starts for a program, and its faults.
    fn interpreter(
        &mut self,
        program: &mut Program,
        object: &Object,
        interp: &Arc<[u8]>,
    ) -> Result<(), ReadFailure> {
        let machine = object.header.machine;
        let fault = if interp.starts_with(b"/") {
            self.interpreter_fault(interp, machine)?
        } else {
            Some(FaultKind::RelativeInterpreter)
        };
        match fault {
            Some(kind) => program.faults.push(Fault { path: interp.clone(), kind }),
            None => program.interpreter = self.take(interp),
        }
        program.loader = Some(self.loader_at(interp, machine)?);
        Ok(())
    }

    fn interpreter_fault(
        &mut self,
        interp: &[u8],
        machine: Machine,
    ) -> Result<Option<FaultKind>, ReadFailure> {
        Ok(match self.open(interp)?.object() {
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
        &mut self,
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
        let known = self.out.loaders.iter().find(|known| known.machine == machine);
        let is_musl =
            wants_musl || !wants_glibc && known.is_some_and(|known| known.dialect == Dialect::Musl);
        let dialects =
            if is_musl { [Dialect::Musl, Dialect::Glibc] } else { [Dialect::Glibc, Dialect::Musl] };
        let usual = dialects.iter().flat_map(|&dialect| usual_paths(machine, dialect));
        for usual in usual {
            let usual: Arc<[u8]> = usual.into();
            if self.interpreter_fault(&usual, machine)?.is_none() {
                program.interpreter = self.take(&usual);
                program.loader = Some(self.loader_at(&usual, machine)?);
                return Ok(());
            }
        }
        self.out.warnings.insert(Warning::NoLoader(path.clone(), machine));
        let usual = usual_paths(machine, dialects[0]).into_iter().next().unwrap_or_default();
        program.loader = Some(self.loader_at(&usual.into(), machine)?);
        Ok(())
    }

    /// The facts about the loader at `path`.
    fn loader_at(&mut self, path: &Arc<[u8]>, machine: Machine) -> Result<usize, ReadFailure> {
        let key = (path.clone(), machine);
        if let Some(known) = self.loaders.get(&key) {
            return Ok(*known);
        }
        let bytes = match self.open(path)? {
            Opened::Object(found, ..) => self.lookup.read(&found, MAX_LOADER)?.ok(),
            _ => None,
        };
        let loader = Loader::new(path, machine, bytes.as_deref());
        let known = has_known_name(path);
        if !known {
            self.out.warnings.insert(Warning::UnknownLoader(path.clone()));
        }
        self.out.loaders.push(loader);
        let index = self.out.loaders.len() - 1;
        self.loaders.insert(key, index);
        Ok(index)
    }
}
