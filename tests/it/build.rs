//! `imgb build` end to end. The files of each image are read back from a root file system.

use serde_json::{Value, json};

use crate::{engines, fixtures, image_spec::Layout, sandbox::Sandbox};

/// The files that `build` makes of `recipe`: one line per path, as `tar` lists it.
fn built(sandbox: &Sandbox, recipe: &str) -> String {
    sandbox.file("ctx/Buildfile", recipe);
    sandbox.imgb("build ctx -q -o rootfs:root.tar").run().ok();
    let listed = sandbox.tool("tar", "--numeric-owner -tvf root.tar").run().ok().text();
    let line = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        [&words[..2], &words[5..]].concat().join(" ") + "\n"
    };
    listed.lines().map(line).collect()
}

/// A context with a file, a directory and an account table.
fn context() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.file("ctx/a", "a").file("ctx/dir/one", "1").file("ctx/dir/sub/two", "2");
    sandbox.file("ctx/etc/passwd", "bob:x:7:8::/:/bin/sh\n");
    sandbox
}

#[test]
fn files_go_where_docker_puts_them() {
    let sandbox = context();
    let recipe = "FROM scratch\nCOPY a /x/\nCOPY dir /d\nCOPY etc /etc\nCOPY --chown=bob \
        --chmod=600 a /h/f\n";
    let wanted = "drwxr-xr-x 0/0 d/\n-rw-r--r-- 0/0 d/one\ndrwxr-xr-x 0/0 d/sub/\n-rw-r--r-- 0/0 \
        d/sub/two\n\
        drwxr-xr-x 0/0 etc/\n-rw-r--r-- 0/0 etc/passwd\ndrwxr-xr-x 7/8 h/\n-rw------- 7/8 h/f\n\
        drwxr-xr-x 0/0 x/\n-rw-r--r-- 0/0 x/a\n";
    assert_eq!(built(&sandbox, recipe), wanted);
}

#[test]
fn destinations_go_through_the_links_of_the_image() {
    let sandbox = context();
    let recipe = "FROM scratch\nCOPY dir /usr/lib\nSYMLINK usr/lib /lib\nCOPY a /lib/\n";
    let listed = built(&sandbox, recipe);
    assert!(listed.contains(" lib -> usr/lib\n") && listed.contains(" usr/lib/a\n"), "{listed}");
}

#[test]
fn a_stage_gives_files_to_another() {
    let sandbox = context();
    let recipe = "FROM scratch AS one\nCOPY dir /d\nFROM scratch\nCOPY --from=one /d/sub /s\n";
    assert_eq!(built(&sandbox, recipe), "drwxr-xr-x 0/0 s/\n-rw-r--r-- 0/0 s/two\n");
}

#[test]
fn faults_show_their_line() {
    let sandbox = context();
    sandbox.file("ctx/Buildfile", "FROM scratch\nCOPY gone /\n");
    let failed = sandbox.imgb("build ctx -o x.tar").run();
    failed.error(3, &["`gone`", "Buildfile:2:1", "COPY gone /"]);
    sandbox.file("ctx/Buildfile", "FROM scratch\nRUN x\n");
    sandbox.imgb("build ctx -o x.tar").run().error(2, &["RUN", "Buildfile:2:1"]);
}

#[test]
fn secrets_that_come_along_are_named() {
    let sandbox = context();
    sandbox.file("ctx/dir/.env", "S=1").file("ctx/Buildfile", "FROM scratch\nCOPY dir /d\n");
    let warned = sandbox.imgb("build ctx -o x.tar").run().ok();
    assert!(warned.stderr().contains("`dir/.env` looks like a secret"), "{}", warned.show());
    sandbox.imgb("build ctx --deny-secrets -o x.tar").run().error(1, &["dir/.env"]);
}

#[test]
fn what_cannot_start_is_not_written() {
    let sandbox = context();
    sandbox.file("ctx/Buildfile", "FROM scratch\nCOPY true /\nCMD [\"/true\"]\n");
    std::fs::copy("/bin/true", sandbox.path("ctx/true")).unwrap();
    sandbox.imgb("build ctx -o x.tar").run().error(1, &["/true", "ld-linux", "--no-check"]);
    assert!(!sandbox.path("x.tar").exists());
    sandbox.imgb("build ctx --no-check -o x.tar").run().ok();
    sandbox.imgb("check x.tar").run().error(1, &["/true"]);
}

