//! Files that a language runtime reads before it does anything, and does not start without.

use super::Subject;
use crate::{languages::Languages, path::ImagePath};

/// The files that `program`, a path with links resolved, reads at its start and the image lacks.
/// None if the image has none of their directories: then they are elsewhere.
pub(super) fn missing(subject: &Subject<'_>, program: &ImagePath) -> Vec<ImagePath> {
    let has = |path: &ImagePath| subject.view.tree().resolve(path.as_bytes()).is_ok();
    let mut missing = Vec::new();
    for startup in &Languages::builtin().startup {
        let mut variables = startup.unless_environment.iter();
        if variables.any(|name| subject.config.variable(name).is_some()) {
            continue;
        }
        let Some(files) = startup.files(program) else { continue };
        // An archive has all of the modules or none.
        if has(&files.archive) || !files.directories.iter().any(has) {
            continue;
        }
        let modules = files.modules.into_iter().filter(|forms| !forms.iter().any(has));
        missing.extend(modules.filter_map(|forms| forms.into_iter().next()));
    }
    missing
}
