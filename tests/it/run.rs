//! The smoke run: the program's own world, its exit code, its limits, and nothing outside of it.

use std::os::unix::fs::MetadataExt as _;

use crate::{
    fixtures::busybox,
    sandbox::{NOBODY, Outcome, Sandbox},
};

/// An image of busybox, and this kernel lets us run it.
fn shell() -> Option<Sandbox> {
    let sandbox = Sandbox::new();
    if !busybox(&sandbox) {
        return None;
    }
    let pack = "pack --soft none bin --entrypoint /bin/sh --env A=1 --workdir /work -q -o sh.tar";
    sandbox.imgb(pack).run().ok();
    Some(sandbox)
}

/// Runs a shell line in the image.
fn sh(sandbox: &Sandbox, options: &str, line: &str) -> Outcome {
    sandbox.imgb(&format!("run {options} sh.tar -- -c")).arg(line).run()
}

#[test]
fn the_exit_code_is_the_programs() {
    let Some(sandbox) = shell() else { return };
    sh(&sandbox, "", "exit 0").ok();
    sh(&sandbox, "", "exit 7").exits(7);
    sh(&sandbox, "", "kill -TERM $$").exits(128 + 15);
    sandbox.imgb("run --entrypoint /bin/nosuch sh.tar").run().error(127, &["/bin/nosuch"]);
    sandbox.imgb("run gone.tar").run().error(125, &["gone.tar"]);
}

#[test]
fn the_world_is_the_images_own() {
    let Some(sandbox) = shell() else { return };
    let line =
        "pwd; echo $A $B $SECRET; hostname; id -u; grep Cap /proc/self/status; grep NoNew /proc/self/status";
    let run = sandbox.imgb("run -e B=2 sh.tar -- -c").arg(line).env("SECRET", "canary").run().ok();
    let text = run.text();
    assert!(text.starts_with("/work\n1 2\nimgb\n0\n"), "{text}");
    assert_eq!(text.lines().filter(|line| line.ends_with("\t0000000000000000")).count(), 5, "{text}");
    assert!(text.ends_with("NoNewPrivs:\t1\n"), "{text}");
    // Process 1 is ours, and has nothing to tell.
    sh(&sandbox, "", "cat /proc/1/environ /proc/1/maps 2>/dev/null | wc -c").ok().prints_only("0\n");
    sh(&sandbox, "", "ls /; ls /dev").ok().prints_only(
        "bin\ndev\netc\nproc\ntmp\nwork\nfd\nfull\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\nstdout\ntty\nurandom\nzero\n",
    );
    sh(
        &sandbox,
        "",
        "echo x > /dev/null; ip -o addr show lo | grep -c 127.0.0.1; ls /sys/class/net 2>/dev/null; true",
    )
    .ok()
    .prints_only("1\n");
}

#[test]
fn any_user_and_nobody_too() {
    let Some(sandbox) = shell() else { return };
    sh(&sandbox, "--user 1234:56", "id").ok().prints_only("uid=1234 gid=56\n");
    sandbox
        .imgb("run sh.tar -- -c")
        .arg("id -u; touch /work/x && ls /work")
        .nobody()
        .run()
        .ok()
        .prints_only("0\nx\n");
    sh(&sandbox, "--user nosuch", "id").error(125, &["nosuch"]);
}

#[test]
fn writes_go_to_a_copy_that_is_gone_afterwards() {
    let Some(sandbox) = shell() else { return };
    sandbox.dir("tmp").mode("tmp", 0o1777);
    let before = sandbox.read("sh.tar");
    let run = |options: &str, line: &str| {
        let run = sandbox.imgb(&format!("run {options} sh.tar -- -c")).arg(line);
        run.env("TMPDIR", sandbox.path("tmp")).run()
    };
    run("", "mkdir -p /deep/a && touch /deep/a/x && chmod 0 /deep/a /deep && rm /bin/ls").ok();
    assert_eq!(sandbox.names("tmp"), Vec::<String>::new());
    assert!(sandbox.read("sh.tar") == before);
    run("--read-only", "echo x > /file").exits(1);
    run("--read-only", "echo x > /tmp/file && cat /tmp/file").ok().prints_only("x\n");
}

