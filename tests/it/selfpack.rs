//! The static build works in an empty root, and packs itself.

use std::path::{Path, PathBuf};

use crate::{
    engines::{self, have, have_root},
    image_spec::Layout,
    sandbox::{Run, Sandbox},
};

/// Builds a static `imgb`, as the README describes. The target is given although it is the host:
/// only then does cargo keep the flag away from procedural macros, which cannot be static.
fn static_imgb() -> PathBuf {
    let version = cargo("--verbose --version").run().ok().text();
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("crt-static");
    let build = cargo("build --locked --offline --bin imgb --target")
        .arg(host)
        .arg("--target-dir")
        .arg(&target);
    build.env("RUSTFLAGS", "-C target-feature=+crt-static").run().ok();
    target.join(host).join("debug/imgb")
}

/// The cargo that runs these tests, with the environment that it needs.
fn cargo(args: &str) -> Run {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let run = Run::new(cargo).args(args).cwd(env!("CARGO_MANIFEST_DIR"));
    let names = ["PATH", "HOME", "CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"];
    let set = names.iter().filter_map(|name| Some((*name, std::env::var_os(name)?)));
    set.fold(run, |run, (name, value)| run.env(name, value))
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
    let digest = inside("pack --soft none /imgb -o /self.tar").run().ok().digest();
    assert_eq!(sandbox.names("root"), ["imgb", "self.tar"]);

    let layout = Layout::unpack(&sandbox, "root/self.tar", "layout");
    assert_eq!(layout.manifest_digest, digest);
    sandbox
        .tool("tar", "--list --gzip --file")
        .arg(&layout.layers()[0])
        .run()
        .ok()
        .prints_only("imgb\n");
    // Packed outside of the empty root, it is the same image.
    sandbox
        .imgb("pack --soft none root/imgb -o self.tar")
        .run()
        .ok()
        .prints_only(&format!("{digest}\n"));

    let Some(docker) = engines::docker() else { return };
    docker.load(&sandbox.path("root/self.tar"));
    docker.image("self").args("--version").run().ok().prints("imgb ");
    docker
        .image("self")
        .args("pack --soft none /imgb -o /self.tar")
        .run()
        .ok()
        .prints_only(&format!("{digest}\n"));
}
