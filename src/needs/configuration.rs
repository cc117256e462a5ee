//! What the configuration in an image names: files that the author of the image put there, what a
//! server has in the directories that it serves, and programs that it starts.

use std::collections::{BTreeMap, BTreeSet};

use super::mentions::{self, is_own};
use crate::{
    elf::{Lookup as _, ReadFailure, script},
    image::Config,
    machine_files,
    packages::PackageId,
    path::ImagePath,
    plan::Include,
    tree::{Node, Tree},
    view::View,
};

/// Bytes of a file that are read.
const MAX_TEXT: usize = 256 << 10;
/// Files that are read.
const MAX_FILES: usize = 4096;
/// Paths that are looked up.
const MAX_LOOKUPS: usize = 1 << 20;
/// Where configuration is.
const DIRS: [&[u8]; 2] = [b"/etc/", b"/usr/local/etc/"];
/// What runs a command.
const SHELL: &[u8] = b"/bin/sh";
/// Where servers have what they serve and keep.
const STATE: [&[u8]; 2] = [b"/var/", b"/srv/"];

/// Reads the configuration of an image.
#[derive(Debug)]
pub(super) struct Configuration<'a> {
    files: &'a Tree,
    /// Shows the image's files.
    of_image: &'a View<'a>,
    /// Shows its packages.
    view: &'a View<'a>,
    /// The real paths of its volumes.
    volumes: BTreeSet<ImagePath>,
    /// Files that were read.
    seen: BTreeSet<ImagePath>,
    /// Executable files that were read, and whether each is a script.
    executables: BTreeMap<ImagePath, bool>,
    /// Directories whose contents were looked through: any number of files may name a large one.
    walked: BTreeSet<ImagePath>,
    /// How many more paths are looked up.
    lookups: usize,
}

/// What configuration names.
#[derive(Debug, Default)]
pub(super) struct Named {
    pub(super) include: Vec<Include>,
    /// Programs, and what names each.
    pub(super) programs: BTreeMap<ImagePath, String>,
}

impl Named {
    pub(super) fn is_empty(&self) -> bool {
        self.include.is_empty() && self.programs.is_empty()
    }
}

impl<'a> Configuration<'a> {
    /// That of `files`, which `of_image` shows as they are and `view` with their packages.
    ///
    /// # Errors
    /// [`ReadFailure`]
    pub(super) fn of(
        files: &'a Tree,
        config: &Config,
        (of_image, view): (&'a View<'a>, &'a View<'a>),
    ) -> Result<Self, ReadFailure> {
        let (seen, walked, mut volumes) = Default::default();
        let all: &mut BTreeSet<ImagePath> = &mut volumes;
        for volume in &config.volumes {
            all.extend(of_image.resolve(volume.as_bytes())?.map(|resolved| resolved.path));
        }
        let (executables, lookups) = (BTreeMap::new(), MAX_LOOKUPS);
        Ok(Self { files, of_image, view, volumes, seen, executables, walked, lookups })
    }

    /// What the configuration in `tree`, a part of the image, names and `tree` does not have. Files
    /// that a call before read are left out.
    ///
    /// # Errors
    /// [`ReadFailure`]
    pub(super) fn named(&mut self, tree: &Tree) -> Result<Named, ReadFailure> {
        let mut named = Named::default();
        for (file, _) in tree.iter().filter(|(path, node)| is_configuration(path, node)) {
            if self.seen.len() >= MAX_FILES || !self.seen.insert(file.clone()) {
                continue;
            }
            let text = self.text(file)?;
            if text.contains(&0) {
                continue;
            }
            for path in mentions::paths(&without_comments(&text)) {
                self.take((file, &path), tree, &mut named)?;
            }
        }
        Ok(named)
    }

    /// Takes what `path`, a word of the configuration `file`, leads to.
    fn take(
        &mut self,
        (file, path): (&ImagePath, &ImagePath),
        tree: &Tree,
        named: &mut Named,
    ) -> Result<(), ReadFailure> {
        self.lookups = self.lookups.saturating_sub(1);
        if self.lookups == 0 {
            return Ok(());
        }
        let Ok(resolved) = self.of_image.resolve(path.as_bytes())? else { return Ok(()) };
        let real = &resolved.path;
        let is_of_system = mentions::is_shared(real) || real.is_root();
        if is_of_system || self.is_data(real) || machine_files::is_generated(real.as_bytes()) {
            return Ok(());
        }
        if resolved.is_directory {
            return self.take_directory(file, (path, real), tree, named);
        }
        let is_own = is_own(real, self.of_image, self.view)?;
        if !is_own && !self.belong_together(file, real)? {
            return Ok(());
        }
        let is_executable = self.files.get(real).is_some_and(Node::is_executable);
        // Any number of links may name one script: its text is looked through once.
        let known = self.executables.get(real).copied();
        let reads = is_executable && known.is_none() && self.executables.len() < MAX_FILES;
        let text = if reads { self.text(real)? } else { Vec::new() };
        let is_script = known.unwrap_or_else(|| script::shebang(&text).is_some());
        if reads {
            self.executables.insert(real.clone(), is_script);
        }
        if is_executable && (is_script || !tree.contains(real)) {
            named.programs.insert(path.clone(), format!("{path} (named by {file})"));
            self.take_shell(path, tree, named)?;
        } else if !tree.contains(real) {
            named.include.extend(Include::named_by(path.as_bytes(), file.clone()));
        }
        // What it reads to tell the server its configuration.
        for path in mentions::paths(if is_script { &text } else { b"" }) {
            self.lookups = self.lookups.saturating_sub(1);
            if self.lookups == 0 {
                break;
            }
            let Ok(resolved) = self.of_image.resolve(path.as_bytes())? else { continue };
            let node = self.files.get(&resolved.path);
            let is_data = node.is_some_and(|node| node.file().is_some() && !node.is_executable());
            if is_data && !tree.contains(&resolved.path) {
                named.include.extend(Include::named_by(path.as_bytes(), real.clone()));
            }
        }
        Ok(())
    }

