//! `imgb why`: chains in images of imgb's and of others' making, and what nothing leads to.

use serde_json::{Value, json};

use crate::{
    engines::have,
    layouts::Parts,
    raw_tar::{MODE, MTIME, RawTar, put},
    sandbox::{Outcome, Sandbox},
};

fn json(outcome: &Outcome) -> Value {
    serde_json::from_str(&outcome.text()).unwrap()
}

#[test]
fn every_file_of_a_packed_program_has_a_chain() {
    if !have(&["curl"]) {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.imgb("pack curl -q -o curl.tar").run().ok();
    let files: Value = json(&sandbox.imgb("inspect --json curl.tar").run().ok());
    let files: Vec<String> = files["files"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|file| file["type"] == "file")
        .map(|file| file["path"].as_str().unwrap().to_owned())
        .collect();
    let libc = files.iter().find(|path| path.ends_with("/libc.so.6")).unwrap();
    let outcome = sandbox.imgb("why --json curl.tar").arg(libc).run().ok();
    let value = json(&outcome);
    let first = &value["chains"][0];
    let steps: Vec<_> =
        first.as_array().unwrap().iter().map(|step| step["path"].as_str().unwrap()).collect();
    assert_eq!((steps.len(), *steps.last().unwrap()), (2, libc.as_str()), "{value}");
    let start = first[0]["reason"]["text"].as_str().unwrap();
    assert!(start.ends_with("curl (the image's command)"), "{start}");
    assert_eq!(first[1]["reason"]["name"], "libc.so.6");
    assert!(value["reasons"].as_array().unwrap().len() > 5, "{value}");
    assert!(value["goes"]["paths"].as_array().unwrap().iter().any(|path| path == libc.as_str()));
    let text = sandbox.imgb("why curl.tar").arg(libc).run().ok().text();
    assert!(text.contains("needed by") && text.contains("would go: "), "{text}");
    let left = sandbox.imgb("why --unreached curl.tar").run().ok().text();
    assert!(left.ends_with("0 paths that nothing leads to, 0 B\n"), "{left}");
}

/// A script, its interpreter, and a file that nothing opens.
fn image(sandbox: &Sandbox) {
    let program = |tar: RawTar, name: &str, text: &str| {
        let mode = |header: &mut [u8; 512]| put(header, MODE, b"0000755\0");
        tar.raw(b'0', name.as_bytes(), text.as_bytes(), mode)
    };
    let tar = program(RawTar::new(), "app", "#!/real\n");
    let tar = program(tar, "real", "#!/sh\n").symlink("sh", "bin/sh");
    let elf = crate::fixtures::static_elf(crate::fixtures::X86_64);
    let tar = tar.raw(b'0', b"bin/sh", &elf, |header| put(header, MODE, b"0000755\0"));
    let tar = tar.file("unused", "12345").file("data/x", "1").end();
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": {"Entrypoint": ["/app"]},
    });
    Parts { config, layers: vec![tar] }.write(sandbox, "l");
}

#[test]
fn chains_name_each_step_with_its_evidence() {
    let sandbox = Sandbox::new();
    image(&sandbox);
    let value = json(&sandbox.imgb("why --json l /bin/sh").run().ok());
    let chains = value["chains"].as_array().unwrap();
    let steps: Vec<Vec<&str>> = chains
        .iter()
        .map(|chain| {
            chain.as_array().unwrap().iter().map(|step| step["path"].as_str().unwrap()).collect()
        })
        .collect();
    assert!(steps.iter().any(|steps| steps == &["/app", "/real", "/bin/sh"]), "{value}");
    let goes: Vec<_> = value["goes"]["paths"].as_array().unwrap().iter().collect();
    assert!(goes.iter().any(|path| **path == "/sh"), "{value}");
    let unreached = sandbox.imgb("why l /unused").run().exits(1).text();
    assert!(unreached.contains("nothing that the image starts leads to it"), "{unreached}");
    let list = sandbox.imgb("why --unreached l").run().ok().text();
    let wanted = "      5 B  /unused\n      1 B  /data/x\n2 paths that nothing leads to, 6 B\n";
    assert_eq!(list, wanted);
    let list = json(&sandbox.imgb("why --unreached --from /data --json l").run().ok());
    assert_eq!(list["unreached"], json!([{"path": "/unused", "size": 5}]));
    sandbox.imgb("why l /").run().ok().prints("parent of /app");
    sandbox.imgb("why l /gone").run().error(3, &["the image has no `/gone`"]);
    for (path, meant) in [("app2", "/app"), ("/usr/bin/real", "/real"), ("/bin/shh", "/bin/sh")] {
        let failed = sandbox.imgb("why l").arg(path).run();
        failed.error(3, &["the image has no", &format!("did you mean `{meant}`?")]);
    }
}

/// Without a directory, what is in it goes, and what only that leads to.
#[test]
fn with_a_directory_goes_what_is_in_it() {
    let sandbox = Sandbox::new();
    image(&sandbox);
    let goes = |path: &str| {
        let goes = json(&sandbox.imgb("why --json l").arg(path).run().ok())["goes"].clone();
        let paths = goes["paths"].as_array().unwrap().iter();
        let paths: Vec<_> = paths.map(|path| path.as_str().unwrap().to_owned()).collect();
        (paths.join(" "), goes["size"].as_u64().unwrap())
    };
    let sizes: Value = json(&sandbox.imgb("inspect --json l").run().ok());
    let size = |path: &str| {
        let dirs = sizes["directories"].as_array().unwrap();
        dirs.iter().find(|one| one["path"] == path).unwrap()["size"].as_u64().unwrap()
    };
    assert_eq!(goes("/bin"), ("/bin /bin/sh /sh".into(), size("/bin")));
    assert_eq!(goes("/").1, size("/"));
}

