//! The packages of two images.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{DiffError, DiffOptions};
use crate::{tree::Tree, view::View};

/// A package of which the images have other versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageDifference {
    /// Its name.
    pub name: String,
    /// Its architecture, in the database's words.
    pub architecture: String,
    /// The versions in the first image; empty if it does not have the package.
    pub a: Vec<String>,
    /// The versions in the second image.
    pub b: Vec<String>,
}

/// Versions by name and architecture.
type Versions = BTreeMap<(String, String), BTreeSet<String>>;

impl PackageDifference {
    /// `added`, `removed` or `changed`.
    pub fn change(&self) -> &'static str {
        match (&self.a[..], &self.b[..]) {
            ([], _) => "added",
            (_, []) => "removed",
            _ => "changed",
        }
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "name": self.name,
            "architecture": self.architecture,
            "change": self.change(),
            "a": self.a,
            "b": self.b,
        })
    }
}

/// The packages in which the databases of two trees differ, in order.
pub(super) fn compare(
    a: &Tree,
    b: &Tree,
    options: &DiffOptions,
) -> Result<Vec<PackageDifference>, DiffError> {
    if !options.counts("packages") {
        return Ok(Vec::new());
    }
    let (a, b) = (versions(a)?, versions(b)?);
    let keys: BTreeSet<_> = a.keys().chain(b.keys()).collect();
    let differing = keys.into_iter().filter(|key| a.get(key) != b.get(key));
    let versions = |all: &Versions, key| all.get(key).into_iter().flatten().cloned().collect();
    Ok(differing
        .map(|key| PackageDifference {
            name: key.0.clone(),
            architecture: key.1.clone(),
            a: versions(&a, key),
            b: versions(&b, key),
        })
        .collect())
}

fn versions(tree: &Tree) -> Result<Versions, DiffError> {
    let view = View::of_sysroot(tree);
    let mut versions = Versions::new();
    for (_, package) in view.packages()?.iter().flat_map(|database| database.packages()) {
        let key = (package.name.to_string(), package.architecture.to_string());
        versions.entry(key).or_default().insert(package.version.to_string());
    }
    Ok(versions)
}
