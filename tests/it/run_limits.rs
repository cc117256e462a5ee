//! The limits of the sandbox of `imgb run`: what a program may use of the host's memory, disk,
//! processes and kernel, and that nothing is left when it has ended.

use std::time::{Duration, Instant};

use crate::{
    engines::{have, have_root},
    run_attacks::{compile, shell},
    sandbox::Sandbox,
};

/// An image of a static C program; `None` if this machine cannot make or run it.
pub(crate) fn program(source: &str) -> Option<Sandbox> {
    let sandbox = shell()?;
    compile(&sandbox, "app", "", source).then_some(())?;
    sandbox.imgb("pack --no-deps app -q -o app.tar").run().ok();
    Some(sandbox)
}

/// Memory that no process has mapped, or that no process has open.
#[test]
fn memory_that_is_not_mapped_counts_too() {
    let source = r#"
        #define _GNU_SOURCE
        #include <stdlib.h>
        #include <string.h>
        #include <sys/ipc.h>
        #include <sys/mman.h>
        #include <sys/prctl.h>
        #include <sys/shm.h>
        #include <unistd.h>
        enum { PART = 1 << 20, COUNT = 200 };
        int main(int argc, char **argv) {
            static char part[PART];
            memset(part, 1, PART);
            /* So that its own user may not look into it. */
            prctl(PR_SET_DUMPABLE, 0);
            if (!strcmp(argv[1], "memfd")) {
                int fd = memfd_create("hidden", 0);
                for (int i = 0; i < COUNT; i++) if (write(fd, part, PART) != PART) return 1;
            } else if (!strcmp(argv[1], "sysv")) {
                int id = shmget(IPC_PRIVATE, PART * COUNT, IPC_CREAT | 0600);
                char *at = shmat(id, 0, 0);
                if (at == (void *)-1) return 1;
                for (int i = 0; i < COUNT; i++) memcpy(at + i * PART, part, PART);
                shmdt(at);
            } else {
                /* Shared by all processes, so it counts once. */
                char *at = mmap(0, PART * 40, PROT_READ | PROT_WRITE,
                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
                for (int i = 0; i < 6; i++) if (!fork()) {
                    for (int i = 0; i < 40; i++) memcpy(at + i * PART, part, PART);
                    sleep(1);
                    return 0;
                }
                sleep(2);
                return 0;
            }
            sleep(600);
            return 0;
        }"#;
    let Some(sandbox) = program(source) else { return };
    for nobody in [false, true] {
        for kind in ["memfd", "sysv"] {
            let run = sandbox.imgb("run --memory 64m --timeout 500s app.tar --").arg(kind);
            let run = if nobody { run.nobody() } else { run }.run().exits(128 + 9);
            assert!(run.stderr().contains("used the memory"), "{kind}: {}", run.show());
        }
        let run = sandbox.imgb("run --memory 64m --timeout 500s app.tar -- shared");
        if nobody { run.nobody() } else { run }.run().ok();
    }
}

/// /proc shows the name of a process as it is, and a program chooses it.
#[test]
fn memory_of_a_program_whose_name_is_no_text_counts() {
    let source = r#"
        #include <stdlib.h>
        #include <string.h>
        #include <sys/prctl.h>
        #include <unistd.h>
        int main(void) {
            prctl(PR_SET_NAME, "\xff\xfe");
            /* Less than the limit for one process. */
            for (int i = 0; i < 4; i++) if (!fork()) {
                for (int i = 0; i < 50; i++) memset(malloc(1 << 20), 1, 1 << 20);
                sleep(600);
                return 0;
            }
            sleep(5);
            return 0;
        }"#;
    let Some(sandbox) = program(source) else { return };
    let run = sandbox.imgb("run --memory 64m --timeout 500s app.tar").run().exits(128 + 9);
    assert!(run.stderr().contains("used the memory"), "{}", run.show());
}

/// Interfaces of the kernel that most escapes go through, and the option that allows them.
#[test]
fn risky_system_calls_are_refused_unless_allowed() {
    let source = r#"
        #define _GNU_SOURCE
        #include <errno.h>
        #include <linux/sched.h>
        #include <sched.h>
        #include <signal.h>
        #include <stdio.h>
        #include <sys/socket.h>
        #include <sys/syscall.h>
        #include <unistd.h>
        static void tell(const char *what, long result) {
            printf("%s %s\n", what, result >= 0 ? "works" :
                errno == EPERM || errno == ENOSYS || errno == EAFNOSUPPORT ? "refused" : "fails");
            fflush(stdout);
        }
        static long clone_with(unsigned long flags) {
            long pid = syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);
            if (!pid) _exit(0);
            return pid;
        }
        static long clone3_with(unsigned long flags) {
            struct clone_args args = {.flags = flags, .exit_signal = SIGCHLD};
            long pid = syscall(SYS_clone3, &args, sizeof args);
            if (!pid) _exit(0);
            return pid;
        }
        int main(void) {
            char params[120] = {0};
            tell("fork", clone_with(0));
            tell("inet", socket(AF_INET, SOCK_STREAM, 0));
            tell("unix", socket(AF_UNIX, SOCK_STREAM, 0));
            tell("clone", clone_with(CLONE_NEWUSER));
            tell("clone3", clone3_with(CLONE_NEWUSER));
            tell("io_uring", syscall(SYS_io_uring_setup, 1, params));
            tell("userfaultfd", syscall(SYS_userfaultfd, 1));
            tell("vsock", socket(40, SOCK_STREAM, 0));
            tell("alg", socket(38, SOCK_SEQPACKET, 0));
            tell("unshare", unshare(CLONE_NEWUSER));
        #ifdef __x86_64__
            long result;
            /* The same as a 32-bit program. */
            __asm__ volatile("int $0x80" : "=a"(result) : "a"(310), "b"(CLONE_NEWUSER) : "memory");
            errno = -result;
            tell("unshare32", result);
            __asm__ volatile("syscall" : "=a"(result) : "a"(0x40000000 | 272), "D"(CLONE_NEWUSER)
                : "rcx", "r11", "memory");
            errno = -result;
            tell("unsharex32", result);
        #endif
            return 0;
        }"#;
    let Some(sandbox) = program(source) else { return };
    for nobody in [false, true] {
        let run = sandbox.imgb("run app.tar");
        let run = if nobody { run.nobody() } else { run }.run().ok();
        let text = run.text();
        assert!(text.starts_with("fork works\ninet works\nunix works\n"), "{text}");
        let rest: Vec<&str> = text.lines().skip(3).collect();
        assert!(rest.len() > 6, "{text}");
        assert!(rest.iter().all(|line| line.ends_with(" refused")), "{text}");
        let run = sandbox.imgb("run --allow-risky-syscalls app.tar");
        let run = if nobody { run.nobody() } else { run }.run().ok();
        for what in ["clone", "clone3", "unshare"] {
            assert!(run.text().contains(&format!("\n{what} works\n")), "{}", run.show());
        }
    }
}

