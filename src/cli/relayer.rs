//! `imgb copy --layers`.

use std::num::NonZeroUsize;

use clap::Args;

use super::{
    deliver::deliver_with,
    documents::Documents,
    environment::{jobs, machine, scratch},
    failure::Failure,
    options::{
        image::open_options,
        layers::How,
        output::targets,
        transfer::{FileArgs, TransferArgs, fallback_name},
    },
    overlap::{self, output_paths},
    values,
};
use crate::{
    compress::Compression,
    image::{ImageName, Platform},
    oci::{self, UnpackedImage},
    output::PushOptions,
    pipeline::{self, Delivery, Part},
    plan::{Layers, Plan},
    relayer,
    store::Durability,
    transfer,
};

/// How a copy is cut into other layers.
#[derive(Args, Debug)]
pub(super) struct RelayerArgs {
    /// Cut the copy into other layers, with the same files and configuration: auto, one, split, or
    /// packages[:MAX], as for `imgb pack`; split puts what packages own below the rest
    #[arg(long, value_name = "HOW", conflicts_with = "referrers", help_heading = "Layers")]
    layers: Option<How>,

    /// New layers at most with --layers auto or packages
    #[arg(
        long,
        value_name = "N",
        value_parser = values::count,
        requires = "layers",
        default_value_t = Layers::MAX,
        help_heading = "Layers"
    )]
    max_layers: NonZeroUsize,

    /// How the new layers are compressed: none, gzip[:1-12], zstd[:1-19],
    /// estargz[:1-12]
    #[arg(
        long,
        value_name = "HOW",
        requires = "layers",
        default_value = "gzip",
        help_heading = "Layers"
    )]
    compress: Compression,
}

impl RelayerArgs {
    /// How the copy is cut, if it is.
    pub(super) fn layers(&self) -> Option<Layers> {
        self.layers.map(|how| how.layers(self.max_layers))
    }

    /// Writes the image, or all those of an index that the outputs have room for, in other layers.
    pub(super) fn run(
        &self,
        (source, platform): (&ImageName, Option<&Platform>),
        outputs: &[String],
        (args, files): (&TransferArgs, &FileArgs),
        layers: Layers,
    ) -> Result<(), Failure> {
        let targets = targets(outputs, None)?;
        let inputs = overlap::Inputs { files: Vec::new(), base: source.path().map(Into::into) };
        output_paths(&targets, &inputs, files.force)?;
        let shown = source.to_string();
        let named = outputs.iter().map(String::as_str).chain([&*shown]);
        let registries = args.registry.registries(named)?;
        let open = open_options(platform.cloned(), registries.clone());
        let is_index = platform.is_none() && targets.iter().all(transfer::has_indexes);
        let images = match is_index {
            true => oci::open_all(source, &open)?,
            false => vec![oci::open(source, &open)?],
        };
        let images: Vec<UnpackedImage> =
            images.into_iter().map(oci::Image::unpack).collect::<Result<_, _>>()?;
        let plans: Vec<Plan> = images
            .iter()
            .map(|image| relayer::relayer(image, layers).map_err(pipeline::Error::from))
            .collect::<Result<_, _>>()?;
        let part = |(image, plan): (&UnpackedImage, _)| {
            let annotations = image.image.annotations();
            Part { plan, base: None, annotations }
        };
        let parts: Vec<Part<'_>> = images.iter().zip(&plans).map(part).collect();
        let names = match &files.tag[..] {
            [] => images.first().map(|one| transfer::whole_names(&one.image)).unwrap_or_default(),
            names => names.to_vec(),
        };
        let delivery = Delivery {
            targets,
            names,
            fallback_name: fallback_name(source)?,
            compression: self.compress,
            jobs: jobs(None),
            cache: None,
            cache_from: Vec::new(),
            cache_to: Vec::new(),
            annotations: Default::default(),
            machine: machine(),
            scratch: scratch(),
            durability: Durability::Synced,
            registries,
            push: PushOptions { immutable: args.immutable },
            expected: args.expect_digest,
        };
        deliver_with(&parts, &delivery, &args.verbosity, None, &Documents::default(), None)
    }
}
