//! Every dynamic program and library of the machine: imgb's list equals the loader's.

use std::{
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use imgb::{
    elf::{Hwcaps, LoaderOptions, Root, closure, layout},
    path::ImagePath,
    source::HostRoot,
    view::View,
};

use crate::elf_oracle as oracle;

fn objects() -> Vec<PathBuf> {
    let mut out = Vec::new();
    for dir in ["/usr/bin", "/usr/sbin", "/usr/lib", "/usr/libexec", "/usr/local", "/opt"] {
        for entry in
            walkdir::WalkDir::new(dir).sort_by_file_name().into_iter().filter_map(Result::ok)
        {
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
    fs_err::File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok()
        && magic == *b"\x7fELF"
}

#[test]
fn lists_what_the_loader_lists() {
    let root = HostRoot::new("/").unwrap();
    let view = View::of_sysroot(&root);
    let objects = objects();
    headers_are_consistent(&objects);
    let roots: Vec<Root> = objects
        .iter()
        .map(|path| Root { path: ImagePath::new(path.as_os_str().as_bytes()).unwrap() })
        .collect();
    let options =
        LoaderOptions { hwcaps: Hwcaps::Cpu(oracle::this_cpu()), ..LoaderOptions::default() };
    let closure = closure(&roots, &options, &view).unwrap();
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
            differ.push(format!(
                "{}\n  ours {ours:?}\n  real {theirs:?}\n {:?}",
                root.path, program.faults
            ));
        }
    }
    assert!(compared > 0, "no dynamic objects");
    assert!(differ.is_empty(), "{} differ:\n{}", differ.len(), differ.join("\n"));
}

/// Whether the program has no setuid or setgid bit: for those the loader prints nothing (ldd(1)
/// uses the loader too).
fn is_plain_program(path: &str) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = fs_err::metadata(path).map_or(0, |meta| meta.permissions().mode());
    mode & 0o111 != 0 && mode & 0o6000 == 0
}

/// Their headers are consistent by the rules that find damage.
fn headers_are_consistent(objects: &[PathBuf]) {
    use std::os::unix::fs::FileExt as _;
    let mut wrong = Vec::new();
    // Test data of other programs is wrong on purpose.
    for path in objects.iter().filter(|path| !path.to_string_lossy().contains("/testdata/")) {
        let file = fs_err::File::open(path).unwrap();
        let len = file.metadata().unwrap().len();
        let found = layout(len, &mut |offset, buffer| file.file().read_at(buffer, offset));
        if !matches!(found, Ok(Ok(None))) {
            wrong.push((path, found));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A segment without bytes in the file may have any offset: the kernel starts such a program.
#[test]
#[cfg(target_arch = "x86_64")]
fn a_segment_without_bytes_is_nowhere_in_the_file() {
    use std::os::unix::fs::PermissionsExt as _;
    let words =
        |words: &[u64]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<_>>();
    // Type and flags, offset, address twice, bytes in the file and in memory, alignment.
    let segment = |flags: u64, offset, address, in_file, len| {
        words(&[1 | flags << 32, offset, address, address, in_file, len, 0x1000])
    };
    let program = |offset| {
        // mov $42, %edi; mov $60, %eax; syscall
        let code = b"\xbf\x2a\0\0\0\xb8\x3c\0\0\0\x0f\x05";
        let len = 64 + 2 * 56 + code.len() as u64;
        [
            b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0".to_vec(),
            words(&[0x40_0000 + 64 + 2 * 56, 64, 0]),
            b"\0\0\0\0\x40\0\x38\0\x02\0\0\0\0\0\0\0".to_vec(),
            segment(5, 0, 0x40_0000, len, len),
            segment(6, offset, 0x40_1000, 0, 0x2000),
            code.to_vec(),
        ]
        .concat()
    };
    let dir = tempfile::tempdir().unwrap();
    for offset in [0, 0x1000, 0x123] {
        let bytes = program(offset);
        let path = dir.path().join(format!("program-{offset}"));
        fs_err::write(&path, &bytes).unwrap();
        fs_err::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(Command::new(&path).status().unwrap().code(), Some(42), "{offset:#x}");
        let found = layout(bytes.len() as u64, &mut |offset, buffer| {
            use std::os::unix::fs::FileExt as _;
            fs_err::File::open(&path)?.file().read_at(buffer, offset)
        });
        assert!(matches!(found, Ok(Ok(None))), "{offset:#x}: {found:?}");
    }
}
