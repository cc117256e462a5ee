//! `imgb trace`: what a watched program opens, in an image and on this machine, as root and as
//! nobody, compared with strace.

use serde_json::Value;

use crate::{
    engines::have,
    fixtures::{busybox, hello},
    sandbox::{Outcome, Run, Sandbox},
};

/// An image of busybox, and a sysroot with files that it lacks.
fn shell() -> Option<Sandbox> {
    let sandbox = Sandbox::new();
    if !busybox(&sandbox) {
        return None;
    }
    sandbox.file("sys/etc/app.conf", "configured\n").file("sys/usr/share/app/data", "data\n");
    sandbox.file("sys/usr/share/app/never", "never\n");
    sandbox.symlink("sys/etc/alias", "app.conf");
    sandbox.imgb("pack --soft none bin --entrypoint /bin/sh -q -o sh.tar").run().ok();
    Some(sandbox)
}

#[track_caller]
fn paths(outcome: Outcome, list: &str) -> Vec<String> {
    let report: Value = serde_json::from_str(&outcome.text()).unwrap();
    let items = report[list].as_array().unwrap();
    items.iter().map(|item| item["path"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn what_an_image_lacks_is_listed_and_the_list_adds_it() {
    let Some(sandbox) = shell() else { return };
    let line = "cat /etc/alias; cd /usr/share/app 2>/dev/null || cd /usr 2>/dev/null; cat \
        /usr/share/app/data & \
        test -e /nowhere; ls /usr/share/app; wait; exit 3";
    for nobody in [false, true] {
        let trace = sandbox.imgb("trace sh.tar --sysroot sys --json -o more.list -- -c").arg(line);
        sandbox.give_to_nobody();
        let traced = if nobody { trace.nobody() } else { trace }.run().exits(3);
        let wanted = ["/etc/alias", "/usr/share/app", "/usr/share/app/data"];
        assert_eq!(paths(traced, "missing"), wanted, "as nobody: {nobody}");
    }
    let list = String::from_utf8(sandbox.read("more.list")).unwrap();
    assert!(list.contains("\n/etc/alias\n") && list.contains("\n/usr/share/app/.\n"), "{list}");
    sandbox
        .imgb(
            "pack --soft none bin --sysroot sys --include-from more.list --entrypoint /bin/sh -q \
                -o more.tar",
        )
        .run()
        .ok();
    sandbox
        .imgb("run more.tar -- -c")
        .arg(line)
        .run()
        .exits(3)
        .prints("configured\n")
        .prints("data\n");
    sandbox
        .imgb("plan --all bin --sysroot sys --include-from more.list")
        .run()
        .ok()
        .prints("--include-from more.list");
    let again = sandbox.imgb("trace more.tar --sysroot sys --json -- -c").arg(line).run().exits(3);
    assert_eq!(paths(again, "missing"), Vec::<String>::new());
}

#[test]
fn the_report_is_for_people_too_and_the_programs_output_is_not_in_it() {
    let Some(sandbox) = shell() else { return };
    let traced =
        sandbox.imgb("trace sh.tar --sysroot sys -- -c").arg("echo hello; cat /etc/app.conf").run();
    let traced = traced.ok().prints("--include /etc/app.conf  (11 B, opened by /bin/busybox)");
    assert!(
        !traced.text().contains("hello") && traced.stderr().contains("hello"),
        "{}",
        traced.show()
    );
    sandbox
        .imgb("trace sh.tar -- -c true")
        .run()
        .ok()
        .prints("the image lacks nothing that the sysroot has");
    sandbox.imgb("trace --entrypoint /nosuch sh.tar").run().error(127, &["/nosuch"]);
    sandbox.imgb("trace").run().error(2, &["nothing to run", "imgb trace -- "]);
    sandbox.imgb("trace --user 1 -- true").run().error(2, &["--user"]);
}

#[test]
fn a_timeout_ends_it_and_what_was_seen_is_told() {
    let Some(sandbox) = shell() else { return };
    let line = "test -e /etc/app.conf; echo > /tmp/here; sleep 1000";
    // On a busy machine it may take long until the program starts.
    let mut seen = Vec::new();
    for seconds in [2, 20, 200] {
        let trace = format!("trace sh.tar --sysroot sys --timeout {seconds}s --json -- -c");
        seen = paths(sandbox.imgb(&trace).arg(line).run().exits(124), "missing");
        if !seen.is_empty() {
            break;
        }
    }
    assert_eq!(seen, ["/etc/app.conf"]);
}

#[test]
fn a_second_interrupt_ends_a_program_that_ignores_the_first() {
    let Some(sandbox) = shell() else { return };
    let script = r#"
        set -m
        "$1" trace sh.tar --sysroot sys --json -- -c '
            trap "" INT
            test -e /etc/app.conf
            echo ready
            while :; do sleep 1; done' >report 2>messages &
        until grep -q ready messages; do sleep 0.1; done
        while kill -INT $!; do sleep 0.1; done
        wait $!
        code=$?
        cat report
        exit $code"#;
    let imgb = sandbox.programs().join("imgb");
    let traced = sandbox.tool("bash", "-c").arg(script).arg("bash").arg(imgb).run().exits(137);
    assert_eq!(paths(traced, "missing"), ["/etc/app.conf"]);
}

#[test]
fn a_command_of_this_machine_tells_what_an_image_of_it_needs() {
    let sandbox = Sandbox::new();
    if !hello(&sandbox, "hello") {
        return;
    }
    sandbox.file("data.txt", "data");
    sandbox.program(
        "app",
        "#!/bin/sh\n./hello\nread line < data.txt\necho > made; read x < made\ncat /nosuch\nexit \
            4\n",
    );
    let traced = sandbox.imgb("trace --json -o app.list -- ./app").run().exits(4);
    assert!(traced.stderr().contains("hello from ./hello"), "{}", traced.show());
    let missing = paths(traced, "missing");
    let own = |name: &str| sandbox.path(name).to_str().unwrap().to_owned();
    for wanted in [own("data.txt"), own("hello"), own("app")] {
        assert!(missing.contains(&wanted), "{wanted} is not among {missing:?}");
    }
    assert!(
        !missing.contains(&own("made")) && !missing.contains(&"/etc/ld.so.cache".to_owned()),
        "{missing:?}"
    );
    sandbox.imgb("pack ./app --include-from app.list -q -o app.tar").run().ok();
    let files = sandbox.imgb("inspect --files app.tar").run().ok().text();
    assert!(files.contains(&own("data.txt")), "{files}");
    sandbox.imgb("trace -- nosuchcommand").run().error(127, &["nosuchcommand"]);
    sandbox.imgb("trace --timeout 0.3 -- sleep 1000").run().exits(124);
}

/// A process that makes a session or a process group of its own is followed like any other.
#[test]
fn programs_in_sessions_of_their_own_are_followed() {
    let Some(sandbox) = shell() else { return };
    let line = "(setsid cat /etc/app.conf); set -m; (cat /usr/share/app/data); exit 3";
    let traced = sandbox.imgb("trace sh.tar --sysroot sys --json -- -c").arg(line).run().exits(3);
    assert_eq!(paths(traced, "missing"), ["/etc/app.conf", "/usr/share/app/data"]);
}

/// The loader of 32-bit programs is a 32-bit program itself. Their calls have other numbers and
/// registers.
#[cfg(target_arch = "x86_64")]
#[test]
fn programs_of_32_bits_are_followed() {
    const DIR: &str = "/usr/i686-linux-gnu/lib";
    if !have(&["/usr/i686-linux-gnu/lib/ld-linux.so.2", "/usr/i686-linux-gnu/lib/libstdc++.so.6"]) {
        return;
    }
    let sandbox = Sandbox::new();
    let line = format!("--library-path /nowhere:{DIR} --list {DIR}/libstdc++.so.6");
    let traced = sandbox.imgb(&format!("trace --json -- {DIR}/ld-linux.so.2 {line}")).run().ok();
    let missing = paths(traced, "missing");
    for name in ["ld-linux.so.2", "libstdc++.so.6", "libc.so.6", "libgcc_s.so.1"] {
        assert!(missing.contains(&format!("{DIR}/{name}")), "{name} is not among {missing:?}");
    }
}

/// strace as the reference: it sees the same files.
#[test]
fn strace_sees_the_same() {
    if !have(&["strace", "perl", "bash"]) {
        return;
    }
    let sandbox = Sandbox::new();
    let line = "cd /usr/share; cat common-licenses/GPL-3 doc/nosuch; (cd /etc && exec head -1 \
        passwd) & \
        perl -MPOSIX -e 'fork; open F, \"<\", \"/etc/group\"; chdir \"/usr/lib\"; open \
        F, \"<\", \"os-release\"; \
        opendir D, \"/etc/ssl\"; exec \"/bin/true\"'; sort < /etc/services; wait";
    let strace = ["strace", "-f", "-qq", "-e", "trace=%file", "-o", "log"];
    sandbox.tool("bash", "-c").arg(line).under(&strace).run().ok();
    let log = sandbox.imgb("trace --json --from-strace log").run().ok();
    let own = sandbox.imgb("trace --json -- bash -c").arg(line).run().ok();
    let (theirs, own) = (paths(log, "missing"), paths(own, "missing"));
    assert!(own.len() > 10, "{own:?}");
    // The kernel itself opens interpreters of scripts and loaders.
    assert_eq!(own, theirs);
    for options in ["-y -e trace=%file", "-tt -i -n", "-yy -T -xx", "-Y -r -v"] {
        let strace = format!("strace -f -qq -o log {options}");
        sandbox
            .tool("bash", "-c")
            .arg(line)
            .under(&strace.split(' ').collect::<Vec<_>>())
            .run()
            .ok();
        let theirs = paths(sandbox.imgb("trace --json --from-strace log").run().ok(), "missing");
        assert_eq!(own, theirs, "{options}");
    }
    sandbox.imgb("pack bash perl -q --soft none -o image.tar").run().ok();
    let lacks =
        paths(sandbox.imgb("trace --json --from-strace log image.tar").run().ok(), "missing");
    assert!(lacks.contains(&"/etc/group".to_owned()), "{lacks:?}");
    assert!(
        !lacks.iter().any(|path| path.ends_with("/perl") || path.ends_with("libc.so.6")),
        "{lacks:?}"
    );
    sandbox.file("nolog", "nothing of that kind\n");
    sandbox.imgb("trace --from-strace nolog").run().error(4, &["nolog", "strace -f"]);
    sandbox.imgb("trace --from-strace gone").run().error(3, &["gone"]);
}

/// Threads, signals of every kind and interrupted calls behave as in an unwatched program.
#[test]
fn a_watched_program_does_what_it_does() {
    if !have(&["gcc"]) {
        return;
    }
    let sandbox = Sandbox::new();
    let source = r#"
        #define _GNU_SOURCE
        #include <pthread.h>
        #include <signal.h>
        #include <stdio.h>
        #include <stdlib.h>
        #include <string.h>
        #include <sys/wait.h>
        #include <unistd.h>
        static volatile int caught;
        static void handler(int n) { caught |= n == SIGUSR1 ? 1 : 2; }
        static void *sleeper(void *p) { for (;;) pause(); }
        static void *opener(void *p) { FILE *f = fopen("/etc/hostname.none", "r"); return f; }
        int main(void) {
            signal(SIGUSR1, handler);
            signal(SIGRTMIN + 3, handler);
            raise(SIGUSR1);
            pthread_t t[8];
            for (int i = 0; i < 8; i++) pthread_create(t + i, 0, opener, 0);
            for (int i = 0; i < 8; i++) pthread_join(t[i], 0);
            pthread_t s; void *r;
            pthread_create(&s, 0, sleeper, 0);
            usleep(20000);
            pthread_cancel(s);
            pthread_join(s, &r);
            if (r != PTHREAD_CANCELED) return 10;
            pid_t p = fork();
            if (!p) { raise(SIGRTMIN + 3); _exit(caught == 3 ? 0 : 11); }
            int status;
            waitpid(p, &status, 0);
            if (status) return 12;
            p = vfork();
            if (!p) { execl("/bin/true", "true", (char *)0); _exit(13); }
            waitpid(p, &status, 0);
            if (status) return 14;
            p = fork();
            if (!p) { raise(SIGSTOP); _exit(7); }
            waitpid(p, &status, 0);
            kill(p, SIGCONT);
            waitpid(p, &status, 0);
            puts("all well");
            fflush(stdout);
            abort();
        }"#;
    sandbox.file("threads.c", source);
    sandbox.tool("gcc", "-pthread -o threads threads.c").run().ok();
    let traced = sandbox.imgb("trace --timeout 60 -- ./threads").run().exits(128 + 6);
    assert!(traced.stderr().contains("all well"), "{}", traced.show());
    sandbox.imgb("pack threads -q -o threads.tar").run().ok();
    let traced = sandbox.imgb("trace --timeout 60 threads.tar").run().exits(128 + 6);
    assert!(traced.stderr().contains("all well"), "{}", traced.show());
    let traced = sandbox.imgb("trace --timeout 60 --serve none threads.tar").run().exits(14);
    assert!(traced.text().contains("--include /bin/true"), "{}", traced.show());
}

#[test]
fn lists_that_are_wrong_are_refused() {
    let sandbox = Sandbox::new();
    sandbox
        .file("data", "x")
        .file("relative", "/etc/x\n\n# remark\netc/y\n")
        .file("gone", "/no/such/file\n");
    sandbox
        .imgb("pack data --include-from relative -o x.tar")
        .run()
        .error(2, &["relative", "line 4", "etc/y"]);
    sandbox
        .imgb("pack data --include-from gone -o x.tar")
        .run()
        .error(3, &["--include-from gone", "/no/such/file"]);
    sandbox.imgb("pack data --include-from nowhere -o x.tar").run().error(3, &["nowhere"]);
}

/// Files of rules are left out, and come back through the list of a run: on this machine, where one
/// run shows all of them.
#[test]
fn lists_of_commands_make_their_images_work() {
    let sandbox = Sandbox::new();
    let commands: [(&str, &str, &[&str], &str); 4] = [
        (
            "/usr/bin/python3",
            "/usr/bin/python3",
            &["-c", "import json, decimal; print(json.dumps([1]))"],
            "[1]\n",
        ),
        (
            "/usr/bin/perl",
            "perl",
            &["-e", "use POSIX; use List::Util qw(sum); print sum(1, 2)"],
            "3",
        ),
        ("/usr/bin/file", "file", &["--brief", "/bin/file"], "ELF 64-bit"),
        ("/usr/bin/ruby", "ruby", &["-e", "require 'json'; puts [1].to_json"], "[1]\n"),
    ];
    for (program, needs, words, wanted) in commands {
        if !have(&[needs]) {
            return;
        }
        let words = |run: Run| words.iter().fold(run, |run, word| run.arg(word));
        words(sandbox.imgb(&format!("trace -o app.list -- {program}"))).run();
        let pack = format!("pack --soft none --no-check {program}:{program} -q -o app.tar");
        sandbox.imgb(&pack).run().ok();
        let bare = words(sandbox.imgb("run app.tar --")).run();
        assert!(!bare.text().contains(wanted), "{program}: works without rules\n{}", bare.show());
        sandbox.imgb(&format!("{pack} --include-from app.list")).run().ok();
        words(sandbox.imgb("run app.tar --")).run().ok().prints(wanted);
    }
}

/// In an image, each run shows the file at which it stops; further runs show the rest.
#[test]
fn lists_of_images_make_them_work() {
    if !have(&["curl", "date", "/usr/share/zoneinfo/Europe/Berlin", "file"]) {
        return;
    }
    let sandbox = Sandbox::new();
    for (pack, words, wanted) in [
        ("date --env TZ=Europe/Berlin", "+%H -d @0", "01\n"),
        ("file --env LC_ALL=C", "--brief /usr/bin/file", "ELF 64-bit"),
    ] {
        let pack = format!("pack --soft none {pack} -q -o app.tar");
        sandbox.imgb(&pack).run().ok();
        let bare = sandbox.imgb(&format!("run app.tar -- {words}")).run();
        assert!(!bare.text().contains(wanted), "{pack}: works without rules\n{}", bare.show());
        sandbox.imgb(&format!("trace app.tar -o app.list -- {words}")).run();
        sandbox.imgb(&format!("{pack} --include-from app.list")).run().ok();
        sandbox.imgb(&format!("run app.tar -- {words}")).run().ok().prints(wanted);
        sandbox
            .imgb(&format!("trace app.tar -- {words}"))
            .run()
            .ok()
            .prints("the image lacks nothing that the sysroot has");
    }
}

/// A 64-bit program may make system calls in the 32-bit way, with 32-bit numbers.
#[cfg(target_arch = "x86_64")]
#[test]
fn calls_of_32_bits_in_a_program_of_64_are_followed() {
    if !have(&["gcc"]) {
        return;
    }
    let sandbox = Sandbox::new();
    let source = r#"
        #include <string.h>
        #include <sys/mman.h>
        int main(void) {
            int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
            char *low = mmap((void *)0x10000000, 4096, 3, flags, -1, 0);
            strcpy(low, "/etc/group");
            long fd;
            __asm__ volatile("int $0x80"
                : "=a"(fd) : "a"(5L), "b"(low), "c"(0L), "d"(0L) : "memory");
            return fd < 0;
        }"#;
    sandbox.file("low.c", source);
    sandbox.tool("gcc", "-o low low.c").run().ok();
    let missing = paths(sandbox.imgb("trace --json -- ./low").run().ok(), "missing");
    assert!(missing.contains(&"/etc/group".to_owned()), "{missing:?}");
}

/// Docker's system call filter allows ptrace, but not process_vm_readv.
#[cfg(target_arch = "x86_64")]
#[test]
fn memory_is_read_word_by_word_where_that_is_all_that_is_allowed() {
    if !have(&["bwrap", "perl"]) {
        return;
    }
    let sandbox = Sandbox::new();
    // seccomp(2): the number of the call; 310 is process_vm_readv, which fails with EPERM;
    // everything else is allowed.
    let steps: [(u16, u8, u8, u32); 4] =
        [(0x20, 0, 0, 0), (0x15, 0, 1, 310), (0x06, 0, 0, 0x0005_0001), (0x06, 0, 0, 0x7fff_0000)];
    let bytes = steps.iter().flat_map(|(code, yes, no, k)| {
        [&code.to_ne_bytes()[..], &[*yes, *no], &k.to_ne_bytes()].concat()
    });
    sandbox.file("filter", bytes.collect::<Vec<u8>>());
    let program = "for (\"/etc/\" . \"x\" x 300, \"/etc/group\") { open F, \"<\", $_ and print 1 }";
    let plain = sandbox.imgb("trace --json -- perl -e").arg(program).run().ok();
    let script = "exec bwrap --dev-bind / / --seccomp 9 \"$@\" 9<filter";
    let filtered =
        sandbox.imgb("trace --json -- perl -e").arg(program).under(&["sh", "-c", script, "sh"]);
    let (plain, filtered) = (paths(plain, "missing"), paths(filtered.run().ok(), "missing"));
    assert!(plain.contains(&"/etc/group".to_owned()), "{plain:?}");
    assert_eq!(plain, filtered);
}
