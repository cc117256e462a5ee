//! Which repositories of registries have what is written already.

use std::collections::{BTreeMap, BTreeSet};

use super::Part;
use crate::{
    digest::Digest,
    image::{Destination, Target},
    reuse::Sources,
};

/// The host of a registry and the name of a repository in it.
type Repository = (String, String);

/// The repositories that the targets are in; none if one of them is anything else.
pub(super) fn of_targets(targets: &[Target]) -> BTreeSet<Repository> {
    let repository = |target: &Target| match &target.destination {
        Destination::Registry(name) => Some((name.registry.clone(), name.repository.clone())),
        Destination::Path(_) | Destination::Stdout | Destination::Engine(_) => None,
    };
    targets.iter().map(repository).collect::<Option<_>>().unwrap_or_default()
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_beside_registries_needs_all_bytes() {
        let targets = |names: &[&str]| -> Vec<Target> {
            let target = |name: &&str| Target::parse(name, None, |_| false).unwrap();
            names.iter().map(target).collect()
        };
        let of = |names: &[&str]| of_targets(&targets(names)).len();
        assert_eq!(of(&["docker://a.example/b:1", "docker://a.example/b:2"]), 1);
        assert_eq!(of(&["docker://a.example/b:1", "docker://c.example/b:1"]), 2);
        assert_eq!(of(&["docker://a.example/b:1", "a.tar"]), 0);
        assert_eq!(of(&[]), 0);
    }
}
