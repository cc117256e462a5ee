//! `--provenance`, `--attach` and `--sbom` of commands that make images: what is said, the same
//! bytes each time, and where it goes.

use imgb::digest::Digest;
use serde_json::{Value, json};

use crate::{
    engines::have,
    fixtures::{self, X86_64, static_elf},
    registry_script::{Answer, Server},
    registry_server,
    sandbox::Sandbox,
};

const STATEMENT: &str = "application/vnd.in-toto+json";
const REASONS: &str = "application/vnd.imgb.reasons.v1+gzip";
const SPDX: &str = "application/spdx+json";

fn start() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.program("app", static_elf(X86_64)).file("conf/a", "1").file("conf/b", "2");
    sandbox
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

/// The media types of what is attached.
fn attached(sandbox: &Sandbox, image: &str) -> Vec<String> {
    let listed = sandbox.imgb(&format!("referrers --json {image}")).run().ok().json();
    let all = listed["referrers"].as_array().unwrap().iter();
    all.map(|one| one["type"].as_str().unwrap().to_owned()).collect()
}

/// What the statement needs to have, by SLSA's and in-toto's schemas.
#[track_caller]
fn is_valid(statement: &Value) {
    let hex = |digest: &Value| {
        let sum = digest["sha256"].as_str().unwrap();
        assert!(sum.len() == 64 && sum.chars().all(|c| c.is_ascii_hexdigit()), "{sum}");
    };
    assert_eq!(statement["_type"], "https://in-toto.io/Statement/v1");
    assert_eq!(statement["predicateType"], "https://slsa.dev/provenance/v1");
    statement["subject"].as_array().unwrap().iter().for_each(|subject| hex(&subject["digest"]));
    let predicate = &statement["predicate"];
    let definition = &predicate["buildDefinition"];
    assert!(definition["buildType"].as_str().unwrap().starts_with("pkg:"), "{definition}");
    assert!(definition["externalParameters"].is_object());
    assert!(predicate["runDetails"]["builder"]["id"].is_string());
    for material in definition["resolvedDependencies"].as_array().unwrap() {
        // A resource has a digest, an URI or its content.
        match material.get("digest") {
            Some(digest) => hex(digest),
            None => assert!(material["uri"].is_string(), "{material}"),
        }
    }
}

fn materials(statement: &Value) -> Vec<(String, Option<String>)> {
    let all = statement["predicate"]["buildDefinition"]["resolvedDependencies"].as_array().unwrap();
    let one = |material: &Value| {
        let name = material["name"].as_str().or(material["uri"].as_str()).unwrap().to_owned();
        (name, material["digest"]["sha256"].as_str().map(str::to_owned))
    };
    all.iter().map(one).collect()
}

#[test]
fn a_statement_names_inputs_options_and_the_result() {
    let sandbox = start();
    let pack = "pack ./app conf:/etc/conf --env A=1 -t team/app:1 -q -j 2 --provenance";
    let digest = sandbox.imgb(&format!("{pack} p.json -o a.tar")).run().ok().digest();
    let statement = json(&sandbox.read("p.json"));
    is_valid(&statement);
    assert_eq!(statement["subject"][0]["name"], "team/app:1");
    let sum = &statement["subject"][0]["digest"]["sha256"];
    assert_eq!(sum, digest.strip_prefix("sha256:").unwrap());
    let parameters = &statement["predicate"]["buildDefinition"]["externalParameters"];
    let wanted = json!({
        "command": "pack",
        "inputs": ["./app", "conf:/etc/conf"],
        "options": {"env": ["A=1"], "tag": ["team/app:1"]},
    });
    assert_eq!(*parameters, wanted);
    let sums = |name: &str, text: &[u8]| (name.to_owned(), Some(Digest::of(text).hex()));
    let mut found = materials(&statement);
    found.sort();
    let mut wanted = vec![
        sums("./app", &static_elf(X86_64)),
        sums("conf:/etc/conf", b"1"),
        sums("conf:/etc/conf", b"2"),
    ];
    wanted.sort();
    assert_eq!(found, wanted);
    // In another directory, with other outputs and threads.
    let other = start();
    let again = format!("{pack} other.json -o oci:there:1").replace("-j 2", "-j 1");
    other.imgb(&again).run().ok();
    assert_eq!(other.read("other.json"), sandbox.read("p.json"));
    let text = String::from_utf8(sandbox.read("p.json")).unwrap();
    assert!(!text.contains(&*sandbox.root().to_string_lossy()), "{text}");
}

