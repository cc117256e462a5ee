//! `imgb attach`, `imgb referrers` and `--referrers`: what is put beside an image is found again,
//! in registries, layouts and archives, and no engine takes notice of it.

use serde_json::{Value, json};

use crate::{
    engines::{self, have},
    fixtures::{self, X86_64, static_elf},
    layouts::Layout,
    registry_honest::Honest,
    registry_script::{Answer, Server},
    registry_server,
    sandbox::{Outcome, Sandbox},
};

const KIND: &str = "application/vnd.example.audit+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// A sandbox with the program `app` and the files `audit.json` and `other.json`.
fn start() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.program("app", static_elf(X86_64));
    sandbox.file("audit.json", "{\"passed\":true}").file("other.json", "{}");
    sandbox
}

fn listed(sandbox: &Sandbox, image: &str) -> Vec<Value> {
    let listed = sandbox.imgb(&format!("referrers --json {image}")).run().ok().json();
    listed["referrers"].as_array().unwrap().clone()
}

fn attach(sandbox: &Sandbox, image: &str, more: &str) -> Outcome {
    sandbox.imgb(&format!("attach {image} audit.json --type {KIND} -q {more}")).run()
}

#[test]
fn a_layout_and_archives_keep_what_is_attached() {
    let sandbox = start();
    let outputs = "-o a.tar -o oci:layout:1 -o oci-archive:b.tar -o c.tar.gz";
    let packed = sandbox.imgb(&format!("pack app -t app:1 {outputs}")).run().ok().digest();
    for image in ["a.tar", "oci:layout:1", "b.tar", "c.tar.gz"] {
        assert_eq!(listed(&sandbox, image), Vec::<Value>::new(), "{image}");
        let first = attach(&sandbox, image, "--annotation key=team").ok().digest();
        // The same again is the same artifact.
        assert_eq!(attach(&sandbox, image, "--annotation key=team").ok().digest(), first);
        let stdin = format!(
            "printf signed | {} attach {image} - --type a/b --content-type text/plain -q",
            env!("CARGO_BIN_EXE_imgb")
        );
        sandbox.tool("sh", "-c").arg(stdin).run().ok();
        let all = listed(&sandbox, image);
        let kinds: Vec<&Value> = all.iter().map(|one| &one["type"]).collect();
        assert_eq!(kinds, [KIND, "a/b"], "{image}");
        assert_eq!((&all[0]["digest"], &all[0]["subject"]), (&json!(first), &json!(packed)));
        assert_eq!(all[0]["annotations"], json!({"key": "team"}), "{image}");
        let get = format!("referrers {image} --type {KIND} -o -");
        assert_eq!(sandbox.imgb(&get).run().ok().text(), "{\"passed\":true}");
        sandbox.imgb(&format!("referrers {image} --type a/b -o got")).run().ok();
        assert_eq!(sandbox.read("got"), b"signed");
        sandbox.imgb(&format!("referrers {image} -o got")).run().error(2, &["2 artifacts", KIND]);
        sandbox.imgb(&format!("referrers {image} --type x/y -o got")).run().error(3, &["no such"]);
        sandbox.imgb(&format!("check -q {image}")).run().ok();
        let copied = sandbox.imgb(&format!("copy {image} copy.tar --force -q")).run().ok();
        assert_eq!(copied.digest(), packed, "{image}");
        assert_eq!(listed(&sandbox, "copy.tar"), Vec::<Value>::new());
    }
    // The image is written to the layout again, and what is attached stays.
    sandbox.imgb("pack app -t app:1 -o oci:layout:1 -q").run().ok();
    assert_eq!(listed(&sandbox, "oci:layout:1").len(), 2);
    let copy = "copy oci:layout:1 oci-archive:d.tar.gz --referrers --json";
    let copied = sandbox.imgb(copy).run().ok().json();
    assert_eq!(copied["outputs"][0]["referrers"].as_array().unwrap().len(), 2, "{copied}");
    assert_eq!(listed(&sandbox, "d.tar.gz"), listed(&sandbox, "oci:layout:1"));
}