/// Docker builds such images too: the program can be mounted and the user supplied at the start.
#[test]
fn a_configuration_that_names_missing_things_gives_a_warning() {
    let sandbox = context();
    for (recipe, wanted) in [
        ("COPY a /a\nCMD [\"/a\"]", "user 0 may not execute `/a`"),
        ("CMD run me", "`/bin/sh` is not in the image"),
        ("COPY a /a\nUSER me", "`me`"),
    ] {
        sandbox.file("ctx/Buildfile", format!("FROM scratch\n{recipe}\n"));
        let built = sandbox.imgb("build ctx -o x.tar").run().ok();
        assert!(built.stderr().contains("does not start as it is"), "{}", built.show());
        assert!(built.stderr().contains(wanted), "{}", built.show());
        sandbox.imgb("check x.tar").run().exits(1);
    }
}

/// Buildfile.example is built unchanged, with the three things that it needs. It has every
/// instruction.
#[test]
fn the_example_is_built() {
    let sandbox = Sandbox::new();
    if !crate::fixtures::hello(sandbox.dir("ctx"), "ctx/hello") {
        return;
    }
    let example = include_str!("../../Buildfile.example");
    let instructions = "ADD ANNOTATION ARG CAP CMD COPY ENTRYPOINT ENV EXPOSE FROM HEALTHCHECK \
        LABEL MKDIR PACK SHELL \
        STOPSIGNAL SYMLINK USER VOLUME WORKDIR";
    for name in instructions.split_whitespace() {
        assert!(example.lines().any(|line| line.starts_with(&format!("{name} "))), "{name}");
    }
    sandbox
        .file("ctx/Buildfile", example)
        .file("ctx/config/app.conf", "x")
        .file("ctx/config/app.bak", "x");
    sandbox.file("site/index.html", "<p>");
    sandbox.tool("tar", "-czf ctx/site.tar.gz -C site .").run().ok();
    sandbox.imgb("build ctx --build-arg VERSION=2.0 -q -o rootfs:root.tar -o oci:out").run().ok();
    let listed = sandbox.tool("tar", "--numeric-owner -tvf root.tar").run().ok().text();
    for wanted in [
        " etc/hello/app.conf",
        " srv/site/index.html",
        " usr/bin/hello",
        " hello -> /usr/bin/hello",
        " var/lib/hello/",
        " etc/hello/version",
    ] {
        assert!(listed.contains(wanted), "{wanted}: {listed}");
    }
    assert!(!listed.contains("app.bak"), "{listed}");
    assert_eq!(sandbox.tool("tar", "-xOf root.tar etc/hello/version").run().ok().text(), "2.0\n");
}

#[test]
fn features_of_buildkit_follow_its_reference() {
    let sandbox = context();
    sandbox.file("ctx/dir/x.log", "l").file("ctx/dir/sub/y.log", "l");
    let check = |recipe: &str, wanted: &[&str]| {
        let listed = built(&sandbox, &format!("FROM scratch\n{recipe}\n"));
        let files = listed.lines().filter(|line| !line.starts_with('d'));
        let names: Vec<_> = files.map(|line| line.rsplit(' ').next().unwrap()).collect();
        assert_eq!(names, wanted, "{recipe}");
    };
    check("COPY --exclude=*.log dir /d", &["d/one", "d/sub/two", "d/sub/y.log"]);
    check("COPY --exclude=**/*.log --exclude=one dir /d", &["d/sub/two"]);
    check("COPY --parents dir/sub/two a /d/", &["d/a", "d/dir/sub/two"]);
    check("COPY --parents ./dir/./sub/two /d/", &["d/sub/two"]);
    check("COPY --link a /d/", &["d/a"]);
    check("COPY <<one <<-\"two\" /d/\n1\none\n\t2\ntwo", &["d/one", "d/two"]);
    check("ADD --unpack=false a /d/", &["d/a"]);
    sandbox.file(
        "ctx/Buildfile",
        "FROM scratch\nARG V=v\nCOPY <<E <<'F' /d/\n$V ${V:-x} \\$V\nE\n$V\nF\n",
    );
    sandbox.imgb("build ctx -q -o rootfs:root.tar").run().ok();
    assert_eq!(sandbox.tool("tar", "-xOf root.tar d/E").run().ok().text(), "v v $V\n");
    assert_eq!(sandbox.tool("tar", "-xOf root.tar d/F").run().ok().text(), "$V\n");
}

