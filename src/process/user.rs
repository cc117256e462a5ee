//! The user that a process runs as (OCI image-spec, config.md, `User`).

use std::fmt;

use crate::{
    elf::ReadFailure,
    path::escape,
    tree::{Accounts, Kind, Node},
    view::View,
};

/// The largest number that engines take (runc's `user.GetExecUser`).
const MAX_ID: u32 = i32::MAX.cast_unsigned();

/// A user and the groups that it is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The numeric user ID.
    pub uid: u32,
    /// Groups, the main one first.
    pub gids: Vec<u32>,
}

/// Why the user of a configuration is unknown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserError {
    /// The user is not in `/etc/passwd`.
    #[error("the user `{}` is not in /etc/passwd", escape(.0.as_bytes()))]
    User(String),
    /// The group is not in `/etc/group`.
    #[error("the group `{}` is not in /etc/group", escape(.0.as_bytes()))]
    Group(String),
}

/// What a process does with a file or directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// Reads a file.
    Read,
    /// Executes a file.
    Execute,
    /// Passes through a directory.
    Search,
}

/// The verb, for messages.
impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Execute => "execute",
            Self::Search => "search",
        })
    }
}

impl User {
    /// The superuser.
    pub fn root() -> Self {
        Self { uid: 0, gids: vec![0] }
    }

    /// Reads `USER[:GROUP]` as runc does: a name in `/etc/passwd` or `/etc/group` takes precedence
    /// over a number. An empty text is root.
    ///
    /// # Errors
    /// [`ReadFailure`] if reading one of the two files fails; one that does not exist or that
    /// permissions close is empty. Inside, [`UserError`] for a name that they do not have.
    pub fn resolve(view: &View<'_>, text: &str) -> Result<Result<Self, UserError>, ReadFailure> {
        Ok(Self::among(&view.accounts()?, text))
    }

    fn among(accounts: &Accounts, text: &str) -> Result<Self, UserError> {
        let (name, group) = match text.split_once(':') {
            Some((name, group)) => (name, Some(group)),
            None => (text, None),
        };
        let name = if name.is_empty() { "0" } else { name };
        let number = name.parse::<u32>().ok().filter(|uid| *uid <= MAX_ID);
        let entry = accounts.user(name).or_else(|| accounts.user_numbered(number?));
        let uid = entry.and_then(|entry| entry.uid).or(number);
        let uid = uid.ok_or_else(|| UserError::User(name.into()))?;
        let gid = match group {
            Some(group) if !group.is_empty() => {
                let number = || group.parse().ok().filter(|gid| *gid <= MAX_ID);
                let gid = accounts.group(group).and_then(|entry| entry.gid).or_else(number);
                gid.ok_or_else(|| UserError::Group(group.into()))?
            }
            _ => entry.and_then(|entry| entry.gid).unwrap_or(0),
        };
        let mut gids = vec![gid];
        if let (None, Some(entry)) = (group, entry) {
            gids.extend(accounts.groups_of(&entry.name));
        }
        Ok(Self { uid, gids })
    }

    /// Whether the permission bits of `node` let this user do `access` (path_resolution(7),
    /// "Permissions"): one class of bits decides; root needs any of the execute bits to execute a
    /// file.
    pub fn may(&self, node: &Node, access: Access) -> bool {
        let bits = node.meta.mode;
        if self.uid == 0 {
            return access != Access::Execute
                || bits & 0o111 != 0
                || !matches!(node.kind, Kind::File(_));
        }
        let wanted = if access == Access::Read { 4 } else { 1 };
        let shift = match () {
            () if node.meta.uid == self.uid => 6,
            () if self.gids.contains(&node.meta.gid) => 3,
            () => 0,
        };
        bits >> shift & wanted != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_take_precedence_over_numbers() {
        let accounts = Accounts::parse(
            b"root:x:0:0::/root:/bin/sh\napp:x:10:20::/:\n30:x:31:32::/:\n",
            b"web:x:40:app\nadm:x:41:root,app\n",
        );
        let user = |text: &str| User::among(&accounts, text).map(|user| (user.uid, user.gids));
        assert_eq!(user(""), Ok((0, vec![0, 41])));
        assert_eq!(user("app"), Ok((10, vec![20, 40, 41])));
        assert_eq!(user("10"), Ok((10, vec![20, 40, 41])));
        assert_eq!(user("app:web"), Ok((10, vec![40])));
        assert_eq!(user("30"), Ok((31, vec![32])));
        assert_eq!(user("1000:1001"), Ok((1000, vec![1001])));
        assert_eq!(user("1000"), Ok((1000, vec![0])));
        assert_eq!(user("nobody"), Err(UserError::User("nobody".into())));
        assert_eq!(user("2147483648"), Err(UserError::User("2147483648".into())));
        assert_eq!(user("app:nogroup"), Err(UserError::Group("nogroup".into())));
    }
}
