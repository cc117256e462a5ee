//! Reading images: every form, every flipped bit, and documents that contradict their blobs.

use std::io::Write as _;

use imgb::{
    archive::spool,
    digest::Digest,
    image::Platform,
    image::{ImageName, StoredImage},
    oci::{self, Image, ImageError, UnpackedImage},
};
use serde_json::{Value, json};

use crate::{
    engines::{containerd, docker, have, podman},
    layouts::{Layout, documents_for, open, open_for, small},
    sandbox::Sandbox,
};

#[test]
fn every_form_is_the_same_image() {
    let sandbox = small();
    let digest = |file: &str| open(&sandbox.path(file)).unwrap().image.config_document.digest;
    let wanted = digest("layout");
    for file in ["hybrid.tar", "docker.tar", "oci.tar"] {
        assert_eq!(digest(file), wanted, "{file}");
    }
    let image = open(&sandbox.path("hybrid.tar")).unwrap();
    assert_eq!(image.image.config.command(), ["/app"]);
    assert_eq!(image.image.config.platform.to_string(), "linux/amd64");
    assert_eq!(image.merged().len(), 2);
    // The blobs can be copied unchanged.
    for layer in &image.layers {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut image.blob(layer).unwrap().reader(), &mut bytes).unwrap();
        assert_eq!(Digest::of(&bytes), layer.digest);
    }
    for compressor in ["gzip", "xz", "zstd"] {
        if have(&[compressor]) {
            let packed = sandbox.tool(compressor, "-c hybrid.tar").run().ok().into_bytes();
            sandbox.file("packed", packed);
            assert_eq!(digest("packed"), wanted, "{compressor}");
        }
    }
}

#[test]
fn what_other_tools_write_is_read() {
    if !have(&["skopeo", "umoci"]) {
        return;
    }
    let sandbox = small();
    sandbox
        .tool("skopeo", "copy --insecure-policy oci:layout:1 docker-archive:s.tar:small:1")
        .run()
        .ok();
    sandbox
        .tool("skopeo", "copy --insecure-policy oci:layout:1 oci-archive:so.tar:small")
        .run()
        .ok();
    for file in ["s.tar", "so.tar"] {
        assert_eq!(open(&sandbox.path(file)).unwrap().merged().len(), 2, "{file}");
        sandbox.imgb(&format!("check {file}")).run().ok();
    }
    sandbox.tool("umoci", "config --image layout:1 --config.user 7 --tag other").run().ok();
    assert!(matches!(open(&sandbox.path("layout")), Err(ImageError::SeveralImages { .. })));
    let other = open_for(&sandbox.path("layout"), Some("other"), None).unwrap();
    assert_eq!(other.image.config.user.as_deref(), Some("7"));
    assert!(matches!(
        open_for(&sandbox.path("layout"), Some("none"), None),
        Err(ImageError::NoSuchImage { there, .. }) if there.contains(&"other".to_owned())
    ));
}

