//! Which programs and scripts of packages what is packed starts, and which it only mentions.

use crate::ownership_limits::{HEAVY, MAIN, plan, sandbox};

/// A script runs a large command only if there is one, unless its package asks for it.
#[test]
fn a_large_command_that_no_package_asks_for() {
    for (fields, is_there) in [("", false), ("Depends: large", true)] {
        let packages: &[(&str, &str, &[&str])] = &[
            ("script", fields, &["usr/bin/script"]),
            ("large", "", &["usr/bin/large", "usr/lib/libheavy.so.1"]),
            ("small", "", &["usr/bin/small"]),
        ];
        let sources = [("large", HEAVY), ("small", MAIN), ("sh", MAIN)];
        let Some(sandbox) = sandbox(&sources, packages) else { return };
        sandbox.program("sys/usr/bin/script", "#!/usr/bin/sh\nsmall\nlarge\n");
        let plan = plan(&sandbox, "script");
        assert!(plan.text().contains("/usr/bin/small"), "{}", plan.show());
        assert_eq!(plan.text().contains("/usr/bin/large"), is_there, "{}", plan.show());
        let is_said = plan.stderr().contains("up to 5 MB with what it needs: /usr/bin/large");
        assert_eq!(is_said, !is_there, "{}", plan.show());
    }
}

#[test]
fn a_shell_script_starts_modules_of_python() {
    let module = "usr/lib/python3/dist-packages/zz/main.py";
    let packages: &[(&str, &str, &[&str])] = &[
        ("app", "Depends: asked", &["usr/bin/app", module]),
        ("asked", "", &["usr/bin/asked"]),
        ("other", "", &["usr/bin/other"]),
    ];
    let names = ["python3", "sh", "asked", "other"].map(|name| (name, MAIN));
    let Some(sandbox) = sandbox(&names, packages) else { return };
    sandbox.program("sys/usr/bin/app", "#!/usr/bin/sh\npython3 -m zz.main \"$@\"\n");
    let main = "import subprocess\nsubprocess.Popen(['asked'])\nsubprocess.Popen(['other'])\n";
    sandbox.file(&format!("sys/{module}"), main);
    sandbox.file("sys/usr/lib/python3/dist-packages/yy/main.py", "");
    let text = plan(&sandbox, "app").text();
    assert!(text.contains("/zz/main.py") && !text.contains("/yy/"), "{text}");
    assert!(text.contains("bin/asked ") && !text.contains("bin/other "), "{text}");
    // Without a database, what a module can start says nothing.
    sandbox.tool("rm", "-r sys/var/lib/dpkg").run().ok();
    let text = plan(&sandbox, "app").text();
    assert!(text.contains("/zz/main.py") && !text.contains("bin/asked "), "{text}");
}

/// What a program passes to exec: a program of its own package by name, one that its package
/// depends on by path. A name alone brings no large program.
#[test]
fn a_program_brings_the_programs_of_its_packages_that_it_starts() {
    let starts = "#include <unistd.h>\nint main(int argc, char **argv) {\n\
        execlp(\"app-cpp\", \"app-large\", \"theirs\", \"asked : no\", (char *)0);\n\
        execl(\"/usr/bin/needed\", \"/usr/bin/other\", (char *)0); return 1; }";
    let packages: &[(&str, &str, &[&str])] = &[
        ("app", "Depends: needed", &["usr/bin/app", "usr/bin/app-cpp", "usr/bin/app-large"]),
        ("needed", "", &["usr/bin/needed", "usr/bin/asked"]),
        ("theirs", "", &["usr/bin/theirs", "usr/bin/other"]),
    ];
    let large = "char large[4000000] = {1}; int main(void) { return 0; }";
    let names = ["app-cpp", "needed", "asked", "theirs", "other"].map(|name| (name, MAIN));
    let sources = [&[("app", starts), ("app-large", large)], &names[..]].concat();
    let Some(sandbox) = sandbox(&sources, packages) else { return };
    let plan = plan(&sandbox, "app");
    let text = plan.text();
    assert!(text.contains("it starts programs, and names app-cpp of its packages"), "{text}");
    assert!(text.contains("/usr/bin/app-cpp ") && text.contains("/usr/bin/needed "), "{text}");
    assert!(text.contains("/usr/bin/asked "), "{text}");
    for name in ["app-large", "theirs"] {
        assert!(!text.contains(&format!("/usr/bin/{name} ")), "{name} in {text}");
    }
    assert!(plan.stderr().contains("what it needs: /usr/bin/app-large"), "{}", plan.show());
}