#[test]
fn what_is_attached_is_verified() {
    let sandbox = start();
    sandbox.imgb("pack app -t app:1 -o oci:layout:1 -q").run().ok();
    attach(&sandbox, "oci:layout:1", "").ok();
    let blob = imgb::digest::Digest::of("{\"passed\":true}").hex();
    let blob = format!("layout/blobs/sha256/{blob}");
    sandbox.file(&blob, "{\"passed\":fals}");
    let get = "referrers oci:layout:1 -o got";
    sandbox.imgb(get).run().error(7, &["has the digest"]);
    sandbox.imgb("check oci:layout:1").run().error(7, &["has the digest"]);
    fs_err::remove_file(sandbox.path(&blob)).unwrap();
    sandbox.imgb(get).run().error(4, &["is missing"]);
    let copy = sandbox.imgb("copy oci:layout:1 x.tar --referrers -q").run();
    let outcome = copy.error(4, &["error: the blob", "is missing"]);
    assert!(!outcome.show().contains("cannot read"), "{}", outcome.show());
}

#[test]
fn what_has_no_place_for_artifacts_says_so() {
    let sandbox = start();
    sandbox.imgb("pack app -o docker-archive:d.tar -o a.tar -t app:1 -q").run().ok();
    attach(&sandbox, "d.tar", "").error(4, &["d.tar has no place for artifacts", "oci-archive:"]);
    let copy = "copy a.tar docker-archive:e.tar --referrers";
    sandbox.imgb(copy).run().error(2, &["has no place for what is attached"]);
    let wrong = "attach a.tar audit.json --type json";
    sandbox.imgb(wrong).run().error(2, &["write a media type"]);
    let image = "attach a.tar audit.json --type application/vnd.oci.image.config.v1+json";
    sandbox.imgb(image).run().error(2, &["a part of an image"]);
    let gone = "attach a.tar gone.json --type a/b";
    sandbox.imgb(gone).run().error(3, &["cannot read `gone.json`"]);
    let same = "referrers a.tar -o a.tar";
    attach(&sandbox, "a.tar", "").ok();
    sandbox.imgb(same).run().error(2, &["would replace the input"]);
}

/// As oras and others write them: an entry of their own, with a subject.
#[test]
fn artifacts_that_the_index_lists_are_found() {
    let layout = Layout::new();
    let image = layout.add(&layout.manifest(&layout.config().to_string()).to_string());
    let blob = layout.blob("text/plain", b"signed");
    let empty = layout.blob("application/vnd.oci.empty.v1+json", b"{}");
    let manifest = |subject: &Value| {
        json!({
            "schemaVersion": 2, "artifactType": "a/b", "config": empty, "layers": [blob],
            "subject": subject, "annotations": {"k": "v"},
        })
    };
    let about_image = layout.add(&manifest(&image).to_string());
    let about_other = layout.add(&manifest(&empty).to_string());
    let about_artifact = layout.add(&manifest(&about_image).to_string());
    layout.index(&[image, about_image.clone(), about_other, about_artifact.clone()]);
    let sandbox = &layout.sandbox;
    let all = listed(sandbox, "oci:l");
    assert_eq!(all.len(), 1, "{all:?}");
    assert_eq!(all[0]["digest"], about_image["digest"]);
    assert_eq!((&all[0]["type"], &all[0]["annotations"]["k"]), (&json!("a/b"), &json!("v")));
    assert_eq!(sandbox.imgb("referrers oci:l -o -").run().ok().text(), "signed");
    // What is about the artifact goes along with it.
    let copied = sandbox.imgb("copy oci:l oci:copy --referrers --json").run().ok().json();
    let wanted = json!([about_image["digest"], about_artifact["digest"]]);
    assert_eq!(copied["outputs"][0]["referrers"], wanted);
    sandbox.imgb("check -q oci:copy").run().ok();
}