#[test]
fn packages_and_images_are_materials() {
    if !have(&["curl"]) {
        return;
    }
    let sandbox = start();
    sandbox.imgb("pack curl -q --provenance p.json -o curl.tar").run().ok();
    let statement = json(&sandbox.read("p.json"));
    is_valid(&statement);
    let found = materials(&statement);
    let is_libc =
        |(name, _): &(String, _)| name.starts_with("pkg:deb/") && name.contains("/libc6@");
    assert!(found.iter().any(is_libc), "{found:?}");
    let base = sandbox.imgb("pack conf:/conf --no-check -q -o base.tar").run().ok().digest();
    let base = base.strip_prefix("sha256:").unwrap().to_owned();
    sandbox.file("Buildfile", "FROM base.tar\nCOPY app /app\nENTRYPOINT [\"/app\"]\n");
    for (command, image) in [
        ("pack ./app --base base.tar", "base.tar"),
        ("pack ./app --sysroot base.tar", "base.tar"),
        ("build .", "base.tar"),
    ] {
        sandbox.imgb(&format!("{command} -q -o o.tar --provenance o.json")).run().ok();
        let statement = json(&sandbox.read("o.json"));
        is_valid(&statement);
        let found = materials(&statement);
        assert!(found.contains(&(image.into(), Some(base.clone()))), "{command}: {found:?}");
        let sum = Digest::of(static_elf(X86_64)).hex();
        assert!(found.iter().any(|(_, one)| one.as_ref() == Some(&sum)), "{command}: {found:?}");
    }
    let statement = json(&sandbox.read("o.json"));
    let buildfile = Digest::of(sandbox.read("Buildfile")).hex();
    assert!(materials(&statement).iter().any(|(_, one)| one.as_ref() == Some(&buildfile)));
    let slim = "slim curl.tar -q -o slim.tar --provenance slim.json --sbom spdx";
    sandbox.imgb(slim).run().ok();
    assert_eq!(materials(&json(&sandbox.read("slim.json")))[0].0, "curl.tar");
    let spdx = sandbox.imgb("sbom slim.tar").run().ok().into_bytes();
    assert_eq!(sandbox.read("slim.tar.spdx.json"), spdx);
}

