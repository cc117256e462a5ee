//! How an image is cut into layers.

use std::{num::NonZeroUsize, str::FromStr};

use clap::Args;

use crate::{cli::values, plan::Layers};

/// How many layers, and along what.
#[derive(Args, Clone, Copy, Debug)]
pub(in crate::cli) struct LayersArgs {
    /// The image's layers: auto, one, split, or packages[:MAX]
    ///
    /// auto makes one or two layers of less than 32 MiB, the system's files below yours, or of
    /// installed programs what all images share below the rest. It cuts what is larger along its
    /// packages, so that an update changes few layers and images share those of their common
    /// packages. one makes one layer, split at most two, and packages cuts small images too.
    #[arg(long, value_name = "HOW", default_value = "auto", help_heading = "Image")]
    layers: How,

    /// New layers at most with --layers auto or packages
    #[arg(
        long,
        value_name = "N",
        value_parser = values::count,
        default_value_t = Layers::MAX,
        help_heading = "Image"
    )]
    max_layers: NonZeroUsize,
}

impl LayersArgs {
    /// What the options ask for.
    pub(in crate::cli) fn layers(self) -> Layers {
        self.layers.layers(self.max_layers)
    }
}

/// The value of `--layers`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum How {
    Auto,
    One,
    Split,
    Packages(Option<NonZeroUsize>),
}

impl How {
    /// What is asked for, where `max` layers are the most.
    pub(in crate::cli) fn layers(self, max: NonZeroUsize) -> Layers {
        match self {
            Self::One => Layers::One,
            Self::Split => Layers::Split,
            Self::Auto => Layers::Auto(max),
            Self::Packages(own) => Layers::Packages(own.unwrap_or(max)),
        }
    }
}

impl FromStr for How {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "auto" => Ok(Self::Auto),
            None if text == "one" => Ok(Self::One),
            None if text == "split" => Ok(Self::Split),
            None if text == "packages" => Ok(Self::Packages(None)),
            Some(("packages", max)) => match max.parse() {
                Ok(max) => Ok(Self::Packages(Some(max))),
                Err(_) => Err(format!("`{max}` is not a number of layers")),
            },
            _ => Err("possible values: auto, one, split, packages[:MAX]".into()),
        }
    }
}
