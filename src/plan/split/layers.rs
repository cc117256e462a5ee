//! How many layers an image gets.

use std::num::NonZeroUsize;

use super::{assign::Limits, sizes};
use crate::{
    elf::ReadFailure,
    packages::Database,
    tree::{Sizes, Tree},
    view::View,
};

/// Bytes of content below which an image is not split by components.
pub(super) const SMALL: u64 = 32 << 20;

/// How many layers an image gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layers {
    /// One.
    One,
    /// What the system gave below what the user gave: the lower one stays the same from build to
    /// build.
    Split,
    /// One or two where the image is small, otherwise up to this many, by components.
    Auto(NonZeroUsize),
    /// Up to this many, by components, however small they are.
    Packages(NonZeroUsize),
}

/// What becomes of one tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::plan) enum Cut {
    /// One layer.
    One,
    /// What the system gave below what the user gave.
    Two,
    /// As [`Cut::Two`]; what all images share below the rest where the system gave everything.
    Small,
    /// By components.
    Components(Limits),
}

impl Layers {
    /// The layers of a large image, if nothing else is said.
    pub const MAX: NonZeroUsize = NonZeroUsize::new(16).unwrap();

    /// What becomes of the files of `trees`.
    pub(in crate::plan) fn cut<'a>(self, trees: impl IntoIterator<Item = &'a Tree>) -> Cut {
        let (max, large) = match self {
            Self::One => (1, 0),
            Self::Split => (2, 0),
            Self::Auto(max) => (max.get(), sizes::LARGE),
            Self::Packages(max) => (max.get(), 0),
        };
        let is_small = || trees.into_iter().map(Sizes::of).sum::<u64>() < SMALL;
        match (max, self) {
            (1, _) => Cut::One,
            (2, Self::Split | Self::Packages(_)) => Cut::Two,
            (_, Self::Auto(_)) if max == 2 || is_small() => Cut::Small,
            _ => Cut::Components(Limits { max, large }),
        }
    }

    /// Whether `tree` is cut along its components, where only its files are known.
    pub fn cuts(self, tree: &Tree) -> bool {
        !tree.is_empty() && matches!(self.cut([tree]), Cut::Components(_))
    }

    /// The same with what is left after `count` layers: at least the two of a small image.
    #[must_use]
    pub fn less(self, count: usize) -> Self {
        let left = |max: NonZeroUsize| {
            let left = max.get().saturating_sub(count).max(2).min(max.get());
            NonZeroUsize::new(left).unwrap_or(max)
        };
        match self {
            Self::Auto(max) => Self::Auto(left(max)),
            Self::Packages(max) => Self::Packages(left(max)),
            Self::One | Self::Split => self,
        }
    }
}

impl Default for Layers {
    fn default() -> Self {
        Self::Auto(Self::MAX)
    }
}

impl Cut {
    /// The packages of the sysroot of `view`, if they matter to the layers. `added` are the files
    /// that inputs brought from there.
    ///
    /// # Errors
    /// [`ReadFailure`]
    pub(in crate::plan) fn packages(
        self,
        added: &Tree,
        view: View<'_>,
    ) -> Result<Option<Database>, ReadFailure> {
        match self {
            Self::Components(_) if !added.is_empty() || view.meets_sysroot()? => {
                view.into_packages()
            }
            Self::One | Self::Two | Self::Small | Self::Components(_) => Ok(None),
        }
    }
}
