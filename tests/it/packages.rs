//! What scanners find in an image: the packages of the sysroot that own its files.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use serde_json::Value;

use crate::{
    engines::have,
    fixtures,
    sandbox::{Sandbox, is_there},
};

const STATUS: &str = "\
Package: tool
Status: install ok installed
Version: 1.0-2
Architecture: amd64
Source: tools (1.0)
Conffiles:
 /etc/tool.conf 0123456789abcdef0123456789abcdef
 /etc/other.conf 0123456789abcdef0123456789abcdef
Description: a tool
 It has a long description.

Package: tool-doc
Status: install ok installed
Version: 1.0-2
Architecture: all

Package: other
Status: install ok installed
Version: 3
Architecture: amd64

Package: base-files
Status: install ok installed
Version: 12
Architecture: amd64
";

/// A root with four packages: a tool, the documents of which are another's; the distribution's
/// name; and a package that has nothing to do with these.
fn debian() -> Sandbox {
    let sandbox = Sandbox::new();
    let info = "r/var/lib/dpkg/info";
    sandbox
        .program("r/usr/bin/tool", fixtures::static_elf(fixtures::X86_64))
        .program("r/usr/bin/more", fixtures::static_elf(fixtures::X86_64))
        .program("r/usr/bin/other", fixtures::static_elf(fixtures::X86_64))
        .symlink("r/bin", "usr/bin")
        .file("r/etc/tool.conf", "x")
        .file("r/usr/lib/os-release", "ID=debian\n")
        .symlink("r/etc/os-release", "../usr/lib/os-release")
        .file("r/usr/share/doc/tool-doc/copyright", "MIT\n")
        .symlink("r/usr/share/doc/tool", "tool-doc")
        .file("r/usr/share/doc/other/copyright", "GPL\n")
        .file("r/var/lib/dpkg/status", STATUS)
        .file(
            &format!("{info}/tool.list"),
            "/.\n/bin\n/bin/tool\n/bin/more\n/etc\n/etc/tool.conf\n/usr/share/doc/tool\n",
        )
        .file(
            &format!("{info}/tool.md5sums"),
            "00000000000000000000000000000001  bin/tool\n\
             00000000000000000000000000000002  bin/more\n",
        )
        .file(&format!("{info}/tool-doc.list"), "/usr/share/doc/tool-doc/copyright\n")
        .file(&format!("{info}/other.list"), "/usr/bin\n/usr/bin/other\n")
        .file(&format!("{info}/base-files.list"), "/bin\n/etc/os-release\n/usr/lib/os-release\n");
    sandbox
}

/// The files of an image that are not directories.
fn files(sandbox: &Sandbox, archive: &str) -> BTreeSet<String> {
    let text = sandbox.tool("tar", &format!("-tf {archive}")).run().ok().text();
    text.lines().filter(|name| !name.ends_with('/')).map(str::to_owned).collect()
}

