//! The cache of compressed layers: what it saves, and that it never causes a wrong image.

use std::{
    os::unix::fs::{FileExt, MetadataExt, PermissionsExt},
    path::PathBuf,
    time::Duration,
};

use serde_json::Value;

use crate::{
    engines::have,
    image_spec::Layout,
    sandbox::{Run, Sandbox, is_root},
};

/// A context of three directories, with a Buildfile that makes a layer of each.
fn inputs() -> Sandbox {
    let sandbox = Sandbox::new();
    for (dir, seed) in [("one", 1_u32), ("two", 2), ("three", 3)] {
        for number in 0..20_u32 {
            let bytes: Vec<u8> = (0..20_000_u32)
                .map(|i| (((i ^ seed ^ number) * 40_503) >> (i % 11)) as u8 & 63)
                .collect();
            sandbox.file(&format!("tree/{dir}/f{number}"), bytes);
        }
    }
    sandbox
        .file("tree/Buildfile", "FROM scratch\nCOPY one /one\nCOPY two /two\nCOPY three /three\n");
    sandbox.dir("out").give_to_nobody();
    settle(&sandbox);
    sandbox
}

/// Waits until a file that changes now gets another time than all earlier changes. Without this the
/// cache, rightly, keeps nothing.
fn settle(sandbox: &Sandbox) {
    let stamp = || {
        fs_err::write(sandbox.path("out/stamp"), "x").unwrap();
        let found = fs_err::metadata(sandbox.path("out/stamp")).unwrap();
        (found.ctime(), found.ctime_nsec())
    };
    let first = stamp();
    while stamp() <= first {
        std::thread::sleep(Duration::from_millis(1));
    }
    fs_err::remove_file(sandbox.path("out/stamp")).unwrap();
}

/// Builds the context with the cache `out/cache`.
fn build(sandbox: &Sandbox) -> Run {
    sandbox.imgb("build tree -o out/image.tar -t image --cache out/cache --timing --json")
}

/// The image's digest, which layers came from the cache, and how much content each layer read.
fn outcome(run: Run) -> (String, Vec<bool>, Vec<u64>) {
    let json: Value = serde_json::from_str(&run.run().ok().text()).unwrap();
    let layers = json["timing"]["layers"].as_array().unwrap();
    let cached = layers.iter().map(|layer| layer["cached"].as_bool().unwrap()).collect();
    let read = layers.iter().map(|layer| layer["content_bytes_read"].as_u64().unwrap()).collect();
    (json["digest"].as_str().unwrap().to_owned(), cached, read)
}

/// The digest without any cache.
fn control(sandbox: &Sandbox) -> String {
    let run = sandbox.imgb("build tree -o out/control.tar -t image --no-cache --timing --json");
    let (digest, cached, _) = outcome(run);
    assert_eq!(cached, [false; 3]);
    digest
}

fn blobs(sandbox: &Sandbox) -> Vec<PathBuf> {
    sandbox
        .names("out/cache/blobs")
        .iter()
        .map(|name| sandbox.path("out/cache/blobs").join(name))
        .collect()
}

const LAYER: u64 = 20 * 20_000;

#[test]
fn a_second_run_reads_nothing() {
    let sandbox = inputs();
    let wanted = control(&sandbox);
    assert_eq!(outcome(build(&sandbox)), (wanted.clone(), vec![false; 3], vec![LAYER; 3]));
    let first = sandbox.read("out/image.tar");
    assert_eq!(outcome(build(&sandbox)), (wanted.clone(), vec![true; 3], vec![0; 3]));
    assert!(sandbox.read("out/image.tar") == first);
    fs_err::remove_file(sandbox.path("out/image.tar")).unwrap();
    assert_eq!(
        outcome(build(&sandbox).args("--jobs 7")),
        (wanted.clone(), vec![true; 3], vec![0; 3])
    );
    // Another compression level gives another layer.
    let (other, cached, _) = outcome(build(&sandbox).args("--compress gzip:1"));
    assert_eq!((other == wanted, cached), (false, vec![false; 3]));
    // Uncompressed layers are not kept.
    let before = blobs(&sandbox).len();
    assert_eq!(outcome(build(&sandbox).args("--compress none")).1, [false; 3]);
    assert_eq!(blobs(&sandbox).len(), before);
}