/// A script whose commands are in variables may run what each system has.
#[test]
fn a_word_in_a_script_that_starts_what_variables_hold() {
    for (call, is_there) in [("system(@$tar)", true), ("print $tar", false)] {
        let packages: &[(&str, &str, &[&str])] = &[
            ("perl-base", "Essential: yes", &["usr/bin/perl"]),
            ("tar", "Essential: yes", &["usr/bin/tar"]),
            ("other", "", &["usr/bin/zz"]),
            ("app", "", &["usr/bin/app"]),
        ];
        let sources = [("perl", MAIN), ("tar", MAIN), ("zz", MAIN)];
        let Some(sandbox) = sandbox(&sources, packages) else { return };
        let script = format!("#!/usr/bin/perl\nmy $tar = ['tar', 'zz'];\n{call};\n");
        sandbox.program("sys/usr/bin/app", &script);
        let text = plan(&sandbox, "app").text();
        assert_eq!(text.contains("/usr/bin/tar "), is_there, "{text}");
        assert!(!text.contains("/usr/bin/zz "), "{text}");
    }
}

/// cxref passes the words of `cxref-cpp -lang-c …` to execvp.
#[test]
fn a_command_line_whose_words_a_program_passes_to_exec() {
    let main = "#include <string.h>\n#include <unistd.h>\nint main(int argc, char **argv) {\n\
        const char *volatile lines[] = { \"app-cpp -lang -C\", \"zz -x\" };\n\
        char *words[] = { strtok(strdup(lines[argc]), \" \"), 0 };\n\
        return execvp(words[0], words); }";
    let packages: &[(&str, &str, &[&str])] =
        &[("app", "", &["usr/bin/app", "usr/bin/app-cpp"]), ("zz", "", &["usr/bin/zz"])];
    let sources = [("app", main), ("app-cpp", MAIN), ("zz", MAIN)];
    let Some(sandbox) = sandbox(&sources, packages) else { return };
    let text = plan(&sandbox, "app").text();
    assert!(text.contains("/usr/bin/app-cpp ") && !text.contains("/usr/bin/zz "), "{text}");
}

/// libparted runs `dmidecode -s …`, on whose package its own depends.
#[test]
fn a_command_line_in_a_library_whose_package_depends_on_the_command() {
    for (fields, is_there) in [("Depends: zz", true), ("Recommends: zz", false)] {
        let library = "#include <stdio.h>\nint run(void) { return !popen(\"zz -s x\", \"r\"); }";
        let app = "// -l:libapp.so.1\nint run(void); int main(void) { return run(); }";
        let packages: &[(&str, &str, &[&str])] = &[
            ("app", "Depends: libapp1", &["usr/bin/app"]),
            ("libapp1", fields, &["usr/lib/libapp.so.1"]),
            ("dash", "Essential: yes", &["usr/bin/sh"]),
            ("zz", "", &["usr/bin/zz"]),
        ];
        let sources = [("libapp", library), ("sh", MAIN), ("zz", MAIN), ("app", app)];
        let Some(sandbox) = sandbox(&sources, packages) else { return };
        sandbox.symlink("sys/bin", "usr/bin");
        let text = plan(&sandbox, "app").text();
        assert_eq!(text.contains("/usr/bin/zz "), is_there, "{text}");
        assert_eq!(text.contains("/usr/bin/sh "), is_there, "{text}");
    }
}

