//! What a stage of a run could not do.

use std::io;

use super::{NOT_FOUND, RUNNER_FAILED};

/// An error that ends a stage.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub(super) struct StageError {
    /// As a sentence: `cannot mount /dev`.
    pub(super) what: String,
    pub(super) source: io::Error,
    pub(super) exit_code: u8,
    /// What the user can do about it, if only the stage knows.
    pub(super) advice: Option<&'static str>,
}

/// Makes the error for `action`, which completes "cannot …", out of the system's own.
pub(super) fn trying<E: Into<io::Error>>(
    action: impl Into<String>,
) -> impl FnOnce(E) -> StageError {
    move |error| StageError {
        what: format!("cannot {}", action.into()),
        source: error.into(),
        exit_code: RUNNER_FAILED,
        advice: None,
    }
}

impl StageError {
    /// What the user can do about it.
    pub(super) fn hint(&self) -> Option<&'static str> {
        if self.advice.is_some() {
            return self.advice;
        }
        if self.source.raw_os_error() == Some(rustix::io::Errno::NOEXEC.raw_os_error()) {
            return Some(
                "it is made for another machine than this one (`imgb inspect IMAGE` shows the \
                 platform), or it is not a program",
            );
        }
        let is_start = self.exit_code == NOT_FOUND;
        if is_start && self.source.raw_os_error() == Some(rustix::io::Errno::NOENT.raw_os_error()) {
            return Some("`imgb check IMAGE` says what it needs and the image lacks");
        }
        // EPERM, EACCES, EINVAL, ENOSPC and ENOSYS: see unshare(2) and user_namespaces(7).
        let refused = matches!(self.source.raw_os_error(), Some(1 | 13 | 22 | 28 | 38));
        let about_namespaces = self.what.contains("namespace") || self.what.contains("mount");
        (refused && about_namespaces).then_some(
            "this system does not let you create user namespaces (in a container, or by \
             kernel.unprivileged_userns_clone, user.max_user_namespaces, \
             kernel.apparmor_restrict_unprivileged_userns); run it elsewhere, or with \
             `--runtime podman`",
        )
    }
}
