//! glibc's search rules, one case per test, each compared with the real loader in a root of its
//! own. The numbers belong to a list of cases, some of which every known implementation got wrong.

use imgb::elf::{Hwcaps, LoaderOptions, Outcome, Tag, Warning};

use crate::{
    elf_builder::{AUXILIARY, Elf, FILTER, FLAGS_1, NODEFLIB},
    elf_oracle::{self as oracle, GLIBC, Listing, Rooted},
    engines::have,
};

/// A root with `/app`, or `None` if the loader cannot be run here.
fn root(app: &Elf) -> Option<Rooted> {
    if !have(&["busybox", "chroot"]) {
        return None;
    }
    let root = Rooted::new(GLIBC);
    root.elf("/app", app);
    Some(root)
}

fn app() -> Elf {
    Elf::program(GLIBC)
}

fn lib() -> Elf {
    Elf::library()
}

/// imgb's listing of `/app`, after asserting that it equals the loader's.
#[track_caller]
fn same(root: &Rooted) -> Listing {
    same_with(root, "/app", &[])
}

#[track_caller]
fn same_with(root: &Rooted, program: &str, library_path: &[&str]) -> Listing {
    let mut options =
        LoaderOptions { hwcaps: Hwcaps::Cpu(oracle::this_cpu()), ..LoaderOptions::default() };
    options.library_path = library_path.iter().map(|dir| dir.as_bytes().to_vec()).collect();
    let closure = root.closure(&[program], &options);
    let ours = oracle::ours(&closure, &closure.programs[0]);
    let environment = if library_path.is_empty() {
        Vec::new()
    } else {
        vec![format!("LD_LIBRARY_PATH={}", library_path.join(":"))]
    };
    let (theirs, printed) = root.glibc(&[program], &environment).remove(0);
    assert_eq!(
        ours.failed,
        theirs.failed,
        "{ours:?}\n{printed}\n{}",
        imgb::elf::render::tree(&closure)
    );
    if !ours.failed {
        assert_eq!(ours, theirs, "{printed}\n{}", imgb::elf::render::tree(&closure));
    }
    ours
}

/// The paths that a listing loads, one line.
fn paths(listing: &Listing) -> String {
    listing.loads.iter().map(|(_, path)| &**path).collect::<Vec<_>>().join(" ")
}

#[test]
fn case_1_rpath_of_the_program_serves_its_libraries() {
    let Some(root) = root(&app().needed("liba.so").rpath("/d1:/d2")) else { return };
    root.elf("/d1/liba.so", &lib().needed("libb.so")).elf("/d2/libb.so", &lib());
    assert_eq!(paths(&same(&root)), "/d1/liba.so /d2/libb.so");
}

#[test]
fn case_2_runpath_serves_only_its_owner() {
    let Some(root) = root(&app().needed("liba.so").runpath("/d1:/d2")) else { return };
    root.elf("/d1/liba.so", &lib().needed("libb.so")).elf("/d2/libb.so", &lib());
    assert_eq!(same(&root).missing, ["libb.so"]);
}

#[test]
fn case_3_runpath_of_the_requester_voids_all_rpath() {
    let Some(root) = root(&app().needed("liba.so").rpath("/d1:/d2")) else { return };
    root.elf("/d1/liba.so", &lib().needed("libb.so").runpath("/nonexistent"))
        .elf("/d2/libb.so", &lib());
    assert_eq!(same(&root).missing, ["libb.so"]);
}

#[test]
fn case_4_rpath_below_runpath_counts() {
    let Some(root) = root(&app().needed("liba.so").runpath("/d1")) else { return };
    root.elf("/d1/liba.so", &lib().needed("libb.so").rpath("/d2")).elf("/d2/libb.so", &lib());
    assert_eq!(paths(&same(&root)), "/d1/liba.so /d2/libb.so");
}

