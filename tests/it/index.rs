//! `imgb index create`: images that exist, of any form, in one index.

use serde_json::Value;

use crate::{
    engines::have,
    fixtures::{AARCH64, X86_64, static_elf},
    sandbox::Sandbox,
};

/// Makes `x86/app` and `arm/app`, and an archive with each.
fn images(sandbox: &Sandbox) {
    for (dir, machine) in [("x86", X86_64), ("arm", AARCH64)] {
        sandbox.program(&format!("{dir}/app"), static_elf(machine));
        sandbox.imgb(&format!("pack {dir}/app -q -o {dir}.tar")).run().ok();
    }
}

#[test]
fn the_index_is_that_of_one_command() {
    let sandbox = Sandbox::new();
    images(&sandbox);
    let both = "pack --platform amd64=x86/app --platform arm64=arm/app -t app:1 -q -o both.tar";
    let both = sandbox.imgb(both).run().ok().digest();
    let create = "index create x86.tar arm.tar -t app:1 -o a.tar -o oci:l";
    let made = sandbox.imgb(create).run().ok();
    assert_eq!(made.digest(), both);
    assert!(made.stderr().contains("index of 2 platforms"), "{}", made.show());
    assert_eq!(sandbox.read("a.tar"), sandbox.read("both.tar"));
    // Of an index, all images are taken; the order is that of the names.
    sandbox.imgb("pack --platform s390x --no-check ./x86 -q -o s390x.tar").run().ok();
    let more = sandbox.imgb("index create l s390x.tar -q -o oci:l:2").run().ok();
    assert_ne!(more.digest(), both);
    for platform in ["amd64", "arm64", "s390x"] {
        sandbox.imgb(&format!("inspect l:2 --platform {platform}")).run().ok().prints(platform);
    }
    let json = sandbox.imgb("index create oci:l:app:1 -t x:2 -o oci:m --json").run();
    let json: Value = serde_json::from_str(&json.ok().text()).unwrap();
    assert_eq!(json["digest"], both.as_str());
    assert_eq!(json["platforms"][1]["platform"], "linux/arm64");
    assert_eq!(json["outputs"][0]["names"][0], "docker.io/library/x:2");
}

#[test]
fn images_of_other_tools_keep_their_manifests() {
    let sandbox = Sandbox::new();
    if !have(&["skopeo"]) {
        return;
    }
    images(&sandbox);
    let copy = "--insecure-policy copy -q -f v2s2 oci-archive:arm.tar dir:arm-dir";
    sandbox.tool("skopeo", copy).run().ok();
    let copy = "--insecure-policy copy -q oci-archive:x86.tar docker-archive:x86-docker.tar:x:1";
    sandbox.tool("skopeo", copy).run().ok();
    sandbox.imgb("index create x86-docker.tar dir:arm-dir -q -o a.tar").run().ok();
    let raw = sandbox.tool("skopeo", "inspect --raw oci-archive:a.tar").run().ok().text();
    let raw: Value = serde_json::from_str(&raw).unwrap();
    let types: Vec<_> =
        (0..2).map(|at| raw["manifests"][at]["mediaType"].as_str().unwrap()).collect();
    assert_eq!(
        types,
        [
            "application/vnd.oci.image.manifest.v1+json",
            "application/vnd.docker.distribution.manifest.v2+json",
        ]
    );
    let of_dir = imgb::digest::Digest::of(sandbox.read("arm-dir/manifest.json")).to_string();
    assert_eq!(raw["manifests"][1]["digest"], of_dir);
    let all = "--insecure-policy copy -q --all oci-archive:a.tar oci:all:1";
    sandbox.tool("skopeo", all).run().ok();
    for platform in ["amd64", "arm64"] {
        sandbox.imgb(&format!("check all:1 --platform {platform}")).run().ok();
    }
}

#[test]
fn what_cannot_be_an_index_is_refused() {
    let sandbox = Sandbox::new();
    images(&sandbox);
    for (args, code, part) in [
        ("x86.tar x86.tar -o a.tar", 1, "two images are for linux/amd64"),
        ("x86.tar arm.tar -o rootfs:r.tar", 2, "is a root file system"),
        ("x86.tar -o docker-archive:d.tar", 2, "is a docker-archive"),
        ("x86.tar arm.tar -o x86.tar", 2, "would replace the input `x86.tar`"),
        ("gone.tar -o a.tar", 3, "gone.tar"),
    ] {
        sandbox.imgb(&format!("index create {args}")).run().error(code, &[part]);
    }
}
