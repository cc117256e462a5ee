//! `--cache-from` and `--cache-to`: layers that are not compressed again, and never wrong ones.

use serde_json::{Value, json};

use crate::{
    fixtures::noise,
    registry_server::registry,
    sandbox::{Run, Sandbox},
};

/// Makes `data/`, two copies of it, and `image.tar` of the first.
fn image(sandbox: &Sandbox) -> String {
    for dir in ["data", "copy"] {
        sandbox.file(&format!("{dir}/noise"), noise(300_000));
        sandbox.file(&format!("{dir}/text"), "words ".repeat(50_000));
    }
    pack(sandbox, "data:/data", "-o image.tar").run().ok().digest()
}

fn pack(sandbox: &Sandbox, input: &str, args: &str) -> Run {
    sandbox.imgb(&format!("pack {input} --no-check --no-cache -q {args}"))
}

/// Packs, and says whether the layer was compressed and what the digest is.
#[track_caller]
fn packed(sandbox: &Sandbox, input: &str, args: &str) -> (bool, String) {
    let run = pack(sandbox, input, &format!("{args} --timing --json -o out.tar")).run().ok();
    let json: Value = serde_json::from_str(&run.text()).unwrap();
    let cached = json["timing"]["layers"][0]["cached"].as_bool().unwrap();
    (!cached, json["digest"].as_str().unwrap().to_owned())
}

#[test]
fn layers_of_an_earlier_image_are_not_compressed() {
    let sandbox = Sandbox::new();
    let digest = image(&sandbox);
    for from in ["image.tar", "oci:layout:1"] {
        pack(&sandbox, "data:/data", "-t x:1 -o oci:layout").run().ok();
        let args = format!("--cache-from {from}");
        assert_eq!(packed(&sandbox, "copy:/data", &args), (false, digest.clone()));
    }
    sandbox.file("copy/text", "words ".repeat(50_001));
    assert!(packed(&sandbox, "copy:/data", "--cache-from image.tar").0);
    // The layer is the same, and its bytes would be others.
    for compress in ["gzip:9", "zstd", "none"] {
        let args = format!("--compress {compress}");
        let without = packed(&sandbox, "data:/data", &args);
        let with = packed(&sandbox, "data:/data", &format!("{args} --cache-from image.tar"));
        assert_eq!((with.0, &with.1), (true, &without.1), "{compress}");
        let own = format!("{args} -o oci:own");
        pack(&sandbox, "data:/data", &own).run().ok();
        let again = packed(&sandbox, "data:/data", &format!("{args} --cache-from oci:own:latest"));
        assert_eq!(again, (compress == "none", without.1), "{compress}");
    }
}

#[test]
fn machines_share_a_cache() {
    let sandbox = Sandbox::new();
    let digest = image(&sandbox);
    let share = "--cache-from oci:cache --cache-to oci:cache";
    let first = pack(&sandbox, "data:/data", &format!("{share} -o a.tar")).run().ok();
    assert!(first.stderr().is_empty(), "a cache that does not exist yet: {}", first.show());
    assert_eq!(packed(&sandbox, "copy:/data", share), (false, digest.clone()));
    // The same sizes and other bytes have the same key.
    sandbox.file("copy/text", "Words ".repeat(50_000));
    let (compressed, other) = packed(&sandbox, "copy:/data", share);
    assert!(compressed && other != digest);
    assert_eq!(packed(&sandbox, "copy:/data", share), (false, other));
    assert_eq!(packed(&sandbox, "data:/data", "--cache-from oci:cache"), (true, digest));
    pack(&sandbox, "data:/data", "--cache-to oci:cache:x -o a.tar").run().error(2, &["oci:DIR"]);
}

#[test]
fn machines_share_a_registry() {
    let Some(registry) = registry() else { return };
    let sandbox = Sandbox::new();
    let digest = image(&sandbox);
    let cache = format!("docker://{}/team/layers", registry.host());
    let share = format!("--cache-from {cache} --cache-to {cache}");
    let first = pack(&sandbox, "data:/data", &format!("{share} -o a.tar")).run().ok();
    assert!(first.stderr().is_empty(), "a repository that does not exist yet: {}", first.show());
    assert_eq!(packed(&sandbox, "copy:/data", &share), (false, digest.clone()));
    let earlier = format!("docker://{}/team/app:1", registry.host());
    pack(&sandbox, "data:/data", &format!("-o {earlier}")).run().ok();
    assert_eq!(packed(&sandbox, "copy:/data", &format!("--cache-from {earlier}")), (false, digest));
    // What the registry has is not sent again.
    let puts = || registry.requests().iter().filter(|line| line.starts_with("PUT")).count();
    let before = puts();
    packed(&sandbox, "copy:/data", &share);
    assert_eq!(puts(), before);
}

#[test]
fn a_cache_that_lies_or_is_damaged_changes_nothing() {
    let sandbox = Sandbox::new();
    let digest = image(&sandbox);
    pack(&sandbox, "data:/data", "--cache-to oci:cache -o a.tar").run().ok();
    sandbox.file("other/x", "x");
    pack(&sandbox, "other", "--cache-to oci:cache -o b.tar").run().ok();
    let read = |path: &str| -> Value { serde_json::from_slice(&sandbox.read(path)).unwrap() };
    let blob = |digest: &Value| {
        format!("cache/blobs/sha256/{}", digest.as_str().unwrap().trim_start_matches("sha256:"))
    };
    // The manifest names the layer of another image under the configuration of this one.
    let mut index = read("cache/index.json");
    let mut manifest = read(&blob(&index["manifests"][0]["digest"]));
    let original = blob(&manifest["layers"][0]["digest"]);
    let other = read(&blob(&index["manifests"][1]["digest"]));
    manifest["layers"][0] = other["layers"][0].clone();
    let bytes = manifest.to_string();
    let lie = imgb::digest::Digest::of(&bytes).to_string();
    sandbox.file(&blob(&json!(lie)), &bytes);
    let honest = sandbox.read("cache/index.json");
    index["manifests"][0]["digest"] = json!(lie);
    index["manifests"][0]["size"] = json!(bytes.len());
    sandbox.file("cache/index.json", index.to_string());
    let warns = |why: &str| {
        let run = sandbox.imgb("pack data:/data --no-check --no-cache -o c.tar");
        let run = run.arg("--cache-from").arg("oci:cache").run().ok();
        assert_eq!(run.digest(), digest);
        let warning = "warning: cannot take layers from `cache`";
        assert!(run.stderr().contains(warning) && run.stderr().contains(why), "{}", run.show());
    };
    warns("content of layer");
    sandbox.file("cache/index.json", honest);
    let mut bytes = sandbox.read(&original);
    bytes[1000] ^= 1;
    sandbox.file(&original, bytes);
    warns("digest");
    fs_err::remove_file(sandbox.path(&original)).unwrap();
    warns("missing");
    let gone = sandbox.imgb("pack data:/data --no-check --no-cache -o c.tar --cache-from gone.tar");
    let gone = gone.run().ok();
    assert!(gone.stderr().contains("cannot take layers from `gone.tar`"), "{}", gone.show());
    assert_eq!(gone.digest(), digest);
}
