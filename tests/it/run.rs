//! `imgb run`: what the program sees, its exit code, its limits, and that nothing outside changes.

use std::os::unix::fs::MetadataExt as _;

use imgb::digest::Digest;

use crate::{
    fixtures::{AARCH64, busybox, static_elf},
    sandbox::{NOBODY, Outcome, Sandbox},
};

/// An image of busybox; `None` if this kernel does not let imgb run it.
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
fn the_program_sees_only_the_image() {
    let Some(sandbox) = shell() else { return };
    let line = "pwd; echo $A $B $SECRET; hostname; id -u; grep Cap /proc/self/status; grep NoNew \
        /proc/self/status";
    let run = sandbox.imgb("run -e B=2 sh.tar -- -c").arg(line).env("SECRET", "canary").run().ok();
    let text = run.text();
    assert!(text.starts_with("/work\n1 2\nimgb\n0\n"), "{text}");
    assert_eq!(
        text.lines().filter(|line| line.ends_with("\t0000000000000000")).count(),
        5,
        "{text}"
    );
    assert!(text.ends_with("NoNewPrivs:\t1\n"), "{text}");
    // Process 1 is imgb's, and reveals nothing.
    sh(&sandbox, "", "cat /proc/1/environ /proc/1/maps 2>/dev/null | wc -c")
        .ok()
        .prints_only("0\n");
    sh(&sandbox, "", "ls /; ls /dev").ok().prints_only(
        "bin\ndev\netc\nproc\ntmp\nwork\nfd\nfull\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\n\
            stdout\ntty\nurandom\nzero\n",
    );
    sh(
        &sandbox,
        "",
        "echo x > /dev/null; ip -o addr show lo | grep -c 127.0.0.1; ls /sys/class/net \
            2>/dev/null; true",
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
    // Background processes end with it.
    sh(&sandbox, "", "sleep 1000 & sleep 1000 & exit 3").exits(3);
    let hog = sh(&sandbox, "--memory 32m", "tail /dev/zero");
    assert!(!hog.success(), "{}", hog.show());
    sh(&sandbox, "--memory 32m", "true").ok();
    // Each process stays below the limit; together they exceed it.
    let line = "for i in 1 2 3 4 5 6 7 8; do (v=$(head -c 12000000 /dev/zero | tr '\\0' x); sleep \
        1000) & done; wait";
    let hogs = sh(&sandbox, "--memory 32m", line);
    assert!(!hogs.success() || hogs.stderr().is_empty(), "{}", hogs.show());
    let bomb = sh(&sandbox, "", "while sleep 1000 & do :; done");
    assert!(!bomb.success(), "{}", bomb.show());
}

/// Links in the image never lead outside the copy, whoever follows them.
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
    sandbox
        .symlink("root/up", "../../../../../../../../..")
        .symlink("root/tmp", victim.to_str().unwrap());
    sandbox.tool("cp", "-a bin root/").run().ok();
    sandbox.imgb("pack root/ --no-deps --entrypoint /bin/sh -q -o links.tar").run().ok();
    let line = format!(
        "cat {0}/file /up{0}/file /etc/file; echo x > {0}/file; echo x > /etc/file; rm -rf \
            {0}/file /up{0}; ls /up",
        victim.display()
    );
    let run = sandbox.imgb("run links.tar -- -c").arg(line).run();
    assert!(!run.text().contains("secret"), "{}", run.show());
    assert_eq!(state(), before);
    assert_eq!(fs_err::read_dir(&victim).unwrap().count(), 1);
    // A mount point that is a link is refused, not followed.
    sandbox.symlink("root/proc", victim.to_str().unwrap());
    sandbox.imgb("pack root/ --no-deps --entrypoint /bin/sh -q -o proc.tar").run().ok();
    sandbox.imgb("run proc.tar -- -c true").run().error(125, &["/proc"]);
    assert_eq!(state(), before);
}

/// An archive as `docker save` writes it: a layer with busybox below the layer that `fill` makes.
fn archive_of(fill: impl FnOnce(&mut tar::Builder<Vec<u8>>)) -> Vec<u8> {
    let put = |tar: &mut tar::Builder<Vec<u8>>, name: &str, mode: u32, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(mode);
        tar.append_data(&mut header, name, bytes).unwrap();
    };
    let mut lower = tar::Builder::new(Vec::new());
    put(&mut lower, "bin/busybox", 0o755, &fs_err::read("/bin/busybox").unwrap());
    let mut upper = tar::Builder::new(Vec::new());
    fill(&mut upper);
    let layers = [lower.into_inner().unwrap(), upper.into_inner().unwrap()];
    let diff_ids = layers.each_ref().map(|layer| Digest::of(layer).to_string());
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux", "config": {"Entrypoint": ["/bin/busybox", "sh"]},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    });
    let mut archive = tar::Builder::new(Vec::new());
    put(&mut archive, "config.json", 0o644, config.to_string().as_bytes());
    for (name, layer) in ["0.tar", "1.tar"].iter().zip(&layers) {
        put(&mut archive, name, 0o644, layer);
    }
    let manifest = serde_json::json!([
        {"Config": "config.json", "RepoTags": ["x:1"], "Layers": ["0.tar", "1.tar"]},
    ]);
    put(&mut archive, "manifest.json", 0o644, manifest.to_string().as_bytes());
    archive.into_inner().unwrap()
}

