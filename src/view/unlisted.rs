//! The links and directories of a sysroot that lists of checksums leave out.

use super::View;
use crate::{
    elf::{Lookup as _, ReadFailure},
    packages::Entry,
    path::ImagePath,
    tree::Kind,
};

/// Directories in which packages have directories of their own (hier(7)).
const SHARED: [&str; 6] =
    ["/etc", "/usr/lib", "/usr/share", "/var/cache", "/var/lib", "/var/spool"];
/// Where commands are.
const COMMANDS: [&str; 4] = ["/bin", "/sbin", "/usr/bin", "/usr/sbin"];
/// Entries that are looked at.
const MAX_ENTRIES: usize = 100_000;

/// The links and directories in directories that packages share, and links among commands.
///
/// # Errors
/// [`ReadFailure`]
pub(super) fn entries(view: &View<'_>) -> Result<Vec<Entry>, ReadFailure> {
    let mut found = Vec::new();
    let mut dirs: Vec<ImagePath> = Vec::new();
    for dir in SHARED.iter().chain(&COMMANDS) {
        // `/bin` may be a link to `/usr/bin`.
        let resolved = view.resolve(dir.as_bytes())?;
        dirs.extend(
            resolved.ok().map(|dir| dir.path).filter(|path| path.as_bytes() == dir.as_bytes()),
        );
    }
    let libraries = ImagePath::new("/usr/lib").unwrap_or_else(|_| ImagePath::root());
    for name in view.list(libraries.as_bytes())?.unwrap_or_default() {
        // `/usr/lib/x86_64-linux-gnu`
        if memchr::memmem::find(&name, b"-linux-").is_some() {
            dirs.extend(libraries.child(&name));
        }
    }
    for dir in dirs {
        let is_command = COMMANDS.iter().any(|one| dir.as_bytes() == one.as_bytes());
        for name in view.list(dir.as_bytes())?.unwrap_or_default() {
            if found.len() >= MAX_ENTRIES {
                return Ok(found);
            }
            let Ok(path) = dir.child(&name) else { continue };
            let Ok(Some(node)) = view.node(&path)? else { continue };
            let (target, inside) = match node.kind {
                Kind::Symlink(target) => {
                    (target.rsplit(|&b| b == b'/').next().map(<[u8]>::to_vec), Vec::new())
                }
                Kind::Directory if !is_command => {
                    (None, view.list(path.as_bytes())?.unwrap_or_default())
                }
                _ => continue,
            };
            found.push(Entry { path, target, inside, is_command });
        }
    }
    Ok(found)
}
