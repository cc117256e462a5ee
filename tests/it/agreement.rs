//! `pack` decides the same on a base image as from scratch: each option, with an empty base and
//! with one that already has a part of the files.

use crate::{engines::have, fixtures, sandbox::Sandbox};

#[test]
fn inputs_that_disagree_are_an_error_on_a_base_too() {
    let sandbox = Sandbox::new();
    sandbox.file("a/f", "1").file("b/f", "2").file("below/y/f", "3");
    sandbox.imgb("pack below/ --no-deps -q -o base.tar").run().ok();
    for base in ["", "--base base.tar"] {
        sandbox
            .imgb(&format!("pack a:/y b:/y {base} -q -o out.tar"))
            .run()
            .error(1, &["`a:/y` and `b:/y` disagree about `/y/f`"]);
    }
    // A file of the base is replaced.
    sandbox.imgb("pack a:/y --base base.tar -q --no-check -o rootfs:out.tar").run().ok();
    let text = sandbox.tool("tar", "-xOf out.tar y/f").run().ok().text();
    assert_eq!(text, "1");
}

#[test]
fn without_dependencies_a_base_gets_the_inputs_alone() {
    let sandbox = Sandbox::new();
    if !fixtures::program_without_its_library(&sandbox) || !have(&["gcc"]) {
        return;
    }
    sandbox.file("empty/x", "");
    sandbox.imgb("pack empty/ --no-deps -q -o base.tar").run().ok();
    for base in ["", "--base base.tar"] {
        let run = sandbox.imgb(&format!("pack ./app --no-deps {base} -q -o rootfs:out.tar"));
        run.run().ok();
        let text = sandbox.tool("tar", "-tf out.tar").run().ok().text();
        let names: Vec<_> = text.lines().filter(|name| *name != "x").collect();
        assert_eq!(names, ["app"], "{base}");
    }
}
