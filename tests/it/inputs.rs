//! Each kind of input: its path in the image, what it brings along, and the effect of the options.

use crate::{
    engines::{self, have},
    fixtures,
    image_spec::{Layout, file_digest},
    sandbox::Sandbox,
};

/// Packs `args` into a layout and lists its layers, lowest first: `-rwxr-xr-x 0/0 name -> link`.
fn listed(sandbox: &Sandbox, args: &str) -> Vec<Vec<String>> {
    if sandbox.path("out").exists() {
        fs_err::remove_dir_all(sandbox.path("out")).unwrap();
    }
    sandbox.imgb("pack -o oci:out").args(args).run().ok();
    let list = |layer| {
        let args = "--list --verbose --numeric-owner --quoting-style=literal --file";
        let text = sandbox.tool("tar", args).arg(layer).env("LC_ALL", "C.UTF-8").run().ok().text();
        let line = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            [&words[..2], &words[5..]].concat().join(" ")
        };
        text.lines().map(line).collect()
    };
    Layout::open(&sandbox.path("out")).layers().iter().map(list).collect()
}

/// The names alone, in one list.
fn names(sandbox: &Sandbox, args: &str) -> Vec<String> {
    let name = |line: String| line.split(' ').nth(2).unwrap().trim_end_matches('/').to_owned();
    listed(sandbox, args).into_iter().flatten().map(name).collect()
}

