//! Where an image goes, and in which form.

use std::num::NonZeroUsize;

use clap::{Args, ValueEnum};

use super::{
    cache::{CacheArgs, KeptPieces},
    documents::DocumentArgs,
    registry::RegistryArgs,
};
use crate::{
    cli::{
        environment::{jobs, machine, scratch},
        failure::Failure,
        values,
    },
    compress::Compression,
    digest::Digest,
    image::{Destination, OutputFormat, Reference, Target},
    output::PushOptions,
    pipeline::Delivery,
    store::Durability,
    timestamp::Timestamp,
};

/// Where an image goes, and in which form.
#[derive(Args, Debug)]
pub(in crate::cli) struct OutputArgs {
    /// Where the image goes (repeatable)
    ///
    /// FILE: an archive that docker, podman, containerd and skopeo load; DIR/ or oci:DIR[:TAG]: an
    /// OCI layout; docker-archive:FILE; oci-archive:FILE; docker://NAME[:TAG]: a registry;
    /// docker-daemon:NAME or containers-storage:NAME: docker or podman; rootfs:FILE for `docker
    /// import`; - for stdout.
    #[arg(
        short,
        long,
        value_name = "OUT",
        required_unless_present = "dry_run",
        help_heading = "Output"
    )]
    output: Vec<String>,

    /// The format of outputs that do not name one themselves
    #[arg(long, value_enum, value_name = "FORMAT", help_heading = "Output")]
    format: Option<FormatArg>,

    /// The image's name (repeatable); otherwise the output's name without its extension
    #[arg(short, long, value_name = "NAME[:TAG]", help_heading = "Output")]
    tag: Vec<Reference>,

    /// The time that the image says it was made at: RFC 3339, seconds since 1970, or now
    ///
    /// It is shown in lists of images, and engines prune images by it. Files keep
    /// SOURCE_DATE_EPOCH, or 0, so that layers keep their digests.
    #[arg(long, value_name = "TIME", value_parser = values::time, help_heading = "Output")]
    pub(in crate::cli) created: Option<Timestamp>,

    /// How layers are compressed: none, gzip[:1-12], zstd[:1-19],
    /// estargz[:1-12]
    #[arg(long, value_name = "HOW", default_value = "gzip", help_heading = "Output")]
    compress: Compression,

    /// Fail unless the image or index has this digest
    #[arg(long, value_name = "DIGEST", help_heading = "Output")]
    expect_digest: Option<Digest>,

    /// Fail if a tag in a registry leads to another image
    #[arg(long, help_heading = "Output")]
    immutable: bool,

    /// Replace an output that exists and is not an archive of an image
    #[arg(long, help_heading = "Output")]
    pub(in crate::cli) force: bool,

    /// Number of threads; it has no influence on the bytes
    #[arg(short, long, value_name = "N", value_parser = values::count, help_heading = "Output")]
    pub(in crate::cli) jobs: Option<NonZeroUsize>,

    #[command(flatten)]
    cache: CacheArgs,

    /// Do not wait until the outputs are on disk: faster, but after a power failure they may be
    /// empty
    #[arg(long, help_heading = "Output")]
    no_fsync: bool,

    /// Write the image even if it cannot start
    #[arg(long, help_heading = "Output")]
    pub(in crate::cli) no_check: bool,

    /// Show what would be in the image and write nothing
    #[arg(long, help_heading = "Output")]
    pub(in crate::cli) dry_run: bool,

    #[command(flatten)]
    pub(in crate::cli) documents: DocumentArgs,

    /// Print how long each step took, what it cost and what was read: on stderr, or with --json on
    /// stdout
    #[arg(long, help_heading = "Messages")]
    pub(in crate::cli) timing: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FormatArg {
    /// OCI layout and manifest.json in one tar: every engine loads it
    Archive,
    /// docker-archive
    Docker,
    /// OCI: a layout directory, or an oci-archive if OUT is a file
    Oci,
    /// A tar of the root file system, for `docker import`
    Rootfs,
}

/// The outputs that `texts` name. `default` is the form of those without a transport.
pub(in crate::cli) fn targets(
    texts: &[String],
    default: Option<OutputFormat>,
) -> Result<Vec<Target>, Failure> {
    let parse =
        |text: &String| Target::parse(text, default, |path| path.is_dir()).map_err(Failure::usage);
    let targets = texts.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
    let to_stdout = |target: &&Target| target.destination == Destination::Stdout;
    if targets.iter().filter(to_stdout).count() > 1 {
        return Err(Failure::usage("only one output can go to stdout"));
    }
    Ok(targets)
}

impl OutputArgs {
    /// The outputs. Their form depends on `--format` and on which directories exist.
    pub(in crate::cli) fn targets(&self) -> Result<Vec<Target>, Failure> {
        let default = self.format.map(|format| match format {
            FormatArg::Archive => OutputFormat::Archive,
            FormatArg::Docker => OutputFormat::DockerArchive,
            FormatArg::Oci => OutputFormat::OciLayout,
            FormatArg::Rootfs => OutputFormat::Rootfs,
        });
        targets(&self.output, default)
    }

    /// Where pieces of the layers of images that are read are kept, if there is a cache.
    pub(in crate::cli) fn pieces(&self) -> KeptPieces {
        self.cache.pieces()
    }

    /// Whether the image goes to stdout.
    pub(in crate::cli) fn is_stdout(&self) -> bool {
        let to_stdout = |target: &Target| target.destination == Destination::Stdout;
        self.targets().is_ok_and(|targets| targets.iter().any(to_stdout))
    }

    /// How the image is written to `targets`. `stem` becomes the name of an image that goes to
    /// stdout and has no `--tag`.
    pub(in crate::cli) fn delivery(
        &self,
        targets: Vec<Target>,
        stem: &str,
        annotations: &[(String, String)],
        registry: &RegistryArgs,
    ) -> Result<Delivery, Failure> {
        let named = self.output.iter().map(String::as_str).chain(self.cache.names());
        let cache_from = self.cache.places(&targets);
        Ok(Delivery {
            targets,
            names: self.tag.clone(),
            fallback_name: Reference::repository_from(stem).parse().map_err(Failure::usage)?,
            compression: self.compress,
            jobs: jobs(self.jobs),
            cache: self.cache.open(),
            cache_from,
            cache_to: self.cache.to.clone(),
            annotations: annotations.iter().cloned().collect(),
            machine: machine(),
            scratch: scratch(),
            durability: if self.no_fsync { Durability::Cached } else { Durability::Synced },
            registries: registry.registries(named)?,
            push: PushOptions { immutable: self.immutable },
            expected: self.expect_digest,
        })
    }
}
