//! Which image of an index is wanted.

use std::collections::BTreeSet;

use super::{
    ImageError,
    blob_source::BlobSource,
    document::{self, Descriptor, Document, Manifest, Names},
};
use crate::{
    digest::Digest,
    image::{Platform, Reference, Transport},
};

/// How deep indexes may be nested.
pub(super) const MAX_DEPTH: usize = 8;
/// How many manifests and indexes are looked at.
pub(super) const MAX_DOCUMENTS: usize = 1000;

/// A manifest that an index leads to, with the names that it has there.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) descriptor: Descriptor,
    pub(super) names: Vec<Names>,
}

/// The image that is wanted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    /// What the user called the source, for messages.
    pub(super) source: &'a str,
    /// The transport that the user wrote before it.
    pub(super) transport: Option<Transport>,
    /// Tag or name.
    pub(super) tag: Option<&'a str>,
    /// Digest of a manifest or of an index.
    pub(super) digest: Option<Digest>,
    /// `None` takes the only image, or of several the one for this machine.
    pub(super) platform: Option<&'a Platform>,
    /// This machine's platform.
    pub(super) machine: &'a Platform,
    /// Whether the first image is taken if there is none for this machine.
    pub(super) any: bool,
}

/// The image that was found.
#[derive(Debug)]
pub(super) struct Selected {
    pub(super) image: Candidate,
    /// The entries of the index that have the wanted name; all entries if none is wanted.
    pub(super) roots: Vec<Descriptor>,
}

/// The bytes of the manifest or index that `descriptor` names, with size and digest verified.
pub(super) fn document(
    source: &BlobSource,
    descriptor: &Descriptor,
) -> Result<Vec<u8>, ImageError> {
    let path = source.manifest_path(descriptor.digest);
    verified(source, &path, descriptor)?.ok_or(ImageError::MissingBlob(descriptor.digest))
}

/// The bytes of a document at `path`, verified; `None` if it is missing.
pub(super) fn verified(
    source: &BlobSource,
    path: &str,
    descriptor: &Descriptor,
) -> Result<Option<Vec<u8>>, ImageError> {
    let digest = descriptor.digest;
    let Some(file) = source.stored(path, Some(descriptor.size))? else { return Ok(None) };
    if file.len != descriptor.size {
        return Err(ImageError::Size { digest, wanted: descriptor.size, found: file.len });
    }
    let bytes = file.read(&digest.to_string())?;
    match Digest::of(&bytes) {
        found if found == digest => Ok(Some(bytes)),
        found => Err(ImageError::Digest { what: "blob", wanted: digest, found }),
    }
}

/// The one image of `index` that is wanted.
///
/// Signatures, attestations and other artifacts are images only if nothing else is: they are taken
/// only where a name or digest says so.
pub(super) fn one(
    source: &BlobSource,
    index: Vec<Descriptor>,
    wanted: Wanted<'_>,
) -> Result<Selected, ImageError> {
    let (mut all, roots) = all(source, index, wanted)?;
    if all.len() > 1 {
        all = of_platform(all, wanted)?;
    }
    match <[Candidate; 1]>::try_from(all) {
        Ok([image]) => Ok(Selected { image, roots }),
        Err(all) => {
            let there = all.iter().map(|one| match label(one) {
                name if all.iter().filter(|other| label(other) == name).count() == 1 => name,
                name => format!("{name} ({})", one.descriptor.digest),
            });
            let there = there.collect();
            Err(ImageError::SeveralImages { name: wanted.source.into(), there })
        }
    }
}

/// The images of `index` that are wanted, for any platform; at least one. Also the entries that
/// have the wanted name, or all entries if none is wanted.
pub(super) fn all(
    source: &BlobSource,
    index: Vec<Descriptor>,
    wanted: Wanted<'_>,
) -> Result<(Vec<Candidate>, Vec<Descriptor>), ImageError> {
    let none = |what: String, there: Vec<String>| ImageError::NoSuchImage {
        name: wanted.source.into(),
        wanted: what,
        there,
    };
    let top: Vec<Candidate> = index
        .into_iter()
        .map(|descriptor| Candidate { names: vec![descriptor.names.clone()], descriptor })
        .collect();
    let named = match wanted.tag {
        None => top.clone(),
        Some(tag) => called(&top, tag),
    };
    if let Some(tag) = wanted.tag.filter(|_| named.is_empty()) {
        return Err(none(format!("image called `{tag}`"), top.iter().map(label).collect()));
    }
    let roots = named.iter().map(|candidate| candidate.descriptor.clone()).collect();
    let mut all = expand(source, named, wanted.tag.is_some(), wanted.digest)?;
    if let Some(digest) = wanted.digest.filter(|_| all.is_empty()) {
        let there = top.iter().map(|one| one.descriptor.digest.to_string()).collect();
        return Err(none(format!("image with the digest {digest}"), there));
    }
    if all.len() > 1 {
        all = images(source, all)?;
    }
    if all.is_empty() {
        return Err(none("image".into(), top.iter().map(label).collect()));
    }
    Ok((all, roots))
}

