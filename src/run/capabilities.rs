//! Capabilities of the stages and of the program (capabilities(7)).

use rustix::{
    io::Errno,
    thread::{CapabilitySet, CapabilitySets},
};

use super::stage_error::{StageError, trying};

/// Makes the capabilities in the new namespaces survive execve(2): the next stage needs them,
/// whatever user it runs as.
pub(super) fn keep() -> Result<(), StageError> {
    let failed = || trying("keep capabilities in the namespace");
    let own = rustix::thread::capabilities(None).map_err(failed())?;
    let inherited = CapabilitySets { inheritable: own.permitted, ..own };
    rustix::thread::set_capabilities(None, inherited).map_err(failed())?;
    for capability in own.permitted.iter() {
        rustix::thread::configure_capability_in_ambient_set(capability, true).map_err(failed())?;
    }
    Ok(())
}

/// Gives up every capability, for this process and every process that it starts.
pub(super) fn drop_all() -> Result<(), StageError> {
    let failed = || trying("drop capabilities");
    rustix::thread::clear_ambient_capability_set().map_err(failed())?;
    for capability in CapabilitySet::all().iter() {
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            // EINVAL: this kernel does not know the capability.
            Ok(()) | Err(Errno::INVAL) => {}
            Err(errno) => return Err(failed()(errno)),
        }
    }
    rustix::thread::set_no_new_privs(true).map_err(failed())?;
    let none = CapabilitySet::empty();
    let none = CapabilitySets { effective: none, permitted: none, inheritable: none };
    rustix::thread::set_capabilities(None, none).map_err(failed())
}

/// Gives up every capability of this thread but the one to look into all processes of the
/// namespace.
pub(super) fn keep_only_ptrace() -> Result<(), Errno> {
    rustix::thread::clear_ambient_capability_set()?;
    let (none, ptrace) = (CapabilitySet::empty(), CapabilitySet::SYS_PTRACE);
    let kept = CapabilitySets { effective: ptrace, permitted: ptrace, inheritable: none };
    rustix::thread::set_capabilities(None, kept)
}
