//! Why a file is absent.

/// Why a path does not lead to a file. A loader goes on with the next directory after `Missing` and
/// `Denied` and stops at `Loop`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Absence {
    /// ENOENT, ENOTDIR, ENAMETOOLONG: there is no such file. A dangling link is this too.
    #[error("no such file")]
    Missing,
    /// EACCES, EPERM: the file exists, but this user may not read it.
    #[error("permission denied")]
    Denied,
    /// ELOOP: more than 40 links.
    #[error("too many levels of symbolic links")]
    Loop,
}
