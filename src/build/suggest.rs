//! Suggests a file for a name that does not exist.

use std::path::Path;

use super::Cause;
use crate::{
    path::{ImagePath, glob::clean, ignore::Ignore},
    plan::Note,
    suggest::closest,
    tree::Tree,
    uninterrupted,
};

/// Adds to `cause`, if a file is missing, what may be meant of the files in `from`. `context` is
/// where they come from and what is left out, if they are a context's.
pub(super) fn explain(cause: &mut Cause, from: &Tree, context: Option<(&Path, &Ignore)>) {
    let Cause::NotFound { name, hint: hint @ None } = cause else { return };
    let cleaned = clean(&[b"/", name.as_bytes()].concat());
    let Ok(path) = ImagePath::new(&cleaned) else { return };
    let ignored = context.and_then(|(dir, ignore)| {
        let exists = uninterrupted::symlink_metadata(dir.join(path.as_relative_path())).is_ok();
        ignore.reason(path.relative()).filter(|_| exists)
    });
    *hint = match ignored {
        Some(rule) => Some(format!("the file exists, but {rule} leaves it out")),
        None => similar(&path, from)
            .map(|near| format!("did you mean `{}`?", crate::path::escape(near.relative()))),
    };
}

/// The warning for a COPY whose pattern matches nothing in `from`; `context` as in [`explain`].
pub(super) fn unmatched(pattern: &str, from: &Tree, context: Option<(&Path, &Ignore)>) -> Note {
    let mut cause = Cause::not_found(pattern);
    explain(&mut cause, from, context);
    let pattern = crate::path::escape(pattern.as_bytes());
    let note = Note::warning(format!("`{pattern}` matches no file: nothing is copied"));
    match cause {
        Cause::NotFound { hint: Some(hint), .. } => note.with_hint(hint),
        _ => note,
    }
}

/// The path in `from` that has other letters in one name, or else the only file of that name
/// elsewhere.
fn similar(path: &ImagePath, from: &Tree) -> Option<ImagePath> {
    let mut at = ImagePath::root();
    for name in path.components() {
        let next = at.child(name).ok()?;
        if from.get(&next).is_some() {
            at = next;
            continue;
        }
        let below = at.components().count() + 1;
        let inside = from.below(&at).filter(|(path, _)| path.components().count() == below);
        let names: Vec<String> = inside
            .map(|(path, _)| String::from_utf8_lossy(path.file_name()).into_owned())
            .collect();
        if let Some(near) =
            closest(&String::from_utf8_lossy(name), names.iter().map(String::as_str))
        {
            let rest = path.relative().get(next.relative().len()..).unwrap_or_default();
            let found = at.child(near.as_bytes()).ok()?.join(rest).ok()?;
            return from.get(&found).map(|_| found);
        }
        break;
    }
    let mut same = from.iter().filter(|(other, _)| other.file_name() == path.file_name());
    match (same.next(), same.next()) {
        (Some((only, _)), None) => Some(only.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Node;

    #[test]
    fn finds_what_is_meant() {
        let tree: Tree = ["/config", "/config/app.conf", "/target/release/server", "/a/x", "/b/x"]
            .iter()
            .map(|path| (ImagePath::new(path).unwrap(), Node::inline(0o644, *b"")))
            .collect();
        for (name, wanted) in [
            ("/confg/app.conf", Some("/config/app.conf")),
            ("/config/ap.conf", Some("/config/app.conf")),
            ("/server", Some("/target/release/server")),
            ("/x", None),
            ("/confg/none", None),
            ("/unlike", None),
        ] {
            let found = similar(&ImagePath::new(name).unwrap(), &tree);
            assert_eq!(found, wanted.map(|path| ImagePath::new(path).unwrap()), "{name}");
        }
    }
}