#[test]
fn documents_are_attached_to_every_output_that_has_a_place() {
    let sandbox = start();
    let plain = sandbox.imgb("pack ./app -t app:1 -q -o plain.tar").run().ok().digest();
    let pack = "pack ./app -t app:1 --attach reasons,provenance,spdx --json";
    let outputs = "-o a.tar -o oci:layout:1 -o oci-archive:b.tar -o docker-archive:d.tar";
    let packed = sandbox.imgb(&format!("{pack} {outputs}")).run().ok().json();
    assert_eq!(packed["digest"], plain);
    assert_eq!(packed["referrers"].as_array().unwrap().len(), 3, "{packed}");
    for image in ["a.tar", "oci:layout:1", "b.tar"] {
        assert_eq!(attached(&sandbox, image), [REASONS, STATEMENT, SPDX], "{image}");
        sandbox.imgb(&format!("check -q {image}")).run().ok();
    }
    let spdx = sandbox.imgb("sbom a.tar").run().ok().text();
    let got = format!("referrers b.tar --type {SPDX} -o -");
    assert_eq!(sandbox.imgb(&got).run().ok().text(), spdx);
    sandbox.imgb(&format!("{pack} -o again.tar")).run().ok();
    assert_eq!(sandbox.read("again.tar"), sandbox.read("a.tar"));
    let nowhere = "pack ./app --attach reasons -o docker-archive:e.tar";
    sandbox.imgb(nowhere).run().error(2, &["no output has a place", "-o app.tar"]);
    // An index: lists for each image, provenance for the whole.
    sandbox.program("arm", static_elf(fixtures::AARCH64));
    let both = "--platform linux/amd64=./app --platform linux/arm64=./arm";
    let index = sandbox
        .imgb(&format!("pack {both} -t app:1 -o two.tar --attach provenance,spdx -q"))
        .run()
        .ok()
        .digest();
    let listed = sandbox.imgb("referrers --json two.tar").run().ok().json();
    let all = listed["referrers"].as_array().unwrap();
    assert_eq!(all.len(), 3, "{listed}");
    assert_eq!((&all[0]["subject"], &all[0]["type"]), (&json!(index), &json!(STATEMENT)));
    assert_eq!(all[2]["platform"], "linux/arm64");
    // They are not entries of the index, where other tools write them as `unknown/unknown`.
    let without = sandbox.imgb(&format!("pack {both} -t app:1 -q -o without.tar")).run().ok();
    assert_eq!(without.digest(), index);
    let entries = sandbox.tool("tar", "-xOf two.tar index.json").run().ok().json();
    let entries = entries["manifests"].as_array().unwrap();
    assert_eq!((entries.len(), &entries[0]["digest"]), (1, &json!(index)));
}

#[test]
fn no_document_replaces_an_input_or_an_output() {
    let sandbox = start();
    for (options, wanted) in [
        ("--sbom spdx=./app -o a.tar", "would replace the input"),
        ("--provenance ./app -o a.tar", "would replace the input"),
        ("--sbom spdx=a.tar -o a.tar", "two outputs go to"),
        ("--sbom spdx=x --provenance x -o a.tar", "two outputs go to"),
        ("--provenance - -o a.tar", "name a file"),
    ] {
        sandbox.imgb(&format!("pack ./app {options}")).run().error(2, &[wanted]);
    }
    assert_eq!(sandbox.read("app"), static_elf(X86_64));
    sandbox.imgb("pack ./app -q -o a.tar").run().ok();
    sandbox.imgb("sbom a.tar -o a.tar").run().error(2, &["would replace the input"]);
    let stdout = sandbox.imgb("sbom a.tar -o -").run().ok().text();
    assert_eq!(stdout, sandbox.imgb("sbom a.tar").run().ok().text());
    // A device is written to, and not replaced.
    sandbox.imgb("sbom a.tar -o /dev/stdout").run().ok().prints("SPDX-2.3");
    sandbox.imgb("sbom a.tar -o /dev/null").run().ok();
    assert!(!fs_err::metadata("/dev/null").unwrap().is_file());
}

/// A layout is made with the directories above it.
#[test]
fn a_document_goes_beside_a_layout_in_a_new_directory() {
    let sandbox = Sandbox::new();
    sandbox.program("app", static_elf(X86_64)).dir("out");
    sandbox.imgb("pack ./app -q -o out/new/layout/ --sbom spdx --no-cache").run().ok();
    assert_eq!(sandbox.names("out/new"), ["layout", "layout.spdx.json"]);
}

#[test]
fn a_document_replaces_other_files_only_with_force() {
    let sandbox = start();
    sandbox.file("main.py", "print()").file("old.tar", "");
    sandbox.imgb("pack ./app -q -o old.tar").run().ok();
    let pack = |file: &str, more: &str| {
        sandbox.imgb(&format!("pack ./app -q -o a.tar --provenance {file} {more}")).run()
    };
    pack("new.json", "").ok();
    pack("new.json", "").ok();
    for file in ["main.py", "old.tar"] {
        let before = sandbox.read(file);
        pack(file, "").error(5, &["is not such a document", "--force"]);
        assert_eq!(sandbox.read(file), before);
        pack(file, "--force").ok();
        assert_eq!(sandbox.read(file), sandbox.read("new.json"));
    }
}

