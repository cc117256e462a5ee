//! Which image a command reads.

use clap::Args;

use crate::{
    archive::spool,
    cli::{
        environment::{machine, scratch},
        failure::Failure,
        values::image_name,
    },
    image::{ImageName, Platform},
    oci::{self, UnpackedImage},
};

/// An image in a file or directory.
#[derive(Args, Debug)]
pub(in crate::cli) struct ImageArgs {
    /// The image: PATH[:TAG], oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:NAME] or
    /// dir:DIR; each may end in @sha256:DIGEST
    #[arg(value_name = "IMAGE", value_parser = image_name)]
    image: ImageName,

    /// Which image to take where there are several; otherwise the one for this machine
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<Platform>,
}

impl ImageArgs {
    /// Opens the image and reads its layers.
    pub(in crate::cli) fn open(&self) -> Result<UnpackedImage, Failure> {
        open(&self.image, self.platform.clone())
    }
}

/// Opens `image`, or the one for `platform` where there are several, and reads its layers.
pub(in crate::cli) fn open(
    image: &ImageName,
    platform: Option<Platform>,
) -> Result<UnpackedImage, Failure> {
    Ok(oci::open(image, &open_options(platform))?.unpack()?)
}

/// How images are opened.
pub(in crate::cli) fn open_options(platform: Option<Platform>) -> oci::OpenOptions {
    oci::OpenOptions {
        platform,
        machine: machine(),
        spool: scratch(),
        limits: spool::Limits::default(),
    }
}
