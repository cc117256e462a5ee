//! What `-o` may replace: no input, no other output, and no file that is not an image.

use crate::{
    engines::{self, have},
    fixtures,
    image_spec::{Layout, file_digest},
    sandbox::Sandbox,
};

/// A sandbox with a program, a directory and a Buildfile.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.program("app", fixtures::static_elf(fixtures::X86_64));
    sandbox.file("data/x", "1").file("Buildfile", "FROM scratch\nCOPY data /data\n");
    sandbox
}

#[test]
fn an_output_never_replaces_an_input() {
    let sandbox = sandbox();
    sandbox.symlink("link", "app").hard_link("hard", "app").dir("d");
    sandbox.file("list", "/etc/hostname\n").file("rules.toml", "");
    sandbox.imgb("pack ./app -o base.tar").run().ok();
    sandbox.imgb("pack ./app -o oci:layout:1").run().ok();
    let app = file_digest(sandbox.path("app"));
    for line in [
        "pack ./app -o app",
        "pack ./app -o d/../app",
        "pack ./app -o link",
        "pack ./app -o hard",
        "pack ./link -o app",
        "pack ./app:/x -o docker-archive:app",
        "pack ./data ./app -o ok.tar -o rootfs:app",
        "pack ./data -o list --include-from list",
        "pack ./data -o rules.toml --rules rules.toml",
        "pack ./data --base base.tar -o base.tar",
        "pack ./data --base docker-archive:base.tar -o base.tar",
        "pack ./layout/index.json -o oci:layout:2",
        "pack ./layout -o layout/",
        "build . -f Buildfile -o Buildfile",
        "build . --rules rules.toml -o rules.toml",
    ] {
        for force in ["", " --force"] {
            let run = sandbox.imgb(&format!("{line}{force} --no-check")).run();
            run.error(2, &["would replace the input"]);
        }
    }
    assert_eq!(file_digest(sandbox.path("app")), app);
    assert!(!sandbox.path("ok.tar").exists(), "nothing is written before all is checked");
    // An image of a layout may be the base of another one in it.
    sandbox.imgb("pack ./data --no-check --base oci:layout:1 -o oci:layout:2").run().ok();
}

#[test]
fn only_images_are_replaced_without_force() {
    let sandbox = sandbox();
    sandbox.file("notes.txt", "mine").file("empty", "").symlink("link", "notes.txt");
    sandbox.tool("tar", "-cf backup.tar data").run().ok();
    sandbox.tool("tar", "-czf backup.tar.gz data").run().ok();
    for name in ["notes.txt", "link", "docker-archive:notes.txt", "backup.tar", "backup.tar.gz"] {
        let run = sandbox.imgb("pack ./app -o").arg(name).run();
        run.error(5, &["exists and is not an archive of an image", "--force"]);
    }
    let run = sandbox.imgb("build . --no-check -o rootfs:notes.txt").run();
    run.error(5, &["`notes.txt` exists"]);
    assert_eq!(sandbox.read("notes.txt"), b"mine");
    for name in ["empty", "rootfs:backup.tar", "rootfs:backup.tar.gz"] {
        sandbox.imgb("pack ./app -o").arg(name).run().ok();
    }
    sandbox.imgb("pack ./app --force -o notes.txt").run().ok();
    for output in
        ["image.tar", "docker-archive:d.tar", "oci-archive:o.tar", "image.tgz", "rootfs:r.tar.zst"]
    {
        for _ in 0..2 {
            sandbox.imgb("pack ./app -o").arg(output).run().ok();
        }
    }
}

#[test]
fn a_link_is_replaced_and_not_followed() {
    let sandbox = sandbox();
    sandbox.file("victim", "mine").symlink("out.tar", "victim").symlink("gone.tar", "nowhere");
    for name in ["out.tar", "gone.tar"] {
        sandbox.imgb("pack ./app --force -o").arg(name).run().ok();
        assert!(!sandbox.path(name).is_symlink(), "{name}");
    }
    assert_eq!(sandbox.read("victim"), b"mine");
    assert!(!sandbox.path("nowhere").exists());
}

#[test]
fn archives_of_other_tools_are_replaced() {
    let sandbox = sandbox();
    if !have(&["skopeo"]) {
        return;
    }
    sandbox.imgb("pack ./app -o oci:layout:1").run().ok();
    for to in ["docker-archive:d.tar:app:1", "oci-archive:o.tar:1"] {
        sandbox.tool("skopeo", "--insecure-policy copy oci:layout:1").arg(to).run().ok();
    }
    sandbox.tool("tar", "-C layout -cf l.tar .").run().ok();
    for name in ["d.tar", "o.tar", "l.tar"] {
        sandbox.imgb("pack ./app -o").arg(name).run().ok();
    }
    let Some(docker) = engines::docker() else { return };
    sandbox.imgb("pack ./app -t overwrite -o image.tar").run().ok();
    docker.load(&sandbox.path("image.tar"));
    docker.save("overwrite", &sandbox.path("saved.tar"));
    sandbox.imgb("pack ./app -o saved.tar").run().ok();
}

