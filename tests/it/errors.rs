//! Every bad input, with its exit code and its one message. None leaves any output.

use std::{io::Write as _, os::unix::fs::FileTypeExt as _};

use crate::{
    elf_builder::Elf,
    engines::{have, have_root},
    fixtures,
    sandbox::{Outcome, Sandbox},
};

/// A sandbox with an output directory that everyone may write to.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.program("good", fixtures::static_elf(fixtures::X86_64)).dir("out").mode("out", 0o777);
    sandbox
}

/// Packs into `out/`, which must stay empty.
fn refused(sandbox: &Sandbox, inputs: &str, code: i32, parts: &[&str]) -> Outcome {
    let outcome =
        sandbox.imgb("pack").args(inputs).args("-o out/image.tar").run().error(code, parts);
    assert_eq!(sandbox.names("out"), [""; 0], "something is left\n{}", outcome.show());
    outcome
}

#[test]
fn an_input_that_does_not_exist() {
    let sandbox = sandbox();
    refused(&sandbox, "./gone", 3, &["./gone", "no such file"]);
    refused(&sandbox, "good/below", 3, &["good/below"]);
    refused(
        &sandbox,
        "no-such-command-anywhere",
        3,
        &["no-such-command-anywhere", "no command of that name"],
    );
}

#[test]
fn an_input_that_may_not_be_read() {
    let sandbox = sandbox();
    sandbox.file("secret", "x").mode("secret", 0);
    sandbox
        .file("dir/inner/secret", "x")
        .mode("dir/inner/secret", 0)
        .file("closed/x", "x")
        .mode("closed", 0);
    for input in ["./secret", "./dir", "./closed"] {
        let run = sandbox.imgb("pack").arg(input).args("-o out/image.tar").nobody();
        let name = if input == "./dir" { "inner/secret" } else { &input[2..] };
        run.run().error(3, &[name, "Permission denied"]);
        assert_eq!(sandbox.names("out"), [""; 0]);
    }
    sandbox.mode("closed", 0o755);
}

#[test]
fn a_truncated_elf_file() {
    let sandbox = sandbox();
    let elf = fs_err::read("/bin/true").unwrap();
    // Inside the ELF header, inside the program headers, and before the dynamic section.
    for len in [5, 40, 100, elf.len() / 4] {
        sandbox.program("cut", &elf[..len]);
        refused(&sandbox, "./cut", 4, &["cut"]);
        sandbox.program("dir/cut", &elf[..len]);
        refused(&sandbox, "./dir", 4, &["cut"]);
    }
}

#[test]
fn programs_of_two_machines() {
    let sandbox = sandbox();
    sandbox.program("arm", fixtures::static_elf(fixtures::AARCH64));
    refused(&sandbox, "./good ./arm", 1, &["good", "arm", "amd64", "arm64"]);
    // Alone, the program makes an image for its own platform and needs nothing of this machine.
    sandbox.imgb("pack ./arm -o out/image.tar").run().ok();
}

#[test]
fn a_library_that_is_missing() {
    let sandbox = sandbox();
    if !fixtures::program_without_its_library(&sandbox) {
        return;
    }
    let outcome = refused(&sandbox, "./app", 1, &["libgone.so.1", "/app", "searched", "hint:"]);
    assert!(
        !outcome.stderr().contains("libc.so.6"),
        "what is found is not reported\n{}",
        outcome.show()
    );
    sandbox.imgb("pack ./app -o out/image.tar --allow-missing libgone.*").run().ok();
    sandbox.imgb("pack ./app -o out/image.tar --no-deps").run().ok();
    fs_err::rename(sandbox.path("lib/libgone.so"), sandbox.path("lib/libgone.so.1")).unwrap();
    sandbox.imgb("pack ./app -o out/image.tar --library-path lib").run().ok();
}

