//! Closures in roots of all kinds: images that hold only a closure, other machines, musl, static
//! programs, symbol versions and dlopen metadata. The numbers belong to the same list as those of
//! `elf_cases`.

use std::sync::Arc;

use imgb::{
    elf::{
        Cache, Closure, Dialect, HEADER_LEN, Hwcaps, Linkage, LoaderOptions, Object, Outcome,
        Priority, Tag, Warning, cache, render,
    },
    path::ImagePath,
};

use crate::{
    elf_builder::{Elf, FLAGS_1, NODEFLIB, PIE},
    elf_oracle::{self as oracle, GLIBC, Listing, MUSL, Rooted},
    engines::have,
};

fn glibc(app: &Elf) -> Option<Rooted> {
    rooted(GLIBC, app)
}

fn rooted(loader: &str, app: &Elf) -> Option<Rooted> {
    if !have(&["busybox", "chroot"]) {
        return None;
    }
    let root = Rooted::new(loader);
    root.elf("/app", app);
    Some(root)
}

fn lib() -> Elf {
    Elf::library()
}

fn closure(root: &Rooted) -> Closure {
    root.closure(&["/app"], &LoaderOptions::default())
}

fn loads(closure: &Closure) -> Vec<String> {
    let paths = closure.programs[0].loads.iter();
    paths.map(|&file| String::from_utf8_lossy(&closure.files[file].opened).into_owned()).collect()
}

/// An image of `closure`: its files at their real paths, the links on the way, and the
/// configuration that it needs.
fn image(root: &Rooted, closure: &Closure) -> Rooted {
    let image = Rooted::new(&String::from_utf8_lossy(&closure.loaders[0].path));
    for file in &closure.files {
        for path in &file.dotdot_dirs {
            fs_err::create_dir_all(image.path(&path.to_string())).unwrap();
        }
        let path = file.path.to_string();
        image.file(&path, fs_err::read(root.path(&path)).unwrap());
        for link in file.links.iter().map(ToString::to_string) {
            if image.path(&link).symlink_metadata().is_err() {
                image.link(&link, fs_err::read_link(root.path(&link)).unwrap().to_str().unwrap());
            }
        }
    }
    for config in closure.config_files() {
        image.file(&String::from_utf8_lossy(&config.path), &config.bytes);
    }
    image
}

/// In an image that holds only the closure, the loader finds the same for `/app`, and so does imgb.
#[track_caller]
fn holds_alone(root: &Rooted, options: &LoaderOptions) -> Closure {
    let closure = root.closure(&["/app"], options);
    let image = image(root, &closure);
    let is_musl = closure.loaders[0].dialect == Dialect::Musl;
    let loader = String::from_utf8_lossy(&closure.loaders[0].path).into_owned();
    let (mut theirs, printed) = if is_musl {
        image.through(&loader, &["/app"], &[]).remove(0)
    } else {
        image.glibc(&["/app"], &[]).remove(0)
    };
    let again = image.closure(&["/app"], &LoaderOptions::default());
    let (mut before, mut after) =
        (oracle::ours(&closure, &closure.programs[0]), oracle::ours(&again, &again.programs[0]));
    for listing in [&mut before, &mut after, &mut theirs] {
        listing.loads.retain(|(_, path)| *path != loader);
    }
    assert_eq!(before, theirs, "{printed}");
    assert_eq!(before, after);
    closure
}

fn app() -> Elf {
    Elf::program(GLIBC)
}

#[test]
fn case_15_and_18_a_library_of_the_cache_needs_one_in_the_image() {
    let Some(root) = glibc(&app().needed("liba.so.1").needed("libb.so")) else { return };
    root.elf("/usr/local/lib/liba.so.1", &lib().soname("liba.so.1"))
        .elf("/usr/lib/libb.so", &lib());
    root.file("/etc/ld.so.conf", "/usr/local/lib\n");
    root.ldconfig(&[]);
    let closure = holds_alone(&root, &LoaderOptions::default());
    let needs: Vec<String> = closure
        .needs_cache
        .iter()
        .map(|need| String::from_utf8_lossy(&need.path).into_owned())
        .collect();
    assert_eq!(needs, ["/usr/local/lib/liba.so.1"]);
    let config = &closure.config_files()[0];
    assert_eq!(&*config.path, b"/etc/ld.so.cache");
    let cache = Cache::parse(&config.bytes, false).unwrap();
    let paths: Vec<_> =
        cache.entries().iter().map(|entry| String::from_utf8_lossy(&entry.path)).collect();
    assert_eq!(paths, ["/usr/lib/libb.so", "/usr/local/lib/liba.so.1"]);
    // The same without a cache, from the configuration alone.
    fs_err::remove_file(root.path("/etc/ld.so.cache")).unwrap();
    assert_eq!(holds_alone(&root, &LoaderOptions::default()).config_files()[0].bytes, config.bytes);
}

#[test]
fn a_library_of_a_default_directory_needs_no_cache() {
    let Some(root) = glibc(&app().needed("liba.so")) else { return };
    root.elf("/usr/lib/liba.so", &lib().soname("liba.so"));
    root.ldconfig(&[]);
    assert_eq!(holds_alone(&root, &LoaderOptions::default()).config_files(), []);
}

#[test]
fn a_library_of_the_library_path_needs_a_cache() {
    let Some(root) = glibc(&app().needed("liba.so")) else { return };
    root.elf("/opt/x/liba.so", &lib()).elf("/lib/liba.so", &lib());
    let options =
        LoaderOptions { library_path: vec![b"/opt/x".to_vec()], ..LoaderOptions::default() };
    assert_eq!(loads(&holds_alone(&root, &options)), ["/opt/x/liba.so"]);
}