    /// Takes the shell: servers have it run the commands in their configuration.
    fn take_shell(
        &self,
        command: &ImagePath,
        tree: &Tree,
        named: &mut Named,
    ) -> Result<(), ReadFailure> {
        let Ok(shell) = self.of_image.resolve(SHELL)? else { return Ok(()) };
        if let (false, Ok(path)) = (tree.contains(&shell.path), ImagePath::new(SHELL)) {
            named.programs.entry(path).or_insert_with(|| format!("/bin/sh (may run {command})"));
        }
        Ok(())
    }

    /// Takes what the author of the image put into a directory: the whole, or, where a package has
    /// a directory for what a server has, what no package owns.
    fn take_directory(
        &mut self,
        file: &ImagePath,
        (path, real): (&ImagePath, &ImagePath),
        tree: &Tree,
        named: &mut Named,
    ) -> Result<(), ReadFailure> {
        let is_walked = real.ancestors().any(|dir| self.walked.contains(&dir));
        if is_walked || !self.walked.insert(real.clone()) {
            return Ok(());
        }
        if is_own(real, self.of_image, self.view)? {
            let mut below = self.files.below(real);
            if !tree.contains(real) || below.any(|(path, _)| !tree.contains(path)) {
                named.include.extend(Include::named_by(path.as_bytes(), file.clone()));
            }
            return Ok(());
        }
        for (below, node) in self.files.below(real).filter(|(path, _)| is_served(path)) {
            let is_new = !node.is_directory() && !tree.contains(below) && !self.is_data(below);
            if is_new && self.owners(below)?.is_empty() {
                named.include.extend(Include::named_by(below.as_bytes(), file.clone()));
            }
        }
        Ok(())
    }

    /// The beginning of a file.
    fn text(&self, path: &ImagePath) -> Result<Vec<u8>, ReadFailure> {
        let Ok(found) = self.of_image.find(path.as_bytes())? else { return Ok(Vec::new()) };
        Ok(self.of_image.read(&found, MAX_TEXT)?.unwrap_or_default())
    }

    /// Whether what is at a real path is what programs write: a volume's, or a log.
    fn is_data(&self, path: &ImagePath) -> bool {
        self.volumes.contains(path)
            || path.ancestors().any(|dir| self.volumes.contains(&dir))
            || machine_files::is_state(path.as_bytes())
    }

    fn owners(&self, path: &ImagePath) -> Result<Vec<PackageId>, ReadFailure> {
        Ok(self.view.packages()?.map(|all| all.owners(path)).unwrap_or_default())
    }

    /// Whether a file that a package owns is meant by configuration that names it: it is of the
    /// same package or source, or the author of the image wrote the configuration.
    fn belong_together(&self, file: &ImagePath, named: &ImagePath) -> Result<bool, ReadFailure> {
        let Some(database) = self.view.packages()? else { return Ok(true) };
        Ok(database.owners(file).is_empty() || database.are_of_one_source(file, named))
    }
}

/// Whether a file configures programs.
fn is_configuration(path: &ImagePath, node: &Node) -> bool {
    node.file().is_some()
        && DIRS.iter().any(|dir| path.as_bytes().starts_with(dir))
        && !path.file_name().starts_with(b"README")
        && !is_of_machine(path)
}

/// Whether a file describes a machine and its users: it configures no program.
fn is_of_machine(path: &ImagePath) -> bool {
    machine_files::patterns().any(|pattern| {
        let front = pattern.split(['*', '[']).next().unwrap_or_default();
        path.as_bytes().starts_with(front.as_bytes())
    })
}

fn is_served(path: &ImagePath) -> bool {
    STATE.iter().any(|dir| path.as_bytes().starts_with(dir))
}

/// `text` without lines that are comments in most formats.
fn without_comments(text: &[u8]) -> Vec<u8> {
    let is_comment = |line: &&[u8]| {
        let line = line.trim_ascii_start();
        [&b"#"[..], b";", b"//", b"!", b"<!--"].iter().any(|sign| line.starts_with(sign))
    };
    let lines = text.split(|&byte| byte == b'\n').filter(|line| !is_comment(line));
    lines.flat_map(|line| [line, b"\n"]).flatten().copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_name_nothing() {
        let text = b"# /a\n  ; /b\nroot /c; # /d\n//e\n<!-- /f -->\n<X>/g</X>\n";
        assert_eq!(without_comments(text), b"root /c; # /d\n<X>/g</X>\n\n");
    }
}
