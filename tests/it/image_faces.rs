//! Images that engines read differently or refuse: archives whose documents describe two images,
//! documents of the wrong shape, damage beside the image.

use imgb::digest::Digest;
use serde_json::{Value, json};

use crate::{
    engines::have,
    fixtures::{X86_64, static_elf},
    layouts::{Layout, open, small, tar_of},
    sandbox::Sandbox,
};

/// The files of a layout.
fn files(sandbox: &Sandbox, dir: &str) -> Vec<(String, Vec<u8>)> {
    let blobs = sandbox.names(&format!("{dir}/blobs/sha256"));
    let blobs = blobs.into_iter().map(|blob| format!("blobs/sha256/{blob}"));
    let names = blobs.chain(["index.json".into(), "oci-layout".into()]);
    names.map(|name| (name.clone(), sandbox.read(&format!("{dir}/{name}")))).collect()
}

/// Writes an archive of the files, and of others that replace them.
fn archive(sandbox: &Sandbox, files: &[(String, Vec<u8>)], others: &[(&str, Vec<u8>)]) {
    let kept = files.iter().filter(|(name, _)| others.iter().all(|(other, _)| name != other));
    let kept = kept.map(|(name, bytes)| (&**name, bytes.clone()));
    sandbox.file("x.tar", tar_of(kept.chain(others.iter().cloned())));
}

/// What docker's face of an archive says.
fn docker_face(sandbox: &Sandbox, file: &str) -> Value {
    let manifest = sandbox.tool("tar", "-xOf").arg(file).arg("manifest.json").run().ok().text();
    serde_json::from_str(&manifest).unwrap()
}

