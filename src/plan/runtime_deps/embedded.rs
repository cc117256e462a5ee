//! Objects in archives inside the inputs' files → the libraries that they need, and the modules
//! that Python sources next to them import.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::Arc,
};

use super::{
    opens::{Mentions, Openings},
    owners::Owners,
    survey::{Survey, Surveyor, Window},
};
use crate::{
    elf::{self, Closure, Object, ReadAt, ReadFailure, Sniffed},
    embedded::{self, Member},
    languages::{
        Languages,
        python::{Depth, named},
    },
    path::{ImagePath, escape},
    plan::Note,
    rules::{Evidence, Facts, Mention},
    tree::{FileNode, Tree},
    view::View,
};

/// Bytes of one member that is looked at.
const MAX_MEMBER: u64 = 256 << 20;
/// Bytes of all members of one tree that are looked at.
const MAX_BYTES: u64 = 2 << 30;
/// Objects in one archive that are looked at.
const MAX_OBJECTS: usize = 10_000;
/// Programs of a tree after which an archive is looked for: in a larger tree, after none.
const MAX_PROGRAMS: usize = 64;
/// Archives inside archives.
const MAX_DEPTH: usize = 2;
/// Programs that may load an object of an archive.
const MAX_LOADERS: usize = 16;

/// An object in an archive.
#[derive(Debug)]
struct EmbeddedObject {
    /// Its path in the archive.
    member: Vec<u8>,
    /// Its machine (`e_machine`).
    arch: u16,
    /// What its dynamic section names.
    needed: Vec<Arc<[u8]>>,
}

/// What the archive inside one file holds.
#[derive(Debug, Default)]
pub(super) struct Contents<'t> {
    objects: Vec<EmbeddedObject>,
    /// File names and SONAMEs of its objects.
    provided: BTreeSet<Vec<u8>>,
    /// Names of modules that its Python sources import and that it does not hold.
    pub(super) imports: BTreeSet<Vec<u8>>,
    modules: BTreeSet<Vec<u8>>,
    /// What the objects say besides.
    pub(super) surveys: Vec<Survey<'t>>,
    bytes: u64,
}

/// The archives inside the files of a tree.
pub(super) type Archives<'t> = BTreeMap<ImagePath, Contents<'t>>;

/// Looks into the files of `tree` that are archives or may end with one.
///
/// # Errors
/// [`ReadFailure`]
pub(super) fn look<'t>(
    tree: &Tree,
    surveyor: &Surveyor<'t>,
    view: &View<'_>,
) -> Result<Archives<'t>, ReadFailure> {
    let languages = Languages::builtin();
    let files = || tree.iter().filter_map(|(path, node)| Some((path, node, node.file()?)));
    let is_archive = |path: &ImagePath| languages.is_archive(path.file_name());
    let programs =
        files().filter(|(path, node, _)| node.meta.mode & 0o111 != 0 && !is_archive(path));
    let programs: Vec<_> = programs.take(MAX_PROGRAMS + 1).collect();
    let programs = programs.iter().filter(|_| programs.len() <= MAX_PROGRAMS).copied();
    let mut found = Archives::new();
    let mut bytes = 0;
    for (path, _, file) in files().filter(|(path, ..)| is_archive(path)).chain(programs) {
        let mut contents = Contents { bytes, ..Contents::default() };
        contents.look(file, surveyor, view)?;
        bytes = contents.bytes;
        if !contents.objects.is_empty() || !contents.modules.is_empty() {
            let own = &contents.modules;
            contents.imports.retain(|name| !own.contains(name));
            found.insert(path.clone(), contents);
        }
    }
    Ok(found)
}

impl<'t> Contents<'t> {
    fn look(
        &mut self,
        file: &FileNode,
        surveyor: &Surveyor<'t>,
        view: &View<'_>,
    ) -> Result<(), ReadFailure> {
        let Ok(reader) = view.reader(file)? else { return Ok(()) };
        let mut window = Window::default();
        let _ = reader.parse(|len, read_at| {
            self.archive((len, read_at), &[], (surveyor, &mut window), 0)?;
            Ok(Ok(()))
        })?;
        Ok(())
    }

