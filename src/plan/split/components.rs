//! What the files of an image belong to.

use std::collections::{BTreeMap, BTreeSet};

use super::{chunks, common, language, records::Listed, sizes::LARGE};
use crate::{
    elf::ReadFailure,
    languages::Languages,
    packages::{Database, PackageId, Strength, dpkg},
    path::{ImagePath, escape},
    plan::{Reason, Reasons},
    tree::{Identity, Node, Sizes, Tree},
};

/// Bytes of a header in a tar. Content is filled up to a multiple of it.
const BLOCK: u64 = 512;
/// Packages that a name in a dependency may stand for: more of them tell nothing.
const MAX_PROVIDERS: usize = 100;

/// What a component is. The order is that of its layers, lowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Group {
    /// What images of different programs share.
    Common,
    /// A package of the system.
    System,
    /// A package of a language.
    Language,
    /// Files of no package.
    Files,
}

/// What changes together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Component {
    pub(super) group: Group,
    /// Its name, without a version.
    pub(super) name: String,
    /// Bytes of its files in a tar, those of hard links once: of many small files, most are
    /// headers and padding.
    pub(super) bytes: u64,
    /// How many packages with files in the image depend on its package.
    pub(super) dependents: u64,
}

/// The components of a tree.
#[derive(Debug, Default)]
pub(super) struct Components {
    pub(super) all: Vec<Component>,
    /// The component of each path in order; `None` for a directory with something in it.
    pub(super) of: Vec<Option<usize>>,
}

/// What tells which component a file belongs to.
pub(super) struct Evidence<'a> {
    database: Option<&'a Database>,
    reasons: Option<&'a Reasons>,
    /// What packages of languages list.
    listed: Listed,
    /// Packages of the database of which the tree has all that runs.
    whole: BTreeSet<PackageId>,
    /// [`Database::lists_directories`].
    lists_directories: bool,
}

/// Whether a package has the directory that was looked at last.
#[derive(Default)]
struct Directory {
    path: Vec<u8>,
    is_owned: bool,
}

/// Components while they are counted.
#[derive(Default)]
struct Numbers {
    known: BTreeMap<(Group, String), usize>,
    all: Vec<Component>,
    /// The packages that components are of.
    packages: BTreeMap<PackageId, BTreeSet<usize>>,
}

/// Files of no package between two boundaries.
struct Run {
    /// The path of the first.
    from: String,
    /// The component; `None` while it has no files.
    number: Option<usize>,
    /// That of the last path.
    directory: Directory,
}

impl Run {
    fn new(from: &ImagePath) -> Self {
        Self { from: from.to_string(), number: None, directory: Directory::default() }
    }
}

impl Numbers {
    fn of(&mut self, group: Group, name: String) -> usize {
        if let Some(known) = self.known.get(&(group, name.clone())) {
            return *known;
        }
        let number = self.all.len();
        self.all.push(Component { group, name: name.clone(), bytes: 0, dependents: 0 });
        self.known.insert((group, name), number);
        number
    }
}

impl<'a> Evidence<'a> {
    /// What `tree`, a database of packages and reasons tell.
    ///
    /// # Errors
    /// [`ReadFailure`] if a record cannot be read.
    pub(super) fn new(
        tree: &Tree,
        database: Option<&'a Database>,
        reasons: Option<&'a Reasons>,
    ) -> Result<Self, ReadFailure> {
        let listed = Listed::of(tree)?;
        let whole = database.map(|database| whole_packages(tree, database)).unwrap_or_default();
        let lists_directories = database.is_some_and(Database::lists_directories);
        Ok(Self { database, reasons, listed, whole, lists_directories })
    }

    /// The components of the tree, and which each path belongs to.
    pub(super) fn components(&self, tree: &Tree) -> Components {
        let mut numbers = Numbers::default();
        let mut links: BTreeMap<Identity, usize> = BTreeMap::new();
        let mut run = Run::new(&ImagePath::root());
        let mut of: Vec<Option<usize>> = Vec::with_capacity(tree.len());
        // Compiled modules, which go where their sources go.
        let mut compiled = Vec::new();
        for (at, (path, node)) in tree.iter().enumerate() {
            if node.is_directory() && tree.below(path).next().is_some() {
                of.push(None);
                continue;
            }
            let source = Languages::builtin().source(path.as_bytes());
            let source = source.and_then(|source| ImagePath::new(source).ok());
            let is_file = |at: &ImagePath| tree.get(at).is_some_and(|node| !node.is_directory());
            if let Some(source) = source.filter(is_file) {
                compiled.push((at, node, source));
                of.push(None);
                continue;
            }
            let number = self.number(path, node, &mut run, &mut numbers);
            of.push(Some(shared(node, number, &mut links)));
        }
        let sources: BTreeSet<&ImagePath> = compiled.iter().map(|(_, _, source)| source).collect();
        // Both are in order.
        let mut nodes = tree.iter().zip(&of);
        let of_sources: BTreeMap<&ImagePath, Option<usize>> = sources
            .into_iter()
            .filter_map(|source| nodes.find(|((path, _), _)| *path == source))
            .map(|((path, _), number)| (path, *number))
            .collect();
        for (at, node, source) in &compiled {
            if let (Some(place), Some(number)) = (of.get_mut(*at), of_sources.get(source)) {
                *place = number.map(|number| shared(node, number, &mut links));
            }
        }
        count_bytes(tree, &of, &mut numbers.all);
        self.count_dependents(&mut numbers);
        Components { all: numbers.all, of }
    }

