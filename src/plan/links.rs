//! Links of packed directories that lead out of them → the programs they lead to, which join the
//! image.

use super::{PlanError, Reason, builder::ImageBuilder};
use crate::{
    elf::{self, Found, Lookup as _, ReadFailure, Sniffed, script},
    path::ImagePath,
    source::InputKind,
    tree::{Kind, Tree},
};

/// Takes the programs of the sysroot that links of directories lead to, as a Python environment's
/// `bin/python3` does: without them the link is of no use. What else links lead to stays where it
/// is.
pub(super) fn take(
    tree: &Tree,
    kinds: &[InputKind],
    builder: &mut ImageBuilder<'_>,
) -> Result<(), PlanError> {
    let is_link = |path: &ImagePath| {
        let input = match builder.reasons.get(path) {
            Some(Reason::Listed(number)) => kinds.get(*number),
            _ => None,
        };
        input == Some(&InputKind::Directory)
    };
    let links =
        tree.iter().filter(|(path, node)| matches!(node.kind, Kind::Symlink(_)) && is_link(path));
    let links: Vec<ImagePath> = links.map(|(path, _)| path.clone()).collect();
    for link in links {
        let Ok(found) = builder.view.find(link.as_bytes())? else { continue };
        if found.is_file() && !builder.has(&found.path) && is_program(&found, builder)? {
            builder.take(&found, Reason::Target(link))?;
        }
    }
    Ok(())
}

fn is_program(found: &Found, builder: &ImageBuilder<'_>) -> Result<bool, ReadFailure> {
    let Ok(Some(node)) = builder.view.node(&found.path)? else { return Ok(false) };
    if !node.is_executable() {
        return Ok(false);
    }
    let head = builder.view.read(found, script::FIRST_LINE)?;
    Ok(head.is_ok_and(|head| elf::sniff(&head) != Sniffed::Data))
}
