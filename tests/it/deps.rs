//! `imgb deps` end to end: its output in each form, and its exit codes.

use serde_json::Value;

use crate::{
    elf_builder::Elf,
    sandbox::{Run, Sandbox},
};

const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";

/// A root with a loader that does not identify itself: glibc's directories without Debian's.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    elf(&sandbox, LOADER, &Elf::library().soname("ld-linux-x86-64.so.2"));
    sandbox
}

fn elf(sandbox: &Sandbox, path: &str, elf: &Elf) {
    sandbox.program(&format!("root{path}"), elf.build());
}

fn lib(name: &str) -> Elf {
    Elf::library().soname(name)
}

/// `/opt/app/bin/app`, whose libraries are found by every rule that needs no environment, and one
/// library that is missing.
fn application() -> Sandbox {
    let sandbox = sandbox();
    let names = ["liba.so", "libb.so.1", "libconf.so", "libgone.so.2"];
    let app = names
        .iter()
        .fold(Elf::program(LOADER).runpath("$ORIGIN/../lib:"), |app, name| app.needed(name));
    elf(&sandbox, "/opt/app/bin/app", &app);
    elf(
        &sandbox,
        "/opt/app/lib/liba.so",
        &lib("liba.so").needed("libb.so.1").needed("ld-linux-x86-64.so.2"),
    );
    elf(&sandbox, "/usr/lib64/libb.so.1.2", &lib("libb.so.1"));
    sandbox.symlink("root/usr/lib64/libb.so.1", "libb.so.1.2");
    elf(&sandbox, "/usr/local/lib/libconf.so", &lib("libconf.so"));
    sandbox.file("root/etc/ld.so.conf", "include /etc/ld.so.conf.d/*.conf\n");
    sandbox.file("root/etc/ld.so.conf.d/y.conf", "# local\n/usr/local/lib\n");
    sandbox
}

const TREE: &str = "\
/opt/app/bin/app
loader: /lib64/ld-linux-x86-64.so.2
├── liba.so => /opt/app/bin/../lib/liba.so = /opt/app/lib/liba.so (RUNPATH of /opt/app/bin/app)
│   ├── libb.so.1 (already loaded as /usr/lib64/libb.so.1)
│   └── ld-linux-x86-64.so.2 (already loaded as /lib64/ld-linux-x86-64.so.2)
├── libb.so.1 => /usr/lib64/libb.so.1 = /usr/lib64/libb.so.1.2 (default)
├── libconf.so => /usr/local/lib/libconf.so (/etc/ld.so.conf.d/y.conf:2)
└── libgone.so.2 => not found
    /opt/app/bin/../lib/libgone.so.2 (RUNPATH of /opt/app/bin/app): no such file
    /usr/local/lib/libgone.so.2 (/etc/ld.so.conf.d/y.conf:2): no such file
    /lib64/libgone.so.2 (default): no such file
    /usr/lib64/libgone.so.2 (default): no such file
warning: /opt/app/bin/app: RUNPATH element `` is taken from the working directory and left out
";

#[test]
fn an_unreadable_file_is_not_a_refused_input() {
    let sandbox = application();
    sandbox.mode("root/opt/app/bin/app", 0o000);
    let run = sandbox.imgb("deps --sysroot root /opt/app/bin/app").nobody().run().exits(3);
    assert!(run.stderr().contains("/opt/app/bin/app: permission denied"), "{}", run.show());
    sandbox.imgb("deps --sysroot root /opt/app/bin/gone").run().error(3, &["gone"]);
}

/// A library that this user may not read is skipped for the next.
#[test]
fn an_unreadable_library_is_skipped() {
    let sandbox = sandbox();
    elf(&sandbox, "/app", &Elf::program(LOADER).needed("liba.so").runpath("/a:/b"));
    elf(&sandbox, "/a/liba.so", &lib("liba.so"));
    elf(&sandbox, "/b/liba.so", &lib("liba.so"));
    sandbox.mode("root/a/liba.so", 0o000);
    let list = sandbox.imgb("deps --list --sysroot root /app").nobody().run().ok();
    assert_eq!(list.text().lines().next(), Some("/b/liba.so"), "{}", list.show());
}