/// The library of a default directory is the same file through a link that is not packed.
#[test]
fn a_link_elsewhere_to_a_library_of_a_default_directory_needs_a_cache() {
    let Some(root) = glibc(&app().needed("liba.so.1")) else { return };
    root.elf("/usr/lib/liba.so.1.2", &lib().soname("liba.so.1"))
        .link("/usr/lib/liba.so.1", "liba.so.1.2");
    root.link("/opt/x/liba.so.1", "/usr/lib/liba.so.1.2");
    let options =
        LoaderOptions { library_path: vec![b"/opt/x".to_vec()], ..LoaderOptions::default() };
    let closure = holds_alone(&root, &options);
    assert_eq!(loads(&closure), ["/opt/x/liba.so.1"]);
    // A requester that ignores default directories needs it too.
    let Some(root) = glibc(&app().needed("liba.so.1").number(FLAGS_1, NODEFLIB | PIE)) else {
        return;
    };
    root.elf("/usr/lib/liba.so.1", &lib().soname("liba.so.1"))
        .link("/opt/x/liba.so.1", "/usr/lib/liba.so.1");
    holds_alone(&root, &options);
}

/// A library that is an input itself, because something opens it by its name.
#[test]
fn a_library_that_is_a_root_is_found_by_its_name() {
    let Some(root) = glibc(&app()) else { return };
    root.elf("/usr/local/lib/liba.so.1.2", &lib().soname("liba.so.1").needed("libb.so"));
    root.link("/usr/local/lib/liba.so.1", "liba.so.1.2")
        .elf("/usr/lib/libb.so", &lib().soname("libb.so"));
    root.elf("/opt/plugin.so", &lib().soname("plugin.so"));
    root.file("/etc/ld.so.conf", "/usr/local/lib\n");
    root.ldconfig(&[]);
    let roots = ["/app", "/usr/local/lib/liba.so.1.2", "/opt/plugin.so", "/usr/lib/libb.so"];
    let closure = root.closure(&roots, &LoaderOptions::default());
    let needs = closure.needs_cache.iter().map(|need| format!("{:?}", (&need.name, &need.path)));
    let text = |name: &str| Arc::<[u8]>::from(name.as_bytes());
    let wanted = format!("{:?}", (text("liba.so.1"), text("/usr/local/lib/liba.so.1.2")));
    assert_eq!(needs.collect::<Vec<_>>(), [wanted]);
}

/// A C int wraps around and `char` is signed on this machine. The loader's binary search depends on
/// both.
#[test]
fn names_of_the_cache_are_in_the_loaders_own_order() {
    let names = [
        "libq3000000000.so",
        "libq5.so",
        "libq1.so",
        "libq20240101123456.so",
        "libqé.so",
        "libqa.so",
        "libqz.so",
    ];
    let app = names.iter().fold(app(), |app, name| app.needed(name));
    let Some(root) = glibc(&app) else { return };
    for name in names {
        root.elf(&format!("/opt/x/{name}"), &lib().soname(name));
    }
    let options =
        LoaderOptions { library_path: vec![b"/opt/x".to_vec()], ..LoaderOptions::default() };
    assert_eq!(loads(&holds_alone(&root, &options)).len(), names.len());
    // The cache that ldconfig makes has the same order.
    root.file("/etc/ld.so.conf", "/opt/x\n");
    root.ldconfig(&[]);
    assert_eq!(loads(&holds_alone(&root, &LoaderOptions::default())).len(), names.len());
}

/// Unrelated entries stay in place: those for other machines and processors, and duplicates.
#[test]
fn a_merged_cache_changes_nothing_else() {
    let Some(root) = glibc(&app().needed("liba.so").needed("libhw.so")) else { return };
    root.elf("/opt/x/liba.so", &lib().soname("liba.so"))
        .elf("/opt/x/libhw.so", &lib().soname("libhw.so"));
    let options =
        LoaderOptions { library_path: vec![b"/opt/x".to_vec()], ..LoaderOptions::default() };
    let config = &root.closure(&["/app"], &options).config_files()[0];
    let text = |text: &str| Arc::<[u8]>::from(text.as_bytes());
    let entry = |name: &str, path: &str, flags| cache::Entry {
        name: text(name),
        path: text(path),
        flags,
        hwcap: cache::Hwcap::None,
    };
    let level = cache::Hwcap::Level(text("x86-64-v3"));
    let existing = [
        cache::Entry {
            hwcap: level,
            ..entry("libhw.so", "/opt/x/glibc-hwcaps/x86-64-v3/libhw.so", 0x303)
        },
        entry("libhw.so", "/opt/x/libhw.so", 0x303),
        entry("libdup.so", "/usr/local/lib/libdup.so", 0x303),
        entry("libdup.so", "/usr/lib/libdup.so", 0x303),
        entry("liba.so", "/opt/i386/liba.so", 3),
        entry("liba.so", "/old/liba.so", 0x303),
    ];
    let existing = cache::write_in_order(&existing, config.machine);
    let merged = Cache::parse(&config.over(&existing).unwrap(), false).unwrap();
    let paths: Vec<_> =
        merged.entries().iter().map(|entry| String::from_utf8_lossy(&entry.path)).collect();
    assert_eq!(
        paths,
        [
            "/opt/x/glibc-hwcaps/x86-64-v3/libhw.so",
            "/opt/x/libhw.so",
            "/usr/local/lib/libdup.so",
            "/usr/lib/libdup.so",
            "/opt/x/liba.so",
            "/opt/i386/liba.so",
        ]
    );
}