#[test]
fn soft_dependencies_are_chosen_for_all_packs() {
    let sandbox = context();
    let packed = |options: &str| {
        sandbox.file("ctx/Buildfile", "FROM scratch\nPACK bash\n");
        sandbox.imgb(&format!("build ctx {options} -q --dry-run")).run().ok().text()
    };
    let (none, all) = (packed("--soft none"), packed("--soft all"));
    assert!(none.lines().count() < all.lines().count(), "{none}\n{all}");
    sandbox
        .imgb("build ctx --with nothing-such -o x.tar")
        .run()
        .error(2, &["no rule `nothing-such`"]);
}

/// The expected results are those of BuildKit's reference and its tests `testCopyParents` and
/// `testCopyRelativeParents`.
#[test]
fn parents_are_kept_as_buildkit_keeps_them() {
    let sandbox = Sandbox::new();
    for path in
        ["foo1/foo2/bar", "foo1/foo2/baz", "src/a.txt", "src/x/b.txt", "src/x/y/c.txt", "src/x/y/d"]
    {
        sandbox.file(&format!("ctx/{path}"), path);
    }
    for path in ["b/c/d/foo", "b/c/d/e/bay", "b2/c/d/e/bar", "b/c2/d/e/baz", "b/c2/d/e2/baz"] {
        sandbox.file(&format!("ctx/test/a/{path}"), path);
    }
    let from = "FROM scratch AS base\nCOPY test /test\nFROM scratch\nCOPY --from=base --parents";
    for (recipe, wanted) in [
        ("FROM scratch\nCOPY --parents foo1/foo2/bar /", "foo1/foo2/bar"),
        (
            "FROM scratch\nWORKDIR /test\nCOPY --parents foo1/foo2/ba* .",
            "test/foo1/foo2/bar test/foo1/foo2/baz",
        ),
        (
            "FROM scratch\nCOPY --parents ./src/**/*.txt /p/",
            "p/src/a.txt p/src/x/b.txt p/src/x/y/c.txt",
        ),
        ("FROM scratch\nCOPY --parents ./src/./x/*.txt /p/", "p/x/b.txt"),
        ("FROM scratch\nCOPY --parents --exclude=**/y src /p/", "p/src/a.txt p/src/x/b.txt"),
        ("FROM scratch\nCOPY --parents foo1/none* src/a.txt /p/", "p/src/a.txt"),
        (&format!("{from} /test/a/b/./c/d /out/"), "out/c/d/e/bay out/c/d/foo"),
        (&format!("{from} /test/a/b/c/d/. /out/"), "out/test/a/b/c/d/e/bay out/test/a/b/c/d/foo"),
        (&format!("{from} ./test/a/b/c/d /out/"), "out/test/a/b/c/d/e/bay out/test/a/b/c/d/foo"),
        (&format!("{from} /test/a/./b/./c /out/"), "out/b/c/d/e/bay out/b/c/d/foo"),
        (&format!("{from} /test/a/./*/c /out/"), "out/b/c/d/e/bay out/b/c/d/foo out/b2/c/d/e/bar"),
        (&format!("{from} /test/a/b*/./c/**/e /out/"), "out/c/d/e/bar out/c/d/e/bay"),
        (
            &format!("{from} /test/a/b/c*/./d/**/baz /test/a/b*/./c/**/bar /out/"),
            "out/c/d/e/bar out/d/e/baz out/d/e2/baz",
        ),
    ] {
        let listed = built(&sandbox, &format!("{recipe}\n"));
        let files = listed.lines().filter(|line| !line.starts_with('d'));
        let names: Vec<_> = files.map(|line| line.rsplit(' ').next().unwrap()).collect();
        assert_eq!(names.join(" "), wanted, "{recipe}");
    }
    for gone in ["nope", "./foo1/./nope"] {
        sandbox.file("ctx/Buildfile", format!("FROM scratch\nCOPY --parents {gone} /p/\n"));
        sandbox.imgb("build ctx -q -o x.tar").run().error(3, &[gone]);
    }
}

