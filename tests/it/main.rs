//! End-to-end tests: one binary, a module for each subject.
#![cfg(test)]

/// Every dynamic object of the machine, as its loader lists it.
mod elf_machine;
/// The real loaders, asked.
mod elf_oracle;
mod pack;
