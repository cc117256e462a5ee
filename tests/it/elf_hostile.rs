//! Malicious objects and roots: the outcome is a result, or an error that names the file. It is
//! never a panic, a hang, or memory out of proportion to the input.

use std::{collections::BTreeMap, io, sync::Arc};

use imgb::{
    elf::{
        self, Absence, Answer, Cache, Closure, FileId, Found, FoundKind, LoaderOptions, Lookup,
        Machine, Object, ObjectError, Outcome, ReadFailure, Root,
    },
    path::ImagePath,
};

use crate::{
    elf_builder::{Elf, NEEDED, RPATH},
    elf_graphs::Random,
    elf_oracle::{GLIBC, MUSL, Rooted},
};

fn read(bytes: &[u8]) -> Result<Object, ObjectError> {
    Object::read(bytes.len() as u64, &mut reader(bytes)).unwrap()
}

fn reader(bytes: &[u8]) -> impl FnMut(u64, &mut [u8]) -> io::Result<usize> {
    move |offset, buffer| {
        let from = &bytes[usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len())..];
        let count = from.len().min(buffer.len());
        buffer[..count].copy_from_slice(&from[..count]);
        Ok(count)
    }
}

/// A root in memory: files by path, no links.
struct Memory(BTreeMap<Vec<u8>, Vec<u8>>);

impl Lookup for Memory {
    fn find(&self, path: &[u8]) -> Result<Answer<Found>, ReadFailure> {
        let Ok(real) = ImagePath::new(path) else { return Ok(Err(Absence::Missing)) };
        let at = self.0.range(real.as_bytes().to_vec()..).position(|_| true);
        let kind = match self.0.get(real.as_bytes()) {
            Some(bytes) => FoundKind::File(bytes.len() as u64),
            None => {
                let prefix = [real.as_bytes(), b"/"].concat();
                let below = self
                    .0
                    .range(prefix.clone()..)
                    .next()
                    .is_some_and(|(path, _)| path.starts_with(&prefix));
                if !below && !real.is_root() {
                    return Ok(Err(Absence::Missing));
                }
                FoundKind::Directory
            }
        };
        // Any number that differs between files will do: the address of the key.
        let id = self
            .0
            .get_key_value(real.as_bytes())
            .map_or(0, |(path, _)| path.as_ptr().addr() as u64);
        Ok(Ok(Found {
            path: real,
            id: FileId(u64::from(at.is_some()), id),
            links: Vec::new(),
            dotdot_dirs: Vec::new(),
            kind,
        }))
    }

    fn object(&self, found: &Found) -> Result<Result<Arc<Object>, ObjectError>, ReadFailure> {
        Ok(read(self.0.get(found.path.as_bytes()).map_or(&[], |bytes| bytes)).map(Arc::new))
    }

    fn read(&self, found: &Found, limit: usize) -> Result<Answer<Vec<u8>>, ReadFailure> {
        let bytes = self.0.get(found.path.as_bytes()).map_or(&[][..], |bytes| bytes);
        Ok(Ok(bytes[..bytes.len().min(limit)].to_vec()))
    }

    fn list(&self, dir: &[u8]) -> Result<Answer<Vec<Vec<u8>>>, ReadFailure> {
        let prefix = [dir, b"/"].concat();
        let below = self.0.keys().filter_map(|path| path.strip_prefix(&*prefix));
        let names = below.filter_map(|rest| rest.split(|&b| b == b'/').next());
        Ok(Ok(names.map(<[u8]>::to_vec).collect()))
    }
}

fn memory(files: impl IntoIterator<Item = (String, Elf)>) -> Memory {
    Memory(files.into_iter().map(|(path, elf)| (path.into_bytes(), elf.build())).collect())
}

fn closure(memory: &Memory) -> Closure {
    elf::closure(
        &[Root { path: ImagePath::new("/app").unwrap() }],
        &LoaderOptions::default(),
        memory,
    )
    .unwrap()
}

