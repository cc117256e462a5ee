//! Every example in the help is run as it stands there.

use crate::{
    engines::docker,
    fixtures, registry_server,
    sandbox::{PATH, Sandbox, is_there},
};

/// The commands whose help has examples.
const COMMANDS: [&str; 25] = [
    "pack",
    "build",
    "slim",
    "plan",
    "deps",
    "cache",
    "index",
    "check",
    "run",
    "trace",
    "inspect",
    "diff",
    "why",
    "sbom",
    "push",
    "pull",
    "copy",
    "load",
    "attach",
    "referrers",
    "login",
    "logout",
    "rules",
    "completions",
    "man",
];

/// Those whose examples talk to `registry.example`.
const REGISTRY_COMMANDS: [&str; 7] =
    ["push", "pull", "copy", "attach", "referrers", "login", "logout"];

/// The examples in a command's help, without their comments. On a terminal of 80 columns none is
/// wrapped: a long one ends its lines where a shell continues them.
fn examples(sandbox: &Sandbox, command: &str) -> Vec<String> {
    let help = sandbox.imgb(command).arg("--help").run().ok().text();
    let mut examples = Vec::new();
    let block = help.lines().skip_while(|line| !line.starts_with("Example")).skip(1);
    for line in block.take_while(|line| line.starts_with("  ")) {
        assert!(line.len() < 80, "{line}");
        let (continues, line) = (line.starts_with("    "), line.split("  # ").next().unwrap());
        match examples.last_mut() {
            Some(last) if continues => *last = format!("{last}\n{line}"),
            _ => examples.push(line.trim().to_owned()),
        }
    }
    examples
}

/// The files that the examples name.
fn files(sandbox: &Sandbox) {
    let app = fixtures::static_elf(fixtures::X86_64);
    for name in ["bin/hello", "target/release/app", "app", "src/app", "x86/app", "amd64/app"] {
        sandbox.program(name, &app);
    }
    for name in ["arm/app", "arm64/app"] {
        sandbox.program(name, fixtures::static_elf(fixtures::AARCH64));
    }
    sandbox
        .file("etc/app.conf", "x")
        .file(
            "Buildfile",
            "FROM scratch\nARG TARGETARCH\nCOPY $TARGETARCH/app /app\nENTRYPOINT [\"/app\"]\n",
        )
        .file(
            "src/Buildfile.debug",
            "ARG VERSION\nFROM scratch AS debug\nCOPY app /app\nENTRYPOINT [\"/app\"]\n",
        )
        .program("root/bin/bash", &app)
        .file("token", "secret\n")
        .file("audit.json", "{}")
        .file("signature.json", "{}")
        .dir("arm64-root");
    sandbox.tool("tar", "-C root -cJf rootfs.tar.xz .").run().ok();
    sandbox.imgb("pack ./etc:/etc ./app:/usr/bin/curl -q -o debian.tar --no-check").run().ok();
    sandbox.imgb("pack ./app -q -o oci:layout:1.0").run().ok();
    for archive in ["old.tar", "new.tar"] {
        sandbox.imgb("pack ./app -q -o").arg(archive).run().ok();
    }
    for (platform, input) in [("amd64", "amd64/app"), ("arm64", "arm64/app")] {
        let outputs = format!("-o {platform}.tar -o oci:layout:{platform}");
        sandbox.imgb(&format!("pack {input} -q {outputs}")).run().ok();
    }
    sandbox.program("arm64-root/usr/bin/curl", fixtures::static_elf(fixtures::AARCH64));
    sandbox.dir("home/.local/share/bash-completion/completions").dir("man");
}

#[test]
fn each_example_works_as_it_is_printed() {
    let sandbox = Sandbox::new();
    files(&sandbox);
    let root = sandbox.root();
    let bin = root.parent().unwrap();
    let engine = docker();
    let Some(registry) = registry_server::registry() else { return };
    let mut run = 0;
    for command in COMMANDS {
        // The examples of other commands write files of these names, too.
        for archive in ["myapp.tar", "app.tar"] {
            sandbox.imgb("pack ./app -q -o").arg(archive).run().ok();
        }
        let examples = examples(&sandbox, command);
        assert!(!examples.is_empty(), "{command} --help has no examples");
        for example in examples {
            let needs = ["docker", "jq", "strace", "dot"];
            let is_used = |tool: &&&str| example.contains(&format!("{tool} "));
            let has = |tool: &&str| is_there(tool) && (*tool != "docker" || engine.is_some());
            if !needs.iter().filter(is_used).all(has) || (command == "load" && engine.is_none()) {
                continue;
            }
            // Installing a manual page system-wide is not for a test.
            let line = example.replace("/usr/local/share/man/man1", "man");
            let line = match REGISTRY_COMMANDS.contains(&command) {
                true => line.replace("registry.example", &registry.host()),
                false => line,
            };
            let mut bash = sandbox
                .tool("bash", "-eu -o pipefail -c")
                .arg(&line)
                .env("PATH", format!("{}:{PATH}", bin.display()))
                .env("HOME", sandbox.path("home"));
            for (name, value) in engine.iter().flat_map(|docker| docker.environment()) {
                bash = bash.env(name, value);
            }
            let outcome = bash.run();
            assert!(outcome.success(), "{command}: {line}\n{}", outcome.show());
            run += 1;
        }
    }
    assert!(run > 25, "{run}");
}
