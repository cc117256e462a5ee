//! Libraries that a program opens by a name which is not in the object that calls dlopen: in
//! another object, without its version, in an archive, in configuration, in the text of a script.

use crate::{engines::have, fixtures, rules_root::Root, sandbox::Sandbox};

/// Libraries in `lib/`, and `main.c` as `app`, which is linked with those that `link` names. A
/// library's SONAME is `libNAME.so.1`, and its source `NAME.c`.
fn app(link: &str, sources: &[(&str, &str)]) -> Option<Sandbox> {
    if !have(&["gcc"]) {
        return None;
    }
    let sandbox = Sandbox::new();
    sandbox.dir("lib");
    for (name, source) in sources {
        sandbox.file(&format!("{name}.c"), source);
        let name = name.trim_end_matches(".c");
        if name == "main" {
            sandbox.tool("gcc", &format!("-o app main.c -Llib {link}")).run().ok();
            continue;
        }
        let soname = format!("lib{name}.so.1");
        let library = format!("-shared -fPIC -Wl,-soname,{soname} -o lib/{soname} {name}.c");
        sandbox.tool("gcc", &library).run().ok();
        sandbox.symlink(&format!("lib/lib{name}.so"), &soname);
    }
    Some(sandbox)
}

const PLUG: (&str, &str) = ("plug", "int plug(void) { return 7; }\n");

/// Packs `app` with the libraries of `lib/`, and runs it: without rules it fails.
#[track_caller]
fn starts(sandbox: Option<Sandbox>) {
    let Some(sandbox) = sandbox else { return };
    let args = format!("./app --library-path {}", sandbox.path("lib").display());
    // The development link would do where the program only tries that name.
    for name in ["libplug.so", "libwrap.so"] {
        let _ = fs_err::remove_file(sandbox.path(format!("lib/{name}")));
    }
    let bare = sandbox.imgb(&format!("plan --all {args} --without dlopen")).run().ok();
    assert!(!bare.text().contains("libplug.so.1 "), "{}", bare.show());
    let Some(root) = Root::pack_in(sandbox, &[], &args) else { return };
    root.run("/app").run().ok();
}

#[test]
fn a_name_that_another_library_passes_to_dlopen() {
    let load = "#include <dlfcn.h>\nvoid *my_load(const char *n) { return dlopen(n, 2); }\n";
    let main =
        "void *my_load(const char *);\nint main(void) { return !my_load(\"libplug.so.1\"); }\n";
    starts(app("-lwrap", &[PLUG, ("wrap", load), ("main", main)]));
}

#[test]
fn a_name_that_gets_its_version_when_the_program_runs() {
    let main = "#include <dlfcn.h>\n#include <stdio.h>\n\
        int main(int argc, char **argv) { char name[99];\n\
        snprintf(name, 99, \"%s.%d\", \"libplug.so\", argc); return !dlopen(name, 2); }\n";
    starts(app("", &[PLUG, ("main", main)]));
    let main = "#include <dlfcn.h>\n#include <stdio.h>\n\
        int main(int argc, char **argv) { char name[99];\n\
        snprintf(name, 99, \"libplug.so.%d\", argc); return !dlopen(name, 2); }\n";
    starts(app("", &[PLUG, ("main", main)]));
}

/// The program opens what `/etc/foo/v.icd` names, as OpenCL's loader does.
#[test]
fn a_name_in_configuration_that_a_rule_adds() {
    let main = "#include <dlfcn.h>\n#include <stdio.h>\nint main(void) { char name[99] = \"\";\n\
        FILE *f = fopen(\"/etc/foo/v.icd\", \"r\"); if (!f) return 2;\n\
        fscanf(f, \"%98s\", name); return !dlopen(name, 2); }\n";
    let Some(sandbox) = app("", &[PLUG, ("main", main)]) else { return };
    fixtures::sysroot(&sandbox, "true --soft none");
    sandbox.dir("sys/etc/foo").dir("sys/usr/lib").dir("sys/usr/bin");
    sandbox.file("sys/etc/foo/v.icd", "libplug.so.1\n");
    sandbox.program("sys/usr/bin/foo", sandbox.read("app"));
    sandbox.program("sys/usr/lib/libplug.so.1", sandbox.read("lib/libplug.so.1"));
    sandbox.imgb("pack foo --sysroot sys -q -o image.tar").run().ok();
    for how in ["", "--resolve"] {
        let why = format!("why image.tar /usr/lib/libplug.so.1 {how}");
        let why = sandbox.imgb(&why).run().ok();
        let why = why.prints("rule dlopen for /etc/foo/v.icd");
        assert!(!why.text().contains("needed by"), "{}", why.show());
    }
    let Some(root) = Root::pack_in(sandbox, &[], "foo --sysroot sys") else { return };
    root.run("/usr/bin/foo").run().ok();
}

