//! Images for several platforms in one command: the index, what engines take of it, and what each
//! platform has of its own.

use serde_json::Value;

use crate::{
    engines::{self, have},
    fixtures::{AARCH64, X86_64, static_elf, static_elf_of},
    registry_server::registry,
    sandbox::Sandbox,
};

/// `exit(7)` for AArch64.
const EXIT_7: [u8; 12] = [0xe0, 0, 0x80, 0xd2, 0xa8, 0x0b, 0x80, 0xd2, 1, 0, 0, 0xd4];

/// Makes `x86/app`, which exits with 0, and `arm/app`, which exits with 7.
fn programs(sandbox: &Sandbox) {
    sandbox
        .program("x86/app", static_elf(X86_64))
        .program("arm/app", static_elf_of(AARCH64, &EXIT_7));
}

/// The options that pack both.
const BOTH: &str = "pack --platform linux/amd64=x86/app --platform linux/arm64=arm/app";

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// The content of a blob in a layout.
fn blob(sandbox: &Sandbox, layout: &str, digest: &Value) -> Value {
    let hex = digest.as_str().unwrap().strip_prefix("sha256:").unwrap();
    json(str::from_utf8(&sandbox.read(&format!("{layout}/blobs/sha256/{hex}"))).unwrap())
}

fn index(sandbox: &Sandbox, layout: &str) -> Value {
    json(str::from_utf8(&sandbox.read(&format!("{layout}/index.json"))).unwrap())
}

#[test]
fn one_command_makes_one_index() {
    let sandbox = Sandbox::new();
    programs(&sandbox);
    sandbox.file("motd", "for all\n");
    let pack = format!("{BOTH} ./motd:/etc/motd -t t/app:1 -t t/app:2 -q");
    let digest = sandbox.imgb(&format!("{pack} -o oci:l -o a.tar -j 1")).run().ok().digest();
    let top = index(&sandbox, "l");
    let entries = top["manifests"].as_array().unwrap();
    assert_eq!(entries.len(), 2, "one for each name");
    for (entry, name) in entries.iter().zip(["docker.io/t/app:1", "docker.io/t/app:2"]) {
        assert_eq!(entry["digest"], digest.as_str());
        assert_eq!(entry["mediaType"], "application/vnd.oci.image.index.v1+json");
        assert_eq!(entry["platform"], Value::Null);
        assert_eq!(entry["annotations"]["io.containerd.image.name"], name);
    }
    let inner = blob(&sandbox, "l", &entries[0]["digest"]);
    let platforms = inner["manifests"].as_array().unwrap().iter().map(|one| {
        let config = blob(&sandbox, "l", &blob(&sandbox, "l", &one["digest"])["config"]["digest"]);
        assert_eq!(one["platform"]["architecture"], config["architecture"]);
        one["platform"]["architecture"].as_str().unwrap().to_owned()
    });
    assert_eq!(platforms.collect::<Vec<_>>(), ["amd64", "arm64"]);
    // The archive holds the same, and docker's list has the image for this machine.
    let again = sandbox.imgb(&format!("{pack} -o oci:l -o b.tar -j 4")).run().ok();
    assert_eq!(again.digest(), digest);
    assert!(again.stderr().is_empty(), "{}", again.show());
    assert_eq!(sandbox.read("a.tar"), sandbox.read("b.tar"));
    let list = sandbox.tool("tar", "-xOf a.tar manifest.json").run().ok().text();
    let config = json(&list)[0]["Config"].as_str().unwrap().to_owned();
    let config = json(&sandbox.tool("tar", "-xOf a.tar").arg(config).run().ok().text());
    let machine = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    assert_eq!(config["architecture"], machine);
    for (platform, image) in [("amd64", "x86"), ("arm64", "arm")] {
        let inspect = format!("inspect a.tar:t/app:2 --platform {platform} --json");
        let seen = json(&sandbox.imgb(&inspect).run().ok().text());
        let size = sandbox.read(&format!("{image}/app")).len();
        let files = seen["files"].as_array().unwrap();
        let app = files.iter().find(|file| file["path"] == "/app").unwrap();
        assert_eq!(
            (&seen["platform"], &app["size"]),
            (&format!("linux/{platform}").into(), &size.into())
        );
        assert!(files.iter().any(|file| file["path"] == "/etc/motd"));
    }
    sandbox.imgb("check a.tar").run().ok();
}

