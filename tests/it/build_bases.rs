//! Bases: images of every local form, and tarballs, in FROM, `COPY --from` and `pack --base`.
//! Docker and skopeo make the images; layers are compared with the documents of their archives.

use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use crate::{
    engines::{self, Docker, have},
    sandbox::Sandbox,
};

/// Makes `old.tar` as Docker writes it, and the same image in the other forms: two layers, of which
/// the upper deletes a file and hides a directory of the lower.
fn images(sandbox: &Sandbox, docker: &Docker) {
    sandbox.file(
        "base/Dockerfile",
        "FROM scratch\nCOPY lower /\nENV A=1\nUSER 5\nWORKDIR /w\nCMD [\"c\"]\n",
    );
    for path in ["gone", "kept", "hid/old", "hid/sub/old", "usr/lib/libx", "usr/bin/tool"] {
        sandbox.file(&format!("base/lower/{path}"), path);
    }
    sandbox.symlink("base/lower/lib", "usr/lib").symlink("base/lower/bin", "/usr/bin");
    let context = sandbox.path("base");
    // All tests share one daemon, and two of them make these images under the same names.
    static NAMES: Mutex<()> = Mutex::new(());
    let names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    docker.cli("build -q -t imgb-lower").env("DOCKER_BUILDKIT", "0").arg(&context).run().ok();
    docker.cli("save imgb-lower -o").arg(sandbox.path("old.tar")).run().ok();
    sandbox.tool("skopeo", "copy -q docker-archive:old.tar oci:layout:v1").run().ok();
    // The second layer, with the whiteouts, is made by umoci from changed unpacked files.
    sandbox.tool("umoci", "unpack --image layout:v1 bundle").run().ok();
    fs_err::remove_file(sandbox.path("bundle/rootfs/gone")).unwrap();
    fs_err::remove_dir_all(sandbox.path("bundle/rootfs/hid")).unwrap();
    sandbox.file("bundle/rootfs/hid/new", "new");
    sandbox.tool("umoci", "repack --image layout:v2 bundle").run().ok();
    for (from, to) in [
        ("oci:layout:v2", "docker-archive:two.tar:two:latest"),
        ("oci:layout:v2", "oci-archive:two-oci.tar:two"),
    ] {
        sandbox.tool("skopeo", &format!("copy -q {from} {to}")).run().ok();
    }
    // As the docker of this machine writes it: before 25, a directory per layer, with links between
    // them.
    docker.load(&sandbox.path("two.tar"));
    docker.cli("save two:latest -o").arg(sandbox.path("saved.tar")).run().ok();
    docker.cli("rmi --force two:latest imgb-lower").run().ok();
    drop(names);
    old_layout(sandbox);
}

/// Writes `legacy.tar`, an archive as Docker wrote it before content addresses (version 1.10): a
/// directory per layer, one of them a link.
fn old_layout(sandbox: &Sandbox) {
    let script = r#"
import json, os, tarfile
source = tarfile.open("two.tar")
[image] = json.load(source.extractfile("manifest.json"))
layers = []
for at, name in enumerate(image["Layers"]):
    os.makedirs("legacy/%064x" % at)
    layers.append("%064x/layer.tar" % at)
    member = source.getmember(name)
    data = source.extractfile(member.linkname if member.issym() else member).read()
    open("legacy/" + layers[-1], "wb").write(data)
    open("legacy/%064x/VERSION" % at, "w").write("1.0")
config = source.extractfile(image["Config"]).read()
open("legacy/config.json", "wb").write(config)
manifest = [{"Config": "config.json", "RepoTags": ["two:latest"], "Layers": layers}]
json.dump(manifest, open("legacy/manifest.json", "w"))
"#;
    sandbox.file("legacy.py", script).tool("python3", "legacy.py").run().ok();
    sandbox.tool("tar", "-C legacy -cf legacy.tar .").run().ok();
}

/// The files of an image, as imgb reads its root file system.
fn listed(sandbox: &Sandbox, tarball: &str) -> Vec<String> {
    let text = sandbox.tool("tar", &format!("-tf {tarball}")).run().ok().text();
    text.lines().map(str::to_owned).collect()
}

