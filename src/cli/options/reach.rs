//! What an image is for.

use clap::Args;

use crate::{
    cli::{
        environment::{jobs, scratch},
        failure::Failure,
        terminal::print_message,
    },
    error_kind::{ErrorKind, with_causes},
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
    /// be used, a warning is printed.
    ///
    /// # Errors
    /// If a read of the image fails, which says nothing of what is attached.
    pub(in crate::cli) fn attached(
        &self,
        unpacked: &UnpackedImage,
    ) -> Result<Option<Attached>, Failure> {
        if self.resolve || !self.from.is_empty() {
            return Ok(None);
        }
        let what = "cannot use the reasons that are attached";
        let found = match attached(unpacked) {
            Ok(found) => found,
            Err(error) if error.kind() == ErrorKind::Input => return Err(error.into()),
            Err(error) => {
                print_message(&format!("warning: {what}: {}", with_causes(&error)));
                Attachments::default()
            }
        };
        match &found.unusable[..] {
            [] => {}
            [why] => print_message(&format!("warning: {what} as {why}")),
            all => {
                print_message(&format!("warning: {what} as"));
                all.iter().for_each(|why| print_message(&format!("  {why}")));
            }
        }
        Ok(found.used)
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