#[test]
fn case_5_rpath_next_to_runpath_is_ignored() {
    let Some(root) = root(&app().needed("liba.so").rpath("/d1").runpath("/d2")) else { return };
    root.elf("/d1/liba.so", &lib());
    assert_eq!(same(&root).missing, ["liba.so"]);
    // An empty RUNPATH counts too.
    let Some(root) = self::root(&app().needed("liba.so").rpath("/d1").runpath("")) else { return };
    root.elf("/d1/liba.so", &lib());
    assert_eq!(same(&root).missing, ["liba.so"]);
}

#[test]
fn case_6_library_path_comes_between_rpath_and_runpath() {
    for (tag, wanted) in [("rpath", "/own/liba.so"), ("runpath", "/env/liba.so")] {
        let app = app().needed("liba.so");
        let app = if tag == "rpath" { app.rpath("/own") } else { app.runpath("/own") };
        let Some(root) = root(&app) else { return };
        root.elf("/own/liba.so", &lib()).elf("/env/liba.so", &lib());
        assert_eq!(paths(&same_with(&root, "/app", &["/env"])), wanted);
    }
}

#[test]
fn case_6_tokens_in_library_path() {
    let Some(root) = root(&app().needed("liba.so").needed("libb.so")) else { return };
    root.elf("/opt/x/app", &app().needed("liba.so").needed("libb.so")).link("/start", "opt/x/app");
    root.elf("/opt/x/own/liba.so", &lib().needed("libc.so")).elf("/opt/x/lib64/libb.so", &lib());
    root.elf("/opt/x/own/libc.so", &lib());
    let path = "$ORIGIN/own:${ORIGIN}/$LIB:rel::/x/$FOO";
    let options =
        LoaderOptions { environment_path: path.as_bytes().to_vec(), ..LoaderOptions::default() };
    let closure = root.closure(&["/start"], &options);
    let ours = oracle::ours(&closure, &closure.programs[0]);
    let quoted = format!("LD_LIBRARY_PATH='{path}'");
    let (theirs, printed) = root.glibc(&["/start"], &[quoted]).remove(0);
    assert_eq!(ours, theirs, "{printed}");
    assert_eq!(ours.missing, ["libb.so"], "this machine's $LIB is not lib64");
    let warnings: Vec<String> = closure.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[1].contains("LD_LIBRARY_PATH element `rel`"), "{warnings:?}");
}

#[test]
fn case_7_what_a_sibling_loaded_is_there() {
    let Some(root) = root(&app().needed("liba.so").needed("libb.so").runpath("/d1")) else {
        return;
    };
    root.elf("/d1/liba.so", &lib().needed("libb.so")).elf("/d1/libb.so", &lib());
    assert_eq!(paths(&same(&root)), "/d1/liba.so /d1/libb.so");
}

#[test]
fn case_8_a_soname_answers_once_it_is_loaded() {
    for (first, second, missing) in [("libb9.so", "libother.so", 0), ("libother.so", "libb9.so", 1)]
    {
        let Some(root) = root(&app().needed(first).needed(second).runpath("/d")) else { return };
        root.elf("/d/libb9.so", &lib().soname("libother.so"));
        assert_eq!(same(&root).missing.len(), missing, "{first}");
    }
}

#[test]
fn case_9_origin_is_resolved_for_programs_only() {
    let Some(root) = root(&app()) else { return };
    root.elf("/real/bin/e", &app().needed("liba.so").runpath("$ORIGIN/../lib"));
    root.link("/alias/e", "../real/bin/e")
        .elf("/real/lib/liba.so", &lib())
        .elf("/lib/liba.so", &lib());
    assert_eq!(paths(&same_with(&root, "/alias/e", &[])), "/real/bin/../lib/liba.so");
    root.elf("/store/libl.so", &lib().needed("libm0.so").runpath("$ORIGIN/sub"));
    root.link("/links/libl.so", "../store/libl.so");
    root.elf("/links/sub/libm0.so", &lib()).elf("/store/sub/libm0.so", &lib());
    root.elf("/app2", &app().needed("libl.so").runpath("/links"));
    assert_eq!(paths(&same_with(&root, "/app2", &[])), "/links/libl.so /links/sub/libm0.so");
}

