//! Output formats of a closure: tree, list, JSON, Graphviz.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    sync::Arc,
};

use serde_json::{Value, json};

use crate::{
    elf::{Closure, Dialect, Edge, Outcome, Program, SearchLogEntry, SearchRule},
    path::escape,
    quantity,
};

/// Maximum indentation levels of a tree; a chain of thousands would be mostly blanks.
const MAX_INDENT: usize = 40;

/// A tree for each program: which object requested which library and how it was found; below a
/// missing library, every path that was tried. The warnings come last.
pub fn tree(closure: &Closure) -> String {
    let mut out = String::new();
    for program in &closure.programs {
        let mut edges: BTreeMap<usize, Vec<&Edge>> = BTreeMap::new();
        program.edges.iter().for_each(|edge| edges.entry(edge.requester).or_default().push(edge));
        Tree { closure, program, out: &mut out, edges }.program();
    }
    for suggestion in &closure.suggested {
        let names: Vec<String> =
            suggestion.dlopen.sonames.iter().map(|name| escape(name)).collect();
        let what =
            suggestion.dlopen.description.as_deref().or(suggestion.dlopen.feature.as_deref());
        let what = what.map(|what| format!(": {}", escape(what.as_bytes()))).unwrap_or_default();
        let _ = writeln!(
            out,
            "suggested: {} by {}{what}",
            names.join(" or "),
            opened(closure, suggestion.file)
        );
    }
    for warning in &closure.warnings {
        let _ = writeln!(out, "warning: {warning}");
    }
    out
}

/// One path per line, as opened, in load order: the libraries of all programs, each once, without
/// the programs themselves. Returns bytes, since paths need not be UTF-8.
pub fn list(closure: &Closure) -> Vec<u8> {
    let mut seen = BTreeSet::new();
    let mut out = Vec::new();
    for program in &closure.programs {
        for file in program.loads.iter().chain(&program.extra).chain(&program.interpreter) {
            let Some(file) =
                closure.files.get(*file).filter(|file| seen.insert(file.opened.clone()))
            else {
                continue;
            };
            out.extend_from_slice(&file.opened);
            out.push(b'\n');
        }
    }
    out
}

/// The whole closure as one JSON value.
pub fn json(closure: &Closure) -> Value {
    let programs: Vec<Value> =
        closure.programs.iter().map(|program| program_json(closure, program)).collect();
    let loaders: Vec<Value> = closure.loaders.iter().map(loader_json).collect();
    let warnings: Vec<String> = closure.warnings.iter().map(ToString::to_string).collect();
    let needs = closure
        .needs_cache
        .iter()
        .map(|need| json!({"name": escape(&need.name), "path": escape(&need.path)}));
    let suggested = closure.suggested.iter().map(|suggestion| {
        json!({
            "by": opened(closure, suggestion.file),
            "names": texts(&suggestion.dlopen.sonames),
            "feature": suggestion.dlopen.feature,
            "description": suggestion.dlopen.description,
        })
    });
    json!({
        "programs": programs,
        "loaders": loaders,
        "warnings": warnings,
        "needs_cache": needs.collect::<Vec<Value>>(),
        "suggested": suggested.collect::<Vec<Value>>(),
    })
}

/// A graph for Graphviz: files by their real paths, an edge for each request that loaded something,
/// and missing libraries in red.
pub fn dot(closure: &Closure) -> String {
    let mut lines = BTreeSet::new();
    let real = |file: usize| {
        closure.files.get(file).map_or_else(String::new, |file| quoted(&file.path.to_string()))
    };
    for program in &closure.programs {
        if let Some(file) = program.file {
            lines.insert(format!("  {} [shape=box];", real(file)));
        }
        if let (Some(file), Some(interpreter)) = (program.file, program.interpreter) {
            lines.insert(format!("  {} -> {} [style=dotted];", real(file), real(interpreter)));
        }
        for edge in &program.edges {
            let (from, name) = (real(edge.requester), quoted(&escape(&edge.name)));
            match &edge.outcome {
                Outcome::Found(file, _) | Outcome::Same(_, file, _) => {
                    lines.insert(format!("  {from} -> {} [label={name}];", real(*file)));
                }
                Outcome::Missing | Outcome::Fatal(_) => {
                    lines.insert(format!("  {name} [color=red, fontcolor=red];"));
                    lines.insert(format!("  {from} -> {name} [color=red];"));
                }
                Outcome::Kernel => {}
            }
        }
    }
    let body: String = lines.into_iter().map(|line| line + "\n").collect();
    format!("digraph deps {{\n  rankdir=LR;\n  node [fontname=monospace];\n{body}}}\n")
}