#[test]
fn a_library_left_next_to_its_program() {
    let sandbox = sandbox();
    let library = Elf::library().soname("libown.so.1").build();
    let loader = "/lib64/ld-linux-x86-64.so.2";
    let app = Elf::program(loader).needed("libown.so.1").runpath("/nowhere:$ORIGIN/../lib/private");
    sandbox.program("dist/bin/app", app.build()).program("dist/lib/private/libown.so.1", library);
    sandbox.file("sys/lib64/none", "").program(&format!("sys{loader}"), Elf::library().build());
    let dist = fs_err::canonicalize(sandbox.path("dist")).unwrap().display().to_string();
    let advice = format!("pack {dist}:/opt/app --entrypoint /opt/app/bin/app");
    let stays = format!("`{dist}/lib/private/libown.so.1` is next to the program here");
    let inputs = "--soft none --sysroot sys dist/bin/app";
    refused(&sandbox, inputs, 1, &["libown.so.1", "searched", &stays, &advice]);
    refused(&sandbox, &format!("{inputs}:/usr/bin/"), 1, &["RUNPATH of /usr/bin/app", &advice]);
    // The object that the test built has neither code nor symbols, and could not start.
    sandbox
        .imgb(&format!("{advice} --soft none --no-check --sysroot sys -o out/image.tar"))
        .run()
        .ok();
}

#[test]
fn all_missing_libraries_together() {
    let sandbox = sandbox();
    if !have(&["gcc"]) {
        return;
    }
    sandbox.file("a.c", "int a(void) { return 0; }").file("b.c", "int b(void) { return 0; }");
    sandbox.file("app.c", "int a(void), b(void); int main(void) { return a() + b(); }");
    for name in ["a", "b"] {
        let library = format!("-shared -fPIC -Wl,-soname,lib{name}.so.9 -o lib{name}.so {name}.c");
        sandbox.tool("gcc", &library).run().ok();
    }
    sandbox.tool("gcc", "-o app app.c -L. -la -lb").run().ok();
    refused(&sandbox, "./app", 1, &["liba.so.9", "libb.so.9", "hint:"]);
}

#[test]
fn a_tarball_cut_short() {
    let sandbox = sandbox();
    sandbox.file("dir/a", fixtures::noise(5000)).file("dir/b", fixtures::noise(5000));
    sandbox.tool("tar", "--create --file whole.tar dir").run().ok();
    sandbox.tool("tar", "--create --gzip --file whole.tar.gz dir").run().ok();
    for (name, keep) in [("whole.tar", 3000), ("whole.tar", 6300), ("whole.tar.gz", 5000)] {
        let whole = sandbox.read(name);
        sandbox.file(&format!("cut-{name}"), &whole[..keep]);
        refused(&sandbox, &format!("cut-{name}"), 4, &[&format!("cut-{name}")]);
    }
    for name in ["whole.tar", "whole.tar.gz"] {
        sandbox.imgb("pack").arg(name).args("-o out/image.tar").run().ok();
    }
}

/// Makes a tarball with the given names, which no `tar` would write.
fn tarball(sandbox: &Sandbox, name: &str, entries: &[&str]) {
    let mut builder = tar::Builder::new(Vec::new());
    for entry in entries {
        let mut header = tar::Header::new_ustar();
        header.as_old_mut().name[..entry.len()].copy_from_slice(entry.as_bytes());
        header.set_size(2);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_cksum();
        builder.append(&header, &b"x\n"[..]).unwrap();
    }
    sandbox.file(name, builder.into_inner().unwrap());
}

#[test]
fn a_tarball_entry_that_climbs_out() {
    let sandbox = sandbox();
    for entry in ["../x", "a/../../x", "a/b/../../../x"] {
        tarball(&sandbox, "climbs.tar", &["fine", entry]);
        refused(&sandbox, "climbs.tar", 4, &["climbs.tar", entry]);
    }
}

#[test]
fn a_name_that_layers_give_another_meaning() {
    let sandbox = sandbox();
    sandbox.file("dir/.wh.x", "").file("opaque/.wh..wh..opq", "");
    refused(&sandbox, "./dir", 4, &["./dir", ".wh.x`"]);
    refused(&sandbox, "./opaque", 4, &["./opaque", ".wh..wh..opq`"]);
    tarball(&sandbox, "whiteout.tar", &["a/.wh.x"]);
    refused(&sandbox, "whiteout.tar", 4, &["whiteout.tar", "a/.wh.x"]);
}

#[test]
fn a_fifo_in_a_directory() {
    let sandbox = sandbox();
    sandbox.file("dir/file", "x");
    sandbox.tool("mkfifo", "dir/queue").run().ok();
    refused(&sandbox, "./dir", 4, &["./dir", "queue (FIFO)", "--exclude"]);
    sandbox.imgb("pack ./dir -o out/image.tar --exclude dir/queue").run().ok();
}

