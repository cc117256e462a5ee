//! What lies in directories of the inputs and is seldom needed at run time: the data of version
//! control systems, and caches. It is packed, and a note tells its size.

use std::collections::BTreeSet;

use super::Note;
use crate::{
    elf::ReadFailure,
    path::ImagePath,
    quantity,
    source::{Input, InputKind, content},
    tree::{Node, Tree},
};

/// What version control systems keep beside the files that they track.
const VERSION_CONTROL: [&[u8]; 5] = [b".git", b".hg", b".svn", b".jj", b".bzr"];

/// The file that marks a directory as a cache, and how it starts (Cache Directory Tagging
/// Specification, <https://bford.info/cachedir/>). Cargo, pip, pytest and many others write it.
const TAG: &[u8] = b"CACHEDIR.TAG";
const SIGNATURE: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55";

/// A note for each such directory below one that the user named.
///
/// # Errors
/// [`ReadFailure`]
pub(super) fn notes(inputs: &[Input]) -> Result<Vec<Note>, ReadFailure> {
    let mut notes = Vec::new();
    for input in inputs.iter().filter(|input| input.kind == InputKind::Directory) {
        let mut found: Vec<(ImagePath, &str)> = Vec::new();
        // What the user named is wanted, and comes first.
        for (path, node) in input.tree.iter().skip(1) {
            if VERSION_CONTROL.contains(&path.file_name()) {
                found.push((path.clone(), "is data of version control"));
            } else if path.file_name() == TAG && is_tag(node)? {
                found.extend(path.parent().map(|dir| (dir, "is marked as a cache")));
            }
        }
        let all: BTreeSet<ImagePath> = found.iter().map(|(path, _)| path.clone()).collect();
        let is_inner = |path: &ImagePath| path.ancestors().any(|above| all.contains(&above));
        let top = input.tree.iter().next().map(|(path, _)| path);
        found.retain(|(path, _)| Some(path) != top && !is_inner(path));
        notes.extend(found.iter().map(|(path, what)| note(path, what, &input.tree)));
    }
    Ok(notes)
}

fn is_tag(node: &Node) -> Result<bool, ReadFailure> {
    let Some(file) = node.file() else { return Ok(false) };
    // A file that this user may not read fails when it is packed.
    Ok(content::head(file, SIGNATURE.len())?.is_ok_and(|head| head == SIGNATURE))
}

fn note(path: &ImagePath, what: &str, tree: &Tree) -> Note {
    let files = tree.get(path).into_iter().chain(tree.below(path).map(|(_, node)| node));
    let sizes: Vec<u64> = files.filter_map(|node| Some(node.file()?.len)).collect();
    let (count, size) = (quantity::count(sizes.len(), "file"), quantity::bytes(sizes.iter().sum()));
    let text = format!("`{path}` {what} and is packed: {count}, {size}");
    Note::warning(text).about(path).with_hint(format!("`--exclude {path}` leaves it out"))
}