/// The name of a candidate, or its digest.
fn label(candidate: &Candidate) -> String {
    let name = candidate.names.iter().flat_map(Names::all).next();
    name.map_or_else(|| candidate.descriptor.digest.to_string(), str::to_owned)
}

/// Those that are called `wanted`, by the best of their names: `ref.name` before the name that
/// containerd reads, which tools that edit a layout copy to other images (umoci).
pub(super) fn called(all: &[Candidate], wanted: &str) -> Vec<Candidate> {
    let rank = |candidate: &Candidate| {
        candidate.names.iter().filter_map(|names| rank(names, wanted)).min()
    };
    let best = all.iter().filter_map(rank).min();
    all.iter().filter(|candidate| best.is_some() && rank(candidate) == best).cloned().collect()
}

/// How well `names` fit `wanted`, 0 best; `None` if they do not.
fn rank(names: &Names, wanted: &str) -> Option<u8> {
    let is_called = |name: &Option<String>| name.as_deref().is_some_and(|n| is_called(n, wanted));
    // A name whose tag is not `ref.name` was copied from another image.
    let is_stale = names
        .ref_name
        .as_deref()
        .zip(names.image_name.as_deref())
        .is_some_and(|(ref_name, image_name)| !self::is_called(image_name, ref_name));
    match () {
        () if names.ref_name.as_deref() == Some(wanted) => Some(0),
        () if is_called(&names.ref_name) => Some(1),
        () if is_called(&names.image_name) && !is_stale => Some(2),
        () if is_called(&names.image_name) => Some(3),
        () => None,
    }
}

/// Whether a name in an index or `manifest.json` is the `wanted` one: the same text, the same
/// reference when both are written in full, or a reference with `wanted` as its tag.
pub(super) fn is_called(name: &str, wanted: &str) -> bool {
    let full = |text: &str| text.parse::<Reference>().ok();
    name == wanted
        || full(name).is_some_and(|name| {
            full(wanted).is_some_and(|wanted| wanted == name)
                || (name.tag == wanted && !wanted.contains(':'))
        })
}

/// The manifests that nested indexes lead to, each once. With `digest` only the one with this
/// digest, or those in the index with this digest. Entries that say of themselves that they are
/// artifacts are left out, except for one with this digest, and for those of `top` if these
/// `are_named`.
pub(super) fn expand(
    source: &BlobSource,
    top: Vec<Candidate>,
    are_named: bool,
    digest: Option<Digest>,
) -> Result<Vec<Candidate>, ImageError> {
    let (mut out, mut seen, mut looked) = (Vec::<Candidate>::new(), BTreeSet::new(), 0);
    let mut left: Vec<(Candidate, usize, bool)> =
        top.into_iter().rev().map(|candidate| (candidate, 0, digest.is_none())).collect();
    while let Some((candidate, depth, inside)) = left.pop() {
        looked += 1;
        let name = candidate.descriptor.digest.to_string();
        if depth > MAX_DEPTH || looked > MAX_DOCUMENTS {
            return Err(ImageError::document(&name, "too many nested indexes"));
        }
        let is_meant = digest == Some(candidate.descriptor.digest);
        let inside = inside || is_meant;
        if candidate.descriptor.is_artifact && !is_meant && !(are_named && depth == 0) {
            continue;
        }
        if !document::is_index(&candidate.descriptor.media_type) {
            let same = |one: &&mut Candidate| one.descriptor.digest == candidate.descriptor.digest;
            match out.iter_mut().find(same) {
                Some(known) => known.names.extend(candidate.names),
                None if inside => out.push(candidate),
                None => {}
            }
            continue;
        }
        if !seen.insert((candidate.descriptor.digest, inside)) {
            continue;
        }
        let bytes = document(source, &candidate.descriptor)?;
        let Document::Index(inner) =
            document::parse(&name, &bytes, Some(&candidate.descriptor.media_type))?
        else {
            return Err(ImageError::document(&name, "it is not an index"));
        };
        for descriptor in inner.into_iter().rev() {
            let names = candidate.names.iter().chain([&descriptor.names]).cloned().collect();
            left.push((Candidate { names, descriptor }, depth + 1, inside));
        }
    }
    Ok(out)
}

