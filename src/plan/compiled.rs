//! Compiled modules (`__pycache__`): those that are valid come along with their sources, and stay
//! valid, since a source gets the time that its compiled form records.
//!
//! That time is data of the compiled file. The time of the source where it comes from only says
//! whether the compiled file belongs to it: one that does not is never made valid.

use std::collections::{BTreeMap, BTreeSet};

use super::{PlanError, Reason, builder::ImageBuilder};
use crate::{
    elf::{Lookup as _, ReadFailure},
    languages::Languages,
    path::ImagePath,
    source::{self, content},
    timestamp::{Mtime, Timestamp},
    tree::{FileNode, Tree},
};

/// Bytes at the start of a compiled module (PEP 552): magic number, flags, and the time and the
/// length of the source, or its hash.
const HEAD: usize = 16;
/// The second half of every magic number.
const MAGIC_END: [u8; 2] = *b"\r\n";
/// The flag of a module that records a hash instead of a time.
const HASHED: u32 = 1;

/// How a compiled module is held against its source, in the integers of PEP 552.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Recorded {
    /// By the source's time in seconds and its length in bytes, each modulo 2^32.
    Time(u32, u32),
    /// By a hash of the source, or not at all.
    Hash,
}

impl Recorded {
    /// What the head of a compiled module says; `None` if it is another file.
    fn parse(head: &[u8]) -> Option<Self> {
        let (fields, _) = head.as_chunks::<4>();
        let [magic, flags, time, len] = fields.first_chunk()?;
        let number = |field: &[u8; 4]| u32::from_le_bytes(*field);
        match number(flags) {
            _ if !magic.ends_with(&MAGIC_END) => None,
            0 => Some(Self::Time(number(time), number(len))),
            flags if flags & HASHED != 0 => Some(Self::Hash),
            _ => None,
        }
    }

    /// The time that the source must have in the image, `None` for any; an error if the compiled
    /// module does not belong to `source`, or needs a time before [`Timestamp::EARLIEST`].
    fn time_of(self, source: &FileNode) -> Result<Option<Timestamp>, NotValid> {
        match self {
            Self::Hash => Ok(None),
            Self::Time(time, len) if (time, len) == (source.modified, source.len as u32) => {
                let time = Timestamp::from_seconds(time.into());
                time.filter(|time| *time >= Timestamp::EARLIEST).map(Some).ok_or(NotValid)
            }
            Self::Time(..) => Err(NotValid),
        }
    }
}

/// The compiled module would be compiled again.
struct NotValid;

fn source_path(compiled: &ImagePath) -> Option<ImagePath> {
    ImagePath::new(Languages::builtin().source(compiled.as_bytes())?).ok()
}

/// Adds the compiled modules of the sources that the sysroot gives, if they will be valid. Modules
/// that an interpreter uses only with options (`x.cpython-311.opt-1.pyc`) are left out.
///
/// # Errors
/// [`PlanError::Source`] if a file of the sysroot cannot be read.
pub(super) fn take(
    source: &source::InputOptions,
    builder: &mut ImageBuilder<'_>,
) -> Result<(), PlanError> {
    let directory = |path: &ImagePath| {
        let name = Languages::builtin().bytecode_directory(path.as_bytes())?;
        path.parent()?.child(name.as_bytes()).ok()
    };
    let dirs: BTreeSet<ImagePath> =
        builder.added.iter().filter_map(|(path, _)| directory(path)).collect();
    for dir in dirs.into_iter().filter(|dir| !source.excludes(dir)) {
        for name in builder.view.list(dir.as_bytes())?.unwrap_or_default() {
            if let Ok(path) = dir.child(&name) {
                take_one(path, source, builder)?;
            }
        }
    }
    Ok(())
}

