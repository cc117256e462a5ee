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
    for dir in &options.library_path {
        let found = view.find(dir)?;
        if !found.is_ok_and(|found| matches!(found.kind, FoundKind::Directory)) {
            let dir = escape(dir);
            let text = format!("--library-path `{dir}` is not a directory of the sysroot");
            notes.push(Note::warning(text).about(dir));
        }
    }
    Ok(notes)
}