/// What an entrypoint script names is led to by the script, the compiled form of a module by its
/// source, and a link by what it leads to.
#[test]
fn scripts_compiled_modules_and_links_are_led_to() {
    let sandbox = Sandbox::new();
    let script = "#!/bin/sh\nfor f in /init.d/*; do . $f; done\nexec /bin/sh /srv/m.py\n";
    let executable = |header: &mut [u8; 512]| put(header, MODE, b"0000755\0");
    let elf = crate::fixtures::static_elf(crate::fixtures::X86_64);
    let (source, time) = ("x = 1\n", 1_700_000_000_u32);
    let numbers = [0, time, source.len() as u32].map(u32::to_le_bytes).concat();
    let compiled = [&b"\xa7\x0d\r\n"[..], &numbers, b"code"].concat();
    let tar = RawTar::new()
        .raw(b'0', b"entry.sh", script.as_bytes(), executable)
        .raw(b'0', b"bin/sh", &elf, executable)
        .file("init.d/10", "y=1\n")
        .raw(b'0', b"srv/m.py", source.as_bytes(), |header| {
            put(header, MTIME, format!("{time:011o}\0").as_bytes());
        })
        .raw(b'0', b"srv/__pycache__/m.cpython-311.pyc", &compiled, |_| {})
        .symlink("start", "/entry.sh")
        .file("unused", "1")
        .end();
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": {"Entrypoint": ["/entry.sh"]},
    });
    Parts { config, layers: vec![tar] }.write(&sandbox, "l");
    let list = json(&sandbox.imgb("why --unreached --json l").run().ok());
    assert_eq!(list["unreached"], json!([{"path": "/unused", "size": 1}]));
    for (path, kind) in [
        ("/init.d/10", "named"),
        ("/srv/__pycache__/m.cpython-311.pyc", "compiled"),
        ("/start", "link"),
    ] {
        let value = json(&sandbox.imgb("why --json l").arg(path).run().ok());
        let chain = value["chains"][0].as_array().unwrap();
        assert_eq!(chain[0]["path"], "/entry.sh", "{value}");
        assert_eq!(chain.last().unwrap()["reason"]["kind"], kind, "{value}");
    }
    let value = json(&sandbox.imgb("why --json l /init.d/10").run().ok());
    let line = json!({"line": 2, "text": "for f in /init.d/*; do . $f; done"});
    assert_eq!(value["chains"][0][1]["script"], line);
    let text = sandbox.imgb("why l /bin/sh").run().ok().text();
    assert!(text.contains("interpreter of /entry.sh (line 1: #!/bin/sh)\n"), "{text}");
}

#[test]
fn an_image_without_a_program_asks_what_it_is_for() {
    let sandbox = Sandbox::new();
    sandbox.file("conf", "x");
    sandbox.imgb("pack conf --no-check -q -o conf.tar").run().ok();
    sandbox.imgb("why conf.tar /conf").run().error(1, &["starts no program", "--from PATH"]);
    let value = json(&sandbox.imgb("why --from /conf --json conf.tar /conf").run().ok());
    assert_eq!(value["chains"][0][0]["reason"]["text"], "--from /conf");
}

/// The only file of a package may be a link, which no list of checksums has.
#[test]
fn a_package_of_a_link_has_a_chain_for_all_that_tells_of_it() {
    let sandbox = Sandbox::new();
    sandbox
        .program("sys/bin/sh", crate::fixtures::static_elf(crate::fixtures::X86_64))
        .program("sys/usr/bin/srv-tool", "#!/bin/sh\n")
        .symlink("sys/usr/bin/srv", "srv-tool");
    let (mut status, info) = (String::new(), "sys/var/lib/dpkg/info");
    for (name, program) in [("srv", "srv"), ("srv-common", "srv-tool")] {
        let copyright = format!("usr/share/doc/{name}/copyright");
        let list = format!("/.\n/usr\n/usr/bin\n/usr/bin/{program}\n/{copyright}\n");
        let sum = "00112233445566778899aabbccddeeff";
        let link = if name == program { "" } else { "usr/bin/srv-tool" };
        let sums = [link, &*copyright].map(|path| format!("{sum}  {path}\n"));
        let sums = if link.is_empty() { sums[1].clone() } else { sums.concat() };
        sandbox.file(&format!("sys/{copyright}"), "licence");
        sandbox.file(&format!("{info}/{name}.list"), list);
        sandbox.file(&format!("{info}/{name}.md5sums"), sums);
        status += &format!(
            "Package: {name}\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n\n"
        );
    }
    sandbox.file("sys/var/lib/dpkg/status", status);
    sandbox.imgb("pack srv --sysroot sys -q -o a.tar").run().ok();
    let why = sandbox.imgb("why a.tar /usr/share/doc/srv/copyright").run().ok().text();
    assert!(why.contains("package srv 1, which owns /usr/bin/srv"), "{why}");
    let left = sandbox.imgb("why --unreached a.tar").run().ok().text();
    assert!(left.ends_with("0 paths that nothing leads to, 0 B\n"), "{left}");
}