#[test]
fn what_changes_is_read_and_nothing_else() {
    let sandbox = inputs();
    outcome(build(&sandbox));
    sandbox.file("tree/two/f3", "changed");
    settle(&sandbox);
    let wanted = control(&sandbox);
    let read = vec![0, LAYER - 20_000 + 7, 0];
    assert_eq!(outcome(build(&sandbox)), (wanted.clone(), vec![true, false, true], read));
    assert_eq!(outcome(build(&sandbox)), (wanted, vec![true; 3], vec![0; 3]));
    // Size and modification time are the same; only the status change time, which cannot be set
    // back, differs.
    let path = sandbox.path("tree/one/f7");
    let time = fs_err::metadata(&path).unwrap().modified().unwrap();
    let file = fs_err::OpenOptions::new().write(true).open(&path).unwrap().into_parts().0;
    file.write_all_at(b"!", 9).unwrap();
    file.set_modified(time).unwrap();
    settle(&sandbox);
    let wanted = control(&sandbox);
    // It is read twice: to find that the content is another, and to pack it.
    let read = vec![2 * LAYER, 0, 0];
    assert_eq!(outcome(build(&sandbox)), (wanted, vec![false, true, true], read));
}

#[test]
fn no_file_changes_so_quickly_that_an_old_layer_is_used() {
    let sandbox = inputs();
    for round in 0..12 {
        for text in ["a", "b", "c"] {
            // No wait: the file may have the same time as the previous one of its size.
            fs_err::write(sandbox.path("tree/one/f0"), format!("{text}{round:03}")).unwrap();
            let (digest, ..) = outcome(build(&sandbox));
            assert_eq!(digest, control(&sandbox), "{text} {round}");
        }
    }
}

#[test]
fn outputs_of_every_kind_are_the_same_cold_and_warm_whatever_the_jobs() {
    let sandbox = inputs();
    let wanted = control(&sandbox);
    let archive = sandbox.read("out/control.tar");
    for out in [
        "out/image.tar",
        "oci-archive:out/oci.tar",
        "docker-archive:out/docker.tar",
        "oci:out/oci",
        "out/dir/",
    ] {
        for jobs in ["1", "2", "7", "16"] {
            for way in ["--cache out/cold", "--cache out/cold", "--cache out/cache", "--no-cache"] {
                let run = sandbox
                    .imgb("build tree -t image -q --jobs")
                    .arg(jobs)
                    .args(way)
                    .arg("-o")
                    .arg(out);
                assert_eq!(run.run().ok().digest(), wanted, "{out} {jobs} {way}");
            }
            fs_err::remove_dir_all(sandbox.path("out/cold")).unwrap();
        }
    }
    assert!(sandbox.read("out/image.tar") == archive);
    for dir in ["out/oci", "out/dir"] {
        assert_eq!(Layout::open(&sandbox.path(dir)).manifest_digest, wanted);
    }
    let run = sandbox.imgb("build tree -t image -q --cache out/cache -o -").run().ok();
    assert!(run.into_bytes() == archive);
}

/// A layout may share its blobs with the cache. Deleting it, or changing it in place, must have no
/// effect.
#[test]
fn layouts_share_blobs_with_the_cache_and_neither_spoils_the_other() {
    let sandbox = inputs();
    let wanted = control(&sandbox);
    let layout =
        || sandbox.imgb("build tree -t image --cache out/cache --timing --json -o oci:out/layout");
    assert_eq!(outcome(layout()).0, wanted);
    assert_eq!(fs_err::metadata(&blobs(&sandbox)[0]).unwrap().nlink(), 2);
    assert_eq!(outcome(layout()).1, [true; 3]);
    fs_err::remove_dir_all(sandbox.path("out/layout")).unwrap();
    assert_eq!(outcome(layout()), (wanted.clone(), vec![true; 3], vec![0; 3]));
    assert_eq!(fs_err::metadata(&blobs(&sandbox)[0]).unwrap().nlink(), 2);
    Layout::open(&sandbox.path("out/layout"));
    // Another umask gives another mode, so that the layout gets a copy.
    let strict =
        sandbox.imgb("build tree -t image --cache out/cache -q -o oci:out/strict").umask(0o077);
    assert_eq!(strict.run().ok().digest(), wanted);
    assert_eq!(fs_err::metadata(&blobs(&sandbox)[0]).unwrap().nlink(), 2);
    for name in sandbox.names("out/layout/blobs/sha256") {
        let path = sandbox.path("out/layout/blobs/sha256").join(&name);
        let file = fs_err::OpenOptions::new().write(true).open(path).unwrap().into_parts().0;
        file.write_all_at(b"spoilt", 5).unwrap();
    }
    let (digest, cached, _) = outcome(build(&sandbox));
    assert_eq!((digest, cached), (wanted, vec![false; 3]));
    assert_eq!(outcome(build(&sandbox)).1, [true; 3]);
}

