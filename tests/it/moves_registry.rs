//! `push`, `pull`, `copy`, `-o docker://` and FROM with a real registry, and with the clients of
//! others. What is sent is counted in the registry's log.

use serde_json::Value;

use crate::{
    engines::{self, have},
    fixtures,
    registry_server::{self, Registry},
    sandbox::Sandbox,
};

/// The requests that brought blobs into the registry.
fn uploads(registry: &Registry) -> usize {
    let is_upload =
        |line: &&String| line.starts_with("PUT /v2/") && line.contains("/blobs/uploads/");
    registry.requests().iter().filter(is_upload).count()
}

/// A sandbox with the program `app`, and a registry.
fn start() -> Option<(Sandbox, Registry)> {
    let registry = registry_server::registry()?;
    let sandbox = Sandbox::new();
    sandbox.program("app", fixtures::static_elf(fixtures::X86_64));
    Some((sandbox, registry))
}

#[test]
fn images_pushed_by_imgb_run_in_other_engines() {
    let Some((sandbox, registry)) = start() else { return };
    let (Some(docker), Some(podman)) = (engines::docker(), engines::podman()) else { return };
    if !fixtures::busybox(&sandbox) || !have(&["skopeo"]) {
        return;
    }
    let name = format!("{}/team/busybox", registry.host());
    let packed = sandbox
        .imgb(&format!("pack ./bin -o a.tar -o docker://{name}:1 -o docker://{name}:2 --json"))
        .run()
        .ok()
        .json();
    assert_eq!(packed["transfers"][0]["existed"], false, "{packed}");
    assert_eq!(packed["transfers"][1]["sent"], 0, "{packed}");
    let digest = packed["digest"].as_str().unwrap();
    for tag in ["1", "2"] {
        let seen = sandbox
            .tool("skopeo", &format!("inspect --tls-verify=false docker://{name}:{tag}"))
            .run()
            .ok()
            .json();
        assert_eq!(seen["Digest"], digest);
    }
    docker.cli(&format!("pull {name}:1")).run().ok();
    docker.image(&format!("{name}:1")).args("/bin/ls /bin/ls").run().ok().prints("/bin/ls");
    podman.cli(&format!("pull --tls-verify=false {name}@{digest}")).run().ok();
    podman.image(&format!("{name}@{digest}")).args("/bin/ls /bin/ls").run().ok().prints("/bin/ls");
    let run = sandbox.imgb(&format!("run docker://{name}:2 -- /bin/ls /bin/ls")).run();
    run.ok().prints("/bin/ls");
}

#[test]
fn images_pushed_by_others_are_pulled() {
    let Some((sandbox, registry)) = start() else { return };
    let Some(podman) = engines::podman() else { return };
    if !have(&["skopeo"]) {
        return;
    }
    let host = registry.host();
    sandbox.imgb("pack ./app -q -o oci:layout:1 -t localhost/app:1").run().ok();
    for format in ["oci", "v2s2"] {
        let name = format!("docker://{host}/skopeo-{format}:1");
        let copy = format!("copy --dest-tls-verify=false -f {format} oci:layout:1 {name}");
        sandbox.tool("skopeo", &copy).run().ok();
        sandbox.imgb(&format!("check {name}")).run().ok();
        let raw = sandbox.tool("skopeo", "inspect --raw --tls-verify=false").arg(&name).run().ok();
        let pulled = sandbox.imgb(&format!("pull {name} -o {format}.tar")).run().ok().digest();
        assert_eq!(pulled, imgb::digest::Digest::of(raw.into_bytes()).to_string());
        sandbox.imgb(&format!("check {format}.tar")).run().ok();
    }
    sandbox.imgb("copy oci:layout:1 app.tar").run().ok();
    podman.load(&sandbox.path("app.tar"));
    let name = format!("{host}/podman:1");
    podman.cli(&format!("push --tls-verify=false localhost/app:1 {name}")).run().ok();
    sandbox.imgb(&format!("pull {name} -o docker-archive:podman.tar")).run().ok();
    sandbox.imgb("check podman.tar").run().ok();
    podman.load(&sandbox.path("podman.tar"));
}