#[test]
fn of_an_index_the_whole_or_one_image_is_the_subject() {
    let sandbox = start();
    sandbox.program("arm", static_elf(fixtures::AARCH64));
    let pack = "pack --platform linux/amd64=./app --platform linux/arm64=./arm -t app:1 -q";
    let index = sandbox.imgb(&format!("{pack} -o oci:layout:1")).run().ok().digest();
    attach(&sandbox, "oci:layout:1", "").ok();
    attach(&sandbox, "oci:layout:1", "--platform linux/arm64").ok();
    let all = listed(&sandbox, "oci:layout:1");
    assert_eq!((all.len(), &all[0]["subject"]), (2, &json!(index)), "{all:?}");
    assert_eq!(all[1]["platform"], "linux/arm64");
    assert_eq!(listed(&sandbox, "oci:layout:1 --platform linux/arm64").len(), 1);
    assert_eq!(listed(&sandbox, "oci:layout:1 --platform linux/amd64").len(), 0);
    sandbox.imgb("copy oci:layout:1 all.tar --referrers -q").run().ok();
    assert_eq!(listed(&sandbox, "all.tar"), all);
    let one = "copy oci:layout:1 one.tar --referrers --platform linux/arm64 -q";
    let arm = sandbox.imgb(one).run().ok().digest();
    assert_eq!(listed(&sandbox, "one.tar").len(), 1);
    // An image that is named by its digest is one image, and not the index that lists it.
    let named = format!("oci:layout@{arm}");
    let copied = sandbox.imgb(&format!("copy {named} named.tar --referrers -q")).run().ok();
    assert_eq!((copied.digest(), listed(&sandbox, "named.tar").len()), (arm, 1));
    sandbox.imgb(&format!("attach {named} other.json --type a/b -q")).run().ok();
    assert_eq!(listed(&sandbox, "oci:layout:1 --platform linux/arm64").len(), 2);
}

/// Debian's registry has no referrers API: the list is under a tag.
#[test]
fn a_registry_without_the_api_keeps_the_list_under_a_tag() {
    let Some(registry) = registry_server::registry() else { return };
    let sandbox = start();
    let name = format!("docker://{}/app:1", registry.host());
    let digest = sandbox.imgb(&format!("pack app -q -o {name}")).run().ok().digest();
    assert_eq!(listed(&sandbox, &name), Vec::<Value>::new());
    let artifact = attach(&sandbox, &name, "--annotation key=team").ok().digest();
    sandbox.imgb(&format!("attach {name} other.json --type a/b -q")).run().ok();
    let all = listed(&sandbox, &name);
    assert_eq!((all.len(), &all[0]["digest"]), (2, &json!(artifact)), "{all:?}");
    assert_eq!(all[0]["annotations"]["key"], "team");
    let get = format!("referrers {name} --type {KIND} -o -");
    assert_eq!(sandbox.imgb(&get).run().ok().text(), "{\"passed\":true}");
    let there = format!("docker://{}/copy:1", registry.host());
    for (from, to) in [(&*name, "oci:layout:1"), ("oci:layout:1", &*there)] {
        sandbox.imgb(&format!("copy {from} {to} --referrers -q")).run().ok();
        assert_eq!(listed(&sandbox, to).len(), 2, "{to}");
    }
    sandbox.imgb(&format!("pull {there} -o pulled.tar --referrers -q")).run().ok();
    assert_eq!(listed(&sandbox, "pulled.tar").len(), 2);
    if have(&["skopeo"]) {
        let tag = format!("{}/app:sha256-{}", registry.host(), digest.replace("sha256:", ""));
        let raw = format!("inspect --raw --tls-verify=false docker://{tag}");
        let index = sandbox.tool("skopeo", &raw).run().ok().json();
        assert_eq!(index["manifests"][0]["artifactType"], KIND, "{index}");
    }
}