fn take_one(
    path: ImagePath,
    options: &source::InputOptions,
    builder: &mut ImageBuilder<'_>,
) -> Result<(), PlanError> {
    let Some(of) = source_path(&path) else { return Ok(()) };
    let is_for_options = path.file_name().split(|&byte| byte == b'.').count() > 3;
    let Some(source) = builder.added.get(&of).and_then(|node| node.file()) else { return Ok(()) };
    if is_for_options || builder.has(&path) || options.excludes(&path) {
        return Ok(());
    }
    let Ok(Some(node)) = builder.view.node(&path)? else { return Ok(()) };
    if node.file().is_none() || node.meta.mode & 0o004 == 0 {
        return Ok(());
    }
    let Ok(found) = builder.view.find(path.as_bytes())? else { return Ok(()) };
    let head = builder.view.read(&found, HEAD)?.unwrap_or_default();
    let time = match Recorded::parse(&head).map(|recorded| recorded.time_of(source)) {
        Some(Ok(time)) => time,
        Some(Err(NotValid)) | None => return Ok(()),
    };
    let is_valid = match options.mtime {
        Mtime::OfContent => true,
        Mtime::At(set) => time.is_none_or(|time| time == set),
    };
    if is_valid {
        builder.add(&path, Reason::Compiled(of))?;
    }
    Ok(())
}

/// Gives the sources in `tree` the times that their valid compiled modules record, all names of
/// one inode the same. Does nothing where the user has set the time of all files.
///
/// # Errors
/// [`ReadFailure`]
pub fn set_times(tree: &mut Tree, mtime: Mtime) -> Result<(), ReadFailure> {
    if mtime != Mtime::OfContent {
        return Ok(());
    }
    let mut times = BTreeMap::new();
    for (path, node) in tree.iter() {
        if let Some(of) = source_path(path)
            && let (Some(compiled), Some(source)) = (node.file(), tree.get(&of))
            && let Some(source) = source.file()
            && let Ok(head) = content::head(compiled, HEAD)?
            && let Some(recorded) = Recorded::parse(&head)
            && let Ok(Some(time)) = recorded.time_of(source)
        {
            times.insert(source.content.identity(), time);
        }
    }
    if !times.is_empty() {
        for (_, node) in tree.iter_mut() {
            let time = node.file().and_then(|file| times.get(&file.content.identity()));
            node.meta.mtime = time.copied().map_or(node.meta.mtime, Mtime::At);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{Kind, Node};

    /// The head of a compiled module.
    fn head(flags: u32, time: u32, len: u32) -> Vec<u8> {
        let numbers = [flags, time, len].map(u32::to_le_bytes).concat();
        [&b"\xa7\x0d\r\n"[..], &numbers, b"code"].concat()
    }

    fn source(modified: u32) -> Node {
        let mut node = Node::inline(0o644, *b"x = 1\n");
        let Kind::File(file) = &mut node.kind else { unreachable!() };
        file.modified = modified;
        node
    }

    /// The time that a source gets which has this compiled form.
    fn time(modified: u32, head: Vec<u8>) -> Mtime {
        let path = |text| ImagePath::new(text).unwrap();
        let mut tree: Tree = [
            (path("/m.py"), source(modified)),
            (path("/__pycache__/m.cpython-311.pyc"), Node::inline(0o644, head)),
            (path("/n.py"), source(modified)),
        ]
        .into_iter()
        .collect();
        set_times(&mut tree, Mtime::OfContent).unwrap();
        assert_eq!(tree.get(&path("/n.py")).unwrap().meta.mtime, Mtime::OfContent);
        tree.get(&path("/m.py")).unwrap().meta.mtime
    }

    #[test]
    fn a_source_gets_the_time_that_its_compiled_form_records() {
        let t = 1_700_000_000;
        let set = Mtime::At(Timestamp::from_seconds(t.into()).unwrap());
        assert_eq!(time(t, head(0, t, 6)), set);
        for (modified, head, what) in [
            (t + 1, head(0, t, 6), "a source that was changed, of the same size"),
            (t, head(0, t, 7), "another length"),
            (1, head(0, 1, 6), "before 1980"),
            (t, head(1, t, 6), "an unchecked hash"),
            (t, head(3, t, 6), "a checked hash"),
            (t, head(4, t, 6), "an unknown flag"),
            (t, head(0, t, 6)[..15].to_vec(), "too short"),
            (t, [b"\0\0\0\0", &head(0, t, 6)[4..]].concat(), "no magic number"),
        ] {
            assert_eq!(time(modified, head), Mtime::OfContent, "{what}");
        }
    }

    #[test]
    fn times_after_2106_are_compared_modulo_2_to_32() {
        let t = 400_000_000;
        let set = Mtime::At(Timestamp::from_seconds(t.into()).unwrap());
        // As the source of 2118 would record it.
        assert_eq!(time(((1_u64 << 32) + u64::from(t)) as u32, head(0, t, 6)), set);
    }
}