struct Tree<'a> {
    closure: &'a Closure,
    program: &'a Program,
    out: &'a mut String,
    /// The requests of files that have not been printed yet.
    edges: BTreeMap<usize, Vec<&'a Edge>>,
}

/// An edge that has yet to be printed.
struct Branch<'a> {
    edge: &'a Edge,
    prefix: Arc<str>,
    depth: usize,
    last: bool,
}

impl<'a> Tree<'a> {
    fn program(&mut self) {
        let Some(file) = self.program.file else {
            for fault in &self.program.faults {
                let _ = writeln!(self.out, "{fault}");
            }
            return;
        };
        let _ = writeln!(self.out, "{}", opened(self.closure, file));
        for fault in &self.program.faults {
            let _ = writeln!(self.out, "fault: {fault}");
        }
        match self.program.interpreter {
            Some(interpreter) => {
                let _ = writeln!(self.out, "loader: {}", self.place(interpreter));
            }
            None if self.program.loader.is_none() => self.out.push_str("statically linked\n"),
            None => {}
        }
        let mut branches = Vec::new();
        self.expand(&mut branches, file, &Arc::from(""), 0);
        while let Some(branch) = branches.pop() {
            self.branch(&branch, &mut branches);
        }
    }

    /// Pushes the requests of `file` on the stack, the first on top, unless they were already
    /// printed.
    fn expand(
        &mut self,
        branches: &mut Vec<Branch<'a>>,
        file: usize,
        prefix: &Arc<str>,
        depth: usize,
    ) {
        let edges = self.edges.remove(&file).unwrap_or_default();
        let count = edges.len();
        let branch =
            |(at, edge)| Branch { edge, prefix: prefix.clone(), depth, last: at + 1 == count };
        branches.extend(edges.into_iter().enumerate().map(branch).rev());
    }

    fn branch(&mut self, branch: &Branch<'a>, branches: &mut Vec<Branch<'a>>) {
        let corner = if branch.last { "└── " } else { "├── " };
        let _ = writeln!(self.out, "{}{corner}{}", branch.prefix, self.line(branch.edge));
        let below = || -> Arc<str> {
            match branch.depth {
                MAX_INDENT.. => branch.prefix.clone(),
                _ => {
                    format!("{}{}", branch.prefix, if branch.last { "    " } else { "│   " }).into()
                }
            }
        };
        match &branch.edge.outcome {
            Outcome::Found(file, rule)
                if !matches!(rule, SearchRule::Loaded(_) | SearchRule::Loader)
                    && self.edges.contains_key(file) =>
            {
                self.expand(branches, *file, &below(), branch.depth + 1);
            }
            Outcome::Missing => {
                let below = below();
                for SearchLogEntry { path, rule, miss } in &*branch.edge.search_log {
                    let _ = writeln!(self.out, "{below}{} ({rule}): {miss}", escape(path));
                }
                if branch.edge.unlisted > 0 {
                    let _ = writeln!(
                        self.out,
                        "{below}and {}",
                        quantity::count(branch.edge.unlisted, "more place")
                    );
                }
            }
            _ => {}
        }
    }

