//! The image's user, where it is named after the tables of accounts were made.

use super::{Reason, Reasons, runtime_deps};
use crate::{
    elf::ReadFailure,
    path::ImagePath,
    rules::{self, Facts},
    source::Sysroot,
    timestamp::Mtime,
    tree::{Node, Tree, accounts::MAX_TABLE},
    view::View,
};

/// `/etc/passwd` and `/etc/group` of the image `tree` with `user`, `NAME[:GROUP]`, as they would
/// have been made for that user from the start. `None` if they have the user, if it is a number,
/// or if imgb did not make them: then whoever brought them decides.
///
/// # Errors
/// [`ReadFailure`]
pub fn add_user(
    (tree, reasons): (&Tree, &Reasons),
    user: &str,
    sysroot: Sysroot<'_>,
    mtime: Mtime,
) -> Result<Option<Tree>, ReadFailure> {
    let view = View::of_tree(tree);
    let known = view.accounts()?;
    let (name, group) = user.split_once(':').unwrap_or((user, ""));
    let is_number = |text: &str| text.parse::<u32>().is_ok();
    let has_user = is_number(name) || known.user(name).is_some();
    let has_group = group.is_empty() || is_number(group) || known.group(group).is_some();
    if name.is_empty() || (has_user && has_group) {
        return Ok(None);
    }
    let mut tables = Vec::new();
    for path in ["/etc/passwd", "/etc/group"] {
        let Ok(path) = ImagePath::new(path) else { return Ok(None) };
        let text = match tree.get(&path) {
            None => String::new(),
            Some(node) => {
                let is_made = matches!(reasons.get(&path), Some(Reason::Rule(_)));
                let Some(file) = node.file().filter(|_| is_made) else { return Ok(None) };
                let bytes = view.head(file, MAX_TABLE)?.unwrap_or_default();
                String::from_utf8_lossy(&bytes).into_owned()
            }
        };
        tables.push((path, text));
    }
    let [(passwd, users), (group, groups)] = &tables[..] else { return Ok(None) };
    let (accounts, group_numbers) = runtime_deps::accounts(&View::of_sysroot(sysroot))?;
    let facts =
        Facts { user: Some(user.into()), accounts, groups: group_numbers, ..Facts::default() };
    let (users, groups) = rules::with_user(&facts, users, groups);
    let file = |text: String| {
        let mut node = Node::inline(0o644, text.into_bytes());
        node.meta.mtime = mtime;
        node
    };
    Ok(Some(Tree::from_iter([(passwd.clone(), file(users)), (group.clone(), file(groups))])))
}