#[test]
fn preloaded_libraries_come_with_the_list_of_them() {
    let sandbox = sandbox();
    elf(&sandbox, "/app", &Elf::program(LOADER));
    elf(&sandbox, "/lib64/libpre.so", &lib("libpre.so"));
    sandbox.file("root/etc/ld.so.preload", "/lib64/libpre.so\n");
    let plan = sandbox.imgb("plan --all --sysroot root root/app").run().ok();
    for path in ["/lib64/libpre.so ", "/etc/ld.so.preload "] {
        assert!(plan.text().contains(path), "{}", plan.show());
    }
}

/// It is unknown who opens the library, so it must be found by its name.
#[test]
fn an_included_library_of_the_configuration_gets_its_entry() {
    let sandbox = sandbox();
    elf(&sandbox, "/app", &Elf::program(LOADER));
    elf(&sandbox, "/usr/local/lib/libplug.so.1", &lib("libplug.so.1"));
    sandbox.file("root/etc/ld.so.conf", "/usr/local/lib\n");
    let without = sandbox.imgb("plan --all --sysroot root root/app").run().ok();
    assert!(!without.text().contains("/etc/ld.so.cache"), "{}", without.show());
    let plan = sandbox
        .imgb("plan --all --sysroot root root/app --include /usr/local/lib/libplug.so.1")
        .run()
        .ok();
    assert!(plan.text().contains("/etc/ld.so.cache "), "{}", plan.show());
}

/// An object without an interpreter that is not a static program cannot be started.
#[test]
fn a_library_is_not_an_entrypoint() {
    let sandbox = sandbox();
    let library = Elf::library().soname("libx.so").needed("liby.so");
    elf(&sandbox, "/lib64/liby.so", &lib("liby.so"));
    sandbox.program("libx.so", library.build());
    sandbox.program("x.o", Elf { kind: 1, ..Elf::library() }.build());
    sandbox.program("app", Elf::program(LOADER).build());
    for (file, starts) in [("app", true), ("libx.so", false), ("x.o", false)] {
        let run = sandbox
            .imgb(&format!("pack --sysroot root --no-check ./{file} -o oci:image-{file}"))
            .run()
            .ok();
        let config = sandbox.imgb(&format!("inspect --json oci:image-{file}")).run().ok().text();
        assert_eq!(config.contains("\"Entrypoint\""), starts, "{config}{}", run.show());
    }
}

#[test]
fn an_absolute_path_is_the_sysroots_if_the_sysroot_has_it() {
    let sandbox = sandbox();
    let host = sandbox.file("data", "the host's").path("data").display().to_string();
    sandbox.file(&format!("root{host}/inner"), "the sysroot's");
    let run = sandbox.imgb(&format!("plan --all --sysroot root {host} {host}:/x")).run().ok();
    assert!(
        run.text().contains("/data/inner") && run.text().contains("/x/inner"),
        "{}",
        run.show()
    );
    assert!(run.stderr().contains("is taken from the sysroot"), "{}", run.show());
    let run = sandbox.imgb("plan --all --sysroot root ./data").run().ok();
    assert!(!run.text().contains("/data/inner"), "{}", run.show());
    assert!(!run.stderr().contains("taken from"), "{}", run.show());
    // What only the host has is still taken from there.
    let other = sandbox.file("other", "").path("other");
    let run = sandbox.imgb("plan --all --sysroot root").arg(other).run().ok();
    assert!(run.text().contains("/other"), "{}", run.show());
}

/// Absolute links of a sysroot lead through the sysroot, however a path in it is written.
#[test]
fn links_of_the_sysroots_programs_stay_in_the_sysroot() {
    let sandbox = sandbox();
    elf(&sandbox, "/opt/app/real", &Elf::program(LOADER));
    sandbox.symlink("root/usr/bin/env", "/etc/alternatives/env");
    sandbox.symlink("root/etc/alternatives/env", "/opt/app/real");
    let by_path = format!("{}/root/usr/bin/env", sandbox.path(".").display());
    for input in ["/usr/bin/env", &by_path, "env"] {
        let run = sandbox.imgb(&format!("plan --all --sysroot root {input}")).run().ok();
        let has = |path: &str| run.text().contains(path);
        let all = ["/usr/bin/env", "/etc/alternatives/env", "/opt/app/real", LOADER];
        assert!(all.into_iter().all(has) && run.stderr().is_empty(), "{}", run.show());
    }
    let run = sandbox.imgb("plan --all --sysroot root root/usr/bin/env:/e").run().ok();
    assert!(run.text().contains(" /e ") && !run.text().contains("/opt/app"), "{}", run.show());
}

