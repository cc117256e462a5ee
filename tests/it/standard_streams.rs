//! Standard streams that are closed or full, control characters in what is said, directories that
//! cannot be closed.

use std::{fs::OpenOptions, path::Path};

use crate::{
    engines::have,
    sandbox::{Outcome, Sandbox},
};

/// Runs `line` in a shell, with imgb as `$IMGB`.
fn shell(sandbox: &Sandbox, line: &str) -> Outcome {
    sandbox.tool("sh", "-c").arg(line).env("IMGB", env!("CARGO_BIN_EXE_imgb")).run()
}

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.file("data", "x");
    sandbox
}

const PACK: &str = "$IMGB pack --no-check data:/data --no-cache";

#[test]
fn an_image_is_not_written_to_a_closed_stdout() {
    let sandbox = sandbox();
    for output in ["-", "rootfs:-", "/dev/stdout", "a.tar -o -"] {
        let run = shell(&sandbox, &format!("{PACK} -o {output} >&-"));
        run.error(5, &["cannot write the image to stdout: it is closed"]);
    }
    assert_eq!(sandbox.names(""), ["data"], "nothing is written before that");
    sandbox.file("Buildfile", "FROM scratch\nCOPY data /\n");
    let run = shell(&sandbox, "$IMGB build --no-check --no-cache . -o - >&-");
    run.error(5, &["it is closed"]);
    // On purpose.
    shell(&sandbox, &format!("{PACK} -o - >/dev/null")).ok();
}

#[test]
fn a_closed_stdin_is_not_an_empty_file() {
    let sandbox = sandbox();
    for command in ["build -f - . -o a.tar", "trace --from-strace -"] {
        let run = shell(&sandbox, &format!("$IMGB {command} <&-"));
        run.error(3, &["cannot read stdin: it is closed"]);
    }
    assert_eq!(sandbox.names(""), ["data"]);
}

/// Without its standard streams, the first file that imgb opens would have the number of one.
#[test]
fn a_message_never_lands_in_an_output() {
    let sandbox = sandbox();
    shell(&sandbox, &format!("{PACK} -v -t a -o all.tar 2>/dev/null")).ok();
    shell(&sandbox, &format!("{PACK} -v -t a -o none.tar <&- >&- 2>&-")).ok();
    shell(
        &sandbox,
        &format!("{PACK} -v -o layout/ -o r.tar <&- >&- 2>&-; {PACK} -o - 2>&- >s.tar"),
    )
    .ok();
    assert!(sandbox.read("all.tar") == sandbox.read("none.tar"));
    for image in ["none.tar", "layout", "s.tar"] {
        sandbox.imgb("check").arg(image).run().ok();
    }
}

#[test]
fn a_full_stdout_is_an_error_with_a_message() {
    let sandbox = sandbox();
    shell(&sandbox, &format!("{PACK} -q -o a.tar")).ok();
    let commands = [
        "--help",
        "--version",
        "pack --help",
        "help run",
        "inspect a.tar",
        "inspect --json a.tar",
        "check --json a.tar",
        "plan data:/data",
        "rules",
        "completions bash",
        "pack --no-check data:/data --no-cache -o b.tar",
    ];
    for command in commands {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let run = sandbox.imgb(command).stdout(full).run();
        let run = run.error(5, &["cannot write to stdout: No space left on device"]);
        assert!(!run.stderr().contains("os error"), "{}", run.show());
    }
}

/// A name that colours a terminal, ends the line and sets the title.
const NAME: &str = "a\x1b[31m\nerror: b\x07";

fn is_clean(run: &Outcome) {
    let is_control = |char: char| char.is_control() && char != '\n';
    assert!(!run.stderr().contains(is_control), "{}", run.show());
    assert!(run.stderr().lines().all(|line| !line.starts_with("error: b")), "{}", run.show());
}