/// The image's own cache takes precedence over default directories, and has another path.
#[test]
fn a_default_directory_of_the_library_path_may_need_an_entry() {
    let Some(root) = glibc(&app().needed("libdup.so")) else { return };
    root.elf("/usr/local/lib/libdup.so", &lib().soname("libdup.so"));
    root.elf("/usr/lib/libdup.so", &lib().soname("libdup.so"));
    root.file("/etc/ld.so.conf", "/usr/local/lib\n");
    root.ldconfig(&[]);
    let options =
        LoaderOptions { library_path: vec![b"/usr/lib".to_vec()], ..LoaderOptions::default() };
    let closure = root.closure(&["/app"], &options);
    assert_eq!(loads(&closure), ["/usr/lib/libdup.so"]);
    let existing = fs_err::read(root.path("/etc/ld.so.cache")).unwrap();
    root.file("/etc/ld.so.cache", closure.config_files()[0].over(&existing).unwrap());
    let (theirs, printed) = root.glibc(&["/app"], &[]).remove(0);
    assert_eq!(theirs.loads[0].1, "/usr/lib/libdup.so", "{printed}");
}

/// The needs of an opened library are searched as the loader does: with the program's DT_RPATH, and
/// under musl with all of the program's search paths.
#[test]
fn what_is_opened_needs_what_the_program_leads_to() {
    for loader in [GLIBC, MUSL] {
        let Some(root) = rooted(loader, &Elf::program(loader).rpath("/l")) else { return };
        root.elf("/l/libplug.so", &lib().needed("libdep.so")).elf("/l/libdep.so", &lib());
        let opens =
            [(ImagePath::new("/app").unwrap(), [Arc::from(&b"libplug.so"[..])].into())].into();
        let closure = root.closure(&["/app"], &LoaderOptions { opens, ..LoaderOptions::default() });
        let extra =
            closure.programs[0].extra.iter().map(|&file| closure.files[file].path.to_string());
        assert_eq!(extra.collect::<Vec<_>>(), ["/l/libplug.so", "/l/libdep.so"]);
        assert_eq!(closure.missing().count(), 0);
    }
}

/// Required dependencies are resolved before recommended ones: a library that both need is
/// required.
#[test]
fn case_28_what_is_required_is_not_optional_for_what_is_recommended() {
    let note = r#"[{"soname": "liba.so", "priority": "recommended"},
        {"soname": "libd.so", "priority": "required"}]"#;
    for loader in [GLIBC, MUSL] {
        let Some(root) = rooted(loader, &Elf::program(loader).rpath("/d").note(note)) else {
            return;
        };
        root.elf("/d/liba.so", &lib().needed("libc1.so"))
            .elf("/d/libd.so", &lib().needed("libc1.so"));
        root.elf("/d/libc1.so", &lib().needed("libgone.so"));
        assert_eq!(closure(&root).missing().count(), 1);
    }
}

/// Versions of a library that nothing loads by that name: the loader's assertion fails.
#[test]
fn case_32_versions_of_what_nothing_loads() {
    for needed in [None, Some("libother.so"), Some("/d/liba.so"), Some("liba.so")] {
        let app = app().runpath("/d").wants("liba.so", &[("V_1", false)]);
        let app = needed.iter().fold(app, |app, name| app.needed(name));
        let Some(root) = glibc(&app) else { return };
        let library = lib().soname("liba.so").defines(&["liba.so", "V_1"]);
        root.elf("/d/liba.so", &library).elf("/d/libother.so", &library);
        let closure = closure(&root);
        let faults: Vec<String> = closure.faults().map(|(_, fault)| fault.to_string()).collect();
        let (_, printed) = root.glibc(&["/app"], &[]).remove(0);
        assert_eq!(printed.contains("Assertion"), needed != Some("liba.so"), "{printed}");
        let wanted = "/app: needs versions of liba.so, but nothing loads a library by that name";
        assert_eq!(faults.contains(&wanted.to_owned()), needed != Some("liba.so"), "{faults:?}");
    }
}

#[test]
fn a_file_that_is_cut_off_is_a_fault() {
    let Some(root) = glibc(&app().needed("liba.so")) else { return };
    let mut long = lib().build();
    let is_load = |at: &usize| long[*at..at + 4] == 1u32.to_le_bytes();
    let at = (0..8).map(|index| 64 + 56 * index).find(is_load).unwrap() + 32; // its p_filesz
    long[at..at + 8].copy_from_slice(&(1u64 << 20).to_le_bytes());
    root.file("/lib/liba.so", &long);
    let faults: Vec<String> = closure(&root).faults().map(|(_, fault)| fault.to_string()).collect();
    assert_eq!(faults, ["/lib/liba.so: the file is truncated: it ends before its segments do"]);
    long.resize(64 + (1 << 20), 0);
    root.file("/lib/liba.so", &long);
    assert_eq!(closure(&root).faults().count(), 0);
}

/// The builds for better processors are added for every library that is found, whoever requests it.
#[test]
fn case_14_builds_of_what_is_opened_come_along() {
    let note = r#"[{"soname": "libn.so", "priority": "required"}]"#;
    let Some(root) = glibc(&app().needed("liba.so").runpath("/d").note(note)) else { return };
    for name in ["liba.so", "libn.so", "libo.so"] {
        root.elf(&format!("/d/{name}"), &lib())
            .elf(&format!("/d/glibc-hwcaps/x86-64-v3/{name}"), &lib());
    }
    let opens = [(ImagePath::new("/app").unwrap(), [Arc::from(&b"libo.so"[..])].into())].into();
    let options = LoaderOptions { hwcaps: Hwcaps::All, opens, ..LoaderOptions::default() };
    let closure = root.closure(&["/app"], &options);
    let variants = closure.files.iter().filter(|file| file.path.to_string().contains("x86-64-v3"));
    assert_eq!(variants.count(), 3);
}