#[test]
fn skopeo_and_umoci_read_the_index() {
    let sandbox = Sandbox::new();
    if !have(&["skopeo", "umoci", "qemu-aarch64-static"]) {
        return;
    }
    programs(&sandbox);
    let packed = sandbox.imgb(&format!("{BOTH} -t app:1 -q -o a.tar -o oci:l")).run().ok();
    for source in ["oci-archive:a.tar", "oci:l:1"] {
        let raw = sandbox.tool("skopeo", "inspect --raw").arg(source).run().ok().into_bytes();
        let hash = imgb::digest::Digest::of(&raw).to_string();
        assert_eq!(hash, packed.digest(), "{source}");
    }
    let copy = "--insecure-policy copy -q --all oci-archive:a.tar oci:all:1";
    sandbox.tool("skopeo", copy).run().ok();
    assert_eq!(index(&sandbox, "all")["manifests"][0]["digest"], packed.digest().as_str());
    let copy = "--insecure-policy --override-arch arm64 copy -q oci-archive:a.tar oci:arm:1";
    sandbox.tool("skopeo", copy).run().ok();
    sandbox.tool("umoci", "unpack --rootless --image arm:1 bundle").run().ok();
    sandbox.tool("qemu-aarch64-static", "bundle/rootfs/app").run().exits(7);
}

#[test]
fn engines_take_the_image_for_this_machine() {
    let sandbox = Sandbox::new();
    programs(&sandbox);
    let archive = sandbox.path("a.tar");
    sandbox.imgb(&format!("{BOTH} -t imgb/several:1 -q -o a.tar")).run().ok();
    let podman = engines::podman().filter(|_| have(&["tar"]));
    if let Some(podman) = podman {
        podman.load(&archive);
        podman.image("docker.io/imgb/several:1").run().ok();
        let other =
            podman.cli("pull -q --arch arm64").arg(format!("oci-archive:{}", archive.display()));
        let id = other.run().ok().text();
        let inspect = podman.cli("image inspect --format {{.Architecture}}").arg(id.trim());
        assert_eq!(inspect.run().ok().text().trim(), "arm64");
    }
    if let Some(docker) = engines::docker() {
        docker.load(&archive);
        docker.image("imgb/several:1").run().ok();
    }
    if let Some(containerd) = engines::containerd() {
        containerd.import(&archive);
        containerd.image("docker.io/imgb/several:1", "several").run().ok();
    }
}

#[test]
fn an_index_goes_to_a_registry_and_grows_there() {
    let Some(registry) = registry() else { return };
    let sandbox = Sandbox::new();
    programs(&sandbox);
    let name = |tag: &str| format!("docker://{}/team/app:{tag}", registry.host());
    let pushed = sandbox.imgb(&format!("{BOTH} -q -o")).arg(name("1")).run().ok().digest();
    sandbox.imgb("pack --platform s390x ./x86 --no-check -q -o z.tar").run().ok();
    let create = sandbox.imgb("index create").arg(name("1")).arg("z.tar").args("-q -o");
    let grown = create.arg(name("2")).run().ok().digest();
    assert_ne!(grown, pushed);
    for (tag, digest) in [("1", pushed), ("2", grown)] {
        if have(&["skopeo"]) {
            let raw = sandbox.tool("skopeo", "inspect --raw --tls-verify=false").arg(name(tag));
            let raw = raw.run().ok().into_bytes();
            assert_eq!(imgb::digest::Digest::of(&raw).to_string(), digest);
        }
        sandbox.imgb("check --platform arm64").arg(name(tag)).run().ok();
    }
    let seen = sandbox.imgb("inspect --platform s390x").arg(name("2")).run().ok();
    assert!(seen.text().contains("linux/s390x"), "{}", seen.show());
}

#[test]
fn each_platform_has_its_own_sysroot() {
    let sandbox = Sandbox::new();
    programs(&sandbox);
    sandbox.file("one/etc/where", "one").file("two/etc/where", "two");
    let args = "--include /etc/where --sysroot one --sysroot linux/arm64=two -q -o a.tar";
    sandbox.imgb(&format!("{BOTH} {args}")).run().ok();
    for (platform, wanted) in [("amd64", "one"), ("arm64", "two")] {
        let pack = format!("pack --base a.tar --platform {platform} ./one:/x -q -o rootfs:r.tar");
        sandbox.imgb(&format!("{pack} --no-check")).run().ok();
        let text = sandbox.tool("tar", "-xOf r.tar etc/where").run().ok().text();
        assert_eq!(text, wanted, "{platform}");
    }
}

