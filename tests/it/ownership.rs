//! Packages as evidence: a sysroot with a small database of dpkg, and a program of one of its
//! packages that opens data and libraries of others.

use crate::{engines::have, fixtures::sysroot, rules_root::Root, sandbox::Sandbox};

/// Says which of its files and libraries it can open.
const SOURCE: &str = r#"
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
static void file(const char *name, const char *path) {
    FILE *f = fopen(path, "r");
    printf("%s=%d ", name, f != 0);
}
int main(void) {
    char path[99], *volatile share = "/usr/share";
    snprintf(path, sizeof path, "%s/zz-data/%s", share, "one"); file("joined", path);
    snprintf(path, sizeof path, "%s/%s", "/usr/lib/Q", "two"); file("letter", path);
    strcpy(path, "/usr/share/shortened-by-gcc"); strcat(path, "/three"); file("cut", path);
    const char *list = "/usr/share/absent:/usr/share/yy";
    snprintf(path, sizeof path, "%s/four", strchr(list, ':') + 1); file("listed", path);
    snprintf(path, sizeof path, "%s/other/five", share); file("other", path);
    snprintf(path, sizeof path, "%s/%s", "/etc/both", "mine"); file("mine", path);
    snprintf(path, sizeof path, "%s/%s", "/etc/both", "theirs"); file("theirs", path);
    printf("needed=%d ", dlopen("libneeded.so.1", RTLD_NOW) != 0);
    printf("recommended=%d ", dlopen("librecommended.so.1", RTLD_NOW) != 0);
    printf("suggested=%d\n", dlopen("libsuggested.so.1", RTLD_NOW) != 0);
    return 0;
}"#;

/// Packages: the name, its fields, and its paths below the root.
const PACKAGES: &[(&str, &str, &[&str])] = &[
    (
        "app",
        "Depends: libneeded1, app-data\nRecommends: librecommended1\nSuggests: libsuggested1",
        &["usr/bin/app", "usr/lib/Q/two", "etc/both/mine", "usr/share/man/man1/app.1"],
    ),
    (
        "app-data",
        "Architecture: all",
        &["usr/share/zz-data/one", "usr/share/shortened-by-gcc/three", "usr/share/yy/four"],
    ),
    ("other", "Architecture: all", &["usr/share/other/five", "etc/both/theirs"]),
    ("libneeded1", "Depends: libc6", &["usr/lib/libneeded.so.1"]),
    ("librecommended1", "", &["usr/lib/librecommended.so.1"]),
    ("libsuggested1", "", &["usr/lib/libsuggested.so.1"]),
];

/// A sandbox whose `sys/` has the program and the packages' files; `with` a database or without.
fn sandbox(with: bool) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.file("app.c", SOURCE).file("lib.c", "int x;");
    sandbox.tool("gcc", "-O2 app.c -o built").run().ok();
    sysroot(&sandbox, "./built:/usr/bin/app --soft none");
    let mut status = String::new();
    for (name, fields, paths) in PACKAGES {
        let other = if fields.contains("Architecture") { "" } else { "Architecture: amd64\n" };
        status += &format!("Package: {name}\nStatus: install ok installed\n{other}{fields}\n\n");
        let mut list = String::new();
        for path in *paths {
            if !path.ends_with("/app") && !path.contains(".so.") {
                sandbox.file(&format!("sys/{path}"), "data");
            }
            let parents = path.match_indices('/').map(|(at, _)| &path[..at]);
            list.extend(parents.chain([*path]).map(|path| format!("/{path}\n")));
        }
        if with {
            sandbox.file(&format!("sys/var/lib/dpkg/info/{name}.list"), list);
        }
    }
    if with {
        sandbox.file("sys/var/lib/dpkg/status", status);
    }
    sandbox.dir("sys/usr/lib");
    for name in ["needed", "recommended", "suggested"] {
        let flags = format!("-shared -fPIC lib.c -Wl,-soname,lib{name}.so.1 -o");
        sandbox.tool("gcc", &flags).arg(format!("sys/usr/lib/lib{name}.so.1")).run().ok();
    }
    sandbox
}

/// What the program says in its image, and the image.
fn run(with: bool, options: &str) -> Option<(String, Root)> {
    if !have(&["gcc"]) {
        return None;
    }
    let root = Root::pack_in(sandbox(with), &[], &format!("app --sysroot sys {options}"))?;
    let text = root.run("/usr/bin/app").run().ok().text();
    Some((text, root))
}

#[test]
fn packages_say_which_mentions_are_meant() {
    let Some((text, root)) = run(true, "") else { return };
    assert_eq!(
        text,
        "joined=1 letter=1 cut=1 listed=1 other=0 mine=1 theirs=0 \
         needed=1 recommended=1 suggested=0\n"
    );
    assert!(root.said.contains("dlopen-optional"), "{}", root.said);
    assert!(!root.has("usr/share/man"));
    let Some((text, _)) = run(true, "--with dlopen-optional") else { return };
    assert!(text.ends_with("suggested=1\n"), "{text}");
    let Some((text, _)) = run(true, "--without own-files") else { return };
    assert!(text.starts_with("joined=0 letter=0 cut=0 listed=0"), "{text}");
}