#[test]
fn a_relative_interpreter_is_the_working_directorys() {
    let sandbox = sandbox();
    elf(&sandbox, "/bash", &Elf::program(LOADER));
    sandbox.program("script", "#!bash\n");
    let run = sandbox.imgb("pack --sysroot root ./script -o image.tar").run();
    run.error(1, &["`bash`", "working directory"]);
}

#[test]
fn the_tree_says_who_asked_and_how_each_was_found() {
    let sandbox = application();
    // A library of that name in the working directory is not what the program will find.
    sandbox.program("libgone.so.2", lib("libgone.so.2").build());
    let run = sandbox.imgb("deps --sysroot root /opt/app/bin/app").run().exits(1).prints_only(TREE);
    let said = "error: cannot find `libgone.so.2`, needed by `/opt/app/bin/app`\n";
    assert_eq!(run.stderr(), said);
    // The same by the path on the host, since the file is in the sysroot.
    sandbox.imgb("deps --sysroot root root/opt/app/bin/app").run().exits(1).prints_only(TREE);
}

#[test]
fn the_list_has_one_path_a_line_in_the_order_of_loading() {
    let sandbox = application();
    let list = "/opt/app/bin/../lib/liba.so\n/usr/lib64/libb.so.1\n/usr/local/lib/libconf.so\n";
    let list = format!("{list}{LOADER}\n");
    let run = sandbox
        .imgb("deps --list --sysroot root /opt/app/bin/app")
        .run()
        .exits(1)
        .prints_only(&list);
    assert!(run.stderr().contains("libgone.so.2"), "{}", run.show());
    elf(&sandbox, "/x/libgone.so.2", &lib("libgone.so.2"));
    let given =
        sandbox.imgb("deps --list --sysroot root /opt/app/bin/app --library-path /x").run().ok();
    assert!(given.text().contains("/x/libgone.so.2\n"), "{}", given.show());
}

