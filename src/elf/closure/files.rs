//! Opens files as a loader does, and decides what the loader makes of them.

use std::{collections::BTreeMap, sync::Arc};

use goblin::elf::header as eh;

use super::{Fault, FaultKind, File, Miss};
use crate::elf::{
    Absence, FileId, Float, Found, FoundKind, HEADER_LEN, Header, Kind, Linkage, Loader, Lookup,
    Machine, Object, ObjectError, PIE, ReadFailure,
};

/// The result of opening a path.
#[derive(Clone, Debug)]
pub(super) enum Opened {
    /// An object, and its place in [`super::Closure::files`] once it is loaded by someone.
    Object(Arc<Found>, Arc<Object>, Option<usize>),
    /// A file that cannot be read as an object, and its header if that can.
    Broken(Option<Header>, FaultKind),
    /// It cannot be opened.
    Not(Absence),
    /// The way leads through procfs, to another file in each process.
    OfProcess,
}

/// What a loader does with a file after opening it.
pub(super) enum Verdict {
    /// Maps it.
    Take,
    /// Goes on searching.
    Skip(Miss),
    /// Stops.
    Fatal(FaultKind),
}

/// The files that were opened, each path once, and those that are loaded.
pub(super) struct FileTable<'a> {
    lookup: &'a dyn Lookup,
    /// Those that something loads, as [`super::Closure::files`].
    files: Vec<File>,
    opened: BTreeMap<Arc<[u8]>, Opened>,
}

impl<'a> FileTable<'a> {
    pub(super) fn new(lookup: &'a dyn Lookup) -> Self {
        Self { lookup, files: Vec::new(), opened: BTreeMap::new() }
    }

    pub(super) fn get(&self, file: usize) -> Option<&File> {
        self.files.get(file)
    }

    pub(super) fn into_vec(self) -> Vec<File> {
        self.files
    }

    /// The path by which a file was opened.
    pub(super) fn opened_path(&self, file: usize) -> Arc<[u8]> {
        self.get(file).map(|file| file.opened.clone()).unwrap_or_default()
    }

    /// The identity of the object at `path`, if there is one.
    pub(super) fn id(&mut self, path: &[u8]) -> Result<Option<FileId>, ReadFailure> {
        Ok(match self.open(path)? {
            Opened::Object(found, ..) => Some(found.id),
            _ => None,
        })
    }

    /// Opens `path`, once.
    pub(super) fn open(&mut self, path: &[u8]) -> Result<Opened, ReadFailure> {
        if let Some(known) = self.opened.get(path) {
            return Ok(known.clone());
        }
        let opened = self.open_anew(path)?;
        // Missing paths are unlimited in number, so they are not remembered.
        if !matches!(opened, Opened::Not(_) | Opened::OfProcess) {
            self.opened.insert(path.into(), opened.clone());
        }
        Ok(opened)
    }

    fn open_anew(&self, path: &[u8]) -> Result<Opened, ReadFailure> {
        let found = match self.lookup.find(path)? {
            Ok(found) if is_of_process(&found) => return Ok(Opened::OfProcess),
            Ok(found) => found,
            Err(absence) => return Ok(Opened::Not(absence)),
        };
        if !found.is_file() {
            return Ok(Opened::Broken(None, FaultKind::NotRegular));
        }
        Ok(match self.lookup.object(&found)? {
            Ok(object) => Opened::Object(Arc::new(found), object, None),
            Err(ObjectError::Absent(absence)) => Opened::Not(absence),
            Err(error) => {
                let head = match self.lookup.read(&found, HEADER_LEN)? {
                    Ok(head) => head,
                    Err(absence) => return Ok(Opened::Not(absence)),
                };
                // Loaders reject a file shorter than a header without looking at it.
                let header = Header::parse(&head).ok().filter(|_| head.len() == HEADER_LEN);
                Opened::Broken(header, error.into())
            }
        })
    }