#[test]
fn a_buildfile_is_built_for_each_platform() {
    let sandbox = Sandbox::new();
    programs(&sandbox);
    sandbox.program("ctx/amd64/app", sandbox.read("x86/app"));
    sandbox.program("ctx/arm64/app", sandbox.read("arm/app"));
    sandbox.imgb(&format!("{BOTH} -t base:1 -q -o oci:ctx/base")).run().ok();
    sandbox.file(
        "ctx/Buildfile",
        "FROM --platform=$BUILDPLATFORM oci:base:1 AS tools\n\
         FROM oci:base:1\n\
         ARG TARGETPLATFORM TARGETOS TARGETARCH TARGETVARIANT BUILDPLATFORM\n\
         LABEL for=$TARGETPLATFORM parts=$TARGETOS-$TARGETARCH-$TARGETVARIANT on=$BUILDPLATFORM\n\
         COPY $TARGETARCH/app /own\n\
         COPY --from=tools /app /tool\n\
         ENTRYPOINT [\"/own\"]\n",
    );
    sandbox.imgb("build ctx --platform linux/amd64,linux/arm64 -q -o a.tar").run().ok();
    let machine = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let tool = sandbox.read(&format!("ctx/{machine}/app")).len();
    for (architecture, program) in [("amd64", "x86/app"), ("arm64", "arm/app")] {
        let inspect = format!("inspect a.tar --platform {architecture} --json");
        let seen = json(&sandbox.imgb(&inspect).run().ok().text());
        let labels = &seen["config"]["config"]["Labels"];
        assert_eq!(labels["for"], format!("linux/{architecture}"));
        assert_eq!(labels["parts"], format!("linux-{architecture}-"));
        assert_eq!(labels["on"], format!("linux/{machine}"));
        let size = |path: &str| {
            let files = seen["files"].as_array().unwrap();
            files.iter().find(|file| file["path"] == path).unwrap()["size"].as_u64().unwrap()
        };
        let own = sandbox.read(program).len() as u64;
        assert_eq!((size("/own"), size("/app"), size("/tool")), (own, own, tool as u64));
    }
}

#[test]
fn messages_name_the_platform() {
    let sandbox = Sandbox::new();
    programs(&sandbox);
    sandbox.file("ctx/Buildfile", "FROM --platform=linux/arm64 oci:base\nLABEL a=b\n");
    sandbox.imgb(&format!("{BOTH} -q -o oci:ctx/base")).run().ok();
    for (args, code, part) in [
        (format!("{BOTH} -o rootfs:r.tar"), 2, "`r.tar` is a root file system, which holds"),
        (format!("{BOTH} -o docker-archive:-"), 2, "stdout is a docker-archive, which holds"),
        (
            format!("{BOTH} --platform s390x -o a.tar"),
            2,
            "nothing is named to pack for linux/s390x",
        ),
        (format!("{BOTH} ./gone -o a.tar"), 3, "linux/amd64: "),
        (format!("{BOTH} --sysroot s390x=/ -o a.tar"), 2, "add `--platform linux/s390x`"),
        (format!("{BOTH} --sysroot / --sysroot / -o a.tar"), 2, "more than once"),
        ("pack --platform beos=x86/app -o a.tar".into(), 2, "`beos` is not a platform"),
        ("build ctx --platform amd64,arm64 -o a.tar".into(), 1, "two images are for linux/arm64"),
        ("deps x86/app --sysroot arm64=/".into(), 2, "--sysroot is for linux/arm64"),
        ("plan --file ctx/Buildfile --platform amd64=x86/app ctx".into(), 2, "without an input"),
    ] {
        sandbox.imgb(&args).run().error(code, &[part]);
    }
    // What concerns one image alone says which.
    let plan = format!("{BOTH} ./x86/app:/other -o a.tar");
    let warned = sandbox.imgb(&plan).run().ok();
    let warning = "warning: linux/arm64: /other is for x86-64, the image for linux/arm64";
    assert!(warned.stderr().contains(warning), "{}", warned.show());
    let plans = sandbox.imgb(&format!("{BOTH} --dry-run --json")).run().ok().text();
    let plans = json(&plans);
    let platforms: Vec<_> = plans["platforms"].as_array().unwrap().iter().collect();
    assert_eq!(platforms.len(), 2);
    assert_eq!(platforms[1]["platform"], "linux/arm64");
}