/// Texts and results are those of BuildKit's test `testCopyHeredoc` and the tests after it.
#[test]
fn here_documents_are_buildkits() {
    let sandbox = context();
    for (recipe, files) in [
        ("COPY <<EOF single\nsingle file\nEOF", &[("single", "single file\n")][..]),
        (
            "COPY <<EOF <<EOF2 double/\nfirst file\nEOF\nsecond file\nEOF2",
            &[("double/EOF", "first file\n"), ("double/EOF2", "second file\n")],
        ),
        ("COPY <<EOF q\n\"quotes in file\"\nEOF", &[("q", "\"quotes in file\"\n")]),
        ("COPY <<EOF s\n\\\nEOF", &[("s", "\n")]),
        ("COPY <<EOF s\n\\\\\nEOF", &[("s", "\\\n")]),
        ("COPY <<EOF s\n\\$\nEOF", &[("s", "$\n")]),
        ("COPY <<\"EOF\" s\n\\\nEOF", &[("s", "\\\n")]),
        ("COPY <<\"EOF\" s\n\\\\\nEOF", &[("s", "\\\\\n")]),
        ("COPY <<\"EOF\" s\n\\$\nEOF", &[("s", "\\$\n")]),
        ("COPY <<EOF c\n\tfoo\nEOF", &[("c", "\tfoo\n")]),
        ("COPY <<-EOF c\n\tbar\n\tEOF", &[("c", "bar\n")]),
        ("ARG name=world\nCOPY <<EOF c\nHello ${name}!\nEOF", &[("c", "Hello world!\n")]),
        ("ARG name=world\nCOPY <<'EOF' c\nHello ${name}!\nEOF", &[("c", "Hello ${name}!\n")]),
        ("ARG name=world\nCOPY <<EOF c\nHello '${name}'!\nEOF", &[("c", "Hello 'world'!\n")]),
        ("ARG name=world\nCOPY <<EOF c\nHello \"${name}\"!\nEOF", &[("c", "Hello \"world\"!\n")]),
        (
            "ARG name=world\nCOPY <<\"EOF\" c\nHello \"${name}\"!\nEOF",
            &[("c", "Hello \"${name}\"!\n")],
        ),
    ] {
        sandbox.file("ctx/Buildfile", format!("FROM scratch\n{recipe}\n"));
        sandbox.imgb("build ctx -q -o rootfs:root.tar").run().ok();
        for (name, wanted) in files {
            let text = sandbox.tool("tar", &format!("-xOf root.tar {name}")).run().ok().text();
            assert_eq!(text, *wanted, "{recipe}");
        }
    }
    let recipe = "FROM scratch\nCOPY --chmod=777 <<A /p/all\nA\nCOPY --chmod=0644 --chown=5:6 <<A \
        /p/rw\nA\n";
    let listed = built(&sandbox, recipe);
    assert!(
        listed.contains("-rwxrwxrwx 0/0 p/all") && listed.contains("-rw-r--r-- 5/6 p/rw"),
        "{listed}"
    );
}

#[test]
fn errors_suggest_what_is_meant() {
    let sandbox = context();
    sandbox
        .file("ctx/config/app.conf", "x")
        .file("ctx/x.log", "x")
        .file("ctx/.dockerignore", "*.log\n");
    for (recipe, wanted) in [
        ("FROM scratch\nCOPY confg/app.conf /", "did you mean `config/app.conf`?"),
        ("FROM scratch\nCOPY app.conf /", "did you mean `config/app.conf`?"),
        ("FROM scratch\nCOPY x.log /", "line 1 of ctx/.dockerignore (`*.log`) leaves it out"),
        ("FROM scratch\nPACK ./x.log", "line 1 of ctx/.dockerignore (`*.log`) leaves it out"),
        ("FROM scratch AS build\nFROM scratch\nCOPY --from=biuld /x /", "did you mean `build`?"),
        (
            "FROM scratch AS s\nCOPY a /etc/a\nFROM scratch\nCOPY --from=s /ect/a /",
            "did you mean `etc/a`?",
        ),
        ("FROM scartch", "did you mean `scratch`?"),
    ] {
        sandbox.file("ctx/Buildfile", format!("{recipe}\n"));
        sandbox.imgb("build ctx -q -o x.tar").run().error(3, &[wanted, "Buildfile:"]);
    }
}

