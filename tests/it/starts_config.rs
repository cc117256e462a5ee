//! What the configuration of an image starts: the fix for what cannot start, health checks, users.

use serde_json::Value;

use crate::{
    engines::{self, have},
    fixtures::{AARCH64, X86_64, static_elf},
    sandbox::Sandbox,
};

fn build(sandbox: &Sandbox, text: &str) -> crate::sandbox::Outcome {
    sandbox.file("ctx/Buildfile", format!("FROM scratch\n{text}"));
    sandbox.imgb("build ctx -t built:1 -o image.tar").run()
}

#[test]
fn the_hint_for_what_cannot_start_is_the_fix() {
    let sandbox = Sandbox::new();
    sandbox.program("ctx/script", "#!/usr/bin/dash\necho it ran\n").dir("ctx/bin");
    if !have(&["dash", "/usr/bin/true"]) {
        return;
    }
    sandbox.program("ctx/app", fs_err::read("/usr/bin/true").unwrap());
    let copy = "COPY ./app /bin/app\nENTRYPOINT [\"/bin/app\"]\n";
    build(&sandbox, copy).error(1, &["use `PACK ./app /bin/app`", "--no-check"]);
    build(&sandbox, &copy.replace("COPY", "PACK")).ok();
    let copy = "COPY script /script\nENTRYPOINT [\"/script\"]\n";
    build(&sandbox, copy).error(1, &["/usr/bin/dash", "use `PACK script /script`"]);
    build(&sandbox, &copy.replace("COPY", "PACK")).ok();
    sandbox.imgb("run image.tar").run().ok().prints_only("it ran\n");
    let built = build(&sandbox, "PACK ./app /app\nENTRYPOINT [\"dash\", \"-c\", \"exit\"]\n").ok();
    assert!(built.stderr().contains("add `PACK dash`"), "{}", built.show());
    sandbox.program("arm", static_elf(AARCH64));
    let pack = "pack ./arm -o arm.tar --entrypoint /arm --platform";
    sandbox.imgb(&format!("{pack} amd64")).run().error(1, &["--platform linux/arm64"]);
    sandbox.imgb(&format!("{pack} linux/arm64")).run().ok();
    sandbox.program("app", static_elf(X86_64));
    let pack = "pack ./app -o image.tar --entrypoint dash";
    sandbox.imgb(pack).run().error(1, &["add `dash` as an input"]);
    sandbox.imgb(&pack.replace("./app", "./app dash")).run().ok();
}

/// COPY of a directory and PACK of one: the message names an instruction that works.
#[test]
fn the_fix_for_a_directory_names_the_program_in_it() {
    let sandbox = Sandbox::new();
    sandbox.program("ctx/app/bin/start", "#!/usr/bin/dash\necho it ran\n").file("ctx/app/a", "");
    if !have(&["dash"]) {
        return;
    }
    let end = "ENTRYPOINT [\"/srv/bin/start\"]\n";
    let copy = "COPY app/ /srv/\n";
    let fix = "PACK app/bin/start /srv/bin/start";
    build(&sandbox, &format!("{copy}{end}")).error(1, &[&format!("use `{fix}`")]);
    build(&sandbox, &format!("{copy}{fix}\n{end}")).ok();
    sandbox.imgb("run image.tar").run().ok().prints_only("it ran\n");
    build(&sandbox, "PACK app/ /srv/\n").error(3, &["it is a directory"]);
    build(&sandbox, "PACK app\n").error(3, &["it is a directory"]);
    // What was copied as it is says when it is run where to look for the reason.
    sandbox.imgb("pack ./ctx/app:/srv --no-deps --no-check -o raw.tar").run().ok();
    let run = sandbox.imgb("run raw.tar --entrypoint /srv/bin/start").run();
    run.error(127, &["/srv/bin/start", "`imgb check IMAGE`"]);
}

/// A wrapper in a packed directory brings its commands as one that is packed by its name.
#[test]
fn a_wrapper_that_is_the_entrypoint_brings_its_commands() {
    let sandbox = Sandbox::new();
    if !have(&["dash", "basename"]) {
        return;
    }
    let script = "#!/usr/bin/dash\nset -e\nbasename /x/\"$1\"\n";
    sandbox.program("app/run", script).program("app/other", script.replace("basename", "seq"));
    sandbox.imgb("pack ./app:/app --entrypoint /app/run --cmd it -o a.tar").run().ok();
    sandbox.imgb("run a.tar").run().ok().prints_only("it\n");
    sandbox.imgb("pack ./app:/app --cmd /app/run -o b.tar").run().ok();
    sandbox.imgb("run b.tar -- /app/run it").run().ok().prints_only("it\n");
    let plan = sandbox.imgb("plan ./app:/app --entrypoint /app/run --all").run().ok().text();
    assert!(plan.contains("/usr/bin/basename") && !plan.contains("/usr/bin/seq"), "{plan}");
}