/// buildah as a pusher, and indexes that others push: each has its digest at the end.
#[test]
fn indexes_and_images_of_buildah_are_pulled() {
    let Some((sandbox, registry)) = start() else { return };
    if !have(&["buildah", "skopeo"]) || !engines::have_root() {
        return;
    }
    let host = registry.host();
    sandbox.program("arm", fixtures::static_elf(fixtures::AARCH64));
    let pack = "pack --platform linux/amd64=./app --platform linux/arm64=./arm -q";
    let index = sandbox.imgb(&format!("{pack} -o oci:layout:1")).run().ok().digest();
    let raw = |name: &str| {
        let raw = format!("inspect --raw --tls-verify=false docker://{host}/{name}:1");
        let raw = sandbox.tool("skopeo", &raw).run().ok().into_bytes();
        imgb::digest::Digest::of(raw).to_string()
    };
    let pulled = |name: &str, args: &str| {
        let pull = format!("pull {host}/{name}:1 {args} -o {name}.tar --force");
        sandbox.imgb(&pull).run().ok().digest()
    };
    let name = format!("docker://{host}/skopeo:1");
    let copy = format!("copy --all --dest-tls-verify=false oci:layout:1 {name}");
    sandbox.tool("skopeo", &copy).run().ok();
    assert_eq!((raw("skopeo"), pulled("skopeo", "--all-platforms")), (index.clone(), index));

    let store = format!("--root {0}/store --runroot {0}/run", sandbox.root().display());
    let buildah = |args: &str| {
        let run = sandbox.tool("buildah", &format!("--storage-driver vfs {store} {args}"));
        run.env("HOME", sandbox.root()).run().ok().text()
    };
    // An image that buildah has made, in both formats.
    let container = buildah("from scratch").trim().to_owned();
    buildah(&format!("copy -q {container} {} /app", sandbox.path("app").display()));
    buildah(&format!("config --entrypoint [\"/app\"] {container}"));
    for format in ["oci", "docker"] {
        buildah(&format!("commit -q --format {format} {container} made-{format}"));
        let name = format!("buildah-{format}");
        buildah(&format!("push -q --tls-verify=false made-{format} docker://{host}/{name}:1"));
        assert_eq!(pulled(&name, ""), raw(&name));
        sandbox.imgb(&format!("check {name}.tar")).run().ok();
    }
    // A list of images of two platforms.
    buildah("manifest create list");
    for platform in ["linux/amd64", "linux/arm64"] {
        let (os, arch) = platform.split_once('/').unwrap();
        let add = format!("manifest add --os {os} --arch {arch} list");
        let one = format!("docker://{host}/one-{arch}:1");
        sandbox
            .imgb(&format!("pull {host}/skopeo:1 --platform {platform} -o {arch}.tar"))
            .run()
            .ok();
        sandbox.imgb(&format!("push {arch}.tar {one}")).run().ok();
        buildah(&format!("{add} --tls-verify=false {one}"));
    }
    buildah(&format!("manifest push --all --tls-verify=false list docker://{host}/list:1"));
    assert_eq!(pulled("list", "--all-platforms"), raw("list"));
    for platform in ["linux/amd64", "linux/arm64"] {
        let check = format!("check docker://{host}/list:1 --platform {platform}");
        sandbox.imgb(&check).run().ok();
    }
    // And podman's client, with its own digest of the same list.
    if let Some(podman) = engines::podman() {
        let name = format!("{host}/podman-list:1");
        podman.cli(&format!("manifest create {name}")).run().ok();
        let add = format!("manifest add --tls-verify=false {name} docker://{host}/one-arm64:1");
        podman.cli(&add).run().ok();
        let push = format!("manifest push --all --tls-verify=false {name} docker://{name}");
        podman.cli(&push).run().ok();
        assert_eq!(pulled("podman-list", "--all-platforms"), raw("podman-list"));
    }
}