#[test]
fn two_inputs_that_disagree_about_a_path() {
    let sandbox = sandbox();
    sandbox
        .file("one/etc/conf", "1")
        .file("two/etc/conf", "2")
        .file("three/etc/conf", "1")
        .file("three/etc/more", "3");
    refused(&sandbox, "one/ two/", 1, &["/etc/conf", "one", "two"]);
    sandbox.imgb("pack one/ three/ -o out/image.tar").run().ok();
}

#[test]
fn an_output_directory_that_is_missing_or_closed() {
    let sandbox = sandbox();
    sandbox.imgb("pack ./good -o gone/image.tar").run().error(5, &["gone"]);
    assert!(!sandbox.path("gone").exists());
    sandbox.dir("closed").mode("closed", 0o555);
    sandbox
        .imgb("pack ./good -o closed/image.tar")
        .nobody()
        .run()
        .error(5, &["closed", "Permission denied"]);
    sandbox.imgb("pack ./good -o good/image.tar").run().error(5, &["good/image.tar"]);
    sandbox.mode("closed", 0o755);
    assert_eq!(sandbox.names("closed"), [""; 0]);
}

#[test]
fn a_failed_run_keeps_the_old_output() {
    let sandbox = sandbox();
    sandbox.file("out/image.tar", "old").mode("out", 0o555);
    sandbox.imgb("pack ./good --force -o out/image.tar").nobody().run().error(5, &["out"]);
    assert_eq!(sandbox.read("out/image.tar"), b"old");
    sandbox.mode("out", 0o755);
    sandbox.imgb("pack ./gone --force -o out/image.tar").run().error(3, &["gone"]);
    assert_eq!(sandbox.read("out/image.tar"), b"old");
    assert_eq!(sandbox.names("out"), ["image.tar"]);
}

#[test]
fn an_output_that_is_a_directory_becomes_a_layout() {
    let sandbox = sandbox();
    sandbox.imgb("pack ./good -o out").run().ok();
    assert_eq!(sandbox.names("out"), ["blobs", "index.json", "oci-layout"]);
    sandbox
        .dir("taken")
        .imgb("pack ./good -o docker-archive:taken")
        .run()
        .error(2, &["taken", "directory"]);
    assert_eq!(sandbox.names("taken"), [""; 0]);
}

#[test]
fn a_full_disk() {
    let sandbox = sandbox();
    if !(have(&["unshare", "mount"]) && have_root()) {
        return;
    }
    sandbox.file("noise", fixtures::noise(400_000)).dir("full");
    // The file system belongs to the namespace and ends with it, so the leftovers are listed
    // before.
    let script =
        r#"mount -t tmpfs -o size=64k none full && "$@"; code=$?; ls -A full >left; exit $code"#;
    let under = ["unshare", "--mount", "sh", "-c", script, "sh"];
    for output in
        ["full/image.tar", "rootfs:full/rootfs.tar", "docker-archive:full/d.tar", "oci:full/layout"]
    {
        let run = sandbox.imgb("pack ./noise --compress none -o").arg(output).under(&under);
        run.run().error(5, &["full", "No space left"]);
        let left = String::from_utf8(sandbox.read("left")).unwrap();
        assert!(left.is_empty() || output.starts_with("oci:"), "{output} leaves {left}");
    }
}

#[test]
fn a_device_that_is_always_full() {
    let sandbox = sandbox();
    let full = || fs_err::OpenOptions::new().write(true).open("/dev/full").unwrap().into_parts().0;
    sandbox.imgb("pack ./good -o -").stdout(full()).run().error(5, &["No space left"]);
    // The digest could not be printed.
    sandbox.imgb("pack ./good -o out/image.tar").stdout(full()).run().error(5, &["No space left"]);
}

