//! What is said: one message for one kind, counts with their nouns, and silence where nobody reads.

use std::process::{Command, Stdio};

use crate::{
    engines::have,
    fixtures::{self, program_without_its_library},
    sandbox::Sandbox,
};

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.program("app", fixtures::static_elf(fixtures::X86_64));
    sandbox
}

#[test]
fn files_of_one_kind_give_one_warning() {
    let sandbox = sandbox();
    for number in 1..=21 {
        sandbox.file(&format!("test/{number:02}.key"), "x");
    }
    let said = |args: &str| sandbox.imgb(args).run().ok().stderr().to_owned();
    let packed = said("pack ./app ./test -o x.tar");
    let warnings = packed.matches("warning: ").count();
    assert_eq!(warnings, 1, "{packed}");
    let wanted = "warning: `/test/01.key` looks like a secret\n  \
        and 20 like it: /test/02.key, /test/03.key, /test/04.key, … (-v prints all)\n  leave";
    assert!(packed.contains(wanted), "{packed}");
    assert_eq!(said("pack ./app ./test -v -o x.tar").matches("warning: ").count(), 21);
    sandbox.file("Buildfile", "FROM scratch\nCOPY . /\nENV a b\nENV c d\nENTRYPOINT [\"/app\"]\n");
    let built = said("build . -o y.tar");
    assert_eq!(built.matches("warning: ").count(), 2, "{built}");
    assert!(built.contains("and 20 like it") && built.contains("also in line 4"), "{built}");
    assert_eq!(said("build . -v -o y.tar").matches("warning: ").count(), 23);
}

#[test]
fn check_prints_one_warning_for_one_missing_library() {
    let sandbox = sandbox();
    if !program_without_its_library(&sandbox) {
        return;
    }
    for number in 0..9 {
        sandbox.program(&format!("dir/p{number}"), sandbox.read("app"));
    }
    sandbox.program("ok", fixtures::static_elf(fixtures::X86_64));
    let args = "pack ./ok ./dir --entrypoint /ok --allow-missing libgone.so.1 -q -o x.tar";
    sandbox.imgb(args).run().ok();
    let said = |args: &str| sandbox.imgb(args).run().ok().stderr().to_owned();
    let checked = said("check x.tar");
    assert_eq!(checked.matches("warning: ").count(), 1, "{checked}");
    assert!(checked.contains("and 8 like it: /dir/p1, /dir/p2"), "{checked}");
    assert_eq!(said("check x.tar -v").matches("warning: ").count(), 9);
}

#[test]
fn a_plan_has_one_line_for_one_reason() {
    let sandbox = sandbox();
    for number in 0..500 {
        sandbox.file(&format!("data/sub/{number}"), "12345678");
    }
    let plan = |args: &str| sandbox.imgb(args).run().ok().text();
    let short = plan("plan ./app ./data");
    assert!(short.contains("502 paths     4.0 kB  /data/…  listed: ./data"), "{short}");
    assert!(short.contains("/app  listed: ./app") && short.lines().count() < 10, "{short}");
    for all in ["plan ./app ./data --all", "plan ./app ./data -v", "pack ./app ./data --dry-run -v"]
    {
        assert!(plan(all).lines().count() > 500, "{all}");
    }
    assert_eq!(plan("pack ./app ./data --dry-run"), short);
}

#[test]
fn what_is_probably_not_needed_is_told_on_demand() {
    let sandbox = Sandbox::new();
    if !have(&["curl"]) {
        return;
    }
    let plan = |args: &str| sandbox.imgb(args).run().ok().stderr().to_owned();
    assert_eq!(plan("plan curl"), "");
    assert!(plan("plan curl -v").contains("hint: left out, since it is probably not needed: "));
}

