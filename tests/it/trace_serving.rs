//! `imgb trace` of an image: what it lacks is served while its program runs, so that one run finds
//! all of it; as root and as nobody.

use serde_json::Value;

use crate::{
    engines::have,
    sandbox::{Outcome, Sandbox},
};

/// Functions for the programs of these tests.
const COMMON: &str = r#"
    #define _GNU_SOURCE
    #include <dirent.h>
    #include <errno.h>
    #include <fcntl.h>
    #include <pthread.h>
    #include <stdio.h>
    #include <stdlib.h>
    #include <string.h>
    #include <sys/stat.h>
    #include <sys/wait.h>
    #include <unistd.h>
    static char text[4096];
    static char *slurp(const char *path, int flags) {
        int fd = open(path, flags, 0644);
        ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
        if (got < 0) return NULL;
        text[got] = 0;
        text[strcspn(text, "\n")] = 0;
        close(fd);
        return text;
    }
    static void tell(const char *path) {
        const char *got = slurp(path, O_RDONLY);
        printf("%s: %s\n", path, got ? got : strerror(errno));
        fflush(stdout);
    }
"#;

/// A sandbox with the static program `app` of `source`, packed as `app.tar`. `None` without a
/// compiler.
pub(crate) fn packed(source: &str) -> Option<Sandbox> {
    let sandbox = Sandbox::new();
    if !have(&["gcc"]) {
        return None;
    }
    compile(&sandbox, "app", source);
    sandbox.imgb("pack ./app --soft none -q -o app.tar").run().ok();
    Some(sandbox)
}

fn compile(sandbox: &Sandbox, name: &str, source: &str) {
    sandbox.file("source.c", format!("{COMMON}{source}"));
    let dir = std::path::Path::new(name).parent().unwrap_or(std::path::Path::new(""));
    fs_err::create_dir_all(sandbox.path(dir)).unwrap();
    sandbox.tool("gcc", &format!("-static -pthread -o {name} source.c")).run().ok();
}

/// Calls `check` as root and as nobody.
pub(crate) fn as_each_user(sandbox: &Sandbox, line: &str, mut check: impl FnMut(Outcome)) {
    check(sandbox.imgb(line).run());
    sandbox.give_to_nobody();
    check(sandbox.imgb(line).nobody().run());
}

pub(crate) fn report(outcome: Outcome) -> Value {
    serde_json::from_str(&outcome.text()).unwrap()
}

pub(crate) fn paths(report: &Value, list: &str) -> Vec<String> {
    let items = report[list].as_array().unwrap();
    items.iter().map(|item| item["path"].as_str().unwrap().to_owned()).collect()
}

/// Packs the program with the list of a run, and expects that a second run misses nothing.
fn misses_nothing_with_its_list(sandbox: &Sandbox, code: i32) {
    let pack = "pack ./app --soft none --sysroot sys --include-from app.list -q -o more.tar";
    sandbox.imgb(pack).run().ok();
    sandbox.imgb("run more.tar").run().exits(code);
    let again = report(sandbox.imgb("trace more.tar --sysroot sys --json").run().exits(code));
    assert_eq!(paths(&again, "missing"), Vec::<String>::new());
}

#[test]
fn one_run_finds_a_chain_of_files_programs_and_interpreters() {
    let source = r#"
        static void *reader(void *path) {
            int fd = open(path, O_RDONLY);
            return fd < 0 ? NULL : path;
        }
        int main(void) {
            char *next = slurp("/opt/app/first", O_RDONLY);
            if (!next || !(next = slurp(next, O_RDONLY)) || strcmp(next, "end")) return 10;
            static const char *files[] = {"/opt/t/0", "/opt/t/1", "/opt/t/2", "/opt/t/3"};
            pthread_t threads[4];
            for (int i = 0; i < 4; i++) pthread_create(threads + i, 0, reader, (void *)files[i]);
            for (int i = 0; i < 4; i++) {
                void *got;
                pthread_join(threads[i], &got);
                if (!got) return 11;
            }
            struct stat st;
            char target[9];
            if (stat("/opt/looked", &st) || access("/opt/accessed", R_OK)) return 12;
            if (readlink("/opt/link", target, 9) != 6) return 13;
            int dir = open("/opt/app", O_PATH | O_DIRECTORY);
            if (faccessat(dir, "relative", R_OK, 0) || chdir("/opt/work")) return 14;
            int status;
            if (!fork()) {
                execl("/opt/bin/script", "script", (char *)0);
                _exit(15);
            }
            wait(&status);
            return status ? WEXITSTATUS(status) : access("/opt/never", F_OK) ? 3 : 16;
        }"#;
    let Some(sandbox) = packed(source) else { return };
    compile(&sandbox, "sys/opt/bin/interpreter", "int main() { return !slurp(\"/opt/i\", 0); }");
    sandbox.program("sys/opt/bin/script", "#!/opt/bin/interpreter\n");
    sandbox.file("sys/opt/app/first", "/opt/app/second\n").file("sys/opt/app/second", "end\n");
    for name in ["t/0", "t/1", "t/2", "t/3", "looked", "accessed", "app/relative", "i", "work/x"] {
        sandbox.file(&format!("sys/opt/{name}"), "");
    }
    sandbox.symlink("sys/opt/link", "looked");
    as_each_user(&sandbox, "trace app.tar --sysroot sys --json -o app.list", |traced| {
        let report = report(traced.exits(3));
        let wanted = [
            "/opt/accessed",
            "/opt/app/first",
            "/opt/app/relative",
            "/opt/app/second",
            "/opt/bin/interpreter",
            "/opt/bin/script",
            "/opt/i",
            "/opt/link",
            "/opt/looked",
            "/opt/t/0",
            "/opt/t/1",
            "/opt/t/2",
            "/opt/t/3",
            "/opt/work",
        ];
        assert_eq!(paths(&report, "missing"), wanted);
    });
    let unserved = sandbox.imgb("trace app.tar --sysroot sys --serve none --json").run().exits(10);
    assert_eq!(paths(&report(unserved), "missing"), ["/opt/app/first"]);
    misses_nothing_with_its_list(&sandbox, 3);
}

