//! What surrounds a run and must not matter, or must be said: directories that are gone, the name
//! of imgb's own executable.

use crate::{
    fixtures::{X86_64, static_elf},
    sandbox::{Run, Sandbox},
};

#[test]
fn a_missing_directory_for_temporary_files_is_named() {
    let sandbox = Sandbox::new();
    sandbox.program("app", static_elf(X86_64)).file("file", "");
    sandbox.imgb("pack ./app -o image.tar").run().ok();
    for (dir, why) in [("gone", "no such file"), ("file", "not a directory")] {
        let path = sandbox.path(dir);
        let run = sandbox.imgb("check image.tar").env("TMPDIR", &path).run();
        run.error(5, &[path.to_str().unwrap(), why]);
    }
    sandbox.dir("tmp").imgb("check image.tar").env("TMPDIR", "tmp").run().ok();
    assert_eq!(sandbox.names("tmp"), [""; 0]);
}

#[test]
fn a_working_directory_that_is_gone_does_not_matter_for_absolute_paths() {
    let sandbox = Sandbox::new();
    sandbox.program("app", static_elf(X86_64));
    let (app, image) = (sandbox.path("app"), sandbox.path("image.tar"));
    let pack = || sandbox.imgb("pack -t app").arg(&app).arg("-o").arg(&image);
    let wanted = pack().run().ok().digest();
    let script = r#"mkdir gone && cd gone && rmdir ../gone && exec "$@""#;
    assert_eq!(pack().under(&["sh", "-ec", script, "sh"]).run().ok().digest(), wanted);
}

/// The kernel cuts the name of a process after 15 bytes, here within a character.
#[test]
fn imgb_runs_an_image_under_any_name_of_its_own() {
    let sandbox = Sandbox::new();
    if cfg!(not(target_arch = "x86_64")) {
        return;
    }
    sandbox.program("app", static_elf(X86_64));
    sandbox.imgb("pack ./app -o image.tar").run().ok();
    for name in ["imgb-ausführbar-für-alle", "imgb-0123456789ü", "имгб-исполняемый"]
    {
        sandbox.program(name, fs_err::read(env!("CARGO_BIN_EXE_imgb")).unwrap());
        Run::new(sandbox.path(name)).cwd(sandbox.root()).args("run image.tar").run().ok();
    }
}
