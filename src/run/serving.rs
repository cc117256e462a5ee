//! Serves what a watched program's image lacks from the sysroot, while the program runs: each file
//! is put into the image's copy just before the system call that asks for it.
//!
//! This is the caller's side, outside of the sandbox. Paths are the program's; what they lead to in
//! the sysroot is resolved inside of the sysroot, and in the copy inside of the copy.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::Path,
};

use super::{
    image_copy::{FileKey, ImageCopy},
    serving_channel::{Answers, Pipes},
    serving_source::{Refusal, Serving, ServingSource},
};
use crate::{
    elf::Found,
    path::ImagePath,
    trace::{self, Access, Call, Served, Withheld},
    tree::{Kind, Node, Tree},
};

/// Bytes and files that are served at most.
const MAX_BYTES: u64 = 16 << 30;
const MAX_FILES: u64 = 1 << 17;
/// Names in one directory that are served at most.
const MAX_NAMES: usize = 1 << 14;
/// Scripts whose interpreters are scripts (the kernel's `BINPRM_MAX_RECURSION` is 4).
const MAX_SCRIPTS: usize = 5;

/// Where the copy of an image is.
pub(super) struct CopyDirs<'a> {
    pub(super) root: &'a Path,
    /// A directory of the same file system, which the program cannot reach.
    pub(super) private: &'a Path,
    pub(super) owner: Option<(u32, u32)>,
}

/// Calls `work`, and serves files of `serving` to the copy of `tree` meanwhile.
pub(super) fn during<T>(
    serving: Serving<'_>,
    tree: &Tree,
    dirs: &CopyDirs<'_>,
    work: impl FnOnce(Pipes) -> T,
) -> io::Result<(T, Served)> {
    let copy = ImageCopy::open(dirs.root, dirs.private, dirs.owner)?;
    let (answers, keep_open, pipes) = Answers::new(dirs.private, dirs.owner)?;
    std::thread::scope(|scope| {
        let serve = move || {
            let mut server = Server::new(serving, tree, copy);
            answers.serve(|call, path| server.serve(path, call));
            server.served
        };
        let server = std::thread::Builder::new().spawn_scoped(scope, serve)?;
        let done = work(pipes);
        drop(keep_open);
        let served = server.join().map_err(|_| io::Error::other("the server has failed"))?;
        Ok((done, served))
    })
}

struct Server<'a> {
    source: ServingSource<'a>,
    copy: ImageCopy,
    /// Files that were added without their content because their directory was listed.
    placeholders: BTreeMap<FileKey, ImagePath>,
    /// Links that were added because their directory was listed.
    listed_links: BTreeSet<ImagePath>,
    /// What was put: if it is missing again, the program has removed it.
    put: BTreeSet<ImagePath>,
    bytes_left: u64,
    files_left: u64,
    served: Served,
}

impl<'a> Server<'a> {
    fn new(serving: Serving<'a>, tree: &'a Tree, copy: ImageCopy) -> Self {
        let (bytes_left, files_left) = copy.room(MAX_BYTES, MAX_FILES);
        Self {
            source: ServingSource::new(serving, tree),
            copy,
            placeholders: BTreeMap::new(),
            listed_links: BTreeSet::new(),
            put: BTreeSet::new(),
            bytes_left,
            files_left,
            served: Served::default(),
        }
    }

    /// Serves `path` for a call; tells whether the image lacked it.
    fn serve(&mut self, path: &[u8], call: Call) -> bool {
        if !trace::is_served_from_sysroot(path) {
            return false;
        }
        let done = match call {
            Call::List => self.list(path),
            _ => self.put(path, call),
        };
        if call == Call::Execute {
            self.put_interpreters(path);
        }
        self.note(path, done)
    }

    /// Remembers why nothing was put at `path`.
    fn note(&mut self, path: &[u8], done: Result<bool, Refusal>) -> bool {
        let withheld = match done {
            Ok(is_served) => return is_served,
            Err(Refusal::Withheld(withheld)) => withheld,
            Err(Refusal::Failed(failure)) => Withheld::Failed(failure.source.to_string()),
        };
        self.served.withheld.insert(path.to_vec(), withheld);
        false
    }

    fn put(&mut self, path: &[u8], call: Call) -> Result<bool, Refusal> {
        if let Some(key) = self.copy.find(path) {
            let placeholder = self.placeholders.get(&key).filter(|_| call != Call::Look).cloned();
            return match placeholder {
                Some(at) => self.fill(path, &at, key),
                None => self.uses_listed_link(path),
            };
        }
        // What the image has, the program has removed; what is compiled, it compiles again.
        if self.source.leads_to_own(path) || self.source.has_source(path)? {
            return Ok(false);
        }
        let Some(found) = self.source.find(path)? else { return Ok(false) };
        let node = self.source.node(&found.path)?.ok_or(Withheld::Private)?;
        let asked = ImagePath::new(path).unwrap_or_else(|_| found.path.clone());
        let names: Vec<_> = found.links.iter().chain([&asked]).collect();
        self.source.check(&found.path, &names, &node)?;
        let is_own = self.source.is_own(&found.path);
        if is_own && !self.copy.has(&found.path) {
            return Ok(false);
        }
        self.put_way(&found)?;
        if !is_own && self.put.insert(found.path.clone()) {
            match &node.kind {
                Kind::File(file) => {
                    self.take(file.len)?;
                    self.copy.add_file(&found.path, (&node, file))?;
                }
                _ => {
                    self.take(0)?;
                    self.copy.add_directory(&found.path).map_err(io::Error::from)?;
                }
            }
        }
        Ok(self.copy.find(path).is_some())
    }

