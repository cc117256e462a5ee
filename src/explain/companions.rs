//! What the rules leave out and still belongs to what an image's programs need.

use std::collections::BTreeSet;

use crate::{
    elf::ReadFailure,
    packages::dpkg,
    path::ImagePath,
    plan::{Reason, Reasons},
    tree::{Kind, Node, Tree},
    view::View,
};

/// Where programs keep what they write (hier(7)).
const STATE: [&[u8]; 3] = [b"/var/", b"/srv/", b"/run/"];
/// Bytes of a program or of its configuration that are read.
const MAX_FILE: usize = 16 << 20;
/// Bytes of all of them.
const MAX_BYTES: usize = 512 << 20;

/// Paths of `files` that are not `reached` and belong to one that is, with their reasons:
/// links to it, what the loader reads, what a program keeps, and what tells of packages that list
/// no file. `reasons` are those of `reached`.
///
/// # Errors
/// [`ReadFailure`]
pub(super) fn of(
    files: &Tree,
    reached: &Tree,
    reasons: &Reasons,
) -> Result<Vec<(ImagePath, Reason)>, ReadFailure> {
    let known = Known { files, reached, view: View::of_sysroot(files) };
    let mut found = known.links();
    known.of_loaders(reasons, &mut found)?;
    known.state(&mut found)?;
    known.records(&mut found)?;
    Ok(found)
}

struct Known<'a> {
    files: &'a Tree,
    reached: &'a Tree,
    view: View<'a>,
}

impl Known<'_> {
    /// Whether the image has a file or link at `path` that is not reached.
    fn is_left(&self, path: &ImagePath) -> bool {
        !self.reached.contains(path)
            && self.files.get(path).is_some_and(|node| !node.is_directory())
    }

    /// Links that lead to what is reached.
    fn links(&self) -> Vec<(ImagePath, Reason)> {
        let is_link = |node: &Node| matches!(node.kind, Kind::Symlink(_));
        let left = self.files.iter().filter(|(path, node)| is_link(node) && self.is_left(path));
        let found = left.filter_map(|(path, _)| {
            let to = self.files.resolve(path.as_bytes()).ok()?;
            self.reached.contains(&to.path).then(|| (path.clone(), Reason::Link(to.path)))
        });
        found.collect()
    }

    /// The files in `/etc` that a loader has the paths of: its cache or list of directories.
    fn of_loaders(
        &self,
        reasons: &Reasons,
        found: &mut Vec<(ImagePath, Reason)>,
    ) -> Result<(), ReadFailure> {
        let is_loader = |reason: &Reason| matches!(reason, Reason::Loader(_));
        let paths_of = self.reached.iter().map(|(path, _)| path);
        let loaders = paths_of.filter(|path| reasons.causes(path).any(is_loader));
        let real = loaders.filter_map(|path| Some(self.files.resolve(path.as_bytes()).ok()?.path));
        for loader in real.collect::<BTreeSet<_>>() {
            let Some(file) = self.files.get(&loader).and_then(Node::file) else { continue };
            let bytes = self.view.head(file, MAX_FILE)?.unwrap_or_default();
            let named = paths(&bytes, &[b"/etc/"]).filter(|named| self.is_left(named));
            found.extend(named.map(|named| (named, Reason::Named(loader.clone()))));
        }
        Ok(())
    }

    /// Files of no package among the state of programs, whose paths a program or a file in `/etc`
    /// has: logs, sockets, data.
    fn state(&self, found: &mut Vec<(ImagePath, Reason)>) -> Result<(), ReadFailure> {
        let database = self.view.packages()?;
        let is_state = |path: &ImagePath| STATE.iter().any(|dir| path.as_bytes().starts_with(dir));
        let is_packaged = |path| database.is_some_and(|known| !known.owners(path).is_empty());
        let left: BTreeSet<&ImagePath> = self
            .files
            .iter()
            .map(|(path, _)| path)
            .filter(|path| is_state(path) && self.is_left(path) && !is_packaged(path))
            .collect();
        if left.is_empty() {
            return Ok(());
        }
        let mut budget = MAX_BYTES;
        for (path, node) in self.reached {
            let is_read = node.is_executable() || path.as_bytes().starts_with(b"/etc/");
            let Some(file) = node.file().filter(|_| is_read) else { continue };
            let limit = MAX_FILE.min(budget);
            let bytes = self.view.head(file, limit)?.unwrap_or_default();
            budget -= bytes.len().min(budget);
            let named = paths(&bytes, &STATE).filter(|named| left.contains(named));
            found.extend(named.map(|named| (named, Reason::Named(path.clone()))));
        }
        Ok(())
    }

    /// What tells of packages that list no file, since checksums leave out links.
    fn records(&self, found: &mut Vec<(ImagePath, Reason)>) -> Result<(), ReadFailure> {
        let Some(database) = self.view.packages()? else { return Ok(()) };
        let is_file =
            |path: &ImagePath| self.files.get(path).is_some_and(|node| !node.is_directory());
        let lists_nothing = |id| !database.files(id).any(|path| is_file(&path));
        for (_, package) in database.packages().filter(|(id, _)| lists_nothing(*id)) {
            let record = format!("{}/{}", dpkg::STATUS_DIRECTORY, package.name);
            let Ok(record) = ImagePath::new(record.as_bytes()) else { continue };
            if !self.files.contains(&record) {
                continue;
            }
            let sums = ImagePath::new([record.as_bytes(), b".md5sums"].concat()).ok();
            let all = [record].into_iter().chain(sums).chain(package.licences.iter().cloned());
            for path in all.filter(|path| self.is_left(path)) {
                let why = "what tells of a package that lists no file";
                found.push((path, Reason::Included(why.into())));
            }
        }
        Ok(())
    }
}

