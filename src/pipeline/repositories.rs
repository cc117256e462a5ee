//! Which repositories of registries have layers already.

use std::collections::BTreeMap;

use super::Part;
use crate::{digest::Digest, reuse::Sources};

/// The host of a registry and the name of a repository in it.
type Repository = (String, String);

/// The repositories that layers of bases and of `sources` come from: a registry takes them from
/// there.
pub(super) fn of_layers(
    parts: &[Part<'_>],
    sources: Option<&Sources>,
) -> BTreeMap<Digest, Repository> {
    let bases = parts.iter().filter_map(|part| part.base);
    let layers = bases.flat_map(|base| {
        let origin = base.image.repository();
        let origin = origin.map(|(host, name)| (host.to_owned(), name.to_owned()));
        base.layers.iter().filter_map(move |layer| Some((layer.digest, origin.clone()?)))
    });
    layers.chain(sources.into_iter().flat_map(Sources::origins)).collect()
}
