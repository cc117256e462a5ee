//! `pack` decides the same on a base image as from scratch: each option, with an empty base and
//! with one that already has a part of the files.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{build_bases::documents, engines::have, fixtures, sandbox::Sandbox};

#[test]
fn inputs_that_disagree_are_an_error_on_a_base_too() {
    let sandbox = Sandbox::new();
    sandbox.file("a/f", "1").file("b/f", "2").file("below/y/f", "3");
    sandbox.imgb("pack below/ --no-deps -q -o base.tar").run().ok();
    for base in ["", "--base base.tar"] {
        sandbox
            .imgb(&format!("pack a:/y b:/y {base} -q -o out.tar"))
            .run()
            .error(1, &["`a:/y` and `b:/y` disagree about `/y/f`"]);
    }
    // A file of the base is replaced.
    sandbox.imgb("pack a:/y --base base.tar -q --no-check -o rootfs:out.tar").run().ok();
    let text = sandbox.tool("tar", "-xOf out.tar y/f").run().ok().text();
    assert_eq!(text, "1");
}

/// A base's link leads the input below a file that it brings itself.
#[test]
fn an_input_that_disagrees_with_itself_on_a_base_is_an_error() {
    let sandbox = Sandbox::new();
    sandbox.symlink("below/a", "b").file("r/a/x", "1").file("r/b", "2");
    sandbox.imgb("pack below/:/ --no-deps -q -o base.tar").run().ok();
    sandbox
        .imgb("pack r/:/ --base base.tar -q -o out.tar")
        .run()
        .error(1, &["`r/:/` and `r/:/` disagree about `/b`"]);
}

#[test]
fn capabilities_of_a_file_that_an_input_hides_are_an_error() {
    let sandbox = Sandbox::new();
    sandbox.file("below/d/prog", "1").file("d", "2").symlink("r/d", "e").file("r/e/prog", "3");
    sandbox.imgb("pack below/:/ --no-deps -q -o base.tar").run().ok();
    for input in ["./d", "r/:/"] {
        sandbox
            .imgb(&format!("pack {input} --base base.tar --cap /d/prog=cap_net_raw+ep -o out.tar"))
            .run()
            .error(1, &["--cap `/d/prog`: no such file in the image"]);
    }
}

#[test]
fn a_working_directory_below_a_file_is_an_error() {
    let sandbox = Sandbox::new();
    sandbox.file("f", "1").symlink("r/l", "l").file("empty/x", "");
    sandbox.imgb("pack empty/:/ --no-deps -q -o base.tar").run().ok();
    for base in ["", "--base base.tar"] {
        for (args, part) in [
            ("./f --workdir /f/x", "cannot write to `/f/x`: `/f` is not a directory"),
            ("r/:/ --workdir /l", "`/l` goes through too many symbolic links"),
        ] {
            let pack = format!("pack {args} {base} --no-check -q -o out.tar");
            sandbox.imgb(&pack).run().error(1, &[part]);
        }
    }
}

#[test]
fn without_dependencies_a_base_gets_the_inputs_alone() {
    let sandbox = Sandbox::new();
    if !fixtures::program_without_its_library(&sandbox) || !have(&["gcc"]) {
        return;
    }
    sandbox.file("empty/x", "");
    sandbox.imgb("pack empty/ --no-deps -q -o base.tar").run().ok();
    for base in ["", "--base base.tar"] {
        let run = sandbox.imgb(&format!("pack ./app --no-deps {base} -q -o rootfs:out.tar"));
        run.run().ok();
        let text = sandbox.tool("tar", "-tf out.tar").run().ok().text();
        let names: Vec<_> = text.lines().filter(|name| *name != "x").collect();
        assert_eq!(names, ["app"], "{base}");
    }
}