/// The absolute paths in `bytes` that begin with one of `roots`.
fn paths<'b>(bytes: &'b [u8], roots: &'b [&[u8]]) -> impl Iterator<Item = ImagePath> + 'b {
    let starts = roots.iter().flat_map(|root| memchr::memmem::find_iter(bytes, root));
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-+@:".contains(byte);
    let is_whole = move |start: &usize| {
        let before = start.checked_sub(1).and_then(|at| bytes.get(at));
        !before.is_some_and(is_part)
    };
    let path = move |start: usize| {
        let rest = bytes.get(start..).unwrap_or_default();
        let end = rest.iter().position(|byte| !is_part(byte)).unwrap_or(rest.len());
        ImagePath::new(rest.get(..end)?).ok()
    };
    starts.filter(is_whole).filter_map(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> ImagePath {
        ImagePath::new(text).unwrap()
    }

    #[test]
    fn whole_paths_are_found_in_bytes() {
        let bytes = b"\0/var/log/a.log\0x/var/no\0\"/srv/b c;log /run/d;/etc/e";
        let found: Vec<String> = paths(bytes, &STATE).map(|path| path.to_string()).collect();
        assert_eq!(found, ["/var/log/a.log", "/srv/b", "/run/d"]);
    }

    #[test]
    fn loaders_read_their_cache_and_programs_keep_their_state() {
        let program = |text: &str| Node::inline(0o755, text.as_bytes());
        let file = |text: &str| Node::inline(0o644, text.as_bytes());
        let files = Tree::from_iter([
            (path("/app"), program("\0/var/log/app.log\0")),
            (path("/ld.so"), program("\0/etc/ld.so.cache\0/etc/passwd-\0")),
            (path("/etc/app.conf"), file("store /srv/store;\n")),
            (path("/etc/ld.so.cache"), file("x")),
            (path("/etc/other"), file("x")),
            (path("/link"), Node::symlink(*b"app")),
            (path("/srv/store"), file("x")),
            (path("/var/log/app.log"), file("x")),
            (path("/var/log/other.log"), file("x")),
        ]);
        let mut reached = files.clone();
        reached.retain(|path, _| {
            ["/app", "/ld.so", "/etc/app.conf"].iter().any(|kept| path.to_string() == *kept)
        });
        let mut reasons = Reasons::new();
        reasons.add(path("/ld.so"), Reason::Loader(path("/app")));
        let found = of(&files, &reached, &reasons).unwrap();
        let found: Vec<_> =
            found.iter().map(|(path, why)| format!("{path} {}", why.text(&[]))).collect();
        let wanted = [
            "/link link to /app",
            "/etc/ld.so.cache named by /ld.so",
            "/var/log/app.log named by /app",
            "/srv/store named by /etc/app.conf",
        ];
        assert_eq!(found, wanted);
    }
}
