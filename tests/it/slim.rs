//! `imgb slim`: what an image keeps, and that it still does what it did. `tests/slim/run` tries it
//! on images of real servers.

use serde_json::Value;

use crate::{build_bases::documents, engines::have, fixtures::sysroot, sandbox::Sandbox};

const ENTRYPOINT: &str = "#!/usr/bin/dash
set -e
for file in /init.d/*.sh; do . \"$file\"; done
exec \"$@\"
";

/// `app.tar` and `layout`: a script that reads others, and starts the command that it is given.
fn image(more: &str) -> Option<Sandbox> {
    if !have(&["dash", "cat", "id", "sort"]) {
        return None;
    }
    let sandbox = Sandbox::new();
    sysroot(
        &sandbox,
        "dash cat id sort --soft none --package-metadata none --entrypoint /x --no-check",
    );
    sandbox.program("sys/entry.sh", ENTRYPOINT);
    sandbox.program("sys/init.d/10.sh", "#!/usr/bin/dash\ncat /etc/app.conf\n");
    sandbox.file("sys/etc/app.conf", "configured\n");
    sandbox.file("sys/etc/passwd", "root:x:0:0::/root:/bin/sh\napp:x:100:101::/home/app:/bin/sh\n");
    sandbox.file("sys/etc/group", "root:x:0:\napp:x:101:\n");
    sandbox.file("sys/usr/share/doc/large", vec![b'x'; 500_000]);
    sandbox.file("sys/opt/other/file", "x");
    let recipe = format!(
        "FROM scratch\nCOPY sys/ /\nMKDIR --chown=100:101 --mode=750 /var/lib/app /home/app /vol\n\
         COPY --chown=100:101 --chmod=640 app.conf /srv/app/app.conf\n\
         ENV APP=1 PATH=/usr/bin\nLABEL made=by-us\nEXPOSE 80\nVOLUME /vol\nWORKDIR /srv/app\n\
         USER app\nSTOPSIGNAL SIGQUIT\nHEALTHCHECK CMD sort /dev/null\n\
         ENTRYPOINT [\"/entry.sh\"]\nCMD [\"id\", \"-u\"]\n{more}"
    );
    sandbox.file("app.conf", "x").file("Buildfile", recipe);
    sandbox.imgb("build . -q -o app.tar -o oci:layout:1").run().ok();
    Some(sandbox)
}

fn paths(sandbox: &Sandbox, slim: &str) -> Vec<String> {
    sandbox.imgb(&format!("slim {slim} -q -o slim.tar -o rootfs:slim-root.tar")).run().ok();
    let text = sandbox.tool("tar", "-tf slim-root.tar").run().ok().text();
    text.lines().map(|path| path.trim_end_matches('/').to_owned()).collect()
}

#[test]
fn an_image_keeps_what_its_scripts_and_its_configuration_name() {
    let Some(sandbox) = image("") else { return };
    let found = paths(&sandbox, "app.tar");
    let kept = [
        "entry.sh",
        "init.d/10.sh",
        "etc/app.conf",
        "usr/bin/dash",
        "usr/bin/cat",
        "usr/bin/id",
        "usr/bin/sort",
        "etc/passwd",
        "etc/group",
        "var/lib/app",
        "home/app",
        "vol",
        "srv/app/app.conf",
    ];
    for path in kept {
        assert!(found.iter().any(|found| found == path), "{path} is not in {found:?}");
    }
    for path in ["usr/share/doc/large", "opt/other/file"] {
        assert!(!found.iter().any(|found| found == path), "{path} is in {found:?}");
    }
    let run = |image: &str| sandbox.imgb(&format!("run {image}")).run().ok().text();
    assert_eq!(run("app.tar"), "configured\n100\n");
    assert_eq!(run("slim.tar"), "configured\n100\n");
    // Owners and modes are those of the image.
    let listed = sandbox.tool("tar", "--numeric-owner -tvf slim-root.tar").run().ok();
    for wanted in ["drwxr-x--- 100/101", "-rw-r----- 100/101"] {
        assert!(listed.text().contains(wanted), "{}", listed.show());
    }
}

#[test]
fn the_configuration_is_kept_and_the_history_says_what_was_done() {
    let Some(sandbox) = image("") else { return };
    sandbox.imgb("slim oci:layout:1 -q --layers one -o oci:small:1").run().ok();
    let (manifest, before) = documents(&sandbox, "layout");
    let (_, after) = documents(&sandbox, "small");
    assert_eq!(after["config"], before["config"]);
    assert_eq!(after["created"], before["created"]);
    let history = after["history"].as_array().unwrap();
    assert_eq!(history.len(), 1);
    let digest = sandbox.imgb("inspect --json oci:layout:1").run().ok().text();
    let digest: Value = serde_json::from_str(&digest).unwrap();
    let created_by = history[0]["created_by"].as_str().unwrap();
    assert_eq!(created_by, format!("imgb slim {}", digest["digest"].as_str().unwrap()));
    assert!(manifest["layers"].as_array().unwrap().len() > 1);
    sandbox.imgb("slim oci:layout:1 -q --layers packages:5 -o oci:cut:1").run().ok();
    let (manifest, cut) = documents(&sandbox, "cut");
    let count = manifest["layers"].as_array().unwrap().len();
    assert!((2..=5).contains(&count), "{count}");
    let steps: Vec<_> = cut["history"].as_array().unwrap().iter().collect();
    let starts = |step: &&Value| step["created_by"].as_str().unwrap().starts_with(created_by);
    assert_eq!((steps.len(), steps.iter().all(starts)), (count, true), "{steps:?}");
    let found = sandbox.imgb("diff oci:cut:1 oci:small:1 --json").run().json();
    assert_eq!(found["files"].as_array().unwrap().len(), 0, "{}", found["files"]);
    // The same image is the same, from wherever it is read.
    let one = sandbox.imgb("slim app.tar -q -o one.tar -t x:1").run().ok().digest();
    assert_eq!(sandbox.imgb("slim layout -q -o two.tar -t x:1").run().ok().digest(), one);
}

#[test]
fn what_is_named_is_kept_and_the_summary_counts() {
    let Some(sandbox) = image("") else { return };
    let has = |slim: &str, path: &str| paths(&sandbox, slim).iter().any(|found| found == path);
    assert!(has("app.tar --include /usr/share/doc/large", "usr/share/doc/large"));
    assert!(has("app.tar --include /opt/**", "opt/other/file"));
    sandbox.file("list", "/opt/other/file\n");
    assert!(has("app.tar --include-from list", "opt/other/file"));
    sandbox.imgb("slim app.tar --include /gone -o x.tar").run().error(3, &["--include", "/gone"]);
    sandbox.imgb("slim app.tar --include /gone/* -o x.tar").run().error(3, &["no file"]);
    sandbox.imgb("slim app.tar --program gone -o x.tar").run().error(3, &["`gone`"]);
    let json = sandbox.imgb("slim app.tar --json -o slim.tar").run().ok().text();
    let json: Value = serde_json::from_str(&json).unwrap();
    let number = |at: &str, field: &str| json["slim"][at][field].as_u64().unwrap();
    assert!(number("before", "bytes") - number("after", "bytes") >= 500_001, "{json}");
    assert!(number("before", "files") - number("after", "files") >= 2, "{json}");
    let text = sandbox.imgb("slim app.tar --dry-run").run().ok();
    assert!(text.stderr().contains("% of the bytes"), "{}", text.show());
}

#[test]
fn an_image_without_a_program_needs_one() {
    let Some(sandbox) = image("ENTRYPOINT []\nCMD []\n") else { return };
    sandbox.imgb("slim app.tar -o x.tar").run().error(2, &["--program"]);
    let found = paths(&sandbox, "app.tar --program cat --no-check");
    assert!(found.iter().any(|path| path == "usr/bin/cat"), "{found:?}");
    assert!(!found.iter().any(|path| path == "usr/bin/id"), "{found:?}");
}
