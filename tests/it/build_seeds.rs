//! Buildfiles as users write them, built by imgb and run by Docker.

use crate::{
    engines::{self, have},
    fixtures,
    sandbox::Sandbox,
};

/// A minimal Debian from the machine's own mirror: only what `apt-get` needs.
const DEBIAN: &str =
    "--variant=apt --mode=root --quiet --aptopt=Acquire::Languages=none bookworm debian.tar";

#[test]
fn an_empty_image_is_a_base() {
    let Some(docker) = engines::docker() else { return };
    let sandbox = Sandbox::new();
    if !fixtures::busybox(&sandbox) {
        return;
    }
    // An image without files, as `tar -cT /dev/null | docker import - zero` makes it.
    sandbox.tool("tar", "-cf empty.tar -T /dev/null").run().ok();
    docker.cli("import").arg(sandbox.path("empty.tar")).arg("zero").run().ok();
    docker.cli("save zero -o").arg(sandbox.path("zero")).run().ok();
    sandbox.file("Dockerfile", "FROM zero\nCOPY bin/ /bin/\n").file(".dockerignore", "*\n!bin\n");
    sandbox.imgb("build . -q -t imgb-from-zero -o zero-app.tar").run().ok();
    docker.load(&sandbox.path("zero-app.tar"));
    docker.image("imgb-from-zero").args("/bin/ls /bin").run().ok().prints("busybox");
    docker.cli("rmi --force zero").run().ok();
}