#[test]
fn nothing_is_sent_twice() {
    let Some((sandbox, registry)) = start() else { return };
    let host = registry.host();
    sandbox.file("lib/big", "x".repeat(100_000)).file("dir/small", "1");
    sandbox.imgb("pack lib -q --no-check -o base.tar").run().ok();
    let push = |options: &str| -> Value {
        let pack = format!("pack ./app dir:/dir --base base.tar {options} --json --no-check");
        sandbox.imgb(&pack).run().ok().json()["transfers"][0].clone()
    };
    let first = push(&format!("-o docker://{host}/a:1"));
    assert_eq!((first["blobs"].as_array().unwrap().len(), uploads(&registry)), (3, 3), "{first}");
    let again = push(&format!("-o docker://{host}/a:1"));
    assert_eq!((&again["existed"], &again["sent"]), (&true.into(), &0.into()));
    let other_tag = push(&format!("-o docker://{host}/a:2"));
    assert_eq!((other_tag["sent"].as_u64(), uploads(&registry)), (Some(0), 3), "{other_tag}");
    sandbox.file("dir/small", "2");
    let changed = push(&format!("-o docker://{host}/a:1"));
    let sent: Vec<&Value> = changed["blobs"].as_array().unwrap().iter().collect();
    let is_sent = |blob: &&&Value| blob["how"] == "sent";
    assert_eq!((sent.iter().filter(is_sent).count(), uploads(&registry)), (2, 5), "{changed}");
    // Another repository of the registry takes the blobs from the first.
    let copied = sandbox
        .imgb(&format!("copy docker://{host}/a:1 docker://{host}/b:1 --json"))
        .run()
        .ok()
        .json();
    let copied = &copied["outputs"][0];
    let mounted = copied["blobs"].as_array().unwrap().iter().filter(|one| one["how"] == "mounted");
    assert_eq!((mounted.count(), uploads(&registry)), (3, 5), "{copied}");
    assert_eq!(copied["sent"], 0, "the configuration is mounted too: {copied}");
}

/// The requests that read blobs from the registry.
fn downloads(registry: &Registry) -> Vec<String> {
    let is_download = |line: &&String| line.starts_with("GET /v2/") && line.contains("/blobs/");
    registry.requests().iter().filter(is_download).cloned().collect()
}

/// A job without a cache of its own: the image that the tag leads to has the layers that did not
/// change. They are neither compressed nor moved.
#[test]
fn layers_of_the_image_that_is_replaced_stay_where_they_are() {
    let Some((sandbox, registry)) = start() else { return };
    let name = format!("docker://{}/a:1", registry.host());
    sandbox.file("lib/big", fixtures::noise(3_000_000)).file("dir/small", "1");
    let build = |output: &str, args: &str| -> Value {
        sandbox.file("Dockerfile", "FROM scratch\nCOPY lib /lib\nCOPY dir /dir\nCMD /lib/big\n");
        let build = format!("build . --cache empty -o {output} --json --timing {args}");
        let run = sandbox.imgb(&format!("{build} --no-check")).run().ok();
        let _ = fs_err::remove_dir_all(sandbox.path("empty"));
        run.json()
    };
    let cached = |json: &Value| -> Vec<bool> {
        let layers = json["timing"]["layers"].as_array().unwrap();
        layers.iter().map(|layer| layer["cached"].as_bool().unwrap()).collect()
    };
    let first = build(&name, "");
    assert_eq!((cached(&first), uploads(&registry)), (vec![false, false], 3));
    sandbox.file("dir/small", "2");
    let before = downloads(&registry).len();
    let second = build(&name, "");
    assert_eq!((cached(&second), uploads(&registry)), (vec![true, false], 5), "{second}");
    // The configuration of the image before, and the layer that is taken from it.
    let read = downloads(&registry).split_off(before);
    assert_eq!(read.len(), 2, "{read:?}");
    // The same image as the one that nothing was taken for.
    let local = build("a.tar", "");
    assert_eq!(local["digest"], second["digest"]);
    assert_eq!(cached(&local), [false, false]);
    sandbox.imgb(&format!("pull {name} -o pulled.tar")).run().ok();
    sandbox.imgb("inspect pulled.tar --files").run().ok().prints("/dir/small");
    // Where a file needs the bytes they are read, and verified.
    let both = build(&format!("{name} -o b.tar"), "");
    assert_eq!((cached(&both), &both["digest"]), (vec![true, true], &second["digest"]));
    assert_eq!(sandbox.read("b.tar").len(), sandbox.read("a.tar").len());
    // Nothing is asked for with --no-cache, and nothing is taken.
    let without = sandbox.imgb(&format!("build . --no-cache -o {name} --json --timing --no-check"));
    let without = without.run().ok().json();
    assert_eq!((cached(&without), uploads(&registry)), (vec![false, false], 5));
}

