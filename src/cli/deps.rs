//! `imgb deps`.

use std::collections::BTreeSet;

use super::{
    args::{DepsArgs, Hwcaps},
    pack::{command_dirs, jobs, library_path, scratch},
    report::{Failure, print_bytes},
};
use crate::{
    elf::{self, Closure, Edge, FaultKind},
    error_kind::ErrorKind,
    path::escape,
    pipeline::{self, DepsRequest},
    source::{self, Request},
    timestamp::Timestamp,
};

/// Missing libraries that the error names.
const SHOWN: usize = 10;

pub(super) fn deps(args: &DepsArgs) -> Result<(), Failure> {
    let closure = pipeline::deps(&request(args)?)?;
    let text = match () {
        () if args.list => elf::render::list(&closure),
        () if args.json => format!("{}\n", elf::render::json(&closure)).into_bytes(),
        () if args.dot => elf::render::dot(&closure).into_bytes(),
        () => elf::render::tree(&closure).into_bytes(),
    };
    print_bytes(&text)?;
    verdict(&closure)
}

/// Failure where a program would not start.
fn verdict(closure: &Closure) -> Result<(), Failure> {
    let faults: Vec<String> = closure.faults().map(|(_, fault)| fault.to_string()).collect();
    let missing: Vec<&Edge> = closure.missing().map(|(_, edge)| edge).collect();
    let refused = closure.faults().filter(|(program, _)| {
        closure.programs.get(*program).is_some_and(|program| program.file.is_none())
    });
    let code = match refused.map(|(_, fault)| &fault.kind).next() {
        Some(FaultKind::Find(_)) => ErrorKind::Input,
        Some(_) => ErrorKind::Refused,
        None => ErrorKind::Build,
    };
    match (faults.first(), &missing[..]) {
        (None, []) => Ok(()),
        (Some(fault), []) => Err(Failure::shown(fault.clone(), code)),
        (_, missing) => Err(Failure::shown(cannot_find(closure, missing), code)),
    }
}

/// The missing libraries by name; the tree says more of each.
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

fn request(args: &DepsArgs) -> Result<DepsRequest, Failure> {
    let requests = args.files.iter().map(|text| Request::parse(text).map_err(Failure::usage));
    Ok(DepsRequest {
        requests: requests.collect::<Result<_, _>>()?,
        sysroot: args.sysroot.clone(),
        source: source::InputOptions {
            exclude: Vec::new(),
            preserve_mode: false,
            owner: None,
            mtime: Timestamp::EPOCH,
            outputs: Default::default(),
            command_dirs: command_dirs(&args.sysroot),
            spool: scratch(),
            jobs: jobs(None),
        },
        library_path: library_path(&args.library_path),
        hwcaps_all: args.hwcaps == Hwcaps::All,
    })
}