#[test]
fn without_a_database_names_and_whole_paths_count() {
    let Some((text, _)) = run(false, "") else { return };
    assert_eq!(
        text,
        "joined=0 letter=1 cut=0 listed=1 other=0 mine=1 theirs=1 \
         needed=1 recommended=1 suggested=1\n"
    );
}

/// A library's data in a sysroot without a database: in a list and without the ending (libmagic),
/// and a directory (libxtables). What programs start and what all of them share is not data.
#[test]
fn without_a_database_the_data_of_libraries_counts() {
    if !have(&["gcc"]) {
        return;
    }
    let sandbox = sandbox(false);
    let library = "const char *volatile all[] = { \"/etc/zz:/usr/share/misc/zz\",\n\
        \"/usr/lib/zz-plugins\", \"/usr/bin/other\", \"/usr/share\", \"/usr/share/many/x\" };\n\
        int all_of(void) { return !all[0]; }";
    let main = "int all_of(void); int main(void) { return all_of(); }";
    sandbox.file("data.c", library).file("main.c", main);
    let flags = "-shared -fPIC data.c -Wl,-soname,libdata.so.1 -o sys/usr/lib/libdata.so.1";
    sandbox.tool("gcc", flags).run().ok();
    sandbox.tool("gcc", "main.c -o sys/usr/bin/user sys/usr/lib/libdata.so.1").run().ok();
    let here = ["usr/share/misc/zz.mgc", "usr/lib/zz-plugins/one.so", "usr/lib/zz-plugins/two"];
    let left = ["usr/share/misc/zz.mgc.old", "usr/share/misc/zzz", "usr/bin/other"];
    let many = ["a", "b", "c", "d"].map(|ending| format!("usr/share/many/x.{ending}"));
    for path in here.iter().chain(&left).copied().chain(many.iter().map(String::as_str)) {
        sandbox.file(&format!("sys/{path}"), "data");
    }
    sandbox.dir("sys/usr/share/misc/zz");
    // A plugin that needs a large library, as LLVM's for binutils.
    sandbox.file("heavy.c", "char heavy[4000000] = {1};");
    let plugin = "sys/usr/lib/zz-plugins/large.so sys/usr/lib/libheavy.so.1";
    let flags = "-shared -fPIC heavy.c -Wl,-soname,libheavy.so.1 -o sys/usr/lib/libheavy.so.1";
    sandbox.tool("gcc", flags).run().ok();
    sandbox.tool("gcc", "-shared -fPIC -Wl,--no-as-needed data.c -o").args(plugin).run().ok();
    let plan = sandbox.imgb("plan --all --sysroot sys user").run().ok();
    let said = "optional and large, up to 5 MB with what it needs: /usr/lib/zz-plugins/large.so";
    assert!(plan.stderr().contains(said), "{}", plan.show());
    let plan = plan.text();
    assert!(!plan.contains("libheavy"), "{plan}");
    for path in here {
        assert!(plan.contains(&format!("/{path} ")), "no {path} in {plan}");
    }
    for path in left.iter().copied().chain(many.iter().map(String::as_str)) {
        assert!(!plan.contains(&format!("/{path} ")), "{path} in {plan}");
    }
}

/// What only looks like a library for builds or like documentation by its name is data.
#[test]
fn contents_and_whole_names_tell_what_is_left_out() {
    if !have(&["gcc"]) {
        return;
    }
    let sandbox = sandbox(true);
    for (name, text) in [
        ("units.a", "km\n"),
        ("libx.a", "!<arch>\nx"),
        ("README", "read"),
        ("README.md", "read"),
        ("README.Debian.in", "template"),
    ] {
        sandbox.file(&format!("sys/usr/lib/Q/{name}"), text);
    }
    let plan = sandbox.imgb("plan --all app --sysroot sys").run().ok().text();
    for name in ["units.a", "README.Debian.in"] {
        assert!(plan.contains(&format!("/Q/{name} ")), "{name} in {plan}");
    }
    for name in ["libx.a", "README", "README.md"] {
        assert!(!plan.contains(&format!("/Q/{name} ")), "{name} in {plan}");
    }
}

/// A program that no package owns may mention what no package owns either: its own configuration,
/// but also what describes the machine, and its state.
#[test]
fn the_state_of_the_machine_is_never_meant() {
    if !have(&["gcc"]) {
        return;
    }
    let paths = ["etc/ld.so.cache", "etc/shadow", "etc/machine-id", "var/lib/zz/data", "etc/zz/v"];
    let source = format!(
        "#include <stdio.h>\nint main(void) {{ return {}; }}",
        paths.map(|path| format!("!fopen(\"/{path}\", \"r\")")).join(" + ")
    );
    for program in ["./mine", "sys/usr/bin/mine"] {
        let sandbox = sandbox(true);
        sandbox.file("mine.c", &source);
        sandbox.tool("gcc", "mine.c -o mine").run().ok();
        sandbox.tool("cp", "mine sys/usr/bin/mine").run().ok();
        for path in paths {
            sandbox.file(&format!("sys/{path}"), "libneeded.so.1\0/usr/lib/libneeded.so.1\0");
        }
        let command = format!("pack --sysroot sys -q {program} -o rootfs:root.tar");
        sandbox.imgb(&command).run().ok();
        let list = sandbox.tool("tar", "-tf root.tar").run().ok().text();
        assert!(list.contains("etc/zz/v\n"), "{list}");
        for path in paths.iter().filter(|path| **path != "etc/zz/v") {
            assert!(!list.contains(path), "{path} in {list}");
        }
        assert!(!list.contains("libneeded"), "{list}");
    }
}

