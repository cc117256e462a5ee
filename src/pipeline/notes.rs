//! What the user should know of images as they are written.

use std::path::Path;

use super::Delivery;
use crate::{
    image::{Config, Image, Loss, Replaced},
    plan::Note,
};

/// Adds to `notes` what engines will not take of an image.
pub(super) fn losses_of(
    config: &Config,
    image: &Image,
    delivery: &Delivery,
    notes: &mut Vec<Note>,
) {
    let losses = Loss::find(config, &image.layers, &delivery.targets);
    add(notes, losses.into_iter().map(|it| Note::warning(it.to_string()).with_hint(it.hint())));
}

/// Adds to `notes` those of `more` that it does not have.
pub(super) fn add(notes: &mut Vec<Note>, more: impl IntoIterator<Item = Note>) {
    for note in more {
        if !notes.contains(&note) {
            notes.push(note);
        }
    }
}

/// The note that another image lost its tag.
pub(super) fn lost(layout: &Path, replaced: &Replaced) -> Note {
    let Replaced { tag, name, platform, digest, .. } = replaced;
    let layout = layout.display();
    let what = [name, platform].into_iter().flatten().cloned().collect::<Vec<_>>().join(", ");
    let text = format!("the tag `{tag}` of `{layout}` was that of {what} ({digest}) until now");
    Note::warning(text).with_hint(format!(
        "to keep both, give each a tag of its own: `-t NAME:TAG`, or `-o oci:{layout}:TAG`"
    ))
}
