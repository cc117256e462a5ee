use super::*;
use crate::{source::HostRoot, timestamp::Mtime};

fn path(text: &str) -> ImagePath {
    ImagePath::new(text).unwrap()
}

fn tree(nodes: &[(&str, Node)]) -> Tree {
    nodes.iter().map(|(at, node)| (path(at), node.clone())).collect()
}

fn options() -> InputOptions {
    InputOptions {
        exclude: Vec::new(),
        preserve_mode: false,
        owner: None,
        mtime: Mtime::OfContent,
        outputs: BTreeSet::new(),
        command_dirs: Vec::new(),
        versions: BTreeMap::new(),
        as_file: false,
        spool: std::env::temp_dir(),
        jobs: std::num::NonZeroUsize::MIN,
    }
}

fn find(view: &View<'_>, at: &str) -> Answer<Found> {
    view.find(at.as_bytes()).unwrap()
}

fn read(view: &View<'_>, at: &str) -> String {
    let found = find(view, at).unwrap();
    String::from_utf8(view.read(&found, 100).unwrap().unwrap()).unwrap()
}

#[test]
fn a_tree_alone_shows_itself_and_nothing_else() {
    let tree = tree(&[
        ("usr/lib/libx.so", Node::inline(0o644, *b"x")),
        ("lib", Node::symlink(*b"usr/lib")),
        ("etc", Node::directory(0o755)),
        ("etc/passwd", Node::symlink(*b"/../../proc/self/status")),
    ]);
    let view = View::of_tree(&tree);
    let found = find(&view, "/lib/libx.so").unwrap();
    assert_eq!((found.path, found.links), (path("usr/lib/libx.so"), vec![path("lib")]));
    assert_eq!(find(&view, "/etc/passwd"), Err(Absence::Missing));
    // Nothing but a path below them says that these are directories.
    assert_eq!(view.list(b"/usr").unwrap().unwrap(), [b"lib".to_vec()]);
    assert_eq!(find(&view, "/usr/lib").unwrap().kind, FoundKind::Directory);
    assert_eq!(view.list(b"/").unwrap().unwrap(), [&b"etc"[..], b"lib", b"usr"]);
}

/// The same answers whether the sysroot is a directory of the host or a tree.
#[test]
fn any_tree_of_files_is_a_sysroot() {
    let dir = tempfile::tempdir().unwrap();
    for (at, text) in [("usr/lib/a", "sysroot's"), ("usr/lib/b", "sysroot's")] {
        let at = dir.path().join(at);
        fs_err::create_dir_all(at.parent().unwrap()).unwrap();
        fs_err::write(at, text).unwrap();
    }
    fs_err::os::unix::fs::symlink("usr/lib", dir.path().join("lib")).unwrap();
    let host = HostRoot::new(dir.path()).unwrap();
    let image = tree(&[
        ("usr/lib/a", Node::inline(0o664, *b"sysroot's")),
        ("usr/lib/b", Node::inline(0o664, *b"sysroot's")),
        ("lib", Node::symlink(*b"usr/lib")),
    ]);
    let layer = tree(&[("lib", Node::directory(0o755)), ("lib/a", Node::inline(0o600, *b"own"))]);
    let options = options();
    for sysroot in [Sysroot::from(&host), Sysroot::from(&image)] {
        let view = View::new(&layer, sysroot, &options);
        // The layer's directory stays, and shows what the sysroot's link leads to.
        assert_eq!(
            (read(&view, "/lib/a"), read(&view, "/lib/b")),
            ("own".into(), "sysroot's".into())
        );
        assert_eq!(find(&view, "/lib/b").unwrap().path, path("lib/b"));
        assert_eq!(view.list(b"/lib").unwrap().unwrap(), [b"a".to_vec(), b"b".to_vec()]);
        assert_eq!(find(&view, "/lib/c"), Err(Absence::Missing));
        assert_eq!(find(&view, "/lib/b/"), Err(Absence::Missing));
        let node = |at: &str| view.node(&path(at)).unwrap().unwrap().unwrap();
        assert_eq!((node("lib/a").meta.mode, node("lib/b").meta.mode), (0o600, 0o644));
        assert!(view.is_own(&path("lib/a")) && !view.is_own(&path("lib/b")));
        // A file of the sysroot is one file by whatever path it is reached.
        assert_eq!(find(&view, "/lib/b").unwrap().id, find(&view, "/usr/lib/b").unwrap().id);
        assert_ne!(find(&view, "/lib/a").unwrap().id, find(&view, "/usr/lib/a").unwrap().id);
    }
}