/// The file is complete, and so is what is said about it and about the registries.
#[test]
fn documents_are_written_though_registries_fail() {
    let sandbox = start();
    let servers = [(); 2].map(|()| {
        Server::start(None, |request| match &*request.method {
            "POST" => Answer::new(403),
            _ => Answer::new(404),
        })
    });
    let hosts = servers.each_ref().map(Server::host);
    let pack = |to: &str| {
        let to = hosts.iter().fold(to.to_owned(), |to, host| format!("{to} -o docker://{host}/a"));
        let pack = format!("pack ./app -q --provenance p.json {to}");
        sandbox.imgb(&pack).run().error(6, &["403", &hosts[0], &hosts[1]])
    };
    pack("");
    assert!(!sandbox.path("p.json").exists());
    pack("-o a.tar --sbom spdx");
    let digest = sandbox.imgb("inspect --json a.tar").run().ok().json()["digest"].clone();
    let digest = digest.as_str().unwrap().strip_prefix("sha256:").unwrap().to_owned();
    assert_eq!(json(&sandbox.read("p.json"))["subject"][0]["digest"]["sha256"], digest);
    assert!(sandbox.path("a.tar.spdx.json").exists());
}

/// A pushed image has its list attached; the referrers API is used where there is one.
#[test]
fn a_pushed_image_has_its_list_attached() {
    let sandbox = start();
    if let Some(registry) = registry_server::registry() {
        let name = format!("docker://{}/app:1", registry.host());
        sandbox.imgb(&format!("pack ./app -q --sbom spdx -o {name} -o a.tar")).run().ok();
        assert_eq!(attached(&sandbox, &name), [SPDX]);
        assert_eq!(attached(&sandbox, "a.tar"), Vec::<String>::new());
        let spdx = sandbox.read("a.tar.spdx.json");
        let get = format!("referrers {name} -o got.json");
        sandbox.imgb(&get).run().ok();
        assert_eq!(sandbox.read("got.json"), spdx);
        let requests = registry.requests();
        let tags = requests.iter().filter(|one| one.starts_with("PUT /v2/app/manifests/sha256-"));
        assert_eq!(tags.count(), 1);
        // The same again changes nothing.
        sandbox.imgb(&format!("pack ./app -q --sbom spdx -o {name} -t x")).run().ok();
        assert_eq!(attached(&sandbox, &name), [SPDX]);
    }
    let mut known = std::collections::BTreeMap::new();
    let server = Server::start(None, move |request| {
        let digest = |bytes: &[u8]| Digest::of(bytes).to_string();
        let path = request.target.split('?').next().unwrap().to_owned();
        match &*request.method {
            "POST" => Answer::new(202).header("Location", "/v2/app/blobs/uploads/1"),
            "PUT" if path.contains("/manifests/") => {
                let name = digest(&request.body);
                known.insert(format!("/v2/app/manifests/{name}"), request.body.clone());
                known.insert(path, request.body.clone());
                let subject = json(&request.body)["subject"]["digest"].as_str().map(str::to_owned);
                let answer = Answer::new(201).header("Docker-Content-Digest", name);
                match subject {
                    Some(subject) => answer.header("OCI-Subject", subject),
                    None => answer,
                }
            }
            "PUT" => {
                let name = digest(&request.body);
                known.insert(format!("/v2/app/blobs/{name}"), request.body.clone());
                Answer::new(201)
            }
            _ => match known.get(&path) {
                Some(bytes) => Answer::new(200)
                    .header("Docker-Content-Digest", digest(bytes))
                    .header("Content-Type", "application/vnd.oci.image.manifest.v1+json")
                    .header("Content-Length", bytes.len())
                    .body(bytes.clone()),
                None => Answer::new(404),
            },
        }
    });
    let name = format!("docker://{}/app:1", server.host());
    sandbox.imgb(&format!("pack ./app -q --attach reasons -o {name}")).run().ok();
    let manifests = server.count("PUT", "/v2/app/manifests/*");
    assert_eq!(manifests, 2, "the image and the artifact, and no list under a tag");
}

