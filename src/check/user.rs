//! Whom the image runs as (OCI image-spec, config.md, `User`).

use super::{Finding, Proof};
use crate::{
    elf::ReadFailure,
    path::ImagePath,
    source::{TreeView, content},
    tree::{Kind, Node},
};

/// Bytes of `/etc/passwd` and `/etc/group` that are read (containerd's limit after CVE-2026-53488).
const MAX_TABLE: usize = 1 << 20;

/// The largest number that engines take (runc's `user.GetExecUser`).
const MAX_ID: u32 = i32::MAX.cast_unsigned();

/// A user with all groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// User.
    pub uid: u32,
    /// Groups, the main one first.
    pub gids: Vec<u32>,
}

impl Proof<'_> {
    /// The user of the configuration; root where it cannot be told.
    pub(super) fn user(&mut self) -> Result<User, ReadFailure> {
        let text = self.start.user.clone().unwrap_or_default();
        Ok(resolve(self.view, &text)?.unwrap_or_else(|finding| {
            self.fault(finding);
            User { uid: 0, gids: vec![0] }
        }))
    }

    /// That `user` can reach `path`, a real path, and may do `action` with it.
    pub(super) fn permit(&mut self, user: &User, path: &ImagePath, action: &'static str) {
        for dir in path.ancestors() {
            self.permit_one(user, &dir, "search");
        }
        self.permit_one(user, path, action);
    }

    fn permit_one(&mut self, user: &User, path: &ImagePath, action: &'static str) {
        let Some(node) = self.view.tree().get(path) else { return };
        if !may(user, node, action) {
            let (path, mode) = (path.clone(), node.meta.mode);
            self.fault(Finding::Denied { path, action, mode, uid: user.uid });
        }
    }
}

/// path_resolution(7), "Permissions": one class of bits decides; root needs any of the execute bits
/// to execute.
fn may(user: &User, node: &Node, action: &str) -> bool {
    let bits = node.meta.mode;
    let wanted = if action == "read" { 4 } else { 1 };
    if user.uid == 0 {
        return action != "execute" || bits & 0o111 != 0 || !matches!(node.kind, Kind::File(_));
    }
    let shift = match () {
        () if node.meta.uid == user.uid => 6,
        () if user.gids.contains(&node.meta.gid) => 3,
        () => 0,
    };
    bits >> shift & wanted != 0
}

/// Reads `USER[:GROUP]` as runc does: a name that is in the table wins over a number. An empty text
/// is root.
///
/// Gives [`Finding::User`] and [`Finding::Group`] for names that the tables do not have.
///
/// # Errors
/// [`ReadFailure`] where a table cannot be read.
pub fn resolve(view: &TreeView<'_>, text: &str) -> Result<Result<User, Finding>, ReadFailure> {
    let (name, group) = match text.split_once(':') {
        Some((name, group)) => (name, Some(group)),
        None => (text, None),
    };
    let passwd = table(view, b"/etc/passwd")?;
    let groups = table(view, b"/etc/group")?;
    let name = if name.is_empty() { "0" } else { name };
    let number =
        |fields: &[String], at: usize| fields.get(at).and_then(|field| field.parse::<u32>().ok());
    let listed = passwd.iter().find(|fields| fields.first().is_some_and(|first| first == name));
    let by_number = name.parse::<u32>().ok().filter(|uid| *uid <= MAX_ID);
    let entry = listed.or_else(|| {
        passwd.iter().find(|fields| by_number.is_some() && number(fields, 2) == by_number)
    });
    let uid = match entry.and_then(|fields| number(fields, 2)).or(by_number) {
        Some(uid) => uid,
        None => return Ok(Err(Finding::User(name.into()))),
    };
    let gid = match group {
        Some(group) if !group.is_empty() => {
            let listed =
                groups.iter().find(|fields| fields.first().is_some_and(|first| first == group));
            let by_number = || group.parse().ok().filter(|gid| *gid <= MAX_ID);
            let gid = listed.and_then(|fields| number(fields, 2)).or_else(by_number);
            match gid {
                Some(gid) => gid,
                None => return Ok(Err(Finding::Group(group.into()))),
            }
        }
        _ => entry.and_then(|fields| number(fields, 3)).unwrap_or(0),
    };
    let mut gids = vec![gid];
    if let (None, Some(login)) = (group, entry.and_then(|fields| fields.first())) {
        let member = |fields: &&Vec<String>| {
            fields.get(3).is_some_and(|members| members.split(',').any(|member| member == login))
        };
        gids.extend(groups.iter().filter(member).filter_map(|fields| number(fields, 2)));
    }
    Ok(Ok(User { uid, gids }))
}

/// The lines of a table, split at colons.
fn table(view: &TreeView<'_>, path: &[u8]) -> Result<Vec<Vec<String>>, ReadFailure> {
    let file = view.node(path).ok().and_then(|(_, node)| node).and_then(Node::file);
    let Some(file) = file else { return Ok(Vec::new()) };
    let bytes = content::head(file, MAX_TABLE)?.unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Ok(text.lines().map(|line| line.split(':').map(str::to_owned).collect()).collect())
}