/// One entry of a layer, whatever is in its names.
fn entry(
    tar: &mut tar::Builder<Vec<u8>>,
    kind: tar::EntryType,
    name: &str,
    link: &str,
    bytes: &[u8],
) {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(0o777);
    header.set_size(bytes.len() as u64);
    let old = header.as_old_mut();
    old.name[..name.len()].copy_from_slice(name.as_bytes());
    old.linkname[..link.len()].copy_from_slice(link.as_bytes());
    header.set_cksum();
    tar.append(&header, bytes).unwrap();
}

/// Layers that lead out of the root through symlinks, hard links, `..` and replaced entries: the
/// copy stays inside or the image is refused, and a program that follows all of them finds nothing
/// of the host.
#[test]
fn layers_that_lead_out_lead_nowhere() {
    use tar::EntryType::{Directory, Link, Regular, Symlink};
    let Some(sandbox) = shell() else { return };
    sandbox
        .file("victim/file", "secret")
        .mode("victim/file", 0o644)
        .dir("victim")
        .mode("victim", 0o777);
    let victim = sandbox.path("victim").to_str().unwrap().to_owned();
    let file = format!("{victim}/file");
    let up = format!("{}{}", "../".repeat(12), victim.trim_start_matches('/'));
    let state = || {
        let one = |path: &std::path::Path| {
            let meta = fs_err::symlink_metadata(path).unwrap();
            (
                meta.ino(),
                meta.mode(),
                meta.uid(),
                meta.mtime_nsec(),
                meta.ctime_nsec(),
                meta.nlink(),
            )
        };
        let (dir, file) = (sandbox.path("victim"), sandbox.path("victim/file"));
        (one(&dir), one(&file), fs_err::read(&file).unwrap(), sandbox.names("victim"))
    };
    let before = state();
    type Entries<'a> = Vec<(tar::EntryType, &'a str, &'a str, &'a [u8])>;
    let attacks: Vec<Entries<'_>> = vec![
        vec![
            (Symlink, "a", &victim, b""),
            (Regular, "a/file", "", b"evil"),
            (Regular, "a/new", "", b"evil"),
        ],
        vec![(Symlink, "a", &up, b""), (Regular, "a/file", "", b"evil")],
        vec![
            (Symlink, "cur", ".", b""),
            (Symlink, "par", "cur/..", b""),
            (Regular, "par/x", "", b"evil"),
        ],
        vec![(Symlink, "a", &victim, b""), (Directory, "a", "", b"")],
        vec![(Symlink, "a", &file, b""), (Regular, "a", "", b"evil")],
        vec![(Link, "a", &file, b""), (Regular, "a", "", b"evil")],
        vec![(Link, "a", &up, b"")],
        vec![(Symlink, "s", &file, b""), (Link, "a", "s", b""), (Regular, "a", "", b"evil")],
        vec![(Symlink, ".", &victim, b""), (Regular, "file", "", b"evil")],
        vec![(Symlink, "tmp", &victim, b""), (Symlink, "etc", &up, b"")],
        vec![(Regular, "../../../../../../../../../tmp/evil", "", b"evil")],
        vec![(Symlink, "dev", &victim, b""), (Symlink, "proc", &victim, b"")],
    ];
    let line = format!(
        "exec 2>/dev/null; for p in /a /s /a/file /par{victim} /tmp /etc {victim} {up}; do \
        /bin/busybox cat $p $p/file; echo evil > $p/file; echo evil > $p/new; \
        /bin/busybox chmod 0 $p; /bin/busybox rm -rf $p/file; done"
    );
    let mut ran = 0;
    for (number, attack) in attacks.iter().enumerate() {
        let archive = archive_of(|tar| {
            for (kind, name, link, bytes) in attack {
                entry(tar, *kind, name, link, bytes);
            }
        });
        sandbox.file("attack.tar", archive);
        for nobody in [false, true] {
            let run = sandbox.imgb("run attack.tar -- -c").arg(&line);
            let run = if nobody { run.nobody() } else { run }.run();
            assert!(!run.text().contains("secret"), "attack {number}: {}", run.show());
            assert_eq!(state(), before, "attack {number}: {}", run.show());
            ran += usize::from(!run.stderr().contains("error: "));
        }
    }
    assert!(ran > 6, "the rest was refused: {ran} ran");
    assert!(!std::path::Path::new("/tmp/evil").exists());
}

