//! What outputs replace, what engines do not take of them, and the hint that is printed after each.

use crate::{
    engines::{self, Docker, Podman, have},
    fixtures,
    sandbox::{Outcome, PATH, Run, Sandbox},
};

/// A sandbox with a program.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.program("app", fixtures::static_elf(fixtures::X86_64));
    sandbox
}

/// Variables with which the clients of both engines need no options. skopeo takes the address of
/// dockerd and a policy as options only, so that a script in `bin` adds them.
fn environment(sandbox: &Sandbox, docker: &Docker, podman: &Podman) -> Vec<(String, String)> {
    // podman looks for credentials in DOCKER_CONFIG, and fails where there are none.
    let engines = docker.environment().into_iter().chain(podman.environment());
    let engines = engines.filter(|(name, _)| *name != "DOCKER_CONFIG");
    let mut all: Vec<_> = engines.map(|(name, value)| (name.to_owned(), value)).collect();
    let skopeo = format!(
        "#!/bin/sh\nverb=$1; shift\nPATH={PATH} exec skopeo --insecure-policy \"$verb\" \
         --dest-daemon-host \"$DOCKER_HOST\" \"$@\"\n"
    );
    sandbox.program("bin/skopeo", skopeo);
    all.push(("PATH".into(), format!("{}:{PATH}", sandbox.path("bin").display())));
    all.push(("HOME".into(), sandbox.root().display().to_string()));
    all
}

/// The command that is printed after the only output.
fn hint(packed: &Outcome) -> String {
    let line = packed.stderr().lines().find(|line| line.starts_with("wrote ")).unwrap();
    let (_, command) = line.split_once(" it with: ").unwrap_or_else(|| panic!("{line}"));
    command.split("   (").next().unwrap().to_owned()
}

#[test]
fn every_hint_works_and_loads_all_names() {
    let sandbox = sandbox();
    let (Some(docker), Some(podman)) = (engines::docker(), engines::podman()) else { return };
    if !have(&["skopeo"]) {
        return;
    }
    let environment = environment(&sandbox, &docker, &podman);
    for (number, (output, compress)) in [
        ("an archive.tar", "gzip"),
        ("docker-archive:docker.tar", "gzip"),
        ("oci-archive:oci.tar", "gzip"),
        ("oci-archive:zstd.tar", "zstd"),
        ("layout/", "gzip"),
        ("oci:layout:tag", "gzip"),
        ("oci:in zstd", "zstd"),
        ("rootfs:root.tar", "gzip"),
        ("outer.tar.gz", "gzip"),
    ]
    .into_iter()
    .enumerate()
    {
        for several in [false, true] {
            let one = format!("hint{number}{several}:1.4.2");
            let other = format!("registry.example/team/{one}-b");
            let names: &[&str] = if several { &[&one, &other] } else { &[&one] };
            let packed = sandbox.imgb("pack ./app --compress").arg(compress).arg("-o").arg(output);
            let packed = names.iter().fold(packed, |run, name| run.arg("-t").arg(name)).run().ok();
            let hint = hint(&packed);
            let shell = Run::new("sh").arg("-c").arg(&hint).cwd(sandbox.root());
            environment.iter().fold(shell, |run, (name, value)| run.env(name, value)).run().ok();
            // `oci:DIR:TAG` names one image.
            let tagged = |name: &str| format!("{}:tag", name.rsplit_once(':').unwrap().0);
            let names: Vec<String> = match output {
                "oci:layout:tag" => vec![tagged(&one)],
                _ => names.iter().map(ToString::to_string).collect(),
            };
            for name in names {
                match hint.starts_with("docker") || hint.contains("docker-daemon:") {
                    true => docker.cli("image inspect").arg(&name).run().ok(),
                    false => podman.cli("image exists").arg(&name).run().ok(),
                };
            }
        }
    }
}

#[test]
fn podman_ignores_the_health_check_as_the_warning_says() {
    let sandbox = sandbox();
    let Some(podman) = engines::podman() else { return };
    sandbox.file(
        "Buildfile",
        "FROM scratch\nCOPY app /\nHEALTHCHECK CMD [\"/app\"]\nCMD [\"/app\"]\n",
    );
    let warning = "warning: podman ignores the health check";
    for (output, is_lost) in [("health.tar", true), ("docker-archive:kept.tar", false)] {
        let built = sandbox.imgb("build . -o").arg(output).run().ok();
        assert_eq!(built.stderr().contains(warning), is_lost, "{}", built.show());
        let file = output.trim_start_matches("docker-archive:");
        podman.load(&sandbox.path(file));
        let image = format!("docker.io/library/{}", file.trim_end_matches(".tar"));
        let shown = podman.cli("image inspect").arg(image).run().ok();
        assert_eq!(!shown.text().contains("Healthcheck"), is_lost, "{}", shown.show());
    }
}

