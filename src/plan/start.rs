//! What an image starts: the one program that the user named. Or, if there is not exactly one, what
//! an image that starts nothing was probably meant to start.

use std::collections::BTreeSet;

use super::{Plan, Reason, programs::Programs};
use crate::{
    elf::{self, Lookup as _, ReadFailure, Sniffed, script},
    languages::{Interpreted, Languages},
    path::ImagePath,
    source::InputKind,
    tree::{Kind, Node, Tree},
    view::View,
};

/// Programs that are named.
const MAX_PROGRAMS: usize = 8;

/// What an image that names no program was probably meant to start.
#[derive(Clone, Debug)]
pub enum Start {
    /// One of these programs, the likeliest first.
    Programs(Vec<ImagePath>),
    /// A file that an interpreter starts.
    Interpreted {
        /// The file.
        file: ImagePath,
        /// Its interpreter.
        kind: &'static Interpreted,
        /// Whether the image lacks the interpreter.
        add: bool,
        /// The entrypoint that has to be named; `None` if the interpreter becomes it anyway.
        entrypoint: Option<String>,
    },
    /// A program or script that no user may execute.
    NotExecutable {
        /// The file.
        file: ImagePath,
        /// The input that brings it.
        input: String,
    },
    /// A file without content.
    Empty(ImagePath),
    /// Nothing that imgb knows how to start.
    Nothing,
}

/// The files and commands that the user named, in order.
pub(super) fn named(kinds: &[InputKind]) -> Vec<ImagePath> {
    let path = |kind: &InputKind| match kind {
        InputKind::File(path) | InputKind::Command(path) => Some(path.clone()),
        InputKind::Directory | InputKind::Tarball => None,
    };
    kinds.iter().filter_map(path).collect()
}

/// The one executable that the user named as a file or command.
pub(super) fn entrypoint(
    kinds: &[InputKind],
    found: &Programs,
    tree: &Tree,
    added: &Tree,
) -> Option<Vec<String>> {
    let starts = |path: &ImagePath| {
        let node = tree.get(path).or_else(|| added.get(path));
        let known = found.objects.iter().any(|(known, object)| known == path && object.can_start())
            || found.scripts.iter().any(|(script, _)| script == path);
        node.is_some_and(Node::is_executable) && known
    };
    let mut programs = kinds.iter().filter_map(|kind| match kind {
        InputKind::File(path) => starts(path).then_some(path),
        InputKind::Command(path) => Some(path),
        InputKind::Directory | InputKind::Tarball => None,
    });
    match (programs.next(), programs.next()) {
        (Some(path), None) => {
            String::from_utf8(path.as_bytes().to_vec()).ok().map(|path| vec![path])
        }
        _ => None,
    }
}

/// What the image of `plan` was probably meant to start, if it names no program.
///
/// # Errors
/// [`ReadFailure`]
pub fn start(plan: &Plan) -> Result<Option<Start>, ReadFailure> {
    if !plan.config.command().is_empty() {
        return Ok(None);
    }
    // The trees over each other, the highest first: to merge them would take longer.
    let trees = || plan.layers.iter().rev().map(|layer| &layer.tree).chain([&plan.base]);
    let highest = trees().next().unwrap_or(&plan.base);
    let view = trees().skip(1).fold(View::of_tree(highest), View::over);
    let guess = Guess { plan, view: &view };
    if let Some(start) = guess.among_named()? {
        return Ok(Some(start));
    }
    Ok(Some(guess.among_all()?))
}

struct Guess<'a> {
    plan: &'a Plan,
    view: &'a View<'a>,
}

/// What a file is to the kernel.
#[derive(Clone, Copy, PartialEq, Eq)]
enum FileKind {
    /// It can be started.
    Program,
    /// It could be, if somebody might execute it.
    NotExecutable,
    Other,
}

