//! `status.d` of dpkg's database: without dpkg in the image, a paragraph for each package and the
//! checksums of its files, as in distroless images.

use std::collections::BTreeMap;

use super::{Files, existing, generated, replace};
use crate::{
    elf::ReadFailure,
    packages::{Database, Package, PackageId, checksum, dpkg},
    plan::{PlanError, Reason, builder::ImageBuilder},
};

/// Checksums by path: both as they are written.
type Sums = BTreeMap<Vec<u8>, Vec<u8>>;

/// Adds the package's paragraph and the checksums of its files. If the package `is_known` in the
/// image, its checksums are added to those that are there, if there are any.
pub(super) fn record(
    (id, package): (PackageId, &Package),
    is_known: bool,
    (database, files): (&Database, &Files),
    reason: &Reason,
    builder: &mut ImageBuilder<'_>,
) -> Result<(), PlanError> {
    let mut sums = Sums::new();
    for line in builder.view.package_checksums(id)?.split(|&b| b == b'\n') {
        let Some((sum, listed)) = checksum(line) else { continue };
        let at = database.real_path(id, listed).and_then(|path| files.get(&path));
        sums.extend(at.map(|at| (at.relative().to_vec(), sum.to_vec())));
    }
    if is_known {
        return Ok(add_sums(package, sums, reason, builder)?);
    }
    let paragraph = dpkg::paragraph(package, |path| files.contains_key(&database.merged(path)));
    let path = format!("{}/{}", dpkg::STATUS_DIRECTORY, free_name(package, builder)?);
    builder.make(path.as_bytes(), generated(paragraph, builder), reason.clone())?;
    let path = format!("{path}.md5sums");
    builder.make(path.as_bytes(), generated(text(&sums), builder), reason.clone())
}

fn text(sums: &Sums) -> Vec<u8> {
    sums.iter().flat_map(|(path, sum)| [&sum[..], b"  ", path, b"\n"].concat()).collect()
}

/// Adds `sums` to those that `status.d` of the image has of this version of the package.
fn add_sums(
    package: &Package,
    mut sums: Sums,
    reason: &Reason,
    builder: &mut ImageBuilder<'_>,
) -> Result<(), ReadFailure> {
    for name in names(package) {
        let path = format!("{}/{name}", dpkg::STATUS_DIRECTORY);
        let Some((_, paragraph)) = existing(&path, builder)? else { continue };
        let version: Option<Box<str>> =
            dpkg::Status::parse(&paragraph).version_of(&package.name).map(Box::from);
        let Some((path, old)) = existing(&format!("{path}.md5sums"), builder)? else { continue };
        if version.as_ref() == Some(&package.version) {
            let known = old.split(|&b| b == b'\n').filter_map(checksum);
            sums.extend(known.map(|(sum, path)| (path.to_vec(), sum.to_vec())));
            let new = text(&sums);
            if new != old {
                replace(&path, new, reason.clone(), builder);
            }
            break;
        }
    }
    Ok(())
}

/// The names that the package's files in `status.d` may have: the second where the image has
/// another package of the name.
fn names(package: &Package) -> [String; 2] {
    let Package { name, version, architecture, .. } = package;
    [name.to_string(), format!("{name}_{}_{architecture}", version.replace('/', "_"))]
}

/// The first of these names that is free.
fn free_name(package: &Package, builder: &ImageBuilder<'_>) -> Result<String, ReadFailure> {
    let [name, long] = names(package);
    let is_taken = existing(&format!("{}/{name}", dpkg::STATUS_DIRECTORY), builder)?.is_some();
    Ok(if is_taken { long } else { name })
}
