//! The main use: a program becomes an image, and the image runs on every engine. Each test checks
//! what the container printed.

use serde_json::json;

use crate::{
    engines::{self, have, have_root},
    fixtures,
    image_spec::Layout,
    sandbox::{Sandbox, is_root},
};

/// What `/bin/ls -lah /bin` prints for one of the applets.
const LISTED: &str = "ls -> busybox";

/// Packs `bin/` as root or as `nobody`. The directory belongs to `nobody` afterwards.
fn pack_busybox(sandbox: &Sandbox, output: &str, as_nobody: bool) {
    let run = sandbox.give_to_nobody().imgb("pack ./bin -o").arg(output);
    if as_nobody { run.nobody() } else { run }.run().ok().digest();
}

#[test]
fn docker_loads_the_busybox_image_and_lists_its_files() {
    let sandbox = Sandbox::new();
    let Some(docker) = engines::docker() else { return };
    if !fixtures::busybox(&sandbox) {
        return;
    }
    pack_busybox(&sandbox, "myapp.tar", false);
    docker.load(&sandbox.path("myapp.tar"));
    docker.image("myapp").args("/bin/ls -lah /").run().ok().prints(" bin\n");
    docker.image("myapp").args("/bin/ls -lah /bin").run().ok().prints(LISTED);
    docker.image("myapp:latest").args("/bin/ls -ld /bin").run().ok().prints("drwxr-xr-x");
}

#[test]
fn docker_runs_what_a_user_without_any_right_has_packed() {
    let sandbox = Sandbox::new();
    let Some(docker) = engines::docker() else { return };
    if !fixtures::busybox(&sandbox) {
        return;
    }
    pack_busybox(&sandbox, "by-nobody.tar", true);
    docker.load(&sandbox.path("by-nobody.tar"));
    docker.image("by-nobody").args("/bin/ls -lah /bin").run().ok().prints(LISTED);
    docker
        .image("by-nobody")
        .args("/bin/stat -c %u:%g:%a /bin/busybox")
        .run()
        .ok()
        .prints_only("0:0:755\n");
}

#[test]
fn docker_imports_the_rootfs_form() {
    let sandbox = Sandbox::new();
    let Some(docker) = engines::docker() else { return };
    if !fixtures::busybox(&sandbox) {
        return;
    }
    pack_busybox(&sandbox, "rootfs:rootfs.tar", false);
    docker.cli("import").arg(sandbox.path("rootfs.tar")).arg("imported").run().ok();
    docker.image("imported").args("/bin/ls -lah /bin").run().ok().prints(LISTED);
}

#[test]
fn docker_loads_what_comes_through_a_pipe_and_the_docker_archive_form() {
    let sandbox = Sandbox::new();
    let Some(docker) = engines::docker() else { return };
    if !fixtures::busybox(&sandbox) {
        return;
    }
    let archive = sandbox.imgb("pack ./bin -o - -t piped:1.0").run().ok().into_bytes();
    sandbox.file("piped.tar", archive);
    docker.load(&sandbox.path("piped.tar"));
    docker.image("piped:1.0").args("/bin/echo piped").run().ok().prints_only("piped\n");
    pack_busybox(&sandbox, "docker-archive:classic.tar", false);
    docker.load(&sandbox.path("classic.tar"));
    docker.image("classic").args("/bin/echo classic").run().ok().prints_only("classic\n");
}

#[test]
fn podman_loads_and_runs_the_busybox_image() {
    let sandbox = Sandbox::new();
    let Some(podman) = engines::podman() else { return };
    if !fixtures::busybox(&sandbox) {
        return;
    }
    for form in ["hybrid.tar", "oci-archive:second.tar"] {
        pack_busybox(&sandbox, form, true);
        let file = form.trim_start_matches("oci-archive:");
        podman.load(&sandbox.path(file)).prints("docker.io/library/");
        let image = format!("docker.io/library/{}:latest", file.trim_end_matches(".tar"));
        podman.image(&image).args("/bin/ls -lah /bin").run().ok().prints(LISTED);
    }
}

#[test]
fn containerd_imports_and_runs_the_busybox_image() {
    let sandbox = Sandbox::new();
    let Some(containerd) = engines::containerd() else { return };
    if !fixtures::busybox(&sandbox) {
        return;
    }
    for form in ["first.tar", "oci-archive:second.tar"] {
        pack_busybox(&sandbox, form, true);
        let file = form.trim_start_matches("oci-archive:");
        let image = format!("docker.io/library/{}:latest", file.trim_end_matches(".tar"));
        containerd.import(&sandbox.path(file)).prints(&image);
        containerd.image(&image, file).args("/bin/ls -lah /bin").run().ok().prints(LISTED);
    }
}

