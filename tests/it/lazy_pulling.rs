//! Layers whose files can be fetched one by one: engines that know nothing of that run the image,
//! and what lazy readers need stays with it.

use crate::{engines, fixtures, image_spec::Layout, sandbox::Sandbox};

const TOC: &str = "containerd.io/snapshot/stargz/toc.digest";
const SIZE: &str = "io.containers.estargz.uncompressed-size";

#[test]
fn engines_run_an_image_of_estargz() {
    let sandbox = Sandbox::new();
    let (Some(docker), Some(podman)) = (engines::docker(), engines::podman()) else { return };
    if !fixtures::busybox(&sandbox) {
        return;
    }
    let pack = "pack ./bin/:/bin --entrypoint /bin/busybox -q -t lazy:1 --compress estargz";
    sandbox.imgb(pack).args("-o lazy.tar").run().ok();
    sandbox.imgb("check lazy.tar").run().ok();
    docker.load(&sandbox.path("lazy.tar"));
    docker.image("lazy:1").args("echo started").run().ok().prints_only("started\n");
    podman.load(&sandbox.path("lazy.tar"));
    podman.image("lazy:1").args("echo started").run().ok().prints_only("started\n");
}

#[test]
fn what_lazy_readers_need_comes_along_from_caches_and_in_copies() {
    let sandbox = Sandbox::new();
    sandbox.program("bin/app", fixtures::static_elf(fixtures::X86_64));
    sandbox.file("bin/data", fixtures::noise(3 << 20));
    // The clock of files has ticked: those that are too new are not found again.
    std::thread::sleep(std::time::Duration::from_millis(50));
    let is_cached = |output: &str| {
        let pack = "pack ./bin/:/bin --entrypoint /bin/app --cache cache --timing --json";
        let packed = sandbox.imgb(pack).args("--compress estargz -o").arg(output).run().ok();
        packed.json()["timing"]["layers"][0]["cached"] == true
    };
    assert!(!is_cached("oci:first"));
    assert!(is_cached("lazy.tar"));
    sandbox.imgb("copy lazy.tar oci:copy -q").run().ok();
    let first = Layout::open(&sandbox.path("first"));
    let layer = &first.manifest["layers"][0];
    assert!(layer["mediaType"].as_str().unwrap().ends_with("+gzip"));
    assert!(layer["annotations"][TOC].as_str().unwrap().starts_with("sha256:"));
    assert!(layer["annotations"][SIZE].as_str().unwrap().parse::<u64>().unwrap() > 3 << 20);
    for other in
        [Layout::unpack(&sandbox, "lazy.tar", "unpacked"), Layout::open(&sandbox.path("copy"))]
    {
        assert_eq!(other.manifest["layers"], first.manifest["layers"]);
    }
}

#[test]
fn a_name_that_is_not_text_is_refused_before_anything_is_written() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};
    let sandbox = Sandbox::new();
    fs_err::create_dir(sandbox.path("d")).unwrap();
    fs_err::write(sandbox.path("d").join(OsStr::from_bytes(b"\xff")), "x").unwrap();
    let pack = "pack d/:/d --no-check -q --compress estargz -o a.tar";
    sandbox.imgb(pack).run().error(4, &["not UTF-8", "/d/"]);
    assert!(!sandbox.path("a.tar").exists());
}
