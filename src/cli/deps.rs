//! `imgb deps`.

use super::{
    args::{DepsArgs, Hwcaps},
    pack::{command_dirs, library_path, scratch},
    report::{Failure, print_bytes},
};
use crate::{
    elf::{self, Closure},
    pipeline::{self, Needy},
    source::{self, Request},
    timestamp::Timestamp,
};

pub(super) fn deps(args: &DepsArgs) -> Result<(), Failure> {
    let closure = pipeline::deps(&needy(args)?)?;
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
    let root = |index: usize| closure.programs.get(index).is_some_and(|program| program.file.is_none());
    let faults: Vec<String> = closure.faults().map(|(_, fault)| fault.to_string()).collect();
    let missing = closure.missing().count();
    let refused = closure.faults().any(|(program, _)| root(program));
    match (faults.first(), missing) {
        (None, 0) => Ok(()),
        (Some(fault), 0) => Err(Failure::shown(fault.clone(), refused)),
        (_, 1) => Err(Failure::shown("a library is missing".into(), refused)),
        (_, count) => Err(Failure::shown(format!("{count} libraries are missing"), refused)),
    }
}

fn needy(args: &DepsArgs) -> Result<Needy, Failure> {
    let requests = args.files.iter().map(|text| Request::parse(text).map_err(Failure::usage));
    Ok(Needy {
        requests: requests.collect::<Result<_, _>>()?,
        sysroot: args.sysroot.clone(),
        source: source::Options {
            exclude: Vec::new(),
            preserve_mode: false,
            owner: None,
            mtime: Timestamp::EPOCH,
            outputs: Default::default(),
            command_dirs: command_dirs(&args.sysroot),
            spool: scratch(),
        },
        library_path: library_path(&args.library_path),
        hwcaps_all: args.hwcaps == Hwcaps::All,
    })
}