/// A file of /proc is different in each process.
#[test]
fn paths_through_proc_are_not_followed() {
    for loader in [GLIBC, MUSL] {
        let root = Rooted::empty();
        root.link("/proc/self", "17").link("/proc/17/cwd", "/z").elf(loader, &lib());
        root.elf("/z/x/liba.so", &lib()).elf("/z/loader.so", &lib());
        root.elf("/app", &Elf::program(loader).needed("liba.so").runpath("/proc/self/cwd/x"));
        root.elf("/app2", &Elf::program(loader).needed("/proc/self/cwd/x/liba.so"));
        root.elf("/app3", &Elf::program("/proc/self/cwd/loader.so"));
        let closure = root.closure(&["/app", "/app2", "/app3"], &LoaderOptions::default());
        assert_eq!(
            (closure.missing().count(), closure.faults().count()),
            (2, 1),
            "{}",
            render::tree(&closure)
        );
        assert!(closure.files.iter().all(|file| file.links.is_empty()));
    }
}

/// musl's loader has room for 511 bytes of a path, and does not split at semicolons.
#[test]
fn case_20_musls_limits() {
    let long = format!("/{}/{}", "a".repeat(250), "b".repeat(251));
    for (dir, wanted) in [(&long[..490], 1), (&long[..], 0)] {
        let Some(root) = rooted(MUSL, &Elf::program(MUSL).needed("libm1.so")) else { return };
        root.elf(&format!("{dir}/libm1.so"), &lib()).elf("/b/libm1.so", &lib());
        let options = LoaderOptions {
            environment_path: format!("/a;/b:{dir}").into(),
            ..LoaderOptions::default()
        };
        let closure = root.closure(&["/app"], &options);
        assert_eq!(loads(&closure).len(), wanted);
        let environment = [format!("LD_LIBRARY_PATH='/a;/b:{dir}'")];
        let (theirs, printed) = root.through(MUSL, &["/app"], &environment).remove(0);
        assert_eq!(
            theirs.loads.iter().filter(|(name, _)| name == "libm1.so").count(),
            wanted,
            "{printed}"
        );
    }
}

#[test]
fn library_configuration_of_the_inputs_stays() {
    let Some(root) = glibc(&app().needed("liba.so")) else { return };
    root.elf("/opt/x/liba.so", &lib()).elf("/usr/local/lib/libz.so", &lib().soname("libz.so"));
    root.file("/etc/ld.so.conf", "/usr/local/lib\n");
    root.ldconfig(&[]);
    let existing = fs_err::read(root.path("/etc/ld.so.cache")).unwrap();
    let options =
        LoaderOptions { library_path: vec![b"/opt/x".to_vec()], ..LoaderOptions::default() };
    let closure = root.closure(&["/app"], &options);
    let merged = closure.config_files()[0].over(&existing).unwrap();
    let cache = Cache::parse(&merged, false).unwrap();
    let paths: Vec<_> =
        cache.entries().iter().map(|entry| String::from_utf8_lossy(&entry.path)).collect();
    assert_eq!(paths, ["/usr/local/lib/libz.so", "/opt/x/liba.so"]);
    root.file("/etc/ld.so.cache", &merged);
    let (theirs, printed) = root.glibc(&["/app"], &[]).remove(0);
    assert_eq!(theirs.loads[0].1, "/opt/x/liba.so", "{printed}");
    assert_eq!(closure.config_files()[0].over(&merged), None);
    assert_eq!(
        closure.config_files()[0].over(b"no cache").as_ref(),
        Some(&closure.config_files()[0].bytes)
    );
}

#[test]
fn musls_path_file_of_the_inputs_stays() {
    let Some(root) = rooted(MUSL, &Elf::program(MUSL).needed("liba.so").needed("libb.so")) else {
        return;
    };
    root.elf("/opt/x/liba.so", &lib()).elf("/one/libb.so", &lib());
    root.file("/etc/ld-musl-x86_64.path", "/two:/one\n/lib");
    let options =
        LoaderOptions { library_path: vec![b"/opt/x".to_vec()], ..LoaderOptions::default() };
    let config = &root.closure(&["/app"], &options).config_files()[0];
    assert_eq!(config.over(b"/two:/one\n/lib").unwrap(), b"/opt/x\n/two\n/one\n/lib\n");
    assert_eq!(config.over(b"/opt/x:/one"), None);
}

/// A generated path file comes after all search paths of objects, LD_LIBRARY_PATH before them.
#[test]
fn a_search_path_shadows_what_the_library_path_finds() {
    for (loader, file) in [(MUSL, "/b/liba.so"), (GLIBC, "/b/liba.so")] {
        let Some(root) = rooted(loader, &Elf::program(loader).needed("liba.so").runpath("/b:/c"))
        else {
            return;
        };
        root.elf("/a/liba.so", &lib().soname("one")).elf(file, &lib().soname("two"));
        let options =
            LoaderOptions { library_path: vec![b"/a".to_vec()], ..LoaderOptions::default() };
        let warnings = |root: &Rooted| root.closure(&["/app"], &options).warnings;
        let shadowed = Warning::Shadowed(Arc::from(&b"/a/liba.so"[..]), Arc::from(file.as_bytes()));
        assert_eq!(warnings(&root).into_iter().collect::<Vec<_>>(), [shadowed]);
        // The same file by another path is not another file.
        fs_err::remove_file(root.path(file)).unwrap();
        root.link(file, "/a/liba.so");
        assert_eq!(warnings(&root).len(), 0);
    }
}

