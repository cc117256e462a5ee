//! Which of the inputs' files a loader or the kernel works on.

use super::Note;
use crate::{
    elf::{self, Lookup as _, Object, ObjectError, ReadFailure, Sniffed, script},
    path::ImagePath,
    tree::{Node, Tree},
    view::View,
};

use std::sync::Arc;

/// The inputs' programs, libraries and scripts.
#[derive(Debug, Default)]
pub(super) struct Programs {
    /// ELF objects, in path order.
    pub(super) objects: Vec<(ImagePath, Arc<Object>)>,
    /// Scripts and what their first lines ask for.
    pub(super) scripts: Vec<(ImagePath, script::Shebang)>,
    /// Objects that cannot be read, and why.
    pub(super) broken: Vec<(ImagePath, ObjectError)>,
    /// AppImages: programs that mount the files which they hold.
    pub(super) app_images: Vec<ImagePath>,
}

impl Programs {
    /// Adds what another tree brought.
    pub(super) fn append(&mut self, mut other: Self) {
        self.objects.append(&mut other.objects);
        self.scripts.append(&mut other.scripts);
        self.broken.append(&mut other.broken);
        self.app_images.append(&mut other.app_images);
    }
}

/// What to do about a program that cannot be looked into.
pub(super) fn app_image_note(path: &ImagePath) -> Note {
    let text =
        format!("{path} is an AppImage: imgb does not look into it, and it needs FUSE to start");
    let name = String::from_utf8_lossy(path.file_name()).into_owned();
    Note::warning(text).about(path).with_hint(format!(
        "run `./{name} --appimage-extract` and pack what it unpacks: `imgb pack \
         ./squashfs-root:/opt/app --entrypoint /opt/app/AppRun`"
    ))
}

/// Looks into each file of `tree` that may be started or loaded: what is executable or named like a
/// library. The front of any other file is not read.
///
/// # Errors
/// [`ReadFailure`]
pub(super) fn find(tree: &Tree, view: &View<'_>) -> Result<Programs, ReadFailure> {
    let mut programs = Programs::default();
    for (path, node) in tree.iter().filter(|(path, node)| node.may_be_code(path)) {
        look(&mut programs, path, node, view)?;
    }
    Ok(programs)
}

fn look(
    programs: &mut Programs,
    path: &ImagePath,
    node: &Node,
    view: &View<'_>,
) -> Result<(), ReadFailure> {
    let Some(file) = node.file() else { return Ok(()) };
    // A file that this user may not read fails when it is packed, with a message of its own.
    let Ok(front) = view.head(file, script::FIRST_LINE)? else { return Ok(()) };
    match elf::sniff(&front) {
        Sniffed::Data => {}
        Sniffed::Script if node.meta.mode & 0o111 == 0 => {}
        Sniffed::Script => {
            programs.scripts.extend(script::shebang(&front).map(|line| (path.clone(), line)));
        }
        Sniffed::Elf => {
            // The AppImage specification, "Type 1/2 image format".
            if matches!(front.get(8..11), Some(b"AI\x01" | b"AI\x02")) {
                programs.app_images.push(path.clone());
            }
            let object = match view.find(path.as_bytes())? {
                Ok(found) => view.object(&found)?,
                Err(absence) => Err(absence.into()),
            };
            match object {
                Ok(object) => programs.objects.push((path.clone(), object)),
                Err(error) => programs.broken.push((path.clone(), error)),
            }
        }
    }
    Ok(())
}
