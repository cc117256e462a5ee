//! Objects in directories and tarballs that are for another C library: they are packed as data, and
//! a note names each.

use std::collections::BTreeSet;

use super::{Note, programs::Programs};
use crate::{
    elf::{self, Dialect, Lookup as _, Object, ReadFailure},
    path::ImagePath,
    view::View,
};

/// Takes the objects out of `found` whose C library's loader is nowhere, if there are others whose
/// loader is there, and musl's where programs and other objects are glibc's: prebuilt modules come
/// for glibc and for musl in one directory. What the user named stays.
///
/// # Errors
/// [`ReadFailure`]
pub(super) fn take_out(
    found: &mut Programs,
    named: &BTreeSet<ImagePath>,
    view: &View<'_>,
) -> Result<Vec<Note>, ReadFailure> {
    let with_loader = found
        .objects
        .iter()
        .map(|(_, object)| has_loader(object, view))
        .collect::<Result<Vec<_>, _>>()?;
    if !with_loader.contains(&Some(true)) {
        return Ok(Vec::new());
    }
    let has = |wanted, programs_only: bool| {
        let mut objects = found.objects.iter().zip(&with_loader);
        objects.any(|((_, object), with_loader)| {
            (object.is_program() || !programs_only)
                && dialect(object) == Some(wanted)
                && *with_loader == Some(true)
        })
    };
    // Where both loaders are, glibc is the system's and musl was added to it.
    let both = has(Dialect::Glibc, false) && !has(Dialect::Musl, true);
    let mut notes = Vec::new();
    let mut with_loader = with_loader.into_iter();
    found.objects.retain(|(path, object)| {
        let other = both && !object.is_program() && dialect(object) == Some(Dialect::Musl);
        let without_loader = with_loader.next().flatten() == Some(false);
        let foreign = !named.contains(path) && (other || without_loader);
        if foreign && other {
            let text = format!("{path} is for musl, what is beside it for glibc: packed as data");
            notes.push(Note::warning(text).about(path));
        } else if foreign {
            let libc = dialect(object).map_or("", |dialect| match dialect {
                Dialect::Glibc => "glibc",
                Dialect::Musl => "musl",
            });
            let text = format!("{path} is for {libc}, but its loader is missing: packed as data");
            notes.push(Note::warning(text).about(path));
        }
        !foreign
    });
    Ok(notes)
}

/// Whether the loader of an object's C library is there; `None` where it does not show which that
/// is.
fn has_loader(object: &Object, view: &View<'_>) -> Result<Option<bool>, ReadFailure> {
    let Some(dialect) = dialect(object) else { return Ok(None) };
    let usual = elf::usual_paths(object.header.machine, dialect);
    for path in object.interp.iter().map(|interp| interp.to_vec()).chain(usual) {
        if view.find(&path)?.is_ok() {
            return Ok(Some(true));
        }
    }
    Ok(Some(false))
}

/// The C library that an object is linked with; `None` if it does not show.
fn dialect(object: &Object) -> Option<Dialect> {
    if let Some(interp) = &object.interp {
        let name = interp.rsplit(|&b| b == b'/').next().unwrap_or_default();
        return Some(if name.starts_with(b"ld-musl-") { Dialect::Musl } else { Dialect::Glibc });
    }
    object.needed().find_map(|name| match &**name {
        b"libc.so.6" => Some(Dialect::Glibc),
        name if name.starts_with(b"libc.musl-") || name == b"libc.so" => Some(Dialect::Musl),
        _ => None,
    })
}