/// Three small objects, each with all tables that imgb reads: a 64-bit little-endian program, a
/// 64-bit big-endian library, and a 32-bit library.
fn seeds() -> Vec<Vec<u8>> {
    let full = |elf: Elf| {
        elf.needed("liba.so")
            .needed("libb.so")
            .soname("libx.so")
            .rpath("/r:$ORIGIN")
            .runpath("/d:/e")
            .defines(&["libx.so", "X_1", "X_2"])
            .wants("liba.so", &[("A_1", false), ("A_2", true)])
            .note(r#"[{"soname": ["libn.so"]}]"#)
            .symbol("puts", false)
            .symbol("mine", true)
    };
    vec![
        full(Elf::program(GLIBC)).build(),
        full(Elf::library().on(22, true, true, 0)).build(),
        full(Elf::library().on(3, false, false, 0)).build(),
    ]
}

#[test]
fn e1_every_truncation() {
    for seed in seeds() {
        for len in 0..seed.len() {
            let cut = &seed[..len];
            assert!(read(cut).is_err(), "{len} of {}", seed.len());
            let _ = elf::imports(len as u64, &mut reader(cut), |_| {});
            // The size that was read earlier may exceed the current content.
            let _ = Object::read(seed.len() as u64, &mut reader(cut));
        }
        assert!(read(&seed).is_ok());
    }
    assert_eq!(read(b"#!/bin/sh\n"), Err(ObjectError::NotElf));
}

#[test]
fn e2_e3_a_hundred_thousand_mutants() {
    const EXTREMES: [u64; 10] =
        [0, 1, 7, 0x7fff, 0xffff, 0x7fff_ffff, 0xffff_ffff, 1 << 40, u64::MAX / 2, u64::MAX];
    let seeds = seeds();
    let mut random = Random(1);
    for _ in 0..100_000 {
        let mut mutant = random.pick(&seeds).clone();
        for _ in 0..=random.below(5) {
            let width = *random.pick(&[1, 2, 4, 8]);
            // Mutates headers and the dynamic section, which is last, more often than the rest.
            let at = match random.below(4) {
                0 => random.below(mutant.len()),
                1 => mutant.len() - 1 - random.below(mutant.len().min(400)),
                _ => random.below(400),
            };
            let value = if random.chance(50) { *random.pick(&EXTREMES) } else { random.next() };
            let bytes = value.to_le_bytes();
            mutant.iter_mut().skip(at).zip(&bytes[..width]).for_each(|(byte, new)| *byte = *new);
        }
        if let Ok(object) = read(&mutant) {
            let texts: usize = object.requests.iter().map(|(_, name)| name.len()).sum();
            assert!(texts <= 32 * mutant.len(), "more text than there is");
        }
        let len = mutant.len() as u64;
        let _ = elf::imports(len, &mut reader(&mutant), |name| assert!(name.len() < mutant.len()));
        let _ = elf::exports(len, &mut reader(&mutant), |name| assert!(name.len() < mutant.len()));
    }
}

#[test]
fn e2_tables_of_program_headers() {
    // e_phentsize and e_phnum of a 64-bit header.
    let with = |at: usize, value: u16| {
        let mut bytes = Elf::program(GLIBC).build();
        bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
        bytes.resize(4 << 20, 0);
        read(&bytes)
    };
    for size in [0, 1, 55, 57, 0xffff] {
        assert_eq!(with(54, size), Err(ObjectError::Malformed("size of a program header")));
    }
    let limit = ObjectError::TooMany { what: "program headers", limit: 4096 };
    assert_eq!(with(56, 0xffff), Err(limit));
    assert!(with(56, 0).is_ok());
}

#[test]
fn mutants_as_libraries_and_loaders() {
    let seeds = seeds();
    let mut random = Random(2);
    for _ in 0..3_000 {
        let mut files = memory([
            ("/app".to_owned(), Elf::program(GLIBC).needed("libx.so").runpath("/d")),
            (GLIBC.to_owned(), Elf::library()),
            ("/d/libx.so".to_owned(), Elf::library()),
        ]);
        let mut mutant = random.pick(&seeds).clone();
        for _ in 0..4 {
            let at = random.below(mutant.len());
            mutant[at] = random.next() as u8;
        }
        let victim = *random.pick(&["/app", GLIBC, "/d/libx.so"]);
        files.0.insert(victim.into(), mutant);
        let closure = closure(&files);
        let _ = (elf::render::tree(&closure), elf::render::json(&closure), closure.config_files());
    }
}

#[test]
fn a_dynamic_section_that_cannot_be_read_is_never_static() {
    let seed = Elf::program(GLIBC).needed("liba.so").build();
    // p_offset, p_vaddr and p_filesz of the fourth header, PT_DYNAMIC.
    let header = 64 + 3 * 56;
    for (field, value) in [(16, u64::MAX - 4), (32, 1 << 40), (16, 1 << 40)] {
        let mut bytes = seed.clone();
        bytes[header + 8..header + 16].copy_from_slice(&(1u64 << 41).to_le_bytes());
        bytes[header + field..header + field + 8].copy_from_slice(&value.to_le_bytes());
        assert!(read(&bytes).is_err(), "{field} {value}");
    }
}

#[test]
fn e3_strings_without_end_and_too_many_needs() {
    let outside = Elf::library().number(NEEDED, 1 << 30).build();
    assert_eq!(read(&outside), Err(ObjectError::OutsideStrings("DT_NEEDED")));
    let many = (0..70_000).fold(Elf::library(), |elf, _| elf.number(NEEDED, 0)).build();
    assert!(matches!(read(&many), Err(ObjectError::TooMany { .. })));
    // The dynamic section has room for these, and nothing loads as many.
    let many = (0..20_000).fold(Elf::library(), |elf, _| elf.number(NEEDED, 0)).build();
    let limit = 16 << 10;
    assert_eq!(read(&many), Err(ObjectError::TooMany { what: "needed libraries", limit }));
    // DT_STRSZ says one byte less: the last name has no NUL in the table.
    let mut unended = Elf::library().needed("liba.so").build();
    let size = unended.chunks(8).position(|word| word == 10_u64.to_le_bytes()).unwrap() * 8 + 8;
    unended[size] -= 1;
    assert_eq!(read(&unended), Err(ObjectError::Unterminated("DT_NEEDED")));
    // Names that are suffixes of each other: a quadratic amount of text in a linear amount of file.
    let long = "x".repeat(16_000);
    let tails = (1..16_000)
        .fold(Elf::library().text(RPATH, &long), |elf, at| elf.number(NEEDED, at))
        .build();
    assert_eq!(read(&tails), Err(ObjectError::TooMany { what: "bytes of names", limit: 8 << 20 }));
    // A megabyte of search path is absurd, but valid.
    let files = memory([
        (
            "/app".to_owned(),
            Elf::program(GLIBC).needed("liba.so").rpath(vec!["/dir"; 200_000].join(":") + ":/d"),
        ),
        (GLIBC.to_owned(), Elf::library()),
        ("/d/liba.so".to_owned(), Elf::library()),
    ]);
    assert_eq!(closure(&files).missing().count(), 0);
}

#[test]
fn e4_long_chains_wide_fans_and_circles() {
    let lib = |i: usize| format!("lib{i}.so");
    let chain = (0..5_000).map(|i| {
        (format!("/lib64/{}", lib(i)), Elf::library().soname(lib(i)).needed(lib((i + 1) % 5_000)))
    });
    let app = Elf::program(GLIBC).needed(lib(0)).needed("/app");
    let closure_of = |files: Vec<(String, Elf)>| closure(&memory(files));
    let loader = (GLIBC.to_owned(), Elf::library());
    let deep =
        closure_of([("/app".to_owned(), app), loader.clone()].into_iter().chain(chain).collect());
    assert_eq!(deep.programs[0].loads.len(), 5_000);
    // With unlimited indentation, the tree of a chain would have quadratic size.
    assert!(elf::render::tree(&deep).len() < 5_000 * 500);
    let fan = (0..10_000)
        .map(|i| (format!("/lib64/{}", lib(i)), Elf::library().needed(lib(i)).needed(lib(i / 2))));
    let app = (0..10_000).fold(Elf::program(GLIBC), |app, i| app.needed(lib(i)));
    let wide = closure_of([("/app".to_owned(), app), loader].into_iter().chain(fan).collect());
    assert_eq!((wide.programs[0].loads.len(), wide.missing().count()), (10_000, 0));
}

/// There are needs times directories failed attempts. The record of them is limited, and the search
/// continues.
#[test]
fn e4_long_search_paths_and_many_needs() {
    let path: Vec<String> = (0..20_000).map(|i| format!("/d{i}")).collect();
    let app = (0..1_500).fold(Elf::program(GLIBC).runpath(path.join(":")), |app, i| {
        app.needed(format!("lib{i}.so"))
    });
    let files = [("/app".to_owned(), app), (GLIBC.to_owned(), Elf::library())];
    let last = ("/d19999/lib1499.so".to_owned(), Elf::library());
    let closure = closure(&memory(files.into_iter().chain([last])));
    let edges = &closure.programs[0].edges;
    assert_eq!((edges.len(), closure.missing().count()), (1_500, 1_499));
    let listed: usize = edges.iter().map(|edge| edge.search_log.len()).sum();
    assert!(listed <= 32_768, "{listed}");
    let missing = edges.iter().filter(|edge| edge.outcome == Outcome::Missing);
    assert!(missing.into_iter().all(|edge| edge.search_log.len() + edge.unlisted >= 20_000));
    // musl's search does not remember missing directories.
    let app = (0..1_500).fold(Elf::program(MUSL).runpath(path.join(":")), |app, i| {
        app.needed(format!("lib{i}.so"))
    });
    let musl =
        self::closure(&memory([("/app".to_owned(), app), (MUSL.to_owned(), Elf::library())]));
    assert_eq!(musl.missing().count(), 1_500);
    // Each object of a chain searches the directories of all objects above it.
    let lib = |i: usize| {
        let elf = Elf::library().soname(format!("lib{i}.so")).rpath(format!("/d{i}"));
        let elf = if i < 1_000 { elf.needed(format!("lib{}.so", i + 1)) } else { elf };
        (format!("/d0/lib{i}.so"), elf)
    };
    let dirs = (1..1_000).map(|i| (format!("/d{i}/x"), Elf::library()));
    let app = Elf::program(GLIBC).needed("lib1.so").rpath("/d0");
    let files = [("/app".to_owned(), app), (GLIBC.to_owned(), Elf::library())].into_iter();
    let deep = self::closure(&memory(files.chain((1..=1_000).map(lib)).chain(dirs)));
    assert_eq!(deep.programs[0].loads.len(), 1_000);
    assert!(
        deep.programs[0].edges.iter().map(|edge| edge.search_log.len()).sum::<usize>() <= 32_768
    );
}

#[test]
fn e5_e6_names_and_paths_that_lead_out() {
    let root = Rooted::empty();
    root.elf(GLIBC, &Elf::library());
    let app = Elf::program(GLIBC)
        .needed("../../etc/shadow")
        .needed("/../../../etc/passwd")
        .needed("$ORIGIN/../../x")
        .needed("lib\n.so")
        .runpath("$ORIGIN/../../../..:/../..:/a\nb");
    root.elf("/app", &app).file(
        "/etc/passwd",
        "root:x:0:0:root:/root:/bin/sh and so on, longer than a header of ELF is",
    );
    let closure = root.closure(&["/app"], &LoaderOptions::default());
    // A path that stays in the root and is not an object is a fault; the others are missing.
    let faults: Vec<String> = closure.faults().map(|(_, fault)| fault.to_string()).collect();
    assert_eq!(faults, ["/../../../etc/passwd: not an ELF file"]);
    assert_eq!(closure.missing().count(), 3);
    assert_eq!(closure.files.len(), 2);
}

#[test]
fn e7_interpreters() {
    let root = Rooted::empty();
    root.file("/script", "#!/bin/sh\n")
        .link("/loop", "loop")
        .elf("/nested", &Elf::program("/nested"));
    root.elf("/other", &Elf::library().on(183, true, false, 0)).file("/dir/x", "");
    for (interp, wanted) in [
        ("/gone", "/gone: no such file"),
        ("/script", "/script: not an ELF file"),
        ("/loop", "/loop: too many levels of symbolic links"),
        ("/nested", "/nested: the interpreter has an interpreter of its own"),
        ("/app", "/app: the interpreter has an interpreter of its own"),
        ("/other", "/other: made for aarch64, not for x86-64"),
        ("/dir", "/dir: not a regular file"),
        ("relative", "relative: the interpreter's path is relative"),
    ] {
        root.elf("/app", &Elf::program(interp).needed("liba.so"));
        let closure = root.closure(&["/app"], &LoaderOptions::default());
        assert_eq!(
            closure.faults().next().map(|(_, fault)| fault.to_string()).as_deref(),
            Some(wanted)
        );
    }
    let huge = read(&Elf::program(&"x".repeat(5000)).build());
    assert!(matches!(huge, Err(ObjectError::TooMany { .. })));
    let mut unended = Elf::program("/lib/x").build();
    let at = unended.windows(7).position(|part| part == b"/lib/x\0").unwrap();
    unended[at + 6] = b'y';
    assert_eq!(read(&unended), Err(ObjectError::Malformed("PT_INTERP")));
}

#[test]
fn e8_what_is_called_like_a_library() {
    let root = Rooted::empty();
    root.elf(GLIBC, &Elf::library())
        .elf("/app", &Elf::program(GLIBC).needed("liba.so").runpath("/d"));
    let outcome =
        || root.closure(&["/app"], &LoaderOptions::default()).programs[0].edges[0].outcome.clone();
    let fifo = root.path("/d/liba.so");
    root.file("/d/other", "");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o644.into(), 0)
        .unwrap();
    assert!(matches!(outcome(), Outcome::Fatal(_)));
    fs_err::remove_file(&fifo).unwrap();
    fs_err::create_dir(&fifo).unwrap();
    assert!(matches!(outcome(), Outcome::Fatal(_)));
    fs_err::remove_dir(&fifo).unwrap();
    fs_err::write(&fifo, "").unwrap();
    assert!(matches!(outcome(), Outcome::Fatal(_)));
    // A sparse terabyte, of which almost nothing is read.
    root.elf("/d/liba.so", &Elf::library());
    fs_err::OpenOptions::new().write(true).open(&fifo).unwrap().set_len(1 << 40).unwrap();
    assert!(matches!(outcome(), Outcome::Found(..)));
}

