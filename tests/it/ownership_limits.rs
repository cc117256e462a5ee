//! What packages say is not meant: what the machine adds to their directories, commands and
//! libraries that none of them asks for, modules of other scripts.

use crate::{
    engines::have,
    fixtures::sysroot,
    sandbox::{Outcome, Sandbox},
};

/// A sandbox whose `sys/` has these packages: the name, further fields, and paths below the root.
/// Of these, `usr/bin/NAME` is a program made from `NAME.c` of `sources`, `libNAME.so.1` likewise a
/// library, and `libheavy.so.1` a library of 4 MB. All other paths have to be made.
fn sandbox(sources: &[(&str, &str)], packages: &[(&str, &str, &[&str])]) -> Option<Sandbox> {
    if !have(&["gcc"]) {
        return None;
    }
    let sandbox = Sandbox::new();
    sandbox.file("true.c", "int main(void) { return 0; }");
    sandbox.tool("gcc", "true.c -o true").run().ok();
    sysroot(&sandbox, "./true --soft none");
    sandbox.dir("sys/usr/lib").dir("sys/usr/bin");
    sandbox.file("heavy.c", "char heavy[4000000] = {1};");
    let library = "-shared -fPIC heavy.c -Wl,-soname,libheavy.so.1 -o sys/usr/lib/libheavy.so.1";
    sandbox.tool("gcc", library).run().ok();
    for (name, source) in sources {
        sandbox.file(&format!("{name}.c"), source);
        let kind = match name.strip_prefix("lib") {
            Some(_) => format!("-shared -fPIC -Wl,-soname,{name}.so.1 -o sys/usr/lib/{name}.so.1"),
            None => format!("-o sys/usr/bin/{name}"),
        };
        let flags = format!("{name}.c {kind} -Wl,--no-as-needed -Lsys/usr/lib");
        let needed = source.lines().next().and_then(|line| line.strip_prefix("// "));
        sandbox.tool("gcc", &flags).args(needed.unwrap_or_default()).run().ok();
    }
    let mut status = String::new();
    for (name, fields, paths) in packages {
        status += &format!("Package: {name}\nStatus: install ok installed\n");
        let other = if fields.contains("Architecture") { "" } else { "Architecture: amd64\n" };
        status += &format!("{other}{fields}\n\n");
        let mut list = String::new();
        for path in *paths {
            let parents = path.match_indices('/').map(|(at, _)| &path[..at]);
            list.extend(parents.chain([*path]).map(|path| format!("/{path}\n")));
        }
        sandbox.file(&format!("sys/var/lib/dpkg/info/{name}.list"), list);
    }
    sandbox.file("sys/var/lib/dpkg/status", status);
    Some(sandbox)
}

const MAIN: &str = "int main(void) { return 0; }";
const HEAVY: &str = "// -l:libheavy.so.1\nint main(void) { return 0; }";

/// What the plan of `name` shows.
fn plan(sandbox: &Sandbox, name: &str) -> Outcome {
    sandbox.imgb(&format!("plan --all --sysroot sys {name}")).run().ok()
}

/// A directory that a package owns may have what other programs left there: links that no package
/// brings, as those in `/etc/alternatives`, and state.
#[test]
fn what_the_machine_adds_to_a_directory_is_not_the_packages() {
    let source = "const char *volatile dirs[] = {\"/etc/alternatives\", \"/var/cache/zz\"};\n\
        int main(void) { return !dirs[0]; }";
    let paths: &[&str] =
        &["usr/bin/more", "etc/alternatives/README", "etc/alternatives/ours", "var/cache/zz/owned"];
    let Some(sandbox) = sandbox(&[("more", source)], &[("more", "", paths)]) else { return };
    let state = ["var/cache/zz/owned", "var/cache/zz/today"];
    for path in ["etc/alternatives/README", "usr/lib/big", "usr/lib/Q/two"].iter().chain(&state) {
        sandbox.file(&format!("sys/{path}"), "data");
    }
    sandbox.symlink("sys/etc/alternatives/theirs", "/usr/lib/big");
    sandbox.symlink("sys/etc/alternatives/ours", "/usr/lib/Q");
    sandbox.symlink("sys/etc/alternatives/inside", "README");
    let plan = plan(&sandbox, "more").text();
    for path in ["alternatives/README", "alternatives/inside", "Q/two", "var/cache/zz/owned"] {
        assert!(plan.contains(path), "{path} in {plan}");
    }
    for path in ["theirs", "usr/lib/big", "var/cache/zz/today"] {
        assert!(!plan.contains(path), "{path} in {plan}");
    }
}

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

