//! Files that the C library opens at run time: a program with a part for each rule, which fails
//! without the rule and works with it.

use crate::{
    engines::have,
    rules_root::{Root, flips},
    sandbox::Sandbox,
};

const SOURCE: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <execinfo.h>
#include <grp.h>
#include <iconv.h>
#include <locale.h>
#include <netdb.h>
#include <pthread.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifdef gai
int main(void) { struct addrinfo *a; return getaddrinfo("localhost", "http", 0, &a) != 0; }
#endif
#ifdef services
int main(void) { return !getservbyname("https", "tcp") || !getprotobyname("udp"); }
#endif
#ifdef pwnam
int main(void) { return !getpwnam("nobody") || !getpwuid(0) || !getgrnam("root"); }
#endif
#ifdef charsets
int main(void) {
    const char *names[] = { "UTF-16LE", "ISO-8859-1", "UTF-32", "WINDOWS-1252", 0 };
    for (const char **n = names; *n; n++) if (iconv_open("UTF-8", *n) == (iconv_t)-1) return 1;
    return 0;
}
#endif
#ifdef utf8
int main(void) { return !setlocale(LC_ALL, "C.UTF-8"); }
#endif
#ifdef leave
static void *run(void *p) { pthread_exit(p); }
int main(void) {
    pthread_t t;
    void *r;
    pthread_create(&t, 0, run, "x");
    pthread_join(t, &r);
    return !r;
}
#endif
#ifdef cancel
static void *run(void *p) { for (;;) { struct timespec t = { 1, 0 }; nanosleep(&t, 0); } return p; }
int main(void) {
    pthread_t t; void *r;
    pthread_create(&t, 0, run, 0); pthread_cancel(t); pthread_join(t, &r);
    return r != PTHREAD_CANCELED;
}
#endif
#ifdef trace
int main(void) { void *frames[8]; return backtrace(frames, 8) < 1; }
#endif
#ifdef zone
int main(void) {
    setenv("TZ", "Europe/Berlin", 1); tzset();
    time_t t = 0; char text[9]; strftime(text, sizeof text, "%H %Z", localtime(&t));
    return strcmp(text, "01 CET") != 0;
}
#endif
#ifdef temporary
int main(void) { return !tmpfile(); }
#endif
#ifdef opens
int main(void) { return !dlopen("libz.so.1", RTLD_NOW); }
#endif
#ifdef plugin
int main(void) { return !dlopen(PLUGIN, RTLD_NOW); }
#endif
#ifdef data
int main(void) { return !fopen("/usr/share/common-licenses/GPL-3", "r"); }
#endif
#ifdef conf
int main(void) { return !fopen("/etc/issue", "r"); }
#endif
#ifdef child
int main(void) { execl("/usr/bin/basename", "basename", "x", (char *)0); return 1; }
#endif
#ifdef command
int main(void) { return system("exit 0") != 0; }
#endif
"#;

/// The part `name` of the program, as `app` in a sandbox.
fn program(name: &str) -> Option<Sandbox> {
    if !have(&["gcc"]) {
        return None;
    }
    let sandbox = Sandbox::new();
    sandbox.file("app.c", SOURCE);
    // A library by its path, which differs between machines.
    let plugin = [
        "/usr/lib/x86_64-linux-gnu/libz.so.1",
        "/usr/lib/aarch64-linux-gnu/libz.so.1",
        "/usr/lib64/libz.so.1",
    ];
    let plugin =
        plugin.into_iter().find(|path| std::path::Path::new(path).exists()).unwrap_or_default();
    let gcc = sandbox.tool("gcc", &format!("-O1 -pthread -D{name} -o app app.c"));
    gcc.arg(format!("-DPLUGIN=\"{plugin}\"")).run().ok();
    Some(sandbox)
}