#[test]
fn an_installed_program_keeps_its_path() {
    if !have(&["bash"]) {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox
        .program("sys/usr/bin/tool", "#!/usr/lib/own\n")
        .program("sys/usr/lib/own", fixtures::static_elf(fixtures::X86_64));
    sandbox.file("sys/usr/share/data", "x").program("sys/home/tool", "x");
    let bash = listed(&sandbox, "/usr/bin/bash").into_iter().flatten().collect::<Vec<_>>();
    assert!(
        bash.iter().any(|line| line.starts_with("-") && line.ends_with(" usr/bin/bash")),
        "{bash:?}"
    );
    assert!(bash.iter().any(|line| line.ends_with(" bash -> /usr/bin/bash")), "{bash:?}");
    // Everything else goes where `cp -a` puts it: other files, other directories, explicit
    // destinations.
    let at = |path: &str| sandbox.path(path).to_str().unwrap().to_owned();
    for (input, expected) in [
        (at("sys/usr/bin/tool"), "usr/bin/tool"),
        (at("sys/usr/share/data"), "data"),
        (at("sys/home/tool"), "tool"),
        (format!("{}:/x", at("sys/usr/bin/tool")), "x"),
        ("sys/usr/bin/tool".into(), "tool"),
    ] {
        let found = names(&sandbox, &format!("--no-check --sysroot {} {input}", at("sys")));
        assert!(found.iter().any(|name| name == expected), "{input}: {found:?}");
        assert!(
            expected.starts_with("usr/bin")
                || !found.iter().any(|name| name.starts_with("usr/bin")),
            "{input}"
        );
    }
}

#[test]
fn inputs_go_where_cp_would_put_them_or_where_they_are_told() {
    let sandbox = Sandbox::new();
    sandbox.file("d/x", "x").file("file", "y").symlink("link", "d/x");
    for (args, expected) in [
        ("./file", "file"),
        ("d/x", "x"),
        ("./d", "d d/x"),
        ("d/", "x"),
        ("./d ./file", "d d/x file"),
        ("./file:/opt/renamed", "opt opt/renamed"),
        ("./file:/opt/", "opt opt/file"),
        ("./d:/srv", "srv srv/x"),
        ("./d:/srv/", "srv srv/d srv/d/x"),
        ("./d/:/srv", "srv srv/x"),
        // As `docker cp` does it, and not a dangling link.
        ("./link", "link"),
    ] {
        assert_eq!(names(&sandbox, args).join(" "), expected, "{args}");
    }
    let [layer] = &listed(&sandbox, "./link")[..] else { panic!("one layer") };
    assert_eq!(layer[..], ["-rw-r--r-- 0/0 link"]);
}

#[test]
fn a_tarball_is_told_by_its_content_and_keeps_its_modes_and_owners() {
    let sandbox = Sandbox::new();
    let tools = ["gzip", "bzip2", "xz", "zstd"];
    if !have(&tools) {
        return;
    }
    sandbox.file("d/x", "x").mode("d/x", 0o666).symlink("d/l", "x").hard_link("d/y", "d/x");
    sandbox.tool("tar", "--create --owner=5 --group=7 --sort=name --file plain d").run().ok();
    let expected = [
        "drwxr-xr-x 5/7 d/",
        "lrwxrwxrwx 5/7 d/l -> x",
        "-rw-rw-rw- 5/7 d/x",
        "hrw-rw-rw- 5/7 d/y link to d/x",
    ];
    assert_eq!(listed(&sandbox, "plain"), [expected]);
    let digest = sandbox.imgb("pack plain -o plain.tar -t t").run().ok().digest();
    for tool in tools {
        let packed = sandbox.tool(tool, "--stdout plain").run().ok().into_bytes();
        sandbox.file(&format!("by-{tool}.tar.gz"), packed);
        let other = sandbox
            .imgb("pack")
            .arg(format!("by-{tool}.tar.gz"))
            .args("-o other.tar -t t")
            .run()
            .ok();
        assert_eq!(other.digest(), digest, "{tool}");
        assert_eq!(
            file_digest(sandbox.path("other.tar")),
            file_digest(sandbox.path("plain.tar")),
            "{tool}"
        );
    }
    // A compressed file that does not contain a tarball is a file.
    let text = sandbox.file("text", "text").tool("gzip", "--stdout text").run().ok().into_bytes();
    sandbox.file("text.gz", text);
    assert_eq!(names(&sandbox, "text.gz"), ["text.gz"]);
}

#[test]
fn options_change_owners_and_modes() {
    let sandbox = Sandbox::new();
    sandbox
        .file("d/x", "x")
        .mode("d/x", 0o666)
        .dir("d/t")
        .mode("d/t", 0o1777)
        .file("d/y.o", "")
        .file("d/z/y.o", "");
    let lines = |args: &str| listed(&sandbox, args).concat();
    assert_eq!(
        lines("./d --exclude *.o"),
        ["drwxr-xr-x 0/0 d/", "drwxrwxrwt 0/0 d/t/", "-rw-r--r-- 0/0 d/x", "drwxr-xr-x 0/0 d/z/"]
    );
    assert_eq!(
        lines("./d --exclude d/z --exclude y.o --preserve-mode --chown 8:9"),
        ["drwxr-xr-x 8/9 d/", "drwxrwxrwt 8/9 d/t/", "-rw-rw-rw- 8/9 d/x"]
    );
}

#[test]
fn a_script_brings_its_interpreter() {
    let sandbox = Sandbox::new();
    let Some(docker) = engines::docker() else { return };
    for (name, first_line, brought) in [
        ("direct", "#!/bin/bash", "usr/bin/bash"),
        ("by-env", "#!/usr/bin/env bash", "usr/bin/env"),
        ("by-env-s", "#!/usr/bin/env -S bash -e", "usr/bin/env"),
    ] {
        sandbox.program(name, format!("{first_line}\necho \"I am $0 with $1\"\n"));
        let names = names(&sandbox, &format!("./{name}"));
        for needed in [brought, "usr/bin/bash", name] {
            assert!(names.iter().any(|found| found == needed), "{name} needs {needed}: {names:?}");
        }
        sandbox.imgb("pack -o").arg(format!("{name}.tar")).arg(format!("./{name}")).run().ok();
        docker.load(&sandbox.path(format!("{name}.tar")));
        docker.image(name).arg("care").run().ok().prints_only(&format!("I am /{name} with care\n"));
    }
    assert_eq!(names(&sandbox, "./by-env --no-deps"), ["by-env"]);
}

#[test]
fn a_library_that_comes_with_the_program_is_the_one_it_runs_with() {
    let sandbox = Sandbox::new();
    if !have(&["gcc"]) {
        return;
    }
    sandbox.dir("app/bin").dir("app/lib");
    sandbox.file("z.c", r#"const char *zlibVersion(void) { return "ours"; }"#);
    sandbox.file(
        "main.c",
        "#include <stdio.h>\nconst char *zlibVersion(void); int main(void) { puts(zlibVersion()); \
            }",
    );
    sandbox.tool("gcc", "-shared -fPIC -Wl,-soname,libz.so.1 -o app/lib/libz.so.1 z.c").run().ok();
    let link =
        "-o app/bin/main main.c app/lib/libz.so.1 -Wl,-rpath,$ORIGIN/../lib,--enable-new-dtags";
    sandbox.tool("gcc", link).run().ok();
    let names = names(&sandbox, "./app");
    let found: Vec<&String> = names.iter().filter(|name| name.contains("libz.so")).collect();
    assert_eq!(found, ["app/lib/libz.so.1"], "and not the system's");
    let Some(docker) = engines::docker() else { return };
    sandbox.imgb("pack ./app -o own-library.tar --entrypoint /app/bin/main").run().ok();
    docker.load(&sandbox.path("own-library.tar"));
    docker.image("own-library").run().ok().prints_only("ours\n");
}

#[test]
fn the_system_layer_does_not_change_with_the_program() {
    let sandbox = Sandbox::new();
    if !have(&["bash"]) {
        return;
    }
    sandbox.program("one", "#!/bin/bash\necho 1\n").program("two", "#!/bin/bash\necho 22\n");
    let layers = |args: &str| {
        listed(&sandbox, args);
        Layout::open(&sandbox.path("out")).diff_ids()
    };
    let (one, two) = (layers("./one"), layers("./two"));
    assert_eq!((one.len(), two.len()), (2, 2));
    assert_eq!(one[0], two[0], "the lower layer holds bash and its libraries");
    assert_ne!(one[1], two[1]);
    assert_eq!(layers("./one --layers one").len(), 1);
    let mut split = names(&sandbox, "./one");
    let mut whole = names(&sandbox, "./one --layers one");
    split.sort();
    whole.sort();
    assert_eq!(split, whole);
}

#[test]
fn the_platform_is_that_of_the_programs() {
    let sandbox = Sandbox::new();
    sandbox.program("amd", fixtures::static_elf(fixtures::X86_64));
    sandbox.program("arm", fixtures::static_elf(fixtures::AARCH64));
    for (args, expected) in
        [("./amd", "amd64"), ("./arm", "arm64"), ("./arm ./amd --platform linux/arm64", "arm64")]
    {
        listed(&sandbox, args);
        let layout = Layout::open(&sandbox.path("out"));
        assert_eq!(layout.config["architecture"], expected, "{args}");
        assert_eq!(layout.config["os"], "linux");
    }
    sandbox.imgb("pack ./amd -o x.tar --platform plan9/vax").run().error(2, &["plan9/vax"]);
}

/// The files that stay open must leave descriptors for everything else.
#[test]
fn many_programs_need_few_descriptors() {
    let sandbox = Sandbox::new();
    for number in 0..200 {
        sandbox.program(&format!("el/{number}"), fixtures::static_elf(fixtures::X86_64));
    }
    let limited = ["sh", "-c", r#"ulimit -n 64; exec "$0" "$@""#];
    let plan = sandbox.imgb("plan --all ./el").under(&limited).run().ok().text();
    assert_eq!(plan.lines().filter(|line| line.contains("/el/")).count(), 200, "{plan}");
}