/// The manifest and the configuration of the image in the layout `dir`.
pub(crate) fn documents(sandbox: &Sandbox, dir: &str) -> (Value, Value) {
    let json = |path: &str| -> Value {
        serde_json::from_slice(&sandbox.read(&format!("{dir}/{path}"))).unwrap()
    };
    let blob = |digest: &Value| {
        json(&format!("blobs/sha256/{}", &digest.as_str().unwrap()["sha256:".len()..]))
    };
    let manifest = blob(&json("index.json")["manifests"][0]["digest"]);
    let config = blob(&manifest["config"]["digest"]);
    (manifest, config)
}

#[test]
fn a_base_of_every_form_keeps_its_layers_and_its_configuration() {
    let Some(docker) = engines::docker() else { return };
    if !have(&["skopeo", "umoci", "python3"]) {
        return;
    }
    let sandbox = Sandbox::new();
    images(&sandbox, &docker);
    sandbox.file("ctx/a", "a");
    let wanted: Vec<&str> =
        "a bin hid/ hid/new kept lib usr/ usr/bin/ usr/bin/tool usr/lib/ usr/lib/a usr/lib/libx w/"
            .split(' ')
            .collect();
    for base in [
        "docker-archive:../two.tar",
        "docker-archive:../saved.tar",
        "docker-archive:../legacy.tar",
        "oci:../layout:v2",
        "oci-archive:../two-oci.tar",
        "../two.tar",
        "../two-oci.tar",
        "../layout:v2",
    ] {
        sandbox.file("ctx/Buildfile", format!("FROM {base}\nCOPY a /lib/\nCOPY a /\nENV B=2\n"));
        sandbox.imgb("build ctx -q --no-check -o rootfs:root.tar -o oci:out").run().ok();
        assert_eq!(listed(&sandbox, "root.tar"), wanted, "{base}");
        let (manifest, config) = documents(&sandbox, "out");
        let fields = &config["config"];
        assert_eq!(fields["User"], "5", "{base}");
        assert_eq!(fields["WorkingDir"], "/w", "{base}");
        assert_eq!(fields["Cmd"][0], "c", "{base}");
        let env = fields["Env"].as_array().unwrap();
        assert!(env.contains(&"A=1".into()) && env.contains(&"B=2".into()), "{base}: {env:?}");
        let layers = manifest["layers"].as_array().unwrap();
        let diff_ids = config["rootfs"]["diff_ids"].as_array().unwrap();
        let history = config["history"].as_array().unwrap();
        let full = history.iter().filter(|step| step["empty_layer"] != true).count();
        assert_eq!((diff_ids.len(), full), (layers.len(), layers.len()), "{base}");
        if base == "oci:../layout:v2" {
            let (below, _) = {
                let inspected =
                    sandbox.tool("skopeo", "inspect --raw oci:layout:v2").run().ok().text();
                (serde_json::from_str::<Value>(&inspected).unwrap(), ())
            };
            let below = below["layers"].as_array().unwrap();
            assert_eq!(
                &layers[..below.len()],
                &below[..],
                "byte for byte, by the same descriptors"
            );
        }
        fs_err::remove_dir_all(sandbox.path("out")).unwrap();
    }
}