/// Texts name a library, and the program names directories: that for temporary files is not one of
/// libraries.
#[test]
fn a_name_in_configuration_is_not_looked_for_in_temporary_directories() {
    let main = "#include <stdio.h>\n#include <dlfcn.h>\nint main(void) {\n\
        puts(\"/tmp\"); puts(\"/opt/drivers\"); puts(\"/run\");\n\
        return fopen(\"/etc/foo/v.ini\", \"r\") == 0 && dlopen(\"x\", 2); }\n";
    let Some(sandbox) = app("", &[PLUG, ("main", main)]) else { return };
    fixtures::sysroot(&sandbox, "true --soft none");
    sandbox.dir("sys/usr/bin").file("sys/etc/foo/v.ini", "Driver = libone.so\nSetup = libtwo.so\n");
    sandbox.program("sys/usr/bin/foo", sandbox.read("app"));
    for path in ["opt/drivers/libone.so", "tmp/libtwo.so", "run/libtwo.so"] {
        let (dir, _) = path.rsplit_once('/').unwrap();
        sandbox.dir(&format!("sys/{dir}"));
        sandbox.program(&format!("sys/{path}"), sandbox.read("lib/libplug.so.1"));
    }
    let plan = sandbox.imgb("plan --all --sysroot sys foo").run().ok().text();
    assert!(plan.contains("/opt/drivers/libone.so"), "{plan}");
    assert!(!plan.contains("libtwo.so"), "{plan}");
}

#[test]
fn a_name_in_the_text_of_a_script_or_a_module() {
    let plug = ("plug", "int plug(void) { return 7; }\n");
    let Some(sandbox) = app("", &[plug, ("more", "int more(void) { return 8; }\n")]) else {
        return;
    };
    let script = "#!/usr/bin/python3\nimport ctypes, sys\nsys.path.append('/srv')\nimport own\n\
        print(own.load().plug() + ctypes.CDLL('libmore.so.1').more())\n";
    sandbox.program("app.py", script).dir("own");
    let module = "import ctypes\ndef load():\n  return ctypes.CDLL(\"libplug.so.1\")\n";
    sandbox.file("own/__init__.py", module);
    let args = format!("./app.py ./own:/srv/own --library-path {}", sandbox.path("lib").display());
    let Some(root) = Root::pack_in(sandbox, &["python3"], &args) else { return };
    root.run("/app.py").run().ok().prints("15");
}

/// A sysroot with Python and a script that begins with `text`, both as `sandbox` has them.
fn python_root(text: &str) -> Option<Sandbox> {
    if !have(&["python3"]) {
        return None;
    }
    let sandbox = Sandbox::new();
    sandbox.program("app.py", format!("#!/usr/bin/python3\n{text}"));
    fixtures::sysroot(&sandbox, "/usr/bin/python3 --soft none --no-check");
    sandbox.dir("sys/usr/lib/python3/dist-packages/one").dir("sys/usr/lib/girepository-1.0");
    Some(sandbox)
}

/// The package of the importing module depends on that of the imported one, or does not.
#[test]
fn a_conditional_import_that_the_package_depends_on() {
    let Some(sandbox) = python_root("import one\n") else { return };
    let packages = "sys/usr/lib/python3/dist-packages";
    sandbox.dir("sys/var/lib/dpkg/info");
    let import = "try:\n    import two\n    import three\nexcept ImportError:\n    pass\n";
    sandbox.file(&format!("{packages}/one/__init__.py"), import);
    let mut status = String::new();
    for (name, more) in [("one", "Depends: two (>= 1), python3:any\n"), ("two", ""), ("three", "")]
    {
        status += &format!(
            "Package: {name}\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n{more}\n"
        );
        let file = if name == "one" { "one/__init__.py".into() } else { format!("{name}.py") };
        let list = format!("/.\n/usr/lib/python3/dist-packages/{file}\n");
        sandbox.file(&format!("sys/var/lib/dpkg/info/{name}.list"), &list);
        if name != "one" {
            sandbox.file(&format!("{packages}/{name}.py"), "x = 1\n");
        }
    }
    sandbox.file("sys/var/lib/dpkg/status", &status);
    let plan = sandbox.imgb("plan --all ./app.py --sysroot sys").run().ok();
    assert!(plan.text().contains("dist-packages/two.py "), "{}", plan.show());
    assert!(!plan.text().contains("dist-packages/three.py "), "{}", plan.show());
}