/// The loader itself is missing, then what it asks for.
#[test]
fn a_program_gets_its_loader_and_libraries() {
    let sandbox = Sandbox::new();
    if !have(&["gcc"]) {
        return;
    }
    sandbox.file("app.c", "#include <math.h>\nint main(int n, char **a) { return cbrt(n) != 1; }");
    sandbox.tool("gcc", "-o app app.c -lm").run().ok();
    sandbox.imgb("pack ./app --no-deps -q -o app.tar").run().ok();
    as_each_user(&sandbox, "trace app.tar --json -o app.list", |traced| {
        let missing = paths(&report(traced.ok()), "missing");
        for name in ["libm.so.6", "libc.so.6"] {
            let is_there = missing.iter().any(|path| path.ends_with(&format!("/{name}")));
            assert!(is_there, "{name} is not among {missing:?}");
        }
        assert!(missing.iter().any(|path| path.contains("/ld-linux")), "{missing:?}");
    });
    sandbox.imgb("pack ./app --no-deps --include-from app.list -q -o more.tar").run().ok();
    sandbox.imgb("run more.tar").run().ok();
}

#[test]
fn a_path_with_dotdot_and_links_is_listed_as_it_was_asked_for() {
    let source = r#"
        int main(void) {
            return open("/opt/x/q/../other/../q/./libh.so", O_RDONLY) < 0;
        }"#;
    let Some(sandbox) = packed(source) else { return };
    sandbox.file("sys/opt/x/q/libh.so.1.0", "").symlink("sys/opt/x/q/libh.so", "libh.so.1.0");
    sandbox.file("sys/opt/x/other/unrelated", "");
    as_each_user(&sandbox, "trace app.tar --sysroot sys --json -o app.list", |traced| {
        let report = report(traced.ok());
        assert_eq!(paths(&report, "missing"), ["/opt/x/q/../other/../q/libh.so"]);
        assert_eq!(report["missing"][0]["leads_to"], "/opt/x/q/libh.so.1.0");
    });
    misses_nothing_with_its_list(&sandbox, 0);
    let files = sandbox.imgb("inspect --files more.tar").run().ok().text();
    assert!(files.contains("/opt/x/other") && !files.contains("unrelated"), "{files}");
    let traced = sandbox.imgb("trace app.tar --sysroot sys").run().ok();
    traced.prints("libh.so  (0 B, opened by /app, leads to /opt/x/q/libh.so.1.0)");
}

#[test]
fn files_that_a_program_would_create_are_missing_if_the_sysroot_has_them() {
    let source = r#"
        int main(void) {
            const char *got = slurp("/opt/db", O_RDWR | O_CREAT);
            if (!got || strcmp(got, "rows")) return 10;
            if (!slurp("/opt/both", 0) && open("/opt/both", O_RDWR | O_CREAT, 0644)) return 11;
            if (open("/opt/lock", O_RDWR | O_CREAT | O_EXCL, 0644) < 0) return 12;
            got = slurp("/opt/log", O_RDWR | O_CREAT | O_TRUNC);
            if (!got || *got) return 13;
            unlink("/opt/db");
            unlink("/opt/log");
            if (!access("/opt/db", F_OK) || !access("/opt/log", F_OK)) return 14;
            return open("/var/log/app/new", O_WRONLY | O_CREAT, 0644) < 0 ? 15 : 3;
        }"#;
    let Some(sandbox) = packed(source) else { return };
    for name in ["db", "both", "lock", "log"] {
        sandbox.file(&format!("sys/opt/{name}"), "rows\n");
    }
    sandbox.dir("opt").file("sys/var/log/app/old", "");
    sandbox.imgb("pack ./app ./opt --soft none -q -o app.tar --entrypoint /app").run().ok();
    as_each_user(&sandbox, "trace app.tar --sysroot sys --json", |traced| {
        let wanted = ["/opt/both", "/opt/db", "/var/log/app"];
        assert_eq!(paths(&report(traced.exits(3)), "missing"), wanted);
    });
}

