//! `imgb check`: what it reports, and that it reports whatever keeps a program from starting.

use crate::{
    engines::have,
    fixtures::{AARCH64, X86_64, program_without_its_library, static_elf},
    sandbox::Sandbox,
};

/// Packs `args` with `--no-check`, so that `imgb check` finds the fault.
fn packed(sandbox: &Sandbox, args: &str) {
    sandbox.imgb(&format!("pack --soft none --no-check -q -o image.tar {args}")).run().ok();
}

#[track_caller]
fn broken(sandbox: &Sandbox, args: &str, kind: &str, parts: &[&str]) {
    packed(sandbox, args);
    sandbox.imgb("check image.tar").run().error(1, parts);
    let json = sandbox.imgb("check --json image.tar").run().exits(1).text();
    let report: serde_json::Value = serde_json::from_str(&json).unwrap();
    let faults = report["faults"].as_array().unwrap();
    assert!(faults.iter().any(|fault| fault["kind"] == kind), "no fault of kind {kind} in {json}");
}

#[test]
fn each_fault_names_the_broken_edge() {
    let sandbox = Sandbox::new();
    sandbox
        .program("app", static_elf(X86_64))
        .file("data", "text")
        .program("script", "#!/bin/nosuch\n");
    sandbox.program("env", "#!/usr/bin/env nosuch\n").program("plain", "no magic at all");
    sandbox
        .program("foreign", static_elf(AARCH64))
        .file("closed", static_elf(X86_64))
        .mode("closed", 0o644);
    broken(&sandbox, "app --entrypoint /gone", "command", &["/gone"]);
    broken(&sandbox, "app --entrypoint gone", "command", &["gone", "/usr/bin/gone"]);
    broken(&sandbox, "closed --entrypoint /closed", "denied", &["/closed", "execute"]);
    broken(&sandbox, "app --entrypoint /app --user nosuch", "user", &["nosuch", "/etc/passwd"]);
    broken(&sandbox, "app --entrypoint /app --user 1:nosuch", "group", &["nosuch", "/etc/group"]);
    broken(&sandbox, "plain --entrypoint /plain", "no-program", &["/plain"]);
    broken(&sandbox, "app data --entrypoint /app --workdir /data", "workdir", &["/data"]);
    broken(
        &sandbox,
        "--no-deps script --entrypoint /script",
        "interpreter",
        &["/script", "/bin/nosuch"],
    );
    broken(&sandbox, "--no-deps env --entrypoint /env", "interpreter", &["/env", "/usr/bin/env"]);
    broken(
        &sandbox,
        "foreign --platform amd64 --entrypoint /foreign",
        "machine",
        &["/foreign", "aarch64", "linux/amd64"],
    );
    sandbox.dir("dir").program("dir/app", static_elf(X86_64)).mode("dir", 0o700);
    broken(
        &sandbox,
        "dir --entrypoint /dir/app --user 65532",
        "denied",
        &["/dir", "search", "65532"],
    );
}

#[test]
fn a_library_that_is_gone_is_named_with_who_needs_it() {
    let sandbox = Sandbox::new();
    if !program_without_its_library(&sandbox) {
        return;
    }
    let pack = "--library-path lib --allow-missing libgone.so.1 app";
    broken(&sandbox, pack, "library", &["/app", "libgone.so.1"]);
    sandbox.imgb("check image.tar --allow-missing libgone*").run().ok();
    // What `--allow-missing` names is not a reason to refuse.
    sandbox.imgb(&format!("pack -q -o other.tar {pack}")).run().ok();
}

#[test]
fn pack_refuses_what_cannot_start() {
    let sandbox = Sandbox::new();
    sandbox.program("app", static_elf(X86_64));
    let args = "pack app --entrypoint /gone -o out.tar";
    sandbox.imgb(args).run().error(1, &["/gone", "--no-check"]);
    assert!(!sandbox.path("out.tar").exists());
    sandbox.imgb(&format!("{args} --no-check")).run().ok();
    sandbox.imgb("pack app -o good.tar --user 1000").run().ok();
    sandbox.imgb("check good.tar").run().ok();
}

#[test]
fn modes_of_directories_for_temporary_files_are_checked() {
    let sandbox = Sandbox::new();
    sandbox.program("root/app", static_elf(X86_64)).dir("root/tmp").dir("root/var/tmp");
    sandbox.mode("root/tmp", 0o777).mode("root/var/tmp", 0o755);
    packed(&sandbox, "root/ --entrypoint /app --preserve-mode");
    let check = sandbox.imgb("check image.tar").run().ok();
    for part in [
        "`/tmp` has mode 0777",
        "remove each other's files",
        "`/var/tmp` has mode 0755",
        "cannot write",
    ] {
        assert!(check.stderr().contains(part), "no {part:?}\n{}", check.show());
    }
}

/// Removes each file and link of a good image in turn: either the check names what is missing, or
/// the program works without it.
#[test]
fn every_removed_file_is_named_or_not_needed() {
    if !have(&["sort", "tar"]) {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.imgb("pack sort -q -o rootfs:root.tar -o image.tar").run().ok();
    let run = |image: &str| sandbox.imgb(&format!("run {image} -- /etc/hostname")).run();
    sandbox.imgb("check image.tar").run().ok();
    run("image.tar").ok();
    let paths = sandbox.tool("tar", "-tf root.tar").run().ok().text();
    let files: Vec<&str> = paths.lines().filter(|path| !path.ends_with('/')).collect();
    let (mut named, mut needless) = (0, 0);
    for path in &files {
        sandbox.tool("rm", "-rf root less.tar").run().ok();
        sandbox.dir("root").tool("tar", "-xf root.tar -C root").run().ok();
        fs_err::remove_file(sandbox.path("root").join(path)).unwrap();
        sandbox.imgb("pack --no-deps -q root/ --entrypoint sort -o less.tar").run().ok();
        let check = sandbox.imgb("check less.tar").run();
        if check.success() {
            run("less.tar").ok();
            needless += 1;
        } else {
            let name = path.rsplit('/').next().unwrap();
            // The link may have another name than the file that is requested through it.
            let stem = name.split(".so").next().unwrap();
            check.error(1, &[stem.split('-').next().unwrap()]);
            named += 1;
        }
    }
    assert!(
        named >= 4,
        "program, loader, and libraries: {named} named, {needless} needless of {files:?}"
    );
}