#[test]
fn case_19_musl_needs_its_path_file() {
    let Some(root) = rooted(MUSL, &Elf::program(MUSL).needed("liba.so").needed("libb.so")) else {
        return;
    };
    root.elf("/opt/x/liba.so", &lib()).elf("/lib/libb.so", &lib());
    root.file("/etc/ld-musl-x86_64.path", "/gone:/lib\n/opt/x\n");
    let closure = holds_alone(&root, &LoaderOptions::default());
    assert_eq!(closure.config_files()[0].bytes, b"/lib\n/opt/x\n/usr/local/lib\n/usr/lib\n");
    // Without the file only the default directories are searched.
    fs_err::remove_file(root.path("/etc/ld-musl-x86_64.path")).unwrap();
    assert_eq!(self::closure(&root).missing().count(), 1);
    let options =
        LoaderOptions { library_path: vec![b"/opt/x".to_vec()], ..LoaderOptions::default() };
    holds_alone(&root, &options);
}

/// liba.so is in the second directory only, and libb.so in both: the order of directories is kept.
#[test]
fn musls_path_file_keeps_the_order_of_the_search() {
    let Some(root) = rooted(MUSL, &Elf::program(MUSL).needed("liba.so").needed("libb.so")) else {
        return;
    };
    root.elf("/two/liba.so", &lib()).elf("/one/libb.so", &lib()).elf("/two/libb.so", &lib());
    let options = LoaderOptions {
        library_path: vec![b"/one".to_vec(), b"/two".to_vec()],
        ..LoaderOptions::default()
    };
    let found = root.closure(&["/app"], &options);
    assert!(found.config_files()[0].bytes.starts_with(b"/one\n/two\n"));
    root.file("/etc/ld-musl-x86_64.path", "/one\n/two\n/lib\n");
    assert_eq!(
        closure(&root).config_files()[0].bytes,
        b"/one\n/two\n/lib\n/usr/local/lib\n/usr/lib\n"
    );
}

#[test]
fn case_19_musl_with_a_prefix() {
    let loader = "/opt/x/lib/ld-musl-x86_64.so.1";
    if !have(&["busybox", "chroot"]) {
        return;
    }
    let root = Rooted::new(MUSL);
    root.host(MUSL, loader);
    root.elf("/app", &Elf::program(loader).needed("liba.so")).elf("/p/liba.so", &lib());
    root.file("/opt/x/etc/ld-musl-x86_64.path", "/p").file("/etc/ld-musl-x86_64.path", "/gone");
    let closure = closure(&root);
    assert_eq!(loads(&closure), ["/p/liba.so"]);
    let (theirs, _) = root.through(loader, &["/app"], &[]).remove(0);
    assert_eq!(theirs.loads.last().unwrap().1, "/p/liba.so");
    assert_eq!(&*closure.config_files()[0].path, b"/opt/x/etc/ld-musl-x86_64.path");
}

#[test]
fn case_20_musls_own_rules() {
    let names = ["libm.so.6", "libc.so.6", "libdl.so.2", "libc.musl-x86_64.so.1", "liba.so"];
    let app =
        names.iter().fold(Elf::program(MUSL).runpath("$ORIGIN/d"), |app, name| app.needed(name));
    let Some(root) = rooted(MUSL, &app) else { return };
    root.elf(
        "/d/liba.so",
        &lib().needed("libb.so").runpath("/x:$LIB").text(crate::elf_builder::FILTER, "libf.so"),
    );
    root.elf("/d/libb.so", &lib().soname("libc0.so")).elf("/x/libb.so", &lib());
    let closure = closure(&root);
    assert_eq!(loads(&closure), [MUSL, "//d/liba.so", "//d/libb.so"]);
    assert_eq!(closure.missing().count(), 0);
    // imgb reports as a fault what musl would map and jump into.
    root.elf("/d/libb.so", &lib().on(183, true, false, 0));
    assert_eq!(self::closure(&root).faults().count(), 1);
}

#[test]
fn case_20_another_c_library_is_replaced_by_the_loader() {
    let Some(root) = rooted(MUSL, &Elf::program(MUSL).needed("/opt/libc.so.6").needed("liba.so"))
    else {
        return;
    };
    root.elf(
        "/opt/libc.so.6",
        &lib().soname("libc.so.6").symbol("__libc_start_main", true).symbol("stdin", true),
    );
    root.elf("/lib/liba.so", &lib());
    assert_eq!(loads(&closure(&root)), [MUSL, "/lib/liba.so"]);
    let (theirs, _) = root.through(MUSL, &["/app"], &[]).remove(0);
    assert!(theirs.loads.iter().all(|(_, path)| path != "/opt/libc.so.6"), "{theirs:?}");
}