#[test]
fn the_highest_layer_wins() {
    let upper = tree(&[("a", Node::inline(0o644, *b"upper")), ("d/x", Node::inline(0o644, *b""))]);
    let lower = tree(&[("a", Node::inline(0o644, *b"lower")), ("d/y", Node::inline(0o644, *b"y"))]);
    let view = View::of_tree(&upper).over(&lower);
    assert_eq!((read(&view, "/a"), read(&view, "/d/y")), ("upper".into(), "y".into()));
    assert_eq!(view.list(b"/d").unwrap().unwrap(), [b"x".to_vec(), b"y".to_vec()]);
}

#[test]
fn hard_links_are_one_file() {
    let shared = Node::inline(0o644, *b"one");
    let tree = tree(&[("a", shared.clone()), ("b", shared), ("c", Node::inline(0o644, *b"one"))]);
    let view = View::of_tree(&tree);
    let id = |at: &str| find(&view, at).unwrap().id;
    assert_eq!(id("/a"), id("/b"));
    assert_ne!(id("/a"), id("/c"));
}

/// ldconfig tells directories apart by their identity.
#[test]
fn a_directory_is_itself_by_whatever_path() {
    let tree = tree(&[
        ("usr/lib", Node::directory(0o755)),
        ("usr/lib64", Node::directory(0o755)),
        ("lib", Node::symlink(*b"usr/lib")),
    ]);
    let view = View::of_tree(&tree);
    let id = |at: &str| find(&view, at).unwrap().id;
    assert_eq!(id("/lib"), id("/usr/lib"));
    assert!(id("/usr/lib") != id("/usr/lib64") && id("/usr") != id("/usr/lib"));
}

#[test]
fn a_view_shows_one_moment() {
    let dir = tempfile::tempdir().unwrap();
    fs_err::write(dir.path().join("a"), "one").unwrap();
    let host = HostRoot::new(dir.path()).unwrap();
    let (empty, options) = (Tree::new(), options());
    let view = View::new(&empty, &host, &options);
    let found = find(&view, "/a").unwrap();
    assert_eq!(find(&view, "/b"), Err(Absence::Missing));
    fs_err::rename(dir.path().join("a"), dir.path().join("b")).unwrap();
    fs_err::write(dir.path().join("a"), "two").unwrap();
    assert_eq!(find(&view, "/b"), Err(Absence::Missing));
    // What was found is read or is an error: another file is never taken for it.
    assert!(view.read(&found, 10).is_err());
}