#[track_caller]
fn part_with(name: &str, options: &str, rule: &str) {
    let packed = |options: &str| Root::pack_in(program(name)?, &[], &format!("app {options}"));
    let Some(bare) = packed("--soft none") else { return };
    assert!(
        !bare.run("/app").run().success(),
        "{name} works without a rule: the test shows nothing"
    );
    let Some(root) = packed(options) else { return };
    root.run("/app").run().ok();
    let Some(without) = packed(&format!("{options} --without {rule}")) else { return };
    assert!(!without.run("/app").run().success(), "{name} works without the rule {rule}");
}

#[track_caller]
fn part(name: &str, rule: &str) {
    part_with(name, "", rule);
}

#[test]
fn services() {
    part("services", "services");
    part("gai", "services");
}

#[test]
fn users() {
    part("pwnam", "users");
}

#[test]
fn character_sets() {
    part("charsets", "gconv");
}

#[test]
fn locale() {
    part("utf8", "c-utf8");
}

#[test]
fn unwinder() {
    part("leave", "unwinder");
    part("cancel", "unwinder");
    part("trace", "unwinder");
}

#[test]
fn time_zones() {
    part("zone", "time-zones");
}

#[test]
fn temporary_directories() {
    part("temporary", "temporary-directories");
}

#[test]
fn what_constants_name() {
    part("opens", "dlopen");
    part("plugin", "plugins");
    part("data", "data");
    part_with("conf", "--with configuration", "configuration");
    part_with("child", "--with spawn", "spawn");
}