/// Not every engine compares the diff id with what it unpacks: podman 4.3 does not.
#[test]
fn a_wrong_layer_of_the_image_that_is_replaced_is_not_taken() {
    let Some((sandbox, registry)) = start() else { return };
    if !have(&["skopeo"]) {
        return;
    }
    let name = format!("docker://{}/a:1", registry.host());
    sandbox.file("good/x", "good").file("evil/x", "evil");
    let pack = |args: &str| sandbox.imgb(&format!("pack {args} -q --no-check")).run().ok().digest();
    let wanted = pack("good:/d --no-cache -o oci:of-good");
    pack("evil:/d --no-cache -o oci:of-evil");
    let open = |dir: &str| crate::image_spec::Layout::open(&sandbox.path(dir));
    let (good, mut manifest) = (open("of-good"), open("of-evil").manifest);
    let put = |bytes: &[u8]| {
        let (digest, size) = crate::image_spec::digest_of(bytes);
        sandbox.file(&format!("of-evil/blobs/sha256/{}", &digest[7..]), bytes);
        (digest, size)
    };
    let (digest, size) = put(good.config.to_string().as_bytes());
    manifest["config"]["digest"] = digest.into();
    manifest["config"]["size"] = size.into();
    let (digest, size) = put(manifest.to_string().as_bytes());
    let entry = serde_json::json!({
        "mediaType": manifest["mediaType"], "digest": digest, "size": size,
    });
    let index = serde_json::json!({"schemaVersion": 2, "manifests": [entry]});
    sandbox.file("of-evil/index.json", index.to_string());
    sandbox.tool("skopeo", &format!("copy --dest-tls-verify=false oci:of-evil {name}")).run().ok();
    assert_eq!(pack(&format!("good:/d --cache c -o {name}")), wanted);
}

/// The first time a base is read, since what is put on it depends on it. Then the cache has what is
/// needed of it, and its layers are neither read nor sent.
#[test]
fn a_base_that_goes_back_to_its_registry_is_mounted() {
    let Some((sandbox, registry)) = start() else { return };
    let host = registry.host();
    sandbox.file("base/etc/os", fixtures::noise(300_000));
    sandbox.imgb(&format!("pack base/ -q --no-check -o docker://{host}/base:1")).run().ok();
    let pack = |version: &str| -> Value {
        sandbox.file("more", version);
        let pack = format!("pack ./more --base docker://{host}/base:1 --no-check --cache cache");
        let pack = format!("{pack} -o docker://{host}/app:{version} --json");
        sandbox.imgb(&pack).run().ok().json()["transfers"][0]["blobs"].clone()
    };
    let first = pack("1");
    let mounted = first.as_array().unwrap().iter().find(|blob| blob["how"] == "mounted").unwrap();
    let layer = format!("/blobs/{} ", mounted["digest"].as_str().unwrap());
    let reads = || downloads(&registry).iter().filter(|line| line.contains(&layer)).count();
    assert_eq!(reads(), 1, "{:?}", downloads(&registry));
    let second = pack("2");
    let again = second.as_array().unwrap().iter().find(|blob| blob["digest"] == mounted["digest"]);
    assert_eq!((&again.unwrap()["how"], reads()), (&"existed".into(), 1), "{second}");
}

/// A layer of another repository is verified, and then mounted.
#[test]
fn layers_of_other_repositories_are_mounted() {
    let Some((sandbox, registry)) = start() else { return };
    let host = registry.host();
    sandbox.file("lib/big", fixtures::noise(300_000));
    let pack = |output: &str| {
        let pack = format!("pack lib:/lib --no-check --no-cache --json {output}");
        sandbox.imgb(&pack).run().ok().json()["transfers"][0].clone()
    };
    pack(&format!("-o docker://{host}/a:1"));
    let before = downloads(&registry).len();
    let mounted = pack(&format!("-o docker://{host}/b:1 --cache-from docker://{host}/a:1"));
    assert_eq!(mounted["blobs"][0]["how"], "mounted", "{mounted}");
    assert_eq!(downloads(&registry).len(), before + 2, "the configuration and the layer");
}