#[test]
fn docker_refuses_more_layers_than_the_warning_says() {
    let sandbox = sandbox();
    let recipe = |layers: usize| {
        let lines: Vec<String> = (0..layers).map(|n| format!("MKDIR /{n}\n")).collect();
        format!("FROM scratch\nCMD [\"/app\"]\n{}", lines.concat())
    };
    let build = |layers, file: &str| {
        sandbox.file("Buildfile", recipe(layers)).imgb("build . -o").arg(file).run().ok()
    };
    let warning = "the image has 126 layers; Docker's classic image store loads at most 125";
    assert!(build(126, "many-layers.tar").stderr().contains(warning));
    assert!(!build(125, "enough-layers.tar").stderr().contains("layers; Docker"));
    let Some(docker) = engines::docker() else { return };
    let many = docker.cli("load --input").arg(sandbox.path("many-layers.tar")).run();
    assert!(many.stderr().contains("max depth exceeded"), "{}", many.show());
}

#[test]
fn capabilities_beyond_an_engines_default_are_told_by_pack_build_and_check() {
    let sandbox = Sandbox::new();
    if !fixtures::busybox(&sandbox) {
        return;
    }
    let pack = |cap: &str, name: &str| {
        let packed = sandbox.imgb("pack ./bin/busybox:/bin/busybox --cap");
        packed.arg(format!("/bin/busybox={cap}+ep")).arg("-o").arg(name).run().ok()
    };
    let check = |name: &str| sandbox.imgb("check").arg(name).run().ok();
    let both = "warning: because of file capabilities, `/bin/busybox` does not start in docker and \
        podman without `--cap-add SYS_ADMIN`\n";
    let podman_only = "`/bin/busybox` does not start in podman without `--cap-add NET_RAW`\n";
    for (cap, name, said) in [
        ("cap_sys_admin", "cap-admin.tar", both),
        ("cap_net_raw", "cap-raw.tar", podman_only),
        ("cap_chown", "cap-chown.tar", ""),
    ] {
        for outcome in [pack(cap, name), check(name)] {
            let text = outcome.stderr();
            assert_eq!(text.contains("file capabilities"), !said.is_empty(), "{text}");
            assert!(text.contains(said), "{text}");
        }
    }
    let checked = check("cap-admin.tar");
    assert!(checked.stderr().contains("busybox starts if it gets"), "{}", checked.show());
    let recipe = "FROM scratch\nCOPY bin /bin\nCAP /bin/busybox cap_sys_admin+ep\n";
    sandbox.file("Buildfile", recipe);
    let built = sandbox.imgb("build . -o built.tar").run().ok();
    assert!(built.stderr().contains(both), "{}", built.show());

    if let Some(docker) = engines::docker() {
        for (name, starts) in [("cap-admin", false), ("cap-raw", true)] {
            docker.load(&sandbox.path(format!("{name}.tar")));
            let run = docker.image(name).arg("true").run();
            assert_eq!(run.success(), starts, "{}", run.show());
        }
        let run = docker.cli("run --rm --network=none --cap-add SYS_ADMIN cap-admin true");
        run.run().ok();
    }
    if let Some(podman) = engines::podman() {
        for (name, starts) in [("cap-raw", false), ("cap-chown", true)] {
            podman.load(&sandbox.path(format!("{name}.tar")));
            let run = podman.image(&format!("docker.io/library/{name}")).arg("true").run();
            assert_eq!(run.success(), starts, "{}", run.show());
        }
    }
}

#[test]
fn an_image_that_loses_its_tag_is_told() {
    let sandbox = sandbox();
    sandbox.file("data", "1");
    let pack = |args: &str| sandbox.imgb("pack ./app --no-check").args(args).run().ok();
    let replaced = |packed: &Outcome| {
        let lines = packed.stderr().lines();
        lines.filter(|line| line.contains("was that of")).map(str::to_owned).collect::<Vec<_>>()
    };
    let curl = pack("-t curl -o oci:layout");
    assert!(replaced(&curl).is_empty());
    assert!(replaced(&pack("-t curl -o oci:layout")).is_empty(), "the same again");
    let wanted = format!(
        "warning: the tag `latest` of `layout` was that of docker.io/library/curl:latest, \
         linux/amd64 ({}) until now",
        curl.digest()
    );
    assert_eq!(replaced(&pack("-t bash --label a=1 -o oci:layout")), [wanted]);
    assert!(replaced(&pack("-t curl:2 -o oci:layout")).is_empty(), "another tag");
    let other = pack("-t bash --label a=1 --platform linux/arm64 -o oci:layout");
    assert_eq!(replaced(&other).len(), 1, "another platform\n{}", other.show());
    let newer = pack("-t bash --label a=2 --platform linux/arm64 -o oci:layout");
    assert!(replaced(&newer).is_empty());
    let says = format!("  replaces {} as `latest` in layout\n", other.digest());
    assert!(newer.stderr().contains(&says), "{}", newer.show());
}