#[test]
fn case_21_merged_usr_and_physical_parents() {
    let Some(root) =
        glibc(&app().needed("liba.so").needed("libc0.so").runpath("/lib/x86_64-linux-gnu/../foo"))
    else {
        return;
    };
    fs_err::remove_dir_all(root.path("/lib64")).unwrap();
    root.host(GLIBC, "/usr/lib/x86_64-linux-gnu/ld.so");
    root.link("/lib", "usr/lib").link("/lib64", "usr/lib64");
    root.link("/usr/lib64/ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu/ld.so");
    root.elf("/usr/lib/foo/liba.so", &lib())
        .elf("/foo/liba.so", &lib())
        .elf("/usr/lib/libc0.so", &lib());
    let closure = closure(&root);
    assert_eq!(loads(&closure), ["/lib/x86_64-linux-gnu/../foo/liba.so", "/lib/libc0.so"]);
    let loader = &closure.files[closure.programs[0].interpreter.unwrap()];
    let links: Vec<String> = loader.links.iter().map(ToString::to_string).collect();
    assert_eq!(links, ["/lib64", "/usr/lib64/ld-linux-x86-64.so.2", "/lib"]);
    assert_eq!(loader.path.to_string(), "/usr/lib/x86_64-linux-gnu/ld.so");
    let found = closure.files.iter().find(|file| file.opened.ends_with(b"foo/liba.so")).unwrap();
    assert_eq!(found.path.to_string(), "/usr/lib/foo/liba.so");
    assert_eq!(found.dotdot_dirs[0].to_string(), "/usr/lib/x86_64-linux-gnu");
}

#[test]
fn case_22_chains_of_links_are_kept() {
    let Some(root) = glibc(&app().needed("libblas.so.3").needed("libloop.so").needed("libgone.so"))
    else {
        return;
    };
    root.link("/usr/lib/libblas.so.3", "/etc/alternatives/libblas.so.3");
    root.link("/etc/alternatives/libblas.so.3", "../../usr/lib/openblas/libblas.so.3");
    root.elf("/usr/lib/openblas/libblas.so.3", &lib().soname("libblas.so.3"));
    root.link("/usr/lib/libloop.so", "libloop.so").link("/usr/lib/libgone.so", "/nowhere");
    let closure = closure(&root);
    let blas = closure.files.last().unwrap();
    let links: Vec<String> = blas.links.iter().map(ToString::to_string).collect();
    assert_eq!(links, ["/usr/lib/libblas.so.3", "/etc/alternatives/libblas.so.3"]);
    let why: Vec<String> = closure
        .missing()
        .map(|(_, edge)| edge.search_log.last().unwrap().miss.to_string())
        .collect();
    assert_eq!(why, ["too many levels of symbolic links", "no such file"]);
}

/// Machines by their header fields, with Debian's loaders for them.
#[test]
fn case_23_and_24_machines_of_every_kind() {
    let machines = [
        ("i386", 3, false, false, 0, "/lib/ld-linux.so.2", "i386-linux-gnu", "386"),
        (
            "armhf",
            40,
            false,
            false,
            0x0500_0400,
            "/lib/ld-linux-armhf.so.3",
            "arm-linux-gnueabihf",
            "arm",
        ),
        (
            "riscv64",
            243,
            true,
            false,
            5,
            "/lib/ld-linux-riscv64-lp64d.so.1",
            "riscv64-linux-gnu",
            "riscv64",
        ),
        ("s390x", 22, true, true, 0, "/lib/ld64.so.1", "s390x-linux-gnu", "s390x"),
        ("ppc64le", 21, true, false, 2, "/lib64/ld64.so.2", "powerpc64le-linux-gnu", "ppc64le"),
        (
            "aarch64",
            183,
            true,
            false,
            0,
            "/lib/ld-linux-aarch64.so.1",
            "aarch64-linux-gnu",
            "arm64",
        ),
    ];
    let root = Rooted::empty();
    for (name, arch, is_64, big, flags, loader, triplet, oci) in machines {
        let on = |elf: Elf| elf.on(arch, is_64, big, flags);
        let rodata = format!(
            "\0/lib/{triplet}/\0/usr/lib/{triplet}/\0/lib/\0/usr/lib/\0lib/{triplet}\0/etc/ld.so.cache\0"
        );
        let loader_file = [on(lib()).build(), rodata.into_bytes()].concat();
        root.file(loader, loader_file);
        root.elf(
            "/app",
            &on(Elf::program(loader).needed("liba.so.1").needed("libb.so").runpath("/x/$LIB")),
        );
        root.elf(&format!("/usr/lib/{triplet}/liba.so.1"), &on(lib()));
        root.elf(&format!("/x/lib/{triplet}/libb.so"), &on(lib()));
        // A library of this machine in an earlier directory.
        root.elf(
            &format!("/lib/{triplet}/liba.so.1"),
            &lib().on(if arch == 3 { 62 } else { 3 }, arch == 3, false, 0),
        );
        let closure = closure(&root);
        assert_eq!(
            loads(&closure),
            [format!("/usr/lib/{triplet}/liba.so.1"), format!("/x/lib/{triplet}/libb.so")],
            "{name}"
        );
        assert_eq!(closure.files[0].object.header.machine.oci().unwrap().0, oci, "{name}");
        assert_eq!(closure.faults().count(), 0, "{name}");
    }
}

