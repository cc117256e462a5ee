//! apk's database: one file with a paragraph for each package.

use std::collections::{BTreeMap, BTreeSet};

use super::{Owned, existing, generated, reason, replace};
use crate::{
    packages::{Database, apk},
    path::ImagePath,
    plan::{PlanError, Reason, builder::ImageBuilder},
};

/// The paragraphs of packages by their names and versions.
type Paragraphs = BTreeMap<String, Vec<u8>>;

/// Adds the paragraphs of the packages to those that the image has, if it has any. An input's
/// database stays as it is.
pub(super) fn record(
    database: &Database,
    owned: &Owned,
    builder: &mut ImageBuilder<'_>,
) -> Result<(), PlanError> {
    let path = database.path().to_string();
    let old = existing(&path, builder)?;
    let known = old.as_ref().map(|(path, text)| apk::parse(text, path.clone(), Vec::new()));
    let mut paragraphs = Paragraphs::new();
    let mut listed: BTreeMap<String, BTreeSet<ImagePath>> = BTreeMap::new();
    for (id, package) in known.iter().flat_map(Database::packages) {
        paragraphs.insert(package.to_string(), package.text.to_vec());
        let files = known.iter().flat_map(|known| known.files(id)).collect();
        listed.insert(package.to_string(), files);
    }
    let before = paragraphs.clone();
    let mut reasons = Vec::new();
    for (id, files) in owned {
        let Some(package) = database.package(*id) else { continue };
        let known = listed.get(&package.to_string());
        let has = |path: &[u8]| {
            let real = database.real_path(*id, path);
            let is_listed = |known: &BTreeSet<ImagePath>| {
                ImagePath::new(path).is_ok_and(|path| known.contains(&path))
            };
            real.is_some_and(|real| files.contains_key(&real)) || known.is_some_and(is_listed)
        };
        paragraphs.insert(package.to_string(), apk::paragraph(package, has));
        reasons.extend(reason(package, files));
    }
    if paragraphs != before {
        write(&path, old.map(|(path, _)| path), &paragraphs, reasons, builder)?;
    }
    Ok(())
}

/// Writes the database: in the place of the `old` one, if there is one.
fn write(
    path: &str,
    old: Option<ImagePath>,
    paragraphs: &Paragraphs,
    reasons: Vec<Reason>,
    builder: &mut ImageBuilder<'_>,
) -> Result<(), PlanError> {
    let text = paragraphs.values().flat_map(|text| [text, &b"\n"[..]].concat()).collect::<Vec<_>>();
    for reason in reasons {
        match &old {
            Some(old) => replace(old, text.clone(), reason, builder),
            None => builder.make(path.as_bytes(), generated(text.clone(), builder), reason)?,
        }
    }
    Ok(())
}
