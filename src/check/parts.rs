//! What programs open of their own before they do anything, and do not start without.

use super::{Finding, Proof};
use crate::path::ImagePath;

/// Modules that Python 3 imports from files before the first line of a script (`init_fs_encoding`
/// and what it imports; the others at a start are frozen into the program or may be missing).
const PYTHON: [&str; 3] = ["encodings/__init__", "encodings/aliases", "encodings/utf_8"];

impl Proof<'_> {
    /// The parts of `program`, a real path, as far as the image has any of them: where all are
    /// elsewhere, nothing can be said.
    pub(super) fn parts(&mut self, program: &ImagePath) {
        let name = String::from_utf8_lossy(program.file_name()).into_owned();
        let version = name.strip_prefix("python").filter(|version| version.starts_with("3."));
        let is_elsewhere =
            ["PYTHONHOME", "PYTHONPATH"].iter().any(|name| self.start.variable(name).is_some());
        let (Some(_), false) = (version, is_elsewhere) else { return };
        let Some(prefix) = program.parent().and_then(|dir| dir.parent()) else { return };
        let dirs = ["lib", "lib64"].map(|lib| format!("{lib}/{name}"));
        let dirs: Vec<_> = dirs.iter().filter_map(|dir| prefix.join(dir).ok()).collect();
        let has = |path: &ImagePath| self.view.tree().resolve(path.as_bytes()).is_ok();
        // A library in one archive has all of it or nothing.
        let zip = format!("lib/{}.zip", name.replace('.', ""));
        let zipped = prefix.join(zip).is_ok_and(|zip| has(&zip));
        if zipped || !dirs.iter().any(has) {
            return;
        }
        let forms = |module: &str| {
            let forms = dirs.iter().flat_map(|dir| {
                [".py", ".pyc"].map(|ending| dir.join(format!("{module}{ending}")).ok())
            });
            forms.flatten().collect::<Vec<_>>()
        };
        let missing = PYTHON.map(forms).into_iter().filter(|forms| !forms.iter().any(has));
        let missing: Vec<_> = missing.filter_map(|forms| forms.into_iter().next()).collect();
        for path in missing {
            self.fault(Finding::Part { program: program.clone(), path });
        }
    }
}