#[test]
fn case_9_origin_comes_from_proc() {
    if !have(&["busybox", "chroot", "bwrap"]) {
        return;
    }
    let root = Rooted::new(GLIBC);
    root.elf("/real/bin/e", &app().needed("liba.so").runpath("$ORIGIN/../lib"));
    root.link("/alias/e", "../real/bin/e")
        .elf("/real/lib/liba.so", &lib())
        .elf("/lib/liba.so", &lib());
    let theirs = root.glibc_with_proc("/alias/e");
    assert_eq!(paths(&theirs), "/real/bin/../lib/liba.so");
    let closure = root.closure(&["/alias/e"], &LoaderOptions::default());
    assert_eq!(oracle::ours(&closure, &closure.programs[0]), theirs);
    assert_eq!(closure.files[0].links[0].to_string(), "/alias/e");
}

#[test]
fn case_10_tokens() {
    let platform =
        String::from_utf8(oracle::this_cpu().platform.unwrap_or_else(|| b"x86_64".to_vec()))
            .unwrap();
    for (path, dir) in [
        ("${ORIGIN}/d", "/d"),
        ("/$ORIGINAL", "/$ORIGINAL"),
        ("/$FOO", "/$FOO"),
        ("/x/$LIB", "/x/lib/x86_64-linux-gnu"),
        ("/x/${LIB}/y", "/x/lib/x86_64-linux-gnu/y"),
        ("/x/$PLATFORM", &*format!("/x/{platform}")),
        ("/x/${ORIGIN", "/x/${ORIGIN"),
        ("$ORIGIN$ORIGIN/d", "//d"),
    ] {
        let Some(root) = root(&app().needed("liba.so").runpath(path)) else { return };
        root.elf(&format!("{dir}/liba.so"), &lib());
        assert_eq!(same(&root).missing, [""; 0], "{path}");
    }
}

#[test]
fn case_11_the_working_directory_never_counts() {
    let Some(root) = root(&app().needed("liba.so").runpath("/x::d1:")) else { return };
    root.elf("/d1/liba.so", &lib()).elf("/liba.so", &lib());
    assert_eq!(same(&root).missing, ["liba.so"]);
    let closure = root.closure(&["/app"], &LoaderOptions::default());
    let warned: Vec<String> = closure.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warned,
        [
            "/app: RUNPATH element `` is taken from the working directory and left out",
            "/app: RUNPATH element `d1` is taken from the working directory and left out"
        ]
    );
}

#[test]
fn case_12_a_name_with_a_slash_is_a_path() {
    let names = ["$ORIGIN/d2/libb.so", "/d3/libb.so", "d2/libb.so"];
    let Some(root) = root(&names.iter().fold(app(), |app, name| app.needed(name))) else { return };
    root.elf("/d2/libb.so", &lib()).elf("/d3/libb.so", &lib());
    let listing = same(&root);
    assert_eq!(
        (paths(&listing), listing.missing),
        ("//d2/libb.so /d3/libb.so".to_owned(), vec!["d2/libb.so".to_owned()])
    );
    let closure = root.closure(&["/app"], &LoaderOptions::default());
    let (_, missing) = closure.missing().next().unwrap();
    assert_eq!(missing.search_log[0].miss.to_string(), "relative to the working directory");
}