/// An image that went through an engine is the same image, whatever the engine calls its parts.
#[track_caller]
fn is_the_same(sandbox: &Sandbox, file: &str, wanted: &UnpackedImage) {
    let read = open(&sandbox.path(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
    let files = |image: &UnpackedImage| {
        let tree = image.merged();
        tree.iter()
            .filter(|(_, node)| !node.is_directory())
            .map(|(path, _)| path.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(files(&read), files(wanted), "{file}");
    let diff_ids =
        |image: &UnpackedImage| image.layers.iter().map(|layer| layer.diff_id).collect::<Vec<_>>();
    assert_eq!(diff_ids(&read), diff_ids(wanted), "{file}");
    assert_eq!(read.image.config.command(), ["/app"], "{file}");
    sandbox.imgb(&format!("check {file}")).run().ok();
    sandbox.imgb(&format!("inspect {file}")).run().ok().prints("entrypoint  /app");
    sandbox.imgb(&format!("run {file}")).run().ok();
}

#[test]
fn what_docker_saves_is_read() {
    let Some(docker) = docker() else { return };
    let sandbox = small();
    let wanted = open(&sandbox.path("layout")).unwrap();
    docker.load(&sandbox.path("hybrid.tar"));
    docker.save("small:1", &sandbox.path("saved.tar"));
    is_the_same(&sandbox, "saved.tar", &wanted);
    // Two images in one archive share a layer, which is a link in the archive.
    let dockerfile = "FROM small:1\nLABEL a=b\n";
    sandbox.file("ctx/Dockerfile", dockerfile);
    docker
        .cli("build -q -t small:2")
        .arg(sandbox.path("ctx"))
        .env("DOCKER_BUILDKIT", "0")
        .run()
        .ok();
    docker.cli("save small:1 small:2 --output").arg(sandbox.path("both.tar")).run().ok();
    let second = open_for(&sandbox.path("both.tar"), Some("small:2"), None).unwrap();
    assert_eq!(second.merged().len(), wanted.merged().len());
    assert_eq!(second.image.config.labels.get("a").map(String::as_str), Some("b"));
    assert!(matches!(open(&sandbox.path("both.tar")), Err(ImageError::SeveralImages { .. })));
    sandbox.imgb("check both.tar:small:1").run().ok();
    docker.cli("rmi small:1 small:2").run().ok();
}

#[test]
fn what_podman_and_containerd_save_is_read() {
    let sandbox = small();
    let wanted = open(&sandbox.path("layout")).unwrap();
    if let Some(podman) = podman() {
        podman.load(&sandbox.path("hybrid.tar"));
        for format in ["docker-archive", "oci-archive"] {
            podman.save("docker.io/library/small:1", format, &sandbox.path(format));
            is_the_same(&sandbox, format, &wanted);
        }
    }
    if let Some(containerd) = containerd() {
        containerd.import(&sandbox.path("hybrid.tar"));
        containerd.export("docker.io/library/small:1", &sandbox.path("exported.tar"));
        is_the_same(&sandbox, "exported.tar", &wanted);
    }
}

/// crane calls the configuration `sha256:HEX`, without an ending.
#[test]
fn what_crane_saves_is_read() {
    let sandbox = small();
    let wanted = open(&sandbox.path("layout")).unwrap();
    let mut tar = tar::Builder::new(Vec::new());
    let mut put = |name: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, bytes).unwrap();
    };
    let config = wanted.image.config_document.digest.to_string();
    put(&config, &wanted.image.config_document.bytes);
    let mut layers = Vec::new();
    for layer in &wanted.layers {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut wanted.blob(layer).unwrap().reader(), &mut bytes).unwrap();
        layers.push(format!("{}.tar.gz", layer.digest.hex()));
        put(&format!("{}.tar.gz", layer.digest.hex()), &bytes);
    }
    let manifest = json!([{"Config": config, "RepoTags": ["small:1"], "Layers": layers}]);
    put("manifest.json", manifest.to_string().as_bytes());
    sandbox.file("crane.tar", tar.into_inner().unwrap());
    is_the_same(&sandbox, "crane.tar", &wanted);
}

/// `docker save` before version 25: a directory for each layer, a link where two images have one.
#[test]
fn an_old_docker_archive_is_read_through_its_links() {
    let sandbox = small();
    let image = open(&sandbox.path("layout")).unwrap();
    let mut layers = Vec::new();
    for layer in &image.layers {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut image.blob(layer).unwrap().reader(), &mut bytes).unwrap();
        layers.push(bytes);
    }
    let config = format!("{}.json", image.image.config_document.digest.hex());
    let mut names = Vec::new();
    let mut tar = tar::Builder::new(Vec::new());
    let mut put = |name: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, bytes).unwrap();
    };
    for (number, layer) in layers.iter().enumerate() {
        put(&format!("real{number}/layer.tar"), layer);
        names.push(format!("linked{number}/layer.tar"));
    }
    put(&config, &image.image.config_document.bytes);
    let manifest = json!([{"Config": config, "RepoTags": ["small:1"], "Layers": names}]);
    put("manifest.json", manifest.to_string().as_bytes());
    for number in 0..layers.len() {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        tar.append_link(
            &mut header,
            format!("linked{number}/layer.tar"),
            format!("../real{number}/layer.tar"),
        )
        .unwrap();
    }
    sandbox.file("old.tar", tar.into_inner().unwrap());
    let old = open(&sandbox.path("old.tar")).unwrap();
    assert_eq!(old.image.config_document.digest, image.image.config_document.digest);
    assert_eq!(old.merged().len(), 2);
    assert!(open_for(&sandbox.path("old.tar"), Some("small:2"), None).is_err());
}