/// sort of coreutils runs the compressor that the user names. Its help text, which all programs of
/// the package share, names others of them; and the name of a function may be that of a program.
#[test]
fn programs_that_a_common_text_names_are_not_started() {
    let says = "const char *volatile all[] = { \"box-sum\" };\n";
    let main = format!("{says}int main(void) {{ return !all[0]; }}");
    let starts = format!(
        "#include <unistd.h>\n{says}int main(int argc, char **argv) {{\n\
         if (argc > 2) return unlink(argv[1]);\n\
         return execlp(argc > 1 ? argv[1] : \"box-helper\", all[0], (char *)0); }}"
    );
    let paths: &[&str] = &[
        "usr/bin/box-sort",
        "usr/bin/box-cat",
        "usr/bin/box-ls",
        "usr/bin/box-sum",
        "usr/bin/box-wc",
        "usr/bin/box-helper",
        "usr/bin/unlink",
    ];
    let mut sources = vec![("box-sort", &*starts), ("box-helper", MAIN), ("unlink", MAIN)];
    sources.extend(["box-cat", "box-ls", "box-sum", "box-wc"].map(|name| (name, &*main)));
    let Some(sandbox) = sandbox(&sources, &[("box", "", paths)]) else { return };
    let text = plan(&sandbox, "box-sort").text();
    assert!(text.contains("/usr/bin/box-helper "), "{text}");
    assert!(!text.contains("/usr/bin/box-sum ") && !text.contains("/usr/bin/unlink "), "{text}");
    // lxc's programs share code that starts programs, and so all have the names of the others. Two
    // names are no list: all may start these.
    let names = ["box-a", "box-b", "box-c", "box-d", "box-e", "box-sum"];
    for listed in [&names[..], &names[4..]] {
        let constants = format!("{{ \"{}\" }}", listed.join("\", \""));
        let shared = format!(
            "#include <unistd.h>\nconst char *volatile all[] = {constants};\n\
             int main(void) {{ return execlp(all[0], \"x\", (char *)0); }}"
        );
        let mut programs = vec![("box-helper", &*shared)];
        programs.extend(names.map(|name| (name, &*shared)));
        let starts_all = starts.replace("box-sum", &listed.join("\", \""));
        programs.push(("box-main", &*starts_all));
        let paths: Vec<_> = programs.iter().map(|(name, _)| format!("usr/bin/{name}")).collect();
        let paths: Vec<_> = paths.iter().map(String::as_str).collect();
        let Some(sandbox) = self::sandbox(&programs, &[("box", "", &paths)]) else { return };
        let text = plan(&sandbox, "box-main").text();
        assert!(text.contains("/usr/bin/box-helper "), "{text}");
        assert_eq!(text.contains("/usr/bin/box-sum "), listed.len() == 2, "{text}");
    }
    // Where few are compared, what they name may be meant.
    let few: &[&str] = &["usr/bin/box-sort", "usr/bin/box-cat", "usr/bin/box-sum"];
    let Some(sandbox) = self::sandbox(&sources, &[("box", "", few)]) else { return };
    let text = plan(&sandbox, "box-sort").text();
    assert!(text.contains("/usr/bin/box-sum "), "{text}");
}

/// A program that comes with the directory that it is in counts as one that is started as soon as a
/// script starts it.
#[test]
fn what_a_started_helper_mentions_is_meant() {
    let helper = "#include <stdio.h>\nint main(void) { return puts(\"/usr/share/zz-big\") < 0; }";
    let paths: &[&str] = &[
        "usr/bin/app",
        "usr/lib/zz-app/helper",
        "usr/lib/zz-app/guess",
        "usr/share/zz-big/data",
        "usr/share/zz-other/x",
    ];
    let start = "/usr/lib/zz-app/helper";
    for (app, guess, is_there) in [(start, "", true), ("", start, false)] {
        let sources = [("helper", helper), ("sh", MAIN)];
        let Some(sandbox) = sandbox(&sources, &[("app", "", paths)]) else { return };
        sandbox.program("sys/usr/lib/zz-app/helper", sandbox.read("sys/usr/bin/helper"));
        let script = |text: &str| format!("#!/usr/bin/sh\nDIR=/usr/lib/zz-app\n{text}\n");
        sandbox.program("sys/usr/bin/app", script(app));
        sandbox.program("sys/usr/lib/zz-app/guess", script(guess));
        sandbox.file("sys/usr/share/zz-big/data", vec![b'x'; 4_000_000]);
        let plan = plan(&sandbox, "app");
        assert!(plan.text().contains("/usr/lib/zz-app/helper "), "{}", plan.show());
        assert_eq!(plan.text().contains("/zz-big/data "), is_there, "{}", plan.show());
    }
}

