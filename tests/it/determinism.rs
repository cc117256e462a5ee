//! The same inputs give the same bytes, whoever packs them, where, when and how. Packing executes
//! nothing.

use std::{
    os::unix::fs::{MetadataExt, PermissionsExt},
    time::{Duration, SystemTime},
};

use crate::{
    engines::have,
    fixtures,
    image_spec::{Layout, digest_of, file_digest},
    sandbox::{Run, Sandbox},
};

/// A sandbox with the tree and a program with libraries, which makes two layers.
fn inputs() -> Sandbox {
    let sandbox = Sandbox::new();
    fixtures::tree(&sandbox);
    sandbox.file("script", "#!/bin/bash\necho hello\n").mode("script", 0o755);
    sandbox.dir("out").give_to_nobody();
    sandbox
}

/// Packs it as every test of this file does, except for what `vary` changes.
fn pack(sandbox: &Sandbox, vary: impl FnOnce(Run) -> Run) -> (String, String) {
    let run = sandbox.imgb("pack ./tree ./script -o out/image.tar");
    let digest = vary(run).run().ok().digest();
    (digest, file_digest(sandbox.path("out/image.tar")))
}

/// The digests of the archive and its image, when nothing is varied.
fn control() -> (String, String) {
    pack(&inputs(), |run| run)
}

#[test]
fn two_runs_write_the_same_bytes() {
    let sandbox = inputs();
    let first = pack(&sandbox, |run| run);
    assert_eq!(pack(&sandbox, |run| run), first);
    assert_eq!(control(), first, "in another directory");
    assert_eq!(Layout::unpack(&sandbox, "out/image.tar", "layout").manifest_digest, first.0);
}

/// The number of processes of a user or a container is limited.
#[test]
fn without_more_threads_one_does_everything() {
    let sandbox = inputs();
    sandbox.file("tree/large", vec![7; 5 << 20]);
    let first = pack(&sandbox, |run| run);
    let limited = |run: Run| run.arg("--jobs=16").nobody().under(&["prlimit", "--nproc=1"]);
    assert_eq!(pack(&sandbox, limited), first);
}

#[test]
fn neither_umask_nor_user_nor_environment_changes_the_digest() {
    let (sandbox, control) = (inputs(), control());
    for mask in [0, 0o077, 0o777] {
        assert_eq!(pack(&sandbox, |run| run.umask(mask)), control, "umask {mask:o}");
        fs_err::remove_file(sandbox.path("out/image.tar")).unwrap();
    }
    assert_eq!(pack(&sandbox, Run::nobody), control, "as nobody");
    let settings = [
        ("LC_ALL", "tr_TR.UTF-8"),
        ("LANG", "C"),
        ("TZ", "Asia/Kathmandu"),
        ("HOME", "/nonexistent"),
    ];
    for (name, value) in settings {
        assert_eq!(pack(&sandbox, |run| run.env(name, value)), control, "{name}={value}");
    }
}

#[test]
fn the_number_of_threads_does_not_change_the_digest() {
    let (sandbox, control) = (inputs(), control());
    for jobs in ["1", "2", "3", "7", "16"] {
        assert_eq!(pack(&sandbox, |run| run.arg("--jobs").arg(jobs)), control, "--jobs {jobs}");
    }
}

