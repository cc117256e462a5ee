//! The closure of single files, for `imgb deps`.

use crate::{
    elf::{self, Closure, Lookup as _, ReadFailure, Root, Sniffed, script},
    path::ImagePath,
    view::View,
};

/// What the files at `paths` of the view need. A script stands for its interpreter.
///
/// # Errors
/// [`ReadFailure`]
pub fn deps(
    paths: &[ImagePath],
    view: &View<'_>,
    library_path: &[Vec<u8>],
    hwcaps_all: bool,
) -> Result<Closure, ReadFailure> {
    let hwcaps = if hwcaps_all { elf::Hwcaps::All } else { elf::Hwcaps::Baseline };
    let options = elf::LoaderOptions {
        library_path: library_path.to_vec(),
        hwcaps,
        ..elf::LoaderOptions::default()
    };
    let roots: Vec<Root> = paths
        .iter()
        .map(|path| Ok(Root { path: program(path, view)? }))
        .collect::<Result<_, ReadFailure>>()?;
    elf::closure(&roots, &options, view)
}

/// The interpreter of a script, or the path itself.
fn program(path: &ImagePath, view: &View<'_>) -> Result<ImagePath, ReadFailure> {
    let found = view.find(path.as_bytes())?;
    let Some(found) = found.ok().filter(|found| found.is_file()) else {
        return Ok(path.clone());
    };
    // An object is remembered and not opened again. Only another file can be a script.
    if view.object(&found)?.is_ok() {
        return Ok(path.clone());
    }
    let front = view.read(&found, script::FIRST_LINE)?.unwrap_or_default();
    let line = (elf::sniff(&front) == Sniffed::Script).then(|| script::shebang(&front)).flatten();
    let line = line.filter(|line| line.interpreter.starts_with(b"/"));
    let interpreter = line.and_then(|line| ImagePath::new(line.interpreter).ok());
    Ok(interpreter.unwrap_or_else(|| path.clone()))
}