#[test]
fn case_25_wheels_bring_their_libraries() {
    let Some(root) = glibc(&app()) else { return };
    let site = "/venv/lib/python3.11/site-packages";
    root.elf(
        &format!("{site}/numpy/core/_multiarray.so"),
        &lib()
            .needed("libscipy_openblas64_-ff651d7f.so")
            .needed("libcrypto.so.3")
            .rpath("$ORIGIN/../../numpy.libs"),
    );
    root.elf(
        &format!("{site}/numpy.libs/libscipy_openblas64_-ff651d7f.so"),
        &lib().needed("libgfortran-040039e1.so").rpath("$ORIGIN"),
    );
    root.elf(&format!("{site}/numpy.libs/libgfortran-040039e1.so"), &lib());
    root.elf(&format!("{site}/numpy.libs/libcrypto.so.3"), &lib())
        .elf("/usr/lib/libcrypto.so.3", &lib());
    let module = format!("{site}/numpy/core/_multiarray.so");
    let closure = root.closure(&[&module], &LoaderOptions::default());
    let ours = oracle::ours(&closure, &closure.programs[0]);
    assert_eq!(ours, root.through(GLIBC, &[&module], &[]).remove(0).0);
    assert_eq!(ours.loads.len(), 3);
    // The same wheel for musl needs a C library that is missing.
    root.elf(&module, &lib().needed("libc.musl-x86_64.so.1"));
    let closure = root.closure(&[&module], &LoaderOptions::default());
    assert_eq!(
        closure.missing().map(|(_, edge)| String::from_utf8_lossy(&edge.name)).collect::<Vec<_>>(),
        ["libc.musl-x86_64.so.1"]
    );
}

#[test]
fn case_27_static_programs_need_nothing() {
    if !have(&["gcc", "busybox"]) {
        return;
    }
    let root = Rooted::new(GLIBC);
    root.file("/a.c", "int main(void) { return 0; }");
    for option in ["-static", "-static-pie"] {
        let gcc = std::process::Command::new("gcc")
            .arg(option)
            .arg("-o")
            .arg(root.path("/app"))
            .arg(root.path("/a.c"))
            .status();
        assert!(gcc.unwrap().success());
        let closure = closure(&root);
        let program = &closure.programs[0];
        assert_eq!(
            (program.loader, program.edges.len(), program.faults.len()),
            (None, 0, 0),
            "{option}"
        );
        assert!(render::tree(&closure).contains("statically linked"));
    }
    assert_eq!(
        closure(&root).files[0].object.linkage,
        Linkage::Dynamic,
        "static-pie relocates itself"
    );
}

#[test]
fn case_27_shapes_that_loaders_take() {
    let long = vec!["/very/long/directory"; 3200].join(":") + ":/d";
    let Some(root) = glibc(
        &app()
            .needed("liba.so")
            .needed("liba.so")
            .needed(b"lib\xff\xfe.so")
            .needed("libself.so")
            .rpath(&long),
    ) else {
        return;
    };
    root.elf("/d/liba.so", &lib().needed("libb.so")).elf("/d/libb.so", &lib().needed("liba.so"));
    root.elf("/d/libself.so", &lib().needed("libself.so")).elf("/d/only\u{fffd}", &lib());
    fs_err::write(root.root().join(oracle::arg(b"d/lib\xff\xfe.so")), lib().build()).unwrap();
    let closure = closure(&root);
    assert_eq!(
        oracle::ours(&closure, &closure.programs[0]),
        root.glibc(&["/app"], &[]).remove(0).0
    );
    assert_eq!(closure.missing().count(), 0);
    // A loader without any library.
    root.elf("/app", &app());
    let closure = self::closure(&root);
    assert_eq!((closure.files.len(), closure.programs[0].loads.len()), (2, 0));
    assert_eq!(root.glibc(&["/app"], &[]).remove(0).0, Listing::default());
}

