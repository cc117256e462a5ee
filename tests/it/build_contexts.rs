//! `imgb build`: where files come from. Named contexts, ignore files, names of the Buildfile,
//! patterns that match nothing, `--exclude`.

use crate::{
    engines::have,
    fixtures::{X86_64, static_elf},
    sandbox::Sandbox,
};

/// Builds with `args`, and lists the files of the image.
#[track_caller]
fn files(sandbox: &Sandbox, args: &str) -> Vec<String> {
    sandbox.imgb(&format!("build --no-check -q -o out.tar -o rootfs:root.tar {args}")).run().ok();
    let listed = sandbox.tool("tar", "-tf root.tar").run().ok().text();
    listed.lines().filter(|path| !path.ends_with('/')).map(str::to_owned).collect()
}

#[test]
fn a_directory_is_copied_by_its_name() {
    let sandbox = Sandbox::new();
    sandbox.file("ctx/Dockerfile", "FROM scratch\nCOPY --from=Lib /sub/*.txt a /d/\nCOPY b /\n");
    sandbox.file("ctx/b", "b").file("lib/a", "a").file("lib/sub/x.txt", "x");
    sandbox.file("lib/sub/left.txt", "x").file("lib/.dockerignore", "**/left*\n");
    let args = "ctx --build-context lib=lib";
    assert_eq!(files(&sandbox, args), ["b", "d/a", "d/x.txt"]);
    // What is wrong is explained as for the context itself.
    sandbox.file("ctx/Dockerfile", "FROM scratch\nCOPY --from=lib sub/left.txt /d/\n");
    let left_out = sandbox.imgb(&format!("build -o out.tar {args}")).run();
    left_out.error(3, &["sub/left.txt", "leaves it out"]);
    sandbox.imgb("build -o out.tar ctx").run().error(4, &["lib is not an image"]);
    sandbox.file("ctx/Dockerfile", "FROM scratch\nCOPY --from=lib . /d/\n");
    sandbox.file("lib/.env", "TOKEN=1");
    sandbox.imgb(&format!("build --deny-secrets -o out.tar {args}")).run().error(1, &[".env"]);
}

#[test]
fn a_directory_is_a_base_and_replaces_a_stage() {
    let sandbox = Sandbox::new();
    sandbox.program("root/app", static_elf(X86_64)).file("ctx/x", "x");
    sandbox.file(
        "ctx/Dockerfile",
        "FROM busybox:latest AS lib\nCOPY missing /\nFROM base\nENTRYPOINT [\"/app\"]\n\
         COPY --from=lib /app /copy\n",
    );
    let args = "ctx --build-context base=root --build-context LIB=root";
    assert_eq!(files(&sandbox, args), ["app", "copy"]);
    sandbox.imgb("check out.tar").run().ok();
    // A name stands for an image too, however the Buildfile writes it.
    sandbox.file("ctx/Dockerfile", "FROM docker.io/library/busybox\nCOPY x /\n");
    for image in ["root", "out.tar", "oci:layout", "oci-layout://layout"] {
        if image == "oci:layout" {
            sandbox.imgb("pack -q root/ -o oci:layout").run().ok();
        }
        let found = files(&sandbox, &format!("ctx --build-context busybox={image}"));
        assert!(found.contains(&"app".into()) && found.contains(&"x".into()), "{image} {found:?}");
    }
    let run = |context: &str| {
        sandbox.imgb(&format!("build ctx -o out.tar --build-context busybox={context}")).run()
    };
    run("https://host/x.git").error(2, &["https://host/x.git", "cannot be fetched"]);
    run("nowhere").error(3, &["nowhere"]);
    run("").error(2, &["busybox"]);
}