#[test]
fn an_output_that_is_a_device_or_a_fifo_is_never_replaced() {
    let sandbox = sandbox();
    // The FIFO is open at both ends, so that neither opening nor writing blocks.
    sandbox.tool("mkfifo", "out/fifo").run().ok();
    sandbox
        .imgb("pack ./good -o out/fifo")
        .under(&["sh", "-c", r#"exec 3<>out/fifo; "$@""#, "sh"])
        .run();
    let kind = fs_err::symlink_metadata(sandbox.path("out/fifo")).unwrap().file_type();
    assert!(kind.is_fifo(), "the FIFO has become {kind:?}");
    assert_eq!(sandbox.names("out"), ["fifo"]);
    if !(have(&["mknod"]) && have_root()) {
        return;
    }
    sandbox.tool("mknod", "out/null c 1 3").run().ok();
    sandbox.imgb("pack ./good -o out/null").run();
    let kind = fs_err::symlink_metadata(sandbox.path("out/null")).unwrap().file_type();
    assert!(kind.is_char_device(), "the device has become {kind:?}");
}

#[test]
fn an_output_that_is_a_regular_file_below_dev_is_written_like_any_other() {
    let sandbox = sandbox();
    let dir = tempfile::Builder::new().prefix("imgb-it-").tempdir_in("/dev/shm").unwrap();
    let path = dir.path().join("image.tar");
    fs_err::write(&path, fixtures::noise(300_000)).unwrap();
    sandbox.imgb("pack ./good --force -t image -o").arg(&path).run().ok();
    sandbox.imgb("pack ./good -t image -o out/image.tar").run().ok();
    assert_eq!(
        fs_err::read(&path).unwrap(),
        sandbox.read("out/image.tar"),
        "nothing of the old file is left"
    );
}

#[test]
fn standard_output_closed_early() {
    let sandbox = sandbox();
    sandbox.file("noise", fixtures::noise(400_000));
    let script = r#"{ "$@"; echo $? >code; } | head -c 1"#;
    let under = ["sh", "-c", script, "sh"];
    let outcome = sandbox.imgb("pack ./noise -o -").under(&under).run().ok();
    assert!(!outcome.stderr().contains("panicked"), "{}", outcome.show());
    let errors = outcome.stderr().lines().filter(|line| line.starts_with("error: ")).count();
    assert_eq!(errors, 1, "{}", outcome.show());
    assert_eq!(sandbox.read("code"), b"5\n", "the archive has not been delivered");
}

#[test]
fn usage() {
    let sandbox = sandbox();
    for args in [
        "pack",
        "pack ./good",
        "pack ./good -o",
        "pack ./good -o x.tar --layers many",
        "frobnicate",
        "",
    ] {
        let outcome = sandbox.imgb(args).run().exits(2);
        assert!(outcome.text().is_empty() && !outcome.stderr().is_empty(), "{}", outcome.show());
    }
    sandbox.imgb("pack ./good -o out/x.tar --compress gzip:99").run().error(2, &["gzip:99"]);
    sandbox.imgb("pack ./good -o out/x.tar -t UPPER").run().error(2, &["UPPER"]);
    assert_eq!(sandbox.names("out"), [""; 0]);
}

#[test]
fn names_in_messages_are_one_printable_line() {
    let sandbox = sandbox();
    let outcome =
        sandbox.imgb("pack -o out/image.tar").arg("./a\nerror: b\x1b[31m").run().error(3, &["./a"]);
    assert!(!outcome.stderr().contains('\x1b'), "{}", outcome.show());
}

#[test]
fn an_output_inside_an_input_is_left_out() {
    let sandbox = sandbox();
    sandbox.file("dir/file", "x");
    let first = sandbox.imgb("pack ./dir -o dir/image.tar").run().ok().digest();
    let again = sandbox.imgb("pack ./dir -o dir/image.tar").run().ok().digest();
    assert_eq!(first, again);
}

#[test]
fn a_file_that_changes_between_runs_is_read_anew() {
    let sandbox = sandbox();
    let pack = || sandbox.imgb("pack ./note -o out/image.tar").run().ok().digest();
    sandbox.file("note", "one");
    let first = pack();
    fs_err::OpenOptions::new()
        .append(true)
        .open(sandbox.path("note"))
        .unwrap()
        .write_all(b"!")
        .unwrap();
    assert_ne!(pack(), first);
}

/// The kernel sends SIGXFSZ to a process that writes beyond the limit.
#[test]
fn a_limit_on_file_sizes_is_an_error() {
    let sandbox = sandbox();
    if !have(&["prlimit"]) {
        return;
    }
    let pack = sandbox.imgb("pack ./good -o out/image.tar").under(&["prlimit", "--fsize=100"]);
    pack.run().error(5, &["file too large"]);
    assert_eq!(sandbox.names("out"), [""; 0]);
}
