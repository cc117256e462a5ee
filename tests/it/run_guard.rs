//! Programs in the sandbox of `imgb run` that attack what guards it: process 1 and its threads,
//! what these read, the files that root has in /proc, the standard streams that others use too.

use std::{
    io::{self, BufRead as _, BufReader, Read as _},
    process::{Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use crate::{
    engines::have,
    run_limits::program,
    sandbox::{Sandbox, is_root},
};

const ATTACKS: &str = r#"
    #define _GNU_SOURCE
    #include <errno.h>
    #include <fcntl.h>
    #include <sched.h>
    #include <stdio.h>
    #include <stdlib.h>
    #include <string.h>
    #include <sys/ipc.h>
    #include <sys/klog.h>
    #include <sys/resource.h>
    #include <sys/sem.h>
    #include <sys/syscall.h>
    #include <unistd.h>
    static void tell(const char *what, long result) {
        printf("%s %s\n", what, result >= 0 ? "works" : errno == EPERM ? "refused" : "fails");
    }
    /* More than one process may have with --memory 64m. */
    static void use_memory(void) {
        for (int i = 0; i < 4; i++) if (!fork()) {
            for (int i = 0; i < 50; i++) memset(malloc(1 << 20), 1, 1 << 20);
            sleep(600);
            _exit(0);
        }
    }
    int main(int argc, char **argv) {
        const char *attack = argv[1];
        struct rlimit none = {0, 0};
        struct sched_param param = {0};
        setvbuf(stdout, 0, _IOLBF, 0);
        if (!strcmp(attack, "threads")) {
            cpu_set_t cpus;
            sched_getaffinity(0, sizeof cpus, &cpus);
            for (int pid = 1; pid <= 2; pid++) {
                tell("limit", prlimit(pid, RLIMIT_NOFILE, &none, 0));
                tell("policy", sched_setscheduler(pid, SCHED_IDLE, &param));
                tell("policy", syscall(SYS_sched_setattr, pid, 0, 0));
                tell("param", sched_setparam(pid, &param));
                tell("affinity", sched_setaffinity(pid, sizeof cpus, &cpus));
                tell("priority", setpriority(PRIO_PROCESS, pid, 19));
                char name[99], text[99] = "";
                sprintf(name, "/proc/%d/autogroup", pid);
                int file = open(name, O_RDWR);
                write(file, "19", 2);
                read(file, text, 98);
                errno = EPERM;
                tell("autogroup", strstr(text, "nice 19") ? 0 : -1);
            }
            tell("user", setpriority(PRIO_USER, 0, 19));
            tell("log", klogctl(10, 0, 0));
            struct rlimit core;
            getrlimit(RLIMIT_CORE, &core);
            errno = EPERM;
            tell("core", core.rlim_cur == 1 && core.rlim_max == 1 ? -1 : 0);
            for (const char **file = (const char *[]){"kernel/shmmax", "kernel/ns_last_pid", 0};
                    *file; file++) {
                char name[99];
                sprintf(name, "/proc/sys/%s", *file);
                int opened = open(name, O_WRONLY);
                errno = errno == EROFS ? EPERM : errno;
                tell(*file, opened);
            }
        } else if (!strcmp(attack, "own")) {
            tell("limit", prlimit(getpid(), RLIMIT_NOFILE, &none, 0));
            tell("policy", sched_setscheduler(0, SCHED_IDLE, &param));
            tell("priority", setpriority(PRIO_PROCESS, getpid(), 19));
        } else if (!strcmp(attack, "stderr")) {
            int flags = fcntl(2, F_GETFL);
            fcntl(2, F_SETFL, flags | O_NONBLOCK);
            while (write(2, "x", 1) == 1) {}
            fcntl(2, F_SETFL, flags);
            use_memory();
            for (int i = 0; i < 3000; i++) {
                puts("alive");
                usleep(100000);
            }
            puts("SURVIVED");
        } else if (!strcmp(attack, "memory")) {
            use_memory();
            sleep(600);
        } else if (!strcmp(attack, "semaphores")) {
            for (int i = 0; i < 100; i++) if (semget(IPC_PRIVATE, 32000, IPC_CREAT | 0600) < 0) {
                /* Not a limit of this test, but of the machine. */
                perror("semget");
                return 3;
            }
            sleep(600);
        } else if (!strcmp(attack, "terminals")) {
            int count = 0;
            while (open("/dev/ptmx", O_RDWR) >= 0) count++;
            printf("%d terminals\n", count);
        } else if (!strcmp(attack, "flags")) {
            for (int fd = 0; fd < 3; fd++) fcntl(fd, F_SETFL, O_NONBLOCK | O_APPEND);
        }
        return 0;
    }"#;

fn attacks() -> Option<Sandbox> {
    program(ATTACKS)
}

#[test]
fn a_program_cannot_limit_or_slow_down_process_1() {
    let Some(sandbox) = attacks() else { return };
    for nobody in [false, true] {
        let run = sandbox.imgb("run --memory 64m app.tar -- threads");
        let run = if nobody { run.nobody() } else { run }.run().ok();
        assert!(run.text().lines().count() > 16, "{}", run.show());
        assert!(run.text().lines().all(|line| line.ends_with(" refused")), "{}", run.show());
    }
    let run = sandbox.imgb("run app.tar -- own").run().ok();
    run.prints_only("limit works\npolicy works\npriority works\n");
}

/// The program fills the pipe before it exceeds the limit.
#[test]
fn a_program_ends_though_the_warning_about_it_is_not_read() {
    let Some(sandbox) = attacks() else { return };
    let (mut unread, stderr) = io::pipe().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_imgb"));
    command.args(["run", "--memory", "64m", "--timeout", "500s", "app.tar", "--", "stderr"]);
    command.current_dir(sandbox.root()).stdin(Stdio::null());
    let mut child = command.stdout(Stdio::piped()).stderr(stderr).spawn().unwrap();
    drop(command);
    let (sender, lines) = mpsc::channel();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let reader = std::thread::spawn(move || {
        for line in stdout.lines() {
            let _ = sender.send(line.unwrap());
        }
    });
    // Ends when the program has been silent for a while, which it is only when it has ended.
    let first = lines.recv_timeout(Duration::from_secs(500)).into_iter();
    let rest = std::iter::from_fn(|| lines.recv_timeout(Duration::from_secs(3)).ok());
    let said: Vec<String> = first.chain(rest).collect();
    let mut warning = Vec::new();
    unread.read_to_end(&mut warning).unwrap();
    let code = child.wait().unwrap().code();
    reader.join().unwrap();
    assert!(!said.contains(&"SURVIVED".into()), "{said:?}");
    assert_eq!(code, Some(128 + 9), "{said:?}");
    assert!(String::from_utf8_lossy(&warning).ends_with("is ended\n"));
}

/// imgb reads in /proc what the program uses.
#[test]
fn a_link_in_the_image_cannot_put_a_mount_over_proc() {
    let Some(sandbox) = attacks() else { return };
    sandbox.dir("root").symlink("root/tmp", "/proc").symlink("root/run", "proc");
    fs_err::copy(sandbox.path("app"), sandbox.path("root/app")).unwrap();
    sandbox.tool("tar", "-C root -cf root.tar .").run().ok();
    sandbox.imgb("pack root.tar --no-deps --no-check --entrypoint /app -q -o links.tar").run().ok();
    let run = sandbox.imgb("run --read-only --memory 64m --timeout 500s links.tar -- memory").run();
    let run = run.exits(128 + 9);
    assert!(run.stderr().contains("used the memory"), "{}", run.show());
}

#[test]
fn semaphores_count_as_memory() {
    let Some(sandbox) = attacks() else { return };
    let run = sandbox.imgb("run --memory 64m --timeout 500s app.tar -- semaphores").run();
    if run.code() != Some(3) {
        run.exits(128 + 9);
    }
}

/// The machine has 4096 of them.
#[test]
fn a_program_cannot_use_up_the_pseudo_terminals() {
    let Some(sandbox) = attacks() else { return };
    let run = sandbox.imgb("run app.tar -- terminals").run().ok();
    let count = run.text().split(' ').next().and_then(|count| count.parse::<u32>().ok());
    assert!(count.is_some_and(|count| count <= 256), "{}", run.show());
}

/// `O_NONBLOCK` belongs to the pipe's end, which the next reader has too.
#[test]
fn flags_of_the_standard_streams_are_restored() {
    let Some(sandbox) = attacks() else { return };
    let line = "(sleep 1; echo later) | (../imgb run app.tar -- flags; cat)";
    sandbox.tool("sh", "-c").arg(line).run().ok().prints_only("later\n");
}

/// Without any capability, root could still change the whole machine through files in /proc.
#[test]
fn no_program_runs_as_the_machines_root() {
    let Some(sandbox) = attacks() else { return };
    if !(is_root() && have(&["unshare"])) {
        return;
    }
    let is_mapped = Command::new("unshare").args(["-r", "stat", "-c%u", "/proc/sys"]).output();
    // In a container whose root is another user outside, it is not the machine's.
    if is_mapped.is_ok_and(|output| output.stdout == b"0\n") {
        for command in ["run", "trace"] {
            let run = sandbox.imgb(&format!("{command} app.tar -- own")).under(&["unshare", "-r"]);
            run.run().error(125, &["no program runs as the machine's root"]);
        }
    }
}

/// root's programs run as `nobody`.
#[test]
fn a_directory_of_root_alone_is_named_if_tmpdir_is_below_it() {
    let Some(sandbox) = attacks() else { return };
    if !is_root() {
        return;
    }
    sandbox.mode(".", 0o755).dir("closed/tmp");
    for command in ["run", "trace"] {
        let run = |mode| {
            sandbox.mode("closed", mode);
            let run = sandbox.imgb(&format!("{command} app.tar -- flags"));
            run.env("TMPDIR", sandbox.path("closed/tmp")).run()
        };
        let hint = "set TMPDIR to a directory that every user may enter";
        run(0o700).error(125, &["cannot enter `", "/closed` (mode 0700)", hint]);
        run(0o701).ok();
    }
    assert!(sandbox.names("closed/tmp").is_empty());
}
