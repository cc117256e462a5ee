//! Whether what a file mentions is meant: packages say which files belong together.
//!
//! An object mentions paths, names of files and names of libraries. Alone, a mention says little:
//! most programs mention much that they never open. [`Belongings`] are the files that the object's
//! package, and the packages with its data, own: of these, what it mentions is its own. [`bonds`]
//! says how strongly its package asks for that of a library which it can open by name, and
//! [`near_bonds`] for which of them the program's package asks itself.

mod belongings;
mod bonds;
mod mentions;
pub mod wide;

pub use belongings::{Belongings, Owned, is_top};
pub use bonds::{Bond, Startable, Startables, Tie, bonds, is_command, near_bonds, startable};
pub use mentions::{Mentions, Names};

#[cfg(test)]
mod tests;
