//! How the program of an image is found, and as whom it runs.
//!
//! `check` proves that this works and `run` does it; both take the answers from here, so that they
//! cannot disagree. The command line, PATH and working directory are in
//! [`Config`](crate::image::Config).

mod locate;
mod user;

pub use locate::{Located, locate};
pub use user::{Access, User, UserError};