#[test]
fn limits_end_hogs_and_sleepers() {
    let Some(sandbox) = shell() else { return };
    sh(&sandbox, "--timeout 0.2", "sleep 1000").exits(124);
    // What is left behind in the background goes with it.
    sh(&sandbox, "", "sleep 1000 & sleep 1000 & exit 3").exits(3);
    let hog = sh(&sandbox, "--memory 32m", "tail /dev/zero");
    assert!(!hog.success(), "{}", hog.show());
    sh(&sandbox, "--memory 32m", "true").ok();
    // Each process by itself stays below the limit; all together do not.
    let line = "for i in 1 2 3 4 5 6 7 8; do (v=$(head -c 12000000 /dev/zero | tr '\\0' x); sleep 1000) & done; wait";
    let hogs = sh(&sandbox, "--memory 32m", line);
    assert!(!hogs.success() || hogs.stderr().is_empty(), "{}", hogs.show());
    let bomb = sh(&sandbox, "", "while sleep 1000 & do :; done");
    assert!(!bomb.success(), "{}", bomb.show());
}

/// Links in the image lead nowhere outside the copy, whoever follows them.
#[test]
fn nothing_outside_changes() {
    let Some(sandbox) = shell() else { return };
    let victim = sandbox.path("victim");
    sandbox.file("victim/file", "secret").mode("victim/file", 0o600).give_to_nobody();
    let state = || {
        let meta = fs_err::symlink_metadata(victim.join("file")).unwrap();
        (
            meta.ino(),
            meta.mode(),
            meta.uid(),
            meta.mtime(),
            meta.nlink(),
            fs_err::read(victim.join("file")).unwrap(),
        )
    };
    let before = state();
    assert_eq!(before.2, if crate::sandbox::is_root() { NOBODY } else { before.2 });
    sandbox.dir("root").symlink("root/etc", victim.to_str().unwrap());
    sandbox.symlink("root/up", "../../../../../../../../..").symlink("root/tmp", victim.to_str().unwrap());
    sandbox.tool("cp", "-a bin root/").run().ok();
    sandbox.imgb("pack root/ --no-deps --entrypoint /bin/sh -q -o links.tar").run().ok();
    let line = format!(
        "cat {0}/file /up{0}/file /etc/file; echo x > {0}/file; echo x > /etc/file; rm -rf {0}/file /up{0}; ls /up",
        victim.display()
    );
    let run = sandbox.imgb("run links.tar -- -c").arg(line).run();
    assert!(!run.text().contains("secret"), "{}", run.show());
    assert_eq!(state(), before);
    assert_eq!(fs_err::read_dir(&victim).unwrap().count(), 1);
    // A mount point that is a link is refused rather than followed.
    sandbox.symlink("root/proc", victim.to_str().unwrap());
    sandbox.imgb("pack root/ --no-deps --entrypoint /bin/sh -q -o proc.tar").run().ok();
    sandbox.imgb("run proc.tar -- -c true").run().error(125, &["/proc"]);
    assert_eq!(state(), before);
}

/// What comes to imgb goes on to the program.
#[test]
fn signals_reach_the_program() {
    let Some(sandbox) = shell() else { return };
    let line = "trap 'echo caught; exit 9' TERM; echo ready; while :; do sleep 0.05; done";
    let script = format!(
        "exec 3< <({}/../imgb run sh.tar -- -c \"$0\"; echo $?); read word <&3; kill -TERM $(pgrep -P $! | head -1) ; cat <&3",
        sandbox.root().display()
    );
    if !crate::engines::have(&["bash", "pgrep"]) {
        return;
    }
    let run = sandbox.tool("bash", "-c").arg(script).arg(line).run().ok();
    run.prints_only("caught\n9\n");
}
