//! Layers for the caches that machines share.

use super::{Delivered, Delivery, Error, layers::document};
use crate::{
    compress::Compression,
    error_kind::with_causes,
    image::{Bundle, Destination, Reference, Target},
    output::{Outputs, PushOptions, Remotes, Uploads},
    pack,
    plan::Note,
    reuse::{self, Place, Sources},
    tree::Tree,
};

/// Uploads of layers, which begin while others are packed, to the repositories of
/// [`Delivery::cache_to`] that are not those of an output.
pub(super) fn uploads(delivery: &Delivery) -> Option<Uploads> {
    // With an expected digest, the image may turn out not to be wanted.
    if delivery.expected.is_some()
        || !matches!(delivery.compression, Compression::Gzip(_) | Compression::Zstd(_))
    {
        return None;
    }
    let is_output = |cache: &Target| {
        delivery.targets.iter().any(|target| repository(target) == repository(cache))
    };
    let caches = delivery.cache_to.iter().filter_map(|cache| tagged(cache, "imgb"));
    let caches: Vec<Target> =
        caches.filter(|cache| repository(cache).is_some() && !is_output(cache)).collect();
    Uploads::begin(&caches, &delivery.registries).ok()
}

fn tagged(cache: &str, tag: &str) -> Option<Target> {
    Target::parse(&format!("{cache}:{tag}"), None, |_| false).ok()
}

/// The registry and the repository of a target.
fn repository(target: &Target) -> Option<(String, String)> {
    match &target.destination {
        Destination::Registry(name) => Some((name.registry.clone(), name.repository.clone())),
        _ => None,
    }
}

/// Adds the layers that a cache of [`Delivery::cache_to`] does not have to it, after the uploads
/// that have begun. What keeps them out is a note: the image is written without them.
pub(super) fn keep_layers(
    delivered: &Delivered,
    delivery: &Delivery,
    begun: Option<Uploads>,
) -> Vec<Note> {
    let faults = begun.as_ref().map(Uploads::wait).unwrap_or_default();
    let mut notes = Vec::new();
    for cache in &delivery.cache_to {
        let warning = |error: &dyn std::error::Error| {
            Note::warning(format!("cannot keep layers in `{cache}`: {}", with_causes(error)))
        };
        let own = tagged(cache, "imgb").as_ref().and_then(repository);
        // It is not asked again: that may take as long as all attempts did.
        if let Some(fault) = own.and_then(|own| faults.get(&own)) {
            notes.push(warning(fault));
            continue;
        }
        let place = vec![Place::Cache(cache.clone())];
        let known = Sources::open(place, delivery.compression, delivery.opening());
        for layer in delivered.layers.iter().flatten() {
            let Err(error) = keep_layer(layer, cache, &known, delivery) else { continue };
            notes.push(warning(&error));
            break;
        }
        let problems = known.problems().into_iter().map(Note::warning);
        notes.extend(problems.filter(|_| notes.is_empty()).collect::<Vec<_>>());
    }
    notes
}

fn keep_layer(
    layer: &pack::Layer,
    cache: &str,
    known: &Sources,
    delivery: &Delivery,
) -> Result<(), Error> {
    let Some(key) = layer.key else { return Ok(()) };
    if known.has(key, layer.diff_id) {
        return Ok(());
    }
    let tag = reuse::tag(key);
    let Some(target) = tagged(cache, &tag) else { return Ok(()) };
    let mut outputs = Outputs::open(vec![target], &delivery.scratch, delivery.durability)?;
    let blob = outputs.keep(&layer.blob)?;
    let document = document(layer, delivery.compression);
    let image = reuse::cache_image(document, delivery.compression, &delivery.machine);
    let bundle = Bundle::new(vec![image], &delivery.machine)?;
    let name = Reference::cache(&tag);
    let registries = &delivery.registries;
    let remotes = Remotes { registries, push: PushOptions::default(), event: &|_| {} };
    outputs.write(&bundle, &[blob], &Tree::new, &|_| vec![name.clone()], remotes)?;
    Ok(())
}
