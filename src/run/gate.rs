//! A gate that keeps a stage waiting until its tracer has attached: a lock on the spec's file.

use std::{fs::File, io, os::fd::OwnedFd, path::Path};

use rustix::{
    fs::{FlockOperation, Mode, OFlags},
    io::retry_on_intr,
};

use super::stage_error::{StageError, trying};

/// A closed gate. [`Gate::open`] releases the processes that wait in [`wait_until_open`].
pub(super) struct Gate(File);

impl Gate {
    /// Closes the gate that `file` stands for.
    pub(super) fn close(file: &Path) -> Result<Self, StageError> {
        let file = File::from(open(file)?);
        retry_on_intr(|| rustix::fs::flock(&file, FlockOperation::LockExclusive))
            .map_err(trying("prepare the watch"))?;
        Ok(Self(file))
    }

    pub(super) fn open(self) -> io::Result<()> {
        Ok(retry_on_intr(|| rustix::fs::flock(&self.0, FlockOperation::Unlock))?)
    }
}

/// Waits until the gate that `file` stands for is open.
pub(super) fn wait_until_open(file: &Path) -> Result<(), StageError> {
    let file = open(file)?;
    retry_on_intr(|| rustix::fs::flock(&file, FlockOperation::LockShared))
        .map_err(trying("wait to be watched"))
}

fn open(file: &Path) -> Result<OwnedFd, StageError> {
    retry_on_intr(|| rustix::fs::open(file, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()))
        .map_err(trying("prepare the watch"))
}