#[test]
fn case_28_dlopen_metadata() {
    let Some(root) = glibc(
        &app()
            .needed("liba.so")
            .runpath("/d")
            .note(r#"[{"soname": ["libnew.so.2", "libold.so.1"], "priority": "required"}]"#)
            .note(r#"{"soname": "libsome.so", "feature": "some", "priority": "suggested"}"#),
    ) else {
        return;
    };
    let note = r#"[{"soname": ["libgone.so"]}, {"soname": ["libplug.so"], "priority": "vital"}]"#;
    root.elf("/d/liba.so", &lib().note(note).note("{not json").runpath("/e"));
    root.elf("/d/libold.so.1", &lib().needed("libdeep.so").runpath("/d"))
        .elf("/d/libdeep.so", &lib());
    root.elf("/d/libsome.so", &lib()).elf("/e/libplug.so", &lib());
    let closure = closure(&root);
    assert_eq!(loads(&closure), ["/d/liba.so"], "the loader itself loads none of them");
    let extra: Vec<_> = closure.programs[0]
        .extra
        .iter()
        .map(|&file| closure.files[file].path.to_string())
        .collect();
    assert_eq!(extra, ["/d/libold.so.1", "/d/libdeep.so", "/e/libplug.so"]);
    assert_eq!(closure.missing().count(), 0, "what is recommended may be missing");
    let warnings: Vec<String> = closure.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings.len(), 3, "{warnings:?}");
    assert_eq!(closure.suggested[0].dlopen.feature.as_deref(), Some("some"));
    let old = closure.programs[0]
        .edges
        .iter()
        .find(|edge| edge.tag == Tag::Dlopen(Priority::Required))
        .unwrap();
    assert!(matches!(old.outcome, Outcome::Found(..)) && !old.search_log.is_empty());
    // Required, and missing.
    fs_err::remove_file(root.path("/d/libold.so.1")).unwrap();
    let closure = self::closure(&root);
    let missing: Vec<_> =
        closure.missing().map(|(_, edge)| String::from_utf8_lossy(&edge.name)).collect();
    assert_eq!(missing, ["libnew.so.2 | libold.so.1"]);
}

/// A missing recommended library is not an error, nor is anything that it needs or requires in
/// turn.
#[test]
fn case_28_a_recommended_library_may_lack_its_own() {
    for loader in [GLIBC, MUSL] {
        let note = r#"[{"soname": ["libplug.so"], "priority": "recommended"}]"#;
        let Some(root) = rooted(loader, &Elf::program(loader).runpath("/d").note(note)) else {
            return;
        };
        let inner = r#"[{"soname": ["libmust.so"], "priority": "required"}]"#;
        root.elf("/d/libplug.so", &lib().needed("libgone.so").note(inner).runpath("/d"));
        let closure = closure(&root);
        assert_eq!(closure.missing().count(), 0);
        let warnings: Vec<String> = closure.warnings.iter().map(ToString::to_string).collect();
        let wanted = |name| {
            format!("/d/libplug.so, which is only recommended, needs {name}, which was not found")
        };
        assert_eq!(warnings, [wanted("libgone.so"), wanted("libmust.so")]);
        let required = note.replace("recommended", "required");
        root.elf("/app", &Elf::program(loader).runpath("/d").note(required));
        assert_eq!(self::closure(&root).missing().count(), 2);
    }
}

#[test]
fn case_32_symbol_versions() {
    let Some(root) = glibc(
        &app()
            .needed("liba.so")
            .needed("libplain.so")
            .runpath("/d")
            .wants("liba.so", &[("V_1", false), ("V_2", false), ("V_3", true)])
            .wants("libplain.so", &[("P_1", false)]),
    ) else {
        return;
    };
    root.elf("/d/liba.so", &lib().soname("liba.so").defines(&["liba.so", "V_1"]))
        .elf("/d/libplain.so", &lib());
    let closure = closure(&root);
    let faults: Vec<String> = closure.faults().map(|(_, fault)| fault.to_string()).collect();
    assert_eq!(faults, ["V_2 not found in /d/liba.so, needed by /app"]);
    assert_eq!(
        closure.warnings.first().unwrap().to_string(),
        "/d/libplain.so has no version information, which /app needs"
    );
    let (_, printed) = root.glibc(&["/app"], &[]).remove(0);
    assert!(printed.contains("version `V_2' not found (required by /app)"), "{printed}");
    assert!(!printed.contains("V_1"), "{printed}");
    root.elf("/d/liba.so", &lib().soname("liba.so").defines(&["liba.so", "V_1", "V_2"]));
    assert_eq!(self::closure(&root).faults().count(), 0);
}

#[test]
fn several_programs_do_not_influence_each_other() {
    let Some(root) = glibc(&app().needed("liba.so").rpath("/d1")) else { return };
    root.elf("/app2", &app().needed("liba.so").runpath("/d2"))
        .elf("/app3", &app().needed("liba.so"));
    root.elf("/d1/liba.so", &lib()).elf("/d2/liba.so", &lib()).elf("/lib/liba.so", &lib());
    let together = root.closure(&["/app", "/app2", "/app3", "/app"], &LoaderOptions::default());
    for (at, program) in ["/app", "/app2", "/app3", "/app"].iter().enumerate() {
        let alone = root.closure(&[program], &LoaderOptions::default());
        assert_eq!(
            oracle::ours(&alone, &alone.programs[0]),
            oracle::ours(&together, &together.programs[at])
        );
    }
}

#[test]
fn every_rendering_names_every_edge() {
    let Some(root) = glibc(&app().needed("liba.so").needed("libgone\"\n.so").runpath("/d")) else {
        return;
    };
    root.elf("/d/liba.so", &lib());
    let closure = closure(&root);
    let tree = render::tree(&closure);
    assert!(tree.contains("├── liba.so => /d/liba.so (RUNPATH of /app)\n"), "{tree}");
    assert!(
        tree.contains(
            "└── libgone\"\\x0a.so => not found\n    /d/libgone\"\\x0a.so (RUNPATH of /app): no \
                such file"
        ),
        "{tree}"
    );
    assert_eq!(render::list(&closure), format!("/d/liba.so\n{GLIBC}\n").into_bytes());
    let json = render::json(&closure);
    let edges = json["programs"][0]["edges"].as_array().unwrap();
    assert_eq!(
        (edges[0]["method"].as_str(), edges[0]["path"].as_str()),
        (Some("RUNPATH of /app"), Some("/d/liba.so"))
    );
    assert!(edges[1]["candidates"].as_array().unwrap().len() > 1);
    let dot = render::dot(&closure);
    assert!(
        dot.contains(r#""/app" -> "/d/liba.so" [label="liba.so"];"#)
            && dot.contains(r#"libgone\"\\x0a.so"#),
        "{dot}"
    );
}

#[test]
fn symbols_are_read_apart() {
    for (is_64, big) in [(true, false), (true, true), (false, false), (false, true)] {
        let elf = lib()
            .on(62, is_64, big, 0)
            .symbol("getaddrinfo", false)
            .symbol("mine", true)
            .needed("libc.so.6");
        let bytes = elf.build();
        let mut read_at = |offset: u64, buffer: &mut [u8]| {
            let from = &bytes[(offset as usize).min(bytes.len())..];
            let count = from.len().min(buffer.len());
            buffer[..count].copy_from_slice(&from[..count]);
            Ok(count)
        };
        let (mut imports, mut exports) = (Vec::new(), Vec::new());
        let len = bytes.len() as u64;
        imgb::elf::imports(len, &mut read_at, |name| imports.push(name.to_vec())).unwrap().unwrap();
        imgb::elf::exports(len, &mut read_at, |name| exports.push(name.to_vec())).unwrap().unwrap();
        assert_eq!((imports, exports), (vec![b"getaddrinfo".to_vec()], vec![b"mine".to_vec()]));
        let object = Object::read(len, &mut read_at).unwrap().unwrap();
        assert_eq!(object.needed().count(), 1);
        assert!(bytes.len() > HEADER_LEN);
    }
}
