//! Files that cannot be read: a failing disk, and directories that are closed to this user.

use crate::{
    elf_builder::Elf,
    engines::have,
    fixtures::{X86_64, static_elf, sysroot},
    sandbox::{Outcome, Sandbox},
};

/// `imgb pack`, with the read of that number failing in each thread.
fn pack_with_failing_read(sandbox: &Sandbox, number: usize) -> Outcome {
    let inject = format!("inject=pread64:error=EIO:when={number}");
    let strace = ["strace", "-f", "-qq", "-o", "trace", "-e", "trace=pread64", "-e", &inject];
    sandbox.imgb("pack curl --jobs 1 --no-cache -o image.tar").under(&strace).run()
}

/// A read that fails says nothing about the file, so that the image without it is another image.
#[test]
fn a_failing_read_never_makes_another_image() {
    if !have(&["strace", "curl"]) {
        return;
    }
    let sandbox = Sandbox::new();
    let whole = sandbox.imgb("pack curl --jobs 1 --no-cache -o image.tar").run().ok().text();
    let mut failed = 0;
    for number in (1..60).chain((60..600).step_by(29)) {
        let outcome = pack_with_failing_read(&sandbox, number);
        if outcome.code() == Some(127) {
            // The loader of imgb itself could not read the C library.
            continue;
        }
        if outcome.success() {
            assert_eq!(outcome.text(), whole, "read {number}: {}", outcome.show());
        } else {
            assert_eq!(outcome.code(), Some(3), "read {number}: {}", outcome.show());
            failed += 1;
        }
    }
    assert!(failed > 20, "only {failed} reads failed");
}