/// What the build knew: inputs, instructions and options, which nothing in the image tells.
#[test]
fn why_uses_the_reasons_that_are_attached() {
    let sandbox = start();
    let pack = "pack ./app conf:/etc/conf -t app:1 -q --attach reasons -o a.tar";
    sandbox.imgb(pack).run().ok();
    let text = sandbox.imgb("why a.tar /etc/conf/a").run().ok().text();
    assert!(text.contains("1 chain, by the reasons that are attached (sha256:"), "{text}");
    assert!(text.contains("listed: conf:/etc/conf"), "{text}");
    assert!(text.contains("without it, 1 path would go: 1 B"), "{text}");
    let value = sandbox.imgb("why a.tar /etc/conf/a --json").run().ok().json();
    assert!(value["recorded"].as_str().unwrap().starts_with("sha256:"), "{value}");
    assert_eq!(value["chains"][0][0]["reason"]["kind"], "listed");
    let again = sandbox.imgb("why --resolve a.tar /etc/conf/a").run().exits(1).text();
    assert!(again.contains("nothing that the image starts leads to it"), "{again}");
    let app = sandbox.imgb("why --resolve --json a.tar /app").run().ok().json();
    assert_eq!(app["recorded"], Value::Null);
    let list = |more: &str| {
        let list = sandbox.imgb(&format!("why --unreached --json a.tar {more}")).run().ok().json();
        (list["recorded"].is_string(), list["unreached"].as_array().unwrap().len())
    };
    assert_eq!((list(""), list("--resolve")), ((true, 0), (false, 2)));
    let inspected = sandbox.imgb("inspect --json a.tar").run().ok().json();
    assert_eq!(
        (&inspected["recorded"], inspected["unreached"].as_array().unwrap().len()),
        (&value["recorded"], 0)
    );
    sandbox.imgb("inspect --html page.html a.tar").run().ok();
    let page = String::from_utf8(sandbox.read("page.html")).unwrap();
    assert!(page.contains("listed: conf:/etc/conf"));
    sandbox.imgb("inspect --html page.html --resolve a.tar").run().ok();
    let page = String::from_utf8(sandbox.read("page.html")).unwrap();
    assert!(!page.contains("listed: conf:/etc/conf"));
    // A Buildfile's instructions.
    sandbox
        .file("Buildfile", "FROM scratch\nCOPY conf /c\nPACK ./app /app\nENTRYPOINT [\"/app\"]\n");
    sandbox.imgb("build . -q --attach reasons -o oci:b:1").run().ok();
    sandbox.imgb("why oci:b:1 /c/a").run().ok().prints("COPY conf /c (line 2)");
    // A document that is not one.
    sandbox.file("odd", "x").imgb("pack ./app -q -o c.tar -t c:1").run().ok();
    sandbox.imgb(&format!("attach c.tar odd --type {REASONS} -q")).run().ok();
    let outcome = sandbox.imgb("why c.tar /app").run().ok();
    assert!(outcome.stderr().contains("cannot use the reasons that are attached"));
    outcome.prints("found again in the image");
}

/// Anybody who may write to the image's place can attach such a document, after the build did.
#[test]
fn reasons_that_cannot_be_used_give_way_to_those_of_the_build() {
    let sandbox = start();
    let pack = |inputs: &str, name: &str| {
        let pack = format!("pack ./app {inputs} -q --attach reasons -o {name}.tar");
        sandbox.imgb(&pack).run().ok();
    };
    pack("conf:/etc/conf", "a");
    pack("conf:/etc/other", "b");
    let listed = sandbox.imgb("referrers --json a.tar").run().ok().json();
    let own = listed["referrers"][0]["digest"].clone();
    sandbox.file("odd", "x").imgb("referrers b.tar -o other").run().ok();
    for file in ["odd", "other"] {
        sandbox.imgb(&format!("attach a.tar {file} --type {REASONS} -q")).run().ok();
    }
    let outcome = sandbox.imgb("why a.tar /etc/conf/a --json").run().ok();
    assert_eq!(outcome.json()["recorded"], own);
    let said = outcome.stderr();
    let wanted = ["cannot use the reasons that are attached", "the document is malformed"];
    assert!(wanted.iter().all(|part| said.contains(part)), "{said}");
    assert!(said.contains("it is about another image, which has /etc/other"), "{said}");
    assert_eq!(said.matches("warning: ").count(), 1, "{said}");
    let inspected = sandbox.imgb("inspect --json a.tar").run().ok().json();
    assert_eq!(inspected["recorded"], own);
}