#[test]
fn skopeo_copies_the_layout_and_runc_runs_what_umoci_unpacks() {
    let sandbox = Sandbox::new();
    if !(have(&["skopeo", "umoci", "runc"]) && have_root() && fixtures::busybox(&sandbox)) {
        return;
    }
    pack_busybox(&sandbox, "oci:layout:1.0", true);
    let packed = Layout::open(&sandbox.path("layout"));
    sandbox.tool("skopeo", "--insecure-policy copy oci:layout:1.0 oci:copied:1.0").run().ok();
    let index: serde_json::Value =
        serde_json::from_slice(&sandbox.read("copied/index.json")).unwrap();
    assert_eq!(
        index["manifests"][0]["digest"], packed.manifest_digest,
        "skopeo has not changed the manifest"
    );
    for layout in ["layout", "copied"] {
        let bundle = format!("bundle-{layout}");
        sandbox
            .tool("umoci", "unpack --image")
            .arg(format!("{layout}:1.0"))
            .arg(&bundle)
            .run()
            .ok();
        let path = format!("{bundle}/config.json");
        let mut config: serde_json::Value = serde_json::from_slice(&sandbox.read(&path)).unwrap();
        config["process"]["terminal"] = json!(false);
        config["process"]["args"] = json!(["/bin/ls", "-lah", "/bin"]);
        sandbox.file(&path, config.to_string());
        // Containers of the same name share a cgroup, even with different runc states.
        let id = format!("imgb-it-{layout}-{}", std::process::id());
        sandbox
            .tool("runc", "--root state run --bundle")
            .arg(&bundle)
            .arg(&id)
            .run()
            .ok()
            .prints(LISTED);
    }
}

#[test]
fn a_static_program_is_the_image_that_a_dockerfile_of_three_lines_would_make() {
    let sandbox = Sandbox::new();
    if !fixtures::hello(&sandbox, "hello") {
        return;
    }
    sandbox.imgb("pack ./hello -o hello.tar").run().ok();
    let layout = Layout::unpack(&sandbox, "hello.tar", "layout");
    let command = |layout: &Layout| {
        let inner = &layout.config["config"];
        [inner["Entrypoint"].clone(), inner["Cmd"].clone()]
    };
    assert_eq!(command(&layout), [json!(["/hello"]), json!(null)]);
    assert_eq!(layout.layers().len(), 1, "a static program needs nothing of the system");
    sandbox
        .tool("tar", "--list --gzip --file")
        .arg(&layout.layers()[0])
        .run()
        .ok()
        .prints_only("hello\n");

    sandbox.imgb(r#"pack ./hello -o cmd.tar --entrypoint [] --cmd ["/hello","a","b"]"#).run().ok();
    let [entrypoint, cmd] = command(&Layout::unpack(&sandbox, "cmd.tar", "cmd"));
    assert!(entrypoint.is_null() || entrypoint == json!([]), "{entrypoint}");
    assert_eq!(cmd, json!(["/hello", "a", "b"]));

    let Some(docker) = engines::docker() else { return };
    docker.load(&sandbox.path("hello.tar"));
    docker.image("hello").run().ok().prints_only("hello from /hello\n");
    docker.image("hello").args("x y").run().ok().prints_only("hello from /hello [x] [y]\n");
    docker.load(&sandbox.path("cmd.tar"));
    docker.image("cmd").run().ok().prints_only("hello from /hello [a] [b]\n");
}

/// Packs a command of this machine with everything it needs, and runs it from its image.
fn runs_from_its_image(command: &str, input: &str, args: &[&str], expected: &str) {
    let sandbox = Sandbox::new();
    let Some(docker) = engines::docker() else { return };
    if !have(&[command]) {
        return;
    }
    let image = format!("dynamic-{command}");
    sandbox
        .give_to_nobody()
        .imgb("pack")
        .arg(input)
        .arg("-o")
        .arg(format!("{image}.tar"))
        .nobody()
        .run()
        .ok();
    Layout::unpack(&sandbox, &format!("{image}.tar"), "layout");
    docker.load(&sandbox.path(format!("{image}.tar")));
    args.iter().fold(docker.image(&image), |run, arg| run.arg(arg)).run().ok().prints(expected);
}

#[test]
fn curl_found_on_path_runs_from_its_image() {
    runs_from_its_image("curl", "curl", &["--version"], "Protocols: ");
}

#[test]
fn git_given_by_its_path_runs_from_its_image() {
    runs_from_its_image("git", "/usr/bin/git", &["--version"], "git version ");
}

#[test]
fn bash_runs_a_script_from_its_image() {
    runs_from_its_image("bash", "bash", &["-c", "echo $((6 * 7)) in $0"], "42 in ");
}

#[test]
fn what_root_packs_and_what_nobody_packs_is_one_image() {
    let sandbox = Sandbox::new();
    if !fixtures::hello(&sandbox, "hello") {
        return;
    }
    sandbox.give_to_nobody();
    let root = sandbox.imgb("pack ./hello bash -o both.tar").run().ok().digest();
    let nobody = sandbox.imgb("pack ./hello bash -o both.tar").nobody();
    if is_root() {
        fs_err::remove_file(sandbox.path("both.tar")).unwrap();
    }
    assert_eq!(nobody.run().ok().digest(), root);
}