/// The program has to see the same world under runc.
#[test]
fn an_installed_runtime_runs_it_too() {
    let Some(sandbox) = shell() else { return };
    if !crate::engines::have(&["runc"]) {
        return;
    }
    let line =
        "echo $A $B; pwd; id -u; grep NoNew /proc/self/status; ls -d /proc/1 /dev/null; exit 7";
    let wanted = "1 2\n/work\n0\nNoNewPrivs:\t1\n/dev/null\n/proc/1\n";
    for nobody in [false, true] {
        let run = sandbox.imgb("run --runtime runc -e B=2 sh.tar -- -c").arg(line);
        let run = if nobody { run.nobody() } else { run }.run().exits(7);
        assert_eq!(run.text(), wanted, "as nobody: {nobody}\n{}", run.show());
        let run = sandbox.imgb("run --runtime runc --read-only sh.tar -- -c").arg("echo > /file");
        if nobody { run.nobody() } else { run }.run().exits(1);
    }
    sandbox.imgb("run --runtime runc --timeout 1s sh.tar -- -c").arg("sleep 1000").run().exits(124);
    let none = sandbox.imgb("run --runtime crun sh.tar").under(&["env", "PATH=/nowhere"]).run();
    none.error(125, &["`crun` is not installed", "--runtime"]);
    sandbox.imgb("run --runtime nosuch sh.tar").run().error(2, &["nosuch", "runc"]);
}

/// On a file system of its own, to which nothing else writes.
#[test]
fn what_a_program_writes_does_not_fill_the_disk() {
    let Some(sandbox) = shell() else { return };
    if !(crate::engines::have(&["unshare", "mount"]) && crate::engines::have_root()) {
        return;
    }
    sandbox.dir("disk");
    let script = "mount -t tmpfs -o size=64m,mode=1777 none disk && TMPDIR=$PWD/disk exec \"$@\"";
    let under = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh"];
    // It writes and then waits, so that the result does not depend on timing.
    for line in [
        "head -c 64000000 /dev/zero > /big; sleep 1000",
        "mkdir /d; cd /d; for i in $(seq 640); do head -c 100000 /dev/zero > $i; done; sleep 1000",
    ] {
        let run = sandbox.imgb("run sh.tar -- -c").arg(line).under(&under).run().exits(128 + 9);
        assert!(run.stderr().contains("nine tenths of the free disk"), "{}", run.show());
    }
    sandbox
        .imgb("run sh.tar -- -c")
        .arg("head -c 20000000 /dev/zero > /some")
        .under(&under)
        .run()
        .ok();
}

/// Signals that imgb receives are passed on to the program.
#[test]
fn signals_reach_the_program() {
    let Some(sandbox) = shell() else { return };
    let line = "trap 'echo caught; exit 9' TERM; echo ready; while :; do sleep 0.05; done";
    let script = format!(
        "exec 3< <({}/../imgb run sh.tar -- -c \"$0\"; echo $?); read word <&3; kill -TERM $(pgrep \
            -P $! | head -1) ; cat <&3",
        sandbox.root().display()
    );
    if !crate::engines::have(&["bash", "pgrep"]) {
        return;
    }
    let run = sandbox.tool("bash", "-c").arg(script).arg(line).run().ok();
    run.prints_only("caught\n9\n");
}

/// A program could leave its root through a directory that the caller has open.
#[test]
fn nothing_that_the_caller_has_open_reaches_the_program() {
    let Some(sandbox) = shell() else { return };
    let under = ["sh", "-c", "exec \"$@\" 7</ 8</etc/hostname", "sh"];
    for nobody in [false, true] {
        let run = sandbox
            .imgb("run sh.tar -- -c")
            .arg("echo /proc/$$/fd/*; ls /proc/$$/fd/7/")
            .under(&under);
        let run = if nobody { run.nobody() } else { run }.run().exits(1);
        assert!(!run.text().contains("fd/7") && !run.text().contains("fd/8"), "{}", run.show());
    }
}

#[test]
fn the_hosts_own_parts_of_proc_are_covered() {
    let Some(sandbox) = shell() else { return };
    sh(
        &sandbox,
        "",
        "cat /proc/keys /proc/timer_list /proc/kcore 2>/dev/null | wc -c; ls \
        /proc/acpi /proc/scsi 2>/dev/null | grep -v :; true",
    )
    .ok()
    .prints_only("0\n");
}

/// Waits for text on a terminal of its own, types the answers, and prints everything.
const AT_TERMINAL: &str = r#"
import fcntl, os, pty, re, select, struct, sys, termios
script, command = sys.argv[1].split("|"), sys.argv[2:]
pid, terminal = pty.fork()
if pid == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 77, 0, 0))
    os.execvp(command[0], command)