/// Such a document would make everything unreached.
#[test]
fn attached_reasons_that_say_nothing_are_not_used() {
    let sandbox = start();
    sandbox.imgb("pack ./app conf:/etc/conf -q --attach reasons -o a.tar").run().ok();
    let own = sandbox.imgb("referrers --json a.tar").run().ok().json();
    let own = own["referrers"][0]["digest"].clone();
    let attach = |number: usize| {
        sandbox.file("empty", format!("{{\"paths\":{{}}}}{}", " ".repeat(number)));
        sandbox.tool("gzip", "-f -n empty").run().ok();
        sandbox.imgb(&format!("attach a.tar empty.gz --type {REASONS} -q")).run().ok();
    };
    attach(0);
    let outcome = sandbox.imgb("why --unreached a.tar --json").run().ok();
    let value = outcome.json();
    assert_eq!((&value["recorded"], &value["unreached"]), (&own, &json!([])));
    assert!(outcome.stderr().contains(": it has no start\n"), "{}", outcome.stderr());
    let older = "  older ones are not looked at\n";
    (1..10).for_each(attach);
    let outcome = sandbox.imgb("why a.tar /app --json").run().ok();
    assert_eq!(outcome.json()["recorded"], Value::Null);
    assert!(outcome.stderr().ends_with(older), "{}", outcome.stderr());
}

/// A document may say that two files need each other, and nothing starts either of them.
#[test]
fn attached_reasons_that_no_start_leads_to_reach_nothing() {
    let sandbox = start();
    sandbox.imgb("pack ./app conf:/etc/conf -q -o a.tar").run().ok();
    let start = json!([{"text": "listed", "reason": {"kind": "listed"}}]);
    let of = |path: &str| json!([{"from": path, "text": "t", "reason": {"kind": "named"}}]);
    let document = json!({"paths": {
        "/app": start, "/etc/conf/a": of("/etc/conf/b"), "/etc/conf/b": of("/etc/conf/a"),
    }});
    sandbox.file("reasons", document.to_string());
    sandbox.tool("gzip", "reasons").run().ok();
    sandbox.imgb(&format!("attach a.tar reasons.gz --type {REASONS} -q")).run().ok();
    let list = sandbox.imgb("why --unreached --json a.tar").run().ok().json();
    assert!(list["recorded"].is_string(), "{list}");
    let unreached = json!([
        {"path": "/etc/conf/a", "size": 1}, {"path": "/etc/conf/b", "size": 1},
    ]);
    assert_eq!(list["unreached"], unreached);
    sandbox.imgb("why a.tar /etc/conf/a").run().exits(1);
}

/// An image without the documents that were asked for would have to be deleted again.
#[test]
fn documents_without_a_place_are_told_before_there_is_an_image() {
    let sandbox = Sandbox::new();
    sandbox.program("app", static_elf(X86_64)).file("file", "").dir("dir").dir("closed");
    sandbox.dir("out").give_to_nobody().mode("closed", 0o555);
    for option in [
        "--provenance missing/p.json",
        "--provenance closed/p.json",
        "--sbom spdx=file/app.json",
        "--sbom cyclonedx=dir",
    ] {
        for output in ["out/app.tar", "oci:out/layout:1"] {
            let pack = format!("pack ./app -o {output} {option} --no-cache");
            let outcome = sandbox.imgb(&pack).nobody().run();
            outcome.error(5, &[option.rsplit(['=', ' ']).next().unwrap()]);
        }
    }
    assert_eq!(sandbox.names("out"), Vec::<String>::new());
}
