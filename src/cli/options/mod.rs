//! Options that several commands share: what clap reads, and the values that the library takes.

pub(super) mod buildfile;
pub(super) mod cache;
pub(super) mod documents;
pub(super) mod image;
pub(super) mod inputs;
pub(super) mod layers;
pub(super) mod lookup;
pub(super) mod messages;
pub(super) mod output;
pub(super) mod platforms;
pub(super) mod reach;
pub(super) mod registry;
pub(super) mod run_overrides;
pub(super) mod runtime_deps;
pub(super) mod settings;
pub(super) mod transfer;
