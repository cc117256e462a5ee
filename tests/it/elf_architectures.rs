//! Roots of other architectures, compared with their own loaders: Debian's libraries for cross
//! compilers, and whole systems that `IMGB_SYSROOTS` names.

use std::{
    io::{self, Write as _},
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use imgb::{
    elf::{LoaderOptions, Root, closure},
    path::ImagePath,
    source::HostRoot,
    view::View,
};

use crate::{
    elf_builder::Elf,
    elf_oracle as oracle,
    engines::{have, have_root},
    image_spec::Layout,
    sandbox::Sandbox,
};

/// An architecture of Debian.
struct Architecture {
    /// Where the libraries of the cross packages are, below `/usr`.
    triplet: &'static str,
    loader: &'static str,
    /// `e_machine`, 64 bits, big-endian, `e_flags`.
    machine: (u16, bool, bool, u32),
    /// Architecture and variant of the image.
    platform: (&'static str, Option<&'static str>),
}

const fn of(
    triplet: &'static str,
    loader: &'static str,
    machine: (u16, bool, bool, u32),
    platform: (&'static str, Option<&'static str>),
) -> Architecture {
    Architecture { triplet, loader, machine, platform }
}

const ARCHITECTURES: [Architecture; 6] = [
    of("aarch64-linux-gnu", "/lib/ld-linux-aarch64.so.1", (183, true, false, 0), ("arm64", None)),
    of(
        "arm-linux-gnueabihf",
        "/lib/ld-linux-armhf.so.3",
        (40, false, false, 0x0500_0400),
        ("arm", Some("v7")),
    ),
    of("i686-linux-gnu", "/lib/ld-linux.so.2", (3, false, false, 0), ("386", None)),
    of("s390x-linux-gnu", "/lib/ld64.so.1", (22, true, true, 0), ("s390x", None)),
    of("powerpc64le-linux-gnu", "/lib64/ld64.so.2", (21, true, false, 2), ("ppc64le", None)),
    of(
        "riscv64-linux-gnu",
        "/lib/ld-linux-riscv64-lp64d.so.1",
        (243, true, false, 5),
        ("riscv64", None),
    ),
];

/// The emulator for an architecture; nothing if the kernel can run its programs.
fn emulator(architecture: &str) -> Option<&'static str> {
    Some(match architecture {
        "arm64" => "qemu-aarch64-static",
        "arm" => "qemu-arm-static",
        "s390x" => "qemu-s390x-static",
        "ppc64le" => "qemu-ppc64le-static",
        "riscv64" => "qemu-riscv64-static",
        _ => return None,
    })
}