    /// Looks into the archive at the end of a file. `within` is the path of the file in the archive
    /// that holds it.
    fn archive(
        &mut self,
        (len, read_at): (u64, ReadAt<'_>),
        within: &[u8],
        (surveyor, window): (&Surveyor<'t>, &mut Window),
        depth: usize,
    ) -> io::Result<()> {
        let languages = Languages::builtin();
        for member in embedded::members(len, read_at)? {
            let file_name = member.name.rsplit(|&b| b == b'/').next().unwrap_or_default();
            self.modules.extend(module_names(&member.name));
            let is_archive = languages.is_archive(file_name) && depth < MAX_DEPTH;
            let is_source = file_name.ends_with(languages.python.source.as_bytes());
            let may_be_object = memchr::memmem::find(file_name, b".so").is_some();
            let is_large = member.cost() > MAX_MEMBER;
            let is_wanted = is_archive || is_source || may_be_object;
            if !is_wanted || is_large || self.is_full(&member) {
                continue;
            }
            // A damaged member costs as much as another one.
            self.bytes = self.bytes.saturating_add(member.cost());
            let Some(bytes) = member.read(MAX_MEMBER, read_at)? else { continue };
            let path = [within, &member.name[..]].concat();
            if is_source {
                let depth = if file_name == b"__main__.py" { Depth::All } else { Depth::Outer };
                self.imports.extend(named(&bytes, depth));
            } else if is_archive {
                let mut read = |at: u64, out: &mut [u8]| Ok(copy(&bytes, at, out));
                let within = [&path[..], b"!"].concat();
                let file = (bytes.len() as u64, &mut read as ReadAt<'_>);
                self.archive(file, &within, (surveyor, &mut *window), depth + 1)?;
            } else if elf::sniff(&bytes) == Sniffed::Elf {
                self.object(path, &bytes, surveyor, window)?;
            }
        }
        Ok(())
    }

    fn is_full(&self, member: &Member) -> bool {
        self.bytes.saturating_add(member.cost()) > MAX_BYTES || self.objects.len() >= MAX_OBJECTS
    }

    fn object(
        &mut self,
        member: Vec<u8>,
        bytes: &[u8],
        surveyor: &Surveyor<'t>,
        window: &mut Window,
    ) -> io::Result<()> {
        let len = bytes.len() as u64;
        let mut read_at = |at: u64, out: &mut [u8]| Ok(copy(bytes, at, out));
        let Ok(object) = Object::read(len, &mut read_at)? else { return Ok(()) };
        let file_name = member.rsplit(|&b| b == b'/').next().unwrap_or_default().to_vec();
        self.provided.extend(
            [Some(file_name), object.soname.as_ref().map(|name| name.to_vec())]
                .into_iter()
                .flatten(),
        );
        let needed: Vec<_> = object.needed().cloned().collect();
        let mut survey = Survey::default();
        let _ = surveyor.look((len, &mut read_at), (&[], &BTreeMap::new()), &mut survey, window)?;
        // The dynamic section's strings are among the constants.
        survey.hits.libraries.retain(|name| needed.iter().all(|needed| **needed != **name));
        self.objects.push(EmbeddedObject { member, arch: object.header.machine.arch, needed });
        self.surveys.push(survey);
        Ok(())
    }
}

/// Copies the bytes from `at` on to `out`, and returns their number.
fn copy(bytes: &[u8], at: u64, out: &mut [u8]) -> usize {
    let from = usize::try_from(at).ok().and_then(|at| bytes.get(at..)).unwrap_or_default();
    let count = from.len().min(out.len());
    for (to, byte) in out.iter_mut().zip(from) {
        *to = *byte;
    }
    count
}

/// The names under which Python may import a member: of each directory and file on its path, as
/// archives keep their modules in a directory of their own.
fn module_names(member: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    member.split(|&b| b == b'/').map(|part| {
        let end = memchr::memchr(b'.', part).unwrap_or(part.len());
        part.get(..end).unwrap_or_default().to_vec()
    })
}

/// Looks for the libraries that objects in `archives` need and that their archives do not hold, as
/// the programs of `closure` load them. Returns a note about those that are missing.
///
/// # Errors
/// [`ReadFailure`]
pub(super) fn resolve(
    archives: &Archives<'_>,
    openings: &mut Openings,
    (closure, search): (&Closure, &elf::LoaderOptions),
    (facts, owners, view): (&mut Facts, &mut Owners<'_>, &View<'_>),
) -> Result<Option<Note>, ReadFailure> {
    let loaded = closure.programs.iter().filter(|program| program.loader.is_some());
    let programs: Vec<_> = loaded.filter_map(|program| closure.files.get(program.file?)).collect();
    let mut mentions = Mentions::new();
    let mut needed = Vec::new();
    for (path, contents) in archives {
        for object in &contents.objects {
            let fits =
                programs.iter().filter(|file| file.object.header.machine.arch == object.arch);
            let fits: Vec<_> = fits.take(MAX_LOADERS).collect();
            let lacking =
                object.needed.iter().filter(|name| !contents.provided.contains(&name[..]));
            for name in lacking.filter(|_| !fits.is_empty()) {
                let evidence = Evidence::Embedded(object.member.clone().into(), (**name).into());
                let mention = Mention { by: path.clone(), evidence: evidence.into() };
                for file in &fits {
                    mentions
                        .entry((file.path.clone(), name.clone()))
                        .or_insert_with(|| mention.clone());
                }
                needed.push((name, path, object));
            }
        }
    }
    openings.resolve(mentions, closure, search, (facts, owners, view))?;
    let missing: Vec<_> =
        needed.into_iter().filter(|(name, ..)| !facts.embedded.contains_key(&name[..])).collect();
    let names: BTreeSet<_> = missing.iter().map(|(name, ..)| escape(name)).collect();
    let first = missing.first().map(|(_, path, object)| {
        let names = names.into_iter().collect::<Vec<_>>().join(", ");
        let text = format!(
            "libraries that objects inside archives need are missing: {names} (the first is needed \
             by {} in {path})",
            escape(&object.member)
        );
        Note::warning(text).about(path)
    });
    Ok(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Table;

    /// A ZIP archive of empty local files, where each member says that it has so many bytes. Those
    /// with more than 9 are damaged: the data of all is one stream of 9 bytes.
    fn zip(members: &[(&str, u32)]) -> Vec<u8> {
        let mut out = b"PK\x03\x04".to_vec();
        out.resize(30, 0);
        out.extend(b"import up");
        let (start, mut list) = (out.len() as u32, Vec::new());
        for (name, len) in members {
            list.extend(b"PK\x01\x02\x14\0\x14\0\0\0\0\0\0\0\0\0\0\0\0\0");
            list.extend([len.to_le_bytes(), len.to_le_bytes()].concat());
            list.extend((name.len() as u16).to_le_bytes());
            list.resize(list.len() + 16, 0);
            list.extend(name.as_bytes());
        }
        let len = list.len() as u32;
        out.extend([&list[..], b"PK\x05\x06\0\0\0\0\0\0\0\0"].concat());
        out.extend([len.to_le_bytes(), start.to_le_bytes(), [0; 4]].concat());
        out
    }

    fn imports(members: &[(&str, u32)]) -> usize {
        let (zip, table) = (zip(members), Table::builtin().unwrap());
        let surveyor = Surveyor::new(table.wanted(), crate::ownership::Names::default());
        let mut contents = Contents::default();
        let mut read_at = |at: u64, out: &mut [u8]| Ok(copy(&zip, at, out));
        let file = (zip.len() as u64, &mut read_at as ReadAt<'_>);
        contents.archive(file, &[], (&surveyor, &mut Window::default()), 0).unwrap();
        contents.imports.len()
    }

    #[test]
    fn damaged_members_count_toward_the_limit() {
        let few = (MAX_BYTES / MAX_MEMBER) as usize - 1;
        let damaged = ("x.py", MAX_MEMBER as u32);
        let of = |count: usize| [&vec![damaged; count][..], &[("y.py", 9)]].concat();
        assert_eq!(imports(&of(few)), 1);
        assert_eq!(imports(&of(few + 1)), 0);
    }
}