/// go-containerregistry's registry has the API, keeps the list without saying so (`OCI-Subject`),
/// and lists the media type of the configuration instead of the artifact's.
#[test]
fn a_list_that_lacks_types_is_completed_from_the_manifests() {
    let mut honest = Honest::default();
    let server = Server::start(None, move |request| {
        if !request.target.contains("/referrers/") {
            return honest.answer(request);
        }
        let about = |bytes: &[u8]| {
            let manifest: Value = serde_json::from_slice(bytes).unwrap();
            let subject = manifest["subject"]["digest"].as_str().unwrap_or_default();
            request.target.ends_with(subject) && !subject.is_empty()
        };
        let mut entries = Vec::new();
        for (name, bytes) in honest.manifests.iter().filter(|(_, bytes)| about(bytes)) {
            let entry = json!({
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "digest": name, "size": bytes.len(),
                "artifactType": "application/vnd.oci.empty.v1+json",
            });
            entries.extend((!entries.contains(&entry)).then_some(entry));
        }
        let list = json!({"schemaVersion": 2, "manifests": entries}).to_string();
        Answer::new(200).header("Content-Type", INDEX).body(list)
    });
    let sandbox = start();
    let name = format!("docker://{}/app:1", server.host());
    sandbox.imgb(&format!("pack app -q -o {name}")).run().ok();
    let artifact = attach(&sandbox, &name, "--annotation key=team").ok().digest();
    let all = listed(&sandbox, &name);
    assert_eq!((&all[0]["digest"], &all[0]["type"]), (&json!(artifact), &json!(KIND)), "{all:?}");
    assert_eq!((all.len(), &all[0]["annotations"]["key"]), (1, &json!("team")));
    let get = format!("referrers {name} --type {KIND} -o -");
    assert_eq!(sandbox.imgb(&get).run().ok().text(), "{\"passed\":true}");
    assert_eq!(server.count("PUT", "/v2/app/manifests/sha256-*"), 0);
}

/// docker, podman, skopeo, umoci and containerd take the image as if nothing were attached.
#[test]
fn engines_ignore_what_is_attached() {
    let sandbox = start();
    if !fixtures::busybox(&sandbox) {
        return;
    }
    let outputs = "-o a.tar -o oci-archive:b.tar -o oci:layout:1";
    let pack = format!("pack ./bin -t localhost/attached:1 -q {outputs}");
    let digest = sandbox.imgb(&pack).run().ok().digest();
    for image in ["a.tar", "b.tar", "oci:layout:1"] {
        attach(&sandbox, image, "").ok();
    }
    if have(&["skopeo"]) {
        for source in
            ["oci-archive:a.tar", "oci-archive:b.tar", "oci:layout", "docker-archive:a.tar"]
        {
            sandbox.tool("skopeo", &format!("copy -q {source} dir:copied")).run().ok();
        }
        let inspect = sandbox.tool("skopeo", "inspect oci-archive:b.tar").run().ok().json();
        assert_eq!(inspect["Digest"], digest);
    }
    if have(&["umoci"]) {
        sandbox.tool("umoci", "unpack --rootless --image layout:1 bundle").run().ok();
        assert!(sandbox.path("bundle/rootfs/bin/ls").exists());
    }
    let run = "localhost/attached:1";
    if let Some(podman) = engines::podman() {
        for archive in ["a.tar", "b.tar"] {
            podman.load(&sandbox.path(archive));
            podman.image(run).args("/bin/ls /bin/ls").run().ok().prints("/bin/ls");
        }
    }
    if let Some(docker) = engines::docker() {
        docker.load(&sandbox.path("a.tar"));
        docker.image(run).args("/bin/ls /bin/ls").run().ok().prints("/bin/ls");
    }
    if let Some(containerd) = engines::containerd() {
        for archive in ["a.tar", "b.tar"] {
            containerd.import(&sandbox.path(archive));
        }
        containerd.image(run, "attached").args("/bin/ls /bin/ls").run().ok().prints("/bin/ls");
    }
}