/// `/etc/zz/v.ini` names all that is installed, as loaders.cache of gdk-pixbuf does.
#[test]
fn a_listing_of_what_is_installed_asks_for_nothing() {
    let main = "#include <dlfcn.h>\n#include <stdio.h>\nint main(void) {\n\
        return fopen(\"/etc/zz/v.ini\", \"r\") && dlopen(\"x\", 2); }";
    let packages: &[(&str, &str, &[&str])] = &[
        ("app", "", &["usr/bin/app", "etc/zz/README"]),
        ("plugins", "", &["usr/lib/zz/small.so", "usr/lib/zz/large.so", "usr/lib/libheavy.so.1"]),
    ];
    let sources =
        [("app", main), ("libsmall", "int x;"), ("liblarge", "// -l:libheavy.so.1\nint x;")];
    let Some(sandbox) = sandbox(&sources, packages) else { return };
    sandbox.file("sys/etc/zz/README", "").dir("sys/usr/lib/zz");
    sandbox.file("sys/etc/zz/v.ini", "/usr/lib/zz/small.so\n/usr/lib/zz/large.so\n");
    for name in ["small", "large"] {
        let library = sandbox.read(&format!("sys/usr/lib/lib{name}.so.1"));
        sandbox.program(&format!("sys/usr/lib/zz/{name}.so"), library);
    }
    let plan = plan(&sandbox, "app").text();
    assert!(plan.contains("/usr/lib/zz/small.so"), "{plan}");
    assert!(!plan.contains("/usr/lib/zz/large.so") && !plan.contains("libheavy"), "{plan}");
}

/// The program's package depends on another library, whose package depends on what the first one
/// only mentions: libselinux names libsepol, and libsemanage needs it.
#[test]
fn what_one_library_depends_on_another_does_not_open() {
    let wrapper = "#include <dlfcn.h>\nvoid *open_it(void) { return dlopen(\"libsub.so.1\", 2); }";
    for (fields, is_there) in
        [("Depends: libwrap1, libother1", false), ("Depends: libwrap1, libsub1", true)]
    {
        let packages: &[(&str, &str, &[&str])] = &[
            ("app", fields, &["usr/bin/app"]),
            ("libwrap1", "", &["usr/lib/libwrap.so.1"]),
            ("libother1", "Depends: libsub1", &["usr/share/doc/libother1/x"]),
            ("libsub1", "", &["usr/lib/libsub.so.1"]),
        ];
        let app = "// -l:libwrap.so.1\nint main(void) { return 0; }";
        let sources = [("libwrap", wrapper), ("libsub", "int x;"), ("app", app)];
        let Some(sandbox) = sandbox(&sources, packages) else { return };
        let plan = plan(&sandbox, "app");
        assert_eq!(plan.text().contains("/usr/lib/libsub.so.1"), is_there, "{}", plan.show());
    }
}

#[test]
fn a_script_gets_the_modules_that_its_package_asks_for() {
    let packages: &[(&str, &str, &[&str])] = &[
        ("perl-base", "Essential: yes", &["usr/bin/perl"]),
        ("app", "Depends: libone-perl", &["usr/bin/app", "usr/share/perl5/App.pm"]),
        ("libone-perl", "", &["usr/share/perl5/One.pm"]),
        ("libtwo-perl", "", &["usr/share/perl5/Two/A.pm"]),
    ];
    let Some(sandbox) = sandbox(&[("perl", MAIN)], packages) else { return };
    sandbox.program("sys/usr/bin/app", "#!/usr/bin/perl\nuse App;\n");
    for name in ["App", "One", "Two/A", "Three"] {
        sandbox.file(&format!("sys/usr/share/perl5/{name}.pm"), "1;\n");
    }
    let text = plan(&sandbox, "app").text();
    for name in ["App", "One", "Three"] {
        assert!(text.contains(&format!("/usr/share/perl5/{name}.pm")), "{name} in {text}");
    }
    assert!(!text.contains("perl5/Two"), "{text}");
    // A script of no package may need any of them.
    sandbox.program("sys/usr/bin/mine", "#!/usr/bin/perl\nuse App;\n");
    let text = plan(&sandbox, "mine").text();
    assert!(text.contains("perl5/Two/A.pm"), "{text}");
}