#[test]
fn an_index_is_copied_whole_or_one_platform_of_it() {
    let Some((sandbox, registry)) = start() else { return };
    let host = registry.host();
    sandbox.program("arm", fixtures::static_elf(fixtures::AARCH64));
    let name = format!("docker://{host}/app:1");
    let pack =
        format!("pack --platform linux/amd64=./app --platform linux/arm64=./arm -q -o {name}");
    let index = sandbox.imgb(&pack).run().ok().digest();
    for (from, to) in [
        (&*name, "oci:layout:1"),
        ("oci:layout:1", "oci-archive:a.tar"),
        ("oci-archive:a.tar", "b.tar"),
        ("b.tar", &*format!("docker://{host}/other:1")),
    ] {
        let copied = sandbox.imgb(&format!("copy {from} {to}")).run().ok().digest();
        assert_eq!(copied, index, "{from} {to}");
        for platform in ["linux/amd64", "linux/arm64"] {
            let to =
                if to.starts_with("docker") { to } else { to.trim_start_matches("oci-archive:") };
            sandbox.imgb(&format!("check {to} --platform {platform}")).run().ok();
        }
    }
    let pulled = sandbox.imgb(&format!("pull {name} -o one.tar --json")).run().ok().json();
    assert_eq!(pulled["outputs"][0]["platform"], "linux/amd64");
    let arm = format!("pull {name} --platform linux/arm64 -o docker-archive:arm.tar --json");
    let arm = sandbox.imgb(&arm).run().ok().json();
    assert_eq!(arm["outputs"][0]["platform"], "linux/arm64");
    let all = format!("pull {name} --all-platforms -o all/");
    assert_eq!(sandbox.imgb(&all).run().ok().digest(), index);
    let seen = sandbox.imgb("inspect arm.tar --json").run().ok().json();
    assert_eq!(seen["platform"], "linux/arm64");
    // Without an image for this machine, too.
    let two = "pack --platform linux/arm64=./arm --platform linux/s390x=./arm --no-check";
    let two = sandbox.imgb(&format!("{two} --no-deps -q -o two.tar")).run().ok().digest();
    let push = format!("push two.tar {host}/two:1");
    assert_eq!(sandbox.imgb(&push).run().ok().digest(), two);
    if have(&["skopeo"]) {
        let raw = format!("inspect --raw --tls-verify=false docker://{host}/other:1");
        let raw = sandbox.tool("skopeo", &raw).run().ok().into_bytes();
        assert_eq!(imgb::digest::Digest::of(raw).to_string(), index);
    }
}

#[test]
fn bases_come_from_registries() {
    let Some((sandbox, registry)) = start() else { return };
    let host = registry.host();
    sandbox.file("base/etc/os", "base").file("more", "more");
    let push = format!("pack base/ -q --no-check -o docker://{host}/base:1");
    let digest = sandbox.imgb(&push).run().ok().digest();
    sandbox.file(
        "ctx/Dockerfile",
        format!(
            "ARG VERSION=1\nFROM {host}/base:$VERSION AS one\nFROM {host}/base@{digest}\n\
             COPY --from=one /etc/os /one\nCOPY --from={host}/base:1 /etc/os /two\n"
        ),
    );
    sandbox.imgb("build ctx -q -o rootfs:out.tar").run().ok();
    let names = sandbox.tool("tar", "-tf out.tar").run().ok().text();
    assert!(["etc/os", "one", "two"].iter().all(|name| names.contains(&format!("{name}\n"))));
    let pack = format!("pack ./more --base docker://{host}/base:1 --no-check -q -o b.tar");
    sandbox.imgb(&pack).run().ok();
    sandbox.imgb("inspect b.tar --files").run().ok().prints("/etc/os");
    let gone = format!("FROM {host}/base:2\n");
    sandbox.file("ctx/Dockerfile", gone);
    sandbox.imgb("build ctx -o c.tar").run().error(3, &["image with the tag `2`"]);
}

#[test]
fn a_registry_that_does_not_answer_has_an_exit_code_of_its_own() {
    let Some((sandbox, registry)) = start() else { return };
    let name = format!("{}/app:1", registry.host());
    sandbox.imgb(&format!("pack ./app -q -o a.tar -o docker://{name}")).run().ok();
    drop(registry);
    let fast = "--retry-for 1s";
    let run = |args: String| sandbox.imgb(&args).run();
    run(format!("pull {name} -o b.tar {fast}")).error(6, &[&name[..name.len() - 6]]);
    run(format!("push a.tar {name} {fast}")).exits(6);
    run(format!("inspect docker://{name} {fast}")).exits(6);
    run(format!("pack ./app -o c.tar -o docker://{name} {fast}")).exits(6);
    assert!(sandbox.path("c.tar").exists(), "outputs before it are complete");
}

