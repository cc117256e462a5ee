//! Programs that another starts by a word of its command line: `git daemon` starts `git-daemon`.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    elf::ReadFailure,
    path::ImagePath,
    process,
    tree::{Node, Tree},
    view::View,
};

/// How many words after the program are looked at: options may stand before the subcommand.
const REACH: usize = 8;

/// Pairs of words that are looked into.
const MAX_PAIRS: usize = 4096;

/// The programs of an image that may be subcommands of others.
#[derive(Debug)]
pub(super) struct Subcommands<'a> {
    /// Shows the image's files.
    of_image: &'a View<'a>,
    /// Shows its packages.
    view: &'a View<'a>,
    /// PATH of the image.
    path: &'a str,
    /// Executable files whose names have a hyphen, by their names.
    names: BTreeMap<&'a [u8], Vec<&'a ImagePath>>,
    /// Names that were asked for: a text may repeat them.
    seen: BTreeSet<Vec<u8>>,
}

impl<'a> Subcommands<'a> {
    /// Those of `files`, which `of_image` shows as they are and `view` with their packages.
    pub(super) fn of(
        files: &'a Tree,
        (of_image, view): (&'a View<'a>, &'a View<'a>),
        path: &'a str,
    ) -> Self {
        let mut names = BTreeMap::<_, Vec<_>>::new();
        let is_subcommand = |(path, node): &(&ImagePath, &Node)| {
            node.is_executable() && path.file_name().contains(&b'-')
        };
        for (path, _) in files.iter().filter(is_subcommand) {
            names.entry(path.file_name()).or_default().push(path);
        }
        Self { of_image, view, path, names, seen: BTreeSet::new() }
    }

    /// The subcommands in the words of a command line, each with the words that name it, as
    /// `git daemon`. Those that a call before returned are left out.
    ///
    /// # Errors
    /// [`ReadFailure`]
    pub(super) fn named_by(
        &mut self,
        words: &[&[u8]],
    ) -> Result<Vec<(ImagePath, String)>, ReadFailure> {
        let mut found = Vec::new();
        for (at, program) in words.iter().enumerate() {
            let name = program.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
            for word in words.iter().skip(at + 1).take(REACH) {
                let whole = [name, b"-", word].concat();
                let Some(paths) = self.names.get(&*whole) else { continue };
                if self.seen.len() >= MAX_PAIRS
                    || !self.seen.insert([program, &b" "[..], word].concat())
                {
                    continue;
                }
                let shown = String::from_utf8_lossy(&[name, b" ", word].concat()).into_owned();
                for path in paths {
                    if self.belong_together(program, path)? {
                        found.push(((*path).clone(), shown.clone()));
                    }
                }
            }
        }
        Ok(found)
    }

    /// Whether `subcommand` is of the package of `program`, or next to it where no package owns
    /// either.
    fn belong_together(&self, program: &[u8], subcommand: &ImagePath) -> Result<bool, ReadFailure> {
        let located = process::locate(self.of_image, program, "/", self.path)?;
        let Ok((_, program)) = located else { return Ok(false) };
        let database = self.view.packages()?;
        let owners = |path| database.map(|all| all.owners(path)).unwrap_or_default();
        let (of_program, of_subcommand) = (owners(&program.path), owners(subcommand));
        Ok(match of_program.is_empty() && of_subcommand.is_empty() {
            true => program.path.parent() == subcommand.parent(),
            false => of_program.iter().any(|owner| of_subcommand.contains(owner)),
        })
    }
}