#[test]
fn control_characters_of_names_are_escaped_in_every_message() {
    let sandbox = sandbox();
    let name = |rest: &str| format!("{NAME}{rest}");
    sandbox.dir("d").file(&format!("d/{NAME}.key"), "-----BEGIN PRIVATE KEY-----\n");
    sandbox.file(&name(".sh"), "#!/bin/sh\n");
    let args: [&[&str]; 11] = [
        &["pack", &name(""), "-o", "a.tar"],
        &["pack", &name(".s"), "-o", "a.tar"],
        &["pack", &format!("./{}", name(".s")), "-o", "a.tar"],
        &["pack", &format!("./{}", name(".sh")), "--no-check", "-o", &name(".tar"), "-v"],
        &["pack", "./d", "--no-check", "-o", &name("/")],
        &["pack", "./d", "--no-check", "-o", "a.tar", "--entrypoint", &format!("'/{NAME}'")],
        &["pack", "./d", "--no-check", "--exclude", NAME, "-o", "a.tar"],
        &["pack", "./d", &format!("--{NAME}"), "-o", "a.tar"],
        &["check", &name(".tar")],
        &["deps", NAME, "--library-path", &format!("/{NAME}")],
        &[NAME],
    ];
    for args in args {
        let run = args.iter().fold(sandbox.imgb(""), |run, arg| run.arg(arg)).run();
        assert!(run.stderr().contains(r"a\x1b[31m\x0aerror: b\x07"), "{}", run.show());
        is_clean(&run);
    }
    // JSON escapes them itself.
    let run = sandbox.imgb("pack ./d --no-check --json -o a.tar").run().ok();
    assert!(!run.text().trim_end().contains(char::is_control), "{}", run.show());
}

#[test]
fn deps_warns_about_a_library_path_that_is_not_a_directory() {
    let sandbox = sandbox();
    for format in ["", "--list", "--json"] {
        let run = sandbox.imgb("deps sh --library-path /no/such --library-path /usr").args(format);
        let run = run.run().ok();
        let warning = "warning: --library-path `/no/such` is not a directory of the sysroot\n";
        assert_eq!(run.stderr(), warning, "{}", run.show());
    }
}

#[test]
fn check_and_inspect_say_that_a_large_image_is_read() {
    let sandbox = Sandbox::new();
    sandbox.file("big", vec![7; 80 << 20]);
    let pack = "pack --no-check --no-cache big:/big -q --compress none -o a.tar -o layout/";
    sandbox.imgb(pack).run().ok();
    for image in ["a.tar", "layout"] {
        for command in ["check", "inspect"] {
            let run = sandbox.imgb(command).arg(image).run().ok();
            let line = format!("reading {image}, 83.9 MB\n");
            assert!(run.stderr().starts_with(&line), "{}", run.show());
        }
        let run = sandbox.imgb("check -q").arg(image).run().ok();
        assert_eq!(run.stderr(), "", "{}", run.show());
    }
}

/// The standard library panics there.
#[test]
fn a_directory_that_cannot_be_closed_does_no_harm() {
    if !have(&["strace"]) {
        return;
    }
    let sandbox = sandbox();
    let pack = format!("{PACK} -q --cache cache");
    let pack = pack.replace(" --no-cache", "");
    shell(&sandbox, &format!("{pack} -o layout/")).ok();
    let fails = |dir: &str, command: &str| {
        let dir = sandbox.path(dir);
        let line = format!(
            "strace -f -qq -o log -P {} -e inject=close:error=EIO {command}",
            Path::new(&dir).display()
        );
        let run = shell(&sandbox, &line);
        let log = String::from_utf8_lossy(&sandbox.read("log")).into_owned();
        assert!(log.contains("INJECTED"), "{command} does not close {}", dir.display());
        run
    };
    fails("layout", &format!("{pack} -o layout/")).ok();
    fails("", "$IMGB pack ./dat -o a.tar").error(3, &["did you mean `./data`?"]);
    fails("cache/blobs", "$IMGB cache info --cache cache").ok();
    sandbox.file("data", "y");
    fails("cache/blobs", &format!("{pack} -o b.tar")).ok();
    sandbox.imgb("check b.tar").run().ok();
}