#[test]
fn case_13_files_that_are_skipped() {
    let decoys = [
        ("class", lib().on(3, false, false, 0).build()),
        ("machine", lib().on(183, true, false, 0).build()),
        ("byte order and machine", lib().on(22, true, true, 0).build()),
        // The class is checked before the broken rest.
        ("broken 32-bit", [&lib().on(3, false, false, 0).build()[..52], &[0xff; 100]].concat()),
    ];
    for (what, decoy) in decoys {
        let Some(root) = root(&app().needed("liba.so").runpath("/d1:/d2")) else { return };
        root.file("/d1/liba.so", decoy).elf("/d2/liba.so", &lib());
        assert_eq!(paths(&same(&root)), "/d2/liba.so", "{what}");
    }
}

#[test]
fn case_13_files_that_stop_the_loader() {
    let poke = |at: usize, value: u8| {
        let mut bytes = lib().build();
        bytes[at] = value;
        bytes
    };
    let cases = [
        ("magic", poke(1, b'X')),
        ("short", b"\x7fELF\x02\x01".to_vec()),
        ("empty", Vec::new()),
        ("byte order", poke(5, 2)),
        ("ident version", poke(6, 2)),
        ("OS ABI", poke(7, 9)),
        ("ABI version", poke(8, 1)),
        ("padding", poke(9, 1)),
        ("version", poke(20, 2)),
        ("type", poke(16, 1)),
        ("header size", poke(54, 57)),
        ("program", poke(16, 2)),
        ("PIE", app().build()),
        (
            "linker script",
            b"/* GNU ld script */ OUTPUT_FORMAT(elf64-x86-64) GROUP ( /lib/libc.so.6 )".to_vec(),
        ),
    ];
    for (what, bytes) in cases {
        let Some(root) = root(&app().needed("liba.so").runpath("/d1:/d2")) else { return };
        root.file("/d1/liba.so", bytes).elf("/d2/liba.so", &lib());
        assert!(same(&root).failed, "{what}");
        let closure = root.closure(&["/app"], &LoaderOptions::default());
        assert!(closure.programs[0].faults[0].to_string().starts_with("/d1/liba.so: "), "{what}");
    }
}

/// A file as short as the header of the other class, and segments that cannot be mapped.
#[test]
fn case_13_short_files_and_unmappable_segments() {
    let Some(root) = root(&app().needed("liba.so").runpath("/a:/b")) else { return };
    let other = lib().on(3, false, false, 0).build();
    root.file("/a/liba.so", &other[..52]).elf("/b/liba.so", &lib());
    assert!(same(&root).failed);
    let mut crooked = lib().build();
    let is_load = |at: &usize| crooked[*at..at + 4] == 1u32.to_le_bytes();
    let at = (0..8).map(|index| 64 + 56 * index).find(is_load).unwrap();
    crooked[at + 16] ^= 8; // its p_vaddr
    crooked[at + 48..at + 56].copy_from_slice(&4096u64.to_le_bytes()); // its p_align
    root.file("/a/liba.so", &crooked);
    assert!(same(&root).failed);
}

/// An unknown class counts as a wrong class, and the file is skipped, as are files that this user
/// may not read.
#[test]
fn case_13_an_unknown_class_is_skipped() {
    let Some(root) = root(&app().needed("liba.so").runpath("/a:/b")) else { return };
    let mut other = lib().build();
    other[4] = 7;
    root.file("/a/liba.so", other).elf("/b/liba.so", &lib());
    assert_eq!(paths(&same(&root)), "/b/liba.so");
}

/// Another process would see another directory there.
#[test]
fn a_search_path_through_proc_is_left_out() {
    let root = Rooted::empty();
    root.elf(GLIBC, &lib()).elf("/app", &app().needed("liba.so").runpath("/proc/self/cwd/x:/y"));
    root.link("/proc/self", "17")
        .link("/proc/17/cwd", "/z")
        .elf("/z/x/liba.so", &lib())
        .elf("/y/liba.so", &lib());
    let closure = root.closure(&["/app"], &LoaderOptions::default());
    assert_eq!(&*closure.files[closure.programs[0].loads[0]].opened, b"/y/liba.so");
    assert_eq!(
        closure.warnings.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["/proc/self/cwd/x: leads through /proc, where it is different for each process; left out"]
    );
}