/// Changes a byte in the middle and keeps the modification time.
fn flip(path: &PathBuf) {
    let time = fs_err::metadata(path).unwrap().modified().unwrap();
    let file = fs_err::OpenOptions::new().read(true).write(true).open(path).unwrap().into_parts().0;
    let mut byte = [0];
    file.read_exact_at(&mut byte, 100).unwrap();
    file.write_all_at(&[byte[0] ^ 1], 100).unwrap();
    file.set_modified(time).unwrap();
}

#[test]
fn poisoned_entries_are_found_and_made_again() {
    let sandbox = inputs();
    let wanted = control(&sandbox);
    let records = || -> Vec<PathBuf> {
        let names = sandbox.names("out/cache/layers");
        names.iter().map(|name| sandbox.path("out/cache/layers").join(name)).collect()
    };
    type Poison<'a> = (&'a str, &'a dyn Fn());
    let poisons: [Poison<'_>; 8] = [
        ("a byte of each blob is another", &|| blobs(&sandbox).iter().for_each(flip)),
        ("blobs are cut", &|| {
            for path in blobs(&sandbox) {
                fs_err::OpenOptions::new().write(true).open(path).unwrap().set_len(50).unwrap();
            }
        }),
        ("blobs are gone", &|| {
            blobs(&sandbox).iter().for_each(|path| fs_err::remove_file(path).unwrap());
        }),
        ("one blob is another's", &|| {
            let blobs = blobs(&sandbox);
            fs_err::copy(&blobs[0], &blobs[1]).unwrap();
            fs_err::copy(&blobs[0], &blobs[2]).unwrap();
            flip(&blobs[0]);
        }),
        ("a byte of each record is another", &|| records().iter().for_each(flip)),
        ("records are exchanged with others' text", &|| {
            for path in records() {
                let text = fs_err::read_to_string(&path).unwrap();
                fs_err::write(
                    &path,
                    text.replace("members 2", "members 3")
                        .replace("diff-id sha256:", "diff-id sha256:0"),
                )
                .unwrap();
            }
        }),
        ("records are empty", &|| {
            records().iter().for_each(|path| fs_err::write(path, "").unwrap());
        }),
        ("records are directories and blobs are links", &|| {
            for path in records() {
                fs_err::remove_file(&path).unwrap();
                fs_err::create_dir(&path).unwrap();
            }
            for path in blobs(&sandbox) {
                fs_err::remove_file(&path).unwrap();
                fs_err::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
            }
        }),
    ];
    outcome(build(&sandbox));
    for (what, poison) in poisons {
        poison();
        let (digest, cached, _) = outcome(build(&sandbox));
        assert_eq!((digest, cached), (wanted.clone(), vec![false; 3]), "{what}");
        assert!(sandbox.read("out/image.tar") == sandbox.read("out/control.tar"), "{what}");
        let again = outcome(build(&sandbox)).1;
        if !what.contains("directories") {
            assert_eq!(again, [true; 3], "{what}");
        }
    }
}

#[test]
fn a_cache_that_cannot_be_used_is_ignored() {
    let sandbox = inputs();
    let wanted = control(&sandbox);
    let none = |what: &str, run: Run| {
        let (digest, cached, _) = outcome(run);
        assert_eq!((digest, cached), (wanted.clone(), vec![false; 3]), "{what}");
    };
    sandbox.file("out/file", "no directory");
    for _ in 0..2 {
        let run = |cache: &str| {
            sandbox.imgb("build tree -o out/image.tar -t image --timing --json --cache").arg(cache)
        };
        none("a file", run("out/file"));
        none("below a file", run("out/file/cache"));
        none("the kernel's", run("/proc/cache"));
        sandbox.dir("out/closed").mode("out/closed", 0o500).give_to_nobody();
        none("not writable", run("out/closed").nobody());
        // Somebody else could write layers there.
        sandbox.dir("out/open").mode("out/open", 0o777);
        none("everybody's", run("out/open"));
        if is_root() {
            sandbox.dir("out/theirs").give_to_nobody();
            none("another user's", run("out/theirs"));
            let full = [
                "unshare",
                "--mount",
                "sh",
                "-c",
                r#"mount -t tmpfs -o size=64k none out/full && exec "$@""#,
                "sh",
            ];
            sandbox.dir("out/full");
            none("full", run("out/full").under(&full));
            none("not readable", run("out/open").nobody().umask(0o777));
        }
    }
    let nowhere = sandbox
        .imgb("build tree -o out/image.tar -t image --timing --json")
        .env("HOME", "/nonexistent");
    none("no home", nowhere);
    assert!(!PathBuf::from("/nonexistent").exists());
}

