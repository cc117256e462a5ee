//! What an image is for.

use clap::Args;

use crate::{
    cli::{
        environment::{jobs, scratch},
        failure::Failure,
        terminal::print_message,
    },
    explain::{
        reach::{Attached, Attachments, attached},
        resolve::ResolveOptions,
    },
    oci::UnpackedImage,
    path::{ImagePath, PathError},
    rules::Table,
};

#[derive(Args, Debug)]
pub(in crate::cli) struct ReachArgs {
    /// What the image is for, besides the program that it starts: a program, or a directory with
    /// its content (repeatable)
    #[arg(long, value_name = "PATH", value_parser = image_path)]
    pub(in crate::cli) from: Vec<ImagePath>,

    /// Find the reasons again in the image, even if the build attached them
    #[arg(long)]
    resolve: bool,
}

/// A path in an image.
pub(in crate::cli) fn image_path(text: &str) -> Result<ImagePath, PathError> {
    ImagePath::new(text)
}

impl ReachArgs {
    /// The reasons that are attached to `unpacked`, unless others are asked for. Where they cannot
    /// be read, a warning is printed.
    pub(in crate::cli) fn attached(&self, unpacked: &UnpackedImage) -> Option<Attached> {
        if self.resolve || !self.from.is_empty() {
            return None;
        }
        let what = "cannot use the reasons that are attached";
        let found = attached(unpacked).unwrap_or_else(|why| {
            print_message(&format!("warning: {what}: {why}"));
            Attachments::default()
        });
        match &found.unusable[..] {
            [] => {}
            [why] => print_message(&format!("warning: {what} as {why}")),
            all => {
                print_message(&format!("warning: {what} as"));
                all.iter().for_each(|why| print_message(&format!("  {why}")));
            }
        }
        found.used
    }

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
