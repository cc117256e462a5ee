//! What this user may not read → one note.

use std::collections::BTreeSet;

use super::Note;
use crate::{path::ImagePath, quantity};

/// Paths that the note names.
const NAMED: usize = 3;

/// The note about files that may not be read and directories that may not be searched. They may
/// hold what the image needs.
pub(super) fn note(paths: impl Iterator<Item = ImagePath>) -> Option<Note> {
    let paths: BTreeSet<ImagePath> = paths.collect();
    let mut names: Vec<String> = paths.iter().take(NAMED).map(ToString::to_string).collect();
    let more = paths.len() - names.len();
    let last = if more > 0 { Some(format!("{more} more")) } else { names.pop() }?;
    let list = if names.is_empty() { last } else { format!("{} and {last}", names.join(", ")) };
    let (count, were) = (paths.len(), if paths.len() == 1 { "was" } else { "were" });
    let what = format!("{} that may be needed {were} left out", quantity::count(count, "path"));
    let note = Note::warning(format!("permission denied: {what}: {list}"));
    Some(note.with_hint("run imgb as a user who may read what is left out"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(paths: &[&str], wanted: Option<&str>) {
        let note = note(paths.iter().map(|path| ImagePath::new(path).unwrap()));
        assert_eq!(note.map(|note| note.text).as_deref(), wanted);
    }

    #[test]
    fn names_three_paths_and_counts_the_rest() {
        check(&[], None);
        check(&["a", "a"], Some("permission denied: 1 path that may be needed was left out: /a"));
        check(
            &["c", "b", "a"],
            Some("permission denied: 3 paths that may be needed were left out: /a, /b and /c"),
        );
        check(
            &["a", "b", "c", "d", "e"],
            Some(
                "permission denied: 5 paths that may be needed were left out: /a, /b, /c \
                 and 2 more",
            ),
        );
    }
}
