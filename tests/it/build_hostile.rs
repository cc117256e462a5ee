//! Malicious contexts and Buildfiles, and properties of a context that must not change the digest.
//! Hostile tarballs are tested in `hostile_tar`, hostile images in `image_read`.

use std::{
    io::{Seek as _, Write as _},
    os::unix::net::UnixListener,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use rustix::fs::{CWD, FileType, Mode, RenameFlags};

use crate::{
    engines::{have, have_root},
    sandbox::Sandbox,
};

/// What must never be in an image.
const CANARY: &str = "canary-8c1f";

fn fifo(sandbox: &Sandbox, path: &str) {
    rustix::fs::mknodat(CWD, sandbox.path(path), FileType::Fifo, Mode::from_raw_mode(0o644), 0)
        .unwrap();
}

/// The bytes of the image built from `ctx`, or nothing if it is refused.
fn image(sandbox: &Sandbox) -> Option<Vec<u8>> {
    let run = sandbox.imgb("build ctx -q -o rootfs:out.tar").run();
    let built = run.success().then(|| sandbox.read("out.tar"));
    if built.is_none() {
        assert!(matches!(run.exits(3).stderr(), text if text.contains("error: ")));
    }
    let _ = fs_err::remove_file(sandbox.path("out.tar"));
    built
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|part| part == text.as_bytes())
}

#[test]
fn c1_links_out_of_the_context_stay_links() {
    let sandbox = Sandbox::new();
    sandbox.file("secret", CANARY).file("out/secret", CANARY).dir("ctx/d");
    sandbox
        .symlink("ctx/d/up", "../../secret")
        .symlink("ctx/d/far", sandbox.path("secret").to_str().unwrap());
    sandbox
        .symlink("ctx/d/dir", "../../out")
        .symlink("ctx/d/one", "two")
        .symlink("ctx/d/two", "up");
    sandbox.file("ctx/Buildfile", "FROM scratch\nCOPY d /d\n");
    let built = image(&sandbox).unwrap();
    assert!(!holds(&built, CANARY) && holds(&built, "../../secret"));
    for named in ["d/up", "d/far", "d/dir", "d/dir/secret", "d/one"] {
        for instruction in ["COPY", "ADD"] {
            sandbox.file("ctx/Buildfile", format!("FROM scratch\n{instruction} {named} /x/\n"));
            sandbox.imgb("build ctx -q -o x.tar").run().error(3, &[named]);
        }
    }
    sandbox.file("ctx/Buildfile", "FROM scratch\nCOPY d/d*/secret /x/\n");
    assert!(!holds(&image(&sandbox).unwrap(), CANARY), "a pattern goes through no link");
    sandbox.file("ctx/Buildfile", "FROM scratch\nPACK ./d/up /x\n");
    sandbox.imgb("build ctx -q -o x.tar").run().error(3, &["d/up"]);
}