    fn line(&self, edge: &Edge) -> String {
        let tag = match edge.tag {
            crate::elf::Tag::Dynamic(crate::elf::Request::Needed) => String::new(),
            other => format!("[{other}] "),
        };
        let name = escape(&edge.name);
        match &edge.outcome {
            Outcome::Found(_, rule @ SearchRule::Loaded(_)) => format!("{tag}{name} ({rule})"),
            Outcome::Found(file, rule) => format!("{tag}{name} => {} ({rule})", self.place(*file)),
            Outcome::Same(file, loaded, rule) => {
                let same = opened(self.closure, *loaded);
                format!("{tag}{name} => {} ({rule}; same file as {same})", self.place(*file))
            }
            Outcome::Kernel => format!("{tag}{name} (the kernel's)"),
            Outcome::Missing => format!("{tag}{name} => not found"),
            Outcome::Fatal(fault) => format!("{tag}{name} => {fault}"),
        }
    }

    /// The path as opened and, if it was reached through links, the real one.
    fn place(&self, file: usize) -> String {
        let Some(file) = self.closure.files.get(file) else { return String::new() };
        if *file.opened == *file.path.as_bytes() {
            escape(&file.opened)
        } else {
            format!("{} = {}", escape(&file.opened), file.path)
        }
    }
}

fn program_json(closure: &Closure, program: &Program) -> Value {
    let paths =
        |files: &[usize]| files.iter().map(|&file| opened(closure, file)).collect::<Vec<String>>();
    json!({
        "path": program.file.map(|file| opened(closure, file)),
        "interpreter": program.interpreter.map(|file| opened(closure, file)),
        "loader": program.loader,
        "loads": paths(&program.loads),
        "extra": paths(&program.extra),
        "edges": program.edges.iter().map(|edge| edge_json(closure, edge)).collect::<Vec<Value>>(),
        "faults": program.faults.iter().map(ToString::to_string).collect::<Vec<String>>(),
    })
}

fn edge_json(closure: &Closure, edge: &Edge) -> Value {
    let (file, method) = match &edge.outcome {
        Outcome::Found(file, rule) | Outcome::Same(file, _, rule) => {
            (Some(*file), rule.to_string())
        }
        Outcome::Kernel => (None, "kernel".to_owned()),
        Outcome::Missing => (None, "not found".to_owned()),
        Outcome::Fatal(fault) => (None, fault.to_string()),
    };
    let file = file.and_then(|file| closure.files.get(file));
    let links = file.map(|file| file.links.iter().map(ToString::to_string).collect::<Vec<_>>());
    let candidates = edge.search_log.iter().map(|entry| {
        json!({
            "path": escape(&entry.path),
            "method": entry.rule.to_string(),
            "reason": entry.miss.to_string(),
        })
    });
    json!({
        "requester": opened(closure, edge.requester),
        "tag": edge.tag.to_string(),
        "name": escape(&edge.name),
        "method": method,
        "path": file.map(|file| escape(&file.opened)),
        "real": file.map(|file| file.path.to_string()),
        "links": links,
        "candidates": candidates.collect::<Vec<Value>>(),
        "more_candidates": edge.unlisted,
    })
}

fn loader_json(loader: &crate::elf::Loader) -> Value {
    json!({
        "path": escape(&loader.path),
        "machine": loader.machine.to_string(),
        "kind": match loader.dialect {
            Dialect::Glibc => "glibc",
            Dialect::Musl => "musl",
        },
        "system_dirs": texts(&loader.system_dirs),
        "lib": escape(&loader.lib),
        "platform": escape(&loader.platform),
        "config": escape(&loader.config),
        "hwcaps": texts(&loader.hwcaps),
    })
}

fn opened(closure: &Closure, file: usize) -> String {
    closure.files.get(file).map_or_else(String::new, |file| escape(&file.opened))
}

fn texts(names: &[Arc<[u8]>]) -> Vec<String> {
    names.iter().map(|name| escape(name)).collect()
}

/// A quoted string of the DOT language; `text` must not contain control characters.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
