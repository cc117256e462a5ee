//! `imgb build`: recipes from the outside. The files of each image are read back from a root file system.

use crate::sandbox::Sandbox;

/// What `build` makes of `recipe`: one line a path, as `tar` lists it.
fn built(sandbox: &Sandbox, recipe: &str) -> String {
    sandbox.file("ctx/Buildfile", recipe);
    sandbox.imgb("build ctx -q -o rootfs:root.tar").run().ok();
    let listed = sandbox.tool("tar", "--numeric-owner -tvf root.tar").run().ok().text();
    let line = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        [&words[..2], &words[5..]].concat().join(" ") + "\n"
    };
    listed.lines().map(line).collect()
}

/// A context with a file, a directory and an account table.
fn context() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.file("ctx/a", "a").file("ctx/dir/one", "1").file("ctx/dir/sub/two", "2");
    sandbox.file("ctx/etc/passwd", "bob:x:7:8::/:/bin/sh\n");
    sandbox
}

#[test]
fn files_go_where_docker_puts_them() {
    let sandbox = context();
    let recipe =
        "FROM scratch\nCOPY a /x/\nCOPY dir /d\nCOPY etc /etc\nCOPY --chown=bob --chmod=600 a /h/f\n";
    let wanted = "drwxr-xr-x 0/0 d/\n-rw-r--r-- 0/0 d/one\ndrwxr-xr-x 0/0 d/sub/\n-rw-r--r-- 0/0 d/sub/two\n\
        drwxr-xr-x 0/0 etc/\n-rw-r--r-- 0/0 etc/passwd\ndrwxr-xr-x 7/8 h/\n-rw------- 7/8 h/f\n\
        drwxr-xr-x 0/0 x/\n-rw-r--r-- 0/0 x/a\n";
    assert_eq!(built(&sandbox, recipe), wanted);
}

#[test]
fn destinations_go_through_the_links_of_the_image() {
    let sandbox = context();
    let recipe = "FROM scratch\nCOPY dir /usr/lib\nSYMLINK usr/lib /lib\nCOPY a /lib/\n";
    let listed = built(&sandbox, recipe);
    assert!(listed.contains(" lib -> usr/lib\n") && listed.contains(" usr/lib/a\n"), "{listed}");
}

#[test]
fn a_stage_gives_files_to_another() {
    let sandbox = context();
    let recipe = "FROM scratch AS one\nCOPY dir /d\nFROM scratch\nCOPY --from=one /d/sub /s\n";
    assert_eq!(built(&sandbox, recipe), "drwxr-xr-x 0/0 s/\n-rw-r--r-- 0/0 s/two\n");
}

#[test]
fn faults_show_their_line() {
    let sandbox = context();
    sandbox.file("ctx/Buildfile", "FROM scratch\nCOPY gone /\n");
    let failed = sandbox.imgb("build ctx -o x.tar").run();
    failed.error(3, &["`gone`", "Buildfile:2:1", "COPY gone /"]);
    sandbox.file("ctx/Buildfile", "FROM scratch\nRUN x\n");
    sandbox.imgb("build ctx -o x.tar").run().error(2, &["RUN", "Buildfile:2:1"]);
}

#[test]
fn secrets_that_come_along_are_named() {
    let sandbox = context();
    sandbox.file("ctx/dir/.env", "S=1").file("ctx/Buildfile", "FROM scratch\nCOPY dir /d\n");
    let warned = sandbox.imgb("build ctx -o x.tar").run().ok();
    assert!(warned.stderr().contains("`dir/.env` looks like a secret"), "{}", warned.show());
    sandbox.imgb("build ctx --deny-secrets -o x.tar").run().error(1, &["dir/.env"]);
}

#[test]
fn what_cannot_start_is_not_written() {
    let sandbox = context();
    sandbox.file("ctx/Buildfile", "FROM scratch\nCOPY a /a\nCMD [\"/a\"]\n");
    sandbox.imgb("build ctx -o x.tar").run().error(1, &["/a", "execute", "--no-check"]);
    assert!(!sandbox.path("x.tar").exists());
    sandbox.imgb("build ctx --no-check -o x.tar").run().ok();
    sandbox.imgb("check x.tar").run().error(1, &["/a"]);
}