#[test]
fn documents_are_read_without_layers() {
    let sandbox = small();
    let image = documents_for(&sandbox.path("layout"), None, None).unwrap();
    let wanted = open(&sandbox.path("layout")).unwrap();
    let first = image.layer(&image.layers[0]).unwrap();
    assert_eq!(first.diff_id, wanted.layers[0].diff_id);
    assert_eq!(first.change.tree.len(), wanted.layers[0].change.tree.len());
    // A damaged layer is found when it is read, and not before.
    for layer in &wanted.layers {
        let path = sandbox.path(format!("layout/blobs/sha256/{}", layer.digest.hex()));
        fs_err::write(&path, vec![0; usize::try_from(layer.size).unwrap()]).unwrap();
    }
    let image = documents_for(&sandbox.path("layout"), None, None).unwrap();
    assert_eq!(image.config_document, wanted.image.config_document);
    assert_eq!(image.layers.len(), wanted.layers.len());
    assert!(matches!(image.layer(&image.layers[0]), Err(ImageError::Digest { what: "blob", .. })));
    assert!(matches!(image.unpack(), Err(ImageError::Digest { what: "blob", .. })));
}

#[test]
fn every_flipped_bit_of_a_blob_is_found() {
    let sandbox = small();
    let dir = sandbox.path("layout/blobs/sha256");
    let mut flips = 0;
    for entry in fs_err::read_dir(&dir).unwrap() {
        let path = entry.unwrap().path();
        let good = fs_err::read(&path).unwrap();
        for at in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[at / 8] ^= 1 << (at % 8);
            fs_err::write(&path, &bad).unwrap();
            let error = open(&sandbox.path("layout")).expect_err("a flipped bit");
            assert!(
                matches!(error, ImageError::Digest { what: "blob", .. }),
                "bit {at} of {path:?}: {error}"
            );
            flips += 1;
        }
        for len in [0, good.len() - 1] {
            fs_err::write(&path, &good[..len]).unwrap();
            assert!(matches!(open(&sandbox.path("layout")), Err(ImageError::Size { .. })), "{len}");
        }
        fs_err::remove_file(&path).unwrap();
        assert!(matches!(open(&sandbox.path("layout")), Err(ImageError::MissingBlob(_))));
        fs_err::write(&path, &good).unwrap();
    }
    assert!(flips > 1000, "the image has blobs");
    sandbox.imgb("check oci:layout").run().ok();
}

/// An archive has redundant and padding bytes: whatever bit changes, the image is refused or the
/// same.
#[test]
fn a_changed_archive_is_refused_or_the_same_image() {
    let sandbox = small();
    let good = sandbox.read("hybrid.tar");
    let wanted = open(&sandbox.path("hybrid.tar")).unwrap().image.config_document.digest;
    let mut refused = 0;
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        fs_err::write(sandbox.path("bad.tar"), &bad).unwrap();
        match open(&sandbox.path("bad.tar")) {
            Ok(image) => assert_eq!(image.image.config_document.digest, wanted, "byte {at}"),
            Err(_) => refused += 1,
        }
    }
    assert!(refused > good.len() / 4, "{refused} of {}", good.len());
}

#[test]
fn exit_codes_tell_damage_from_nonsense() {
    let sandbox = small();
    sandbox.imgb("check gone.tar").run().error(3, &["gone.tar"]);
    sandbox.file("text", "no image");
    sandbox.imgb("check text").run().error(4, &["text"]);
    sandbox.dir("empty");
    sandbox.imgb("check empty").run().error(4, &["empty"]);
    sandbox.imgb("check sif:alpine").run().error(2, &["sif:"]);
    sandbox.imgb("check docker:alpine").run().error(2, &["docker://"]);
    sandbox.imgb("check hybrid.tar --platform arm64").run().error(3, &["linux/arm64"]);
    let dir = sandbox.path("layout/blobs/sha256");
    let blob = fs_err::read_dir(&dir).unwrap().next().unwrap().unwrap().path();
    let mut bytes = fs_err::read(&blob).unwrap();
    bytes[20] ^= 1;
    fs_err::write(&blob, bytes).unwrap();
    sandbox.imgb("check oci:layout").run().error(7, &["sha256:"]);
}

