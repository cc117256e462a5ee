//! Every dynamic program and library of the machine: our list is the loader's.

use std::{
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use imgb::{
    elf::{Hwcaps, Options, Root, closure, layout},
    path::ImagePath,
    source::host::HostView,
};

use crate::elf_oracle as oracle;

fn objects() -> Vec<PathBuf> {
    let mut out = Vec::new();
    for dir in ["/usr/bin", "/usr/sbin", "/usr/lib", "/usr/libexec", "/usr/local", "/opt"] {
        for entry in walkdir::WalkDir::new(dir).sort_by_file_name().into_iter().filter_map(Result::ok) {
            if entry.file_type().is_file() && is_elf(entry.path()) {
                out.push(entry.into_path());
            }
        }
    }
    out
}

fn is_elf(path: &Path) -> bool {
    use std::io::Read as _;
    let mut magic = [0; 4];
    fs_err::File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok() && magic == *b"\x7fELF"
}

#[test]
fn lists_what_the_loader_lists() {
    let view = HostView::new("/").unwrap();
    let objects = objects();
    all_go_together(&objects);
    let roots: Vec<Root> = objects
        .iter()
        .map(|path| Root { path: ImagePath::new(path.as_os_str().as_bytes()).unwrap() })
        .collect();
    let options = Options { hwcaps: Hwcaps::Cpu(oracle::this_cpu()), ..Options::default() };
    let closure = closure(&roots, &options, &view);
    let (mut compared, mut differ) = (0, Vec::new());
    for (root, program) in roots.iter().zip(&closure.programs) {
        let Some(loader) = program.loader else { continue };
        let loader = &closure.loaders[loader];
        let path = oracle::arg(root.path.as_bytes());
        let file = &closure.files[program.file.unwrap()];
        if program.interpreter.is_none() {
            continue;
        }
        let through_loader = || oracle::trace(Command::new(oracle::arg(&loader.path)).arg(path));
        let theirs = if file.object.interp.is_some() && is_plain_program(&file.path.to_string()) {
            oracle::trace(&mut Command::new(path))
        } else {
            through_loader()
        };
        compared += 1;
        let ours = oracle::ours(&closure, program);
        if ours != theirs {
            differ.push(format!("{}\n  ours {ours:?}\n  real {theirs:?}\n {:?}", root.path, program.faults));
        }
    }
    assert!(compared > 0, "no dynamic objects");
    assert!(differ.is_empty(), "{} differ:\n{}", differ.len(), differ.join("\n"));
}

/// Whether the kernel starts it without privileges of its own: to a setuid or setgid program the loader tells
/// nothing (ldd(1) goes through the loader, too).
fn is_plain_program(path: &str) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = fs_err::metadata(path).map_or(0, |meta| meta.permissions().mode());
    mode & 0o111 != 0 && mode & 0o6000 == 0
}

/// What they say of themselves goes together, by the rules that find damage.
fn all_go_together(objects: &[PathBuf]) {
    use std::os::unix::fs::FileExt as _;
    let mut wrong = Vec::new();
    // What tests of other programs read is made to be wrong.
    for path in objects.iter().filter(|path| !path.to_string_lossy().contains("/testdata/")) {
        let file = fs_err::File::open(path).unwrap();
        let len = file.metadata().unwrap().len();
        let found = layout(len, &mut |offset, buffer| file.file().read_at(buffer, offset));
        if found != Ok(None) {
            wrong.push((path, found));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
