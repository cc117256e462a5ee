//! The closure of single files, for `imgb deps`.

use super::View;
use crate::{
    elf::{self, Closure, FoundKind, Lookup as _, Root, Sniffed, script},
    path::ImagePath,
};

/// What the files at `paths` of the view need. A script stands for its interpreter.
pub fn deps(
    paths: &[ImagePath],
    view: &View<'_>,
    library_path: &[Vec<u8>],
    hwcaps_all: bool,
) -> Closure {
    let hwcaps = if hwcaps_all { elf::Hwcaps::All } else { elf::Hwcaps::Baseline };
    let options =
        elf::Options { library_path: library_path.to_vec(), hwcaps, ..elf::Options::default() };
    let roots: Vec<Root> = paths.iter().map(|path| Root { path: program(path, view) }).collect();
    elf::closure(&roots, &options, view)
}

/// The interpreter of a script, or the path itself.
fn program(path: &ImagePath, view: &View<'_>) -> ImagePath {
    let found =
        view.find(path.as_bytes()).ok().filter(|found| matches!(found.kind, FoundKind::File(_)));
    // An object is remembered and not opened again; only what is none can be a script.
    let other = found.filter(|found| view.object(found).is_err());
    let front =
        other.and_then(|found| view.read(&found, script::FIRST_LINE).ok()).unwrap_or_default();
    let line = (elf::sniff(&front) == Sniffed::Script).then(|| script::shebang(&front)).flatten();
    let line = line.filter(|line| line.interpreter.starts_with(b"/"));
    line.and_then(|line| ImagePath::new(line.interpreter).ok()).unwrap_or_else(|| path.clone())
}
