//! Files that a language runtime reads before it does anything, and does not start without.

use super::Subject;
use crate::{languages::Languages, path::ImagePath};

/// The files that `program`, a path with links resolved, reads at its start and the image lacks.
/// Where its own directories are not in the image, it may have been told to look elsewhere: one
/// file is missing only if the image does not have it anywhere.
pub(super) fn missing(subject: &Subject<'_>, program: &ImagePath) -> Vec<ImagePath> {
    let tree = subject.view.tree();
    let has = |path: &ImagePath| tree.resolve(path.as_bytes()).is_ok();
    let mut missing = Vec::new();
    for startup in &Languages::builtin().startup {
        let mut variables = startup.unless_environment.iter();
        if variables.any(|name| subject.config.variable(name).is_some()) {
            continue;
        }
        let Some(files) = startup.files(program) else { continue };
        // An archive has all of the modules or none.
        if has(&files.archive) {
            continue;
        }
        let mut modules: Vec<_> =
            files.modules.into_iter().filter(|forms| !forms.iter().any(has)).collect();
        if !files.directories.iter().any(has) {
            if tree.iter().any(|(path, _)| startup.is_part(path)) {
                continue;
            }
            modules.truncate(1);
        }
        missing.extend(modules.into_iter().filter_map(|forms| forms.into_iter().next()));
    }
    missing
}