/// Makes hard links to files that belong to the machine or to a user, and one to another file.
fn link_files_of_others(sandbox: &Sandbox) {
    sandbox.file("sys/home/me/work/.config/app", "hidden\n").file("sys/usr/one", "for all\n");
    for (name, link) in [
        ("etc/machine-id", "opt/linked"),
        ("home/me/work/.config/app", "opt/linked.conf"),
        ("usr/one", "opt/twin"),
    ] {
        let path = |name: &str| sandbox.path(format!("sys/{name}"));
        fs_err::hard_link(path(name), path(link)).unwrap();
    }
}

#[test]
fn secrets_and_what_not_everyone_may_read_are_not_served() {
    let source = r#"
        int main(void) {
            tell("/etc/shadow");
            tell("/etc/machine-id");
            tell("/opt/id_rsa");
            tell("/opt/key.txt");
            tell("/opt/alias");
            tell("/opt/linked");
            tell("/opt/linked.conf");
            tell("/opt/twin");
            tell("/opt/private");
            tell("/opt/closed/file");
            tell("/tmp/data");
            tell("/run/data");
            tell("/opt/fifo");
            tell("//run/data");
            tell("/opt/../run/data");
            tell("/opt/kernel");
            tell("/opt/kernels/data");
            tell("/opt/public");
            DIR *dir = opendir("/opt");
            for (struct dirent *e; dir && (e = readdir(dir));) printf("name %s\n", e->d_name);
            return 0;
        }"#;
    let Some(sandbox) = packed(source) else { return };
    for name in ["etc/shadow", "etc/machine-id", "opt/id_rsa", "opt/private", "opt/closed/file"] {
        sandbox.file(&format!("sys/{name}"), "hidden\n");
    }
    sandbox.file("sys/opt/key.txt", "hidden\n-----BEGIN RSA PRIVATE KEY-----\n");
    sandbox.file("sys/tmp/data", "hidden\n").file("sys/run/data", "hidden\n");
    sandbox.file("sys/opt/public", "for all\n").symlink("sys/opt/alias", "id_rsa");
    sandbox.symlink("sys/opt/kernel", "../run/data").symlink("sys/opt/kernels", "/run");
    sandbox.mode("sys/opt/private", 0o640).mode("sys/opt/closed", 0o700);
    sandbox.tool("mkfifo", "sys/opt/fifo").run().ok();
    link_files_of_others(&sandbox);
    as_each_user(&sandbox, "trace app.tar --sysroot sys --json -o app.list", |traced| {
        let traced = traced.ok();
        let printed = traced.stderr().to_owned();
        assert!(printed.contains("/opt/public: for all"), "{printed}");
        assert!(printed.contains("/opt/twin: for all"), "{printed}");
        assert!(!printed.contains("hidden"), "{printed}");
        let names: Vec<_> = printed.lines().filter(|line| line.starts_with("name ")).collect();
        assert!(names.contains(&"name public") && !names.contains(&"name id_rsa"), "{printed}");
        let report = report(traced);
        let wanted = [
            "/etc/machine-id",
            "/etc/shadow",
            "/opt/alias",
            "/opt/id_rsa",
            "/opt/key.txt",
            "/opt/linked",
            "/opt/linked.conf",
        ];
        assert_eq!(paths(&report, "confidential"), wanted);
        let wanted = ["/opt/closed/file", "/opt/private", "/opt/public", "/opt/twin"];
        assert_eq!(paths(&report, "missing"), wanted);
        assert_eq!(report["missing"][1]["not_served"], "not everyone may read it");
    });
    let all = sandbox.imgb("trace app.tar --sysroot sys --serve all --json").run().ok();
    let printed = all.stderr().to_owned();
    let hidden: Vec<_> = printed.lines().filter(|line| line.ends_with(": hidden")).collect();
    assert_eq!(hidden, ["/opt/private: hidden", "/opt/closed/file: hidden"], "{printed}");
    assert_eq!(report(all)["missing"][1]["not_served"], Value::Null);
    let list = String::from_utf8(sandbox.read("app.list")).unwrap();
    assert!(list.contains("\n# /etc/shadow (it belongs to this machine"), "{list}");
}