#[test]
fn case_14_builds_for_better_processors() {
    let levels = ["x86-64-v2", "x86-64-v3", "x86-64-v4"];
    let Some(root) = root(&app().needed("liba.so").runpath("/d")) else { return };
    root.elf("/d/liba.so", &lib());
    for level in levels {
        root.elf(
            &format!("/d/glibc-hwcaps/{level}/liba.so"),
            &lib().soname("liba.so").needed("libextra.so"),
        );
    }
    root.elf("/lib/libextra.so", &lib());
    same(&root);
    let files = |hwcaps| {
        let closure =
            root.closure(&["/app"], &LoaderOptions { hwcaps, ..LoaderOptions::default() });
        closure.files.iter().map(|file| file.path.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(files(Hwcaps::Baseline), ["/app", GLIBC, "/d/liba.so"]);
    let all = files(Hwcaps::All);
    assert_eq!(all.len(), 7, "{all:?}");
    assert!(
        all.contains(&"/lib/libextra.so".to_owned())
            && all.contains(&"/d/glibc-hwcaps/x86-64-v4/liba.so".to_owned())
    );
}

#[test]
fn case_14_a_library_for_better_processors_alone_is_missing() {
    let Some(root) = root(&app().needed("liba.so").runpath("/d")) else { return };
    root.elf("/d/glibc-hwcaps/x86-64-v3/liba.so", &lib());
    same(&root);
    let closure = root.closure(&["/app"], &LoaderOptions::default());
    assert_eq!(closure.missing().count(), 1);
    let warning = Warning::OnlyVariant(
        b"liba.so"[..].into(),
        b"/d/glibc-hwcaps/x86-64-v3/liba.so"[..].into(),
    );
    assert!(closure.warnings.contains(&warning), "{:?}", closure.warnings);
}

#[test]
fn case_15_nodeflib() {
    let Some(root) = root(&app().needed("liba.so").needed("libb.so").number(FLAGS_1, NODEFLIB))
    else {
        return;
    };
    root.elf("/usr/lib/liba.so", &lib().soname("liba.so"))
        .elf("/usr/local/lib/libb.so", &lib().soname("libb.so"));
    root.file("/etc/ld.so.conf", "/usr/local/lib\n");
    root.ldconfig(&[]);
    let listing = same(&root);
    assert_eq!(
        (paths(&listing), listing.missing),
        ("/usr/local/lib/libb.so".to_owned(), vec!["liba.so".to_owned()])
    );
}

#[test]
fn case_16_filters() {
    let Some(root) = root(&app().needed("liba.so").needed("libb.so").runpath("/d")) else { return };
    root.elf(
        "/d/liba.so",
        &lib().text(AUXILIARY, "libaux.so").text(AUXILIARY, "libgone.so").runpath("/d"),
    );
    root.elf("/d/libaux.so", &lib().needed("libdeep.so").runpath("/d"))
        .elf("/d/libdeep.so", &lib());
    root.elf("/d/libb.so", &lib().text(FILTER, "liba.so").runpath("/d"));
    assert_eq!(paths(&same(&root)), "/d/libaux.so /d/liba.so /d/libb.so /d/libdeep.so");
    let closure = root.closure(&["/app"], &LoaderOptions::default());
    assert_eq!(closure.missing().count(), 0, "an absent auxiliary filtee is nobody's loss");

    let Some(root) = self::root(&app().needed("liba.so").runpath("/d")) else { return };
    root.elf("/d/liba.so", &lib().text(FILTER, "libmissing.so"));
    let closure = root.closure(&["/app"], &LoaderOptions::default());
    assert_eq!(closure.missing().count(), 1);
}

#[test]
fn case_16_filters_in_a_circle_stop_the_loader() {
    let Some(root) = root(&app().needed("liba.so").runpath("/d")) else { return };
    root.elf("/d/liba.so", &lib().text(FILTER, "libb.so").runpath("/d"));
    root.elf("/d/libb.so", &lib().text(FILTER, "liba.so").runpath("/d"));
    assert!(same(&root).failed);
}

#[test]
fn case_17_the_configuration_says_what_its_cache_would() {
    let Some(root) = root(&app()) else { return };
    let conf = "# comment\n\t/c1\t# inline\ninclude /etc/a/*.conf  b.d/[xy].conf\n/c1/\nhwcap 1 \
        nosegneg\n\
        include /etc/gone.conf\ninclude /etc/ld.so.conf\n/missing\nrelative\n/c5=libc6\n";
    root.file("/etc/ld.so.conf", conf);
    root.file("/etc/a/2.conf", "/c3\n")
        .file("/etc/a/1.conf", "/c2 \r\n")
        .file("/etc/a/.hidden.conf", "/c9\n");
    root.file("/etc/b.d/x.conf", "/c4/sub//\n").file("/etc/b.d/z.conf", "/c9\n");
    let mut names = Vec::new();
    for (number, dir) in
        ["/c1", "/c2", "/c3", "/c4/sub", "/c5", "/c9", "/relative"].iter().enumerate()
    {
        let name = format!("lib{number}.so");
        root.elf(&format!("{dir}/{name}"), &lib().soname(&name));
        // An earlier directory wins.
        root.elf(&format!("{dir}/libz.so"), &lib().soname("libz.so"));
        names.push(name);
    }
    root.elf("/c1/libfile-1.2.so", &lib().soname("libfile.so.1"));
    root.link("/c1/libdev.so", "libdev.so.1").elf("/c1/libdev.so.1", &lib().soname("libdev.so.1"));
    root.elf("/c1/plugin.so", &lib().soname("plugin.so"));
    names.extend(["libz.so", "libfile-1.2.so", "libdev.so", "plugin.so"].map(str::to_owned));
    root.elf("/app2", &names.iter().fold(app(), |app, name| app.needed(name)));
    let listed = |root: &Rooted| {
        let closure = root.closure(&["/app2"], &LoaderOptions::default());
        let methods: Vec<String> = closure.programs[0]
            .edges
            .iter()
            .filter_map(|edge| match &edge.outcome {
                Outcome::Found(_, how) => Some(how.to_string()),
                _ => None,
            })
            .collect();
        (oracle::ours(&closure, &closure.programs[0]), methods)
    };
    let (by_conf, methods) = listed(&root);
    root.ldconfig(&["-X"]);
    let (by_cache, _) = listed(&root);
    assert_eq!(by_conf, by_cache);
    same_with(&root, "/app2", &[]);
    // The older format before the newer.
    root.ldconfig(&["-X", "-c", "compat"]);
    assert!(fs_err::read(root.path("/etc/ld.so.cache")).unwrap().starts_with(b"ld.so-1.7.0"));
    assert_eq!(listed(&root).0, by_cache);
    same_with(&root, "/app2", &[]);
    assert_eq!(methods[..3], ["/etc/ld.so.conf:2", "/etc/a/1.conf:1", "/etc/a/2.conf:1"]);
}

#[test]
fn preload_and_its_file() {
    let Some(root) = root(&app().needed("liba.so").rpath("/d")) else { return };
    root.elf("/d/liba.so", &lib())
        .elf("/d/libpre.so", &lib().needed("liba.so"))
        .elf("/d/libfile.so", &lib());
    root.file("/etc/ld.so.preload", "# nothing\nlibfile.so:libgone.so /d/libpre.so\n");
    assert_eq!(paths(&same(&root)), "/d/libfile.so /d/libpre.so /d/liba.so");
    let closure = root.closure(&["/app"], &LoaderOptions::default());
    assert_eq!(closure.programs[0].edges[0].tag, Tag::PreloadFile);
    assert_eq!(closure.missing().count(), 0);
}