    /// The component of one path. `run` is the one that it belongs to if no package has it.
    fn number(&self, path: &ImagePath, node: &Node, run: &mut Run, numbers: &mut Numbers) -> usize {
        let len = node.file().map_or(0, |file| file.len);
        let package = self.package(path, &mut run.directory);
        if common::is_common(path) {
            let name = package.map_or_else(|| common::name(path), |(_, name)| name);
            return numbers.of(Group::Common, name);
        }
        if let Some((package, name)) = package {
            let is_part = package.is_none_or(|id| !self.whole.contains(&id));
            let number = match len >= LARGE && is_part {
                // Programs take different files of a package: a large one is shared alone.
                true => numbers.of(Group::System, format!("{name}:{}", escape(path.file_name()))),
                false => numbers.of(Group::System, name),
            };
            if let Some(id) = package {
                numbers.packages.entry(id).or_default().insert(number);
            }
            return number;
        }
        let listed = self.listed.package(path).map(str::to_owned);
        if let Some(name) = listed.or_else(|| language::of_path(path.as_bytes())) {
            return numbers.of(Group::Language, name);
        }
        if len >= LARGE {
            return numbers.of(Group::Files, path.to_string());
        }
        if chunks::is_boundary(path.as_bytes(), len) {
            *run = Run { directory: std::mem::take(&mut run.directory), ..Run::new(path) };
        }
        let new = || numbers.of(Group::Files, format!("files from {}", run.from));
        *run.number.get_or_insert_with(new)
    }

    /// The package of the system that a path belongs to. `directory` is that of the path before.
    fn package(
        &self,
        path: &ImagePath,
        directory: &mut Directory,
    ) -> Option<(Option<PackageId>, String)> {
        if let Some(Reason::Package(record)) = self.reasons.and_then(|all| all.get(path)) {
            let name = record.package.split(' ').next().unwrap_or_default();
            let id = self.database.and_then(|all| all.find(name).next());
            return Some((id, escape(name.as_bytes())));
        }
        if let Some(name) = of_database(path) {
            return Some((None, name));
        }
        let database = self.database?;
        if self.lists_directories {
            let parent = path.parent_bytes()?;
            if directory.path != parent {
                // Lists begin with the root, by another name.
                let owned = |dir: &ImagePath| dir.is_root() || !database.owners(dir).is_empty();
                let is_owned = path.parent().is_some_and(|dir| owned(&dir));
                *directory = Directory { path: parent.to_vec(), is_owned };
            }
            if !directory.is_owned {
                return None;
            }
        }
        let id = database.owners(path).into_iter().next()?;
        Some((Some(id), escape(database.package(id)?.name.as_bytes())))
    }

    /// Counts, for each component, the packages of the image that depend on its package.
    fn count_dependents(&self, numbers: &mut Numbers) {
        let Some(database) = self.database else { return };
        let Numbers { packages, all, .. } = numbers;
        let mut dependents: BTreeMap<PackageId, u64> = BTreeMap::new();
        for id in packages.keys() {
            let Some(package) = database.package(*id) else { continue };
            let strong = package.dependencies.iter().filter(|dependency| {
                matches!(dependency.strength, Strength::PreDepends | Strength::Depends)
            });
            let names = strong.flat_map(|dependency| &dependency.alternatives);
            let names: BTreeSet<&str> = names.map(|name| &**name).collect();
            let found = names.into_iter().flat_map(|name| database.find(name).take(MAX_PROVIDERS));
            let needed: BTreeSet<PackageId> = found.filter(|other| other != id).collect();
            for other in needed {
                *dependents.entry(other).or_default() += 1;
            }
        }
        for (id, count) in dependents {
            for number in packages.get(&id).into_iter().flatten() {
                if let Some(component) = all.get_mut(*number) {
                    component.dependents += count;
                }
            }
        }
    }
}

fn count_bytes(tree: &Tree, of: &[Option<usize>], components: &mut [Component]) {
    let mut sizes = Sizes::default();
    for ((_, node), number) in tree.iter().zip(of) {
        let (Some(file), Some(number)) = (node.file(), number) else { continue };
        let is_new = sizes.is_new(file);
        if let Some(component) = components.get_mut(*number).filter(|_| is_new) {
            let content = file.len.checked_next_multiple_of(BLOCK).unwrap_or(u64::MAX);
            component.bytes = component.bytes.saturating_add(content).saturating_add(BLOCK);
        }
    }
}

/// The component of a file: of one with several names, that of the first.
fn shared(node: &Node, number: usize, links: &mut BTreeMap<Identity, usize>) -> usize {
    match node.file().filter(|file| file.shared) {
        Some(file) => *links.entry(file.content.identity()).or_insert(number),
        None => number,
    }
}

/// The package that a file of dpkg's database is about.
fn of_database(path: &ImagePath) -> Option<String> {
    let below = path.as_bytes().strip_prefix(dpkg::DIRECTORY.as_bytes())?;
    let name = match below.strip_prefix(b"/status.d/") {
        Some(name) => name.strip_suffix(b".md5sums").unwrap_or(name),
        None => {
            let name = below.strip_prefix(b"/info/")?;
            let dot = name.iter().rposition(|&byte| byte == b'.')?;
            name.get(..dot)?
        }
    };
    // `libc6:amd64`.
    let name = name.split(|&byte| byte == b':').next().filter(|name| !name.is_empty())?;
    Some(escape(name))
}

/// The packages of which `tree` has every file outside `/usr/share`, where documents are that
/// images leave out.
fn whole_packages(tree: &Tree, database: &Database) -> BTreeSet<PackageId> {
    let is_document = |path: &ImagePath| path.as_bytes().starts_with(b"/usr/share/");
    let is_whole = |id: &PackageId| {
        let mut files = database.files(*id).filter(|path| !path.is_root() && !is_document(path));
        files.all(|path| tree.step(&path).is_ok())
    };
    database.packages().map(|(id, _)| id).filter(is_whole).collect()
}