/// A user who may open an archive may read it: whatever a read says then is a failure, and never
/// that the image lacks a file.
#[test]
fn a_denied_read_of_an_image_never_makes_another_verdict() {
    if !have(&["strace"]) {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.program("app", static_elf(X86_64)).file("d/script", "#!/app\n").mode("d/script", 0o755);
    sandbox.imgb("pack ./app ./d -o image.tar --no-cache").run().ok();
    let run = |strace: &[&str]| sandbox.imgb("check image.tar --json").under(strace).run();
    let whole = run(&[]).ok().text();
    let mut failed = 0;
    for number in 1..60 {
        let inject = format!("inject=pread64:error=EACCES:when={number}");
        let outcome = run(&["strace", "-f", "-qq", "-o", "trace", "-e", &inject]);
        if !String::from_utf8_lossy(&sandbox.read("trace")).contains("(INJECTED)") {
            break;
        }
        match outcome.code() {
            // The loader of imgb itself could not read the C library.
            Some(127) => {}
            Some(0) => assert_eq!(outcome.text(), whole, "read {number}"),
            code => {
                assert_eq!(code, Some(3), "read {number}: {}", outcome.show());
                failed += 1;
            }
        }
    }
    assert!(failed > 5, "only {failed} reads failed");
}

/// What cannot be found out because a read fails is not something that the image does not say.
#[test]
fn a_failing_read_of_an_image_is_no_part_of_what_is_said_of_it() {
    if !have(&["strace"]) {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.program("app", static_elf(X86_64)).program("other", static_elf(X86_64));
    let pack = |args: &str| sandbox.imgb(&format!("pack {args} --no-cache")).run().ok();
    pack("./app -o image.tar");
    pack("./app ./other --entrypoint /app -o more.tar");
    // The same content for other reasons.
    pack("./app --attach reasons -o a.tar");
    pack("./app:/app --attach reasons -o b.tar");
    for (command, code) in [
        ("inspect image.tar --json", 0),
        ("inspect image.tar --html -", 0),
        ("sbom image.tar", 0),
        ("why a.tar /app --json", 0),
        ("diff image.tar more.tar --json", 1),
        ("diff a.tar b.tar --ignore history --json", 1),
    ] {
        let whole = sandbox.imgb(command).run().exits(code).text();
        let mut failed = 0;
        for number in (1..200).step_by(3) {
            let inject = format!("inject=pread64:error=EIO:when={number}");
            let strace =
                ["strace", "-f", "-qq", "-o", "trace", "-e", "trace=pread64", "-e", &inject];
            let outcome = sandbox.imgb(command).under(&strace).run();
            if !String::from_utf8_lossy(&sandbox.read("trace")).contains("(INJECTED)") {
                break;
            }
            match outcome.code() {
                // The loader of imgb itself could not read the C library.
                Some(127) => {}
                found if found == Some(code) => {
                    assert_eq!(outcome.text(), whole, "{command}: read {number}");
                }
                _ => {
                    let outcome = outcome.exits(3);
                    let said = (outcome.text(), outcome.stderr());
                    let is_json = command.ends_with("--json");
                    assert_eq!(said.0.starts_with("{\"error\":"), is_json, "{}", outcome.show());
                    assert!(said.1.contains("Input/output error"), "{}", outcome.show());
                    failed += 1;
                }
            }
        }
        assert!(failed > 3, "{command}: only {failed} reads failed");
    }
}

/// Asserts that `run` prints `whole` though `inject` interrupts a call. `None` if there is no such
/// call, false if it is one of the loader of imgb itself, which does not repeat calls.
fn is_repeated(
    sandbox: &Sandbox,
    run: &dyn Fn(&[&str]) -> Outcome,
    inject: &[&str],
    whole: &str,
) -> Option<bool> {
    let outcome = run(&[&["strace", "-f", "-qq", "-o", "trace"], inject].concat());
    if !String::from_utf8_lossy(&sandbox.read("trace")).contains("(INJECTED)") {
        return None;
    }
    if outcome.code() == Some(127) {
        return Some(false);
    }
    assert_eq!(outcome.text(), whole, "{inject:?}: {}", outcome.show());
    Some(true)
}

/// EINTR is no failure, whichever call it interrupts.
#[test]
fn interrupted_calls_are_repeated() {
    if !have(&["strace"]) {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.program("app", static_elf(X86_64)).file("d/a", "1").file("d/b", "2");
    sandbox.imgb("pack ./app ./d --no-check -o oci:base").run().ok();
    let args = "pack ./app ./d --base oci:base --no-check --jobs 1 --cache cache -o oci:out -t a:1";
    let run = |strace: &[&str]| {
        let _ = fs_err::remove_dir_all(sandbox.path("out"));
        let _ = fs_err::remove_dir_all(sandbox.path("cache"));
        sandbox.imgb(args).under(strace).run()
    };
    let whole = run(&[]).ok().text();
    let mut fired = 0;
    let reads = ["openat", "flock", "newfstatat", "readlinkat", "pread64", "getdents64"];
    let writes = ["write", "pwrite64", "fsync", "linkat", "renameat", "mkdir"];
    for call in reads.into_iter().chain(writes) {
        for number in (1..10).chain((10..100).step_by(17)) {
            let inject = format!("inject={call}:error=EINTR:when={number}");
            match is_repeated(&sandbox, &run, &["-e", &inject], &whole) {
                Some(counts) => fired += usize::from(counts),
                None => break,
            }
        }
    }
    assert!(fired > 50, "{fired}");
}

/// The standard library repeats reads and writes, and no call that names a file.
#[test]
fn interrupted_calls_that_name_a_file_are_repeated() {
    if !have(&["strace"]) {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.program("c/app", static_elf(X86_64)).file("c/Buildfile", "FROM scratch\nCOPY app /\n");
    let run = |strace: &[&str]| {
        let _ = fs_err::remove_file(sandbox.path("a.tar"));
        sandbox.imgb("build c --jobs 1 --no-check --no-cache -o a.tar").under(strace).run()
    };
    let whole = run(&[]).ok().text();
    for call in ["statx", "readlink", "fstat"] {
        let mut fired = 0;
        for number in 1..40 {
            let inject = format!("inject={call}:error=EINTR:when={number}");
            let trace = format!("trace={call}");
            match is_repeated(&sandbox, &run, &["-e", &trace, "-e", &inject], &whole) {
                Some(counts) => fired += usize::from(counts),
                None => break,
            }
        }
        assert!(fired > 0 || call == "fstat", "{call}");
    }
}

/// Nothing is known of a file that the system does not describe, so it counts as neither absent nor
/// empty.
#[test]
fn a_file_that_cannot_be_looked_at_is_not_an_absent_one() {
    if !have(&["strace"]) {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.program("c/app", static_elf(X86_64)).file("c/Buildfile", "FROM scratch\nCOPY app /\n");
    sandbox.file("mine", "not an image");
    let with_failing = |path: &str, command: &str| {
        let at = ["strace", "-f", "-qq", "-o", "trace", "-P", path];
        let inject = ["-e", "trace=statx", "-e", "inject=statx:error=EIO"];
        let outcome = sandbox.imgb(command).under(&[&at[..], &inject[..]].concat()).run();
        let trace = String::from_utf8_lossy(&sandbox.read("trace")).into_owned();
        assert!(trace.contains("(INJECTED)"), "{command}: {trace}");
        outcome
    };
    let build = "build c --no-check --no-cache -o";
    with_failing("c", &format!("{build} a.tar")).error(3, &["`c`", "Input/output error"]);
    with_failing("mine", &format!("{build} mine")).error(5, &["mine", "Input/output error"]);
    assert_eq!(sandbox.read("mine"), b"not an image");
    let context = format!("{build} a.tar --build-context x=mine");
    with_failing("mine", &context).error(3, &["`mine`", "Input/output error"]);
    assert_eq!(sandbox.names(""), ["c", "mine", "trace"]);
}

/// A sysroot with glibc, time zones, and a program that reads these.
fn sysroot_with_zones() -> Option<Sandbox> {
    if !have(&["gcc"]) {
        return None;
    }
    let sandbox = Sandbox::new();
    sysroot(&sandbox, "true --soft none");
    sandbox.file("sys/usr/share/zoneinfo/UTC", "TZif");
    sandbox.file("sys/usr/share/zoneinfo/Europe/Berlin", "TZif");
    sandbox.file(
        "app.c",
        "#include <stdio.h>\nint main(void) { return puts(\"/usr/share/zoneinfo\") < 0; }\n",
    );
    sandbox.tool("gcc", "-o app app.c").run().ok();
    Some(sandbox)
}

#[test]
fn a_closed_directory_that_a_rule_wants_is_named() {
    let Some(sandbox) = sysroot_with_zones() else { return };
    let plan = "plan --all --sysroot sys ./app";
    let open = sandbox.imgb(plan).nobody().run().ok();
    assert!(open.text().contains("/usr/share/zoneinfo/Europe/Berlin"), "{}", open.show());
    assert!(!open.stderr().contains("permission denied"), "{}", open.show());
    // The directory is root's, or nobody's own where the tests run as nobody.
    sandbox.mode("sys/usr/share/zoneinfo/Europe", 0o000);
    for command in [plan, "pack --no-check --sysroot sys ./app -o out/image.tar"] {
        sandbox.dir("out");
        sandbox.mode("out", 0o777);
        let run = sandbox.imgb(command).nobody().run().ok();
        let note = "permission denied: 1 path that may be needed was left out: \
                    /usr/share/zoneinfo/Europe";
        assert!(run.stderr().contains(note), "{}", run.show());
        assert_eq!(run.stderr().matches("permission denied").count(), 1, "{}", run.show());
    }
    sandbox.mode("sys/usr/share/zoneinfo/Europe", 0o755);
}

#[test]
fn a_closed_directory_that_the_user_wants_is_an_error() {
    let Some(sandbox) = sysroot_with_zones() else { return };
    sandbox.mode("sys/usr/share/zoneinfo/Europe", 0o000);
    for wanted in ["/usr/share", "/usr/share/zoneinfo/Europe/Berlin"] {
        let plan = format!("plan --all --soft none --sysroot sys ./app --include {wanted}");
        let run = sandbox.imgb(&plan).nobody().run();
        run.error(3, &["cannot read `/usr/share/zoneinfo/Europe", "permission denied"]);
    }
    sandbox.mode("sys/usr/share/zoneinfo/Europe", 0o755);
}

/// An input's link leads the command into a directory that is closed to this user.
#[test]
fn a_closed_program_is_not_called_missing() {
    let sandbox = Sandbox::new();
    for path in ["sys/usr/bin/app", "sys/closed/app"] {
        sandbox.program(path, static_elf(X86_64));
    }
    sandbox.symlink("in/usr/bin", "/closed").mode("sys/closed", 0o000);
    let run = sandbox.imgb("plan --all --sysroot sys in/:/ app").nobody().run();
    sandbox.mode("sys/closed", 0o755);
    run.error(3, &["cannot read `/usr/bin/app", "permission denied"]);
}

/// An absolute path is taken from the sysroot if it is there, and from the host otherwise.
#[test]
fn a_program_in_a_closed_sysroot_is_not_taken_from_the_host() {
    let sandbox = Sandbox::new();
    sandbox.program("sys/usr/bin/env", static_elf(X86_64)).mode("sys/usr/bin", 0o000);
    let run = |command: &str| {
        sandbox.imgb(&format!("{command} --sysroot sys /usr/bin/env")).nobody().run()
    };
    let runs = ["deps", "plan"].map(run);
    sandbox.mode("sys/usr/bin", 0o755);
    for run in runs {
        run.error(3, &["cannot read `", "sys/usr/bin/env`: permission denied"]);
    }
}

const GLIBC: &str = "/lib64/ld-linux-x86-64.so.2";
const MUSL: &str = "/lib/ld-musl-x86_64.so.1";

/// A sysroot in which all that an image may need is twice: the second is taken where the first is
/// closed.
fn sysroot_with_choices() -> Sandbox {
    let sandbox = Sandbox::new();
    let elf = |path: &str, elf: &Elf| {
        sandbox.program(path, elf.build());
    };
    let lib = |name: &str| Elf::library().soname(name);
    elf("sys/lib64/ld-linux-x86-64.so.2", &lib("ld-linux-x86-64.so.2"));
    elf("sys/lib/ld-musl-x86_64.so.1", &lib("libc.musl-x86_64.so.1"));
    for dir in ["a", "b"] {
        elf(&format!("sys/{dir}/liba.so"), &lib("liba.so"));
    }
    elf("sys/b/libpre.so", &lib("libpre.so"));
    elf("app", &Elf::program(GLIBC).needed("liba.so").runpath("/a:/b"));
    elf("single", &Elf::program(GLIBC).needed("libpre.so").runpath("/b"));
    elf("conf", &Elf::program(GLIBC).needed("liba.so"));
    elf("musl", &Elf::program(MUSL).needed("liba.so"));
    sandbox.file("sys/etc/ld.so.conf", "include ld.so.conf.d/*.conf\n");
    sandbox.file("sys/etc/ld.so.conf.d/a.conf", "/a\n");
    sandbox.file("sys/etc/ld.so.conf.d/b.conf", "/b\n");
    sandbox.file("sys/etc/ld.so.preload", "/b/libpre.so\n");
    sandbox.file("sys/etc/ld-musl-x86_64.path", "/a\n");
    elf("sys/usr/lib/liba.so", &lib("liba.so"));
    sandbox.file("sys/etc/passwd", "app:x:1000:1000::/home/app:/bin/sh\n");
    for path in
        ["opt/py/python", "usr/local/bin/foo", "usr/bin/foo", "usr/bin/env", "usr/local/sbin/only"]
    {
        elf(&format!("sys/{path}"), &Elf::program(GLIBC));
    }
    sandbox.program("script", "#!/usr/bin/env foo\n");
    sandbox.program("absolute", "#!/opt/py/python\n");
    sandbox.symlink("venv/bin/python", "/opt/py/python");
    sandbox
}

/// Runs `imgb` as nobody with `closed` readable, which notes nothing, and then closed.
#[track_caller]
fn close(closed: &str, command: &str) -> Outcome {
    let sandbox = sysroot_with_choices();
    let run = || sandbox.imgb(&format!("plan --all --sysroot sys {command}")).nobody().run();
    let open = run().ok();
    assert!(!open.stderr().contains("permission denied"), "{}", open.show());
    let mode = fs_err::metadata(sandbox.path(closed)).unwrap().permissions();
    sandbox.mode(closed, 0o000);
    let outcome = run();
    fs_err::set_permissions(sandbox.path(closed), mode).unwrap();
    outcome
}

#[test]
fn what_is_denied_is_named_once() {
    for (closed, command, named) in [
        ("a", "./app", "/a"),
        ("a/liba.so", "./app", "/a/liba.so"),
        ("etc/ld.so.preload", "./app", "/etc/ld.so.preload"),
        ("etc/passwd", "./app --user app", "/etc/passwd"),
        ("etc/ld.so.conf.d/a.conf", "./conf", "/etc/ld.so.conf.d/a.conf"),
        ("etc/ld-musl-x86_64.path", "./musl --allow-missing liba.so", "/etc/ld-musl-x86_64.path"),
        ("opt/py", "./venv", "/opt/py"),
        ("usr/local/bin", "./script", "/usr/local/bin"),
        ("usr/local/bin", "foo", "/usr/local/bin"),
        ("usr/local/bin", "foo:/x", "/usr/local/bin"),
    ] {
        let run = close(&format!("sys/{closed}"), command);
        let note = format!("permission denied: 1 path that may be needed was left out: {named}\n");
        assert!(run.success() && run.stderr().contains(&note), "{closed}: {}", run.show());
        assert_eq!(run.stderr().matches("permission denied").count(), 1, "{}", run.show());
    }
}

#[test]
fn what_the_user_named_is_an_error_where_it_is_denied() {
    close("sys/usr/local/sbin", "only").error(3, &["`only`", "not searched: /usr/local/sbin"]);
    let closed = ["/opt/py/python (permission denied)", "a user who may read /opt/py/python"];
    close("sys/opt/py", "./absolute").error(3, &closed);
    let closed =
        ["cannot find `libpre.so`, needed by `/single`", "a user who may read /b/libpre.so"];
    close("sys/b", "./single").error(3, &closed);
    let closed = ["cannot find `/lib64/ld-linux-x86-64.so.2`", "a user who may read /lib64/"];
    close("sys/lib64", "./app").error(3, &closed);
}

/// The file of the same name in the current directory is not the one that is meant.
#[test]
fn a_base_that_cannot_be_looked_up_in_the_context_is_an_error() {
    let sandbox = Sandbox::new();
    sandbox.file("img/base.tar", "").symlink("ctx/img", "img");
    for from in ["./img/base.tar", "rootfs:./img/base.tar"] {
        sandbox.file("ctx/Buildfile", format!("FROM {from}\n"));
        let run = sandbox.imgb("build ctx --no-check -o image.tar").run();
        run.error(3, &["cannot read `ctx/./img/base.tar`", "ymbolic links"]);
    }
}

#[test]
fn a_buildfile_that_cannot_be_looked_up_is_not_absent() {
    let sandbox = Sandbox::new();
    sandbox.file("ctx/Buildfile", "FROM scratch\n").mode("ctx", 0o444);
    let run = sandbox.imgb("build ctx --dry-run").nobody().run();
    sandbox.mode("ctx", 0o755);
    run.error(3, &["cannot read `ctx/Buildfile`", "ermission denied"]);
}

/// A directory of a context that fails in the middle of its names.
#[test]
fn a_context_whose_names_cannot_be_read_is_an_error() {
    if !have(&["strace"]) {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.file("ctx/a", "a").file("ctx/d/b", "b");
    sandbox.file("ctx/Buildfile", "FROM scratch\nCOPY . /c\n");
    let build = "build ctx --jobs 1 --no-cache --no-check -q -o image.tar";
    let whole = sandbox.imgb(build).run().ok().text();
    let mut failed = 0;
    for number in 1..5 {
        let inject = format!("inject=getdents64:error=EIO:when={number}");
        let strace = ["strace", "-f", "-qq", "-o", "trace", "-e", "trace=getdents64"];
        let outcome = sandbox.imgb(build).under(&[&strace[..], &["-e", &inject]].concat()).run();
        match outcome.success() {
            true => assert_eq!(outcome.text(), whole, "{number}"),
            false => {
                outcome.error(3, &["ctx", "nput/output error"]);
                failed += 1;
            }
        }
    }
    assert!(failed >= 4, "only {failed} of the calls for two directories failed");
}
