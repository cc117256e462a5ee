//! The static build of a release: what it consists of, and that it packs itself in an empty root.

use std::{
    path::{Path, PathBuf},
    sync::OnceLock,
};

use crate::{
    engines::{self, have, have_root},
    image_spec::Layout,
    sandbox::{Run, Sandbox},
};

/// Builds a release as the workflow does, with the development profile. Returns its directory, and
/// the static `imgb`.
fn release() -> &'static (PathBuf, PathBuf) {
    static RELEASE: OnceLock<(PathBuf, PathBuf)> = OnceLock::new();
    RELEASE.get_or_init(build_release)
}

fn build_release() -> (PathBuf, PathBuf) {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("crt-static");
    let dist = target.join("dist");
    let _ = fs_err::remove_dir_all(&dist);
    let build = with_cargo(Run::new(manifest("packaging/build"))).arg(&dist);
    let build = build.env("PROFILE", "dev").env("CARGO_TARGET_DIR", &target);
    build.env("CARGO_NET_OFFLINE", "true").run().ok();
    let triple = TRIPLES.iter().find(|triple| target.join(triple).is_dir()).unwrap();
    (dist, target.join(triple).join("debug/imgb"))
}

/// What packaging/build builds for, on this architecture.
const TRIPLES: [&str; 4] = [
    "x86_64-unknown-linux-musl",
    "x86_64-unknown-linux-gnu",
    "aarch64-unknown-linux-musl",
    "aarch64-unknown-linux-gnu",
];

fn manifest(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// With the environment that cargo needs, and with the cargo that runs these tests first.
fn with_cargo(run: Run) -> Run {
    let cargo = PathBuf::from(std::env::var_os("CARGO").unwrap_or_default());
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{path}", cargo.parent().unwrap_or(Path::new("/usr/bin")).display());
    let names = ["HOME", "CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"];
    let set = names.iter().filter_map(|name| Some((*name, std::env::var_os(name)?)));
    set.fold(run.env("PATH", path), |run, (name, value)| run.env(name, value))
}

/// The field `name` of `[package.metadata.binstall]`, filled in.
fn binstall(name: &str, target: &str) -> String {
    let manifest: toml::Table =
        toml::from_str(&fs_err::read_to_string(manifest("Cargo.toml")).unwrap()).unwrap();
    let field = manifest["package"]["metadata"]["binstall"][name].as_str().unwrap().to_owned();
    let filled = field.replace("{ version }", env!("CARGO_PKG_VERSION"));
    filled.replace("{ target }", target).replace("{ bin }", "imgb")
}

#[test]
fn a_release_is_static_and_where_cargo_binstall_looks_for_it() {
    if !have(&["readelf", "git", "sha256sum"]) {
        return;
    }
    let sandbox = Sandbox::new();
    let (dist, binary) = release();
    let triple = binary.ancestors().nth(2).unwrap().file_name().unwrap().to_str().unwrap();
    let name = format!("imgb-{}-{triple}", env!("CARGO_PKG_VERSION"));
    let files = ["image.tar", "sha256", "tar.gz"].map(|ending| format!("{name}.{ending}"));
    let mut names: Vec<_> = fs_err::read_dir(dist)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, files);
    let sums = Run::new("sha256sum").args("--check").arg(&files[1]).cwd(dist).run().ok();
    assert_eq!(sums.text().lines().count(), 2, "{}", sums.show());

    let url = binstall("pkg-url", triple);
    assert!(url.ends_with(&format!("/v{}/{name}.tar.gz", env!("CARGO_PKG_VERSION"))), "{url}");
    sandbox.tool("tar", "-xzf").arg(dist.join(&files[2])).run().ok();
    assert!(sandbox.path(binstall("bin-dir", triple)).is_file());
    assert_eq!(
        sandbox.names(&name),
        [
            "CHANGELOG.md",
            "LICENSE-APACHE",
            "LICENSE-MIT",
            "README.md",
            "completions",
            "imgb",
            "man"
        ]
    );
    let unpacked = sandbox.tool(&format!("./{name}/imgb"), "--version").run().ok();
    unpacked.prints_only(&format!("imgb {}\n", env!("CARGO_PKG_VERSION")));
    let Some(docker) = engines::docker() else { return };
    docker.load(&dist.join(&files[0]));
    docker.image(&format!("imgb:{}", env!("CARGO_PKG_VERSION"))).args("rules").run().ok();
}

#[test]
fn the_static_build_packs_itself_in_an_empty_root() {
    let sandbox = Sandbox::new();
    if !(have(&["chroot"]) && have_root()) {
        return;
    }
    sandbox.program("root/imgb", fs_err::read(&release().1).unwrap());
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
