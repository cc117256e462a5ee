//! Programs in the sandbox of `imgb run` and `imgb trace` that try to get out of it: at imgb's own
//! binary, at the caller's processes, at the caller's files.

use std::os::unix::fs::{MetadataExt as _, chown};

use crate::{
    engines::have,
    fixtures::busybox,
    run::at_terminal,
    sandbox::{NOBODY, Outcome, Run, Sandbox, is_root},
};

/// An image of busybox; `None` if this kernel does not let imgb run it.
pub(crate) fn shell() -> Option<Sandbox> {
    let sandbox = Sandbox::new();
    if !busybox(&sandbox) {
        return None;
    }
    sandbox.imgb("pack --soft none bin --entrypoint /bin/sh -q -o sh.tar").run().ok();
    Some(sandbox)
}

/// Compiles a static C program; `false` without a compiler.
pub(crate) fn compile(sandbox: &Sandbox, name: &str, options: &str, source: &str) -> bool {
    if !have(&["gcc"]) {
        return false;
    }
    sandbox.file(&format!("{name}.c"), source);
    sandbox.tool("gcc", &format!("-static -O1 {options} -o {name} {name}.c")).run().ok();
    true
}

/// Runs it as the tests' own user or as `nobody`.
fn as_user(run: Run, nobody: bool) -> Outcome {
    if nobody { run.nobody().run() } else { run.run() }
}