/// Lists of checksums have neither links nor directories.
#[test]
fn names_tell_whose_unlisted_links_and_directories_are() {
    let paragraph =
        |name: &str| Node::inline(0o644, format!("Package: {name}\nVersion: 1\n").into_bytes());
    let sums = "00112233445566778899aabbccddeeff  usr/share/db/data\n";
    let sysroot = tree(&[
        ("bin", Node::symlink(*b"usr/bin")),
        ("etc/db/15/db.conf", Node::inline(0o644, *b"c")),
        ("usr/bin/db-server", Node::symlink(*b"db-check")),
        ("usr/bin/db", Node::symlink(*b"db-check")),
        ("usr/lib/x86_64-linux-gnu/modules", Node::symlink(*b"db")),
        ("usr/share/db/data", Node::inline(0o644, *b"d")),
        ("usr/share/db/link", Node::symlink(*b"data")),
        ("var/lib/dpkg/status.d/db-common", paragraph("db-common")),
        ("var/lib/dpkg/status.d/db-common.md5sums", Node::inline(0o644, sums.as_bytes())),
        ("var/lib/dpkg/status.d/db-server", paragraph("db-server")),
        ("var/lib/dpkg/status.d/db-server.md5sums", Node::inline(0o644, *b"")),
    ]);
    let options = options();
    let nothing = Tree::new();
    let view = View::new(&nothing, &sysroot, &options);
    let database = view.packages().unwrap().unwrap();
    let owners = |at: &str| {
        let owners = database.owners(&path(at)).into_iter();
        let names = owners.map(|id| database.package(id).unwrap().name.to_string());
        names.collect::<Vec<_>>().join(" ")
    };
    let both = "db-common db-server";
    for (at, wanted) in [
        ("/etc/db", both),
        ("/etc/db/15", both),
        ("/usr/lib/x86_64-linux-gnu/modules", both),
        // What a list has something of is that package's alone; a command is that of a package
        // that lists nothing.
        ("/usr/share/db", ""),
        ("/usr/share/db/data", "db-common"),
        ("/usr/share/db/link", ""),
        ("/usr/bin/db-server", "db-server"),
        ("/usr/bin/db", "db-server"),
        ("/var/lib/dpkg", ""),
    ] {
        assert_eq!(owners(at), wanted, "{at}");
    }
}

#[test]
fn the_sysroots_packages_are_read_with_their_lists_or_checksums() {
    let paragraph = |name: &str| format!("Package: {name}\nVersion: 1\nArchitecture: amd64\n");
    let sums = "00112233445566778899aabbccddeeff  usr/lib/libb.so\n";
    let sysroot = tree(&[
        ("lib", Node::symlink(*b"usr/lib")),
        ("usr/lib/liba.so", Node::inline(0o644, *b"a")),
        ("var/lib/dpkg/status", Node::inline(0o644, paragraph("a").into_bytes())),
        ("var/lib/dpkg/info/a:amd64.list", Node::inline(0o644, *b"/.\n/lib/liba.so\n")),
        ("var/lib/dpkg/status.d/b", Node::inline(0o644, paragraph("b").into_bytes())),
        ("var/lib/dpkg/status.d/b.md5sums", Node::inline(0o644, sums.as_bytes())),
    ]);
    let options = options();
    let own = tree(&[("var/lib/dpkg/status", Node::inline(0o644, paragraph("own").into_bytes()))]);
    let view = View::new(&own, &sysroot, &options);
    let database = view.packages().unwrap().unwrap();
    let owners = |at: &str| {
        let owners = database.owners(&path(at)).into_iter();
        owners.map(|id| database.package(id).unwrap().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(owners("/usr/lib/liba.so"), ["a 1"]);
    assert_eq!(owners("/usr/lib/libb.so"), ["b 1"]);
    assert_eq!(database.packages().count(), 2);
    assert!(
        View::new(&sysroot, &own, &options)
            .packages()
            .unwrap()
            .is_some_and(|own| { own.packages().count() == 1 })
    );
    assert!(View::of_tree(&sysroot).packages().unwrap().is_none());
}

#[test]
fn a_layer_meets_the_sysroot_where_a_package_may_own_its_files() {
    let sysroot = tree(&[
        ("usr/bin/tool", Node::inline(0o755, *b"tool")),
        ("bin", Node::symlink(*b"usr/bin")),
        ("license", Node::inline(0o644, *b"text")),
    ]);
    let options = options();
    let meets = |at: &str| {
        let mut own = tree(&[(at, Node::inline(0o644, *b"own"))]);
        own.add_parents(|_| Node::directory(0o755));
        View::new(&own, &sysroot, &options).meets_sysroot().unwrap()
    };
    for (at, wanted) in [
        ("usr/bin/tool", true),
        ("usr/bin/other", true),
        ("bin/other", true),
        ("usr/other", true),
        ("license", true),
        ("readme", false),
        ("app/tool", false),
        ("usr/lib/app/tool", false),
    ] {
        assert_eq!(meets(at), wanted, "{at}");
    }
    assert!(!View::of_tree(&sysroot).meets_sysroot().unwrap());
}