#[test]
fn the_reason_names_the_package() {
    if !have(&["gcc"]) {
        return;
    }
    let plan = sandbox(true).imgb("plan --all --sysroot sys app").run().ok().text();
    for reason in [
        "rule own-files for /usr/bin/app: it names zz-data, of app-data, which its package depends",
        "libneeded.so.1 and calls dlopen; the library is of libneeded1, which its package depends",
    ] {
        assert!(plan.contains(reason), "{reason}\n{plan}");
    }
}

/// The rule about the program knows that a file is not needed; that its package has it is a guess.
#[test]
fn what_a_followed_rule_excludes_is_not_guessed() {
    if !have(&["gcc"]) {
        return;
    }
    let sandbox = sandbox(true);
    let list = "sys/var/lib/dpkg/info/app.list";
    let known = std::fs::read_to_string(sandbox.path(list)).unwrap();
    sandbox.file(list, known + "/usr/lib/Q/extra\n").file("sys/usr/lib/Q/extra", "data");
    let plan = |rules: &str| {
        let plan = format!("plan --all --sysroot sys app {rules}");
        sandbox.imgb(&plan).run().ok().text()
    };
    assert!(plan("").contains("/usr/lib/Q/extra"));
    let rule = "[[rule]]\nname = 'known'\ndescription = ''\nlevel = 'auto'\n\
        when = [{ programs = ['/**/bin/app'] }]\nfiles = ['{prefix}/lib']\n\
        exclude = ['**/Q/extra']\n";
    sandbox.file("rules.toml", rule);
    let plan = plan("--rules rules.toml");
    assert!(plan.contains("/usr/lib/Q/two") && !plan.contains("/usr/lib/Q/extra"), "{plan}");
}

/// What was put into directories that packages share when they were installed.
#[test]
fn what_packages_register_for_a_program_is_meant() {
    if !have(&["gcc"]) {
        return;
    }
    let sandbox = sandbox(true);
    let constants = r#""registered.ini", "/etc/vendors.d", "/usr/share/shared""#;
    let source = format!(
        "#include <stdio.h>\nstatic const char *volatile all[] = {{ {constants} }};\n\
         int main(int argc, char **argv) {{ return puts(all[argc - 1]) < 0; }}"
    );
    sandbox.file("main.c", source).tool("gcc", "main.c -o sys/usr/bin/app").run().ok();
    let info = "sys/var/lib/dpkg/info";
    let append = |path: &str, text: &str| {
        let known = std::fs::read_to_string(sandbox.path(path)).unwrap();
        sandbox.file(path, known + text);
    };
    let package = |name: &str, fields: &str| {
        let head = format!("Package: {name}\nStatus: install ok installed\nArchitecture: amd64\n");
        append("sys/var/lib/dpkg/status", &format!("{head}{fields}\n\n"));
    };
    package("app-extra", "Source: app\nDepends: app");
    package("vendor", "Depends: libsuggested1");
    let shared = "/usr/share/shared\n/usr/share/shared/";
    append(&format!("{info}/app.list"), &format!("{shared}mine\n"));
    sandbox.file(&format!("{info}/app-extra.list"), format!("{shared}theirs\n"));
    sandbox.file(&format!("{info}/vendor.list"), "/etc/vendors.d\n/etc/vendors.d/a.icd\n");
    for name in ["mine", "theirs", "INDEX"] {
        sandbox.file(&format!("sys/usr/share/shared/{name}"), name);
    }
    sandbox.file("sys/etc/vendors.d/a.icd", "libsuggested.so.1\n");
    sandbox.file("sys/etc/registered.ini", "Driver=libany.so.1\n");
    sandbox.file("sys/etc/other.ini", "Driver=libany.so.1\n");
    let plan = sandbox.imgb("plan --all --sysroot sys app").run().ok().text();
    let wanted = [
        "/etc/registered.ini ",
        "/etc/vendors.d/a.icd ",
        "/usr/lib/libsuggested.so.1 ",
        "/usr/share/shared/mine ",
        "/usr/share/shared/INDEX ",
    ];
    for path in wanted {
        assert!(plan.contains(path), "no {path} in {plan}");
    }
    for path in ["/usr/share/shared/theirs", "/etc/other.ini"] {
        assert!(!plan.contains(path), "{path} in {plan}");
    }
}