/// Perl's own library is taken whole only for programs whose sources are not known.
#[test]
fn an_installed_script_gets_the_modules_of_perl_that_it_loads() {
    let packages: &[(&str, &str, &[&str])] =
        &[("perl-base", "Essential: yes", &["usr/bin/perl"]), ("app", "", &["usr/bin/app"])];
    let Some(sandbox) = sandbox(&[("perl", MAIN)], packages) else { return };
    let app = "#!/usr/bin/perl\nuse Used;\nrequire \"data/tables.pl\";\n=pod\n\nuse Text;\n";
    sandbox.program("sys/usr/bin/app", app);
    let dir = "sys/usr/lib/x86_64-linux-gnu";
    let used = "package Used;\nour @ISA = ('Base');\nmy $name = \"Kind::$x\";\n1;\n";
    sandbox.file("sys/usr/share/perl/5.1/Used.pm", used);
    for name in ["Base.pm", "Kind/One.pm", "data/tables.pl", "Text.pm", "Unused.pm"] {
        sandbox.file(&format!("sys/usr/share/perl/5.1/{name}"), "1;\n");
    }
    sandbox.file(&format!("{dir}/perl/5.1/auto/Used/Used.so"), "");
    let all = |input: &str| plan(&sandbox, input).text();
    // Without a directory of what the interpreter itself needs, all of it is needed.
    assert!(all("app").contains("perl/5.1/Unused.pm"));
    sandbox.file(&format!("{dir}/perl-base/strict.pm"), "1;\n");
    let text = all("app");
    let found =
        ["strict.pm", "Used.pm", "auto/Used/Used.so", "Base.pm", "Kind/One.pm", "tables.pl"];
    for name in found {
        assert!(text.contains(&format!("/{name}")), "{name} in {text}");
    }
    assert!(!text.contains("/Unused.pm") && !text.contains("/Text.pm"), "{text}");
    for input in ["perl", "app perl"] {
        assert!(all(input).contains("perl/5.1/Unused.pm"), "{input}");
    }
    // The user's own script may load what its neighbours name.
    sandbox.program("mine", "#!/usr/bin/perl\nuse Used;\n");
    assert!(all("./mine").contains("perl/5.1/Unused.pm"));
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

#[test]
fn what_not_everybody_may_read_is_left_out_with_a_hint() {
    let packages: &[(&str, &str, &[&str])] =
        &[("app", "", &["usr/bin/app", "etc/app/key", "etc/app/open"])];
    let app = "#include <stdio.h>\nint main(void) { return puts(\"/etc/app\") < 0; }";
    let Some(sandbox) = sandbox(&[("app", app)], packages) else { return };
    sandbox.file("sys/etc/app/key", "k").file("sys/etc/app/open", "o");
    sandbox.mode("sys/etc/app/key", 0o600);
    let plan = plan(&sandbox, "app");
    let text = plan.text();
    assert!(text.contains("/etc/app/open") && !text.contains("/etc/app/key"), "{text}");
    assert!(plan.show().contains("`--include /etc/app/key` adds it"), "{}", plan.show());
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

/// The directory of a recommended package is too large; one of its files is named.
#[test]
fn a_file_that_is_named_in_a_directory_that_is_too_large() {
    let main = "#include <stdio.h>\n#include <wchar.h>\nint main(void) {\n\
        return printf(\"%s/%s\", \"/usr/share/zz\", \"named.dat\") < 0; }";
    let packages: &[(&str, &str, &[&str])] = &[
        ("app", "Recommends: zz-data", &["usr/bin/app"]),
        ("zz-data", "Architecture: all", &["usr/share/zz/named.dat", "usr/share/zz/large.dat"]),
    ];
    let Some(sandbox) = sandbox(&[("app", main)], packages) else { return };
    sandbox.file("sys/usr/share/zz/named.dat", "n");
    sandbox.file("sys/usr/share/zz/large.dat", vec![b'x'; 4_000_000]);
    let plan = plan(&sandbox, "app");
    let text = plan.text();
    assert!(text.contains("zz/named.dat") && !text.contains("zz/large.dat"), "{text}");
    assert!(plan.stderr().contains("left out for its size, 4 MB"), "{}", plan.show());
}

#[test]
fn names_in_wide_characters_are_mentions() {
    let main = "#include <stdio.h>\n#include <wchar.h>\n\
        int main(void) { return printf(\"%ls\", L\"Parser.frame\") < 0; }";
    let paths = &["usr/bin/app", "usr/share/zz/Parser.frame"];
    let Some(sandbox) = sandbox(&[("app", main)], &[("app", "", paths)]) else { return };
    sandbox.file("sys/usr/share/zz/Parser.frame", "");
    let text = plan(&sandbox, "app").text();
    assert!(text.contains("zz/Parser.frame"), "{text}");
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
    // lxc's programs share code that starts programs, and so all have the names of the others.
    let paths: &[&str] = &["usr/bin/box-a", "usr/bin/box-b", "usr/bin/box-c", "usr/bin/box-d"];
    let shared = "#include <unistd.h>\nconst char *volatile all[] = { \"box-sum\" };\n\
        int main(void) { return execlp(all[0], \"x\", (char *)0); }";
    let mut all = vec!["usr/bin/box-sort", "usr/bin/box-sum", "usr/bin/box-helper"];
    all.extend(paths);
    let mut programs = vec![("box-sort", &*starts), ("box-sum", MAIN), ("box-helper", shared)];
    programs.extend(["box-a", "box-b", "box-c", "box-d"].map(|name| (name, shared)));
    let Some(sandbox) = self::sandbox(&programs, &[("box", "", &all)]) else { return };
    let text = plan(&sandbox, "box-sort").text();
    assert!(text.contains("/usr/bin/box-helper "), "{text}");
    assert!(!text.contains("/usr/bin/box-sum "), "{text}");
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

/// postgres names the directory of the scripts that set a server up, rpm's library that of the
/// scripts that build packages, and lxc-stop that of lxc-user-nic: they do not run these scripts.
/// ifup runs all scripts of a directory.
#[test]
fn scripts_in_a_directory_that_is_only_mentioned_are_not_started() {
    let says = |dirs: &str, call: &str| {
        format!(
            "#include <stdio.h>\n#include <unistd.h>\nconst char *volatile dirs[] = {{{dirs}}};\n\
             int run(void) {{ return {call}; }}"
        )
    };
    let (runs, reads) = ("execl(dirs[0], dirs[1], (char *)0)", "puts(dirs[0])");
    let main = "int main(void) { return run(); }";
    let cases = [
        ("/usr/lib/zz-app", runs, main, true),
        ("/usr/lib/zz-app\", \"zz-helper", runs, main, false),
        ("/usr/share/zz-app", runs, main, false),
        ("/usr/share/zz-app/up.d", runs, main, true),
        ("/usr/lib/zz-app", reads, main, false),
        ("/usr/lib/zz-app/up.d", reads, main, false),
        ("/usr/lib/zz-app", runs, "", false),
        // Another package has a file in this directory, too.
        ("/usr/share/zz-shared", runs, main, false),
    ];
    for (names, call, main, is_there) in cases {
        let body = says(&format!("\"{names}\", \"x\""), call);
        let dir = names.split('"').next().unwrap();
        let app = match main {
            "" => "// -l:libzz.so.1\nint run(void); int main(void) { return run(); }".to_owned(),
            main => format!("{body}\n{main}"),
        };
        let script = format!("{}/set-up", dir.trim_start_matches('/'));
        let helper = "usr/lib/zz-app/zz-helper";
        let paths: &[&str] = &["usr/bin/app", "usr/lib/libzz.so.1", helper, &script];
        let other = ["usr/share/zz-shared/other"];
        let packages: &[(&str, &str, &[&str])] = &[
            ("app", "Depends: dash", paths),
            ("dash", "", &["usr/bin/dash"]),
            ("other", "", &other),
        ];
        let sources = [("libzz", &*body), ("dash", MAIN), ("app", &*app)];
        let Some(sandbox) = sandbox(&sources, packages) else { return };
        sandbox.program(&format!("sys/{script}"), "#!/usr/bin/dash\n");
        sandbox.program(&format!("sys/{helper}"), sandbox.read("sys/usr/bin/app"));
        let plan = plan(&sandbox, "app");
        assert!(plan.text().contains(&format!("/{script} ")), "{}", plan.show());
        assert_eq!(plan.text().contains("/usr/bin/dash "), is_there, "{names}: {}", plan.show());
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
