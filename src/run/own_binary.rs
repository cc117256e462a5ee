//! The file that the stages of a sandboxed run execute: a copy of imgb's own binary in memory.
//!
//! A program in the sandbox can execute `/proc/self/exe` of a process that is still a stage, for
//! instance as the interpreter of a script, and then open the file that it runs from. If that were
//! imgb's binary on the host, the program could change its mode or content (CVE-2019-5736).

use std::{fs::File, io, os::fd::AsRawFd as _, time::Duration};

use rustix::{
    fs::{MemfdFlags, SealFlags},
    io::Errno,
};

use crate::uninterrupted::uninterrupted;

/// How often, and after which time, sealing is tried again where the kernel is busy: for a second.
const BUSY_TRIES: usize = 50;
const BUSY_WAIT: Duration = Duration::from_millis(20);

/// A copy that cannot be written to, and that is gone with its last process.
pub(super) struct OwnBinary(File);

impl OwnBinary {
    /// Copies the binary of this process.
    ///
    /// # Errors
    /// The system's, for instance EACCES where `vm.memfd_noexec` forbids executable memory files.
    pub(super) fn copy() -> io::Result<Self> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let memfd = match rustix::fs::memfd_create("imgb", flags | MemfdFlags::EXEC) {
            // Linux before 6.3 does not know the flag, and needs none.
            Err(Errno::INVAL) => rustix::fs::memfd_create("imgb", flags)?,
            memfd => memfd?,
        };
        let mut copy = File::from(memfd);
        let mut own = File::open("/proc/self/exe")?;
        // What was copied before a signal came is not copied again: both files have moved on.
        uninterrupted(|| io::copy(&mut own, &mut copy))?;
        let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
        // The kernel refuses while something holds a page of the copy, as memory reclaim may do.
        for _ in 0..BUSY_TRIES {
            match rustix::fs::fcntl_add_seals(&copy, seals) {
                Err(Errno::BUSY) => std::thread::sleep(BUSY_WAIT),
                sealed => return Ok(sealed.map(|()| Self(copy))?),
            }
        }
        Err(Errno::BUSY.into())
    }

    /// The path at which a child of this process can execute it.
    pub(super) fn path(&self) -> String {
        format!("/proc/self/fd/{}", self.0.as_raw_fd())
    }
}
