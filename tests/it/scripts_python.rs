//! The modules of Python scripts of packages, and the commands that these start, in a sysroot with
//! a small database of dpkg.

use crate::{
    sandbox::Sandbox,
    scripts::{Packages, sandbox_of},
};

const MODULES: &str = "usr/lib/python3/dist-packages";

/// Where `name` is below Debian's directory of modules.
fn module(name: &str) -> String {
    format!("sys/{MODULES}/{name}")
}

/// Whether the plan for `app` has each of these paths.
#[track_caller]
fn check(sandbox: &Sandbox, paths: &[(&str, bool)]) {
    let plan = sandbox.imgb("plan --all --sysroot sys /usr/bin/app").run().ok().text();
    for (path, wanted) in paths {
        assert_eq!(plan.contains(&format!(" {path} ")), *wanted, "{path} in {plan}");
    }
}

/// Python looks for modules, and for the metadata that names an entry point, next to the file that
/// a link leads to.
#[test]
fn modules_next_to_the_real_script_are_found() {
    const PACKAGES: Packages<'_> = &[
        ("python3", "", &["usr/bin/python3"]),
        ("app", "Depends: python3", &["usr/bin/app", "usr/share/app/app", "usr/share/app/other"]),
    ];
    let script = "#!/usr/bin/python3\n__requires__ = 'pets==1.6'\nfrom sibling import x\n\
        load_entry_point('pets==1.6', 'console_scripts', 'app')()\n";
    let sandbox = sandbox_of(PACKAGES, &[("sys/usr/share/app/app", script)]);
    fs_err::remove_file(sandbox.path("sys/usr/bin/app")).unwrap();
    sandbox.symlink("sys/usr/bin/app", "../share/app/app");
    sandbox.file("sys/usr/share/app/pets-1.6.egg-info/top_level.txt", "pets\npetsplug\n");
    sandbox.file("sys/usr/share/app/pets/__init__.py", "import far\n");
    sandbox.file("sys/usr/share/app/petsplug/one.py", "").file("sys/usr/share/app/sibling.py", "");
    sandbox.file("sys/usr/share/app/unused.py", "").file(&module("far.py"), "");
    check(
        &sandbox,
        &[
            ("/usr/share/app/pets/__init__.py", true),
            ("/usr/share/app/petsplug/one.py", true),
            ("/usr/share/app/pets-1.6.egg-info/top_level.txt", true),
            ("/usr/share/app/sibling.py", true),
            ("/usr/share/app/unused.py", false),
            (&format!("/{MODULES}/far.py"), true),
        ],
    );
}

#[test]
fn quoted_names_are_modules_of_the_scripts_own_package() {
    const PACKAGES: Packages<'_> = &[
        ("python3", "", &["usr/bin/python3"]),
        ("app", "Depends: python3", &["usr/bin/app", "usr/lib/python3/dist-packages/fast/x"]),
        ("other", "", &["usr/lib/python3/dist-packages/stray/x"]),
    ];
    let script = "#!/usr/bin/python3\nexec('import fast.runners.' + task)\nprint('stray.name')\n";
    let sandbox = sandbox_of(PACKAGES, &[("sys/usr/bin/app", script)]);
    sandbox.file(&module("fast/runners.py"), "").file(&module("stray/name.py"), "");
    let fast = format!("/{MODULES}/fast/runners.py");
    let stray = format!("/{MODULES}/stray/name.py");
    check(&sandbox, &[(&fast, true), (&stray, false)]);
}

/// A module may keep the name of a command in a constant, or the path of a program for another of
/// its sources to start. An ordinary word is not the name of another package's directory.
#[test]
fn constants_and_paths_in_modules_are_of_commands() {
    const PACKAGES: Packages<'_> = &[
        ("tools", "Essential: yes", &["usr/bin/small"]),
        ("python3", "", &["usr/bin/python3"]),
        ("lint", "Architecture: all", &["usr/bin/lint", "usr/share/plainword/table"]),
        ("stranger", "", &["usr/bin/stranger", "usr/bin/unnamed"]),
        ("app", "Depends: python3, lint", &["usr/bin/app", "usr/lib/python3/dist-packages/work/x"]),
    ];
    let sandbox = sandbox_of(PACKAGES, &[("sys/usr/bin/app", "#!/usr/bin/python3\nimport work\n")]);
    let start = "LINT = 'lint'\nOTHER = 'stranger'\ndef run(cmd):\n    \
        Popen(cmd)\nrun('%s %s' % (LINT, OTHER))\n# bytes/plainword\n";
    sandbox.file(&module("work/start.py"), start).file(&module("work/__init__.py"), "");
    let settings = "shell = \"/usr/bin/small\"\nother = \"/usr/bin/unnamed\"\n";
    sandbox.file(&module("work/settings.py"), settings);
    for source in ["x", "start.py", "settings.py", "__init__.py"] {
        let list = "sys/var/lib/dpkg/info/app.list";
        let known = fs_err::read_to_string(sandbox.path(list)).unwrap();
        sandbox.file(list, format!("{known}/{MODULES}/work/{source}\n"));
    }
    check(
        &sandbox,
        &[
            ("/usr/bin/lint", true),
            ("/usr/bin/small", true),
            ("/usr/bin/stranger", false),
            ("/usr/bin/unnamed", false),
            ("/usr/share/plainword/table", false),
        ],
    );
}
