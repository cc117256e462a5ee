//! Directories of software: each object in them is resolved, siblings first. Objects for another
//! machine or C library are data.

use crate::{engines::have, fixtures, rules_root::Root, sandbox::Sandbox};

/// AArch64's number in ELF headers (`EM_AARCH64`).
const AARCH64: u16 = 183;

/// A directory as a wheel unpacks to: a module, and its own library next to it.
fn wheel() -> Option<Sandbox> {
    if !have(&["gcc"]) {
        return None;
    }
    let sandbox = Sandbox::new();
    sandbox.file("b.c", "int b(void) { return 1; }").file(
        "a.c",
        "int puts(const char *); int b(void); int a(void) { return puts(\"a\") + b(); }",
    );
    sandbox.dir("venv/pkg").dir("venv/pkg.libs");
    sandbox
        .tool("gcc", "-shared -fPIC -Wl,-soname,libb-12ab.so -o venv/pkg.libs/libb-12ab.so b.c")
        .run()
        .ok();
    let rpath = "-Wl,-rpath,$ORIGIN/../pkg.libs";
    let module = format!("-shared -fPIC -o venv/pkg/a.so a.c {rpath} venv/pkg.libs/libb-12ab.so");
    sandbox.tool("gcc", &module).run().ok();
    Some(sandbox)
}

#[test]
fn siblings_come_first() {
    let Some(sandbox) = wheel() else { return };
    let plan = sandbox.imgb("plan --all venv:/opt/venv").run().ok().text();
    assert!(plan.contains("/opt/venv/pkg.libs/libb-12ab.so"), "{plan}");
    assert!(plan.contains("libc.so.6"), "the module's own needs come along: {plan}");
}

#[test]
fn objects_for_another_machine_are_data() {
    let Some(sandbox) = wheel() else { return };
    sandbox.program("venv/prebuilds/arm64/addon.node", fixtures::static_elf(AARCH64));
    let plan = sandbox.imgb("plan --all venv:/opt/venv").run().ok();
    assert!(plan.stderr().contains("packed as data"), "{}", plan.stderr());
    assert!(plan.text().contains("/opt/venv/prebuilds/arm64/addon.node"));
    sandbox
        .imgb("plan --all venv:/opt/venv --strict")
        .run()
        .error(1, &["addon.node", "packed as data"]);
}

