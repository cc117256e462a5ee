//! The end-to-end tests: one binary, one module per subject.
#![cfg(test)]

/// Every dynamic object of the machine, as its loader lists it.
mod elf_machine;
/// The real loaders, asked.
mod elf_oracle;