#[test]
fn json_and_the_graph_have_every_edge() {
    let sandbox = application();
    let json = sandbox.imgb("deps --json --sysroot root /opt/app/bin/app").run().exits(1).text();
    let json: Value = serde_json::from_str(&json).unwrap();
    let edges = json["programs"][0]["edges"].as_array().unwrap();
    let edge = |edge: &Value| {
        let text = |key: &str| edge[key].as_str().unwrap_or("-").to_owned();
        [text("requester"), text("tag"), text("name"), text("method"), text("path")].join(" ")
    };
    let app = "/opt/app/bin/app NEEDED";
    let a = "/opt/app/bin/../lib/liba.so";
    let wanted = [
        format!("{app} liba.so RUNPATH of /opt/app/bin/app {a}"),
        format!("{app} libb.so.1 default /usr/lib64/libb.so.1"),
        format!("{app} libconf.so /etc/ld.so.conf.d/y.conf:2 /usr/local/lib/libconf.so"),
        format!("{app} libgone.so.2 not found -"),
        format!("{a} NEEDED libb.so.1 already loaded as /usr/lib64/libb.so.1 /usr/lib64/libb.so.1"),
        format!("{a} NEEDED ld-linux-x86-64.so.2 already loaded as {LOADER} {LOADER}"),
    ];
    assert_eq!(edges.iter().map(edge).collect::<Vec<_>>(), wanted);
    let candidates = edges[3]["candidates"].as_array().unwrap().iter();
    let places: Vec<&str> = candidates.map(|place| place["path"].as_str().unwrap()).collect();
    assert_eq!(places.len(), 4, "{places:?}");
    assert_eq!(json["needs_cache"][0]["path"], "/usr/local/lib/libconf.so");

    let dot = sandbox.imgb("deps --dot --sysroot root /opt/app/bin/app").run().exits(1).text();
    let arrow = r#""/opt/app/lib/liba.so" -> "/usr/lib64/libb.so.1.2" [label="libb.so.1"];"#;
    assert!(dot.contains(arrow) && dot.contains(r#""libgone.so.2" [color=red"#), "{dot}");
}

#[test]
fn builds_for_better_processors_are_listed_when_asked_for() {
    let sandbox = sandbox();
    elf(&sandbox, "/app", &Elf::program(LOADER).needed("liba.so"));
    elf(&sandbox, "/lib64/liba.so", &lib("liba.so"));
    elf(&sandbox, "/lib64/glibc-hwcaps/x86-64-v3/liba.so", &lib("liba.so"));
    let list = |more: &str| {
        sandbox.imgb(&format!("deps --list --sysroot root /app {more}")).run().ok().text()
    };
    assert_eq!(list(""), format!("/lib64/liba.so\n{LOADER}\n"));
    let all = format!("/lib64/liba.so\n/lib64/glibc-hwcaps/x86-64-v3/liba.so\n{LOADER}\n");
    assert_eq!(list("--hwcaps all"), all);
}

#[test]
fn each_of_several_programs_has_its_own_tree() {
    let sandbox = sandbox();
    elf(&sandbox, "/one", &Elf::program(LOADER).needed("liba.so").rpath("/d"));
    elf(&sandbox, "/two", &Elf::program(LOADER).needed("liba.so"));
    elf(&sandbox, "/d/liba.so", &lib("liba.so"));
    let text = sandbox.imgb("deps --sysroot root /one /two").run().exits(1).text();
    let (one, two) = text.split_once("/two\n").unwrap();
    assert!(one.ends_with("└── liba.so => /d/liba.so (RPATH of /one)\n"), "{text}");
    assert!(two.contains("└── liba.so => not found\n"), "{text}");
}

#[test]
fn the_images_environment_is_honoured_and_the_builders_is_not() {
    let sandbox = sandbox();
    elf(&sandbox, "/app", &Elf::program(LOADER).needed("libown.so.1"));
    elf(&sandbox, "/opt/own/libown.so.1", &lib("libown.so.1"));
    elf(&sandbox, "/opt/own/libpre.so", &lib("libpre.so").needed("libdeep.so"));
    elf(&sandbox, "/opt/own/libdeep.so", &lib("libdeep.so"));
    let pack = "pack --soft none --no-check --sysroot root root/app:/app -o rootfs:fs.tar";
    let builders =
        sandbox.imgb(pack).env("LD_LIBRARY_PATH", "/opt/own").env("LD_PRELOAD", "libpre.so");
    builders.run().error(1, &["libown.so.1"]);
    let own = "--env LD_LIBRARY_PATH=rel:/opt/own/ --env LD_PRELOAD=libpre.so";
    sandbox.imgb(&format!("{pack} {own}")).run().ok();
    let names = sandbox.tool("tar", "-tf fs.tar").run().ok().text();
    let names: Vec<&str> = names.lines().filter(|name| !name.ends_with('/')).collect();
    let libraries = ["opt/own/libdeep.so", "opt/own/libown.so.1", "opt/own/libpre.so"];
    // No cache is needed: the variable is set in the image.
    assert_eq!(names, [&["app", "lib64/ld-linux-x86-64.so.2"][..], &libraries].concat());
}

#[test]
fn chains_of_5000_and_10000_libraries_need_no_stack() {
    let sandbox = sandbox();
    let name = |i: usize| format!("lib{i}.so");
    for i in 0..5_000 {
        elf(&sandbox, &format!("/chain/{}", name(i)), &lib(&name(i)).needed(name((i + 1) % 5_000)));
    }
    elf(&sandbox, "/deep", &Elf::program(LOADER).needed(name(0)).rpath("/chain"));
    let app = (0..10_000).fold(Elf::program(LOADER), |app, i| app.needed(name(i)));
    elf(&sandbox, "/wide", &app.runpath("/fan"));
    for i in 0..10_000 {
        elf(&sandbox, &format!("/fan/{}", name(i)), &lib(&name(i)).needed(name(i / 2)));
    }
    let small =
        |run: Run| run.under(&["sh", "-c", r#"ulimit -s 256 && exec "$0" "$@""#]).run().ok();
    let lines = |args: &str| {
        small(sandbox.imgb(&format!("deps --sysroot root {args}"))).text().lines().count()
    };
    assert_eq!(lines("--list /deep"), 5_001);
    assert_eq!(lines("--list /wide"), 10_001);
    // The program, its loader, an edge for each library, and the edge from the last library to the
    // first.
    assert_eq!(lines("/deep"), 2 + 5_000 + 1);
    assert_eq!(lines("--dot /deep"), 4 + 1 + 1 + 5_001);
    assert_eq!(lines("--json /deep"), 1);
    small(sandbox.imgb("pack --soft none --no-check --sysroot root root/deep:/deep -o deep.tar"));
}