/// A program with these constants, which starts programs or only prints.
fn says(constants: &[&str], starts: bool) -> String {
    let call = if starts { "execl(all[0], all[0], (char *)0)" } else { "puts(all[0])" };
    format!(
        "#include <stdio.h>\n#include <unistd.h>\nconst char *volatile all[] = {{ \"{}\" }};\n\
         int run(void) {{ return {call}; }}\n",
        constants.join("\", \"")
    )
}

const RUN: &str = "int main(void) { return run(); }\n";

/// Whether the scripts at these paths, in the package of `app`, bring their interpreter if the
/// packed `programs` and the libraries that they need are made from these sources.
fn brings_interpreter(
    scripts: &[&str],
    sources: &[(&str, &str)],
    library_of: &str,
    programs: &str,
) -> Option<bool> {
    let names = sources.iter().filter(|(name, _)| !name.starts_with("lib"));
    let names: Vec<_> = names.map(|(name, _)| format!("usr/bin/{name}")).collect();
    let mut paths: Vec<&str> = names.iter().map(String::as_str).collect();
    let (helper, library) = ("usr/lib/zz-app/zz-helper", "usr/lib/libzz.so.1");
    let scripts: Vec<_> = scripts.iter().map(|path| path.trim_start_matches('/')).collect();
    paths.extend(scripts.iter().copied().chain([helper]));
    let of_library: &[&str] = &[library];
    if library_of == "app" {
        paths.push(library);
    }
    let packages: &[(&str, &str, &[&str])] = &[
        ("app", "Depends: dash", &paths),
        ("dash", "", &["usr/bin/dash"]),
        ("other", "", &["usr/share/zz-shared/other"]),
        ("libzz", "Source: zz", if library_of == "app" { &[] } else { of_library }),
    ];
    let sandbox = sandbox(&[&[("dash", MAIN)], sources].concat(), packages)?;
    for script in &scripts {
        sandbox.program(&format!("sys/{script}"), "#!/usr/bin/dash\n");
    }
    sandbox.program(&format!("sys/{helper}"), sandbox.read("sys/usr/bin/dash"));
    let plan = plan(&sandbox, programs);
    for script in &scripts {
        assert!(plan.text().contains(&format!("/{script} ")), "{}", plan.show());
    }
    Some(plan.text().contains("/usr/bin/dash "))
}

/// postgres names the directory of the scripts that set a server up: it does not run them. ifup
/// runs all scripts of a directory, and lftp (`/usr/share/lftp/import-`) those with a name that it
/// completes.
#[test]
fn scripts_in_a_directory_that_is_only_mentioned_are_not_started() {
    let cases: &[(&[&str], bool, bool)] = &[
        (&["/usr/lib/zz-app"], true, true),
        (&["/usr/lib/zz-app", "zz-helper"], true, false),
        (&["/usr/lib/zz-app", "/usr/lib/zz-app/zz-helper"], true, false),
        (&["/usr/share/zz-app"], true, false),
        (&["/usr/share/zz-app/set-"], true, true),
        (&["/usr/share/zz-app/up.d"], true, true),
        (&["/usr/lib/zz-app"], false, false),
        (&["/usr/lib/zz-app/up.d"], false, false),
        (&["%s/zz-app/up.d"], true, true),
        (&["/usr/lib/zz-app", "%s/set-up"], false, true),
        // Another package has a file in this directory, too.
        (&["/usr/share/zz-shared"], true, false),
        (&["/usr/share/zz-shared", "%s/set-up"], true, true),
    ];
    for (constants, starts, expected) in cases {
        let dir = constants[0].trim_end_matches("/set-").replace("%s", "/usr/lib");
        let app = says(constants, *starts) + RUN;
        let script = format!("{dir}/set-up");
        let found = brings_interpreter(&[&script], &[("app", &app)], "app", "app");
        assert_eq!(found, found.map(|_| *expected), "{constants:?}");
    }
}

