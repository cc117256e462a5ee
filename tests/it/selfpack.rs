//! The static build: it works in an empty root, and packs itself.

use std::path::{Path, PathBuf};

use crate::{
    engines::{self, have, have_root},
    image_spec::Layout,
    sandbox::{Run, Sandbox},
};

/// Builds `imgb` without any library of the system, as the README tells users to.
fn static_imgb() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("crt-static");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Run::new(cargo).args("build --locked --bin imgb --target-dir").arg(&target);
    for name in ["PATH", "HOME", "CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"] {
        if let Some(value) = std::env::var_os(name) {
            build = build.env(name, value);
        }
    }
    build.env("RUSTFLAGS", "-C target-feature=+crt-static").cwd(env!("CARGO_MANIFEST_DIR")).run().ok();
    target.join("debug/imgb")
}

#[test]
fn the_static_build_packs_itself_in_an_empty_root() {
    let sandbox = Sandbox::new();
    if !(have(&["chroot"]) && have_root()) {
        return;
    }
    sandbox.program("root/imgb", fs_err::read(static_imgb()).unwrap());
    let inside = |args: &str| sandbox.tool("/imgb", args).under(&["chroot", "root"]);
    inside("--version").run().ok().prints("imgb ");
    let digest = inside("pack /imgb -o /self.tar").run().ok().digest();
    assert_eq!(sandbox.names("root"), ["imgb", "self.tar"]);

    let layout = Layout::unpack(&sandbox, "root/self.tar", "layout");
    assert_eq!(layout.manifest_digest, digest);
    sandbox.tool("tar", "--list --gzip --file").arg(&layout.layers()[0]).run().ok().prints_only("imgb\n");
    // Outside, with a system around it, it is the same image.
    sandbox.imgb("pack root/imgb -o self.tar").run().ok().prints_only(&format!("{digest}\n"));

    let Some(docker) = engines::docker() else { return };
    docker.load(&sandbox.path("root/self.tar"));
    docker.image("self").args("--version").run().ok().prints("imgb ");
    docker.image("self").args("pack /imgb -o /self.tar").run().ok().prints_only(&format!("{digest}\n"));
}