/// As with `imgb pack --env LD_LIBRARY_PATH`: the processes of the image will have it.
#[test]
fn the_stages_variables_count_where_pack_looks() {
    if !crate::engines::have(&["gcc"]) {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox
        .file("f.c", "int f(void) { return 0; }\n")
        .file("m.c", "int f(void); int main(void) { return f(); }\n");
    sandbox.dir("ctx/lib");
    sandbox.tool("gcc", "-shared -fPIC -o ctx/lib/libours.so f.c").run().ok();
    sandbox.tool("gcc", "-o ctx/m m.c -Lctx/lib -lours").run().ok();
    let recipe = "FROM scratch\nCOPY lib /opt/x/\nENV LD_LIBRARY_PATH=/opt/x\nPACK ./m /bin/m\nCMD \
        [\"/bin/m\"]\n";
    sandbox.file("ctx/Buildfile", recipe);
    sandbox.imgb("build ctx -q -o image.tar").run().ok();
    sandbox.file("ctx/Buildfile", recipe.replace("ENV", "LABEL"));
    sandbox
        .imgb("build ctx -q -o x.tar")
        .run()
        .error(1, &["libours.so", "searched: ", "--library-path"]);
    // The same for the base of `pack --base`.
    sandbox.file("ctx/Buildfile", "FROM scratch\nCOPY lib /opt/x/\nENV LD_LIBRARY_PATH=/opt/x\n");
    sandbox.imgb("build ctx -q -o base.tar").run().ok();
    sandbox.imgb("pack ctx/m:/bin/m --base base.tar -q -o over.tar").run().ok();
    sandbox.imgb("pack ctx/m:/bin/m -q -o over.tar").run().error(1, &["libours.so"]);
}

#[test]
fn the_buildfile_and_its_own_ignore_file_take_precedence() {
    let sandbox = context();
    sandbox
        .file("ctx/Dockerfile", "FROM scratch\nCOPY a /docker\n")
        .file("ctx/.dockerignore", "a\n");
    sandbox.file("ctx/Buildfile.dockerignore", "*\n!dir/one\n");
    assert_eq!(
        built(&sandbox, "FROM scratch\nCOPY . /\n"),
        "drwxr-xr-x 0/0 dir/\n-rw-r--r-- 0/0 dir/one\n"
    );
    // A Buildfile without an ignore file of its own uses the context's, and so does stdin.
    sandbox.file("ctx/other", "FROM scratch\nCOPY a /x\n");
    sandbox
        .imgb("build ctx -f ctx/other -q -o x.tar")
        .run()
        .error(3, &["`a`", "of ctx/.dockerignore (`a`) leaves it out"]);
    sandbox.file("ctx/other.dockerignore", "dir\n");
    sandbox.imgb("build ctx -f ctx/other -q -o x.tar").run().ok();
}

/// The capability goes into the layer that brings the file, unless that is the base's.
#[test]
fn cap_does_not_store_a_program_twice() {
    let sandbox = context();
    sandbox.file("ctx/big", vec![7; 300_000]);
    let built = |out: &str, recipe: &str| {
        sandbox.file("ctx/Buildfile", recipe);
        sandbox
            .imgb("build ctx -q --no-check --compress none -o")
            .arg(format!("oci:{out}"))
            .run()
            .ok();
        let layout = Layout::open(&sandbox.path(out));
        let empty = |step: &Value| step["empty_layer"] == json!(true);
        let history: Vec<bool> =
            layout.config["history"].as_array().unwrap().iter().map(empty).collect();
        (layout.layers().len(), history)
    };
    let cap = "CAP /big cap_net_bind_service+ep\n";
    let stages = format!("FROM scratch AS one\nCOPY big /\nFROM one\nCOPY a /\n{cap}");
    assert_eq!(built("stages", &stages), (2, vec![false, false, true]));
    let replaced = format!("FROM scratch\nCOPY a /big\nCOPY big /\nCOPY dir /\n{cap}");
    assert_eq!(built("replaced", &replaced), (3, vec![false, false, false, true]));
    let layers = Layout::open(&sandbox.path("replaced")).layers();
    let has_attribute = |layer: &std::path::PathBuf| {
        String::from_utf8_lossy(&fs_err::read(layer).unwrap()).contains("security.capability")
    };
    let have: Vec<bool> = layers.iter().map(has_attribute).collect();
    assert_eq!(have, [false, true, false], "only the file that is seen has it");
    let based = format!("FROM oci:stages\n{cap}");
    assert_eq!(built("based", &based).0, 3, "a layer of the base is not changed");
}

#[test]
fn a_program_with_cap_has_it_in_a_container() {
    let sandbox = context();
    let Some(docker) = engines::docker() else { return };
    if !fixtures::busybox(&sandbox) {
        return;
    }
    let recipe = "FROM scratch\nCOPY bin /bin\nCOPY a /\nCAP /bin/busybox \
        cap_net_bind_service+ep\nUSER 1000\nENTRYPOINT [\"/bin/busybox\"]\n";
    sandbox.file("Buildfile", recipe).file("a", "a");
    sandbox.imgb("build . -o capable.tar").run().ok();
    docker.load(&sandbox.path("capable.tar"));
    let status = docker.image("capable").args("grep CapEff /proc/self/status").run().ok();
    status.prints_only("CapEff:\t0000000000000400\n");
}