/// On a file system with few files, to which nothing else writes.
#[test]
fn what_a_program_creates_does_not_use_up_the_files_of_a_disk() {
    let Some(sandbox) = shell() else { return };
    if !(have(&["unshare", "mount"]) && have_root()) {
        return;
    }
    sandbox.dir("disk");
    let script = "mount -t tmpfs -o size=64m,nr_inodes=4000,mode=1777 none disk && \
        TMPDIR=$PWD/disk exec \"$@\"";
    let under = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh"];
    let line = "mkdir /d; cd /d; for i in $(seq 3500); do : > $i; done; sleep 1000";
    let run = sandbox.imgb("run --timeout 500s sh.tar -- -c").arg(line).under(&under).run();
    let run = run.exits(128 + 9);
    assert!(run.stderr().contains("nine tenths of the free disk"), "{}", run.show());
}

/// A program that starts copies of itself, each of which uses memory, ends with all of them.
#[test]
fn a_bomb_ends_in_time() {
    let source = r#"
        #include <stdlib.h>
        #include <string.h>
        #include <unistd.h>
        int main(void) {
            /* 1 MiB each, so that the machine survives a failure of this test. */
            for (;;) if (!fork()) memset(malloc(1 << 20), 1, 1 << 20);
        }"#;
    let Some(sandbox) = program(source) else { return };
    for (options, code) in [("--timeout 3s", 124), ("--memory 256m", 128 + 9)] {
        let start = Instant::now();
        let run = sandbox.imgb(&format!("run {options} app.tar")).nobody().run();
        let took = start.elapsed();
        run.exits(code);
        assert!(took < Duration::from_secs(100), "{options}: {took:?}");
    }
    let line = "for i in $(seq 50); do sleep 100 & done; echo started";
    let sandbox = shell().unwrap();
    let run = sandbox.imgb("run --pids-limit 20 sh.tar -- -c").arg(line).run();
    assert!(!run.success() && !run.text().contains("started"), "{}", run.show());
    sandbox.imgb("run --pids-limit 60 sh.tar -- -c").arg(line).run().ok();
}