impl Guess<'_> {
    /// From the files and commands that the user named.
    fn among_named(&self) -> Result<Option<Start>, ReadFailure> {
        let mut programs = Vec::new();
        let mut others = Vec::new();
        for path in &self.plan.named {
            match self.kind(path)? {
                FileKind::Program => programs.push(path.clone()),
                kind => others.push((path, kind)),
            }
        }
        for (path, kind) in others {
            let Some(file) = self.view.own_file(path) else { continue };
            if kind == FileKind::NotExecutable {
                let (file, input) = (path.clone(), self.input(path));
                return Ok(Some(Start::NotExecutable { file, input }));
            }
            let head = self.view.head(file, script::FIRST_LINE)?.unwrap_or_default();
            if let Some(kind) = Languages::builtin().interpreted(path, &head) {
                return Ok(Some(self.interpreted(path.clone(), kind, &programs)));
            }
            if file.len == 0 && programs.is_empty() {
                return Ok(Some(Start::Empty(path.clone())));
            }
        }
        Ok((!programs.is_empty()).then_some(Start::Programs(programs)))
    }

    /// From everything that the user's inputs or instructions bring.
    fn among_all(&self) -> Result<Start, ReadFailure> {
        let trees = || self.plan.layers.iter().map(|layer| &layer.tree).chain([&self.plan.base]);
        let own = || {
            trees().flat_map(Tree::iter).filter(|(path, _)| {
                let reason = self.plan.reasons.get(path);
                matches!(reason, Some(Reason::Listed(_) | Reason::Instruction(_)))
                    // The configuration, which is JSON, can name no other path.
                    && std::str::from_utf8(path.as_bytes()).is_ok()
            })
        };
        let mains = Languages::builtin().interpreted.iter().flat_map(|kind| {
            kind.main.iter().enumerate().map(move |(rank, name)| (name.as_bytes(), rank, kind))
        });
        let mains: Vec<_> = mains.collect();
        let depth = |path: &ImagePath| path.ancestors().count();
        let project = own()
            .filter_map(|(path, _)| {
                let (_, rank, kind) = mains.iter().find(|main| main.0 == path.file_name())?;
                Some(((depth(path), *rank), path, *kind))
            })
            .min_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)));
        let mut programs = Vec::new();
        let may_start = |node: &Node| node.is_executable() || matches!(node.kind, Kind::Symlink(_));
        let candidates = own().filter(|(_, node)| may_start(node)).map(|(path, _)| path);
        // In their order; a path may be in several layers.
        for path in candidates.collect::<BTreeSet<_>>() {
            if self.kind(path)? == FileKind::Program {
                programs.push(path.clone());
            }
            if programs.len() == MAX_PROGRAMS {
                break;
            }
        }
        // A program that has its directory's name, or that is less deep.
        programs.sort_by_key(|path| {
            let of_dir = path.parent().is_some_and(|dir| dir.file_name() == path.file_name());
            (!of_dir, depth(path))
        });
        Ok(match project {
            Some((_, path, kind)) if programs.is_empty() => {
                self.interpreted(path.clone(), kind, &[])
            }
            _ if programs.is_empty() => Start::Nothing,
            _ => Start::Programs(programs),
        })
    }

    fn interpreted(
        &self,
        file: ImagePath,
        kind: &'static Interpreted,
        programs: &[ImagePath],
    ) -> Start {
        let has_name = |path: &&ImagePath| path.file_name() == kind.program.as_bytes();
        let known = self.plan.named.iter().find(has_name);
        let entrypoint = match known {
            Some(known) => Some(String::from_utf8_lossy(known.as_bytes()).into_owned()),
            None => (!programs.is_empty()).then(|| kind.program.clone()),
        };
        Start::Interpreted { file, kind, add: known.is_none(), entrypoint }
    }

    fn kind(&self, path: &ImagePath) -> Result<FileKind, ReadFailure> {
        let Ok(found) = self.view.find(path.as_bytes())? else { return Ok(FileKind::Other) };
        let Some(node) = self.view.own(&found.path) else { return Ok(FileKind::Other) };
        let Some(file) = node.file() else { return Ok(FileKind::Other) };
        let head = self.view.head(file, script::FIRST_LINE)?.unwrap_or_default();
        let can_start = match elf::sniff(&head) {
            Sniffed::Data => false,
            Sniffed::Script => script::shebang(&head).is_some(),
            Sniffed::Elf => self.view.object(&found)?.is_ok_and(|object| {
                let architecture =
                    object.header.machine.oci().map(|(architecture, _)| architecture);
                let platform = &self.plan.config.platform;
                object.can_start() && architecture.is_none_or(|own| own == platform.architecture)
            }),
        };
        Ok(match (can_start, node.is_executable()) {
            (true, true) => FileKind::Program,
            (true, false) => FileKind::NotExecutable,
            (false, _) => FileKind::Other,
        })
    }

    /// The input that brings `path`, without its destination.
    fn input(&self, path: &ImagePath) -> String {
        let name = match self.plan.reasons.get(path) {
            Some(Reason::Listed(number)) => self.plan.inputs.get(*number),
            _ => None,
        };
        let name = name.map_or("", |name| name.rsplit_once(":/").map_or(&**name, |(name, _)| name));
        name.to_owned()
    }
}