/// No terminator of another string comes before a library's first constant.
#[test]
fn a_name_at_the_start_of_the_constants_is_seen() {
    if !have(&["gcc"]) {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox
        .file("plug.c", "int plug;\n")
        .file(
            "call.c",
            "#include <dlfcn.h>\nint call(void){return !dlopen(\"libplug2.so.1\",2);}\n",
        )
        .file("app.c", "int call(void); int main(void){return call();}\n");
    sandbox.tool("gcc", "-shared -fPIC -o libplug2.so.1 plug.c").run().ok();
    sandbox.tool("gcc", "-O1 -shared -fPIC -o libcall.so call.c").run().ok();
    sandbox
        .tool("gcc", "-o app app.c -L. -lcall")
        .arg(format!("-Wl,--disable-new-dtags,-rpath,{}", sandbox.root().display()))
        .run()
        .ok();
    let plan = sandbox.imgb("plan --all ./app").run().ok();
    assert!(plan.text().contains("/libplug2.so.1 "), "{}", plan.show());
}

/// The library that opens the plugin knows its directory, the program does not.
#[test]
fn what_a_library_opens_is_searched_from_it() {
    if !have(&["gcc"]) {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox
        .file("plug.c", "int plug;\n")
        .dir("plugins")
        .dir("more")
        .file(
            "call.c",
            "#include <dlfcn.h>\nint CALL(void){return !dlopen(\"libplug2.so.1\",2);}\n",
        )
        .file("app.c", "int one(void), two(void); int main(void){return one() || two();}\n");
    for dir in ["plugins", "more"] {
        sandbox.tool("gcc", &format!("-shared -fPIC -o {dir}/libplug2.so.1 plug.c")).run().ok();
    }
    for (call, dir) in [("one", "plugins"), ("two", "more")] {
        let runpath = format!("-Wl,--enable-new-dtags,-rpath,{}", sandbox.path(dir).display());
        sandbox
            .tool("gcc", &format!("-shared -fPIC -o lib{call}.so call.c -DCALL={call}"))
            .arg(runpath)
            .run()
            .ok();
    }
    let here = format!("-Wl,--enable-new-dtags,-rpath,{}", sandbox.root().display());
    sandbox.tool("gcc", "-o app app.c -L. -lone -ltwo").arg(here).run().ok();
    let plan = sandbox.imgb("plan --all ./app").run().ok();
    for dir in ["plugins", "more"] {
        assert!(plan.text().contains(&format!("/{dir}/libplug2.so.1 ")), "{}", plan.show());
    }
}

/// A plugin that only `--library-path` finds, packed with its own program and an unrelated one.
#[test]
fn what_is_opened_by_name_is_found_in_the_image() {
    if !have(&["gcc"]) {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.file("plug.c", "int plug;\n").dir("plugins").file(
        "app.c",
        "#include <dlfcn.h>\nint main(void){return !dlopen(\"libplug2.so.1\",2);}\n",
    );
    sandbox
        .tool("gcc", "-shared -fPIC -o plugins/libplug2.so.1 plug.c -Wl,-soname,libplug2.so.1")
        .run()
        .ok();
    sandbox.tool("gcc", "-o app app.c").run().ok();
    let plugins = sandbox.path("plugins");
    sandbox
        .tool("gcc", "-o apprun app.c")
        .arg(format!("-Wl,-rpath,{}", plugins.display()))
        .run()
        .ok();
    let beside = sandbox.imgb("plan --all /bin/true ./apprun").run().ok();
    assert!(beside.text().contains("/libplug2.so.1 "), "{}", beside.show());
    let args = format!("./app --library-path {}", plugins.display());
    let Some(root) = Root::pack_in(sandbox, &[], &args) else { return };
    root.run("/app").run().ok();
}

#[test]
fn a_shell_only_where_it_is_asked_for() {
    let Some(sandbox) = program("command") else { return };
    let Some(root) = Root::pack_in(sandbox, &[], "app") else { return };
    assert!(!root.run("/app").run().success());
    assert!(root.said.contains("--with shell"), "{}", root.said);
    let Some(sandbox) = program("command") else { return };
    let Some(root) = Root::pack_in(sandbox, &[], "app --with shell") else { return };
    root.run("/app").run().ok();
}

#[test]
fn no_rule_fires_for_true() {
    let sandbox = Sandbox::new();
    for soft in ["auto", "all"] {
        let plan = sandbox.imgb(&format!("plan --all true --soft {soft}")).run().ok();
        assert!(!plan.text().contains("rule "), "{}", plan.text());
        assert_eq!(plan.stderr(), "");
        let bare = sandbox.imgb("plan --all true --soft none").run().ok();
        assert_eq!(plan.text(), bare.text());
    }
}

#[test]
fn the_image_knows_its_user() {
    let Some(root) = Root::pack(&["whoami"], "whoami --user app:4242") else { return };
    let passwd = root.text("etc/passwd");
    assert!(passwd.contains("app:x:1000:4242:app:/:/sbin/nologin\n"), "{passwd}");
    assert!(root.text("etc/group").contains("user:x:4242:\n"));
    let Some(root) = Root::pack(&["true"], "true --user 65532") else { return };
    assert!(root.text("etc/passwd").contains("user:x:65532:65532:"));
    root.run("true").run().ok();
}

#[test]
fn what_coreutils_and_libc_programs_need() {
    for (program, args, wanted) in [
        ("getent", "hosts localhost", "localhost"),
        ("getent", "passwd nobody", "nobody:x:65534"),
        ("getent", "services https", "443/tcp"),
        ("whoami", "", "root"),
    ] {
        let run = |root: &Root| root.run(program).args(args);
        if program == "getent" && args.starts_with("hosts") {
            // glibc 2.36 resolves localhost without any file.
            let Some(root) = Root::pack(&[program], program) else { return };
            run(&root).run().ok().prints(wanted);
            assert!(root.has("/etc/nsswitch.conf") && root.has("/etc/hosts"));
            continue;
        }
        let Some(done) = flips(&[program], program, &run) else { return };
        done.prints(wanted);
    }
    let Some(root) = Root::pack(&["date"], "date") else { return };
    root.run("date").args("-d @0 +%H%Z").env("TZ", "Europe/Berlin").run().ok().prints("01CET");
    let convert = |root: &Root| root.run("iconv").args("-f LATIN1 -t EUC-JP /dev/null");
    let Some(bare) = Root::pack(&["iconv"], "iconv --soft none") else { return };
    assert!(!convert(&bare).run().success());
    let Some(root) = Root::pack(&["iconv"], "iconv") else { return };
    convert(&root).run().ok();
}