/// Wherever procfs is mounted, what it holds describes this machine.
#[test]
fn files_of_the_kernel_are_not_served() {
    let source = r#"
        int main(void) {
            tell("/opt/kernel/uptime");
            DIR *dir = opendir("/opt/kernel");
            for (struct dirent *e; dir && (e = readdir(dir));) printf("name %s\n", e->d_name);
            tell("/opt/public");
            return 0;
        }"#;
    let Some(sandbox) = packed(source) else { return };
    if !have(&["unshare", "mount"]) {
        return;
    }
    sandbox.dir("sys/opt/kernel").file("sys/opt/public", "for all\n");
    let mounted = "mount -t proc proc sys/opt/kernel && exec \"$@\"";
    let trace = sandbox.imgb("trace app.tar --sysroot sys --json");
    let traced = trace.under(&["unshare", "--mount", "sh", "-c", mounted, "sh"]).run().ok();
    let printed = traced.stderr().to_owned();
    assert!(printed.contains("/opt/public: for all"), "{printed}");
    assert!(!printed.contains("name uptime"), "{printed}");
    assert!(printed.contains("/opt/kernel/uptime: No such file"), "{printed}");
    let wanted = ["/opt/kernel", "/opt/kernel/uptime"];
    assert_eq!(paths(&report(traced), "confidential"), wanted);
}

/// Neither links of the sysroot nor those that the program makes lead the server out of the
/// sysroot or out of the image's copy.
#[test]
fn no_link_leads_out_of_the_sysroot_or_the_copy() {
    let source = r#"
        int main(int argc, char **argv) {
            tell("/opt/up");
            tell("/opt/absolute");
            tell("/../../outside");
            symlink(argv[1], "/data");
            tell("/data/file");
            symlink("/proc/self/root/made", "/magic");
            tell("/magic/file");
            mkdir("/swap", 0755);
            rename("/swap", "/away");
            symlink("../../../../..", "/swap");
            tell("/swap/made");
            return 0;
        }"#;
    let Some(sandbox) = packed(source) else { return };
    let host = sandbox.path("host").to_str().unwrap().to_owned();
    sandbox.file("outside", "outside\n").file("host/kept", "");
    sandbox.symlink("sys/opt/up", "../../outside").symlink("sys/opt/absolute", &host);
    for name in ["data/file", "magic/file", "swap/made"] {
        sandbox.file(&format!("sys/{name}"), "served\n");
    }
    let line = format!("trace app.tar --sysroot sys --json -- {host}");
    as_each_user(&sandbox, &line, |traced| {
        let printed = traced.ok().stderr().to_owned();
        assert!(!printed.contains("outside\n"), "{printed}");
        assert_eq!(sandbox.names("host"), ["kept"]);
        assert!(!sandbox.path("made").exists() && !sandbox.path("file").exists());
    });
}

#[test]
fn pack_traces_its_image_and_adds_what_a_command_asks_for() {
    let source = r#"
        int main(int argc, char **argv) {
            tell("/etc/shadow");
            const char *next = slurp("/opt/first", O_RDONLY);
            return !next || !slurp(next, O_RDONLY) ? 3 : argc - 1;
        }"#;
    let Some(sandbox) = packed(source) else { return };
    sandbox.file("sys/opt/first", "/opt/second\n").file("sys/opt/second", "");
    sandbox.file("sys/etc/shadow", "hidden\n");
    let pack = "pack ./app --soft none --sysroot sys -t same:1 -q -o";
    sandbox.imgb("run app.tar").run().exits(3);
    let traced = sandbox
        .imgb("pack ./app --soft none --sysroot sys -t same:1 -o one.tar --trace /app")
        .run();
    let warning = "warning: --trace `/app` asked for 1 file that it did not get: /etc/shadow (";
    let printed = traced.ok().stderr().to_owned();
    assert!(printed.contains(warning) && !printed.contains("hidden"), "{printed}");
    sandbox.imgb("run one.tar").run().ok();
    sandbox.give_to_nobody();
    sandbox.imgb(&format!("{pack} two.tar --trace /app")).nobody().run().ok();
    assert!(sandbox.read("one.tar") == sandbox.read("two.tar"));
    // Lists of `imgb trace` give the same image.
    sandbox.imgb("trace app.tar --sysroot sys -o app.list").run().ok();
    sandbox.imgb(&format!("{pack} three.tar --include-from app.list")).run().ok();
    assert!(sandbox.read("one.tar") == sandbox.read("three.tar"));
    let failed = sandbox.imgb(pack).arg("four.tar").arg("--trace").arg("/app more").run();
    failed.error(1, &["--trace `/app more` ended with exit code 1"]);
    let lacking = sandbox.imgb(pack).arg("four.tar").arg("--trace").arg("/gone").run();
    lacking.error(1, &["the program `/gone` is not in the image"]);
    assert!(!sandbox.path("four.tar").exists());
}