/// Directories so deep that no path reaches their end.
#[test]
fn nothing_is_left_of_deep_directories() {
    let source = r#"
        #include <sys/stat.h>
        #include <unistd.h>
        int main(void) {
            for (int i = 0; i < 3000; i++) {
                if (mkdir("directory", 0700) || chdir("directory")) return 1;
                if (i % 100 == 0) chmod("..", 0);
            }
            return 0;
        }"#;
    let Some(sandbox) = program(source) else { return };
    sandbox.dir("tmp").mode("tmp", 0o1777);
    for nobody in [false, true] {
        let run = sandbox.imgb("run app.tar").env("TMPDIR", sandbox.path("tmp"));
        let run = if nobody { run.nobody() } else { run }.run().ok();
        assert_eq!(run.stderr(), "");
        assert_eq!(sandbox.names("tmp"), Vec::<String>::new(), "as nobody: {nobody}");
    }
}

/// A signal that comes before there is a program ends imgb, and nothing of the copy is left.
#[test]
fn nothing_is_left_of_an_interrupted_unpacking() {
    let Some(sandbox) = shell() else { return };
    if !have(&["bash", "strace", "pkill"]) {
        return;
    }
    sandbox.dir("tmp").mode("tmp", 0o1777);
    for number in 0..300 {
        sandbox.file(&format!("files/{number}"), "content");
    }
    sandbox.imgb("pack --no-deps bin files --entrypoint /bin/sh -q -o many.tar").run().ok();
    let line = "TMPDIR=$PWD/tmp strace -qq -o log -e inject=fchmod:delay_enter=2000000 ../imgb run \
        many.tar -- -c 'echo started' & until [ \"$(ls tmp)\" ]; do sleep 0.1; done; \
        ls tmp | wc -l; pkill -TERM -P $! imgb; wait $!; echo $?";
    let run = sandbox.tool("bash", "-c").arg(line).run().ok();
    run.prints_only("1\n143\n");
    assert_eq!(sandbox.names("tmp"), Vec::<String>::new());
}

/// A signal is never lost between the unpacking and the program, nor before process 1 of the
/// namespace catches it: strace makes both times long.
#[test]
fn a_signal_before_the_program_starts_is_not_lost() {
    let Some(sandbox) = shell() else { return };
    if !have(&["bash", "strace", "pkill", "pgrep"]) {
        return;
    }
    sandbox.dir("tmp").mode("tmp", 0o1777);
    // The second process of the sandbox is process 1, which here has yet to become imgb.
    let is_init = "until pgrep -P \"$(pgrep -P \"$(pgrep -P $!)\")\"; do sleep 0.1; done";
    let is_unpacked = "until ls tmp/*/spec.json; do sleep 0.1; done";
    for (inject, until) in [("memfd_create", is_unpacked), ("execve", is_init)] {
        let line = format!(
            "TMPDIR=$PWD/tmp strace -f -qq -o log -e trace={inject} \
             -e inject={inject}:delay_exit=3000000 ../imgb run --timeout 100s sh.tar -- -c \
             'sleep 1000' & {{ {until}; }} >/dev/null 2>&1; pkill -TERM -P $! imgb; wait $!; \
             echo $?"
        );
        sandbox.tool("bash", "-c").arg(line).run().ok().prints_only("143\n");
        assert_eq!(sandbox.names("tmp"), Vec::<String>::new());
    }
}

/// The terminal sends Ctrl-C to the group that the program has yet to join: strace makes that time
/// long.
#[test]
fn an_interrupt_at_a_terminal_before_the_program_starts_is_not_lost() {
    const SCRIPT: &str = r#"
import os, pty, sys, time
os.environ["TMPDIR"] = tmp = os.getcwd() + "/tmp"
def is_init(pid):
    """Whether it is process 1 of this run, and the terminal is its group's."""
    try:
        words = open(f"/proc/{pid}/cmdline").read().split("\0")
        if words[0] != "imgb" or "init" not in words or tmp not in words[3]:
            return False
        return os.getpgid(pid) == os.tcgetpgrp(terminal)
    except OSError:
        return False
child, terminal = pty.fork()
if child == 0:
    os.execvp("strace", "strace -f -qq -o log -e trace=execve -e "
        "inject=execve:delay_exit=5000000 ../imgb run --timeout 300s sh.tar -- -c".split()
        + ["sleep 200"])
end = time.monotonic() + 200
while not any(is_init(int(name)) for name in os.listdir("/proc") if name.isdigit()):
    if time.monotonic() > end:
        sys.exit("process 1 of the run did not start")
    time.sleep(0.05)
time.sleep(0.5)
os.write(terminal, b"\3")
try:
    while os.read(terminal, 4096):
        pass
except OSError:
    pass
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"#;
    let Some(sandbox) = shell() else { return };
    if !have(&["python3", "strace"]) {
        return;
    }
    sandbox.dir("tmp").mode("tmp", 0o1777);
    sandbox.tool("python3", "-c").arg(SCRIPT).run().ok().prints_only("130\n");
    assert_eq!(sandbox.names("tmp"), Vec::<String>::new());
}
