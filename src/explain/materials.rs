//! What an image was made of: inputs with their digests, packages, and other files of the sysroot.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    bill::BillError,
    components::inventory,
    contents::{self, OfContents},
};
use crate::{
    components::Ecosystem,
    digest::Digest,
    path::ImagePath,
    plan::{Plan, Reason},
    sbom::provenance::Material,
    tree::{FileNode, Tree},
};

/// The materials of the files that `plan` adds to its base, in order, each once: inputs and
/// instructions file by file, then packages that files come from, then files of the sysroot that no
/// package has. What imgb makes itself is none.
///
/// # Errors
/// [`BillError`] if a file cannot be read.
pub fn materials(plan: &Plan) -> Result<Vec<Material>, BillError> {
    let merged = plan.merged();
    let owners = owners(&merged)?;
    let mut digests = OfContents::default();
    let (mut inputs, mut packages, mut others) = (Vec::new(), BTreeSet::new(), Vec::new());
    let added: Tree = plan.layers.iter().flat_map(|layer| layer.tree.clone()).collect();
    for (path, node) in &added {
        let Some(file) = node.file() else { continue };
        match plan.reasons.get(path) {
            Some(Reason::Listed(number)) => {
                let name = plan.inputs.get(*number).cloned().unwrap_or_default();
                packages.extend(owners.get(path).cloned());
                inputs.push(material("input", name, (path, file), &mut digests)?);
            }
            Some(Reason::Instruction(instruction)) => {
                let name = instruction.text.clone();
                inputs.push(material("instruction", name, (path, file), &mut digests)?);
            }
            Some(
                Reason::Package(_) | Reason::Distribution | Reason::Generated(_) | Reason::Base,
            ) => {}
            _ => match owners.get(path) {
                Some(purl) => drop(packages.insert(purl.clone())),
                None => {
                    let name = path.to_string();
                    others.push(material("sysroot", name, (path, file), &mut digests)?);
                }
            },
        }
    }
    let packages = packages.into_iter().map(Material::package);
    Ok(inputs.into_iter().chain(packages).chain(others).collect())
}

/// The package URL of the package that each path belongs to, by the records in the image.
fn owners(tree: &Tree) -> Result<BTreeMap<ImagePath, String>, BillError> {
    let packages = inventory(tree)?.components.into_iter().filter(|found| {
        matches!(found.component.ecosystem, Ecosystem::Apk | Ecosystem::Deb | Ecosystem::Rpm)
    });
    let files = packages.flat_map(|found| {
        let purl = found.component.purl();
        found.files.into_iter().map(move |path| (path, purl.clone()))
    });
    Ok(files.collect())
}

/// The material that the file at `path` is.
fn material(
    kind: &str,
    name: String,
    (path, file): (&ImagePath, &FileNode),
    digests: &mut OfContents<Digest>,
) -> Result<Material, BillError> {
    let digest = digests.get(file, contents::digest);
    let digest = digest.map_err(|source| BillError::Content { path: path.clone(), source })?;
    Ok(Material::named(kind, name, digest).at(path.to_string()))
}
