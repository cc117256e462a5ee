//! Namespaces of GObject introspection → their typelibs, and those of what they depend on.

use std::collections::{BTreeMap, BTreeSet};

use super::files;
use crate::{
    elf::{Lookup as _, ReadFailure},
    languages::{Python, typelib},
    path::ImagePath,
    plan::builder::ImageBuilder,
};

/// Bytes of a typelib that are read; Gtk's has 0.7 MB.
const MAX_TYPELIB: usize = 4 << 20;
/// Namespaces of one script.
const MAX_NAMESPACES: usize = 500;

/// The typelibs of `namespaces`, by names of the form `gi.repository.Gtk`. A namespace without a
/// version is taken in all versions.
///
/// # Errors
/// [`ReadFailure`]
pub(super) fn find(
    namespaces: &BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    language: &Python,
    builder: &ImageBuilder<'_>,
) -> Result<BTreeMap<Vec<u8>, BTreeSet<ImagePath>>, ReadFailure> {
    let mut found = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let mut left: Vec<_> = namespaces.iter().map(|(n, v)| (n.clone(), v.clone())).collect();
    while let Some((name, version)) = left.pop() {
        if seen.len() >= MAX_NAMESPACES {
            break;
        }
        let is_plain = |text: &[u8]| text.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'.');
        let version = version.as_deref().unwrap_or(b"*");
        if !is_plain(&name) || !(version == b"*" || is_plain(version)) {
            continue;
        }
        for dir in &language.typelibs {
            let pattern = [dir.as_bytes(), b"/", &name, b"-", version, b".typelib"].concat();
            for path in files::expand(&pattern, builder)? {
                let Ok(file) = builder.view.find(path.as_bytes())? else { continue };
                if !seen.insert(path.clone()) {
                    continue;
                }
                let bytes = builder.view.read(&file, MAX_TYPELIB)?.unwrap_or_default();
                let more = typelib::dependencies(&bytes).into_iter();
                left.extend(more.map(|(name, version)| (name.to_vec(), Some(version.to_vec()))));
                let module = [b"gi.repository.", &name[..]].concat();
                found.entry(module).or_insert_with(BTreeSet::new).insert(path);
            }
        }
    }
    Ok(found)
}
