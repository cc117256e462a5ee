//! `copy` between files, `load` into engines, and that nothing else than a registry's name opens a
//! socket.

use crate::{
    engines::{self, have},
    fixtures,
    sandbox::Sandbox,
};

#[test]
fn copies_between_files_keep_the_digest() {
    let sandbox = Sandbox::new();
    sandbox.program("app", fixtures::static_elf(fixtures::X86_64)).file("dir/x", "x");
    let digest = sandbox.imgb("pack ./app dir -q -t app:1 -o a.tar").run().ok().digest();
    for (from, to) in [
        ("a.tar", "oci:layout:1"),
        ("oci:layout:1", "oci-archive:b.tar"),
        ("oci-archive:b.tar", "c.tar"),
        ("c.tar", "new/"),
        ("oci:new", "oci:layout:2"),
    ] {
        let copied = sandbox.imgb(&format!("copy {from} {to} -t app:1 --json")).run().ok().json();
        assert_eq!(copied["outputs"][0]["digest"], digest, "{from} {to}: {copied}");
        let to = to.trim_start_matches("oci-archive:").trim_end_matches('/');
        let seen = sandbox.imgb(&format!("inspect {to} --json")).run().ok().json();
        assert_eq!(seen["digest"], digest, "{to}");
    }
    // A layout has one copy of each blob.
    let copied = sandbox.imgb("copy a.tar oci:layout:3 --json").run().ok().json();
    assert_eq!(copied["outputs"][0]["sent"], 0, "{copied}");
    // What has no manifest gets one; the configuration stays.
    sandbox.imgb("copy a.tar docker-archive:d.tar").run().ok();
    sandbox.imgb("copy d.tar e.tar").run().ok();
    let id =
        |file: &str| sandbox.imgb("inspect --json").arg(file).run().ok().json()["image_id"].clone();
    assert_eq!((id("d.tar"), id("e.tar")), (id("a.tar"), id("a.tar")));
    sandbox.imgb("copy d.tar rootfs:root.tar").run().ok();
    sandbox.tool("tar", "-tf root.tar").run().ok().prints("dir/x\n");
    let to_stdout = sandbox.imgb("copy a.tar -").run().ok().into_bytes();
    sandbox.file("f.tar", to_stdout).imgb("check f.tar").run().ok();
    sandbox.file("precious", "x");
    sandbox.imgb("copy a.tar precious").run().error(5, &["precious", "--force"]);
    sandbox.imgb("copy gone.tar b.tar").run().error(3, &["gone.tar"]);
}

