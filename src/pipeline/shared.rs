//! Layers for the caches that machines share.

use super::{Delivered, Delivery, Error, layers::document};
use crate::{
    error_kind::with_causes,
    image::{Bundle, Reference, Target},
    output::{Outputs, PushOptions, Remotes},
    pack,
    plan::Note,
    reuse::{self, Place, Sources},
    tree::Tree,
};

/// Adds the layers that a cache of [`Delivery::cache_to`] does not have to it. What keeps them out
/// is a note: the image is written without them.
pub(super) fn keep_layers(delivered: &Delivered, delivery: &Delivery) -> Vec<Note> {
    let mut notes = Vec::new();
    for cache in &delivery.cache_to {
        let place = vec![Place::Cache(cache.clone())];
        let known = Sources::open(place, delivery.compression, delivery.opening());
        for layer in delivered.layers.iter().flatten() {
            let Err(error) = keep_layer(layer, cache, &known, delivery) else { continue };
            let text = format!("cannot keep layers in `{cache}`: {}", with_causes(&error));
            notes.push(Note::warning(text));
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
    let Ok(target) = Target::parse(&format!("{cache}:{tag}"), None, |_| false) else {
        return Ok(());
    };
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