#[test]
fn the_root_of_another_machine_is_named() {
    let sandbox = Sandbox::new();
    if !have(&["readelf", "/usr/bin/true"]) {
        return;
    }
    sandbox.program("app", fs_err::read("/usr/bin/true").unwrap());
    // Only the place of the loader tells one machine's root from another's.
    sandbox.file("root/etc/motd", "").dir("root/usr/bin");
    let headers = sandbox.tool("readelf", "-lW app").run().ok().text();
    let loader = headers.split("interpreter: ").nth(1).unwrap().split(']').next().unwrap();
    let other = format!("root/usr/other-linux-gnu{loader}");
    sandbox.program(&other, fs_err::read(loader).unwrap());
    let pack = sandbox.imgb("pack ./app --sysroot root -o o.tar").run();
    pack.error(1, &[loader, "`--sysroot /usr/other-linux-gnu`"]);
}

#[test]
fn the_health_check_is_proved_too() {
    let sandbox = Sandbox::new();
    if !have(&["dash", "true"]) {
        return;
    }
    sandbox.program("ctx/app", static_elf(X86_64));
    let app = "PACK ./app /app\nENTRYPOINT [\"/app\"]\n";
    let said = |check: &str, wanted: &str| {
        let built = build(&sandbox, &format!("{app}HEALTHCHECK {check}\n")).ok();
        let warning = format!("the health check cannot run: {wanted}");
        let is_said = !wanted.is_empty() && built.stderr().contains(&warning);
        assert_eq!(is_said, !wanted.is_empty(), "{check}: {}", built.show());
        assert!(
            !wanted.is_empty() || !built.stderr().contains("health check cannot run"),
            "{}",
            built.show()
        );
        let strict = sandbox.imgb("check --strict image.tar").run();
        let code = i32::from(!wanted.is_empty());
        assert_eq!(strict.code(), Some(code), "{check}: {}", strict.show());
        sandbox.imgb("check image.tar").run().ok();
    };
    said("CMD curl -f http://localhost/", "the program `/bin/sh` is not in the image");
    said("CMD [\"/gone\"]", "the program `/gone` is not in the image");
    said("CMD [\"/app\", \"--check\"]", "");
    said("NONE", "");
    let shell = "PACK dash\nPACK true\nSHELL [\"/usr/bin/dash\", \"-c\"]\n";
    let check = |line: &str| format!("{shell}HEALTHCHECK CMD {line}\n");
    let built = build(&sandbox, &format!("{app}{}", check("nosuch && exit 0"))).ok();
    assert!(built.stderr().contains("`nosuch` is not in the image"), "{}", built.show());
    let built = build(&sandbox, &format!("{app}{}", check("true || exit 1"))).ok();
    assert!(!built.stderr().contains("health check cannot run"), "{}", built.show());
}

#[test]
fn a_program_outside_the_path_is_named() {
    let sandbox = Sandbox::new();
    sandbox.program("app", static_elf(X86_64));
    let pack = sandbox.imgb("pack ./app:/opt/tools/app --entrypoint app -o o.tar").run();
    pack.error(1, &["/opt/tools/app is in the image, outside its PATH", "PATH=/opt/tools:/"]);
}

