//! The closure over a virtual system of up to 16 objects, links, caches and configuration files.
//! It ends, gives the same twice, and gives each program the same alone and among others.
#![no_main]

use imgb::{
    elf::{Closure, LoaderOptions, Root, closure, render},
    path::ImagePath,
    tree::{Node, Tree},
    view::View,
};
use imgb_fuzz::input::Input;
use libfuzzer_sys::fuzz_target;

#[path = "../../tests/it/elf_builder.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod elf_builder;

use elf_builder::{AUXILIARY, Elf, FILTER, FLAGS_1, NEEDED, NODEFLIB, RPATH, RUNPATH, SONAME};

const DIRS: [&str; 8] = ["/lib", "/usr/lib", "/lib64", "/opt", "/opt/lib", "/", "/etc", "/lib/tls"];
const NAMES: [&str; 12] = [
    "a.so",
    "b.so",
    "c.so",
    "libc.so.6",
    "libc.so",
    "ld-linux-x86-64.so.2",
    "ld-musl-x86_64.so.1",
    "app",
    "d.so",
    "glibc-hwcaps",
    "x86-64-v2",
    "..",
];
const LOADERS: [&str; 5] = [
    "/lib64/ld-linux-x86-64.so.2",
    "/lib/ld-musl-x86_64.so.1",
    "/lib/ld-linux.so.2",
    "ld.so",
    "/opt/app",
];
/// Machine, whether 64 bits, whether big-endian, flags.
const MACHINES: [(u16, bool, bool, u32); 6] = [
    (62, true, false, 0),
    (3, false, false, 0),
    (183, true, false, 0),
    (62, false, false, 0),
    (22, true, true, 0),
    (40, false, false, 0x0500_0400),
];

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let mut tree = Tree::new();
    let mut paths = Vec::new();
    let options = options(&mut input);
    for _ in 0..16 {
        if !input.has_more() {
            break;
        }
        let Ok(path) = ImagePath::new(file(&mut input)) else { continue };
        let node = node(&mut input);
        if path.ancestors().all(|dir| tree.get(&dir).is_none_or(Node::is_directory))
            && tree.below(&path).next().is_none()
        {
            tree.insert(path.clone(), node);
            paths.push(path);
        }
    }
    tree.add_parents(|_| Node::directory(0o755));
    let roots: Vec<Root> = paths.into_iter().map(|path| Root { path }).collect();
    let all = find(&tree, &roots, &options);
    assert_eq!(all, find(&tree, &roots, &options));
    for (root, program) in roots.iter().zip(&all.programs) {
        // A library that names no C library is loaded by the loader of the programs with it.
        if program.file.is_some_and(|file| all.files[file].object.interp.is_none()) {
            continue;
        }
        let alone = find(&tree, std::slice::from_ref(root), &options);
        let names = |closure: &Closure, files: &[usize]| {
            files.iter().map(|&at| closure.files[at].opened.clone()).collect::<Vec<_>>()
        };
        assert_eq!(names(&alone, &alone.programs[0].loads), names(&all, &program.loads));
        assert_eq!(names(&alone, &alone.programs[0].extra), names(&all, &program.extra));
        assert_eq!(alone.programs[0].edges.len(), program.edges.len());
        assert_eq!(alone.programs[0].faults.len(), program.faults.len());
    }
    for file in &all.files {
        assert!(tree.get(&file.path).is_some_and(|node| node.file().is_some()), "{}", file.path);
    }
    let text = render::tree(&all);
    assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
    render::list(&all);
    render::json(&all);
    render::dot(&all);
    for config in all.config_files() {
        drop(format!("{config:?}"));
    }
});

fn find(tree: &Tree, roots: &[Root], options: &LoaderOptions) -> Closure {
    closure(roots, options, &View::of_tree(tree)).expect("memory does not fail")
}

fn options(input: &mut Input<'_>) -> LoaderOptions {
    let mut options = LoaderOptions::default();
    let set = input.byte();
    if set & 1 == 1 {
        options.environment_path = search(input);
    }
    if set & 2 == 2 {
        options.library_path.push(input.choose(&DIRS).into());
    }
    if set & 4 == 4 {
        options.preload.push(name(input));
    }
    if set & 8 == 8 {
        options.hwcaps = imgb::elf::Hwcaps::All;
    }
    options
}

fn file(input: &mut Input<'_>) -> String {
    const CONFIGURATION: [&str; 5] = [
        "/etc/ld.so.conf",
        "/etc/ld.so.cache",
        "/etc/ld-musl-x86_64.path",
        "/etc/ld.so.preload",
        "/etc/ld.so.conf.d/x.conf",
    ];
    match input.byte() % 5 {
        0 => input.choose(&CONFIGURATION).into(),
        1 => input.choose(&LOADERS).into(),
        _ => format!("{}/{}", input.choose(&DIRS), input.choose(&NAMES)),
    }
}

fn node(input: &mut Input<'_>) -> Node {
    match input.byte() % 8 {
        0 => Node::symlink(file(input).into_bytes()),
        1 => Node::symlink(name(input)),
        2 => Node::inline(0o644, input.text()),
        3 => Node::inline(0o644, [&search(input)[..], b"\ninclude /etc/ld.so.conf.d/*\n"].concat()),
        _ => Node::inline(0o755, object(input)),
    }
}

fn object(input: &mut Input<'_>) -> Vec<u8> {
    let mut elf = match input.byte() % 3 {
        0 => Elf::library(),
        _ => Elf::program(input.choose(&LOADERS)),
    };
    if input.byte() % 4 == 0 {
        let (machine, is_64, big_endian, flags) = input.choose(&MACHINES);
        elf = elf.on(machine, is_64, big_endian, flags);
    }
    for _ in 0..input.byte() % 6 {
        elf = match input.byte() % 12 {
            0 => elf.text(SONAME, name(input)),
            1 => elf.text(RPATH, search(input)),
            2 => elf.text(RUNPATH, search(input)),
            3 => elf.text(AUXILIARY, name(input)),
            4 => elf.text(FILTER, name(input)),
            5 => elf.number(FLAGS_1, [NODEFLIB, 0x0800_0000, 2][usize::from(input.byte()) % 3]),
            6 => elf.note(format!(
                r#"[{{"soname":["{}"],"priority":"{}"}}]"#,
                input.choose(&NAMES),
                input.choose(&["required", "recommended", "suggested"])
            )),
            7 => elf.wants("libc.so.6", &[("GLIBC_2.2.5", false)]),
            8 => elf.defines(&["libc.so.6", "GLIBC_2.2.5"]),
            _ => elf.text(NEEDED, name(input)),
        };
    }
    elf.build()
}

/// A name as in DT_NEEDED.
fn name(input: &mut Input<'_>) -> Vec<u8> {
    match input.byte() % 8 {
        0 => file(input).into_bytes(),
        1 => [b"$ORIGIN/", input.choose(&NAMES).as_bytes()].concat(),
        2 => input.text().iter().copied().filter(|&byte| byte != 0).collect(),
        _ => input.choose(&NAMES).into(),
    }
}

/// Directories as in DT_RUNPATH.
fn search(input: &mut Input<'_>) -> Vec<u8> {
    const PARTS: [&str; 8] =
        ["$ORIGIN", "${ORIGIN}/../..", "$LIB", "${PLATFORM}", "", "lib", "/opt/../lib", "$X"];
    let parts = (0..input.byte() % 4).map(|_| match input.byte() % 2 {
        0 => input.choose(&PARTS),
        _ => input.choose(&DIRS),
    });
    parts.collect::<Vec<_>>().join(":").into_bytes()
}