/// A third layer hides everything in a directory. All layers are compressed with zstd, and the
/// image has been in podman's store.
#[test]
fn opaque_directories_and_layers_of_zstd() {
    let Some(podman) = engines::podman() else { return };
    if !have(&["skopeo", "umoci"]) {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.file("ctx/low/d/one", "1").file("ctx/low/d/sub/two", "2").file("ctx/low/e", "e");
    sandbox.file("ctx/Dockerfile", "FROM scratch\nCOPY low /\n");
    sandbox.imgb("build ctx -q -o oci:layout:v1").run().ok();
    sandbox.file("up/d/three", "3").file("up/d/.wh..wh..opq", "").file("up/.wh.e", "");
    sandbox.tool("tar", "--owner=0 --group=0 -cf up.tar -C up d .wh.e").run().ok();
    sandbox.tool("umoci", "raw add-layer --image layout:v1 --tag v2 up.tar").run().ok();
    let zstd = "copy -q --dest-compress --dest-compress-format zstd oci:layout:v2 oci:zstd:v2";
    sandbox.tool("skopeo", zstd).run().ok();
    sandbox.tool("skopeo", "copy -q oci:layout:v2 docker-archive:two.tar:two:v2").run().ok();
    podman.load(&sandbox.path("two.tar"));
    podman.save("two:v2", "docker-archive", &sandbox.path("podman.tar"));
    podman.save("two:v2", "oci-archive", &sandbox.path("podman-oci.tar"));
    for base in
        ["oci:../layout:v2", "oci:../zstd:v2", "../two.tar", "../podman.tar", "../podman-oci.tar"]
    {
        sandbox.file("ctx/Dockerfile", format!("FROM {base}\nCOPY low/e /d/\n"));
        sandbox.imgb("build ctx -q -o rootfs:root.tar").run().ok();
        assert_eq!(listed(&sandbox, "root.tar"), ["d/", "d/e", "d/three"], "{base}");
    }
}

#[test]
fn a_base_with_onbuild_instructions_is_refused() {
    if !have(&["python3"]) {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox
        .file("ctx/a", "a")
        .file("ctx/Dockerfile", "FROM scratch\nCOPY a /\nLABEL trigger=here\n");
    sandbox.imgb("build ctx -q -t x -o docker-archive:base.tar").run().ok();
    let script = r#"
import io, json, tarfile
old, new = tarfile.open("base.tar"), tarfile.open("trigger.tar", "w")
for member in old:
    data = old.extractfile(member).read() if member.isfile() else b""
    if b'"trigger"' in data:
        config = json.loads(data)
        config["config"]["OnBuild"] = ["COPY . /app"]
        data = json.dumps(config).encode()
    if member.name == "manifest.json":
        manifest = json.loads(data)
        manifest[0]["Config"] = "config.json"
        data = json.dumps(manifest).encode()
    if b'"OnBuild"' in data:
        member.name = "config.json"
    member.size = len(data)
    new.addfile(member, io.BytesIO(data))
new.close()
"#;
    sandbox.file("trigger.py", script).tool("python3", "trigger.py").run().ok();
    sandbox.file("ctx/Dockerfile", "FROM ../trigger.tar\n");
    sandbox
        .imgb("build ctx -q -o x.tar")
        .run()
        .error(4, &["ONBUILD", "COPY . /app", "Dockerfile:1:6"]);
    sandbox.file("ctx/Dockerfile", "FROM scratch\nCOPY --from=../trigger.tar /a /b\n");
    sandbox.imgb("build ctx -q -o rootfs:root.tar").run().ok();
    assert_eq!(listed(&sandbox, "root.tar"), ["b"]);
}

#[test]
fn copy_from_an_image_and_pack_into_one() {
    let Some(docker) = engines::docker() else { return };
    if !have(&["skopeo", "umoci", "python3"]) {
        return;
    }
    let sandbox = Sandbox::new();
    images(&sandbox, &docker);
    sandbox.file("ctx/Buildfile", "FROM scratch\nCOPY --from=../two.tar /lib/libx /bin/ /x/\n");
    sandbox.imgb("build ctx -q -o rootfs:root.tar").run().ok();
    assert_eq!(listed(&sandbox, "root.tar"), ["x/", "x/libx", "x/tool"]);

    sandbox.file("bin/new", "n").file("lib/liby", "y");
    sandbox
        .imgb(
            "pack ./bin ./lib --base two.tar --user 9 --no-check -q -o rootfs:over.tar -o oci:over",
        )
        .run()
        .ok();
    let over = listed(&sandbox, "over.tar");
    assert!(
        over.contains(&"usr/bin/new".into()) && over.contains(&"usr/lib/liby".into()),
        "{over:?}"
    );
    assert!(over.contains(&"bin".into()) && over.contains(&"lib".into()), "links stay: {over:?}");
    assert!(!over.iter().any(|path| path == "gone" || path.starts_with("hid/old")), "{over:?}");
    let (manifest, config) = documents(&sandbox, "over");
    assert_eq!(
        (&config["config"]["User"], &config["config"]["WorkingDir"]),
        (&"9".into(), &"/w".into())
    );
    let below = sandbox.tool("skopeo", "inspect --raw docker-archive:two.tar").run().ok().text();
    let below: Value = serde_json::from_str(&below).unwrap();
    let (layers, below) =
        (manifest["layers"].as_array().unwrap(), below["layers"].as_array().unwrap());
    let diff_ids =
        |layers: &[Value]| layers.iter().map(|layer| layer["digest"].clone()).collect::<Vec<_>>();
    assert_eq!(diff_ids(&layers[..below.len()]), diff_ids(below));
    assert!(layers.len() > below.len());
    sandbox.imgb("pack ./bin --base gone.tar -o x.tar").run().error(3, &["--base gone.tar"]);
}

#[test]
fn a_program_is_put_on_a_base_and_uses_its_libraries() {
    let Some(docker) = engines::docker() else { return };
    let sandbox = Sandbox::new();
    if !have(&["gcc", "bash"]) {
        return;
    }
    sandbox.file("hello.c", "#include <stdio.h>\nint main(void) { puts(\"hello\"); }\n");
    sandbox.tool("gcc", "-o hello hello.c").run().ok();
    sandbox.imgb("pack bash -q -o base.tar -t imgb-onto-base").run().ok();
    sandbox.imgb("pack ./hello --base base.tar  -q -o onto.tar -t imgb-onto").run().ok();
    // The base provides the C library and its loader.
    let added = sandbox.imgb("pack ./hello --base base.tar --dry-run -q").run().ok().text();
    assert!(added.contains(": 1 path in 1 layer,") && added.contains("/hello"), "{added}");
    docker.load(&sandbox.path("onto.tar"));
    docker.image("imgb-onto").run().ok().prints("hello");
    docker
        .cli("run --rm --network=none --entrypoint=bash imgb-onto -c")
        .arg("/hello && echo both")
        .run()
        .ok()
        .prints("both");
}

#[test]
fn a_tarball_is_a_base() {
    let sandbox = Sandbox::new();
    sandbox
        .file("root/etc/passwd", "bob:x:7:8::/:/bin/sh\n")
        .file("root/usr/lib/x", "x")
        .symlink("root/lib", "usr/lib");
    for (name, flag) in
        [("plain.tar", ""), ("gz.tar.gz", "z"), ("bz.tar.bz2", "j"), ("xz.tar.xz", "J")]
    {
        sandbox
            .tool("tar", &format!("-C root -c{flag}f ctx-{name} --owner=3 --group=4 ."))
            .run()
            .ok();
    }
    sandbox.tool("zstd", "-q ctx-plain.tar -o ctx-zst.tar.zst").run().ok();
    for name in ["plain.tar", "gz.tar.gz", "bz.tar.bz2", "xz.tar.xz", "zst.tar.zst"] {
        let recipe = format!("FROM rootfs:{name}\nCOPY --chown=bob a /lib/\n");
        fs_err::create_dir_all(sandbox.path("ctx")).unwrap();
        fs_err::copy(sandbox.path(format!("ctx-{name}")), sandbox.path(format!("ctx/{name}")))
            .unwrap();
        sandbox.file("ctx/a", "a").file("ctx/Buildfile", recipe);
        sandbox.imgb("build ctx -q -o rootfs:root.tar").run().ok();
        let text = sandbox.tool("tar", "--numeric-owner -tvf root.tar").run().ok().text();
        for wanted in [" 3/4 ", " lib -> usr/lib\n", " 7/8 "] {
            assert!(text.contains(wanted), "{name}: {text}");
        }
        assert!(text.contains(" usr/lib/a\n"), "{text}");
    }
}

#[test]
fn a_registry_reference_outside_a_buildfile_gives_advice() {
    let sandbox = Sandbox::new();
    sandbox.file("ctx/Buildfile", "FROM ./gone\n").file("app", "x");
    sandbox.imgb("build ctx -o x.tar").run().error(3, &["`./gone` is not a file here"]);
    let advice = "write `docker://docker.io/library/debian:12` to take it from a registry";
    sandbox
        .imgb("pack ./app --base debian:12 -o x.tar")
        .run()
        .error(3, &["`debian:12` is not a file here", advice]);
    sandbox.imgb("inspect debian:12").run().error(3, &["debian:12: no such image", advice]);
    sandbox.imgb("inspect app.tar").run().error(3, &["app.tar: no such image"]);
}
