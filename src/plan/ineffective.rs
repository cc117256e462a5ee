//! Options without effect, which are probably misspelled.

use super::{Note, PlanOptions};
use crate::{
    elf::{FoundKind, Lookup as _, ReadFailure},
    path::escape,
    source::InputOptions,
    view::View,
};

/// A note for each `--exclude` that has matched nothing and each `--library-path` that is not a
/// directory.
///
/// # Errors
/// [`ReadFailure`]
pub(super) fn notes(
    source: &InputOptions,
    options: &PlanOptions,
    view: &View<'_>,
) -> Result<Vec<Note>, ReadFailure> {
    let unused = source.exclude.iter().filter(|exclude| !exclude.has_matched());
    let mut notes: Vec<Note> = unused
        .map(|exclude| {
            let pattern = exclude.text();
            let text = format!("--exclude `{pattern}` matches no file of the inputs");
            Note::warning(text).about(pattern).with_hint(
                "without a slash, a pattern is compared with names; with one, with whole paths in \
                 the image",
            )
        })
        .collect();
    notes.extend(library_path(&options.library_path, view)?);
    Ok(notes)
}

/// A note for each directory of `--library-path` that is not one.
///
/// # Errors
/// [`ReadFailure`]
pub fn library_path(dirs: &[Vec<u8>], view: &View<'_>) -> Result<Vec<Note>, ReadFailure> {
    let mut notes = Vec::new();
    for dir in dirs {
        let found = view.find(dir)?;
        if !found.is_ok_and(|found| matches!(found.kind, FoundKind::Directory)) {
            let dir = escape(dir);
            let text = format!("--library-path `{dir}` is not a directory of the sysroot");
            notes.push(Note::warning(text).about(dir));
        }
    }
    Ok(notes)
}
