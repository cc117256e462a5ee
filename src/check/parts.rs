//! Files that a language runtime reads before it does anything, and does not start without.

use super::{Finding, Proof};
use crate::{languages::Languages, path::ImagePath};

impl Proof<'_> {
    /// Checks the files that `program`, a real path, reads at its start. If the image has none of
    /// their directories, they are elsewhere and nothing can be said.
    pub(super) fn parts(&mut self, program: &ImagePath) {
        let has = |path: &ImagePath| self.view.tree().resolve(path.as_bytes()).is_ok();
        let mut missing = Vec::new();
        for startup in &Languages::builtin().startup {
            let mut variables = startup.unless_environment.iter();
            if variables.any(|name| self.start.variable(name).is_some()) {
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
        for path in missing {
            self.fault(Finding::Part { program: program.clone(), path });
        }
    }
}