#[test]
fn a_well_formed_layout_is_read() {
    let layout = Layout::new();
    let entry = layout.add(&layout.manifest(&layout.config().to_string()).to_string());
    assert_eq!(layout.index(&[entry]).opened().unwrap().layers.len(), 1);
}

#[test]
fn wrong_documents_are_refused() {
    let config = |change: &dyn Fn(&mut Value)| {
        let layout = Layout::new();
        let mut config = layout.config();
        change(&mut config);
        let entry = layout.add(&layout.manifest(&config.to_string()).to_string());
        layout.index(&[entry]).opened().map(drop)
    };
    assert!(matches!(
        config(&|c| c["rootfs"]["diff_ids"] = json!([])),
        Err(ImageError::Count { .. })
    ));
    for id in ["sha256:../../etc/passwd", "sha512:00", "", "md5:d41d8cd98f00b204e9800998ecf8427e"] {
        let refused = config(&|c| c["rootfs"]["diff_ids"] = json!([id]));
        assert!(matches!(refused, Err(ImageError::Document { .. })), "{id}: {refused:?}");
    }
    let other = Digest::of("other").to_string();
    let refused = config(&|c| c["rootfs"]["diff_ids"] = json!([other]));
    assert!(
        matches!(refused, Err(ImageError::Digest { what: "content of layer", .. })),
        "{refused:?}"
    );
    assert!(config(&|c| c["os"] = json!(3)).is_err());

    let manifest = |change: &dyn Fn(&mut Value)| {
        let layout = Layout::new();
        let mut manifest = layout.manifest(&layout.config().to_string());
        change(&mut manifest);
        let entry = layout.add(&manifest.to_string());
        layout.index(&[entry]).opened().map(drop)
    };
    for change in [
        (&|m: &mut Value| m["manifests"] = json!([])) as &dyn Fn(&mut Value),
        &|m| m["schemaVersion"] = json!(1),
        &|m| m["mediaType"] = json!("application/vnd.oci.image.index.v1+json"),
        &|m| m["layers"][0]["size"] = json!(-1),
        &|m| m["layers"][0]["size"] = json!(u64::MAX),
        &|m| m["layers"][0]["digest"] = json!("sha256:../../../etc/passwd"),
        &|m| m["layers"][0]["data"] = json!("AAAA"),
        &|m| m["Layers"] = json!([]),
    ] {
        let refused = manifest(change);
        assert!(matches!(refused, Err(ImageError::Document { .. })), "{refused:?}");
    }
    let refused = manifest(&|m| m["layers"][0]["size"] = json!(1023));
    assert!(matches!(refused, Err(ImageError::Size { found: 1024, .. })), "{refused:?}");
    // URLs of a layer are ignored: the layer is in the layout, or the image is incomplete.
    manifest(&|m| m["layers"][0]["urls"] = json!(["file:///etc/passwd"])).unwrap();

    let layout = Layout::new();
    let text = layout.config().to_string().replacen('{', r#"{"os":"plan9","#, 1);
    let entry = layout.add(&layout.manifest(&text).to_string());
    assert!(matches!(layout.index(&[entry]).opened(), Err(ImageError::Document { .. })));
}

#[test]
fn blobs_that_are_not_files_are_refused_and_never_waited_for() {
    for make in ["mkfifo", "mkdir", "ln -s /dev/zero"] {
        let layout = Layout::new();
        let entry = layout.add(&layout.manifest(&layout.config().to_string()).to_string());
        layout.index(&[entry]);
        let hex = layout.layer["digest"].as_str().unwrap().trim_start_matches("sha256:").to_owned();
        let blob = layout.path().join("blobs/sha256").join(hex);
        fs_err::remove_file(&blob).unwrap();
        let (tool, args) = make.split_once(' ').unwrap_or((make, ""));
        layout.sandbox.tool(tool, args).arg(&blob).run().ok();
        assert!(matches!(layout.opened(), Err(ImageError::Document { .. })), "{make}");
    }
    let layout = Layout::new();
    let huge = fs_err::File::create(layout.path().join("index.json")).unwrap();
    huge.set_len(5 << 30).unwrap();
    assert!(matches!(layout.opened(), Err(ImageError::Document { .. })));
}

#[test]
fn indexes_in_indexes_end() {
    const INDEX: &str = "application/vnd.oci.image.index.v1+json";
    let layout = Layout::new();
    let manifest = layout.add(&layout.manifest(&layout.config().to_string()).to_string());
    let nested = |entries: &[&Value]| {
        let index = json!({"schemaVersion": 2, "manifests": entries});
        layout.blob(INDEX, index.to_string().as_bytes())
    };
    // Each index lists the next eight times: 8^6 paths lead to one manifest.
    let mut diamond = manifest.clone();
    for _ in 0..6 {
        diamond = nested(&[&diamond; 8]);
    }
    layout.index(&[diamond]).opened().unwrap();
    let mut deep = manifest.clone();
    for _ in 0..20 {
        deep = nested(&[&deep]);
    }
    assert!(matches!(layout.index(&[deep]).opened(), Err(ImageError::Document { .. })));
    let many: Vec<Value> = (0..2000)
        .map(|number| {
            let mut entry = manifest.clone();
            entry["annotations"] = json!({"org.opencontainers.image.ref.name": number.to_string()});
            entry
        })
        .collect();
    assert!(matches!(layout.index(&many).opened(), Err(ImageError::Document { .. })));
}

#[test]
fn the_platform_decides_between_several() {
    let layout = Layout::new();
    let entry = |architecture: &str| {
        let mut config = layout.config();
        config["architecture"] = json!(architecture);
        let mut entry = layout.add(&layout.manifest(&config.to_string()).to_string());
        entry["platform"] = json!({"os": "linux", "architecture": architecture});
        entry
    };
    let attestation = {
        let mut entry = entry("s390x");
        entry["platform"] = json!({"os": "unknown", "architecture": "unknown"});
        entry
    };
    layout.index(&[entry("arm64"), entry("amd64"), attestation]);
    let platform = |wanted| {
        open_for(&layout.path(), None, wanted).map(|image| image.image.config.platform.to_string())
    };
    assert_eq!(platform(None).unwrap(), "linux/amd64");
    assert_eq!(platform(Some("linux/arm64/v8")).unwrap(), "linux/arm64");
    let error = platform(Some("riscv64")).unwrap_err();
    assert!(matches!(&error, ImageError::NoSuchImage { there, .. } if there.len() == 2), "{error}");
}

#[test]
fn a_bomb_is_stopped_by_its_limit() {
    let layout = Layout::new();
    let tar = vec![0; 1 << 20];
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(&tar).unwrap();
    let layer = layout.blob("application/vnd.oci.image.layer.v1.tar+gzip", &gzip.finish().unwrap());
    let mut config = layout.config();
    config["rootfs"]["diff_ids"] = json!([Digest::of(&tar).to_string()]);
    let mut manifest = layout.manifest(&config.to_string());
    manifest["layers"] = json!([layer]);
    let entry = layout.add(&manifest.to_string());
    layout.index(&[entry]).opened().unwrap();
    let name = ImageName::Stored(StoredImage {
        transport: None,
        path: layout.path(),
        tag: None,
        digest: None,
    });
    let options = oci::OpenOptions {
        platform: None,
        machine: Platform::linux("amd64", None),
        spool: std::env::temp_dir(),
        limits: spool::Limits { bytes: 1 << 19, ..spool::Limits::default() },
        registries: Default::default(),
        any: false,
        pieces: None,
    };
    assert!(matches!(
        oci::open(&name, &options).and_then(Image::unpack),
        Err(ImageError::Spool(spool::SpoolError::Large { .. }))
    ));
}