/// As other tools end when SIGPIPE ends them.
#[test]
fn a_reader_that_stops_reading_ends_every_command_silently() {
    let sandbox = sandbox();
    for number in 0..2000 {
        sandbox.file(&format!("data/{number}"), "");
    }
    sandbox.imgb("pack ./app ./data -q -o app.tar").run().ok();
    let imgb = sandbox.root().parent().unwrap().join("imgb");
    for args in [
        "plan ./app ./data --all",
        "plan ./app ./data --json",
        "inspect --files app.tar",
        "inspect --json app.tar",
        "check --json app.tar",
        "deps ./app",
        "deps --json ./app",
        "rules",
        "rules --json",
        "completions bash",
        "pack --help",
        "--version",
        "cache info",
        "trace --json -- true",
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = Command::new(&imgb);
        command.args(args.split_whitespace()).current_dir(sandbox.root()).env_clear();
        command.env("HOME", sandbox.root()).env("PATH", crate::sandbox::PATH);
        let run = command.stdout(writer).stderr(Stdio::piped()).output().unwrap();
        let said = String::from_utf8_lossy(&run.stderr);
        assert_eq!((run.status.code(), &*said), (Some(141), ""), "{args}");
    }
}

#[test]
fn one_is_not_plural() {
    let sandbox = sandbox();
    sandbox.file("Buildfile", "FROM scratch\nCOPY app /\nENTRYPOINT [\"/app\"]\n");
    let built = sandbox.imgb("build . -o x.tar --timing").run().ok();
    assert!(built.stderr().contains("packing 1 path, "), "{}", built.show());
    assert!(!built.stderr().contains("layer layer"), "{}", built.show());
    let inspected = sandbox.imgb("inspect x.tar").run().ok().text();
    for wanted in ["1 layer,", "1 path ", "1 path, 1 file,"] {
        assert!(inspected.contains(wanted), "{inspected}");
    }
    let mut run = sandbox.imgb("cache info --cache c").run().ok().text();
    run = run.split(": ").nth(1).unwrap_or_default().to_owned();
    assert_eq!(run, "0 entries in 0 blobs, 0 B\n");
}

#[test]
fn completions_know_the_rules_and_no_hidden_command() {
    let sandbox = sandbox();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let text = sandbox.imgb("completions").arg(shell).run().ok().text();
        let has_names = ["elvish", "powershell"].contains(&shell) || text.contains("time-zones");
        assert!(has_names && !text.contains("runner"), "{shell}");
    }
    // Only completions: other names come from rules files.
    sandbox.file("own.toml", "[[rule]]\nname = 'mine'\ndescription = 'x'\nlevel = 'auto'\n");
    sandbox.imgb("plan ./app --rules own.toml --with mine").run().ok();
}

#[test]
fn manual_pages_do_not_hyphenate() {
    let sandbox = sandbox();
    sandbox.imgb("man pages").run().ok();
    let names = sandbox.names("pages");
    assert!(names.contains(&"imgb-cache-prune.1".to_owned()), "{names:?}");
    assert!(!names.iter().any(|name| name.contains("runner")), "{names:?}");
    for name in names {
        let page = String::from_utf8(sandbox.read(&format!("pages/{name}"))).unwrap();
        let title = page.find("\n.TH ").unwrap();
        assert!(page[title..].contains(".nh\n.ad l\n"), "{page}");
    }
    if have(&["man"]) {
        let page = sandbox.tool("man", "--local-file pages/imgb-pack.1").env("MANWIDTH", "40");
        let text = page.run().ok().text();
        assert!(text.contains("NAME") && !text.contains('\u{2010}'), "{text}");
    }
}

/// On a terminal, which script(1) makes.
#[test]
fn a_terminal_shows_that_a_large_tarball_is_read() {
    let sandbox = sandbox();
    if !have(&["script", "xz"]) {
        return;
    }
    sandbox.file("big", vec![7; 96 << 20]);
    sandbox.tool("tar", "-cf big.tar big").run().ok();
    sandbox.tool("xz", "-0 big.tar").run().ok();
    let imgb = sandbox.root().parent().unwrap().join("imgb");
    let line = format!("{} pack big.tar.xz --no-check --no-cache -o x.tar", imgb.display());
    let shown = sandbox.tool("script", "-qec").arg(line).arg("/dev/null").env("TERM", "xterm");
    let shown = shown.run().ok().text();
    assert!(shown.contains("reading the inputs, "), "{shown}");
    assert!(shown.contains(" MB") && !shown.contains("MiB"), "{shown}");
}