    /// The index of the file at `path`, which was opened and is loaded now.
    pub(super) fn take(&mut self, path: &[u8]) -> Option<usize> {
        let (key, opened) = self.opened.get_key_value(path)?;
        let Opened::Object(found, object, index) = opened else { return None };
        if let Some(index) = index {
            return Some(*index);
        }
        let (key, index) = (key.clone(), self.files.len());
        let (found, object) = (found.clone(), object.clone());
        self.files.push(File {
            opened: key.clone(),
            path: found.path.clone(),
            id: found.id,
            len: match found.kind {
                FoundKind::File(len) => len,
                FoundKind::Directory | FoundKind::Other => 0,
            },
            links: found.links.clone(),
            dotdot_dirs: found.dotdot_dirs.clone(),
            object: object.clone(),
        });
        self.opened.insert(key, Opened::Object(found, object, Some(index)));
        Some(index)
    }

    /// The fault of a truncated file: the last page of its segments is past its end.
    pub(super) fn cut_off(&self, file: usize) -> Option<Fault> {
        const PAGE: u64 = 4096;
        let file = self.files.get(file)?;
        let last_page = |end: u64| end.saturating_sub(1) / PAGE;
        let is_cut = file.object.extent > 0 && last_page(file.object.extent) > last_page(file.len);
        is_cut.then(|| Fault { path: file.opened.clone(), kind: FaultKind::CutOff })
    }
}

impl Opened {
    /// The object, or why it cannot be started.
    pub(super) fn object(self) -> Result<Arc<Object>, FaultKind> {
        match self {
            Self::Object(_, object, _) => Ok(object),
            Self::Broken(_, kind) => Err(kind),
            Self::Not(absence) => Err(absence.into()),
            Self::OfProcess => Err(FaultKind::OfProcess),
        }
    }

    /// What a loader of glibc's does with it: `open_verify` and `_dl_map_object_from_fd`.
    pub(super) fn glibc(&self, loader: &Loader) -> Verdict {
        match self {
            Self::Not(absence) => Verdict::Skip(Miss::Find(*absence)),
            Self::OfProcess => Verdict::Skip(Miss::OfProcess),
            Self::Broken(None, FaultKind::Object(ObjectError::Truncated(_))) => {
                Verdict::Fatal(FaultKind::TooShort)
            }
            Self::Broken(None, FaultKind::Object(ObjectError::Class)) => {
                Verdict::Skip(Miss::NoClass)
            }
            Self::Broken(None, fault) => Verdict::Fatal(fault.clone()),
            // The loader checks the header before it reads what is broken.
            Self::Broken(Some(header), fault) => match verify(header, loader) {
                Verdict::Take => Verdict::Fatal(fault.clone()),
                other => other,
            },
            Self::Object(found, ..) if is_short(found, loader) => {
                Verdict::Fatal(FaultKind::TooShort)
            }
            Self::Object(_, object, _) => match verify(&object.header, loader) {
                Verdict::Take => mappable(object),
                other => other,
            },
        }
    }

    /// What musl's loader does with it: the first file that opens is it. A machine's wrong object
    /// it would map and jump into; here that is a fault.
    pub(super) fn musl(&self, machine: Machine) -> Verdict {
        match self {
            Self::Not(absence) => Verdict::Skip(Miss::Find(*absence)),
            Self::OfProcess => Verdict::Skip(Miss::OfProcess),
            Self::Broken(_, fault) => Verdict::Fatal(fault.clone()),
            Self::Object(_, object, _) => {
                let own = object.header.machine;
                if (own.arch, own.is_64, own.big_endian)
                    != (machine.arch, machine.is_64, machine.big_endian)
                {
                    return Verdict::Fatal(FaultKind::Machine(own, machine));
                }
                // DF_1_PIE is nothing to it.
                match (object.linkage, object.header.kind) {
                    (Linkage::Dynamic, Kind::Dyn) => Verdict::Take,
                    (Linkage::Dynamic, _) => Verdict::Fatal(FaultKind::Program),
                    _ => Verdict::Fatal(FaultKind::NotDynamic),
                }
            }
        }
    }
}

