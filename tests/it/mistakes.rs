//! Common mistakes, each with a message that says what to do.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};

use crate::{engines::have, fixtures, sandbox::Sandbox};

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.program("app", fixtures::static_elf(fixtures::X86_64));
    sandbox
}

#[test]
fn a_misspelled_input_is_suggested() {
    let sandbox = sandbox();
    if !have(&["curl"]) {
        return;
    }
    sandbox.symlink("link", "gone").dir("ctx").program("server", sandbox.read("app"));
    sandbox.file("ctx/Buildfile", "FROM scratch\nPACK curll\n");
    for (line, parts) in [
        ("pack curll -o x.tar", &["`curll`", "did you mean `curl`?"][..]),
        ("pack ./sever -o x.tar", &["did you mean `./server`?"]),
        ("pack sever -o x.tar", &["did you mean `./server`?"]),
        ("pack ./app:bin/app -o x.tar", &["did you mean `./app:/bin/app`?"]),
        ("pack ./link -o x.tar", &["`./link` is a link to `gone`, which does not exist"]),
        ("build ctx -o x.tar", &["`curll`", "did you mean `curl`?", "Buildfile:2:"]),
        ("plan ./sever", &["did you mean `./server`?"]),
    ] {
        sandbox.imgb(line).run().error(3, parts);
    }
    for url in ["https://example.com/x.tar", "docker://alpine"] {
        let run = sandbox.imgb("pack -o x.tar").arg(url).run();
        run.error(2, &["is a URL", "download it"]);
    }
    let run = sandbox.imgb("pack -o x.tar").arg(OsStr::from_bytes(b"./caf\xe9")).run();
    run.error(2, &[r"the argument `./caf\xe9` is not UTF-8", "rename"]);
}

#[test]
fn a_script_with_windows_line_ends_is_called_one() {
    let sandbox = sandbox();
    sandbox.program("script", "#!/bin/sh\r\necho\r\n").dir("ctx");
    sandbox.program("env", "#!/usr/bin/env python3\r\n");
    let wanted = "has Windows line ends (CR LF)";
    sandbox.imgb("pack ./script -o x.tar").run().error(1, &["`/script`", wanted, "sed"]);
    sandbox.imgb("pack ./env -o x.tar").run().error(1, &["`/env`", wanted]);
    sandbox.program("ctx/script", sandbox.read("script"));
    sandbox.file("ctx/Buildfile", "FROM scratch\nPACK ./script\n");
    sandbox.imgb("build ctx -o x.tar").run().error(1, &["Buildfile:2:", wanted]);
    let args = "pack ./script --no-deps --no-check -q -o x.tar --entrypoint /script";
    sandbox.imgb(args).run().ok();
    sandbox.imgb("check x.tar").run().error(1, &["it has Windows line ends (CR LF)"]);
}

#[test]
fn an_ignored_source_names_the_rule_that_leaves_it_out() {
    let sandbox = sandbox();
    sandbox
        .file("ctx/.dockerignore", "# comment\n*.log\nlogs\n!x\n")
        .file("ctx/logs/a", "")
        .file("ctx/b.log", "");
    for (source, wanted) in [("logs/a", "line 3"), ("b.log", "line 2")] {
        sandbox.file("ctx/Buildfile", format!("FROM scratch\nCOPY {source} /x\n"));
        let pattern = if source == "b.log" { "`*.log`" } else { "`logs`" };
        let run = sandbox.imgb("build ctx -o x.tar").run();
        run.error(
            3,
            &[&format!("the file exists, but {wanted} of ctx/.dockerignore ({pattern}) leaves")],
        );
    }
}

#[test]
fn what_is_not_an_image_is_called_that() {
    let sandbox = sandbox();
    sandbox.file("text", "hello\n").file("empty", "").file("long", "x".repeat(5000));
    for name in ["text", "empty", "long"] {
        for command in ["check", "inspect"] {
            let run = sandbox.imgb(command).arg(name).run();
            run.error(4, &[&format!("{name} is not an image: it is not a tar archive")]);
        }
    }
}

