//! The ELF header: the machine of an object, and whether a loader would accept it at all.

use std::fmt;

use goblin::{
    container::{Container, Ctx, Endian},
    elf::{Elf, header as eh},
};

use super::ObjectError;

/// Length in bytes of the longest ELF header, that of the 64-bit class.
pub const HEADER_LEN: usize = eh::header64::SIZEOF_EHDR;

/// The machine that an object runs on: all fields by which a loader recognizes its own objects.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Machine {
    /// `e_machine`.
    pub arch: u16,
    /// Whether the class is ELFCLASS64.
    pub is_64: bool,
    /// Whether the data encoding is big-endian.
    pub big_endian: bool,
    /// `e_flags`: machine-specific, such as the floating-point ABI.
    pub flags: u32,
}

/// How an ARM object passes floating-point values (`EF_ARM_ABI_FLOAT_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Float {
    /// In VFP registers: `armhf`.
    Hard,
    /// In core registers: `armel`.
    Soft,
}

/// The object type given by `e_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// ET_EXEC: a program at a fixed address.
    Exec,
    /// ET_DYN: a library or a position-independent program.
    Dyn,
    /// ET_REL, ET_CORE and others, which no loader maps.
    Other(u16),
}

/// The fields of the header that loaders check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// `e_machine`, class, encoding and flags.
    pub machine: Machine,
    /// `e_type`.
    pub kind: Kind,
    /// `EI_OSABI`.
    pub osabi: u8,
    /// `EI_ABIVERSION`.
    pub abi_version: u8,
    /// Whether `EI_VERSION` is 1.
    pub ident_1: bool,
    /// Whether `e_version` is 1.
    pub version_1: bool,
    /// Whether the identification's padding is zero.
    pub zero_padding: bool,
    /// Whether `e_phentsize` is the class's own.
    pub standard_phentsize: bool,
    /// The entry address, or 0.
    pub(super) entry: u64,
    pub(super) phoff: u64,
    pub(super) phnum: u16,
}

impl Machine {
    /// The context with which goblin reads this machine's structures.
    pub(super) fn ctx(self) -> Ctx {
        let container = if self.is_64 { Container::Big } else { Container::Little };
        Ctx::new(container, if self.big_endian { Endian::Big } else { Endian::Little })
    }

    /// The floating-point ABI, if this is an ARM EABI5 object that declares one.
    pub fn arm_float(self) -> Option<Float> {
        let eabi5 = self.arch == eh::EM_ARM && self.flags & 0xff00_0000 == 0x0500_0000;
        match self.flags & 0x600 {
            0x400 if eabi5 => Some(Float::Hard),
            0x200 if eabi5 => Some(Float::Soft),
            _ => None,
        }
    }

    /// The architecture as container and package tools name it (`GOARCH` and variant): `amd64`,
    /// `arm/v7`, `ppc64le`. `None` for machines that have no image platform.
    pub fn oci(self) -> Option<(&'static str, Option<&'static str>)> {
        Some(match (self.arch, self.is_64, self.big_endian) {
            (eh::EM_X86_64, true, _) => ("amd64", None),
            (eh::EM_386, ..) => ("386", None),
            (eh::EM_AARCH64, true, false) => ("arm64", Some("v8")),
            (eh::EM_ARM, _, false) if self.arm_float() == Some(Float::Hard) => ("arm", Some("v7")),
            (eh::EM_ARM, _, false) => ("arm", Some("v5")),
            (eh::EM_RISCV, true, _) => ("riscv64", None),
            (eh::EM_S390, true, _) => ("s390x", None),
            (eh::EM_PPC64, true, false) => ("ppc64le", None),
            (eh::EM_PPC64, true, true) => ("ppc64", None),
            (eh::EM_LOONGARCH, true, _) => ("loong64", None),
            (eh::EM_MIPS, true, false) => ("mips64le", None),
            (eh::EM_MIPS, true, true) => ("mips64", None),
            (eh::EM_MIPS, false, false) => ("mipsle", None),
            (eh::EM_MIPS, false, true) => ("mips", None),
            _ => return None,
        })
    }
}

/// The machine as `x86-64`, `aarch64`, `EM_183 32-bit big-endian`.
impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match (self.arch, self.is_64, self.big_endian) {
            (eh::EM_X86_64, true, false) => "x86-64",
            (eh::EM_X86_64, false, false) => "x32",
            (eh::EM_386, false, false) => "i386",
            (eh::EM_AARCH64, true, false) => "aarch64",
            (eh::EM_ARM, false, false) => match self.arm_float() {
                Some(Float::Hard) => "armhf",
                _ => "arm",
            },
            (eh::EM_RISCV, true, false) => "riscv64",
            (eh::EM_S390, true, true) => "s390x",
            (eh::EM_PPC64, true, false) => "ppc64le",
            (eh::EM_PPC64, true, true) => "ppc64",
            (eh::EM_LOONGARCH, true, false) => "loongarch64",
            _ => "",
        };
        if !name.is_empty() {
            return f.write_str(name);
        }
        let (bits, order) =
            (if self.is_64 { 64 } else { 32 }, if self.big_endian { "big" } else { "little" });
        write!(f, "{} {bits}-bit {order}-endian", eh::machine_to_str(self.arch))
    }
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} {:#x}", self.flags)
    }
}

impl Header {
    /// Parses the header at the start of `head`, which holds the file's first [`HEADER_LEN`] bytes,
    /// or all of a shorter file.
    ///
    /// # Errors
    /// [`ObjectError::NotElf`] without the magic, [`ObjectError::Truncated`] if the header is
    /// incomplete.
    pub fn parse(head: &[u8]) -> Result<Self, ObjectError> {
        let Some((ident, _)) = head.split_first_chunk::<16>() else {
            let elf = head.starts_with(eh::ELFMAG);
            return Err(if elf {
                ObjectError::Truncated("ELF header")
            } else {
                ObjectError::NotElf
            });
        };
        if !ident.starts_with(eh::ELFMAG) {
            return Err(ObjectError::NotElf);
        }
        let is_64 = match ident[eh::EI_CLASS] {
            eh::ELFCLASS32 => false,
            eh::ELFCLASS64 => true,
            _ => return Err(ObjectError::Class),
        };
        if !matches!(ident[eh::EI_DATA], eh::ELFDATA2LSB | eh::ELFDATA2MSB) {
            return Err(ObjectError::Malformed("ELF data encoding"));
        }
        let header = Elf::parse_header(head).map_err(|_| ObjectError::Truncated("ELF header"))?;
        let machine = Machine {
            arch: header.e_machine,
            is_64,
            big_endian: ident[eh::EI_DATA] == eh::ELFDATA2MSB,
            flags: header.e_flags,
        };
        let phentsize = goblin::elf::ProgramHeader::size(machine.ctx());
        Ok(Self {
            machine,
            kind: match header.e_type {
                eh::ET_EXEC => Kind::Exec,
                eh::ET_DYN => Kind::Dyn,
                other => Kind::Other(other),
            },
            osabi: ident[eh::EI_OSABI],
            abi_version: ident[eh::EI_ABIVERSION],
            ident_1: ident[eh::EI_VERSION] == 1,
            version_1: header.e_version == 1,
            zero_padding: ident[9..].iter().all(|&b| b == 0),
            standard_phentsize: usize::from(header.e_phentsize) == phentsize,
            entry: header.e_entry,
            phoff: header.e_phoff,
            phnum: header.e_phnum,
        })
    }
}