/// CVE-2019-5736: a script whose interpreter is `/proc/self/exe` executes what started it. If that
/// is dynamic, the image's own loader then runs, and has imgb's binary open.
#[test]
fn a_program_cannot_reach_imgbs_own_binary() {
    // Without a C library, which does not start as a loader.
    let evil = r#"
        static long call(long number, const void *a, long b, long c) {
            long result;
            __asm__ volatile("syscall"
                : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
            return result;
        }
        static const char *open(const char *path, long flags) {
            return (const char *)call(2, path, flags, 0);
        }
        void _start(void) {
            static char to[999] = "reached ";
            const char *exe = "/proc/self/exe";
            call(89, exe, (long)(to + 8), 900); /* readlink */
            call(1, (void *)1, (long)to, sizeof to); /* write */
            call(91, open(exe, 0), 0600, 0); /* fchmod */
            call(90, exe, 0600, 0); /* chmod */
            call(76, exe, 1, 0); /* truncate */
            call(1, open(exe, 1), (long)"evil", 4);
            call(91, open("/proc/1/exe", 0), 0600, 0);
            call(60, 0, 0, 0); /* exit */
        }"#;
    let Some(sandbox) = shell() else { return };
    if cfg!(not(target_arch = "x86_64")) || !compile(&sandbox, "evil", "-nostdlib", evil) {
        return;
    }
    // A binary of the user's own, as `cargo install` leaves it.
    let own = sandbox.path("own");
    fs_err::copy(env!("CARGO_BIN_EXE_imgb"), &own).unwrap();
    sandbox.mode("own", 0o755);
    let interpreter =
        sandbox.tool("sh", "-c").arg("readelf -lW own | sed -n 's/.*interpreter: \\(.*\\)]/\\1/p'");
    let interpreter = interpreter.run().ok().text();
    // A static binary has no loader, and executes itself.
    let loader = match interpreter.trim() {
        "" => "/lib64/ld-linux-x86-64.so.2",
        path => path,
    };
    sandbox.program("app", "#!/proc/self/exe\n").program("shebang", "#!/proc/self/exe --version\n");
    let pack = format!("pack --no-deps --no-check evil:{loader} app shebang bin -q -o evil.tar");
    sandbox.imgb(&pack).run().ok();
    let state = || {
        let meta = fs_err::metadata(&own).unwrap();
        (meta.mode(), meta.len(), meta.mtime(), meta.ctime(), meta.ctime_nsec())
    };
    for nobody in [false, true] {
        if is_root() {
            let owner = if nobody { NOBODY } else { 0 };
            chown(&own, Some(owner), Some(owner)).unwrap();
        }
        let before = state();
        for command in ["run", "trace"] {
            for program in ["/app", "/shebang"] {
                let run = Run::new(&own).cwd(sandbox.root()).args(command);
                let run = run.args("--entrypoint").arg(program).arg("evil.tar");
                let run = as_user(run, nobody);
                assert_eq!(state(), before, "{command} {program}: {}", run.show());
                let host = sandbox.root().display().to_string();
                assert!(!run.text().contains(&host), "{}", run.show());
                let is_static = interpreter.trim().is_empty();
                let has_run = [run.text(), run.stderr().to_owned()].concat().contains("reached /");
                assert!(is_static || has_run || program != "/app", "{}", run.show());
            }
        }
        // No process in the sandbox tells where it runs from on the host.
        let line = "ls -l /proc/*/exe /proc/*/map_files /proc/*/cwd /proc/*/root 2>/dev/null";
        let run = Run::new(&own).cwd(sandbox.root()).args("run sh.tar -- -c").arg(line);
        let run = as_user(run, nobody);
        let host = sandbox.root().display().to_string();
        assert!(!run.text().contains(&host), "{}", run.show());
    }
}

/// kill(2) with process 0 reaches the caller's process group, whatever PID namespace it is in.
#[test]
fn signals_of_a_program_do_not_reach_the_callers_group() {
    let Some(sandbox) = shell() else { return };
    if !have(&["bash"]) {
        return;
    }
    for nobody in [false, true] {
        for signal in ["TERM", "KILL", "STOP"] {
            for command in ["run sh.tar", "trace sh.tar"] {
                let line = format!(
                    "sleep 900 & neighbour=$!; timeout 300 ../imgb {command} --timeout 5s -- -c \
                     'kill -{signal} 0; sleep 9' </dev/null >/dev/null 2>&1; kill $neighbour && \
                     echo survived"
                );
                // A group of its own for the script, since a failure would end the tests.
                let run = sandbox.tool("bash", "-c").arg(line).under(&["setsid", "--wait"]);
                as_user(run, nobody).ok().prints_only("survived\n");
            }
        }
    }
    let line = "timeout 300 ../imgb trace -- sh -c 'kill -KILL 0' </dev/null >/dev/null 2>&1; echo \
        survived";
    let run = sandbox.tool("bash", "-c").arg(line).under(&["setsid", "--wait"]).run();
    run.ok().prints_only("survived\n");
}

/// At a terminal the program's group is in the foreground, and the caller's gets it back.
#[test]
fn at_a_terminal_signals_stay_with_the_program_too() {
    let Some(sandbox) = shell() else { return };
    let line = "\"$@\" 'kill 0; sleep 9'; echo \"end $?\"; read x; echo \"got $x\"";
    let imgb = env!("CARGO_BIN_EXE_imgb");
    let command = ["bash", "-c", line, "bash", imgb, "run", "sh.tar", "--", "-c"];
    let Some(run) = at_terminal(&sandbox, r"end 143|hello\n", &command) else { return };
    run.ok().prints("got hello\n");
    // A pager reads its keys from the terminal while imgb runs.
    let line = "\"$@\" 'sleep 1; echo out' | (read key </dev/tty; echo \"key $key\"; cat)";
    let command = ["bash", "-c", line, "bash", imgb, "run", "sh.tar", "--", "-c"];
    let run = at_terminal(&sandbox, r"|k\n", &command).unwrap().ok();
    run.prints("key k\n").prints("out\n");
    // Ctrl-Z and Ctrl-C where the program has no terminal as its input.
    let line = "echo ready; while sleep 0.1; do echo tick; done";
    let job = "set -m; \"$@\" </dev/null; echo \"stopped $?\"; fg >/dev/null; echo \"end $?\"";
    let command = ["bash", "-c", job, "bash", imgb, "run", "sh.tar", "--", "-c", line];
    // Before the program goes on, bash itself may be in the foreground.
    let script = r"ready|\x1a|stopped 147.*tick|\x03";
    at_terminal(&sandbox, script, &command).unwrap().ok().prints("end 130\n");
}

/// nohup(1) starts imgb with a signal ignored, and means the program.
#[test]
fn a_signal_that_the_caller_ignores_is_ignored_by_the_program() {
    let Some(sandbox) = shell() else { return };
    let line = "kill -HUP $$; echo alive";
    let run = sandbox.imgb("run sh.tar -- -c").arg(line).under(&["nohup"]).run();
    run.ok().prints_only("alive\n");
}

/// Its priority is a matter of the process group too (setpriority(2), PRIO_PGRP).
#[test]
fn a_program_cannot_slow_down_the_callers_group() {
    let Some(sandbox) = shell() else { return };
    let source = "#include <sys/resource.h>
        int main(void) { return setpriority(PRIO_PGRP, 0, 15); }";
    if !have(&["bash"]) || !compile(&sandbox, "slow", "", source) {
        return;
    }
    sandbox.imgb("pack --no-deps slow -q -o slow.tar").run().ok();
    let line = "../imgb run slow.tar </dev/null; echo $?; exec nice";
    let run = sandbox.tool("bash", "-c").arg(line).under(&["setsid", "--wait"]).nobody().run();
    run.ok().prints_only("0\n0\n");
}

/// There, process 1, which waits for the program, is in the program's group.
#[test]
fn at_a_terminal_a_program_cannot_slow_down_process_1() {
    let sandbox = Sandbox::new();
    let source = "#include <sys/resource.h>
        int main(void) {
            setpriority(PRIO_PGRP, 0, 15);
            return getpriority(PRIO_PROCESS, 1);
        }";
    if !compile(&sandbox, "slow", "", source) {
        return;
    }
    sandbox.imgb("pack --no-deps slow -q -o slow.tar").run().ok();
    let line = "\"$@\"; echo \"end $?\"; read x";
    let command = ["bash", "-c", line, "bash", env!("CARGO_BIN_EXE_imgb"), "run", "slow.tar"];
    let Some(run) = at_terminal(&sandbox, r"end|\n", &command) else { return };
    run.prints("end 0\n");
}

/// Through a descriptor of a file a program could truncate it, or rewrite what others have written.
#[test]
fn files_as_standard_streams_cannot_be_changed() {
    let Some(sandbox) = shell() else { return };
    let attack = "for fd in 0 1 2; do (: > /proc/self/fd/$fd); echo evil 1<>/proc/self/fd/$fd; \
        chmod 777 /proc/self/fd/$fd; done 2>/dev/null; echo to stdout; echo to stderr >&2; cat";
    for nobody in [false, true] {
        for command in ["run sh.tar", "trace sh.tar"] {
            sandbox.file("in", "input\n").file("out", "earlier\n").file("err", "earlier\n");
            sandbox.give_to_nobody();
            let under = ["sh", "-c", "exec \"$@\" <in >>out 2>>err", "sh"];
            let run = sandbox.imgb(&format!("{command} -- -c")).arg(attack).under(&under);
            as_user(run, nobody);
            let text = |name: &str| String::from_utf8(sandbox.read(name)).unwrap();
            assert_eq!(text("in"), "input\n", "{command}");
            assert!(text("err").starts_with("earlier\n"), "{command}: {}", text("err"));
            assert!(text("err").contains("to stderr\n"), "{command}: {}", text("err"));
            if command.starts_with("run") {
                assert!(text("out").starts_with("earlier\n"), "{}", text("out"));
                assert!(text("out").contains("to stdout\ninput\n"), "{}", text("out"));
            }
            for name in ["in", "out", "err"] {
                let mode = fs_err::metadata(sandbox.path(name)).unwrap().mode();
                assert_eq!(mode & 0o777, 0o644, "{command}: {name}");
            }
        }
    }
}

#[test]
fn a_directory_as_standard_stream_is_refused() {
    let Some(sandbox) = shell() else { return };
    for command in ["run sh.tar", "trace sh.tar"] {
        let under = ["sh", "-c", "exec \"$@\" </", "sh"];
        let run = sandbox.imgb(&format!("{command} -- -c")).arg("ls /proc/self/fd/0/etc/shadow");
        run.under(&under).run().error(125, &["standard stream is a directory"]);
    }
}