/// The manifest of a candidate; `None` if it is missing or not the manifest that it is said to be.
pub(super) fn manifest(
    source: &BlobSource,
    candidate: &Candidate,
) -> Result<Option<Manifest>, ImageError> {
    let descriptor = &candidate.descriptor;
    if !document::is_manifest(&descriptor.media_type) {
        return Ok(None);
    }
    let path = source.manifest_path(descriptor.digest);
    let Some(bytes) = verified(source, &path, descriptor)? else { return Ok(None) };
    match document::parse("", &bytes, Some(&descriptor.media_type)) {
        Ok(Document::Manifest(manifest)) => Ok(Some(*manifest)),
        _ => Ok(None),
    }
}

/// Those that are images by their manifests. A manifest that is missing may be that of an image
/// (`docker save --platform` leaves out the others). An image that is about another one is taken
/// only if there is no other.
fn images(source: &BlobSource, all: Vec<Candidate>) -> Result<Vec<Candidate>, ImageError> {
    let (mut images, mut about_others) = (Vec::new(), Vec::new());
    for candidate in all {
        if !document::is_manifest(&candidate.descriptor.media_type) {
            continue;
        }
        match manifest(source, &candidate)? {
            Some(manifest) if manifest.why_not_an_image().is_some() => {}
            Some(manifest) if manifest.has_subject => about_others.push(candidate),
            _ => images.push(candidate),
        }
    }
    Ok(if images.is_empty() { about_others } else { images })
}

/// Those for the wanted platform, or for this machine.
fn of_platform(all: Vec<Candidate>, wanted: Wanted<'_>) -> Result<Vec<Candidate>, ImageError> {
    let platform = wanted.platform.unwrap_or(wanted.machine);
    let fit = |candidate: &Candidate| platform.runs(candidate.descriptor.platform.as_ref()?);
    let best = all.iter().filter_map(fit).min();
    let is_best = |candidate: &Candidate| best.is_some() && fit(candidate) == best;
    let (ours, others): (Vec<_>, Vec<_>) = all.into_iter().partition(is_best);
    // If the index has no platforms, all fit equally well.
    if ours.is_empty() && others.iter().all(|candidate| candidate.descriptor.platform.is_none()) {
        return Ok(others);
    }
    if !ours.is_empty() {
        return Ok(ours);
    }
    if wanted.any && wanted.platform.is_none() {
        return Ok(others.into_iter().take(1).collect());
    }
    let there =
        others.iter().filter_map(|one| one.descriptor.platform.as_ref()).map(ToString::to_string);
    Err(ImageError::NoSuchImage {
        name: wanted.source.into(),
        wanted: format!("image for {platform}"),
        there: there.collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_same_however_they_are_written() {
        for (name, wanted) in [
            ("1.0", "1.0"),
            ("docker.io/library/app:1.0", "app:1.0"),
            ("docker.io/library/app:1.0", "1.0"),
            ("app:latest", "docker.io/library/app"),
        ] {
            assert!(is_called(name, wanted), "{name} {wanted}");
        }
        assert!(!is_called("docker.io/library/app:1.0", "app:2.0"));
        assert!(!is_called("docker.io/library/app:1.0", "x:1.0"));
    }

    /// umoci copies all annotations to the entry that it adds, and changes `ref.name`.
    #[test]
    fn the_name_that_was_set_last_wins() {
        let names = |ref_name: &str, image_name: &str| Names {
            ref_name: Some(ref_name.into()),
            image_name: Some(image_name.into()),
        };
        let (old, new) = (names("1", "docker.io/library/app:1"), names("2", "app:1"));
        for (wanted, of_old, of_new) in
            [("1", Some(0), Some(3)), ("2", None, Some(0)), ("app:1", Some(2), Some(3))]
        {
            assert_eq!((rank(&old, wanted), rank(&new, wanted)), (of_old, of_new), "{wanted}");
        }
        assert_eq!(rank(&names("app:1", "x:2"), "app:1"), Some(0));
        assert_eq!(rank(&names("docker.io/library/app:1", "x:2"), "app:1"), Some(1));
    }
}
