//! Images in the stores of docker and podman, read and written through their command lines.

use crate::{engines, fixtures, sandbox::Sandbox};

#[test]
fn images_are_read_from_docker_s_store() {
    let sandbox = Sandbox::new();
    let Some(docker) = engines::docker() else { return };
    if !fixtures::busybox(&sandbox) {
        return;
    }
    let packed = sandbox.imgb("pack ./bin -o a.tar -t imgb-read:1 --json").run().ok().json();
    docker.load(&sandbox.path("a.tar"));
    let imgb = |args: &str| sandbox.imgb(args).environment(&docker.environment());
    let seen = imgb("inspect docker-daemon:imgb-read:1 --json").run().ok().json();
    assert_eq!(seen["image_id"], packed["image_id"]);
    assert_eq!(seen["names"][0], "imgb-read:1");
    // An image ID is a name too.
    let id = packed["image_id"].as_str().unwrap();
    imgb(&format!("check docker-daemon:{id}")).run().ok();
    sandbox.file("more", "more");
    imgb("pack ./more --base docker-daemon:imgb-read:1 -o b.tar -t imgb-read:2").run().ok();
    docker.load(&sandbox.path("b.tar"));
    docker.image("imgb-read:2").args("/bin/ls /more").run().ok().prints("/more");
    imgb("inspect docker-daemon:imgb-gone").run().error(3, &["docker save", "No such image"]);
}

#[test]
fn images_are_read_from_podman_s_store() {
    let sandbox = Sandbox::new();
    let Some(podman) = engines::podman() else { return };
    if !fixtures::busybox(&sandbox) {
        return;
    }
    let packed = sandbox.imgb("pack ./bin -o a.tar -t localhost/read:1 --json").run().ok().json();
    podman.load(&sandbox.path("a.tar"));
    let imgb = |args: &str| sandbox.imgb(args).environment(&podman.environment());
    let seen = imgb("inspect containers-storage:localhost/read:1 --json").run().ok().json();
    assert_eq!(seen["image_id"], packed["image_id"]);
    imgb("inspect containers-storage:localhost/gone").run().error(3, &["podman save", "gone"]);
}

#[test]
fn an_engine_that_is_not_installed_is_named() {
    let sandbox = Sandbox::new();
    for (image, command) in [("docker-daemon:a", "docker"), ("containers-storage:a", "podman")] {
        sandbox
            .imgb(&format!("inspect {image}"))
            .under(&["env", "PATH=/nowhere"])
            .run()
            .error(5, &[&format!("`{command}` is not installed, or not on PATH")]);
    }
    for name in ["docker-daemon:--help", "docker-daemon:", "containers-storage:[x]a"] {
        sandbox.imgb(&format!("inspect {name}")).run().exits(2);
    }
}

/// Podman says a line for each layer before it has read all of them: more than a pipe holds.
#[test]
fn an_engine_that_says_much_is_listened_to() {
    let sandbox = Sandbox::new();
    sandbox.program("app", fixtures::static_elf(fixtures::X86_64));
    sandbox.imgb("pack ./app -q -o a.tar").run().ok();
    let podman = "#!/bin/sh\nyes 'Copying blob' | head -n 100000 >&2\ncat >/dev/null\n\
                  echo 'no space left' >&2\nexit 1\n";
    sandbox.program("bin/podman", podman);
    let path = format!("{}:/usr/bin:/bin", sandbox.path("bin").display());
    let load = sandbox.imgb("load a.tar --engine podman").env("PATH", path);
    load.under(&["timeout", "60"]).run().error(5, &["`podman load` failed: no space left"]);
}
