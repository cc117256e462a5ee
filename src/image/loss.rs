//! What engines ignore or refuse of a valid image.

use std::fmt;

use super::{Config, Layer, LayerFormat, OutputFormat, Target};
use crate::compress::Compression;

/// The layers that Docker's classic image store takes (`maxLayerDepth` of moby's
/// `layer/layer_store.go`).
const MAX_LAYERS: usize = 125;

/// Something of an image that an engine ignores or refuses, though the image is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The health check, which OCI's configuration does not have: podman and buildah drop it.
    Healthcheck,
    /// So many layers that Docker's classic image store refuses them.
    Layers(usize),
    /// zstd, which Docker reads since version 23.
    Zstd,
}

impl Loss {
    /// What is lost of an image that has `config` and `layers` and is written to `targets`.
    pub fn find(config: &Config, layers: &[Layer], targets: &[Target]) -> Vec<Self> {
        let any = |is: &dyn Fn(&Target) -> bool| targets.iter().any(is);
        let is_oci = |target: &Target| {
            matches!(
                target.format,
                OutputFormat::Archive
                    | OutputFormat::OciArchive
                    | OutputFormat::OciLayout
                    | OutputFormat::Registry
            )
        };
        let has_layers = any(&|target| target.format != OutputFormat::Rootfs);
        let has_check = config
            .healthcheck
            .as_ref()
            .is_some_and(|check| check.test.first().is_some_and(|word| word != "NONE"));
        let is_kept = any(&|target| target.format == OutputFormat::DockerArchive);
        let mut losses = Vec::new();
        if has_check && any(&is_oci) && !is_kept {
            losses.push(Self::Healthcheck);
        }
        if has_layers && layers.len() > MAX_LAYERS {
            losses.push(Self::Layers(layers.len()));
        }
        if has_layers && layers.iter().any(|layer| layer.format == LayerFormat::Zstd)
            || any(&|target| matches!(target.compression, Compression::Zstd(_)))
        {
            losses.push(Self::Zstd);
        }
        losses
    }

    /// How to avoid the loss, in terms of the command line.
    pub fn hint(self) -> &'static str {
        match self {
            Self::Healthcheck => "`-o docker-archive:FILE` keeps it",
            Self::Layers(_) => "`imgb build --squash` makes one layer of all instructions",
            Self::Zstd => "every engine loads gzip",
        }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Healthcheck => {
                f.write_str("podman ignores the health check of an image in an OCI format")
            }
            Self::Layers(count) => write!(
                f,
                "the image has {count} layers; Docker's classic image store loads at most \
                 {MAX_LAYERS}"
            ),
            Self::Zstd => f.write_str("Docker before version 23 cannot load zstd"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        digest::{DiffId, Digest},
        image::{Healthcheck, Platform},
        timestamp::Timestamp,
    };

    fn losses(check: &[&str], layers: usize, format: LayerFormat, outputs: &[&str]) -> Vec<Loss> {
        let mut config = Config::new(Platform::linux("amd64", None), Timestamp::EPOCH);
        let test = check.iter().map(ToString::to_string).collect();
        config.healthcheck = Some(Healthcheck { test, ..Healthcheck::default() });
        let digest = Digest::of("x");
        let layer = Layer {
            digest,
            diff_id: DiffId(digest),
            size: 1,
            format,
            annotations: Default::default(),
        };
        let target = |text: &&str| Target::parse(text, None, |_| false).unwrap();
        let targets: Vec<_> = outputs.iter().map(target).collect();
        Loss::find(&config, &vec![layer; layers], &targets)
    }

    #[test]
    fn only_what_an_output_has_can_be_lost() {
        use LayerFormat::{Gzip, Zstd};
        let check = &["CMD", "/true"];
        assert_eq!(losses(check, 1, Gzip, &["a.tar"]), [Loss::Healthcheck]);
        assert_eq!(losses(check, 1, Gzip, &["docker-archive:a.tar"]), []);
        assert_eq!(losses(check, 1, Gzip, &["oci:a", "docker-archive:a.tar"]), []);
        assert_eq!(losses(&["NONE"], 125, Gzip, &["oci:a"]), []);
        assert_eq!(losses(&[], 126, Gzip, &["oci:a"]), [Loss::Layers(126)]);
        assert_eq!(losses(check, 126, Zstd, &["rootfs:a.tar"]), []);
        assert_eq!(losses(&[], 1, Zstd, &["-"]), [Loss::Zstd]);
        assert_eq!(losses(&[], 1, Gzip, &["rootfs:a.tar.zst"]), [Loss::Zstd]);
    }
}
