//! Files that cannot be read: a failing disk, and directories that are closed to this user.

use crate::{
    engines::have,
    fixtures::{X86_64, static_elf},
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

/// A sysroot with glibc, time zones, and a program that reads these.
fn sysroot_with_zones() -> Option<Sandbox> {
    if !have(&["gcc"]) {
        return None;
    }
    let sandbox = Sandbox::new();
    sandbox.dir("sys");
    sandbox.imgb("pack true --soft none -o rootfs:sys.tar").run().ok();
    sandbox.tool("tar", "-xf sys.tar -C sys --no-same-owner").run().ok();
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
    let plan = "plan --sysroot sys ./app";
    let open = sandbox.imgb(plan).nobody().run().ok();
    assert!(open.text().contains("/usr/share/zoneinfo/Europe/Berlin"), "{}", open.show());
    assert!(!open.stderr().contains("may not read"), "{}", open.show());
    // The directory is root's, or nobody's own where the tests run as nobody.
    sandbox.mode("sys/usr/share/zoneinfo/Europe", 0o000);
    for command in [plan, "pack --no-check --sysroot sys ./app -o out/image.tar"] {
        sandbox.dir("out");
        sandbox.mode("out", 0o777);
        let run = sandbox.imgb(command).nobody().run().ok();
        let note = "since this user may not read it: /usr/share/zoneinfo/Europe";
        assert!(run.stderr().contains(note), "{}", run.show());
        assert_eq!(run.stderr().matches("may not read").count(), 1, "{}", run.show());
    }
    sandbox.mode("sys/usr/share/zoneinfo/Europe", 0o755);
}

#[test]
fn a_closed_directory_that_the_user_wants_is_an_error() {
    let Some(sandbox) = sysroot_with_zones() else { return };
    sandbox.mode("sys/usr/share/zoneinfo/Europe", 0o000);
    for wanted in ["/usr/share", "/usr/share/zoneinfo/Europe/Berlin"] {
        let plan = format!("plan --soft none --sysroot sys ./app --include {wanted}");
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
    let run = sandbox.imgb("plan --sysroot sys in/:/ app").nobody().run();
    sandbox.mode("sys/closed", 0o755);
    run.error(3, &["cannot read `/usr/bin/app", "permission denied"]);
}