#[test]
fn the_cache_is_in_the_users_cache_directory() {
    let sandbox = inputs();
    let run = |name: &str, value: PathBuf| {
        let run = sandbox
            .imgb("build tree -o out/image.tar -t image --timing --json")
            .nobody()
            .env(name, value);
        outcome(run).1
    };
    sandbox.dir("out/home").give_to_nobody();
    settle(&sandbox);
    assert_eq!(run("HOME", sandbox.path("out/home")), [false; 3]);
    assert_eq!(run("HOME", sandbox.path("out/home")), [true; 3]);
    let made = fs_err::metadata(sandbox.path("out/home/.cache/imgb")).unwrap();
    assert_eq!(made.permissions().mode() & 0o777, 0o700);
    assert_eq!(run("XDG_CACHE_HOME", sandbox.path("out/xdg")), [false; 3]);
    assert_eq!(run("XDG_CACHE_HOME", sandbox.path("out/xdg")), [true; 3]);
    assert_eq!(sandbox.names("out/xdg"), ["imgb"]);
    // A relative path is ignored (XDG Base Directory Specification).
    assert_eq!(run("XDG_CACHE_HOME", "out/relative".into()), [false; 3]);
    assert!(!sandbox.path("out/relative").exists());
}

#[test]
fn many_processes_use_one_cache() {
    let sandbox = inputs();
    let wanted = control(&sandbox);
    std::thread::scope(|scope| {
        for number in 0..8 {
            let (sandbox, wanted) = (&sandbox, &wanted);
            scope.spawn(move || {
                for round in 0..4 {
                    // Some have room for only one layer, so that they evict what others have just
                    // made.
                    let limit = if number % 3 == 0 { "300k" } else { "1M" };
                    let out = if number % 2 == 0 {
                        format!("out/{number}.tar")
                    } else {
                        "oci:out/shared".into()
                    };
                    let run = sandbox
                        .imgb("build tree -t image -q --cache out/cache --cache-limit")
                        .arg(limit);
                    assert_eq!(
                        run.arg("-o").arg(out).run().ok().digest(),
                        *wanted,
                        "{number} {round}"
                    );
                }
            });
        }
    });
    for number in [0, 2, 4, 6] {
        assert!(sandbox.read(&format!("out/{number}.tar")) == sandbox.read("out/control.tar"));
    }
    Layout::open(&sandbox.path("out/shared"));
    let left: Vec<String> = sandbox
        .names("out/shared/blobs/sha256")
        .into_iter()
        .filter(|name| name.len() != 64)
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn the_cache_evicts_the_least_recently_used() {
    let sandbox = inputs();
    outcome(build(&sandbox));
    let info = |args: &str| -> Value {
        let run = sandbox.imgb("cache").args(args).args("--cache out/cache --json").run().ok();
        serde_json::from_str(&run.text()).unwrap()
    };
    let all = info("info");
    assert_eq!((&all["layers"], &all["blobs"]), (&3.into(), &3.into()));
    let size: u64 = blobs(&sandbox).iter().map(|path| fs_err::metadata(path).unwrap().len()).sum();
    assert_eq!(all["bytes"], size);
    // Only the layer of the third directory is used again.
    sandbox.file("tree/third/Buildfile", "FROM scratch\nCOPY three /three\n");
    settle(&sandbox);
    let third = "build tree -f tree/third/Buildfile -o out/image.tar -t image --cache out/cache \
        --timing --json";
    assert_eq!(outcome(sandbox.imgb(third)).1, [true]);
    let pruned = info(&format!("prune --limit {}", size - 1));
    assert_eq!((&pruned["removed"]["layers"], &pruned["layers"]), (&1.into(), &2.into()));
    let pruned = info(&format!("prune --limit {}", size / 3 + 1000));
    assert_eq!(pruned["layers"], 1);
    assert_eq!(outcome(sandbox.imgb(third)).1, [true]);
    assert_eq!(outcome(build(&sandbox)).1, [false, false, true]);
    // What a run adds counts too.
    let small = build(&sandbox).args("--compress gzip:9 --cache-limit 200k");
    outcome(small);
    assert!(info("info")["bytes"].as_u64().unwrap() <= 200_000);
    // Damaged and abandoned files are removed.
    outcome(build(&sandbox));
    fs_err::write(&blobs(&sandbox)[0], "damaged").unwrap();
    fs_err::write(sandbox.path("out/cache/blobs/.imgb-left"), "behind").unwrap();
    assert_eq!(info("prune")["removed"]["damaged"], 2);
    assert_eq!(info("prune --limit 0")["blobs"], 0);
    sandbox.imgb("cache info --cache out/cache").run().ok().prints("0 entries in 0 blobs, 0 B");
    sandbox.imgb("cache prune --limit much --cache out/cache").run().error(2, &["--limit", "much"]);
    sandbox.imgb("cache info").run().error(2, &["XDG_CACHE_HOME"]);
}

/// In CI, every checkout has new inodes and times.
#[test]
fn a_fresh_copy_of_a_tree_is_found_by_its_content() {
    let sandbox = inputs();
    let wanted = control(&sandbox);
    outcome(build(&sandbox));
    let copy = || {
        sandbox.tool("cp", "-r tree fresh").run().ok();
        sandbox.tool("rm", "-r tree").run().ok();
        fs_err::rename(sandbox.path("fresh"), sandbox.path("tree")).unwrap();
    };
    copy();
    assert_eq!(outcome(build(&sandbox)), (wanted.clone(), vec![true; 3], vec![LAYER; 3]));
    // Then it is known by its times, if it was not too new the first time.
    settle(&sandbox);
    outcome(build(&sandbox));
    assert_eq!(outcome(build(&sandbox)), (wanted, vec![true; 3], vec![0; 3]));
    // Another content of the same length, with the time of the old one.
    let path = sandbox.path("tree/two/f3");
    let mut bytes = fs_err::read(&path).unwrap();
    bytes[7] ^= 1;
    fs_err::write(&path, bytes).unwrap();
    copy();
    let wanted = control(&sandbox);
    let (digest, cached, read) = outcome(build(&sandbox));
    assert_eq!((digest, cached), (wanted, vec![true, false, true]));
    assert_eq!(read, [LAYER, 2 * LAYER, LAYER]);
    let info = sandbox.imgb("cache info --cache out/cache").run().ok().text();
    assert!(info.contains(": 4 entries in 4 blobs, "), "{info}");
    // Each copy adds a key, of which only some are kept.
    for _ in 0..12 {
        copy();
        settle(&sandbox);
        outcome(build(&sandbox));
    }
    let keys = sandbox.names("out/cache/layers").len();
    assert!(keys <= 5 * 8 + 3, "{keys}");
}

#[test]
fn content_of_a_tarball_is_cached_too() {
    let sandbox = inputs();
    sandbox.tool("tar", "-C tree -czf tree.tgz one").run().ok();
    let run = || {
        let args = "pack tree.tgz -q --no-check --timing --json --cache out/cache -o out/x.tar";
        outcome(sandbox.imgb(args))
    };
    let (digest, cached, _) = run();
    assert_eq!(cached, [false]);
    assert_eq!(run(), (digest, vec![true], vec![LAYER]));
}

/// An image may have more layers than a process may have open files.
#[test]
fn cached_layers_are_not_all_open() {
    if !have(&["prlimit"]) {
        return;
    }
    let sandbox = Sandbox::new();
    let mut recipe = "FROM scratch\n".to_owned();
    for number in 0..60 {
        sandbox.file(&format!("tree/f{number}"), format!("{number}"));
        recipe += &format!("COPY f{number} /\n");
    }
    sandbox.file("tree/Buildfile", recipe).dir("out");
    settle(&sandbox);
    let limited = |output: &str, jobs: u8| {
        let build = format!("build tree -o {output} --cache out/cache --force --jobs {jobs} -q");
        sandbox.imgb(&build).under(&["prlimit", "--nofile=48"]).run().ok().digest()
    };
    let first = limited("out/a.tar", 2);
    for (output, jobs) in [("out/a.tar", 1), ("out/b.tar", 2), ("oci:out/layout:1", 2)] {
        assert_eq!(limited(output, jobs), first, "{output}");
    }
}
