//! The closure of single files, for `imgb deps`.

use super::View;
use crate::{
    elf::{self, Closure, FoundKind, Lookup as _, Root, Sniffed, script},
    path::ImagePath,
};

/// What the files at `paths` of the view need. A script stands for its interpreter.
pub fn deps(paths: &[ImagePath], view: &View<'_>, library_path: &[Vec<u8>], hwcaps_all: bool) -> Closure {
    let hwcaps = if hwcaps_all { elf::Hwcaps::All } else { elf::Hwcaps::Baseline };
    let options = elf::Options { library_path: library_path.to_vec(), preload: Vec::new(), hwcaps };
    let roots: Vec<Root> = paths.iter().map(|path| Root { path: program(path, view) }).collect();
    elf::closure(&roots, &options, view)
}

/// The interpreter of a script, or the path itself.
fn program(path: &ImagePath, view: &View<'_>) -> ImagePath {
    let front = view.find(path.as_bytes()).ok().filter(|found| matches!(found.kind, FoundKind::File(_)));
    let front = front.and_then(|found| view.read(&found, script::FIRST_LINE).ok()).unwrap_or_default();
    let line = (elf::sniff(&front) == Sniffed::Script).then(|| script::shebang(&front)).flatten();
    line.and_then(|line| ImagePath::new(line.interpreter).ok()).unwrap_or_else(|| path.clone())
}