/// One case for each option of `pack` that takes part in a decision, with what it is tried on.
const CASES: &[(&str, &str)] = &[
    ("", "./app"),
    ("sysroot", "./app --sysroot /"),
    ("library-path", "./app --library-path /usr/lib"),
    ("exclude", "./app ./dir:/opt --exclude *.txt"),
    ("include", "./app --include /etc/hosts"),
    ("include-from", "./app --include-from list"),
    ("trace", "./app --soft none --trace /app"),
    ("trace-timeout", "./app --trace /app --trace-timeout 60s"),
    ("trace", "./app --trace /gone"),
    ("allow-missing", "./lost --allow-missing libgone.so.1"),
    ("soft", "./app --soft none"),
    ("soft", "./app --soft all"),
    ("with", "./app --with time-zones"),
    ("without", "./app --without name-service"),
    ("rules", "./app --rules rules.toml"),
    ("no-deps", "./app --no-deps"),
    ("package-metadata", "./app --package-metadata none"),
    ("strict", "./mixed:/opt --strict"),
    ("strict", "./mixed:/opt"),
    ("deny-secrets", "./secret:/opt --deny-secrets"),
    ("as-file", "./app ./empty.tar:/opt/ --as-file"),
    ("hwcaps", "./app --hwcaps all"),
    ("preserve-mode", "./open:/opt --preserve-mode"),
    ("as-file", "./app ./half.tar:/half.tar --as-file"),
    ("chown", "./app --chown 7:8"),
    ("cap", "./app --cap /app=cap_net_raw+ep"),
    ("cap", "./app --cap /gone=cap_net_raw+ep"),
    ("platform", "./app --platform linux/amd64"),
    ("entrypoint", "./app --entrypoint /app"),
    ("cmd", "./app --cmd a"),
    ("env", "./app --env A=1 --env LD_LIBRARY_PATH=/usr/lib"),
    ("workdir", "./app --workdir /srv/x"),
    ("workdir", "./app --workdir /app/x"),
    ("user", "./app --user 7"),
    ("label", "./app --label a=b"),
    ("created", "./app --created 1"),
    ("annotation", "./app --annotation a=b"),
    ("expose", "./app --expose 80"),
    ("volume", "./app --volume /data"),
    ("stop-signal", "./app --stop-signal TERM"),
    ("layers", "./app --layers one"),
    ("max-layers", "./app --layers packages --max-layers 3"),
    ("no-check", "./app --no-check"),
    ("as-file", "./app ./packed.tar --as-file"),
    ("created", "./app --created 2020-02-02T02:02:02Z"),
    ("healthcheck", "./app --healthcheck NONE"),
    // Inputs: a link of a directory to a program, two programs, libraries that are missing.
    ("", "./venv:/venv"),
    ("", "./app ./app:/other"),
    ("", "./lost"),
];

/// Options that decide nothing about files or configuration, and why.
const OTHERS: &[(&str, &str)] = &[
    ("base", "it is what the cases vary"),
    ("dry-run", "the cases use it"),
    ("json", "the cases use it"),
    ("output", "where the image goes"),
    ("format", "where the image goes"),
    ("force", "where the image goes"),
    ("expect-digest", "where the image goes"),
    ("immutable", "where the image goes"),
    ("creds", "how registries are reached"),
    ("authfile", "how registries are reached"),
    ("ca-file", "how registries are reached"),
    ("insecure", "how registries are reached"),
    ("token-server", "how registries are reached"),
    ("retry-for", "how registries are reached"),
    ("tag", "the name, which is not in the image"),
    ("created", "the time of the image, which none of its files has"),
    ("compress", "how layers are written"),
    ("jobs", "how layers are written"),
    ("cache", "how layers are written"),
    ("cache-limit", "how layers are written"),
    ("cache-from", "how layers are written"),
    ("cache-to", "how layers are written"),
    ("no-cache", "how layers are written"),
    ("no-fsync", "how layers are written"),
    ("sbom", "another document, read from the finished plan"),
    ("provenance", "another document, read from the finished plan"),
    ("attach", "another document, read from the finished plan"),
    ("timing", "messages"),
    ("quiet", "messages"),
    ("verbose", "messages"),
    ("progress", "messages"),
    ("help", "messages"),
];

/// Options by which files that the base has may differ from those of an image from scratch, and
/// why.
const DIFFER_ON_HALF: &[(&str, &str)] = &[("chown", "files of the base keep their owner")];

#[test]
fn each_option_of_pack_has_a_case() {
    let sandbox = Sandbox::new();
    let help = sandbox.imgb("pack --help").run().ok().text();
    let options = help.lines().filter_map(|line| {
        // Text that explains an option is indented further.
        let line = line.get(..7).filter(|start| start.contains('-')).and(Some(line))?;
        let (_, name) = line.split_once("--")?;
        Some(name.split(|c: char| !c.is_ascii_lowercase() && c != '-').next()?.to_owned())
    });
    let known = |name: &str| CASES.iter().chain(OTHERS).any(|(option, _)| *option == name);
    let unknown: Vec<_> = options.filter(|name| !known(name)).collect();
    assert!(unknown.is_empty(), "neither a case nor an exception: {unknown:?}");
}