#[test]
fn tags_and_digests_can_be_pinned() {
    let Some((sandbox, registry)) = start() else { return };
    let name = format!("{}/app:1", registry.host());
    let digest = sandbox.imgb("pack ./app -q -o a.tar").run().ok().digest();
    let other = imgb::digest::Digest::of("other");
    let expect = format!("push a.tar {name} --expect-digest {other}");
    sandbox.imgb(&expect).run().error(7, &[&digest, &other.to_string()]);
    assert!(!registry.requests().iter().any(|line| line.starts_with("PUT")), "nothing was sent");
    let push = format!("push a.tar {name} --immutable --expect-digest {digest}");
    sandbox.imgb(&push).run().ok();
    // The tag leads to the image already.
    sandbox.imgb(&push).run().ok();
    sandbox.imgb("pack ./app --env A=1 -q -o b.tar").run().ok();
    sandbox.imgb(&format!("push b.tar {name} --immutable")).run().error(6, &[&digest]);
    sandbox.imgb(&format!("push b.tar {name}")).run().ok();
    let by_digest = name.replace(":1", &format!("@{digest}"));
    assert_eq!(sandbox.imgb(&format!("pull {by_digest} -o c.tar")).run().ok().digest(), digest);
    sandbox.imgb(&format!("push b.tar {by_digest}")).run().error(7, &[&digest]);
}

#[test]
fn a_login_is_stored_for_imgb_and_for_others() {
    let demands = registry_server::Demands { login: true, tls: true };
    let Some(registry) = registry_server::demanding(demands) else { return };
    if !have(&["skopeo"]) {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.program("app", fixtures::static_elf(fixtures::X86_64));
    sandbox.imgb("pack ./app -q -o a.tar").run().ok();
    let (host, ca) = (registry.host(), registry.ca_file().display().to_string());
    let name = format!("{host}/app:1");
    let imgb = |args: &str| sandbox.imgb(args).env("HOME", sandbox.path("home"));
    let hint = format!("log in with `imgb login {host}`");
    imgb(&format!("push a.tar {name} --ca-file {ca}")).run().error(6, &[&hint]);
    imgb(&format!("push a.tar {name} --retry-for 1s")).run().error(6, &["TLS", "--ca-file"]);
    let login = |password: &str, more: &str| {
        sandbox.file("password", password);
        let user = registry_server::USER;
        let words = format!("login {host} -u {user} --password-stdin --ca-file {ca} {more}");
        let shell = "exec \"$@\" <password";
        let under = ["sh", "-c", shell, "sh"];
        imgb(&words).under(&under).run()
    };
    let refused = login("CANARY-wrong", "").exits(6);
    assert!(!refused.show().contains("CANARY"), "{}", refused.show());
    let accepted = login(&format!("{}\n", registry_server::PASSWORD), "").ok();
    assert!(!accepted.show().contains("CANARY"), "{}", accepted.show());
    let config = sandbox.path("home/.docker/config.json");
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(fs_err::metadata(&config).unwrap().permissions().mode() & 0o777, 0o600);
    imgb(&format!("push a.tar {name} --ca-file {ca}")).run().ok();
    imgb(&format!("check docker://{name} --ca-file {ca}")).run().ok();
    let inspect =
        format!("inspect --tls-verify=false --authfile {} docker://{name}", config.display());
    sandbox.tool("skopeo", &inspect).run().ok();
    imgb(&format!("logout {host}")).run().ok();
    imgb(&format!("pull {name} -o b.tar --ca-file {ca}")).run().error(6, &[&hint]);
    let creds = format!("{}:{}", registry_server::USER, registry_server::PASSWORD);
    imgb(&format!("pull {name} -o b.tar --insecure {host} --creds {creds}")).run().ok();
    let with_variables = imgb(&format!("pull {name} -o c.tar --ca-file {ca}"))
        .env("IMGB_REGISTRY_USER", registry_server::USER)
        .env("IMGB_REGISTRY_PASSWORD", registry_server::PASSWORD);
    with_variables.run().ok();
}