    /// Whether `path` leads to something in the copy by a link that came with a listing.
    fn uses_listed_link(&self, path: &[u8]) -> Result<bool, Refusal> {
        if self.listed_links.is_empty() {
            return Ok(false);
        }
        let found = self.source.find(path)?;
        Ok(found
            .is_some_and(|found| found.links.iter().any(|link| self.listed_links.contains(link))))
    }

    /// Puts the links and directories on the way to a file.
    fn put_way(&mut self, found: &Found) -> Result<(), Refusal> {
        for link in &found.links {
            if !self.source.is_own(link)
                && let Some(Node { kind: Kind::Symlink(target), .. }) = self.source.node(link)?
                && self.put.insert(link.clone())
            {
                self.take(0)?;
                // The program may have something there.
                let _ = self.copy.add_link(link, &target);
            }
        }
        for dir in &found.dotdot_dirs {
            self.take(0)?;
            self.copy.add_directory(dir).map_err(io::Error::from)?;
        }
        Ok(())
    }

    /// Gives the placeholder of `at`, to which `path` leads, its content.
    fn fill(&mut self, path: &[u8], at: &ImagePath, key: FileKey) -> Result<bool, Refusal> {
        self.placeholders.remove(&key);
        let Some(node) = self.source.node(at)? else { return Ok(false) };
        let Kind::File(file) = &node.kind else { return Ok(false) };
        self.take(file.len)?;
        self.copy.fill(path, file, key)?;
        Ok(true)
    }

    /// Adds the names that the sysroot has in a directory and the copy lacks: files without their
    /// content, which follows when they are opened.
    fn list(&mut self, path: &[u8]) -> Result<bool, Refusal> {
        let Some(found) = self.source.find(path)? else { return Ok(false) };
        let Some(names) = self.source.names(&found)? else { return Ok(false) };
        if names.len() > MAX_NAMES {
            return Err(Withheld::Limit.into());
        }
        let mut files = Vec::new();
        for name in names {
            let Ok(at) = found.path.child(&name) else { continue };
            let is_there = self.copy.has(&at) || self.source.is_own(&at) || self.put.contains(&at);
            if is_there || !trace::is_served_from_sysroot(at.as_bytes()) {
                continue;
            }
            match self.add_name(&at)? {
                Some(len) => files.push((name, len)),
                None => continue,
            }
        }
        let is_served = !files.is_empty();
        if is_served {
            self.served.listed.insert(path.to_vec(), files);
        }
        Ok(is_served)
    }

    /// Adds one name of a listed directory. Returns the length of a regular file, or of the one to
    /// which a link leads.
    fn add_name(&mut self, at: &ImagePath) -> Result<Option<u64>, Refusal> {
        let Some(node) = self.source.node(at)? else { return Ok(None) };
        if self.source.check(at, &[], &node).is_err() || self.source.has_source(at.as_bytes())? {
            return Ok(None);
        }
        self.take(0)?;
        self.put.insert(at.clone());
        match &node.kind {
            Kind::Directory => self.copy.add_directory(at).map_err(io::Error::from)?,
            Kind::Symlink(target) => {
                self.copy.add_link(at, target).map_err(io::Error::from)?;
                self.listed_links.insert(at.clone());
                return self.file_behind(at);
            }
            Kind::File(file) => {
                let key = self.copy.add_placeholder(at, (&node, file))?;
                self.placeholders.insert(key, at.clone());
                return Ok(Some(file.len));
            }
            Kind::Special(_) => {}
        }
        Ok(None)
    }

    /// The length of the regular file that a link leads to and that may be served.
    fn file_behind(&self, link: &ImagePath) -> Result<Option<u64>, Refusal> {
        let Some(found) = self.source.find(link.as_bytes())? else { return Ok(None) };
        let Some(node) = self.source.node(&found.path)? else { return Ok(None) };
        let may_be_served = self.source.check(&found.path, &[link], &node).is_ok();
        Ok(node.file().filter(|_| may_be_served).map(|file| file.len))
    }

    /// Serves what the kernel needs to start `path`: its loader, or its interpreter and what that
    /// needs.
    fn put_interpreters(&mut self, path: &[u8]) {
        let mut path = path.to_vec();
        for _ in 0..MAX_SCRIPTS {
            let Ok(Some(interpreter)) = self.source.interpreter(&path) else { break };
            let done = self.put(&interpreter, Call::Execute);
            if self.note(&interpreter, done) {
                let by = crate::path::escape(&path);
                let (path, call) = (interpreter.clone(), Call::Execute);
                self.served.interpreters.push(Access { path, call, found: false, by });
            }
            path = interpreter;
        }
    }

    /// Takes a file of `len` bytes off what may be served.
    fn take(&mut self, len: u64) -> Result<(), Refusal> {
        let left = (self.bytes_left.checked_sub(len), self.files_left.checked_sub(1));
        let (Some(bytes), Some(files)) = left else { return Err(Withheld::Limit.into()) };
        (self.bytes_left, self.files_left) = (bytes, files);
        Ok(())
    }
}