#[test]
fn pack_takes_the_health_check_of_a_buildfile() {
    let sandbox = Sandbox::new();
    sandbox.program("ctx/app", static_elf(X86_64));
    let check = "--interval=1m30s --timeout=3s --start-period=5s --retries=2 CMD [\"/app\",\"-c\"]";
    let inspect = || {
        let json = sandbox.imgb("inspect --json image.tar").run().ok().text();
        let json: Value = serde_json::from_str(&json).unwrap();
        let text = sandbox.imgb("inspect image.tar").run().ok().text();
        let row = text.lines().find(|line| line.starts_with("healthcheck ")).map(str::to_owned);
        (json["config"]["config"]["Healthcheck"].clone(), row)
    };
    build(&sandbox, &format!("PACK ./app /app\nENTRYPOINT [\"/app\"]\nHEALTHCHECK {check}\n")).ok();
    let built = inspect();
    let pack =
        |check: &str| sandbox.imgb("pack ctx/app -o image.tar --healthcheck").arg(check).run();
    pack(check).ok();
    assert_eq!(inspect(), built);
    let shown = "--interval=90s --timeout=3s --start-period=5s --retries=2 CMD [\"/app\",\"-c\"]";
    assert_eq!(built.1.unwrap().split_once(' ').unwrap().1, shown);
    let packed = pack("CMD /app -c").ok();
    assert!(packed.stderr().contains("the health check cannot run: the program `/bin/sh`"));
    assert!(packed.stderr().contains("add `/bin/sh:/bin/sh` as an input"), "{}", packed.show());
    if have(&["dash"]) {
        let pack = "pack ctx/app /bin/sh:/bin/sh --entrypoint /app -o image.tar --healthcheck";
        let packed = sandbox.imgb(pack).arg("CMD exit 0").run().ok();
        assert!(!packed.stderr().contains("health check cannot run"), "{}", packed.show());
    }
    for wrong in ["/app -c", "--interval=1 CMD /app", "CMD"] {
        pack(wrong).error(2, &["--healthcheck"]);
    }
}

/// `/etc/passwd`, `/etc/group` and the notes on users of an image.
fn accounts(sandbox: &Sandbox, made: &crate::sandbox::Outcome) -> (String, String, String) {
    sandbox.imgb("check image.tar").run();
    let files = sandbox.imgb("inspect --json image.tar").run().ok().text();
    let files: Value = serde_json::from_str(&files).unwrap();
    assert_eq!(files["config"]["config"]["User"], "app", "{}", made.show());
    sandbox
        .dir("x")
        .tool("sh", "-c")
        .arg(
            "rm -rf x/* l; mkdir l; tar -xf image.tar -C l; \
        for b in l/blobs/sha256/*; do tar -xf $b -C x etc 2>/dev/null; done; true",
        )
        .run()
        .ok();
    let text = |path: &str| String::from_utf8(sandbox.read(path)).unwrap();
    let notes = made.stderr().lines().filter(|line| line.contains("user")).collect();
    (text("x/etc/passwd"), text("x/etc/group"), notes)
}

#[test]
fn a_user_that_does_not_exist_is_made_in_the_same_way_everywhere() {
    let sandbox = Sandbox::new();
    sandbox.program("ctx/app", static_elf(X86_64));
    let packed = sandbox.imgb("pack ctx/app --user app -o image.tar").run().ok();
    let wanted = accounts(&sandbox, &packed);
    assert!(wanted.0.contains("app:x:1000:1000:app:/:/sbin/nologin\n"), "{wanted:?}");
    assert!(wanted.1.contains("app:x:1000:\n"), "{wanted:?}");
    assert_eq!(wanted.2, "");
    for text in ["PACK ./app /app\nUSER app\n", "USER app\nPACK ./app /app\n"] {
        let built = build(&sandbox, &format!("{text}ENTRYPOINT [\"/app\"]\n")).ok();
        assert_eq!(accounts(&sandbox, &built), wanted, "{text}");
    }
    // Tables that the user brings stay as they are.
    sandbox.file("ctx/passwd", "root:x:0:0::/:\n");
    let text = "PACK ./app /app\nCOPY passwd /etc/passwd\nUSER app\nENTRYPOINT [\"/app\"]\n";
    let built = build(&sandbox, text).ok();
    assert!(built.stderr().contains("the user `app` is not in /etc/passwd"), "{}", built.show());
    sandbox.file("etc/passwd", "root:x:0:0::/:\n");
    let pack = "pack ctx/app ./etc:/etc --user app -o image.tar";
    sandbox
        .imgb(pack)
        .run()
        .error(1, &["`app` is not in /etc/passwd", "by a number, such as 1000"]);
}

#[test]
fn docker_starts_the_image_as_a_user_that_was_made() {
    let sandbox = Sandbox::new();
    let Some(docker) = engines::docker() else { return };
    if !have(&["id"]) {
        return;
    }
    build(&sandbox, "PACK id\nUSER app\nENTRYPOINT [\"/usr/bin/id\"]\n").ok();
    docker.load(&sandbox.path("image.tar"));
    docker
        .image("built:1")
        .run()
        .ok()
        .prints_only("uid=1000(app) gid=1000(app) groups=1000(app)\n");
}
