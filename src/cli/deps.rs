//! `imgb deps`.

use std::collections::BTreeSet;

use clap::Args;

use super::{
    failure::Failure,
    options::{
        cache::{CachePlace, KeptPieces},
        image::open_options,
        inputs::Hwcaps,
        lookup::{SysrootArgs, lookup_options},
    },
    terminal::{print_data_bytes, print_json},
    warnings::{self, Message},
};
use crate::{
    elf::{self, Closure, Edge, FaultKind},
    error_kind::ErrorKind,
    oci::OpenOptions,
    path::escape,
    pipeline::{self, DepsRequest},
    source::Request,
};

/// How many missing libraries the error names.
const SHOWN: usize = 10;

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    imgb deps /usr/bin/git\n  \
    imgb deps --list ./app --library-path /opt/lib\n  \
    imgb deps --sysroot ./arm64-root /usr/bin/curl\n  \
    imgb deps --dot curl | dot -Tsvg > curl.svg")]
pub(super) struct DepsArgs {
    /// Programs or libraries: files, or bare names to look up on PATH
    #[arg(required = true, value_name = "FILE", value_parser = Request::parse)]
    files: Vec<Request>,

    #[command(flatten)]
    root: SysrootArgs,

    #[command(flatten)]
    cache: CachePlace,

    /// Which glibc-hwcaps variants of libraries to list
    #[arg(long, value_enum, value_name = "WHICH", default_value = "baseline")]
    hwcaps: Hwcaps,

    /// Print one path per line, in load order
    #[arg(long, conflicts_with_all = ["json", "dot"])]
    list: bool,

    /// Print each request as JSON: the file that makes it, the name, how it is found, what is tried
    #[arg(long, conflicts_with = "dot")]
    json: bool,

    /// Print a graph for Graphviz
    #[arg(long)]
    dot: bool,
}

impl DepsArgs {
    /// Whether stdout is for JSON.
    pub(super) fn prints_json(&self) -> bool {
        self.json
    }
}

pub(super) fn deps(args: DepsArgs) -> Result<(), Failure> {
    let (list, json, dot) = (args.list, args.json, args.dot);
    let pieces = args.cache.pieces();
    let (closure, notes) = pipeline::deps(&request(args, &pieces)?)?;
    warnings::print(notes.iter().map(Message::from), false);
    if json {
        print_json(elf::render::json(&closure))?;
        return verdict(&closure).map_err(Failure::in_output);
    }
    let text = match () {
        () if list => elf::render::list(&closure),
        () if dot => elf::render::dot(&closure).into_bytes(),
        () => elf::render::tree(&closure).into_bytes(),
    };
    print_data_bytes(&text)?;
    verdict(&closure)
}

/// A failure if a program would not start. The output has shown the details.
fn verdict(closure: &Closure) -> Result<(), Failure> {
    let faults: Vec<String> = closure.faults().map(|(_, fault)| fault.to_string()).collect();
    let missing: Vec<&Edge> = closure.missing().map(|(_, edge)| edge).collect();
    let refused = closure.faults().filter(|(program, _)| {
        closure.programs.get(*program).is_some_and(|program| program.file.is_none())
    });
    let kind = match refused.map(|(_, fault)| &fault.kind).next() {
        Some(FaultKind::Find(_)) => ErrorKind::Input,
        Some(_) => ErrorKind::Refused,
        None => ErrorKind::Build,
    };
    match (faults.first(), &missing[..]) {
        (None, []) => Ok(()),
        (Some(fault), []) => Err(Failure::new(kind, fault)),
        (_, missing) => Err(Failure::new(kind, cannot_find(closure, missing))),
    }
}

/// The names of the missing libraries.
fn cannot_find(closure: &Closure, missing: &[&Edge]) -> String {
    let names: BTreeSet<String> = missing.iter().map(|edge| escape(&edge.name)).collect();
    if let [edge] = missing
        && let Some(file) = closure.files.get(edge.requester)
    {
        return format!(
            "cannot find `{}`, needed by `{}`",
            escape(&edge.name),
            escape(&file.opened)
        );
    }
    let shown: Vec<String> = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    let more = if names.len() > SHOWN { ", …" } else { "" };
    format!("cannot find {}{more}", shown.join(", "))
}

fn request(args: DepsArgs, pieces: &KeptPieces) -> Result<DepsRequest, Failure> {
    let sysroot = args.root.of(&[None])?.pop().flatten();
    let registries = args.root.registry.registries(args.root.names())?;
    Ok(DepsRequest {
        requests: args.files,
        source: lookup_options(sysroot.as_deref()),
        library_path: args.root.library_path(),
        sysroot,
        image: OpenOptions { pieces: pieces.get(), ..open_options(None, registries) },
        hwcaps_all: args.hwcaps == Hwcaps::All,
    })
}
