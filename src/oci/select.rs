//! Which image of an index is wanted.

use std::collections::BTreeSet;

use super::{
    ImageError,
    blob_source::BlobSource,
    document::{self, Descriptor, Document},
};
use crate::{
    digest::Digest,
    image::{Platform, Reference},
};

/// How deep indexes may be nested.
const MAX_DEPTH: usize = 8;
/// How many manifests and indexes are looked at.
const MAX_DOCUMENTS: usize = 1000;

/// A manifest that an index leads to, with the names that it has there.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) descriptor: Descriptor,
    pub(super) names: Vec<String>,
}

/// The image that is wanted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    /// What the user called the source, for messages.
    pub(super) source: &'a str,
    /// Tag or name.
    pub(super) tag: Option<&'a str>,
    /// `None` takes the only image, or of several the one for this machine.
    pub(super) platform: Option<&'a Platform>,
    /// This machine's platform.
    pub(super) machine: &'a Platform,
}

/// The bytes of the blob that `descriptor` names, with its size and digest verified.
pub(super) fn blob(source: &BlobSource, descriptor: &Descriptor) -> Result<Vec<u8>, ImageError> {
    let digest = descriptor.digest;
    let file = source.file(&path(digest))?.ok_or(ImageError::MissingBlob(digest))?;
    if file.len != descriptor.size {
        return Err(ImageError::Size { digest, wanted: descriptor.size, found: file.len });
    }
    let bytes = file.read(&digest.to_string())?;
    match Digest::of(&bytes) {
        found if found == digest => Ok(bytes),
        found => Err(ImageError::Digest { what: "blob", wanted: digest, found }),
    }
}

/// The path of the blob with this digest in a layout.
pub(super) fn path(digest: Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// The one manifest of `index` that is wanted.
pub(super) fn one(
    source: &BlobSource,
    index: Vec<Descriptor>,
    wanted: Wanted<'_>,
) -> Result<Candidate, ImageError> {
    let top: Vec<Candidate> = index
        .into_iter()
        .filter(|entry| !entry.is_attestation)
        .map(|descriptor| Candidate { names: descriptor.names.clone(), descriptor })
        .collect();
    let named = match wanted.tag {
        None => top.clone(),
        Some(tag) => {
            let has =
                |candidate: &&Candidate| candidate.names.iter().any(|name| is_called(name, tag));
            top.iter().filter(has).cloned().collect()
        }
    };
    if named.is_empty() {
        let names = top.iter().flat_map(|candidate| candidate.names.clone()).collect();
        return Err(ImageError::NoSuchImage {
            name: wanted.source.into(),
            wanted: wanted.tag.unwrap_or("an image").into(),
            there: names,
        });
    }
    let mut all = expand(source, named)?;
    match all.len() {
        0 => {
            return Err(ImageError::NoSuchImage {
                name: wanted.source.into(),
                wanted: "an image".into(),
                there: Vec::new(),
            });
        }
        1 => {}
        _ => all = of_platform(all, wanted)?,
    }
    match <[Candidate; 1]>::try_from(all) {
        Ok([one]) => Ok(one),
        Err(all) => Err(ImageError::SeveralImages {
            name: wanted.source.into(),
            there: all
                .iter()
                .map(|one| {
                    one.names.first().cloned().unwrap_or_else(|| one.descriptor.digest.to_string())
                })
                .collect(),
        }),
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

/// The manifests that nested indexes lead to, each once.
fn expand(source: &BlobSource, top: Vec<Candidate>) -> Result<Vec<Candidate>, ImageError> {
    let (mut out, mut seen, mut looked) = (Vec::<Candidate>::new(), BTreeSet::new(), 0);
    let mut left: Vec<(Candidate, usize)> =
        top.into_iter().rev().map(|candidate| (candidate, 0)).collect();
    while let Some((candidate, depth)) = left.pop() {
        looked += 1;
        let name = candidate.descriptor.digest.to_string();
        if depth > MAX_DEPTH || looked > MAX_DOCUMENTS {
            return Err(ImageError::document(&name, "too many nested indexes"));
        }
        if !document::is_index(&candidate.descriptor.media_type) {
            let same = |one: &&mut Candidate| one.descriptor.digest == candidate.descriptor.digest;
            match out.iter_mut().find(same) {
                Some(known) => known.names.extend(candidate.names),
                None => out.push(candidate),
            }
            continue;
        }
        if !seen.insert(candidate.descriptor.digest) {
            continue;
        }
        let bytes = blob(source, &candidate.descriptor)?;
        let Document::Index(inner) =
            document::parse(&name, &bytes, Some(&candidate.descriptor.media_type))?
        else {
            return Err(ImageError::document(&name, "it is not an index"));
        };
        for descriptor in inner.into_iter().rev().filter(|entry| !entry.is_attestation) {
            let names = candidate.names.iter().chain(&descriptor.names).cloned().collect();
            left.push((Candidate { names, descriptor }, depth + 1));
        }
    }
    Ok(out)
}

/// Those for the wanted platform, or for this machine.
fn of_platform(all: Vec<Candidate>, wanted: Wanted<'_>) -> Result<Vec<Candidate>, ImageError> {
    let platform = wanted.platform.unwrap_or(wanted.machine);
    let is_for = |candidate: &Candidate| candidate.descriptor.platform.as_ref() == Some(platform);
    let (ours, others): (Vec<_>, Vec<_>) = all.into_iter().partition(is_for);
    // If the index has no platforms, all fit equally well.
    if ours.is_empty() && others.iter().all(|candidate| candidate.descriptor.platform.is_none()) {
        return Ok(others);
    }
    if !ours.is_empty() {
        return Ok(ours);
    }
    let there =
        others.iter().filter_map(|one| one.descriptor.platform.as_ref()).map(ToString::to_string);
    Err(ImageError::NoSuchImage {
        name: wanted.source.into(),
        wanted: platform.to_string(),
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
}
