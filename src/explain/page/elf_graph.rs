//! The ELF objects of an image and what they need.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::numbers::{Paths, Texts};
use crate::{
    elf::{self, Hwcaps, LoaderOptions, Outcome, Program, ReadFailure, Root, Sniffed, sniff},
    explain::why::{self, Graph},
    image::Config,
    path::{ImagePath, escape},
    tree::Tree,
    view::View,
};

/// Programs and libraries whose needs are looked for one by one. An image with more has no graph
/// that anyone can read.
const MAX_ROOTS: usize = 20_000;

/// One request: the numbers of the paths that ask and answer (−1 if nothing does), of the name that
/// is asked for and of how it was found, and whether the program starts without it.
type Edge = (i64, i64, usize, usize, bool);

/// The objects of `tree`, and the requests between them: those of their loaders, and those that
/// rules found.
pub(super) fn edges<R: why::Edge>(
    tree: &Tree,
    config: &Config,
    graph: &Graph<R>,
    paths: &Paths<'_>,
    texts: &mut Texts,
) -> Result<Value, ReadFailure> {
    let view = View::of_tree(tree);
    let objects = objects(tree, &view)?;
    let library_path = config.env.iter().find_map(|entry| entry.strip_prefix("LD_LIBRARY_PATH="));
    let options = LoaderOptions {
        environment_path: library_path.unwrap_or_default().as_bytes().to_vec(),
        hwcaps: Hwcaps::All,
        ..LoaderOptions::default()
    };
    let roots: Vec<Root> =
        objects.iter().take(MAX_ROOTS).map(|path| Root { path: (*path).clone() }).collect();
    let mut edges: BTreeSet<Edge> = BTreeSet::new();
    let closure = elf::closure(&roots, &options, &view)?;
    let number = |file: usize| closure.files.get(file).map_or(-1, |file| paths.number(&file.path));
    let has_interpreter = |program: &Program| {
        let file = program.file.and_then(|file| closure.files.get(file));
        file.is_some_and(|file| file.object.interp.is_some())
    };
    // A library that a program loads finds its own by the directories of that program, too.
    let loaded: BTreeSet<usize> =
        closure.programs.iter().flat_map(|program| program.loads.iter().copied()).collect();
    let is_alone = |program: &&Program| {
        let is_loaded = program.file.is_some_and(|file| loaded.contains(&file));
        has_interpreter(program) || !is_loaded
    };
    for program in closure.programs.iter().filter(is_alone) {
        let loader = program.interpreter.filter(|_| has_interpreter(program));
        if let (Some(file), Some(loader)) = (program.file, loader) {
            let how = texts.number("loader (PT_INTERP)".into());
            let name = closure.files.get(loader).map(|file| escape(&file.opened));
            let name = texts.number(name.unwrap_or_default());
            edges.insert((number(file), number(loader), name, how, false));
        }
        for edge in &program.edges {
            let (to, how) = match &edge.outcome {
                Outcome::Found(file, rule) | Outcome::Same(_, file, rule) => {
                    (number(*file), format!("{}: {rule}", edge.tag))
                }
                Outcome::Missing | Outcome::Fatal(_) => (-1, format!("{}: not found", edge.tag)),
                Outcome::Kernel => continue,
            };
            let (name, how) = (texts.number(escape(&edge.name)), texts.number(how));
            edges.insert((number(edge.requester), to, name, how, edge.optional));
        }
    }
    for path in &objects {
        for reason in graph.causes(path) {
            let Some((rule, evidence)) = reason.rule() else { continue };
            let Some(by) = reason.cause().filter(|by| objects.contains(by)) else { continue };
            let name = texts.number(escape(path.file_name()));
            let how = texts.number(format!("rule {rule}: {evidence}"));
            edges.insert((paths.number(by), paths.number(path), name, how, true));
        }
    }
    let found: BTreeSet<(i64, usize)> =
        edges.iter().filter(|edge| edge.1 >= 0).map(|edge| (edge.0, edge.2)).collect();
    edges.retain(|edge| edge.1 >= 0 || !found.contains(&(edge.0, edge.2)));
    let objects = objects.iter().map(|path| paths.number(path));
    Ok(json!({
        "objects": objects.collect::<Vec<_>>(),
        "edges": edges,
    }))
}

/// The files of `tree` that are ELF objects.
fn objects<'a>(tree: &'a Tree, view: &View<'_>) -> Result<BTreeSet<&'a ImagePath>, ReadFailure> {
    let mut found = BTreeSet::new();
    for (path, node) in tree {
        let Some(file) = node.file().filter(|file| file.len > 0) else { continue };
        let front = view.head(file, 4)?.unwrap_or_default();
        if sniff(&front) == Sniffed::Elf {
            found.insert(path);
        }
    }
    Ok(found)
}
