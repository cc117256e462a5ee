//! The platform of an image, from the programs that go into it.

use std::collections::BTreeSet;

use super::{Note, PlanError, programs::Programs};
use crate::{elf::Object, image::Platform, path::ImagePath};

/// The platform of the programs, unless it is `given`; `fallback` if they do not say. Takes
/// objects for another platform out of `found`: they are packed as data, and a note names each.
pub(super) fn decide(
    found: &mut Programs,
    named: &BTreeSet<ImagePath>,
    given: Option<&Platform>,
    fallback: &Platform,
) -> Result<(Platform, Vec<Note>), PlanError> {
    let mut seen: Vec<(Platform, ImagePath, bool)> = Vec::new();
    for (path, object) in &found.objects {
        if let Some((architecture, variant)) = object.header.machine.oci() {
            let platform = Platform::linux(architecture, variant);
            let is_named = named.contains(path);
            match seen.iter_mut().find(|(known, ..)| *known == platform) {
                None => seen.push((platform, path.clone(), is_named)),
                Some((_, example, was_named)) if is_named && !*was_named => {
                    (*example, *was_named) = (path.clone(), true);
                }
                Some(_) => {}
            }
        }
    }
    let deciding = |only_named: bool| {
        let of = seen.iter().filter(|(_, _, is_named)| *is_named || !only_named);
        of.map(|(platform, path, _)| (platform.clone(), path.clone())).collect::<Vec<_>>()
    };
    let candidates = if deciding(true).is_empty() { deciding(false) } else { deciding(true) };
    let has = |platform: &Platform| candidates.iter().any(|(candidate, _)| candidate == platform);
    let platform = match (given, &candidates[..]) {
        (Some(platform), _) => platform.clone(),
        (None, [(platform, _)]) => platform.clone(),
        (None, []) => fallback.clone(),
        // In a directory of prebuilt modules for many machines, this machine's count.
        (None, _) if deciding(true).is_empty() && has(fallback) => fallback.clone(),
        (None, _) => return Err(PlanError::MixedPlatforms(candidates)),
    };
    let is_ours = |object: &Object| {
        let own = object
            .header
            .machine
            .oci()
            .map(|(architecture, variant)| Platform::linux(architecture, variant));
        own.is_none_or(|own| own.architecture == platform.architecture)
    };
    let mut notes = Vec::new();
    found.objects.retain(|(path, object)| {
        let ours = is_ours(object);
        if !ours {
            let text = format!(
                "{path} is for {}, the image for {platform}: packed as data",
                object.header.machine
            );
            notes.push(Note::warning(text).about(path));
        }
        ours
    });
    Ok((platform, notes))
}