#[test]
fn podmans_names_are_found_after_dockers() {
    let sandbox = Sandbox::new();
    for file in ["a", "b", "c"] {
        sandbox.file(&format!("ctx/{file}"), file);
    }
    sandbox.imgb("build ctx -o out.tar").run().error(3, &["Containerfile"]);
    sandbox.file("ctx/Containerfile", "FROM scratch\nCOPY . /d/\n");
    sandbox.file("ctx/.containerignore", "a\n.*\n*file\n*ignore\n");
    assert_eq!(files(&sandbox, "ctx"), ["d/b", "d/c"]);
    sandbox.file("ctx/.dockerignore", "b\n.*\n*file\n*ignore\n");
    assert_eq!(files(&sandbox, "ctx"), ["d/a", "d/c"]);
    sandbox.file("ctx/Containerfile.containerignore", "c\n.*\n*file\n*ignore\n");
    assert_eq!(files(&sandbox, "ctx"), ["d/a", "d/b"]);
    sandbox.file("ctx/Dockerfile", "FROM scratch\nCOPY a /\n");
    assert_eq!(files(&sandbox, "ctx"), ["a"]);
}

#[test]
fn a_pattern_that_matches_nothing_copies_nothing() {
    let sandbox = Sandbox::new();
    sandbox.file("ctx/.dockerignore", "left.out\n").file("ctx/left.out", "x");
    for copy in ["COPY nothing.* /d/", "COPY --parents nothing/*/x /d/", "ADD [ab]? no* /d/"] {
        sandbox.file("ctx/Dockerfile", format!("FROM scratch\n{copy}\nENV A=1\n"));
        let built = sandbox.imgb("build ctx --no-check -o out.tar").run().ok();
        assert!(built.stderr().contains("matches no file: nothing is copied"), "{}", built.show());
        assert!(files(&sandbox, "ctx").is_empty());
    }
    sandbox.file("ctx/Dockerfile", "FROM scratch\nCOPY nothing /d/\n");
    sandbox.imgb("build ctx --no-check -o out.tar").run().error(3, &["nothing"]);
}

/// The cases of BuildKit's own test of `--exclude`.
#[test]
fn exclude_follows_buildkits_tests_and_its_reference() {
    let sandbox = Sandbox::new();
    for file in [
        "dir1/file-101.png",
        "dir1/file-102.txt",
        "dir1/file-103.jpeg",
        "dir2/file-201.pdf",
        "dir2/file-202.jpeg",
        "dir2/file-203.png",
        "dir3/file-301.mp3",
        "dir3/file-302.mpeg",
        "node_modules/x.js",
        "hom.txt",
        "home",
    ] {
        sandbox.file(&format!("ctx/{file}"), file);
    }
    let check = |copy: &str, wanted: &[&str]| {
        sandbox.file("Dockerfile", format!("FROM scratch\n{copy}\n"));
        assert_eq!(files(&sandbox, "ctx -f Dockerfile"), wanted, "{copy}");
    };
    check(
        "COPY --exclude=*/*.png --exclude=*/*.jpeg --exclude=hom* --exclude=node_modules . /1",
        &[
            "1/dir1/file-102.txt",
            "1/dir2/file-201.pdf",
            "1/dir3/file-301.mp3",
            "1/dir3/file-302.mpeg",
        ],
    );
    check("ADD --exclude=*.mp3 dir3/ /3/", &["3/file-302.mpeg"]);
    check(
        "COPY --exclude=*.mp3 --exclude=*.jpeg --exclude=*.png --exclude=*.pdf --exclude=*.txt \
         dir* /4/",
        &["4/file-302.mpeg"],
    );
    check("ADD --exclude=* dir* /6", &[]);
    check("COPY --exclude=*.txt hom* /mydir/", &["mydir/home"]);
    check("COPY --exclude=node_modules --exclude=*-* * /app/", &["app/hom.txt", "app/home"]);
    check("COPY --exclude=node_modules node_modules /app/", &["app/x.js"]);
}

#[test]
fn file_capabilities_of_the_context_are_kept() {
    if !have(&["setcap", "python3"]) || !crate::sandbox::is_root() {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox
        .program("ctx/app", static_elf(X86_64))
        .file("ctx/Dockerfile", "FROM scratch\nCOPY app /\n");
    sandbox.tool("setcap", "cap_net_raw+ep ctx/app").run().ok();
    sandbox.imgb("build ctx -q -o rootfs:root.tar").run().ok();
    let script = "import tarfile; print(tarfile.open('root.tar').getmember('app').pax_headers)";
    sandbox.tool("python3", "-c").arg(script).run().ok().prints("SCHILY.xattr.security.capability");
}