#[test]
fn a_checkout_with_another_umask_order_and_time_has_the_same_digest() {
    let (sandbox, control) = (inputs(), control());
    let mut names: Vec<String> = sandbox.names("tree");
    names.reverse();
    // The same names in a new directory, made in another order and with umask 002, as another
    // checkout would be.
    sandbox.dir("again");
    for name in &names {
        fs_err::rename(sandbox.path("tree").join(name), sandbox.path("again").join(name)).unwrap();
    }
    fs_err::remove_dir(sandbox.path("tree")).unwrap();
    fs_err::rename(sandbox.path("again"), sandbox.path("tree")).unwrap();
    let mut todo = vec![sandbox.path("tree")];
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(500_000_000);
    while let Some(path) = todo.pop() {
        let found = fs_err::symlink_metadata(&path).unwrap();
        if found.is_dir() {
            todo.extend(fs_err::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        if found.is_symlink() {
            continue;
        }
        let group_writes = (found.mode() & 0o200) >> 3;
        fs_err::set_permissions(&path, PermissionsExt::from_mode(found.mode() | group_writes))
            .unwrap();
        fs_err::File::open(&path).unwrap().into_parts().0.set_modified(long_ago).unwrap();
    }
    assert_eq!(pack(&sandbox, |run| run), control);
}

#[test]
fn the_working_directory_and_the_spelling_of_inputs_do_not_change_the_digest() {
    let (sandbox, control) = (inputs(), control());
    let root = sandbox.root();
    let absolute = sandbox.imgb("pack").cwd("/").arg(root.join("tree")).arg(root.join("script"));
    let digest = absolute.arg("-o").arg(root.join("out/image.tar")).run().ok().digest();
    assert_eq!(digest, control.0);
    let relative = sandbox.imgb("pack ../tree .././script -o image.tar").cwd(root.join("out"));
    assert_eq!(relative.run().ok().digest(), control.0);
    assert_eq!(file_digest(root.join("out/image.tar")), control.1);
}

#[test]
fn every_kind_of_output_holds_the_same_image() {
    let (sandbox, control) = (inputs(), control());
    let image = |out: &str| sandbox.imgb("pack ./tree ./script -t image -o").arg(out).run().ok();
    assert_eq!(image("oci:out/layout").digest(), control.0);
    assert_eq!(Layout::open(&sandbox.path("out/layout")).manifest_digest, control.0);
    assert_eq!(image("out/layout-by-slash/").digest(), control.0);
    assert_eq!(Layout::open(&sandbox.path("out/layout-by-slash")).manifest_digest, control.0);
    assert_eq!(image("oci-archive:out/oci.tar").digest(), control.0);
    assert_eq!(Layout::unpack(&sandbox, "out/oci.tar", "unpacked").manifest_digest, control.0);
    assert_eq!(
        digest_of(&image("-").into_bytes()[..]).0,
        control.1,
        "the archive on standard output"
    );
    let several =
        sandbox.imgb("pack ./tree ./script -t image -o out/a.tar -o oci:out/b -o rootfs:out/c.tar");
    several.run().ok().prints(&control.0);
    assert_eq!(file_digest(sandbox.path("out/a.tar")), control.1);
    assert_eq!(Layout::open(&sandbox.path("out/b")).manifest_digest, control.0);
    image("rootfs:out/d.tar");
    assert_eq!(file_digest(sandbox.path("out/c.tar")), file_digest(sandbox.path("out/d.tar")));
}

#[test]
fn a_layout_keeps_its_other_tags() {
    let sandbox = inputs();
    let one = sandbox.imgb("pack ./tree -o oci:layout:one").run().ok().digest();
    let two = sandbox.imgb("pack ./script -o oci:layout:two").run().ok().digest();
    assert_ne!(one, two);
    sandbox.imgb("pack ./tree -o oci:layout:one").run().ok();
    let index: serde_json::Value =
        serde_json::from_slice(&sandbox.read("layout/index.json")).unwrap();
    let mut found: Vec<(&str, &str)> = Vec::new();
    for descriptor in index["manifests"].as_array().unwrap() {
        let tag = descriptor["annotations"]["org.opencontainers.image.ref.name"].as_str();
        found.push((tag.unwrap(), descriptor["digest"].as_str().unwrap()));
    }
    found.sort_unstable();
    assert_eq!(found, [("one", one.as_str()), ("two", two.as_str())]);
}

#[test]
fn source_date_epoch_is_the_time_of_everything() {
    let (sandbox, control) = (inputs(), control());
    let created = |layout: &Layout| layout.config["created"].as_str().map(str::to_owned);
    pack(&sandbox, |run| run);
    assert_eq!(
        created(&Layout::unpack(&sandbox, "out/image.tar", "none")).as_deref(),
        Some("1970-01-01T00:00:00Z")
    );
    assert_eq!(pack(&sandbox, |run| run.env("SOURCE_DATE_EPOCH", "")), control);
    let later = pack(&sandbox, |run| run.env("SOURCE_DATE_EPOCH", "1700000000"));
    assert_ne!(later.0, control.0);
    let layout = Layout::unpack(&sandbox, "out/image.tar", "later");
    assert_eq!(created(&layout).as_deref(), Some("2023-11-14T22:13:20Z"));
    for layer in layout.layers() {
        let list = sandbox
            .tool("tar", "--list --verbose --gzip --full-time --utc --file")
            .arg(layer)
            .run()
            .ok();
        for line in list.text().lines() {
            assert!(line.contains("2023-11-14 22:13:20"), "{line}");
        }
    }
    let bad = sandbox.imgb("pack ./tree -o out/image.tar").env("SOURCE_DATE_EPOCH", "yesterday");
    bad.run().error(2, &["SOURCE_DATE_EPOCH", "yesterday", "is not a number"]);
    for seconds in ["-62167219201", "253402300800", "99999999999999999999"] {
        let far = sandbox.imgb("pack ./tree -o out/image.tar").env("SOURCE_DATE_EPOCH", seconds);
        far.run().error(2, &["SOURCE_DATE_EPOCH", seconds, "years 0 to 9999"]);
    }
}

/// Lists of images show the time, and engines prune by it; the layers do not change.
#[test]
fn the_time_of_the_image_can_differ_from_that_of_its_files() {
    let sandbox = inputs();
    sandbox.file("Buildfile", "FROM scratch\nCOPY tree /tree\nCMD [\"/tree/bin/static\"]\n");
    for (number, command) in ["pack ./tree", "build ."].into_iter().enumerate() {
        let layout = |created: &str, out: String| {
            let run = sandbox.imgb(command).args("--no-check -o").arg(format!("oci:{out}"));
            run.args(created).run().ok();
            Layout::open(&sandbox.path(out))
        };
        let plain = layout("", format!("plain{number}"));
        for (option, wanted) in [
            ("--created 2023-11-14T23:13:20+01:00", "2023-11-14T22:13:20Z"),
            ("--created 1700000000", "2023-11-14T22:13:20Z"),
            ("--created now", "20"),
        ] {
            let word = option.rsplit(' ').next().unwrap();
            let dated = layout(option, format!("dated{number}{word}").replace([':', '+'], ""));
            let (created, history) = (&dated.config["created"], &dated.config["history"]);
            assert!(created.as_str().unwrap().starts_with(wanted), "{option}: {created}");
            for step in history.as_array().unwrap() {
                assert_eq!(step["created"], *created);
            }
            assert_eq!(dated.diff_ids(), plain.diff_ids());
            assert_eq!(dated.manifest["layers"], plain.manifest["layers"]);
        }
    }
    let bad = sandbox.imgb("pack ./tree -o x.tar --created yesterday").run();
    bad.error(2, &["--created `yesterday`: write 2026-01-31T12:00:00Z"]);
}

#[test]
fn the_history_says_what_was_packed_in_terms_of_the_image() {
    let sandbox = inputs();
    let history = |args: &[&str]| {
        let run = sandbox.imgb("pack --no-check -q -o oci:layout");
        args.iter().fold(run, |run, arg| run.arg(arg)).run().ok();
        let steps = Layout::open(&sandbox.path("layout")).config["history"].clone();
        fs_err::remove_dir_all(sandbox.path("layout")).unwrap();
        let steps = steps.as_array().unwrap().iter();
        steps.map(|step| step["created_by"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let absolute = format!("{}:/srv/www", sandbox.path("tree").display());
    assert_eq!(history(&[&absolute]), ["imgb pack /srv/www (inputs)"]);
    assert_eq!(
        history(&["./tree", "./script"]).last().unwrap(),
        "imgb pack /tree /script (inputs)"
    );
    sandbox.tool("tar", "-cf root.tar tree/bin tree/one").run().ok();
    assert_eq!(history(&["./root.tar"]), ["imgb pack /tree (inputs)"]);
    let many: Vec<String> = (0..10).map(|number| format!("./script:/s{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let last = history(&many).pop().unwrap();
    assert!(last.ends_with("/s6 /s7 and 2 more (inputs)"), "{last}");
}

/// Whatever changes one of these changes the digest of every image that users have built and
/// signed: it is a format change. It belongs in the changelog, and needs a better reason than a
/// failing test.
mod golden {
    pub(super) const FORMAT: &str = "5";
    pub(super) const MANIFEST: &str =
        "sha256:434d18ccf1cea5b1ff8cba944a9c7fe454a91bc4ee3ff2226d283d6247eacdde";
    pub(super) const DIFF_ID: &str =
        "sha256:ff6ac99e5c5451211fdd6e72a751eb36f21a22759706e314f1465bb00f459994";
    pub(super) const ARCHIVE: &str =
        "sha256:4a300fbab613c9a691315ac2bbee8deab43817c1775d93d052c4d2fa2d8b82f9";
    pub(super) const ZSTD_MANIFEST: &str =
        "sha256:ebdd92f326d0c5b0fdc76f43b0ca265db75834c09c6cc23af4b037230845f2bb";
    pub(super) const ROOTFS: &str =
        "sha256:ff6ac99e5c5451211fdd6e72a751eb36f21a22759706e314f1465bb00f459994";
}

#[test]
fn the_golden_image_has_its_digests() {
    let sandbox = Sandbox::new();
    fixtures::tree(&sandbox);
    let pack = |args: &str| {
        let options = "--soft none --env PATH=/bin --workdir /tree --user 65532 --label b=2 \
            --label a=1 --entrypoint";
        sandbox
            .imgb("pack ./tree -t golden:1")
            .args(options)
            .arg(r#"["/tree/bin/static"]"#)
            .args(args)
            .run()
            .ok()
    };
    pack("-o golden.tar");
    let image = Layout::unpack(&sandbox, "golden.tar", "golden");
    pack("-o oci:zstd --compress zstd");
    pack("-o rootfs:rootfs.tar");
    let found = [
        image.manifest_digest.clone(),
        image.diff_ids().join(" "),
        file_digest(sandbox.path("golden.tar")),
        Layout::open(&sandbox.path("zstd")).manifest_digest,
        file_digest(sandbox.path("rootfs.tar")),
    ];
    use golden::{ARCHIVE, DIFF_ID, FORMAT, MANIFEST, ROOTFS, ZSTD_MANIFEST};
    assert_eq!(image.manifest["annotations"]["imgb.format"], FORMAT);
    assert_eq!(
        found,
        [MANIFEST, DIFF_ID, ARCHIVE, ZSTD_MANIFEST, ROOTFS],
        "the golden image has changed: this is a change of format, which gives every image a new \
            digest"
    );
}

#[test]
fn nothing_that_is_packed_is_run() {
    let sandbox = inputs();
    if !have(&["strace"]) {
        return;
    }
    let calls = "trace=execve,execveat,unshare,setns,socket,connect";
    let strace = ["strace", "-f", "-qq", "-e", calls, "-o", "trace"];
    sandbox.imgb("pack ./tree ./script curl -o image.tar").under(&strace).run().ok();
    let trace = String::from_utf8(sandbox.read("trace")).unwrap();
    let lines: Vec<&str> = trace.lines().filter(|line| !line.contains(" = -1 ENOENT")).collect();
    assert_eq!(lines.len(), 1, "one program is started, no namespace, no socket:\n{trace}");
    assert!(lines[0].contains("execve(") && lines[0].contains("imgb"), "{trace}");
}
