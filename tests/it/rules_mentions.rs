//! Libraries that a program opens by a name which is not in the object that calls dlopen: in
//! another object, without its version, in an archive, in configuration, in the text of a script.

use crate::{engines::have, rules_root::Root, sandbox::Sandbox};

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
        let _ = fs_err::remove_file(sandbox.path(&format!("lib/{name}")));
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