#[test]
fn typelibs_and_what_they_depend_on() {
    let text = "import one\ngi.require_version('Drawing', '1.0')\n";
    let Some(sandbox) = python_root(text) else { return };
    let Some(libraries) = app("", &[PLUG]) else { return };
    sandbox.program("sys/usr/lib/libplug.so.1", libraries.read("lib/libplug.so.1"));
    for (name, depends) in [("Drawing-1.0", "Base-2.0"), ("Base-2.0", "Drawing-1.0"), ("X-1", "")] {
        let mut typelib = b"GOBJ\nMETADATA\r\n\x1a".to_vec();
        typelib.resize(36, 0);
        typelib.extend(40_u32.to_le_bytes());
        typelib.extend(depends.as_bytes());
        typelib.extend(b"\0libplug.so.1\0");
        sandbox.program(&format!("sys/usr/lib/girepository-1.0/{name}.typelib"), typelib);
    }
    let plan = sandbox.imgb("plan --all ./app.py --sysroot sys").run().ok();
    for name in ["Drawing-1.0.typelib ", "Base-2.0.typelib ", "/libplug.so.1 "] {
        assert!(plan.text().contains(name), "{name}: {}", plan.show());
    }
    assert!(!plan.text().contains("X-1.typelib "), "{}", plan.show());
}

/// `lib/ext.so`, which needs libplug.so.1, in an archive after a script, as zipapps and shiv make
/// them, or after a program, as PyInstaller makes it.
fn archive(kind: &str) -> Option<Sandbox> {
    if !have(&["python3"]) {
        return None;
    }
    let sandbox = app("", &[PLUG])?;
    sandbox.file("ext.c", "int plug(void);\nint ext(void) { return plug(); }\n");
    sandbox.tool("gcc", "-shared -fPIC -o ext.so ext.c -Llib -lplug").run().ok();
    let make = r#"
import io, os, struct, sys, zipfile, zlib
main = """import ctypes, os, tempfile, zipfile
dir = tempfile.mkdtemp()
print(ctypes.CDLL(zipfile.ZipFile(os.path.dirname(__file__)).extract('lib/ext.so', dir)).ext())
"""
ext = open('ext.so', 'rb').read()
if sys.argv[1] == 'zip':
    out = io.BytesIO()
    with zipfile.ZipFile(out, 'w', zipfile.ZIP_DEFLATED) as z:
        z.writestr('__main__.py', main)
        z.writestr('lib/ext.so', ext)
    data = b'#!/usr/bin/env python3\n' + out.getvalue()
else:
    packed, name = zlib.compress(ext), b'lib/ext.so\0'
    toc = struct.pack('>IIIIBc', 18 + len(name), 0, len(packed), len(ext), 1, b'b') + name
    end = b'MEI\x0c\x0b\x0a\x0b\x0e' + struct.pack('>4I64s',
        len(packed) + len(toc) + 88, len(packed), len(toc), 311, b'')
    data = open('/bin/true', 'rb').read() + packed + toc + end
open('app', 'wb').write(data)
os.chmod('app', 0o755)
"#;
    sandbox.file("make.py", make);
    sandbox.tool("python3", "make.py").arg(kind).run().ok();
    Some(sandbox)
}

#[test]
fn what_objects_in_an_archive_need() {
    for kind in ["zip", "pyinstaller"] {
        let Some(sandbox) = archive(kind) else { return };
        let args = format!("./app --library-path {}", sandbox.path("lib").display());
        let without = sandbox.imgb(&format!("plan --all {args} --without embedded-libraries"));
        assert!(!without.run().ok().text().contains("libplug.so.1 "), "{kind}");
        let plan = sandbox.imgb(&format!("plan --all {args}")).run().ok();
        assert!(plan.text().contains("libplug.so.1 "), "{kind}: {}", plan.show());
        assert!(plan.text().contains("lib/ext.so in it needs libplug.so.1"), "{}", plan.show());
        let lacking = sandbox.imgb("plan --all ./app").run().ok();
        let said = "libraries that objects inside archives need are missing: libplug.so.1";
        assert!(lacking.stderr().contains(said), "{}", lacking.show());
        if kind == "zip" {
            let Some(root) = Root::pack_in(sandbox, &[], &args) else { return };
            root.run("/app").run().ok().prints("7");
        }
    }
}

#[test]
fn a_command_line_among_the_constants_of_a_program() {
    let main = "#include <stdio.h>\n#include <stdlib.h>\nint main(void) { char line[99];\n\
        puts(\"tac in prose\"); snprintf(line, 99, \"sort -c %s\", \"/dev/null\");\n\
        return system(line); }\n";
    let Some(sandbox) = app("", &[("main", main)]) else { return };
    let Some(root) = Root::pack_in(sandbox, &[], "./app") else { return };
    root.run("/app").run().ok();
    assert!(root.has("/bin/sh") && !root.has("/usr/bin/tac"));
}
