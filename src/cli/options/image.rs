//! Which image a command reads.

use std::path::Path;

use clap::Args;

use super::registry::RegistryArgs;
use crate::{
    archive::spool,
    cli::{
        environment::{machine, scratch},
        failure::Failure,
        progress::Reading,
        values::image_name,
    },
    image::{ImageName, Platform},
    oci::{self, UnpackedImage},
    registry::Registries,
    uninterrupted,
};

/// An image that a command reads.
#[derive(Args, Debug)]
pub(in crate::cli) struct ImageArgs {
    /// The image: PATH[:TAG], oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:NAME],
    /// dir:DIR, docker://NAME[:TAG], docker-daemon:NAME or containers-storage:NAME; each may end in
    /// @sha256:DIGEST
    #[arg(value_name = "IMAGE", value_parser = image_name)]
    image: ImageName,

    /// Which image to take where there are several; otherwise the one for this machine
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<Platform>,

    #[command(flatten)]
    registry: RegistryArgs,
}

impl ImageArgs {
    /// Opens the image and reads its layers.
    pub(in crate::cli) fn open(&self) -> Result<UnpackedImage, Failure> {
        open(&self.image, self.platform.clone(), &self.registry)
    }

    /// The file or directory of the image, if it is in one.
    pub(in crate::cli) fn path(&self) -> Option<&Path> {
        self.image.path()
    }

    /// Opens another image, with the same options.
    pub(in crate::cli) fn open_another(&self, image: &ImageName) -> Result<UnpackedImage, Failure> {
        open(image, self.platform.clone(), &self.registry)
    }

    /// As [`ImageArgs::open`], with a message on stderr while a large image is read, unless
    /// `quiet`.
    pub(in crate::cli) fn open_with_progress(&self, quiet: bool) -> Result<UnpackedImage, Failure> {
        // An archive may have to be decompressed before its documents tell anything.
        let file = self.image.path().and_then(|path| uninterrupted::metadata(path).ok());
        let file = file.filter(std::fs::Metadata::is_file);
        let file = file.map(|file| Reading::image(&self.image, file.len(), quiet));
        let registries = self.registry.registries([&*self.image.to_string()])?;
        let image = oci::open(&self.image, &open_options(self.platform.clone(), registries))?;
        let layers = image.layers.iter().filter_map(|layer| layer.blob).map(|(_, size)| size);
        let _reading = file.unwrap_or_else(|| Reading::image(&self.image, layers.sum(), quiet));
        Ok(image.unpack()?)
    }
}

/// Opens `image`, or the one for `platform` where there are several, and reads its layers.
pub(in crate::cli) fn open(
    image: &ImageName,
    platform: Option<Platform>,
    registry: &RegistryArgs,
) -> Result<UnpackedImage, Failure> {
    let registries = registry.registries([&*image.to_string()])?;
    Ok(oci::open(image, &open_options(platform, registries))?.unpack()?)
}

/// How images are opened.
pub(in crate::cli) fn open_options(
    platform: Option<Platform>,
    registries: Registries,
) -> oci::OpenOptions {
    oci::OpenOptions {
        platform,
        machine: machine(),
        any: false,
        spool: scratch(),
        limits: spool::Limits::default(),
        registries,
        pieces: None,
    }
}