#[test]
fn an_output_is_not_packed_whatever_its_name() {
    let sandbox = sandbox();
    let digest = sandbox.imgb("pack ./data --no-check -o x.tar").run().ok().digest();
    // Standard output is a file in the directory that is packed.
    let file = || fs_err::File::create(sandbox.path("data/out.tar")).unwrap().into_file();
    for output in ["-", "/dev/stdout", "/proc/self/fd/1"] {
        let run = sandbox.imgb("pack ./data --no-check -o").arg(output);
        run.stdout(file()).run().ok();
        sandbox.imgb("inspect data/out.tar").run().ok().prints(&digest);
    }
    let run = sandbox.imgb("pack ./app -o -");
    let app = std::fs::OpenOptions::new().append(true).open(sandbox.path("app")).unwrap();
    run.stdout(app).run().exits(2);
    for twice in ["-o a.tar -o ./a.tar", "-o a.tar -o data/../a.tar", "-o oci:a -o a"] {
        let run = sandbox.imgb("pack ./app").args(twice).run();
        run.error(2, &["two outputs go to"]);
    }
    sandbox.imgb("pack ./app -o oci:a:1 -o oci:a:2").run().ok();
}

#[test]
fn no_image_goes_to_a_terminal() {
    let sandbox = sandbox();
    if !have(&["script"]) {
        return;
    }
    let run = sandbox.tool("script", "-qec").arg("$IMGB pack ./app -o -").arg("/dev/null");
    let run = run.env("IMGB", env!("CARGO_BIN_EXE_imgb")).run().exits(2);
    run.prints("error: stdout is a terminal").prints("docker load");
}

#[test]
fn the_ending_of_an_archive_compresses_it() {
    let sandbox = sandbox();
    let digest = sandbox.imgb("pack ./app -t app -o app.tar -o app.tar.gz -o app.tar.zst");
    let digest = digest.arg("-o").arg("rootfs:root.tgz").run().ok().digest();
    let decoded = |reader: &mut dyn std::io::Read| {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).unwrap();
        bytes
    };
    let plain = sandbox.read("app.tar");
    let (gzip, zstd) = (sandbox.read("app.tar.gz"), sandbox.read("app.tar.zst"));
    assert!(decoded(&mut flate2::read::GzDecoder::new(&gzip[..])) == plain);
    assert!(decoded(&mut zstd::Decoder::new(&zstd[..]).unwrap()) == plain);
    for name in ["app.tar.gz", "app.tar.zst"] {
        sandbox.imgb("inspect").arg(name).run().ok().prints(&digest);
        let before = file_digest(sandbox.path(name));
        let again = sandbox.imgb("pack ./app -j 1 -t app -o").arg(name).run().ok();
        assert_eq!((again.digest(), file_digest(sandbox.path(name))), (digest.clone(), before));
    }
    sandbox.tool("tar", "-tzf root.tgz").run().ok().prints_only("app\n");
    let named = sandbox.imgb("pack ./app --json -o Ünï.tar.gz").run().ok();
    named.prints("docker.io/library/uni:latest");
    sandbox.imgb("pack ./app -o x.tar.xz").run().error(2, &["`x.tar.xz`", ".tar.gz"]);
    Layout::unpack(&sandbox, "app.tar.gz", "unpacked");
    let Some(podman) = engines::podman() else { return };
    sandbox.imgb("pack ./app -t outer -o outer.tar.zst -o outer.tar.gz").run().ok();
    for name in ["outer.tar.zst", "outer.tar.gz"] {
        podman.load(&sandbox.path(name));
        podman.cli("image rm docker.io/library/outer").run().ok();
    }
}

/// What a process that was killed left of a layout does not keep the next one from making it.
#[test]
fn a_layout_that_was_begun_is_finished() {
    let sandbox = Sandbox::new();
    sandbox.file("conf", "one\n").file("layout/.imgb-a1b2c3", "{}").dir("layout/blobs/sha256");
    sandbox.imgb("pack conf -o oci:layout").run().ok();
    sandbox.imgb("inspect oci:layout").run().ok();
    sandbox.file("other/.imgb-a1b2c3", "{}").file("other/notes", "");
    sandbox.imgb("pack conf -o oci:other").run().error(4, &["other files in it"]);
}
