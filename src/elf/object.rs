//! One ELF object: what its program headers and dynamic section say.

/// What the loader reads of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {}

/// Why a file is no usable ELF object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ObjectError {
    /// No ELF magic.
    #[error("no ELF file")]
    NotElf,
}