seen = b""
def more():
    global seen
    if not select.select([terminal], [], [], 60)[0]:
        sys.exit("nothing comes any more after: " + repr(seen))
    try:
        part = os.read(terminal, 65536)
    except OSError:
        part = b""
    seen += part
    return part
for wait, keys in zip(script[::2], script[1::2]):
    while not re.search(wait.encode(), seen, re.DOTALL):
        if not more():
            sys.exit("the end, before " + wait + ": " + repr(seen))
    os.write(terminal, keys.encode().decode("unicode_escape").encode())
while more():
    pass
sys.stdout.write(seen.decode().replace("\r\n", "\n"))
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"#;

/// Runs `command` at a terminal; `script` alternates the text to wait for, a regular expression of
/// Python, and the text to type.
pub(crate) fn at_terminal(sandbox: &Sandbox, script: &str, command: &[&str]) -> Option<Outcome> {
    if !crate::engines::have(&["python3", "bash"]) {
        return None;
    }
    let run = sandbox.tool("python3", "-c").arg(AT_TERMINAL).arg(script);
    Some(command.iter().fold(run, |run, word| run.arg(word)).run())
}

#[test]
fn the_terminal_is_the_programs() {
    let Some(sandbox) = shell() else { return };
    let line = "stty size; tty; echo ready; read x; echo \"got $x\"; read y";
    let job = "set -m; \"$@\"; echo \"stopped $?\"; fg >/dev/null; echo \"end $?\"";
    let imgb = env!("CARGO_BIN_EXE_imgb");
    let command = ["bash", "-c", job, "bash", imgb, "run", "sh.tar", "--", "-c", line];
    // Stopped, continued and ended from the terminal.
    let script = r"ready|\x1a|stopped 147|hello\n|got hello|\x03";
    let Some(run) = at_terminal(&sandbox, script, &command) else { return };
    let text = run.ok().text();
    for part in ["33 77\n", "/dev/console\n", "end 130\n"] {
        assert!(text.contains(part), "no {part:?} in {text:?}");
    }
}

/// The user's shell would execute what a program puts into the terminal's input (TIOCSTI).
#[test]
fn a_program_cannot_type_for_its_user() {
    let Some(sandbox) = shell() else { return };
    if !crate::engines::have(&["gcc"]) {
        return;
    }
    let source = r#"
        #define _GNU_SOURCE
        #include <errno.h>
        #include <sys/ioctl.h>
        #include <sys/syscall.h>
        #include <unistd.h>
        int main(void) {
            if (!isatty(0)) return 9;
            if (ioctl(0, TIOCSTI, "x") != -1 || errno != EPERM) return 1;
            /* The kernel reads only 32 bits. */
            long high = 0xffffffff00000000ul | TIOCSTI;
            if (syscall(SYS_ioctl, 0, high, "x") != -1 || errno != EPERM) return 2;
            /* KEYCTL_GET_KEYRING_ID of the session. */
            if (syscall(SYS_keyctl, 0, -3, 0) != -1 || errno != EPERM) return 3;
        #ifdef __x86_64__
            register long number = 54, fd = 0, command = TIOCSTI;
            long result;
            static char *low = "x";
            __asm__ volatile("int $0x80"
                : "=a"(result) : "a"(number), "b"(fd), "c"(command), "d"(low) : "memory");
            if (result != -EPERM && result != -ENOSYS) return 4;
        #endif
            return 0;
        }"#;
    sandbox.file("type.c", source);
    sandbox.tool("gcc", "-static -no-pie -o type type.c").run().ok();
    sandbox.imgb("pack --soft none type -q -o type.tar").run().ok();
    let command = [env!("CARGO_BIN_EXE_imgb"), "run", "type.tar"];
    let Some(run) = at_terminal(&sandbox, "", &command) else { return };
    run.ok();
}

#[test]
fn a_missing_working_directory_is_named() {
    let Some(sandbox) = shell() else { return };
    sh(&sandbox, "--workdir /bin/busybox", "true")
        .error(126, &["working directory `/bin/busybox`"]);
    sh(&sandbox, "--user 4294967295", "true").error(125, &["user `4294967295`"]);
}

#[test]
fn a_program_of_another_machine_is_told_from_one_that_is_broken() {
    let sandbox = Sandbox::new();
    // Padded, so that the kernel can read as much as it asks for.
    let foreign = [static_elf(AARCH64), vec![0; 4096]].concat();
    sandbox.program("foreign", foreign);
    sandbox
        .imgb("pack --soft none --no-check foreign --platform arm64 -q -o foreign.tar")
        .run()
        .ok();
    sandbox
        .imgb("run --platform linux/arm64 foreign.tar")
        .run()
        .error(126, &["/foreign", "another machine"]);
}
