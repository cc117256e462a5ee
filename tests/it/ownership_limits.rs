//! What packages say is not meant: what the machine adds to their directories, libraries that none
//! of them asks for, modules of other scripts.

use crate::{
    engines::have,
    fixtures::sysroot,
    sandbox::{Outcome, Sandbox},
};

/// A sandbox whose `sys/` has these packages: the name, further fields, and paths below the root.
/// Of these, `usr/bin/NAME` is a program made from `NAME.c` of `sources`, `libNAME.so.1` likewise a
/// library, and `libheavy.so.1` a library of 4 MB. All other paths have to be made.
pub(crate) fn sandbox(
    sources: &[(&str, &str)],
    packages: &[(&str, &str, &[&str])],
) -> Option<Sandbox> {
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

pub(crate) const MAIN: &str = "int main(void) { return 0; }";
pub(crate) const HEAVY: &str = "// -l:libheavy.so.1\nint main(void) { return 0; }";

/// What the plan of `name` shows.
pub(crate) fn plan(sandbox: &Sandbox, name: &str) -> Outcome {
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

/// ffmpeg comes to OpenCL's loader through a library, and works without a driver, whose compiler
/// has 200 MB.
#[test]
fn configuration_in_a_directory_that_a_distant_library_reads() {
    let loader = "#include <stdio.h>\nint load(void) { return puts(\"/etc/vendors.d\"); }";
    let packages: &[(&str, &str, &[&str])] = &[
        ("app", "Depends: loader", &["usr/bin/app"]),
        ("loader", "", &["usr/lib/libloader.so.1", "usr/lib/libmiddle.so.1"]),
        ("vendor", "", &["etc/vendors.d/a.icd", "usr/lib/libdriver.so.1"]),
    ];
    for (linked, is_there) in [("loader", true), ("middle", false)] {
        let app = format!("// -l:lib{linked}.so.1\n{MAIN}");
        let middle = "// -l:libloader.so.1\nint middle;";
        let library = ("libdriver", "int driver;");
        let sources = [("libloader", loader), ("libmiddle", middle), library, ("app", &*app)];
        let Some(sandbox) = sandbox(&sources, packages) else { return };
        sandbox.file("sys/etc/vendors.d/a.icd", "libdriver.so.1\n");
        let text = plan(&sandbox, "app").text();
        assert!(text.contains("/usr/lib/libloader.so.1 "), "{text}");
        for path in ["/etc/vendors.d/a.icd ", "/usr/lib/libdriver.so.1 "] {
            assert_eq!(text.contains(path), is_there, "{path} in {text}");
        }
    }
}