#[test]
fn an_environment_of_python_brings_its_python() {
    if !have(&["python3"]) {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.tool("python3", "-m venv --without-pip opt/venv").run().ok();
    let main = "#!/opt/venv/bin/python3\nimport sys, json, app\nprint(json.dumps([sys.prefix, \
        app.answer]))\n";
    sandbox.program("opt/venv/bin/app", main);
    let packages = fs_err::read_dir(sandbox.path("opt/venv/lib"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .file_name();
    let module = format!("opt/venv/lib/{}/site-packages/app.py", packages.to_str().unwrap());
    sandbox.file(&module, "answer = 6 * 7\n");
    let Some(root) = Root::pack_in(sandbox, &[], "opt:/opt --entrypoint /opt/venv/bin/app") else {
        return;
    };
    root.run("/opt/venv/bin/app").run().ok().prints("[\"/opt/venv\", 42]");
}

#[test]
fn musl_beside_glibc_is_data_where_the_machine_has_both() {
    let Some(sandbox) = wheel() else { return };
    if !have(&["musl-gcc"]) {
        return;
    }
    let missing = "-shared -fPIC -nostdlib -Wl,-soname,libmissing.so.6 -o libmissing.so.6 b.c";
    sandbox.tool("gcc", missing).run().ok();
    let module =
        "-shared -fPIC -nostdlib -o venv/musl.so a.c -Wl,--no-as-needed libmissing.so.6 -lc";
    sandbox.tool("musl-gcc", module).run().ok();
    let plan = sandbox.imgb("plan --all venv:/opt/venv").run().ok();
    assert!(plan.stderr().contains("/opt/venv/musl.so is for musl"), "{}", plan.stderr());
    assert!(plan.text().contains("/opt/venv/musl.so"));
    sandbox.imgb("plan --all venv:/opt/venv --strict").run().error(1, &["musl.so is for musl"]);
}

#[test]
fn a_shell_script_brings_the_commands_that_it_names() {
    let sandbox = Sandbox::new();
    sandbox.file("lib.sh", "greet() { basename \"$1\" | tr a-z A-Z; }\n");
    let script = "#!/bin/sh\n. ./lib.sh\nmkdir -p /x\ngreet /a/hello # rsync\nif [ -d /x ]; then \
        exec sort -u $0; fi\n";
    sandbox.program("start.sh", script);
    let Some(root) = Root::pack_in(sandbox, &[], "start.sh lib.sh") else { return };
    root.run("/start.sh").run().ok().prints("HELLO").prints("mkdir -p");
    assert!(!root.has("/usr/bin/rsync") && !root.has("/usr/bin/cat"), "only what it names");
}

#[test]
fn a_command_in_a_variable_comes_along() {
    let sandbox = Sandbox::new();
    sandbox.file("conf.sh", "SORT=sort\nPAGER='cat -n'\n");
    let script = "#!/bin/sh\n. ./conf.sh\nROOT=/usr; BIN=$ROOT/bin\n\"$BIN/basename\" /a/hello | \
        ${SORT} | ${TAC:-tac} | $PAGER\n";
    sandbox.program("start.sh", script);
    let Some(root) = Root::pack_in(sandbox, &[], "start.sh conf.sh") else { return };
    root.run("/start.sh").run().ok().prints("1\thello");
}

#[test]
fn objects_for_another_c_library_are_data() {
    let Some(sandbox) = wheel() else { return };
    sandbox.file("libc.c", "int c(void) { return 1; }").dir("lib");
    sandbox
        .tool(
            "gcc",
            "-shared -fPIC -nostdlib -Wl,-soname,libc.musl-x86_64.so.1 -o lib/libc.so libc.c",
        )
        .run()
        .ok();
    sandbox
        .tool("gcc", "-shared -fPIC -nostdlib -o venv/musl.so a.c -Wl,--no-as-needed lib/libc.so")
        .run()
        .ok();
    // A sysroot without musl, whatever this machine has: only glibc's loader and library.
    fixtures::sysroot(&sandbox, "true --soft none");
    let plan = sandbox.imgb("plan --all venv:/opt/venv --sysroot sys").run().ok();
    assert!(plan.stderr().contains("/opt/venv/musl.so is for musl"), "{}", plan.stderr());
    sandbox
        .imgb("plan --all venv:/opt/venv --sysroot sys --strict")
        .run()
        .error(1, &["musl.so is for musl"]);
}

#[test]
fn a_users_script_brings_the_installed_modules_that_it_uses() {
    for (language, dir, module, script) in [
        ("perl", "usr/share/perl5", "Own/Answer.pm", "use Own::Answer; print Own::Answer::value()"),
        ("python3", "usr/lib/python3/dist-packages", "own.py", "import own; print(own.value())"),
    ] {
        let sandbox = Sandbox::new();
        if !have(&[language, "bwrap"]) {
            continue;
        }
        fixtures::sysroot(&sandbox, language);
        let text = if language == "perl" {
            "package Own::Answer; sub value { 6 * 7 } 1"
        } else {
            "def value(): return 6 * 7"
        };
        sandbox.file(&format!("sys/{dir}/{module}"), text);
        sandbox.program("ask", format!("#!/usr/bin/{language}\n{script}\n"));
        let Some(root) = Root::pack_in(sandbox, &[], "./ask --sysroot sys") else { return };
        assert_eq!(root.run("/ask").run().ok().text().trim(), "42", "{language}");
    }
}

#[test]
fn mistakes_in_the_choice_of_rules() {
    let sandbox = Sandbox::new();
    sandbox
        .file("bad.toml", "[[rule]]\nname = 'x'\ncolour = 'red'\n")
        .program("app", fixtures::static_elf(fixtures::X86_64));
    for (options, code, words) in [
        ("--with shel", 2, &["no rule `shel`", "did you mean `shell`?"][..]),
        ("--rules gone.toml", 3, &["--rules `gone.toml`: No such file or directory"]),
        ("--rules bad.toml", 2, &["line 3: unknown field `colour`"]),
        ("--rules /dev/zero", 2, &["/dev/zero`: more than 1.0 MB"]),
    ] {
        sandbox.imgb(&format!("plan --all ./app {options}")).run().error(code, words);
    }
}

#[test]
fn a_script_of_the_system_brings_the_files_of_its_package() {
    let sandbox = Sandbox::new();
    sandbox
        .program(
            "sys/usr/bin/tool2",
            "#!/usr/bin/sh\nDIR=/usr/share/tool\n. $DIR/functions\ncat /usr/share/other/x\n",
        )
        .program("sys/usr/bin/sh", fixtures::static_elf(fixtures::X86_64))
        .file("sys/usr/share/tool/functions", "x")
        .file("sys/usr/share/other/x", "x")
        .file(
            "sys/var/lib/dpkg/status",
            "Package: tool\nStatus: install ok installed\n\n\
             Package: other\nStatus: install ok installed\n",
        )
        .file(
            "sys/var/lib/dpkg/info/tool.list",
            "/usr/bin/tool2\n/usr/share/tool\n/usr/share/tool/functions\n",
        )
        .file("sys/var/lib/dpkg/info/other.list", "/usr/share/other\n/usr/share/other/x\n");
    let plan = sandbox.imgb("plan --all tool2 --sysroot sys").run().ok().text();
    assert!(
        plan.contains("/usr/share/tool/functions") && !plan.contains("/usr/share/other"),
        "{plan}"
    );
    // A script of the user does not tell which files of the system belong to it.
    let own = sandbox.imgb("plan --all sys/usr/bin/tool2 --sysroot sys").run().ok().text();
    assert!(!own.contains("/usr/share/tool"), "{own}");
}