#[test]
fn damaged_blobs_are_never_copied() {
    let sandbox = Sandbox::new();
    sandbox.program("app", fixtures::static_elf(fixtures::X86_64));
    sandbox.imgb("pack ./app -q -o oci:layout:1").run().ok();
    let largest = fs_err::read_dir(sandbox.path("layout/blobs/sha256")).unwrap();
    let largest = largest.map(|entry| entry.unwrap().path());
    let largest = largest.max_by_key(|path| path.metadata().unwrap().len()).unwrap();
    let mut bytes = fs_err::read(&largest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs_err::remove_file(&largest).unwrap();
    fs_err::write(&largest, bytes).unwrap();
    for to in ["a.tar", "oci:copy", "oci-archive:b.tar"] {
        sandbox.imgb(&format!("copy oci:layout:1 {to}")).run().exits(7);
    }
    assert!(!sandbox.path("a.tar").exists() && !sandbox.path("copy/index.json").exists());
}

#[test]
fn docker_gets_only_the_layer_that_changed() {
    let sandbox = Sandbox::new();
    let Some(docker) = engines::docker() else { return };
    if !fixtures::busybox(&sandbox) {
        return;
    }
    let imgb = |args: &str| sandbox.imgb(args).environment(&docker.environment());
    // Other tests give the same busybox to this engine.
    sandbox.file("bin/docker_gets_only_the_layer_that_changed", "");
    sandbox.imgb("pack ./bin -q -o base.tar").run().ok();
    sandbox.file("small", "1");
    sandbox.imgb("pack ./small --base base.tar -q -o a.tar -t imgb-load:1").run().ok();
    let first = imgb("load a.tar --json").run().ok().json();
    let first = &first["images"][0];
    assert_eq!(
        (&first["engine"], &first["names"][0]),
        (&"docker".into(), &"docker.io/library/imgb-load:1".into())
    );
    docker.image("imgb-load:1").args("/bin/cat /small").run().ok().prints_only("1");
    sandbox.file("small", "2");
    sandbox.imgb("pack ./small --base base.tar -q -o b.tar -t imgb-load:1").run().ok();
    let second = imgb("load b.tar --json").run().ok().json();
    let second = &second["images"][0];
    let sent = |json: &serde_json::Value| json["sent"].as_u64().unwrap();
    assert!(sent(second) * 20 < sent(first), "{first} {second}");
    let existed =
        second["blobs"].as_array().unwrap().iter().filter(|blob| blob["how"] == "existed");
    assert_eq!(existed.count(), 2, "the layers of the base: {second}");
    docker.image("imgb-load:1").args("/bin/cat /small").run().ok().prints_only("2");
    let id = docker.cli("image inspect --format {{.Id}} imgb-load:1").run().ok().text();
    assert_eq!(second["id"], id.trim());
    // Outputs and copies go the same way.
    imgb("pack ./small --base base.tar -q -o docker-daemon:imgb-load:3").run().ok();
    docker.image("imgb-load:3").args("/bin/cat /small").run().ok().prints_only("2");
    imgb("copy a.tar docker-daemon:imgb-load:4").run().ok();
    docker.image("imgb-load:4").args("/bin/cat /small").run().ok().prints_only("1");
}

#[test]
fn podman_gets_the_whole_image() {
    let sandbox = Sandbox::new();
    let Some(podman) = engines::podman() else { return };
    sandbox.program("app", fixtures::static_elf(fixtures::X86_64));
    let packed = sandbox.imgb("pack ./app -t localhost/app:1 -o a.tar --json").run().ok().json();
    let environment = podman.environment();
    let run = sandbox.imgb("load a.tar --engine podman -t localhost/b:2").environment(&environment);
    let id = run.run().ok().text();
    let wanted = packed["image_id"].as_str().unwrap().trim_start_matches("sha256:");
    assert_eq!(id.trim().trim_start_matches("sha256:"), wanted);
    let run = sandbox.imgb("copy a.tar containers-storage:localhost/c:3").environment(&environment);
    run.run().ok();
    let names = podman.cli("images --format {{.Names}}").run().ok().text();
    assert!(names.contains("localhost/b:2") && names.contains("localhost/c:3"), "{names}");
}

#[test]
fn an_engine_that_does_not_answer_is_named() {
    let sandbox = Sandbox::new();
    sandbox.program("app", fixtures::static_elf(fixtures::X86_64));
    sandbox.imgb("pack ./app -q -o a.tar").run().ok();
    let run = |args: &str| sandbox.imgb(args).under(&["/usr/bin/env", "PATH=/nowhere"]).run();
    run("load a.tar").error(5, &["neither docker's daemon nor podman answers"]);
    run("load a.tar --engine podman").error(5, &["`podman` is not installed, or not on PATH"]);
    if have(&["docker"]) {
        let host = format!("unix://{}", sandbox.path("none").display());
        let run = sandbox.imgb("load a.tar --engine docker").env("DOCKER_HOST", host).run();
        run.error(5, &["docker load", "daemon"]);
    }
}

#[test]
fn without_a_name_in_a_registry_no_socket_is_opened() {
    let sandbox = Sandbox::new();
    if !have(&["strace"]) {
        return;
    }
    sandbox
        .program("app", fixtures::static_elf(fixtures::X86_64))
        .file("ctx/Dockerfile", "FROM oci:../layout:1\nCOPY x /\n")
        .file("ctx/x", "x");
    sandbox.imgb("pack ./app -q -o oci:layout:1").run().ok();
    for args in [
        "pack ./app --base oci:layout:1 -q -o a.tar -o oci:layout:2",
        "build ctx -q -o b.tar",
        "check a.tar",
        "inspect oci:layout:2",
        "copy a.tar oci:layout:3",
        "plan ./app",
    ] {
        let strace = ["strace", "-f", "-qq", "-e", "trace=socket,connect", "-o", "log"];
        sandbox.imgb(args).under(&strace).run().ok();
        let log = String::from_utf8(sandbox.read("log")).unwrap();
        let calls: Vec<&str> = log.lines().filter(|line| line.contains("socket(")).collect();
        assert!(calls.is_empty(), "{args}: {calls:?}");
    }
}

#[test]
fn only_one_copy_goes_to_stdout() {
    let sandbox = Sandbox::new();
    sandbox.program("app", fixtures::static_elf(fixtures::X86_64));
    sandbox.imgb("pack ./app -q -o a.tar").run().ok();
    for line in ["copy a.tar - oci-archive:-", "index create a.tar -o - -o oci-archive:-"] {
        sandbox.imgb(line).run().error(2, &["only one output can go to stdout"]);
    }
}