/// Whether the way to a file or directory leads through what procfs has of a process.
pub(super) fn is_of_process(found: &Found) -> bool {
    found.links.iter().chain([&found.path]).any(|path| path.as_bytes().starts_with(b"/proc/"))
}

/// `open_verify` in glibc's `elf/dl-load.c`, in its order.
fn verify(header: &Header, loader: &Loader) -> Verdict {
    let (own, machine) = (header.machine, loader.machine);
    if let Some(fault) = ident_fault(header, machine) {
        // The loader reads these fields before it knows that their byte order is its own.
        let arch =
            if own.big_endian == machine.big_endian { own.arch } else { own.arch.swap_bytes() };
        return match fault {
            _ if own.is_64 != machine.is_64 => Verdict::Skip(Miss::Class(own)),
            _ if loader.passes_foreign && (arch != machine.arch || floats_differ(own, machine)) => {
                Verdict::Skip(Miss::Machine(own))
            }
            fault => Verdict::Fatal(fault),
        };
    }
    if !header.version_1 {
        return Verdict::Fatal(FaultKind::Header("version"));
    }
    if own.arch != machine.arch {
        return Verdict::Skip(Miss::Machine(own));
    }
    if matches!(header.kind, Kind::Other(_)) {
        return Verdict::Fatal(FaultKind::Header("neither ET_DYN nor ET_EXEC"));
    }
    if !header.standard_phentsize {
        return Verdict::Fatal(FaultKind::Header("size of a program header"));
    }
    Verdict::Take
}

/// What is wrong with the identification at the header's start (`VALID_ELF_HEADER`, to which ARM
/// adds its floating-point ABI).
fn ident_fault(header: &Header, machine: Machine) -> Option<FaultKind> {
    let own = header.machine;
    if own.is_64 != machine.is_64 {
        return Some(FaultKind::Machine(own, machine));
    }
    if own.big_endian != machine.big_endian {
        return Some(FaultKind::Header("byte order"));
    }
    if !header.ident_1 {
        return Some(FaultKind::Header("version"));
    }
    let arm = machine.arch == eh::EM_ARM && header.osabi == eh::ELFOSABI_ARM_AEABI;
    // ABI version 4 is the newest that any glibc gave a meaning to.
    match (header.osabi, header.abi_version) {
        (eh::ELFOSABI_NONE, 0) | (eh::ELFOSABI_GNU, 0..=4) => {}
        _ if arm => {}
        (eh::ELFOSABI_NONE | eh::ELFOSABI_GNU, _) => return Some(FaultKind::Header("ABI version")),
        _ => return Some(FaultKind::Header("OS ABI")),
    }
    if !header.zero_padding {
        return Some(FaultKind::Header("padding"));
    }
    floats_differ(own, machine).then_some(FaultKind::Machine(own, machine))
}

fn floats_differ(own: Machine, machine: Machine) -> bool {
    matches!(
        (own.arm_float(), machine.arm_float()),
        (Some(Float::Hard), Some(Float::Soft)) | (Some(Float::Soft), Some(Float::Hard))
    )
}

/// Whether a file is shorter than an ELF header of the loader's class. The loader then checks
/// nothing else.
fn is_short(found: &Found, loader: &Loader) -> bool {
    let header = if loader.machine.is_64 { 64 } else { 52 };
    matches!(found.kind, FoundKind::File(len) if len < header)
}

fn mappable(object: &Object) -> Verdict {
    if object.linkage != Linkage::Dynamic {
        return Verdict::Fatal(FaultKind::NotDynamic);
    }
    if object.misaligned {
        return Verdict::Fatal(FaultKind::Header("alignment of a segment"));
    }
    if object.header.kind == Kind::Exec || object.flags_1 & PIE != 0 {
        return Verdict::Fatal(FaultKind::Program);
    }
    Verdict::Take
}