fn text(sandbox: &Sandbox, path: &str) -> String {
    sandbox.tool("tar", &format!("-xOf out.tar {path}")).run().ok().text()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

const OF_TOOL: [&str; 9] = [
    "etc/os-release",
    "etc/tool.conf",
    "usr/bin/tool",
    "usr/lib/os-release",
    "usr/share/doc/tool/copyright",
    "var/lib/dpkg/status.d/base-files",
    "var/lib/dpkg/status.d/base-files.md5sums",
    "var/lib/dpkg/status.d/tool",
    "var/lib/dpkg/status.d/tool.md5sums",
];

#[test]
fn packages_are_recorded_with_the_files_that_are_there() {
    let sandbox = debian();
    let pack = "pack tool --sysroot r --include /etc/tool.conf -q";
    sandbox.imgb(&format!("{pack} -o rootfs:out.tar")).run().ok();
    assert_eq!(files(&sandbox, "out.tar"), set(&OF_TOOL));
    assert_eq!(
        text(&sandbox, "var/lib/dpkg/status.d/tool"),
        "Package: tool\nVersion: 1.0-2\nArchitecture: amd64\nSource: tools (1.0)\n\
         Conffiles: \n /etc/tool.conf 0123456789abcdef0123456789abcdef\nDescription: a tool\n"
    );
    let sums = text(&sandbox, "var/lib/dpkg/status.d/tool.md5sums");
    assert_eq!(sums, "00000000000000000000000000000001  usr/bin/tool\n");
    assert_eq!(text(&sandbox, "usr/share/doc/tool/copyright"), "MIT\n");
    let plan = sandbox.imgb("plan tool --sysroot r --json").run().ok().text();
    let plan: Value = serde_json::from_str(&plan).unwrap();
    let layers = plan["layers"].as_array().unwrap().iter();
    let mut nodes = layers.flat_map(|layer| layer["files"].as_array().unwrap());
    let sums = nodes.find(|node| node["path"] == "/var/lib/dpkg/status.d/tool").unwrap();
    assert_eq!(sums["causes"][0]["kind"], "package");
    assert_eq!(sums["causes"][0]["package"], "tool 1.0-2");
    assert_eq!(sums["causes"][0]["owns"], "/usr/bin/tool");

    sandbox.imgb(&format!("{pack} --package-metadata none -o rootfs:out.tar")).run().ok();
    assert_eq!(files(&sandbox, "out.tar"), set(&["etc/tool.conf", "usr/bin/tool"]));
}

/// A copy of a program that a package owns has the package's bytes, wherever it is.
#[test]
fn a_packaged_file_is_recorded_under_another_path() {
    let sandbox = debian();
    sandbox.imgb("pack r/usr/bin/tool:/app/t --sysroot r -q -o rootfs:out.tar").run().ok();
    let sums = text(&sandbox, "var/lib/dpkg/status.d/tool.md5sums");
    assert_eq!(sums, "00000000000000000000000000000001  app/t\n");
    // Another file of that name is not the package's.
    sandbox.program("tool", fixtures::static_elf(fixtures::X86_64));
    sandbox.imgb("pack ./tool:/usr/bin/tool --sysroot r -q -o rootfs:own.tar").run().ok();
    assert_eq!(files(&sandbox, "own.tar"), set(&["usr/bin/tool"]));
}

#[test]
fn what_a_base_says_of_its_packages_is_completed_or_stays() {
    let sandbox = debian();
    sandbox.imgb("pack tool --sysroot r -q -o base.tar").run().ok();
    sandbox.imgb("pack more --sysroot r --base base.tar -q -o rootfs:out.tar").run().ok();
    let sums = text(&sandbox, "var/lib/dpkg/status.d/tool.md5sums");
    assert_eq!(
        sums,
        "00000000000000000000000000000002  usr/bin/more\n\
         00000000000000000000000000000001  usr/bin/tool\n"
    );
    // Another version of the package in the base is another package.
    let older = STATUS.replace("Version: 1.0-2", "Version: 0.9");
    sandbox.file("b/var/lib/dpkg/status.d/tool", older.split("\n\n").next().unwrap());
    sandbox.imgb("pack b/:/ --no-deps -q -o base.tar").run().ok();
    sandbox.imgb("pack tool --sysroot r --base base.tar -q -o rootfs:out.tar").run().ok();
    assert!(text(&sandbox, "var/lib/dpkg/status.d/tool").contains("Version: 0.9"));
    let both = text(&sandbox, "var/lib/dpkg/status.d/tool_1.0-2_amd64");
    assert!(both.contains("Version: 1.0-2"), "{both}");
    // A base with dpkg knows the package already.
    sandbox.file("d/var/lib/dpkg/status", STATUS);
    sandbox.imgb("pack d/:/ --no-deps -q -o base.tar").run().ok();
    sandbox.imgb("pack tool --sysroot r --base base.tar -q -o rootfs:out.tar").run().ok();
    let found = files(&sandbox, "out.tar");
    assert!(!found.iter().any(|name| name.contains("status.d")), "{found:?}");
}

#[test]
fn apks_database_has_the_files_that_are_there() {
    let sandbox = Sandbox::new();
    let head = "P:busybox\nV:1.37.0-r30\nA:x86_64\no:busybox\n";
    let other = "P:musl\nV:1.2.5-r23\nA:x86_64\nF:lib\nR:ld-musl-x86_64.so.1\n";
    let installed = format!("{head}F:bin\nR:busybox\na:0:0:755\nR:more\nF:etc\nR:x\n\n{other}\n");
    sandbox
        .program("r/bin/busybox", fixtures::static_elf(fixtures::X86_64))
        .program("r/bin/more", fixtures::static_elf(fixtures::X86_64))
        .file("r/lib/apk/db/installed", installed);
    sandbox.imgb("pack busybox --sysroot r -q -o base.tar -o rootfs:out.tar").run().ok();
    let first = format!("{head}F:bin\nR:busybox\na:0:0:755\n\n");
    assert_eq!(text(&sandbox, "lib/apk/db/installed"), first);
    let more = "pack more --sysroot r --base base.tar -q -o rootfs:out.tar";
    sandbox.imgb(more).run().ok();
    let both = format!("{head}F:bin\nR:busybox\na:0:0:755\nR:more\n\n");
    assert_eq!(text(&sandbox, "lib/apk/db/installed"), both);
}

/// Files of two packages, built by rpm itself and installed into a root of their own. Returns false
/// if the test must be skipped.
fn rpm_root(sandbox: &Sandbox) -> bool {
    if !have(&["rpm", "rpmbuild"]) {
        return false;
    }
    let packages = [
        ("tool", "", "Requires: libtool.so.1()(64bit), /bin/sh\nRecommends: (more or less)"),
        ("libtool1", "Epoch: 2\n", "Provides: libtool.so.1()(64bit)"),
    ];
    for (name, epoch, relations) in packages {
        let many: String =
            (0..400).map(|number| format!("/usr/share/{name}/{number:03}/data\n")).collect();
        let licence = format!("/usr/share/licenses/{name}/COPYING");
        let program = format!("/usr/bin/{name}");
        let build = format!("build-{name}");
        sandbox.program(&format!("{build}{program}"), fixtures::static_elf(fixtures::X86_64));
        sandbox.file(&format!("{build}{licence}"), "MIT\n");
        for path in many.lines() {
            sandbox.file(&format!("{build}{path}"), "x");
        }
        let spec = format!(
            "%global __spec_install_post %{{nil}}\n%global debug_package %{{nil}}\n\
             Name: {name}\nVersion: 1.2\nRelease: 3\n{epoch}Summary: x\nLicense: MIT\n\
             AutoReqProv: no\n{relations}\n%description\nx\n%files\n{program}\n\
             %license {licence}\n{many}"
        );
        sandbox.file(&format!("{name}.spec"), spec);
        let root = sandbox.root();
        let root = root.display();
        let arguments = format!("-bb --quiet --noclean --buildroot {root}/{build} {name}.spec");
        let build = sandbox.tool("rpmbuild", &arguments);
        let build = build.arg("--define").arg(format!("_topdir {root}/top"));
        build.arg("--define").arg("__spec_install_pre %{nil}").run().ok();
    }
    sandbox.dir("r");
    let (root, machine) = (sandbox.path("r"), std::env::consts::ARCH);
    let files =
        ["tool", "libtool1"].map(|name| format!("top/RPMS/{machine}/{name}-1.2-3.{machine}.rpm"));
    let install = "-i --nodeps --nosignature --dbpath /var/lib/rpm --root";
    let install = sandbox.tool("rpm", install).arg(root).arg(&files[0]).arg(&files[1]);
    // Debian's rpm recommends alien.
    install.run().ok();
    true
}

#[test]
fn rpms_database_tells_owners_and_licences() {
    let sandbox = Sandbox::new();
    if !rpm_root(&sandbox) {
        return;
    }
    sandbox.imgb("pack tool --sysroot r -q -o rootfs:out.tar").run().ok();
    let wanted = set(&["usr/bin/tool", "usr/share/licenses/tool/COPYING"]);
    assert_eq!(files(&sandbox, "out.tar"), wanted);
    // Whatever of the database is damaged, there is an answer.
    let path = "r/var/lib/rpm/rpmdb.sqlite";
    let whole = sandbox.read(path);
    for at in (0..whole.len()).step_by(whole.len() / 20) {
        let mut damaged = whole.clone();
        damaged.iter_mut().skip(at).take(3).for_each(|byte| *byte ^= 0xff);
        sandbox.file(path, damaged);
        sandbox.imgb("pack tool --sysroot r -q -o rootfs:out.tar").run().ok();
    }
    sandbox.file(path, &whole[..whole.len() / 2]);
    sandbox.imgb("pack tool --sysroot r -q -o rootfs:out.tar").run().ok();
    sandbox.file(path, &whole).file("r/var/lib/rpm/rpmdb.sqlite-wal", "x");
    let run = sandbox.imgb("pack tool --sysroot r -o rootfs:out.tar").run().ok();
    let text = run.stderr();
    let part = "the package database `/var/lib/rpm/rpmdb.sqlite` is not read";
    assert!(text.contains(part), "{text}");
}

/// What a database makes of few bytes: a sparse list, short names in a long directory, and cells of
/// SQLite that share one row.
#[test]
fn databases_take_no_more_memory_and_time_than_their_size() {
    if !have(&["prlimit"]) {
        return;
    }
    let sandbox = debian();
    let pack = || {
        let limits = ["prlimit", "--data=700000000", "--cpu=60"];
        let pack = "pack r/usr/bin/tool --sysroot r -j 1 -q -o rootfs:out.tar";
        sandbox.imgb(pack).under(&limits).run().ok();
    };
    let mut status = String::from(STATUS);
    for number in 0..60 {
        let name = format!("zbig{number}");
        status += &format!("\nPackage: {name}\nStatus: install ok installed\nVersion: 1\n");
        let list = sandbox.path(format!("r/var/lib/dpkg/info/{name}.list"));
        fs_err::File::create(list).unwrap().set_len(60 << 20).unwrap();
    }
    sandbox.file("r/var/lib/dpkg/status", &status);
    pack();
    // What comes before them has its files.
    assert!(files(&sandbox, "out.tar").contains("var/lib/dpkg/status.d/tool"));

    fs_err::remove_dir_all(sandbox.path("r/var")).unwrap();
    let dir = "a/".repeat(2000);
    let names = "R:a\n".repeat(600_000);
    sandbox.file("r/lib/apk/db/installed", format!("P:x\nV:1\nF:{dir}a\n{names}\n"));
    pack();

    fs_err::remove_dir_all(sandbox.path("r/lib")).unwrap();
    sandbox.file("r/var/lib/rpm/rpmdb.sqlite", shared_rows(600));
    let plan = sandbox.imgb("plan r/usr/bin/tool --sysroot r").run().ok();
    let note = "the package database `/var/lib/rpm/rpmdb.sqlite` is not read: it is damaged";
    let text = plan.stderr();
    assert!(text.contains(note), "{text}");
}

/// A database of SQLite of so many pages, whose table `Packages` has a thousand rows that are all
/// the same: nearly the whole file.
fn shared_rows(pages: u16) -> Vec<u8> {
    const PAGE: usize = 65536;
    let size = usize::from(pages - 2) * PAGE;
    // A leaf, whose cells all begin at one place.
    let leaf = |cells: u16, at: usize| {
        let count = [0x0d_u8, 0, 0].into_iter().chain(cells.to_be_bytes()).chain([0, 0, 0]);
        let pointer = u16::try_from(at).unwrap().to_be_bytes();
        count.chain(pointer.into_iter().cycle().take(2 * usize::from(cells))).collect::<Vec<u8>>()
    };
    let mut out = vec![0; usize::from(pages) * PAGE];
    let mut put = |at: usize, bytes: &[u8]| out[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"SQLite format 3\0\0\x01");
    put(100, &leaf(1, 60000));
    // type, name, tbl_name, rootpage
    put(60000, b"\x1c\x01\x05\x17\x1d\x1d\x01tablePackagesPackages\x02");
    // The part of the row that is in the leaf itself (section 1.6 of the format).
    let least = (PAGE - 12) * 32 / 255 - 23;
    let rest = least + (size - least) % (PAGE - 4);
    let here = if rest <= PAGE - 35 { rest } else { least };
    let at = PAGE - here - 9;
    put(PAGE, &leaf(1000, at));
    let varint = [size >> 21 | 0x80, size >> 14 | 0x80, size >> 7 | 0x80, size & 0x7f];
    put(PAGE + at, &varint.map(|byte| byte as u8));
    // The key, a record without values, and the first page of what follows.
    put(PAGE + at + 4, &[1, 1]);
    for page in 2..pages {
        let next = if page == 2 { 2 * PAGE - 4 } else { usize::from(page - 1) * PAGE };
        put(next, &u32::from(page + 1).to_be_bytes());
    }
    out
}

/// Debian's own database, read by dpkg and, where it is installed, by a scanner.
#[test]
fn the_machines_packages_are_those_that_own_the_files() {
    if !have(&["bash"]) || !is_there("dpkg-query") {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.imgb("pack bash -q -o rootfs:out.tar -o image.tar").run().ok();
    let all = files(&sandbox, "out.tar");
    let (mut wanted, mut real) = (BTreeSet::new(), BTreeMap::new());
    for entry in fs_err::read_dir("/var/lib/dpkg/info").unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "list") {
            continue;
        }
        let owns = fs_err::read_to_string(&path).unwrap().lines().any(|listed| {
            let (dir, name) = listed.rsplit_once('/').unwrap();
            if dir.is_empty() {
                return false;
            }
            let gone = || PathBuf::from("/gone");
            let canonical = |dir: &String| fs_err::canonicalize(dir).unwrap_or_else(|_| gone());
            let dir = real.entry(dir.to_owned()).or_insert_with_key(canonical);
            all.contains(dir.join(name).to_str().unwrap().trim_start_matches('/'))
        });
        if owns {
            let package = path.file_stem().unwrap().to_str().unwrap();
            wanted.insert(package.split(':').next().unwrap().to_owned());
        }
    }
    let found: BTreeSet<String> = all
        .iter()
        .filter_map(|name| name.strip_prefix("var/lib/dpkg/status.d/"))
        .filter(|name| !name.ends_with(".md5sums"))
        .map(str::to_owned)
        .collect();
    assert_eq!(found, wanted);
    if is_there("syft") {
        let syft = sandbox.tool("syft", "-q docker-archive:image.tar -o json");
        let syft = syft.env("SYFT_CHECK_FOR_APP_UPDATE", "false").run().ok().text();
        let syft: Value = serde_json::from_str(&syft).unwrap();
        let artifacts = syft["artifacts"].as_array().unwrap().iter();
        let names = artifacts.map(|one| one["name"].as_str().unwrap().to_owned());
        assert_eq!(names.collect::<BTreeSet<_>>(), wanted);
    }
}
