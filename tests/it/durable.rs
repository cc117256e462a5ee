//! After a power cut: content reaches the disk before its name, and blobs before the index that
//! names them.

use crate::{engines::have, sandbox::Sandbox};

/// What `imgb pack` did to the disk, in order: `sync`, `sync-dir PATH` and `name PATH`, with paths
/// below the sandbox.
fn steps(sandbox: &Sandbox, arguments: &str) -> Vec<String> {
    let calls = "trace=fsync,fdatasync,linkat,rename,renameat,renameat2";
    let strace = ["strace", "-f", "-qq", "-y", "-s", "4096", "-e", calls, "-o", "trace"];
    let run = sandbox.imgb(&format!("pack ./file --compress none --layers one {arguments}"));
    run.under(&strace).run().ok();
    let here = sandbox.path("").display().to_string();
    let trace = String::from_utf8(sandbox.read("trace")).unwrap();
    let step = |line: &str| {
        // A name is replaced by means of a temporary one.
        if line.ends_with("= -1 EEXIST (File exists)") {
            return None;
        }
        assert!(line.ends_with(" = 0"), "{line}");
        if line.contains("rename") || line.contains("linkat") {
            let to = line.rsplit('"').nth(1).unwrap();
            let to = to.strip_prefix(&here).unwrap_or(to);
            let to = to.trim_start_matches("./").trim_start_matches('/');
            return (!to.contains(".imgb-")).then(|| format!("name {to}"));
        }
        let of = line.split_once('<').and_then(|(_, rest)| rest.split_once('>')).unwrap().0;
        match of.strip_prefix(here.trim_end_matches('/')) {
            Some(dir)
                if !dir.contains('#') && sandbox.path(dir.trim_start_matches('/')).is_dir() =>
            {
                Some(format!("sync-dir {}", dir.trim_start_matches('/')))
            }
            _ => Some("sync".into()),
        }
    };
    trace.lines().filter_map(step).collect()
}

#[test]
fn content_reaches_the_disk_before_its_name() {
    if !have(&["strace"]) {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.file("file", "content");
    let one = ["sync".into(), "name out.tar".into(), "sync-dir ".into()];
    assert_eq!(steps(&sandbox, "-o out.tar"), one);
    assert_eq!(steps(&sandbox, "-o rootfs:root.tar -o docker-archive:out.tar"), {
        let root = ["sync", "name root.tar", "sync-dir "].map(String::from);
        [&one[..], &root].concat()
    });
    let layout = steps(&sandbox, "-o oci:layout");
    let at = |wanted: &str| layout.iter().position(|step| step == wanted).unwrap();
    let blobs = layout.iter().filter(|step| step.starts_with("name layout/blobs/sha256/")).count();
    assert_eq!(blobs, 3, "{layout:?}");
    let last_blob = layout.iter().rposition(|step| step.starts_with("name layout/blobs/")).unwrap();
    assert!(last_blob < at("sync-dir layout/blobs/sha256"), "{layout:?}");
    assert!(at("sync-dir layout/blobs/sha256") < at("name layout/index.json"), "{layout:?}");
    assert_eq!(layout.last().unwrap(), "sync-dir layout", "{layout:?}");
    for (number, _) in layout.iter().enumerate().filter(|(_, step)| step.starts_with("name ")) {
        assert_eq!(layout[number - 1], "sync", "{layout:?}");
    }
}

#[test]
fn no_fsync_does_not_wait_for_the_disk() {
    if !have(&["strace"]) {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.file("file", "content");
    for output in ["-o out.tar", "-o oci:layout", "-o rootfs:root.tar -o oci-archive:a.tar"] {
        let steps = steps(&sandbox, &format!("--no-fsync {output}"));
        assert!(
            !steps.is_empty() && steps.iter().all(|step| step.starts_with("name ")),
            "{steps:?}"
        );
    }
}

/// A disk that fails once may take the next fsync and still have lost the data.
#[test]
fn a_failed_fsync_is_an_error_and_nothing_gets_its_name() {
    if !have(&["strace"]) {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.file("file", "content");
    for output in ["out.tar", "rootfs:out.tar", "docker-archive:out.tar"] {
        let strace = ["strace", "-f", "-qq", "-o", "trace", "-e", "inject=fsync:error=EIO:when=1"];
        let run = sandbox.imgb("pack ./file --jobs 1 -o").arg(output).under(&strace).run();
        assert!(String::from_utf8_lossy(&sandbox.read("trace")).contains("(INJECTED)"));
        run.error(5, &["out.tar", "nput/output error"]);
        assert!(!sandbox.path("out.tar").exists(), "{output}");
    }
}

/// Each rename is slow, so that all processes read the index before one writes it, unless they wait
/// for each other.
#[test]
fn processes_that_add_to_one_layout_lose_no_tag() {
    if !have(&["strace"]) {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.file("file", "content");
    std::thread::scope(|scope| {
        for number in 0..5 {
            let sandbox = &sandbox;
            scope.spawn(move || {
                let trace = format!("trace{number}");
                let slowly = "inject=rename,renameat,renameat2:delay_enter=150000";
                let strace = ["strace", "-f", "-qq", "-o", &trace, "-e", slowly];
                let run = sandbox.imgb("pack ./file --no-fsync --no-check --no-cache -o oci:l");
                run.arg("-t").arg(format!("app:{number}")).under(&strace).run().ok();
            });
        }
    });
    let index: serde_json::Value = serde_json::from_slice(&sandbox.read("l/index.json")).unwrap();
    let names = index["manifests"].as_array().unwrap().iter();
    let mut tags: Vec<_> =
        names.map(|entry| &entry["annotations"]["org.opencontainers.image.ref.name"]).collect();
    tags.sort_by_key(|tag| tag.to_string());
    assert_eq!(tags, ["0", "1", "2", "3", "4"]);
}
