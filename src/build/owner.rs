//! `--chown`: names → numbers, by the image's own tables.

use super::Cause;
use crate::{
    recipe::owner::{Owner, Principal},
    tree::Tree,
    view::View,
};

/// User and group of `owner` in the image whose files are `stage`. Without a group it is the one of
/// the user's name, as in Docker, or else the user's own; a user's number is its group's too.
pub(super) fn resolve(owner: &Owner, stage: &Tree) -> Result<(u32, u32), Cause> {
    let unknown = |kind, name: &str| Cause::Unknown { kind, name: name.to_owned() };
    let accounts = View::of_tree(stage).accounts()?;
    let uid = match &owner.user {
        Principal::Id(id) => *id,
        Principal::Name(name) => accounts
            .user(name)
            .and_then(|user| user.uid)
            .or(root(name))
            .ok_or_else(|| unknown("user", name))?,
    };
    let gid = match owner.group.as_ref().unwrap_or(&owner.user) {
        Principal::Id(id) => Some(*id),
        Principal::Name(name) => accounts.group(name).and_then(|group| group.gid).or(root(name)),
    };
    match (gid, &owner.group, &owner.user) {
        (Some(gid), ..) => Ok((uid, gid)),
        (None, Some(Principal::Name(group)), _) => Err(unknown("group", group)),
        (None, _, Principal::Name(user)) => accounts
            .user(user)
            .and_then(|user| user.gid)
            .map(|gid| (uid, gid))
            .ok_or_else(|| unknown("group", user)),
        (None, ..) => Ok((uid, uid)),
    }
}

/// The number of `root`, which an image without tables has too, as in BuildKit.
fn root(name: &str) -> Option<u32> {
    (name == "root").then_some(0)
}
