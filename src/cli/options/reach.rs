//! What an image is for.

use clap::Args;

use crate::{
    cli::{
        environment::{jobs, scratch},
        failure::Failure,
    },
    explain::resolve::ResolveOptions,
    path::{ImagePath, PathError},
    rules::Table,
};

#[derive(Args, Debug)]
pub(in crate::cli) struct ReachArgs {
    /// What the image is for, beside the program that it starts: a program, or a directory with
    /// its content (repeatable)
    #[arg(long, value_name = "PATH", value_parser = image_path)]
    pub(in crate::cli) from: Vec<ImagePath>,
}

/// A path in an image.
pub(in crate::cli) fn image_path(text: &str) -> Result<ImagePath, PathError> {
    ImagePath::new(text)
}

impl ReachArgs {
    /// How the image is resolved again.
    pub(in crate::cli) fn options(&self) -> Result<ResolveOptions, Failure> {
        Ok(ResolveOptions {
            rules: Table::builtin().map_err(|error| Failure::local(&error))?,
            from: self.from.clone(),
            spool: scratch(),
            jobs: jobs(None),
        })
    }
}