#[test]
fn c2_a_file_swapped_for_a_link_is_not_followed() {
    let sandbox = Sandbox::new();
    sandbox
        .file("secret", CANARY)
        .file("out/f", CANARY)
        .file("ctx/d/f", "honest")
        .file("ctx/f", "honest");
    sandbox.symlink("link", sandbox.path("secret").to_str().unwrap());
    sandbox.symlink("dirlink", sandbox.path("out").to_str().unwrap());
    sandbox.file("ctx/Buildfile", "FROM scratch\nCOPY . /c\n");
    let stop = AtomicBool::new(false);
    let swap = |a: &str, b: &str| {
        let (a, b) = (sandbox.path(a), sandbox.path(b));
        let _ = rustix::fs::renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE);
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                swap("ctx/f", "link");
                swap("ctx/d", "dirlink");
            }
        });
        for _ in 0..60 {
            let run = sandbox.imgb("build ctx -q -o rootfs:out.tar").run();
            if run.success() {
                assert!(!holds(&sandbox.read("out.tar"), CANARY));
            }
            assert!(!run.stderr().contains("panicked"), "{}", run.show());
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn c3_a_file_that_changes_is_an_error() {
    let sandbox = Sandbox::new();
    let long = "x".repeat(1 << 20);
    sandbox.file("ctx/f", &long).file("ctx/Buildfile", "FROM scratch\nCOPY f /f\n");
    let stop = AtomicBool::new(false);
    let path = sandbox.path("ctx/f");
    let seen: Vec<bool> = thread::scope(|scope| {
        scope.spawn(|| {
            // Never empty: nothing is read of an empty file.
            let mut file = fs_err::OpenOptions::new().write(true).open(&path).unwrap();
            while !stop.load(Ordering::Relaxed) {
                file.set_len(1000).unwrap();
                file.rewind().unwrap();
                file.write_all(long.as_bytes()).unwrap();
            }
        });
        // The file has time to change between the walk and the read.
        let slowly =
            ["strace", "-f", "-qq", "-o", "trace", "-e", "inject=pread64:delay_enter=100000"];
        let slowly = if have(&["strace"]) { &slowly[..] } else { &[] };
        let runs = (0..30).map(|number| {
            let under = if number % 10 == 0 { slowly } else { &[] };
            let run = sandbox.imgb("build ctx -q -o rootfs:out.tar").under(under).run();
            if !run.success() {
                assert!(run.stderr().contains("changed while"), "{}", run.show());
                return false;
            }
            // No invented bytes: a truncated file is not padded.
            let listed = sandbox.tool("tar", "-xOf out.tar f").run().ok().into_bytes();
            assert!(listed.iter().all(|&byte| byte == b'x'), "{} bytes", listed.len());
            true
        });
        let runs = runs.collect();
        stop.store(true, Ordering::Relaxed);
        runs
    });
    assert!(seen.contains(&false) || !have(&["strace"]), "it was never caught changing");
}

#[test]
fn c4_files_that_no_layer_can_hold_are_refused() {
    let sandbox = Sandbox::new();
    sandbox.file("ctx/a", "a");
    fifo(&sandbox, "ctx/pipe");
    let _socket = UnixListener::bind(sandbox.path("ctx/socket")).unwrap();
    sandbox.file("ctx/Buildfile", "FROM scratch\nCOPY a /\n");
    sandbox.imgb("build ctx -q -o rootfs:out.tar").run().ok();
    sandbox.file("ctx/Buildfile", "FROM scratch\nCOPY . /\n");
    sandbox.imgb("build ctx -q -o x.tar").run().error(4, &["pipe", "Buildfile:2:1"]);
    sandbox.file("ctx/.dockerignore", "pipe\n");
    sandbox.imgb("build ctx -q -o rootfs:out.tar").run().ok();
    assert!(!sandbox.tool("tar", "-tf out.tar").run().ok().text().contains("socket"));
    sandbox.file("ctx/.wh.a", "").file("ctx/Buildfile", "FROM scratch\nCOPY . /\n");
    sandbox.imgb("build ctx -q -o x.tar").run().error(4, &[".wh.a"]);
}

#[test]
fn c4_an_unreadable_file_is_an_error_that_names_it() {
    if !have_root() {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.file("ctx/a", "a").file("ctx/shut", CANARY).file("ctx/dir/in", CANARY);
    sandbox.file("ctx/Buildfile", "FROM scratch\nCOPY . /c\n").give_to_nobody();
    sandbox.mode("ctx/shut", 0);
    sandbox
        .imgb("build ctx -q -o x.tar")
        .nobody()
        .run()
        .error(3, &["ctx/shut", "permission denied"]);
    sandbox.mode("ctx/shut", 0o644).mode("ctx/dir", 0);
    sandbox
        .imgb("build ctx -q -o x.tar")
        .nobody()
        .run()
        .error(3, &["ctx/dir", "permission denied"]);
    // Excluded files need not be readable.
    sandbox.file("ctx/.dockerignore", "dir\n");
    sandbox.imgb("build ctx -q -o x.tar").nobody().run().ok();
    sandbox.mode("ctx/dir", 0o755);
}

#[test]
fn c5_secrets_are_named_in_builds_and_in_packed_directories() {
    let sandbox = Sandbox::new();
    let key = "-----BEGIN OPENSSH PRIVATE KEY-----\n";
    let secrets = [
        ".env",
        ".npmrc",
        "id_ed25519",
        ".aws/credentials",
        ".docker/config.json",
        "tls/server.key",
        "x.pem",
    ];
    for path in secrets {
        sandbox.file(&format!("ctx/{path}"), key);
    }
    sandbox
        .file("ctx/ca.pem", "-----BEGIN CERTIFICATE-----\n")
        .file("ctx/Buildfile", "FROM scratch\nCOPY . /c\n");
    let warned = sandbox.imgb("build ctx -v -o x.tar").run().ok();
    let packed = sandbox.imgb("pack ./ctx -v -o y.tar").run().ok();
    for path in secrets {
        assert!(
            warned.stderr().contains(&format!("`{path}` looks like a secret")),
            "{}",
            warned.show()
        );
        assert!(
            packed.stderr().contains(&format!("`/ctx/{path}` looks like a secret")),
            "{}",
            packed.show()
        );
    }
    let named = |said: &str| said.contains("ca.pem` looks like");
    assert!(!named(warned.stderr()) && !named(packed.stderr()));
    sandbox.imgb("build ctx --deny-secrets -o z.tar").run().error(1, &secrets);
    sandbox.imgb("pack ./ctx --deny-secrets -o z.tar").run().error(1, &secrets);
    sandbox.imgb("pack ./ctx/.env --no-deps --deny-secrets -o z.tar").run().ok();
    sandbox.file("ctx/Buildfile", "FROM scratch\nCOPY .env /c\n");
    sandbox.imgb("build ctx --deny-secrets -o z.tar").run().ok();
}

#[test]
fn c6_an_output_in_the_context_is_left_out() {
    let sandbox = Sandbox::new();
    sandbox.file("ctx/a", "a").file("ctx/Buildfile", "FROM scratch\nCOPY . /c\n");
    let first =
        sandbox.imgb("build . -q -o rootfs:out.tar").cwd(sandbox.path("ctx")).run().ok().digest();
    let second =
        sandbox.imgb("build . -q -o rootfs:out.tar").cwd(sandbox.path("ctx")).run().ok().digest();
    assert_eq!(first, second);
}

#[test]
fn c7_names_of_one_file() {
    let sandbox = Sandbox::new();
    sandbox.file("ctx/a", "a").file("ctx/Buildfile", "FROM scratch\nCOPY . /c\n");
    for number in 0..2000 {
        sandbox.hard_link(&format!("ctx/l{number}"), "ctx/a");
    }
    sandbox.imgb("build ctx -q -o rootfs:out.tar").run().ok();
    let listed = sandbox.tool("tar", "-tf out.tar").run().ok().text();
    assert_eq!(listed.lines().filter(|line| line.starts_with("c/l")).count(), 2000);
    let listed = sandbox.tool("tar", "-tvf out.tar").run().ok().text();
    assert_eq!(listed.lines().filter(|line| line.starts_with('h')).count(), 2000);
}

#[test]
fn c8_malicious_buildfiles() {
    let sandbox = Sandbox::new();
    sandbox.dir("ctx").dir("ctx/dir").symlink("ctx/loop", "loop");
    fifo(&sandbox, "ctx/pipe");
    for (name, code) in [("ctx/pipe", 3), ("ctx/dir", 3), ("ctx/loop", 3), ("/dev/zero", 3)] {
        sandbox.imgb(&format!("build ctx -q -o x.tar -f {name}")).run().error(code, &[name]);
    }
    let heavy = [
        "FROM scratch\nCOPY ".to_owned() + &"a".repeat(1 << 20) + " /\n",
        "FROM scratch\n".to_owned() + &"ENV A=1\n".repeat(200_000),
        "FROM scratch\nENV A=".to_owned() + &"${A:-".repeat(100_000) + "\n",
        "FROM scratch\nCMD ".to_owned() + &"[".repeat(100_000) + "\nENTRYPOINT [\n",
        "FROM scratch\nLABEL a=\0b\nUSER\n".to_owned(),
        "FROM scratch\nCOPY \"a /\nADD <<E /\nx\n".to_owned(),
        "FROM scratch\nCOPY a \\".to_owned(),
        "\u{feff}FROM scratch\r\nCOPPY a /\r\n".to_owned(),
    ];
    for text in heavy {
        sandbox.file("ctx/Buildfile", &text);
        let run = sandbox.imgb("build ctx -q -o x.tar").run();
        assert!(
            !run.success() || text.contains("CMD ["),
            "{}",
            &run.show()[..run.show().len().min(2000)]
        );
        assert!(!run.stderr().contains("panicked"), "{}", &text[..40]);
    }
    // With less memory than it is long, which nothing reads to the end.
    fs_err::File::create(sandbox.path("ctx/Buildfile")).unwrap().set_len(8 << 30).unwrap();
    let run = sandbox.imgb("build ctx -q -o x.tar").under(&["prlimit", "--as=2147483648"]).run();
    run.error(2, &["Buildfile", "1048576 are allowed"]);
    sandbox.file("ctx/Buildfile", b"FROM scratch\nLABEL a=\xff\n");
    sandbox.imgb("build ctx -q -o x.tar").run().error(2, &["UTF-8"]);
}

#[test]
fn c9_variables_are_expanded_once_and_do_not_grow_without_end() {
    let sandbox = Sandbox::new();
    let doubling: String = (1..60).map(|at| format!("ENV A{at}=$A{0}$A{0}\n", at - 1)).collect();
    sandbox.file("ctx/Buildfile", format!("FROM scratch\nENV A0=xxxxxxxx\n{doubling}"));
    sandbox.imgb("build ctx -q -o x.tar").run().error(2, &["Buildfile:"]);
    sandbox.file("ctx/Buildfile", "FROM scratch\nENV B='$C' C=c\nENV A=$B D=$HOST_SECRET\n");
    let run = sandbox
        .imgb("build ctx -q -o - --format rootfs --dry-run")
        .env("HOST_SECRET", CANARY)
        .run()
        .ok();
    assert!(!run.show().contains(CANARY));
    sandbox.imgb("build ctx -q -o oci:out").env("HOST_SECRET", CANARY).run().ok();
    let grep = sandbox.tool("grep", "-rl canary out").run();
    assert!(!grep.success(), "{}", grep.show());
    sandbox.tool("grep", "-rhoF A=$C out/blobs").run().ok().prints("A=$C");
}

#[test]
fn c10_patterns_and_destinations_that_go_astray() {
    let sandbox = Sandbox::new();
    for number in 0..300 {
        sandbox.file(&format!("ctx/d/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa{number}/b"), "");
    }
    sandbox.symlink("ctx/d/loop", ".");
    let bomb = format!("FROM scratch\nCOPY {}x /y/\n", "*a*/".repeat(200));
    let stars = "FROM scratch\nCOPY d/*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b /y/\n";
    for recipe in [&*bomb, stars] {
        sandbox.file("ctx/Buildfile", recipe);
        let built = sandbox.imgb("build ctx --no-check -o x.tar").run().ok();
        assert!(built.stderr().contains("matches no file"), "{}", built.show());
    }
    for (recipe, code) in [
        ("FROM scratch\nCOPY [a /y/\n", 2),
        ("FROM scratch\nCOPY ../victim /y/\n", 2),
        ("FROM scratch\nSYMLINK loop /loop\nCOPY d /loop/x\n", 1),
    ] {
        sandbox.file("ctx/Buildfile", recipe);
        let run = sandbox.imgb("build ctx -q -o x.tar").run();
        assert!(run.show().contains("Buildfile:"), "{}", run.show());
        run.error(code, &[]);
    }
    sandbox.file("ctx/a", "a");
    sandbox.file(
        "ctx/Buildfile",
        "FROM scratch\nSYMLINK ../../../../tmp/out /out\nCOPY a /out/\nCOPY a /../../b\n",
    );
    sandbox.imgb("build ctx -q -o rootfs:out.tar").run().ok();
    let listed = sandbox.tool("tar", "-tf out.tar").run().ok().text();
    assert_eq!(listed, "b\nout\ntmp/\ntmp/out/\ntmp/out/a\n");
}

#[test]
fn a_checkout_under_any_umask_gives_the_same_digest() {
    if !have(&["git"]) {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox
        .file("origin/src/a.txt", "a")
        .file("origin/bin/run", "#!/bin/sh\n")
        .mode("origin/bin/run", 0o755);
    sandbox.symlink("origin/link", "src").file("origin/Dockerfile", "FROM scratch\nCOPY . /app\n");
    sandbox.file("origin/.dockerignore", ".git\n");
    let git = |args: &str| {
        sandbox
            .tool("git", "-c user.name=n -c user.email=e -c init.defaultBranch=m")
            .args(args)
            .env("HOME", sandbox.root())
    };
    git("-C origin init -q").run().ok();
    git("-C origin add .").run().ok();
    git("-C origin commit -qm one").run().ok();
    let digest = |umask: u32| {
        let dir = format!("clone{umask:o}");
        git(&format!("clone -q origin {dir}")).umask(umask).run().ok();
        sandbox
            .imgb(&format!("build {dir} -q -t app -o {dir}.tar"))
            .umask(umask)
            .run()
            .ok()
            .digest()
    };
    let usual = digest(0o022);
    for umask in [0o002, 0o007, 0o027, 0o077] {
        assert_eq!(digest(umask), usual, "umask {umask:o}");
    }
    // A note says that modes of a private checkout were opened; --preserve-mode keeps them.
    let opened = "group and others can read no file of the context";
    let said = |dir: &str, options: &str| {
        let run = sandbox.imgb(&format!("build {dir} -o x.tar {options}")).run().ok();
        run.stderr().contains(opened)
    };
    assert!(said("clone77", "") && !said("clone77", "--preserve-mode") && !said("clone22", ""));
    // A single private file stays private.
    sandbox.mode("clone22/src/a.txt", 0o600);
    sandbox.imgb("build clone22 -q -o rootfs:out.tar").run().ok();
    let listed = sandbox.tool("tar", "-tvf out.tar").run().ok().text();
    assert!(listed.contains("-rw-------"), "{listed}");
}

#[test]
fn a_change_of_one_copy_leaves_the_other_layers() {
    let sandbox = Sandbox::new();
    sandbox.file("ctx/a", "a").file("ctx/b", "b").file("ctx/c", "c");
    sandbox.file("ctx/Buildfile", "FROM scratch\nCOPY a /\nCOPY b /\nCOPY c /\n");
    let layers = |out: &str| -> Vec<String> {
        sandbox.imgb(&format!("build ctx -q -t x -o docker-archive:{out}.tar")).run().ok();
        let manifest =
            sandbox.tool("tar", &format!("-xOf {out}.tar manifest.json")).run().ok().text();
        let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
        let layers = manifest[0]["Layers"].as_array().unwrap();
        layers.iter().map(|layer| layer.as_str().unwrap().to_owned()).collect()
    };
    let before = layers("before");
    sandbox.file("ctx/b", "changed");
    let after = layers("after");
    assert_eq!((before.len(), &before[0], &before[2]), (3, &after[0], &after[2]));
    assert_ne!(before[1], after[1]);
    sandbox.imgb("build ctx --squash -q -o docker-archive:one.tar").run().ok();
    let one = sandbox.tool("tar", "-xOf one.tar manifest.json").run().ok().text();
    let one: serde_json::Value = serde_json::from_str(&one).unwrap();
    assert_eq!(one[0]["Layers"].as_array().unwrap().len(), 1);
}