/// The libraries of a cross package, arranged as a root file system in the directory `root` of a
/// sandbox. The hundreds of character sets are left out.
fn cross_root(of: &Architecture) -> Sandbox {
    let sandbox = Sandbox::new();
    for dir in ["lib", "lib64"] {
        let from = Path::new("/usr").join(of.triplet).join(dir);
        sandbox.dir(&format!("root/{dir}"));
        for entry in std::fs::read_dir(from).into_iter().flatten() {
            let (from, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
            if name.as_bytes().windows(3).any(|part| part == b".so") {
                let to = sandbox.path(format!("root/{dir}"));
                sandbox.tool("cp", "-a").arg(from).arg(to).run().ok();
            }
        }
    }
    sandbox
}

/// Every dynamic object below `root`, by its path there.
fn objects(root: &Path) -> Vec<ImagePath> {
    let entries =
        walkdir::WalkDir::new(root).sort_by_file_name().into_iter().filter_map(Result::ok);
    let files = entries.filter(|entry| entry.file_type().is_file() && is_elf(entry.path()));
    let below = files.filter_map(|entry| Some(entry.path().strip_prefix(root).ok()?.to_owned()));
    let below = below.filter(|path| !path.starts_with(".oracle"));
    below.map(|path: PathBuf| ImagePath::new(path.as_os_str().as_bytes()).unwrap()).collect()
}

fn is_elf(path: &Path) -> bool {
    use std::io::Read as _;
    let mut magic = [0; 4];
    fs_err::File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok()
        && magic == *b"\x7fELF"
}

/// Asks the root's own loader about each dynamic object. Returns how many there were, and where
/// imgb disagrees.
fn compare(root: &Path) -> (usize, Vec<String>) {
    let objects = objects(root);
    let roots: Vec<Root> = objects.iter().map(|path| Root { path: path.clone() }).collect();
    let host = HostRoot::new(root).unwrap();
    let view = View::of_sysroot(&host);
    let closure = closure(&roots, &LoaderOptions::default(), &view).unwrap();
    oracle::prepare(root);
    let mut questions = Vec::new();
    for (path, program) in objects.iter().zip(&closure.programs) {
        let (Some(loader), Some(_)) = (program.loader, program.interpreter) else { continue };
        let loader = &closure.loaders[loader];
        let emulator = loader.machine.oci().and_then(|(architecture, _)| emulator(architecture));
        let emulator = emulator.map_or_else(String::new, |emulator| {
            oracle::lend(&Path::new("/usr/bin").join(emulator), root);
            format!("/.oracle/{emulator} ")
        });
        let loader = String::from_utf8_lossy(&loader.path);
        questions.push((path, program, format!("{emulator}{loader} --list '{path}'")));
    }
    let mut differ = Vec::new();
    for questions in questions.chunks(100) {
        let commands: Vec<String> = questions.iter().map(|(.., command)| command.clone()).collect();
        for ((path, program, _), (theirs, text)) in
            questions.iter().zip(oracle::ask(root, &commands, &[]))
        {
            let ours = oracle::ours(&closure, program);
            if ours != theirs {
                let faults = &program.faults;
                differ.push(format!(
                    "{path}\n  ours {ours:?}\n  real {theirs:?}\n {faults:?}\n{text}"
                ));
            }
        }
    }
    (questions.len(), differ)
}

/// A program that needs the C++ library, and through it most others.
fn program(of: &Architecture) -> Elf {
    let (machine, is_64, big_endian, flags) = of.machine;
    let needs = ["libstdc++.so.6", "libresolv.so.2", "libown.so.1", "libc.so.6"];
    let elf = needs.iter().fold(Elf::program(of.loader), |elf, name| elf.needed(name));
    elf.on(machine, is_64, big_endian, flags)
}

/// A library of the program's own.
fn own_library(of: &Architecture) -> Elf {
    let (machine, is_64, big_endian, flags) = of.machine;
    Elf::library().soname("libown.so.1").on(machine, is_64, big_endian, flags)
}

/// Where the loader of an image and imgb differ on `/app`, and what the loader says.
fn listed(of: &Architecture, root: &Path) -> (Vec<String>, String) {
    let (_, differ) = compare(root);
    let emulator =
        emulator(of.platform.0).map_or_else(String::new, |name| format!("/.oracle/{name} "));
    let command = format!("{emulator}{} --list /app", of.loader);
    (differ, oracle::ask(root, &[command], &[]).remove(0).1)
}

/// Whether the cross packages and the emulators are installed.
fn have_architectures() -> bool {
    let library = |of: &Architecture| format!("/usr/{}/lib/libstdc++.so.6", of.triplet);
    let libraries: Vec<String> = ARCHITECTURES.iter().map(library).collect();
    let emulators = ARCHITECTURES.iter().filter_map(|of| emulator(of.platform.0));
    have(&emulators.chain(libraries.iter().map(String::as_str)).collect::<Vec<_>>())
}

#[test]
fn case_23_other_machines_libraries_are_found_as_their_loaders_find_them() {
    if !(have(&["busybox", "chroot"]) && have_architectures() && have_root()) {
        return;
    }
    for of in &ARCHITECTURES {
        let sandbox = cross_root(of);
        let (compared, differ) = compare(&sandbox.path("root"));
        assert!(compared > 15, "{}: {compared} objects", of.triplet);
        assert!(
            differ.is_empty(),
            "{}: {} differ\n{}",
            of.triplet,
            differ.len(),
            differ.join("\n")
        );
    }
    let systems = std::env::var_os("IMGB_SYSROOTS").unwrap_or_default();
    for root in std::env::split_paths(&systems).filter(|root| !root.as_os_str().is_empty()) {
        let (compared, differ) = compare(&root);
        let _ = writeln!(io::stderr(), "{}: {compared} objects", root.display());
        assert!(
            differ.is_empty(),
            "{}: {} differ\n{}",
            root.display(),
            differ.len(),
            differ.join("\n")
        );
    }
}

#[test]
fn case_23_an_image_of_another_architecture_holds_its_sysroots_files_and_says_so() {
    if !(have(&["busybox", "chroot"]) && have_architectures() && have_root()) {
        return;
    }
    for of in &ARCHITECTURES {
        let sandbox = cross_root(of);
        sandbox.program("root/app", program(of).build());
        sandbox.program("root/opt/own/libown.so.1", own_library(of).build());
        // Libraries of the machine itself must not be used, whether named or linked to.
        sandbox.symlink("root/lib/libresolv.so.2.host", "/lib/x86_64-linux-gnu/libresolv.so.2");
        let list = sandbox
            .imgb("deps --sysroot root --list --library-path /opt/own /app")
            .run()
            .ok()
            .text();
        let mut names: Vec<&str> =
            list.lines().map(|line| line.rsplit('/').next().unwrap()).collect();
        let loader = of.loader.rsplit('/').next().unwrap();
        let mut own = [
            "libc.so.6",
            "libgcc_s.so.1",
            "libm.so.6",
            "libresolv.so.2",
            "libstdc++.so.6",
            "libown.so.1",
            loader,
        ];
        // Which of the C++ library's needs comes first differs.
        names.sort_unstable();
        own.sort_unstable();
        assert_eq!(names, own, "{}: {list}", of.triplet);

        sandbox
            .imgb(
                "pack --sysroot root --soft none --no-check --library-path /opt/own \
            root/app:/app -o image/ -o rootfs:fs.tar",
            )
            .run()
            .ok();
        let config = Layout::open(&sandbox.path("image")).config;
        let (architecture, variant) = of.platform;
        assert_eq!(config["architecture"], architecture, "{config}");
        assert_eq!(config["variant"].as_str(), variant, "{config}");
        sandbox.dir("fs");
        sandbox.tool("tar", "-xf fs.tar -C fs").run().ok();
        for line in list.lines() {
            let read = |root: &str| fs_err::read(sandbox.path(format!("{root}{line}"))).unwrap();
            assert!(read("fs") == read("root"), "{line}");
        }
        let files = |root: &str| objects(&sandbox.path(root)).len();
        assert_eq!(files("fs"), 1 + own.len(), "{}", of.triplet);
        // The loader finds all of them in the image, the program's own library through the image's
        // cache.
        let (differ, text) = listed(of, &sandbox.path("fs"));
        assert!(
            differ.is_empty() && text.contains("libown.so.1 => /opt/own/libown.so.1"),
            "{text}{differ:?}"
        );
    }
}