#[test]
fn an_archive_that_says_two_images_is_refused() {
    let sandbox = Sandbox::new();
    for name in ["good", "evil"] {
        sandbox.program(name, static_elf(X86_64));
        let out = format!("-o {name}.tar -o oci:{name}-layout -t app:1");
        sandbox.imgb(&format!("pack -q {name} {out}")).run().ok();
    }
    let (good, evil) = (files(&sandbox, "good-layout"), files(&sandbox, "evil-layout"));
    let mut all = good.clone();
    all.extend(evil.into_iter().filter(|(name, _)| good.iter().all(|(other, _)| other != name)));
    let (good, evil) = (docker_face(&sandbox, "good.tar"), docker_face(&sandbox, "evil.tar"));
    let check = |docker: Value, others: &[(&str, Vec<u8>)]| {
        let mut others = others.to_vec();
        others.push(("manifest.json", docker.to_string().into_bytes()));
        archive(&sandbox, &all, &others);
        sandbox.imgb("check x.tar").run()
    };
    check(good.clone(), &[]).ok();
    check(evil.clone(), &[]).error(4, &["manifest.json", "index.json does not lead to"]);
    check(json!([good[0], evil[0]]), &[]).error(4, &["manifest.json", "does not lead to"]);
    let mut layers = good.clone();
    layers[0]["Layers"] = evil[0]["Layers"].clone();
    check(layers, &[]).error(4, &["manifest.json", "other layers"]);
    let mut layer_as_config = good.clone();
    layer_as_config[0]["Config"] = good[0]["Layers"][0].clone();
    check(layer_as_config, &[]).error(4, &["manifest.json"]);
    check(json!([]), &[]).error(4, &["manifest.json", "no image"]);
    check(json!(null), &[]).error(4, &["manifest.json", "no image"]);
    // Both images are in the index, and the name of one leads docker to the other.
    let entry = |layout: &str, tag: &str| {
        let index = sandbox.read(&format!("{layout}/index.json"));
        let index: Value = serde_json::from_slice(&index).unwrap();
        let mut entry = index["manifests"][0].clone();
        entry["annotations"] = json!({
            "io.containerd.image.name": format!("docker.io/library/{tag}"),
            "org.opencontainers.image.ref.name": tag.rsplit(':').next(),
        });
        entry
    };
    let two = [entry("good-layout", "app:1"), entry("evil-layout", "x:2")];
    let two = json!({"schemaVersion": 2, "manifests": two}).to_string().into_bytes();
    let two = [("index.json", two)];
    let crossed = check(evil.clone(), &two);
    crossed.error(2, &["several images"]);
    sandbox.imgb("check x.tar:app:1").run().error(4, &["manifest.json", "app:1", "another image"]);
    let mut named = evil;
    named[0]["RepoTags"] = json!(["x:2"]);
    check(json!([good[0], named[0]]), &two).error(2, &["several images"]);
    sandbox.imgb("check x.tar:app:1").run().ok();
    sandbox.imgb("check x.tar:x:2").run().ok();
    // skopeo reads the first of two members with one name, docker the last.
    let members = [("manifest.json", b"[]".to_vec()), ("manifest.json", good.to_string().into())];
    sandbox.file("twice.tar", tar_of(members));
    sandbox.imgb("check twice.tar").run().error(4, &["a member twice"]);
    // Docker before 1.10 read `repositories`.
    let repositories = |text: &str| [("repositories", text.as_bytes().to_vec())];
    check(good.clone(), &repositories(r#"{"app":{"1":"x"}}"#)).ok();
    check(good, &repositories(r#"{"x":{"2":"x"}}"#)).error(4, &["repositories", "x:2"]);
}

#[test]
fn an_empty_index_leaves_docker_s_face() {
    let sandbox = small();
    let docker = sandbox.dir("u").tool("tar", "-xf hybrid.tar -C u").run().ok();
    drop(docker);
    for index in
        [r#"{"schemaVersion":2,"manifests":null}"#, r#"{"schemaVersion":2,"manifests":[]}"#]
    {
        sandbox.file("u/index.json", index);
        sandbox.tool("tar", "-cf x.tar -C u .").run().ok();
        sandbox.imgb("check x.tar").run().ok();
        sandbox.imgb("check oci-archive:x.tar").run().error(3, &["has no image"]);
        sandbox.imgb("check u").run().error(3, &["has no image"]);
    }
}

/// Two sparse members of one length are two members.
#[test]
fn a_sparse_layer_that_is_not_the_blob_is_refused() {
    let sandbox = Sandbox::new();
    sandbox.file("zeros", vec![0; 100_000]);
    sandbox.imgb("pack zeros --no-check --compress none -t a:1 -o x.tar").run().ok();
    let mut docker = docker_face(&sandbox, "x.tar");
    let blob = docker[0]["Layers"][0].as_str().unwrap().to_owned();
    docker[0]["Layers"] = json!(["other"]);
    let script = "mkdir u; tar -xf x.tar -C u; cp --sparse=always u/$0 layer; mv layer u/$0
        truncate -s $(stat -c %s u/$0) u/other";
    sandbox.tool("sh", "-ec").arg(script).arg(&blob).run().ok();
    sandbox.file("u/manifest.json", docker.to_string());
    sandbox.tool("tar", "-Scf x.tar -C u .").run().ok();
    sandbox.imgb("check x.tar").run().error(4, &["manifest.json", "other layers"]);
}

#[test]
fn what_skopeo_and_docker_write_says_one_thing() {
    if !have(&["skopeo"]) {
        return;
    }
    let sandbox = small();
    let copy = "copy -q --insecure-policy oci:layout:1 docker-archive:s.tar:small:1";
    sandbox.tool("skopeo", copy).run().ok();
    let members = sandbox.tool("tar", "-tf s.tar").run().ok().text();
    assert!(members.contains("repositories"), "{members}");
    sandbox.imgb("check s.tar").run().ok();
}

/// The layout with a configuration in which the fields of `patch` are replaced.
fn with_config(layout: &Layout, patch: &Value) {
    let mut config = layout.config();
    config.as_object_mut().unwrap().extend(patch.as_object().unwrap().clone());
    layout.index(&[layout.add(&layout.manifest(&config.to_string()).to_string())]);
}

#[test]
fn a_configuration_of_the_wrong_shape_is_refused_by_field() {
    let layout = Layout::new();
    for (field, patch) in [
        ("config", json!({"config": []})),
        ("config.Env", json!({"config": {"Env": {}}})),
        ("config.Env[0]", json!({"config": {"Env": [1]}})),
        ("config.Labels", json!({"config": {"Labels": [1]}})),
        ("config.Labels.a", json!({"config": {"Labels": {"a": 1}}})),
        ("config.Entrypoint", json!({"config": {"Entrypoint": "/app"}})),
        ("config.ExposedPorts", json!({"config": {"ExposedPorts": ["80/tcp"]}})),
        ("config.Volumes./x", json!({"config": {"Volumes": {"/x": true}}})),
        ("config.User", json!({"config": {"User": 0}})),
        ("config.Healthcheck.Test", json!({"config": {"Healthcheck": {"Test": "x"}}})),
        ("config.Env", json!({"config": {"Env": [], "env": []}})),
        ("history", json!({"history": "x"})),
        ("history[0].empty_layer", json!({"history": [{"empty_layer": "yes"}]})),
        ("created", json!({"created": "yesterday"})),
        ("created", json!({"created": ""})),
        ("architecture", json!({"architecture": ["amd64"]})),
        ("rootfs.type", json!({"rootfs": {"type": "evil", "diff_ids": [layout.diff_id]}})),
        ("rootfs.diff_ids", json!({"rootfs": {"type": "layers", "diff_ids": "x"}})),
        ("rootfs", json!({"rootfs": null})),
    ] {
        with_config(&layout, &patch);
        layout.sandbox.imgb("check l").run().error(4, &[&format!("`{field}`")]);
        layout.sandbox.file("Buildfile", "FROM oci:l\nUSER 1\n");
        layout.sandbox.imgb("build --no-check -o x.tar").run().error(4, &[&format!("`{field}`")]);
    }
    with_config(&layout, &json!({"history": [{"created_by": "x"}, {"empty_layer": true}, {}]}));
    let notes = layout.opened().unwrap().image.notes;
    assert!(notes[0].contains("the history has 2 steps"), "{notes:?}");
    // What Go takes for nothing is nothing.
    with_config(&layout, &json!({"config": {"Env": null, "Labels": null}, "history": null}));
    layout.sandbox.imgb("inspect l").run().ok();
}

#[test]
fn a_manifest_or_index_of_the_wrong_shape_is_refused_by_field() {
    const GZIP: &str = "application/gzip";
    let layout = Layout::new();
    let config = layout.config().to_string();
    let check = |manifest: &Value, field: &str| {
        layout.index(&[layout.add(&manifest.to_string())]);
        layout.sandbox.imgb("check l").run().error(4, &[&format!("`{field}`")]);
    };
    let change = |field: &str, at: &dyn Fn(&mut Value)| {
        let mut manifest = layout.manifest(&config);
        at(&mut manifest);
        check(&manifest, field);
    };
    change("config.mediaType", &|m| m["config"]["mediaType"] = json!(GZIP));
    change("layers[0].mediaType", &|m| m["layers"][0]["mediaType"] = json!(GZIP));
    change("artifactType", &|m| m["artifactType"] = json!("application/x"));
    change("layers", &|m| m["layers"] = json!({}));
    change("layers[0].size", &|m| m["layers"][0]["size"] = json!("1024"));
    change("layers[0].annotations.a", &|m| m["layers"][0]["annotations"] = json!({"a": 1}));
    change("config", &|m| m["config"] = json!([]));
    change("config", &|m| m["config"] = json!(null));
    change("mediaType", &|m| m["mediaType"] = json!(1));
    change("schemaVersion", &|m| m["schemaVersion"] = json!("2"));
    for (field, entries) in [("manifests", json!({})), ("manifests[0].digest", json!([{}]))] {
        let index = json!({"schemaVersion": 2, "manifests": entries}).to_string();
        layout.sandbox.file("l/index.json", index);
        layout.sandbox.imgb("check l").run().error(4, &["index.json", &format!("`{field}`")]);
    }
}

/// An index with an image and an attestation, as BuildKit makes it.
fn attested() -> (Layout, Value, Value) {
    let layout = Layout::new();
    let mut config = layout.config();
    config["config"] = json!({"Cmd": ["x"]});
    let mut image = layout.add(&layout.manifest(&config.to_string()).to_string());
    image["platform"] = json!({"os": "linux", "architecture": "amd64"});
    let statement = layout.blob("application/vnd.in-toto+json", br#"{"predicate":1}"#);
    let mut manifest = layout.manifest(&layout.config().to_string());
    manifest["layers"] = json!([statement]);
    let mut attestation = layout.add(&manifest.to_string());
    attestation["platform"] = json!({"os": "unknown", "architecture": "unknown"});
    attestation["annotations"] = json!({"vnd.docker.reference.type": "attestation-manifest"});
    let index = json!({"schemaVersion": 2, "manifests": [image, attestation]}).to_string();
    let mut index = layout.blob("application/vnd.oci.image.index.v1+json", index.as_bytes());
    index["annotations"] = json!({"org.opencontainers.image.ref.name": "1"});
    layout.index(&[index]);
    (layout, attestation, statement)
}

#[test]
fn damage_beside_the_image_is_found() {
    let (layout, attestation, statement) = attested();
    let check = |name: &str| layout.sandbox.imgb(&format!("check {name}")).run();
    // No program: the image has no files.
    check("oci:l:1").exits(1);
    for entry in [attestation, statement] {
        let digest = entry["digest"].as_str().unwrap();
        let blob = format!("l/blobs/sha256/{}", digest.trim_start_matches("sha256:"));
        let good = layout.sandbox.read(&blob);
        let mut bad = good.clone();
        bad[3] ^= 1;
        layout.sandbox.file(&blob, &bad);
        check("oci:l:1").error(7, &[digest]);
        check("l").error(7, &[digest]);
        // The image itself is complete: it can be a base.
        open(&layout.path()).unwrap();
        layout.sandbox.file(&blob, &good[1..]);
        check("l").error(7, &[digest]);
        // An archive may have one platform of an index only.
        fs_err::remove_file(layout.sandbox.path(&blob)).unwrap();
        let check = check("l").exits(1);
        assert!(check.stderr().contains(&format!("missing: {digest}")), "{}", check.show());
        layout.sandbox.file(&blob, &good);
    }
    check("l").exits(1);
}

/// Docker and podman unpack each layer by itself: what is below a link needs the link's target.
#[test]
fn a_layer_with_files_below_a_dangling_link_is_refused() {
    let layer = |entries: &[(&str, &str)]| {
        let mut tar = tar::Builder::new(Vec::new());
        for (name, target) in entries {
            let mut header = tar::Header::new_ustar();
            header.set_size(0);
            header.set_mode(0o755);
            let kind = match (*target, name.ends_with('/')) {
                ("", true) => tar::EntryType::Directory,
                ("", false) => tar::EntryType::Regular,
                _ => tar::EntryType::Symlink,
            };
            header.set_entry_type(kind);
            match target.is_empty() {
                true => tar.append_data(&mut header, name, &b""[..]).unwrap(),
                false => tar.append_link(&mut header, name, target).unwrap(),
            }
        }
        tar.into_inner().unwrap()
    };
    let check = |entries: &[(&str, &str)]| {
        let layout = Layout::new();
        let tar = layer(entries);
        let blob = layout.blob("application/vnd.oci.image.layer.v1.tar", &tar);
        let mut config = layout.config();
        config["rootfs"]["diff_ids"] = json!([Digest::of(&tar).to_string()]);
        let mut manifest = layout.manifest(&config.to_string());
        manifest["layers"] = json!([blob]);
        layout.index(&[layout.add(&manifest.to_string())]);
        layout.opened().map(drop).map_err(|error| error.to_string())
    };
    for entries in [
        &[("a", "/b"), ("a/.wh.a", "")][..],
        &[("a", "b"), ("a/f", "")],
        &[("a", "b"), ("a/.wh..wh..opq", "")],
        &[("a", "/b"), ("a/c/f", "")],
        &[("d/", ""), ("d/a", "../b/c"), ("b/", ""), ("d/a/f", "")],
        &[("x", "y"), ("y", "z"), ("x/f", "")],
    ] {
        let refused = check(entries).unwrap_err();
        assert!(refused.contains("below the link /"), "{entries:?}: {refused}");
    }
    for entries in [
        &[("b/", ""), ("a", "/b"), ("a/.wh.a", "")][..],
        &[("b/f", ""), ("a", "b"), ("a/c/g", "")],
        &[("a/.wh.x", ""), ("c", "gone")],
        &[("y/", ""), ("z", "y"), ("x", "z"), ("x/f", "")],
    ] {
        check(entries).unwrap();
    }
}

/// The images of an archive are told apart by their names, or by their IDs.
#[test]
fn one_of_several_images_of_docker_is_named() {
    let layout = Layout::new();
    let layer = format!("{}.tar", layout.diff_id.trim_start_matches("sha256:"));
    let image = |user: &str| {
        let mut config = layout.config();
        config["config"] = json!({"User": user, "Cmd": ["x"]});
        config.to_string().into_bytes()
    };
    let write = |named: bool| {
        let configs = [image("1"), image("2")];
        let ids = configs.each_ref().map(Digest::of);
        let entries = [0, 1].map(|at| {
            let tags = if named { json!([format!("app:{at}")]) } else { Value::Null };
            let config = format!("{}.json", ids[at].hex());
            json!({"Config": config, "RepoTags": tags, "Layers": [layer]})
        });
        let manifest = json!(entries).to_string().into_bytes();
        let names = ids.each_ref().map(|id| format!("{}.json", id.hex()));
        let [first, second] = configs;
        let members = [
            (&*layer, vec![0; 1024]),
            (&*names[0], first),
            (&*names[1], second),
            ("manifest.json", manifest),
        ];
        layout.sandbox.file("x.tar", tar_of(members));
        ids
    };
    let inspect = |name: &str| layout.sandbox.imgb(&format!("inspect {name}")).run();
    for named in [true, false] {
        let ids = write(named);
        inspect("x.tar").error(2, &["several images"]);
        for (at, user) in ["1", "2"].into_iter().enumerate() {
            let user = format!("user        {user}");
            inspect(&format!("x.tar@{}", ids[at])).ok().prints(&user);
            match named {
                true => inspect(&format!("docker-archive:x.tar:app:{at}")).ok().prints(&user),
                false => inspect(&format!("docker-archive:x.tar:app:{at}")).error(3, &["app:"]),
            };
        }
        let gone = format!("sha256:{}", "0".repeat(64));
        inspect(&format!("x.tar@{gone}")).error(3, &[&gone]);
    }
}

/// In an archive of docker a digest is only in the name of the configuration: `HEX.json`, a blob,
/// or crane's `sha256:HEX`.
#[test]
fn a_configuration_whose_name_is_another_digest_is_refused() {
    let sandbox = Sandbox::new();
    sandbox.program("app", static_elf(X86_64));
    sandbox.imgb("pack app -q -t app:1 -o x.tar").run().ok();
    let docker = docker_face(&sandbox, "x.tar");
    let config = docker[0]["Config"].as_str().unwrap();
    let config = sandbox.tool("tar", "-xOf x.tar").arg(config).run().ok().into_bytes();
    let layer = docker[0]["Layers"][0].as_str().unwrap();
    let layer = sandbox.tool("tar", "-xOf x.tar").arg(layer).run().ok().into_bytes();
    let check = |name: &str| {
        let manifest = json!([{"Config": name, "RepoTags": ["app:1"], "Layers": ["layer.tar"]}]);
        let members = [
            (name, config.clone()),
            ("layer.tar", layer.clone()),
            ("manifest.json", manifest.to_string().into_bytes()),
        ];
        sandbox.file("y.tar", tar_of(members));
        sandbox.imgb("check y.tar").run()
    };
    let (own, other) = (Digest::of(&config), Digest::of(&layer));
    check("config.json").ok();
    for (digest, is_own) in [(own, true), (other, false)] {
        let hex = digest.hex();
        for name in [format!("{hex}.json"), format!("blobs/sha256/{hex}"), format!("sha256:{hex}")]
        {
            let run = check(&name);
            let run = if is_own { run.ok() } else { run.exits(7) };
            assert!(is_own || run.stderr().contains(&other.to_string()), "{}", run.show());
        }
    }
}
