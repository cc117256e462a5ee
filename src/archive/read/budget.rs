//! What reading archives may cost. The layers of one image share a budget.

use super::Fault;
use crate::{archive::header::BLOCK, path::ImagePath};

/// Limits on the contents of a tarball, or of all layers of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Headers, including extension headers.
    pub headers: u64,
    /// Bytes in one extension header.
    pub extension: u64,
    /// Bytes of all paths together, including parents that have no entry of their own, in addition
    /// to the bytes of the headers.
    pub paths: u64,
    /// Regions with data of all sparse files together.
    pub regions: u64,
    /// Bytes without data of all sparse files together.
    pub holes: u64,
}

impl Default for Limits {
    /// 10 million headers, 1 MiB in one of them, 64 MiB of paths, a million regions, 64 GiB in
    /// holes.
    fn default() -> Self {
        Self {
            headers: 10_000_000,
            extension: 1 << 20,
            paths: 64 << 20,
            regions: 1 << 20,
            holes: 64 << 30,
        }
    }
}

/// The most path components that are looked up, per entry on average; a long path counts several
/// times. A normal archive needs a dozen; one made of chains of links into deep directories would
/// need thousands.
const STEPS_PER_ENTRY: u64 = 256;

/// What is left of [`Limits`].
#[derive(Clone, Debug)]
pub struct Budget {
    left: Limits,
    /// How many more components may be looked up.
    pub(super) steps: u64,
}

impl Budget {
    /// The whole of `limits`.
    pub fn new(limits: Limits) -> Self {
        // Steps for archives with few entries in deep directories.
        Self { left: limits, steps: 1 << 20 }
    }

    /// Counts a layer of `entries` entries that is used once more. No image needs that, so it is
    /// dear.
    ///
    /// # Errors
    /// [`Fault::TooMany`]
    pub fn repeat(&mut self, entries: usize) -> Result<(), Fault> {
        take(&mut self.left.headers, 8 * entries as u64, "headers")
    }

    /// Bytes in one extension header at most.
    pub(super) fn extension(&self) -> u64 {
        self.left.extension
    }

    pub(super) fn header(&mut self) -> Result<(), Fault> {
        self.left.paths = self.left.paths.saturating_add(BLOCK as u64);
        take(&mut self.left.headers, 1, "headers")
    }

    pub(super) fn entry(&mut self) {
        self.steps = self.steps.saturating_add(STEPS_PER_ENTRY);
    }

    /// Counts a look at `path`, as [`crate::tree::Resolved::follow_within`] does.
    pub(super) fn step(&mut self, path: &ImagePath) -> Result<(), Fault> {
        take(
            &mut self.steps,
            1 + path.as_bytes().len() as u64 / 64,
            "directories and links to follow",
        )
    }

    pub(super) fn path(&mut self, path: &ImagePath) -> Result<(), Fault> {
        take(&mut self.left.paths, path.as_bytes().len() as u64, "paths")
    }

    pub(super) fn sparse_file(&mut self, regions: usize, holes: u64) -> Result<(), Fault> {
        take(&mut self.left.regions, regions as u64, "regions in sparse files")?;
        take(&mut self.left.holes, holes, "bytes without data in sparse files")
    }
}

fn take(left: &mut u64, amount: u64, what: &'static str) -> Result<(), Fault> {
    *left = left.checked_sub(amount).ok_or(Fault::TooMany(what))?;
    Ok(())
}
