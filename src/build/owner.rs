//! `--chown`: names → numbers, by the image's own tables.

use super::Cause;
use crate::{
    elf::Lookup as _,
    recipe::values::{Owner, Principal},
    source::TreeView,
    tree::Tree,
};

/// Bytes of `/etc/passwd` and `/etc/group` that are read (containerd's limit after CVE-2026-53488).
const MAX_TABLE: usize = 1 << 20;

/// User and group of `owner` in the image whose files are `stage`. Without a group it is the one of
/// the user's name, as in Docker, or else the user's own; a user's number is its group's too.
pub(super) fn resolve(owner: &Owner, stage: &Tree) -> Result<(u32, u32), Cause> {
    let unknown = |kind, name: &str| Cause::Unknown { kind, name: name.to_owned() };
    let uid = match &owner.user {
        Principal::Id(id) => *id,
        Principal::Name(name) => number(stage, "/etc/passwd", name, 2)
            .or(root(name))
            .ok_or_else(|| unknown("user", name))?,
    };
    let gid = match owner.group.as_ref().unwrap_or(&owner.user) {
        Principal::Id(id) => Some(*id),
        Principal::Name(name) => number(stage, "/etc/group", name, 2).or(root(name)),
    };
    match (gid, &owner.group, &owner.user) {
        (Some(gid), ..) => Ok((uid, gid)),
        (None, Some(Principal::Name(group)), _) => Err(unknown("group", group)),
        (None, _, Principal::Name(user)) => number(stage, "/etc/passwd", user, 3)
            .map(|gid| (uid, gid))
            .ok_or_else(|| unknown("group", user)),
        (None, ..) => Ok((uid, uid)),
    }
}

/// The number of `root`, which an image without tables has too, as in BuildKit.
fn root(name: &str) -> Option<u32> {
    (name == "root").then_some(0)
}

/// Field `at` of the line for `name` in a table of the image (passwd(5), group(5)).
fn number(stage: &Tree, table: &str, name: &str, at: usize) -> Option<u32> {
    let view = TreeView::new(stage);
    let found = view.find(table.as_bytes()).ok()?;
    let bytes = view.read(&found, MAX_TABLE).ok()?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let mut lines = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let line = lines.find(|fields| fields.first() == Some(&name))?;
    line.get(at)?.parse().ok()
}