/// rpmbuild has librpmbuild run the scripts of its package. What a library of another source says,
/// and what a static program imports, tells nothing.
#[test]
fn scripts_that_a_library_may_start() {
    let library = says(&["/usr/lib/zz-app"], true);
    let app = format!("// -l:libzz.so.1\nint run(void);\n{RUN}");
    let uses = "// -l:libzz.so.1\nint run(void); int main(void) { return run(); }";
    let names = format!("{uses}\nconst char *volatile dir = \"/usr/lib/zz-app\";\n");
    let fixed = format!("// -static\n{}{RUN}", says(&["/usr/lib/zz-app"], true));
    let other = says(&["/usr/lib/other"], true);
    for (library, app, library_of, expected) in [
        (&library, &app, "app", true),
        (&other, &names, "app", true),
        (&other, &names, "libzz", false),
        (&other, &fixed, "app", true),
    ] {
        let sources: &[(&str, &str)] = &[("libzz", library), ("app", app)];
        let found = brings_interpreter(&["usr/lib/zz-app/set-up"], sources, library_of, "app");
        assert_eq!(found, found.map(|_| expected), "{library} {app}");
    }
}

/// What one program only mentions, another may start.
#[test]
fn each_program_that_mentions_a_directory_counts() {
    let (reads, runs) = (says(&["/usr/lib/zz-app"], false), says(&["/usr/lib/zz-app"], true));
    let sources = [("a-reads", &*(reads + RUN)), ("b-runs", &*(runs + RUN))];
    for (programs, expected) in [("a-reads", false), ("b-runs", true), ("a-reads b-runs", true)] {
        let found = brings_interpreter(&["usr/lib/zz-app/set-up"], &sources, "app", programs);
        assert_eq!(found, found.map(|_| expected), "{programs}");
    }
}

/// Debian's package of the preprocessor has the compiler proper, which it runs, and asks for
/// nothing else in that directory.
#[test]
fn a_preprocessor_does_not_bring_the_linker() {
    let dir = "usr/lib/gcc/x86_64-linux-gnu/12";
    let (cc1, collect2) = (&*format!("{dir}/cc1"), &*format!("{dir}/collect2"));
    let [cpp, gcc] = ["x86_64-linux-gnu-cpp-12", "x86_64-linux-gnu-gcc-12"];
    let packages: &[(&str, &str, &[&str])] = &[
        ("cpp-12", "", &["usr/bin/x86_64-linux-gnu-cpp-12", cc1]),
        ("gcc-12", "Depends: cpp-12", &["usr/bin/x86_64-linux-gnu-gcc-12", collect2]),
    ];
    let Some(sandbox) = sandbox(&[(cpp, MAIN), (gcc, MAIN)], packages) else { return };
    for path in [cc1, collect2] {
        sandbox.program(&format!("sys/{path}"), sandbox.read(&format!("sys/usr/bin/{cpp}")));
    }
    for (program, is_there) in [(cpp, false), (gcc, true)] {
        let text = plan(&sandbox, program).text();
        assert!(text.contains("/12/cc1 "), "{text}");
        assert_eq!(text.contains("/12/collect2 "), is_there, "{text}");
    }
}

/// Each program that is left out is beside the file that names it.
#[test]
fn a_hint_says_which_file_may_start_each_program() {
    let starts = |path: &str, name: &str| {
        format!("#include <unistd.h>\nint {name}(void) {{ return execl(\"{path}\", \"\", 0); }}")
    };
    let (main, library) = (starts("/usr/bin/one", "main"), starts("/usr/bin/two", "two"));
    let main = format!("// -l:libtwo.so.1\n{main}");
    let sources = [("libtwo", &*library), ("app", &*main), ("one", MAIN), ("two", MAIN)];
    let packages: &[(&str, &str, &[&str])] =
        &[("app", "", &["usr/bin/app"]), ("others", "", &["usr/bin/one", "usr/bin/two"])];
    let Some(sandbox) = sandbox(&sources, packages) else { return };
    let plan = plan(&sandbox, "app");
    let expected = "/usr/bin/app: it may start other programs (/usr/bin/one; libtwo.so.1: \
        /usr/bin/two)";
    assert!(plan.stderr().contains(expected), "{}", plan.show());
}