/// Makes what the cases pack, and the bases: one without files, and one with a part of the closure.
/// Returns false if the test must be skipped.
fn cases(sandbox: &Sandbox) -> bool {
    if !fixtures::program_without_its_library(sandbox) || !have(&["gcc", "true"]) {
        return false;
    }
    fs_err::rename(sandbox.path("app"), sandbox.path("lost")).unwrap();
    sandbox.file("m.c", "#include <math.h>\nint main(int c, char **v) { return (int)sin(c); }\n");
    sandbox.tool("gcc", "-O0 -o app m.c -lm").run().ok();
    sandbox
        .file("dir/a", "a")
        .file("dir/b.txt", "b")
        .file("list", "/etc/hosts\n")
        .file("rules.toml", "")
        .file("secret/id_rsa", "x")
        .file("open/f", "x")
        .mode("open/f", 0o666)
        .program("mixed/arm", fixtures::static_elf(fixtures::AARCH64))
        .program("mixed/x86", fixtures::static_elf(fixtures::X86_64))
        .dir("empty")
        .symlink("venv/bin/python", "/usr/bin/true");
    sandbox.imgb("pack empty/ --no-deps -q -o empty.tar").run().ok();
    sandbox.imgb("pack true -q -o half.tar").run().ok();
    sandbox.tool("tar", "-cf packed.tar dir").run().ok();
    true
}

/// What came of a case: exit code, the plan's facts, files, configuration.
#[derive(Debug)]
struct Result {
    code: Option<i32>,
    /// Entrypoint, arguments, platform and notes.
    facts: Vec<Value>,
    /// The lines of `tar -tv` for the whole root file system.
    files: BTreeSet<String>,
    config: Value,
}

fn run(sandbox: &Sandbox, args: &str, base: &str) -> Result {
    let plan = sandbox.imgb(&format!("pack {args} {base} --dry-run --json")).run();
    let packed = sandbox.imgb(&format!("pack {args} {base} -q -o rootfs:out.tar -o oci:out")).run();
    let code = packed.code();
    if code != Some(0) {
        return Result { code, facts: Vec::new(), files: BTreeSet::new(), config: Value::Null };
    }
    let text = plan.ok().text();
    // A hint repeats the command.
    let text = if base.is_empty() { text } else { text.replace(&format!(" {base}"), "") };
    let plan: Value = serde_json::from_str(&text).unwrap();
    let facts = ["entrypoint", "cmd", "platform", "notes"].map(|name| plan[name].clone());
    let text = sandbox.tool("tar", "--numeric-owner -tvf out.tar").run().ok().text();
    let files = text.lines().map(str::to_owned).collect();
    let (_, config) = documents(sandbox, "out");
    fs_err::remove_dir_all(sandbox.path("out")).unwrap();
    Result { code, facts: facts.into(), files, config: config["config"].clone() }
}

#[test]
fn every_option_decides_the_same_on_a_base() {
    let sandbox = Sandbox::new();
    if !cases(&sandbox) {
        return;
    }
    for (option, args) in CASES {
        let scratch = run(&sandbox, args, "");
        let empty = run(&sandbox, args, "--base empty.tar");
        assert_eq!(scratch.code, empty.code, "{args}");
        assert_eq!(scratch.facts, empty.facts, "{args}");
        assert_eq!(scratch.files, empty.files, "{args}");
        assert_eq!(scratch.config, empty.config, "{args}");
        // The base's own files come on top, and directories keep what the base says of them.
        let half = run(&sandbox, args, "--base half.tar");
        assert_eq!(scratch.code, half.code, "{args}");
        if !DIFFER_ON_HALF.iter().any(|(known, _)| known == option) {
            let lost: Vec<_> = scratch.files.difference(&half.files).collect();
            assert!(lost.is_empty(), "{args}: {lost:?}");
        }
        // The base starts `true` where nothing else is named.
        if scratch.code == Some(0) && !scratch.facts[0].is_null() {
            assert_eq!(scratch.facts[..3], half.facts[..3], "{args}");
            assert_eq!(scratch.config, half.config, "{args}");
        }
    }
}