#[test]
fn options_without_effect_are_told() {
    let sandbox = sandbox();
    sandbox.file("dir/a.pyc", "").dir("lib");
    let said = |args: &str| sandbox.imgb(args).run().ok().stderr().to_owned();
    let options = "--exclude *.pyc --exclude nosuch --exclude dir/* --library-path /nosuch";
    let packed = said(&format!("pack ./app ./dir {options} -o x.tar"));
    assert!(packed.contains("warning: --exclude `nosuch` matches no file"), "{packed}");
    assert!(packed.contains("warning: --library-path `/nosuch` is not a directory"), "{packed}");
    assert_eq!(packed.matches("warning: ").count(), 2, "{packed}");
    let packed = said("pack ./app --library-path lib -o x.tar");
    assert_eq!(packed.matches("warning: ").count(), 0, "{packed}");
}

#[test]
fn an_output_that_is_missing_is_asked_for_with_both_ways() {
    let sandbox = sandbox();
    sandbox.file("Buildfile", "FROM scratch\nCOPY app /\n");
    for line in ["build -t app:1", "pack ./app"] {
        let run = sandbox.imgb(line).run();
        run.error(2, &["add -o", "-o - | docker load", "-o app.tar"]);
    }
}

#[test]
fn a_directory_is_copied_and_not_packed_by_an_instruction() {
    let sandbox = sandbox();
    sandbox.file("tree/f", "x").file("Buildfile", "FROM scratch\nPACK tree /tree\n");
    let wanted = "hint: it is a directory: PACK takes programs, COPY takes directories";
    sandbox.imgb("build . -o x.tar").run().error(3, &["`tree`", wanted]);
}

#[test]
fn the_root_of_a_running_system_is_packed_without_what_runs() {
    let sandbox = sandbox();
    // Another user's process, whose working directory nobody may look up.
    let run = sandbox.imgb("pack /proc/1 -o x.tar").nobody().run();
    run.error(3, &["cannot read `/proc/1/", "--exclude /proc --exclude /sys"]);
}

#[test]
fn data_of_version_control_and_caches_are_told_with_their_size() {
    let sandbox = sandbox();
    let tag = "Signature: 8a477f597d28d172789f06886806bc55\n# made by a tool\n";
    sandbox
        .file("src/.git/config", "12345")
        .file("src/.git/objects/ab/cd", "x".repeat(2000))
        .file("src/sub/.git", "gitdir: x")
        .file("src/target/CACHEDIR.TAG", tag)
        .file("src/target/.early", "1")
        .file("src/other/CACHEDIR.TAG", "not the signature");
    let said = |args: &str| sandbox.imgb(args).run().ok().stderr().to_owned();
    let packed = said("pack ./app src/:/srv -o x.tar");
    for wanted in [
        "warning: `/srv/.git` is data of version control and is packed: 2 files, 2.0 kB\n  \
            `--exclude /srv/.git` leaves it out\n",
        "warning: `/srv/sub/.git` is data of version control and is packed: 1 file, 9 B\n",
        "warning: `/srv/target` is marked as a cache and is packed: 2 files, 62 B\n  \
            `--exclude /srv/target` leaves it out\n",
    ] {
        assert!(packed.contains(wanted), "{wanted}\n{packed}");
    }
    assert_eq!(packed.matches("warning: ").count(), 3, "{packed}");
    let without = "--exclude /srv/.git --exclude /srv/sub/.git --exclude /srv/target";
    let packed = said(&format!("pack ./app src/:/srv {without} -o x.tar"));
    assert_eq!(packed.matches("warning: ").count(), 0, "{packed}");
    // What the user names is wanted.
    let packed = said("pack ./app src/.git:/srv/git src/target:/srv/target -o x.tar");
    assert_eq!(packed.matches("warning: ").count(), 0, "{packed}");
}
