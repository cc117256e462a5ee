//! Run-time dependencies: files that programs open only when they run, found from evidence in what
//! is packed.
//!
//! The rules are data ([`Table`]; the built-in ones are TOML files in `table/`, and docs/rules.md
//! describes each field). So are the facts about the closure's files ([`Facts`]), which callers
//! gather. [`evaluate`] decides which rules fire, each with its [`Evidence`], and which patterns of
//! files they name; its caller looks these up.

mod accounts;
mod choice;
mod claims;
mod error;
mod evaluate;
mod evidence;
mod facts;
mod libc;
mod matching;
mod pattern;
mod rule;
mod table;
mod validate;
mod variables;
mod version;

pub use accounts::{group, passwd, shadow, with_user};
pub use choice::{Choice, Soft, Verdict};
pub use error::TableError;
pub use evaluate::{Fired, NamedBy, evaluate};
pub use evidence::{Evidence, Mention, mentioned};
pub use facts::{Account, Facts, Mentions, Opened, Owned, Paths, Symbol};
pub use libc::{Libc, LibcKind};
pub use rule::{Denial, Level, Make, Rule, When};
pub use table::{Table, Wanted};

#[cfg(test)]
mod tests;
