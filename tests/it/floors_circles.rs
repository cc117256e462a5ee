//! No circle of imports between the files of `src/`.
//!
//! Each file is a node. An import, or a path in the middle of code, is an edge to the file that
//! defines the item: re-exports are followed to it. A re-export alone is not an edge, so that a
//! `mod.rs` that only declares and re-exports depends on nothing. Two things are not seen, because
//! the text does not tell them: where a method is defined, and what a macro expands to.
//!
//! A file may name the items of the `mod.rs` above it: a `mod.rs` holds the types that its room
//! speaks, and calls the files that work on them. That edge is left out.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    floors::sources,
    rust_text::{Import, definitions, imports, paths},
};

/// Circles that are allowed, as their files, each with its reason. A smaller circle of the same
/// files is allowed too; when none is left, the line has to go.
const KNOWN: &[(&[&str], &str)] = &[];

/// A file of `src/` as a node: what it defines, imports and names.
struct File {
    /// Its module path: `["elf", "closure"]`.
    module: Vec<String>,
    defined: BTreeSet<String>,
    imports: Vec<Import>,
    /// Paths outside of `use`: those with several segments, and single names that can be items.
    named: Vec<Vec<String>>,
}

/// All files by their module path. Its order is that of the modules.
struct Crate {
    files: BTreeMap<Vec<String>, File>,
}

/// What a path leads to.
enum Target {
    Module(Vec<String>),
    /// An item that this module's file defines.
    Item(Vec<String>),
}

impl Crate {
    fn read() -> Self {
        let files = sources().into_iter().map(|source| {
            let mut module: Vec<String> = source
                .path
                .with_extension("")
                .iter()
                .map(|name| name.to_string_lossy().into_owned())
                .collect();
            if module.last().is_some_and(|name| name == "mod") {
                module.pop();
            }
            let (imports, rest) = imports(&source.code);
            let named = paths(&rest).into_iter().filter(|path| {
                let is_type = path.segments[0].starts_with(char::is_uppercase);
                !path.follows_dot && (path.segments.len() > 1 || is_type || path.is_call)
            });
            let file = File {
                module: module.clone(),
                defined: definitions(&rest).into_iter().collect(),
                imports,
                named: named.map(|path| path.segments).collect(),
            };
            (module, file)
        });
        Self { files: files.collect() }
    }

    /// Follows `path`, as written in `module`, to the file that defines it; `None` for other
    /// crates, local names and what the text does not tell.
    fn resolve(&self, module: &[String], path: &[String], budget: u8) -> Option<Target> {
        let budget = budget.checked_sub(1)?;
        let (first, mut rest) = path.split_first()?;
        let mut at = match first.as_str() {
            "crate" => Target::Module(Vec::new()),
            "self" => Target::Module(module.to_vec()),
            "super" => Target::Module(module.split_last()?.1.to_vec()),
            name => self.member(module, name, budget)?,
        };
        while let (Target::Module(parent), Some((name, after))) = (&at, rest.split_first()) {
            at = if name == "super" {
                Target::Module(parent.split_last()?.1.to_vec())
            } else {
                self.member(parent, name, budget)?
            };
            rest = after;
        }
        Some(at)
    }

    /// What `name` is in `module`: its own item, a child, or an import.
    fn member(&self, module: &[String], name: &str, budget: u8) -> Option<Target> {
        let child: Vec<String> = module.iter().cloned().chain([name.to_owned()]).collect();
        let file = self.files.get(module);
        if file.is_some_and(|file| file.defined.contains(name)) {
            return Some(Target::Item(module.to_vec()));
        }
        let file_imports = file.map_or(&[][..], |file| &file.imports);
        let named = file_imports.iter().filter(|import| import.name == name);
        // A function and a module may share a name, as in `use super::copy` beside `mod copy`.
        let by_import = named.filter_map(|import| self.resolve(module, &import.segments, budget));
        let mut by_import: Vec<Target> = by_import.collect();
        by_import.sort_by_key(|target| matches!(target, Target::Module(_)));
        if let Some(target) = by_import.into_iter().next() {
            return Some(target);
        }
        if self.files.contains_key(&child) {
            return Some(Target::Module(child));
        }
        let globs = file_imports.iter().filter(|import| import.name == "*");
        globs.into_iter().find_map(|glob| {
            let opened = &glob.segments[..glob.segments.len() - 1];
            match self.resolve(module, opened, budget)? {
                Target::Module(opened) => self.member(&opened, name, budget),
                Target::Item(_) => None,
            }
        })
    }

    /// The modules whose files `file` imports from.
    fn edges(&self, file: &File) -> BTreeSet<&[String]> {
        let imported = file.imports.iter().filter(|import| !import.is_reexport);
        let imported = imported.map(|import| &import.segments);
        let targets = imported.chain(&file.named).filter_map(|path| {
            // Deep enough for any chain of re-exports, and an end to imports that lead in a circle.
            match self.resolve(&file.module, path, 16)? {
                Target::Item(module) => Some(self.files.get_key_value(&module)?.0.as_slice()),
                Target::Module(_) => None,
            }
        });
        // To itself, and to the `mod.rs` above, does not count.
        targets.filter(|target| !file.module.starts_with(target)).collect()
    }

    /// The sets of files that import from each other, each in order.
    fn circles(&self) -> Vec<Vec<&[String]>> {
        let edges: BTreeMap<&[String], BTreeSet<&[String]>> =
            self.files.values().map(|file| (file.module.as_slice(), self.edges(file))).collect();
        let reached: BTreeMap<&[String], BTreeSet<&[String]>> = edges
            .keys()
            .map(|start| {
                let mut reached = BTreeSet::new();
                let mut open: Vec<&[String]> = edges[start].iter().copied().collect();
                while let Some(next) = open.pop() {
                    if reached.insert(next) {
                        open.extend(&edges[next]);
                    }
                }
                (*start, reached)
            })
            .collect();
        let mut circles: Vec<Vec<&[String]>> = Vec::new();
        for (start, ends) in &reached {
            let circle: Vec<&[String]> =
                ends.iter().copied().filter(|end| reached[end].contains(start)).collect();
            if circle.first() == Some(start) {
                circles.push(circle);
            }
        }
        circles
    }
}

#[test]
fn files_do_not_import_in_a_circle() {
    let library = Crate::read();
    let mut faults = Vec::new();
    let mut gone: Vec<&[&str]> = KNOWN.iter().map(|(files, _)| *files).collect();
    for circle in library.circles() {
        let names: Vec<String> = circle.iter().map(|module| module.join("/")).collect();
        let is_part = |known: &[&str]| names.iter().all(|name| known.contains(&name.as_str()));
        gone.retain(|known| !is_part(known));
        if KNOWN.iter().any(|(known, _)| is_part(known)) {
            continue;
        }
        faults.push(format!("a circle of imports: {}", names.join(", ")));
        for module in &circle {
            let edges = library.edges(&library.files[*module]);
            let inside = edges.iter().filter(|edge| circle.contains(edge));
            let inside: Vec<String> = inside.map(|edge| edge.join("/")).collect();
            faults.push(format!("    {} imports {}", module.join("/"), inside.join(", ")));
        }
    }
    for known in gone {
        faults.push(format!("no longer a circle, take it from KNOWN: {}", known.join(", ")));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