#[test]
fn one_static_program_is_an_image() {
    let Some(docker) = engines::docker() else { return };
    if !have(&["gcc"]) {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.file(
        "hello.c",
        "#include <stdio.h>\nint main(void) { puts(\"hello, world\"); return 0; }\n",
    );
    sandbox.tool("gcc", "-static -o hello hello.c").run().ok();
    sandbox.file("Dockerfile", "FROM scratch\nCOPY hello /\nCMD [\"/hello\"]\n");
    sandbox.imgb("build -q -t imgb-hello -o image.tar").run().ok();
    docker.load(&sandbox.path("image.tar"));
    docker.image("imgb-hello").run().ok().prints_only("hello, world\n");
}

#[test]
fn stages_give_files_to_each_other() {
    let Some(docker) = engines::docker() else { return };
    let sandbox = Sandbox::new();
    if !fixtures::busybox(&sandbox) {
        return;
    }
    sandbox.file("site/index.html", "it works").file(
        "Dockerfile",
        "FROM scratch AS files\nCOPY site /srv/\nFROM scratch\nCOPY bin /bin\nCOPY --from=files \
            /srv/ /www/\n\
         WORKDIR /www\nENTRYPOINT [\"/bin/cat\"]\nCMD [\"index.html\"]\n",
    );
    sandbox.imgb("build -q -t imgb-stages -o image.tar").run().ok();
    docker.load(&sandbox.path("image.tar"));
    docker.image("imgb-stages").run().ok().prints_only("it works");
}

/// `bash` and `apt-get` of the root run, and libraries copied through the merged `/lib` are found
/// there.
#[test]
fn a_debian_root_becomes_an_image_and_a_base() {
    let Some(docker) = engines::docker() else { return };
    if !have(&["mmdebstrap", "xz"]) {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.dir("ctx").tool("mmdebstrap", DEBIAN).run().ok();
    sandbox
        .tool("xz", "-0 -T2 -c debian.tar")
        .stdout(fs_err::File::create(sandbox.path("ctx/rootfs.tar.xz")).unwrap().into_parts().0)
        .run()
        .ok();
    sandbox.file("ctx/Dockerfile", "FROM scratch\nADD rootfs.tar.xz /\nCMD [\"bash\"]\n");
    sandbox.imgb("build ctx -q -t imgb-debian --compress gzip:1 -o debian-image.tar").run().ok();
    docker.load(&sandbox.path("debian-image.tar"));
    docker
        .image("imgb-debian")
        .args("bash -c")
        .arg("echo $BASH_VERSION; apt-get --version")
        .run()
        .ok()
        .prints("apt 2.");
    // The default command has no terminal here: it reads an empty script and succeeds.
    docker.cli("run --rm -i --network=none imgb-debian").run().ok();

    sandbox
        .file("over/lib/libours.so", "ours")
        .file("over/bin/tool", "#!/bin/sh\necho tool\n")
        .mode("over/bin/tool", 0o755);
    let recipe = "ARG BASE\nFROM $BASE\nCOPY lib/ /lib/\nCOPY bin/ /bin/\n";
    sandbox.file("over/Dockerfile", recipe);
    sandbox
        .imgb("build over --build-arg BASE=../debian-image.tar -q -t imgb-over -o over.tar")
        .run()
        .ok();
    docker.load(&sandbox.path("over.tar"));
    let theirs = "build -q -t imgb-over-docker --build-arg BASE=imgb-debian";
    docker.cli(theirs).env("DOCKER_BUILDKIT", "0").arg(sandbox.path("over")).run().ok();
    let look = "ls -ld /lib /bin && ls -l --time-style=+ /usr/lib/libours.so /usr/bin/tool && tool \
        && apt-get --version | head -1";
    let seen = |image: &str| {
        let text = docker.image(image).args("bash -c").arg(look).run().ok().text();
        // The times of links are not compared.
        text.lines()
            .map(|line| {
                line.split_whitespace()
                    .filter(|word| !word.contains(':'))
                    .collect::<Vec<_>>()
                    .join(" ")
            })
            .collect::<Vec<_>>()
    };
    let (ours, theirs) = (seen("imgb-over"), seen("imgb-over-docker"));
    assert_eq!(ours[2..], theirs[2..]);
    assert!(ours.iter().any(|line| line == "tool"), "{ours:?}");
    for line in &ours[..2] {
        assert!(line.starts_with('l') && line.contains("-> usr/"), "{ours:?}");
    }
    docker.cli("rmi --force imgb-over imgb-over-docker imgb-debian").run().ok();
}

#[test]
fn a_toolkit_looks_into_a_container_without_a_shell() {
    let Some(docker) = engines::docker() else { return };
    if !have(&["gcc", "bash", "ps", "strace", "ls", "ip"]) {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.file("wait.c", "#include <unistd.h>\nint main(void) { for (;;) sleep(1); }\n");
    sandbox.tool("gcc", "-static -o wait wait.c").run().ok();
    sandbox.file("Dockerfile", "FROM scratch\nCOPY wait /waiter\nCMD [\"/waiter\"]\n");
    sandbox.file(
        "Buildfile.toolkit",
        "FROM scratch\nPACK bash ps strace ls ip\nENV PATH=/usr/bin:/bin:/sbin:/usr/sbin\nCMD \
            [\"bash\"]\n",
    );
    sandbox.imgb("build -q -t imgb-waiter -o waiter.tar").run().ok();
    sandbox.imgb("build -f Buildfile.toolkit -q -t imgb-toolkit -o toolkit.tar").run().ok();
    docker.load(&sandbox.path("waiter.tar"));
    docker.load(&sandbox.path("toolkit.tar"));
    docker.cli("run -d --rm --network=none --name=imgb-waiting imgb-waiter").run().ok();
    let join = "run --rm --pid=container:imgb-waiting --net=container:imgb-waiting --cap-add \
        sys_admin \
        imgb-toolkit";
    let inside = |args: &str, script: &str| docker.cli(join).args(args).arg(script).run();
    inside("bash -c", "ps -e -o pid,args").ok().prints("1 /waiter");
    inside("bash -c", "ip -o addr").ok().prints("127.0.0.1");
    inside("bash -c", "ls -l /proc/1/root/").ok().prints("waiter");
    let traced = inside(
        "bash -c",
        "strace -qq -e trace=nanosleep,clock_nanosleep -p 1 2>&1 & while ((SECONDS < 4)); do :; \
            done; kill $!; wait",
    );
    assert!(traced.text().contains("nanosleep"), "{}", traced.show());
    docker.cli("kill imgb-waiting").run().ok();
}