#[test]
fn e9_hard_links_are_one_library() {
    let root = Rooted::empty();
    root.elf(GLIBC, &Elf::library())
        .elf("/app", &Elf::program(GLIBC).needed("liba.so").needed("libb.so").runpath("/d"));
    root.elf("/d/liba.so", &Elf::library());
    fs_err::hard_link(root.path("/d/liba.so"), root.path("/d/libb.so")).unwrap();
    let closure = root.closure(&["/app"], &LoaderOptions::default());
    assert_eq!(closure.programs[0].loads.len(), 1);
    assert!(matches!(closure.programs[0].edges[1].outcome, Outcome::Same(..)));
    // Both names must be in the image.
    assert_eq!(closure.files.len(), 4);
}

#[test]
fn caches_of_all_kinds() {
    let entry = elf::cache::Entry {
        name: b"liba.so"[..].into(),
        path: b"/d/liba.so"[..].into(),
        flags: 0x303,
        hwcap: elf::cache::Hwcap::Level(b"x86-64-v3"[..].into()),
    };
    let seed =
        elf::cache::write(&[entry], Machine { arch: 62, is_64: true, big_endian: false, flags: 0 });
    for len in 0..seed.len() {
        let _ = Cache::parse(&seed[..len], false);
    }
    let mut random = Random(3);
    for _ in 0..50_000 {
        let mut mutant = seed.clone();
        for _ in 0..=random.below(4) {
            let at = random.below(mutant.len());
            mutant[at] = random.next() as u8;
        }
        if let Ok(cache) = Cache::parse(&mutant, false) {
            assert!(cache.entries().len() <= mutant.len() / 24);
        }
    }
}
