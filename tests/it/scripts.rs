//! The commands that scripts run, in a sysroot with a small database of dpkg.

use crate::{elf_builder::Elf, sandbox::Sandbox};

const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";

/// Packages: the name, its fields, and its files.
pub(crate) type Packages<'p> = &'p [(&'p str, &'p str, &'p [&'p str])];

const PACKAGES: Packages<'_> = &[
    ("tools", "Essential: yes", &["bin/sh", "usr/bin/small", "usr/bin/large"]),
    ("dpkg", "Essential: yes", &["usr/bin/manager"]),
    ("engine", "", &["usr/bin/engine"]),
    ("stranger", "", &["usr/bin/stranger"]),
    ("option", "", &["usr/bin/option", "usr/bin/option-large"]),
    (
        "app",
        "Depends: engine",
        &[
            "usr/bin/app",
            "usr/bin/app.pl",
            "usr/bin/app-bin",
            "usr/lib/app/step",
            "usr/lib/app/bin",
        ],
    ),
];

/// The sandbox has the packages' files in `sys/`: programs, those of `large`, `engine` and
/// `stranger` with 3 MB, and these scripts.
fn sandbox(scripts: &[(&str, &str)]) -> Sandbox {
    sandbox_of(PACKAGES, scripts)
}

/// As [`sandbox`], with these packages.
pub(crate) fn sandbox_of(packages: Packages<'_>, scripts: &[(&str, &str)]) -> Sandbox {
    let sandbox = Sandbox::new();
    let loader = Elf::library().soname("ld-linux-x86-64.so.2").build();
    sandbox.program(&format!("sys{LOADER}"), loader);
    let mut status = String::new();
    for (name, fields, paths) in packages {
        status += &format!(
            "Package: {name}\nStatus: install ok installed\nArchitecture: amd64\n{fields}\n\n"
        );
        let mut list = String::new();
        for path in *paths {
            let mut program = Elf::program(LOADER).build();
            if ["large", "engine", "stranger"].iter().any(|name| path.ends_with(name)) {
                program.resize(3_000_000, 0);
            }
            sandbox.program(&format!("sys/{path}"), program);
            let parents = path.match_indices('/').map(|(at, _)| &path[..at]);
            list.extend(parents.chain([*path]).map(|path| format!("/{path}\n")));
        }
        sandbox.file(&format!("sys/var/lib/dpkg/info/{name}.list"), list);
    }
    sandbox.file("sys/var/lib/dpkg/status", status);
    for (path, text) in scripts {
        sandbox.program(path, text);
    }
    sandbox
}

/// Which programs and scripts the image of `input` has, by file name.
#[track_caller]
fn check(scripts: &[(&str, &str)], input: &str, wanted: &str) {
    let sandbox = sandbox(scripts);
    let plan = sandbox.imgb(&format!("plan --all --sysroot sys {input}")).run().ok().text();
    let path = |line: &str| Some(line.split('\t').nth(1)?.split(' ').nth(2)?.to_owned());
    let is_program = |path: &String| {
        ["/usr/bin/", "/bin/", "/usr/lib/app/"].iter().any(|dir| path.starts_with(dir))
    };
    let mut names: Vec<_> = plan.lines().filter_map(path).filter(is_program).collect();
    names.iter_mut().for_each(|path| *path = path.rsplit('/').next().unwrap().to_owned());
    names.retain(|name| name != "app");
    names.sort();
    assert_eq!(names.join(" "), wanted, "{plan}");
}

#[test]
fn a_script_brings_what_it_executes_whatever_its_size() {
    let script = "#!/bin/sh\nsmall\nif x; then large; fi\nexec stranger \"$@\"\n";
    check(&[("sys/usr/bin/app", script)], "app", "sh small stranger");
    // What its package depends on, too; an optional command of another package stays out.
    let script = "#!/bin/sh\nengine | small\nstranger\n";
    check(&[("sys/usr/bin/app", script)], "app", "engine sh small");
}

#[test]
fn what_the_users_own_script_runs_is_needed_unless_it_asks_for_it() {
    let script = "#!/bin/sh\nlarge\ncommand -v stranger && stranger\n";
    check(&[("run.sh", script)], "./run.sh", "large sh");
}

/// What an optional command cannot do without is optional, too; a script weighs what its
/// interpreter does.
#[test]
fn large_programs_behind_optional_commands_are_left_out_with_a_hint() {
    let app = "#!/bin/sh\nsmall\nif [ -x /usr/bin/option ]; then exec /usr/bin/option; fi\n";
    let option = "#!/bin/sh\nexec /usr/bin/option-large\n";
    let scripts = [("sys/usr/bin/app", app), ("sys/usr/bin/option", option)];
    check(&scripts, "app", "option sh small");
    let said = sandbox(&scripts).imgb("plan --sysroot sys app").run().ok().show();
    assert!(said.contains("/usr/bin/option-large"), "{said}");
    assert!(said.contains("--with script-commands"), "{said}");
    let scripts = [("sys/usr/bin/app", app), ("sys/usr/bin/option", "#!/usr/bin/stranger\n")];
    check(&scripts, "app", "sh small");
}

#[test]
fn other_languages_start_commands_in_their_own_ways() {
    let perl = "#!/usr/bin/app-bin\nmy @tool = ('engine', 'stranger', 'small');\n\
        open(F, \"small -x |\"); system('large');\n";
    check(&[("sys/usr/bin/app.pl", perl)], "app.pl", "app-bin app.pl engine sh small");
}

/// After `eval`, what stands in quotes is text of the script.
#[test]
fn text_that_a_shell_evaluates_runs_commands() {
    let script = "#!/bin/sh\nM=/usr/bin/small\neval $2='$(${M} -d \"x\")'\n";
    check(&[("sys/usr/bin/app", script)], "app", "sh small");
}

#[test]
fn lists_of_words_and_constants_hold_commands() {
    let perl = "#!/usr/bin/app-bin\nmy @tool = (qw(engine -x), 'stranger');\nsystem @tool;\n\
        open(my $pipe, \"-|\", \"small\", @ARGV);\nLARGE = 'large'\nsystem(LARGE)\n";
    check(&[("sys/usr/bin/app.pl", perl)], "app.pl", "app-bin app.pl engine sh small");
}

#[test]
fn a_tcl_script_executes_bare_words() {
    let tcl = "#!/usr/bin/tclsh8.6\nset out [exec small -x | engine]\nputs \"exec stranger\"\n";
    let packages = [PACKAGES, &[("tcl", "", &["usr/bin/tclsh8.6"])]].concat();
    let sandbox = sandbox_of(&packages, &[("sys/usr/bin/app", tcl)]);
    let plan = sandbox.imgb("plan --all --sysroot sys app").run().ok().text();
    assert!(plan.contains(" /usr/bin/small ") && plan.contains(" /usr/bin/engine "), "{plan}");
    assert!(!plan.contains(" /usr/bin/stranger "), "{plan}");
}

/// Scripts that come because a program mentions their directory need an interpreter; of what they
/// run, only that comes which each system has or which their package depends on.
#[test]
fn scripts_of_the_programs_package_have_a_shell() {
    let step = "#!/bin/sh\nsmall; large; stranger; manager\n";
    let app = "#!/bin/sh\n: ${DIR=/usr/lib/app}\nexec $DIR/step\n";
    let scripts = [("sys/usr/bin/app", app), ("sys/usr/lib/app/step", step)];
    check(&scripts, "app", "bin sh small step");
}
