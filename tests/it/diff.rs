//! `imgb diff`: an image and itself, and each single change, named exactly.

use imgb::digest::Digest;
use serde_json::{Value, json};

use crate::{
    fixtures::{X86_64, noise, static_elf},
    layouts::{Parts, small},
    raw_tar::{GID, MODE, MTIME, RawTar, UID, put},
    sandbox::Sandbox,
};

/// An image with one of everything.
fn parts() -> Parts {
    let config = json!({
        "architecture": "amd64", "os": "linux",
        "config": {"Env": ["A=1", "B=2"], "Labels": {"x": "1"}, "Entrypoint": ["/app"]},
    });
    let base = RawTar::new().dir("etc/").file("etc/passwd", "root:x:0:0::/:/bin/sh\n").end();
    let status = "Package: one\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n";
    let top = RawTar::new()
        .raw(b'0', b"app", b"program", |header| put(header, MODE, b"0000755\0"))
        .symlink("link", "app")
        .pax(&[("SCHILY.xattr.security.capability", &capability(10))])
        .file("able", "able")
        .hard_link("able-too", "able")
        .file("var/lib/dpkg/status", status);
    Parts { config, layers: vec![base, top.end()] }
}

/// The image with other bytes in its second layer.
fn replaced(from: &[u8], to: &[u8]) -> Parts {
    let mut parts = parts();
    let tar = &mut parts.layers[1];
    let at = memchr::memmem::find(tar, from).unwrap();
    tar[at..at + to.len()].copy_from_slice(to);
    parts
}

/// `security.capability`, version 2, effective: one permitted capability.
fn capability(number: u32) -> Vec<u8> {
    [0x0200_0001, 1 << number, 0, 0, 0].iter().flat_map(|word: &u32| word.to_le_bytes()).collect()
}

/// What `imgb diff --json` says of the two images.
fn diff(sandbox: &Sandbox, args: &str) -> Value {
    let outcome = sandbox.imgb("diff --json a b").args(args).run();
    let value: Value = serde_json::from_str(&outcome.text()).unwrap();
    assert_eq!(value["same"], outcome.code() == Some(0), "{}", outcome.show());
    value
}

/// The differences in files, configuration and packages as lines.
fn lines(value: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let fields = |value: &Value| {
        let fields = value.as_array().unwrap().iter();
        fields
            .map(|field| format!("{} {} {}", text(&field["field"]), field["a"], field["b"]))
            .collect()
    };
    let mut lines: Vec<String> = fields(&value["config"]);
    for file in value["files"].as_array().unwrap() {
        let fields: Vec<String> = fields(&file["fields"]);
        lines.push(format!("{} {} {fields:?}", text(&file["change"]), text(&file["path"])));
    }
    for package in value["packages"].as_array().unwrap() {
        lines.push(format!("{} {} {}", text(&package["name"]), package["a"], package["b"]));
    }
    lines
}

#[test]
fn an_image_does_not_differ_from_itself_in_any_form() {
    let sandbox = small();
    for other in ["hybrid.tar", "oci:layout", "docker-archive:docker.tar", "oci-archive:oci.tar"] {
        sandbox.imgb("diff hybrid.tar").arg(other).run().ok().prints_only("");
    }
    for other in ["hybrid.tar", "oci:layout", "oci-archive:oci.tar"] {
        sandbox.imgb("diff --strict hybrid.tar").arg(other).run().ok().prints_only("");
    }
    sandbox.imgb("pack app conf --compress zstd -q -o z.tar").run().ok();
    let outcome = sandbox.imgb("diff hybrid.tar z.tar").run().ok();
    assert!(outcome.text().contains("the same content, in other bytes"), "{}", outcome.show());
    let strict = sandbox.imgb("diff --strict hybrid.tar z.tar").run().exits(1).text();
    assert!(strict.contains("blob of layer 1: compression: gzip → zstd"), "{strict}");
}

#[test]
fn each_single_change_of_the_configuration_is_named() {
    let sandbox = Sandbox::new();
    parts().write(&sandbox, "a");
    let check = |field: &str, value: Value, wanted: &[&str]| {
        let mut parts = parts();
        match field.split_once('.') {
            Some((outer, inner)) => parts.config[outer][inner] = value,
            None => parts.config[field] = value,
        }
        parts.write(&sandbox, "b");
        let found = diff(&sandbox, "");
        assert_eq!(lines(&found), wanted, "{field}");
        assert_eq!(found["layers"], json!([]));
    };
    check("config.Env", json!(["A=1", "B=3"]), &[r#"config.Env.B "2" "3""#]);
    check("config.Env", json!(["B=2", "A=1"]), &[r#"config.Env ["A=1","B=2"] ["B=2","A=1"]"#]);
    check("config.Labels", json!({"x": "2"}), &[r#"config.Labels.x "1" "2""#]);
    check("config.User", json!("1"), &[r#"config.User null "1""#]);
    check("config.User", json!(""), &[]);
    check("variant", json!("v3"), &[r#"variant null "v3""#]);
    check("created", json!("2020-01-01T00:00:00Z"), &[r#"created null "2020-01-01T00:00:00Z""#]);
    sandbox.imgb("diff --ignore created a b").run().ok();
    let unknown = sandbox.imgb("diff --ignore create a b").run();
    unknown.error(2, &["no field `create`, did you mean `created`?", "packages, reasons, type"]);
    sandbox.imgb("diff --ignore config.Labels.other a b").run().exits(1);
}

#[test]
fn each_single_change_of_a_file_is_named() {
    let sandbox = Sandbox::new();
    parts().write(&sandbox, "a");
    let check = |parts: Parts, wanted: &[&str], paths: Value| {
        parts.write(&sandbox, "b");
        let found = diff(&sandbox, "");
        assert_eq!(lines(&found), wanted);
        let layers = found["layers"].as_array().unwrap();
        assert_eq!((layers.len(), &layers[0]["paths"]), (1, &paths), "{found}");
        found
    };
    let digest = |text: &str| Digest::of(text).to_string();
    let found = check(
        replaced(b"program", b"progrum"),
        &[&format!(
            "changed /app {:?}",
            [format!("content {:?} {:?}", digest("program"), digest("progrum"))]
        )],
        json!(["/app"]),
    );
    assert_eq!(found["files"][0]["first_byte"], 5);
    let text = sandbox.imgb("diff a b").run().exits(1).text();
    assert!(text.contains("~ /app  content from byte 5 on"), "{text}");
    let changed = |at: fn(&mut [u8; 512])| {
        let mut parts = parts();
        let tar = &mut parts.layers[1];
        let header: &mut [u8; 512] = (&mut tar[..512]).try_into().unwrap();
        at(header);
        crate::raw_tar::sign(header);
        parts
    };
    for (parts, field) in [
        (changed(|header| put(header, MODE, b"0004755\0")), r#"mode "0755" "4755""#),
        (changed(|header| put(header, UID, b"0000007\0")), "uid 0 7"),
        (changed(|header| put(header, GID, b"0000007\0")), "gid 0 7"),
        (
            changed(|header| put(header, MTIME, b"00000000001\0")),
            r#"mtime "1970-01-01T00:00:00Z" "1970-01-01T00:00:01Z""#,
        ),
    ] {
        let found = check(parts, &[&format!("changed /app {:?}", [field])], json!(["/app"]));
        assert_eq!(found["bytes"], json!([]));
        // A strict comparison names the same file, and the same field of its header alone.
        let strict = diff(&sandbox, "--strict");
        assert_eq!(strict["files"], found["files"]);
        let tar = strict["bytes"].as_array().unwrap().iter().filter(|one| one["part"] == "tar");
        let tar: Vec<_> = tar.collect();
        assert_eq!((tar.len(), &tar[0]["member"]), (1, &json!("app")), "{strict}");
        let names = tar[0]["fields"].as_array().unwrap().iter().map(|field| &field["field"]);
        assert_eq!(names.collect::<Vec<_>>(), [field.split(' ').next().unwrap()], "{strict}");
    }
    sandbox.imgb("diff --ignore mtime a b").run().ok();
    let capable = replaced(&capability(10), &capability(13));
    let wanted = |path: &str| {
        let hex = |number| -> String {
            capability(number).iter().map(|byte| format!("{byte:02x}")).collect()
        };
        let field = format!(
            "capability \"cap_net_bind_service ({})\" \"cap_net_raw ({})\"",
            hex(10),
            hex(13)
        );
        format!("changed {path} {:?}", [field])
    };
    let both = [wanted("/able"), wanted("/able-too")];
    check(capable, &[&both[0], &both[1]], json!(["/able", "/able-too"]));
    let status = replaced(b"Version: 1\n", b"Version: 2\n");
    status.write(&sandbox, "b");
    assert_eq!(lines(&diff(&sandbox, "")).last().unwrap(), r#"one ["1"] ["2"]"#);
}

#[test]
fn links_kinds_and_layers_are_told_apart() {
    let sandbox = Sandbox::new();
    let one = |tar: RawTar| Parts { layers: vec![tar.end()], ..parts() };
    let check = |a: Parts, b: Parts, wanted: &[&str], changes: &[&str]| {
        a.write(&sandbox, "a");
        b.write(&sandbox, "b");
        let found = diff(&sandbox, "");
        assert_eq!(lines(&found), wanted);
        let found = found["layers"].as_array().unwrap().iter().map(|one| one["change"].clone());
        assert_eq!(found.collect::<Vec<_>>(), changes);
    };
    let tar = RawTar::new;
    check(
        one(tar().symlink("l", "a")),
        one(tar().symlink("l", "b")),
        &[r#"changed /l ["target \"a\" \"b\""]"#],
        &["changed"],
    );
    check(
        one(tar().file("f", "x").hard_link("g", "f")),
        one(tar().file("f", "x").file("g", "x")),
        &[r#"changed /g ["hard link \"/f\" null"]"#],
        &["changed"],
    );
    check(
        one(tar().file("f", "")),
        one(tar().dir("f")),
        &[r#"changed /f ["type \"file\" \"directory\""]"#],
        &["changed"],
    );
    let files = |names: &[&str]| Parts {
        layers: names.iter().map(|name| tar().file(name, "x").end()).collect(),
        ..parts()
    };
    check(files(&["f", "g"]), files(&["g", "f"]), &[], &["moved"]);
    check(files(&["f"]), files(&["e", "f"]), &["added /e []"], &["added"]);
    check(files(&["f", "e"]), files(&["f"]), &["removed /e []"], &["removed"]);
    // What a later layer hides differs in its own layer only.
    let hidden = |content: &str| Parts {
        layers: vec![tar().file("f", content).end(), tar().file("f", "x").end()],
        ..parts()
    };
    check(hidden("1"), hidden("2"), &[], &["changed"]);
    let deleted = |name: &str| Parts {
        layers: vec![tar().file("f", "").file("g", "").end(), tar().file(name, "").end()],
        ..parts()
    };
    check(deleted(".wh.f"), deleted(".wh.g"), &["added /f []", "removed /g []"], &["changed"]);
}

#[test]
fn a_strict_comparison_names_the_header_and_its_field() {
    let sandbox = Sandbox::new();
    let check = |a: RawTar, b: RawTar, wanted: Value| {
        Parts { layers: vec![a.end()], ..parts() }.write(&sandbox, "a");
        Parts { layers: vec![b.end()], ..parts() }.write(&sandbox, "b");
        assert_eq!(lines(&diff(&sandbox, "")), [""; 0]);
        let found = diff(&sandbox, "--strict");
        let bytes: Vec<_> = found["bytes"].as_array().unwrap().iter().collect();
        let parts: Vec<_> = bytes.iter().map(|one| &one["part"]).collect();
        assert_eq!(parts, ["manifest", "config", "tar"]);
        assert_eq!((&bytes[2]["member"], &bytes[2]["fields"]), (&wanted[0], &wanted[1]), "{found}");
    };
    let tar = RawTar::new;
    let field = |name: &str, a: Value, b: Value| json!([{"field": name, "a": a, "b": b}]);
    let owner = |name: &'static [u8]| {
        tar().raw(b'0', b"f", b"x", move |header| put(header, 265..297, name))
    };
    check(
        owner(b"root"),
        owner(b"me"),
        json!(["f", field("user name", json!("root"), json!("me"))]),
    );
    check(
        tar().file("f", "x").file("g", "x"),
        tar().file("g", "x").file("f", "x"),
        json!([null, field("order", json!("f"), json!("g"))]),
    );
    check(
        tar().file("f", "x"),
        tar().pax(&[("comment", b"c")]).file("f", "x"),
        json!(["f", [
            {"field": "extension headers", "a": "", "b": "x"},
            {"field": "record comment", "a": null, "b": "c"},
        ]]),
    );
    check(
        tar().file("f", "x"),
        tar().file("f", "x").block(&[0; 4096]),
        json!([null, field("zeros at the end", json!(1024), json!(5120))]),
    );
    check(
        tar().raw(b'0', b"f", b"x", |header| put(header, MODE, b"0000644\0")),
        tar().raw(b'0', b"f", b"x", |header| put(header, MODE, b"0000644 ")),
        json!(["f", field("mode", json!("0000644\\x00"), json!("0000644 "))]),
    );
}

#[test]
fn a_strict_comparison_tells_how_layers_are_compressed() {
    let sandbox = Sandbox::new();
    sandbox.program("app", static_elf(X86_64)).file("noise", noise(10_000));
    for (level, name) in [("gzip:1", "a"), ("gzip:9", "b")] {
        let args = format!("pack app noise -q --compress {level} -o oci:{name}");
        sandbox.imgb(&args).run().ok();
    }
    assert_eq!(diff(&sandbox, "")["same"], true);
    let found = diff(&sandbox, "--strict");
    let blob = found["bytes"].as_array().unwrap().iter().find(|one| one["part"] == "blob");
    let fields = blob.unwrap()["fields"].as_array().unwrap();
    assert!(fields.iter().any(|field| field["field"] == "first byte that differs"), "{found}");
}

#[test]
fn many_differences_of_one_kind_are_one_line() {
    let sandbox = Sandbox::new();
    for (name, time) in [("a", b"00000000001\0"), ("b", b"00000000002\0")] {
        let mut tar = RawTar::new();
        for number in 0..50 {
            let file = format!("f{number:02}");
            tar = tar.raw(b'0', file.as_bytes(), b"x", |header| put(header, MTIME, time));
        }
        Parts { layers: vec![tar.end()], ..parts() }.write(&sandbox, name);
    }
    let text = sandbox.imgb("diff a b").run().exits(1).text();
    assert!(text.contains("… and 41 more: mtime differs (--verbose lists all)"), "{text}");
    let text = sandbox.imgb("diff --verbose a b").run().exits(1).text();
    assert!(text.contains("/f49  mtime: 1970-01-01T00:00:01Z → 1970-01-01T00:00:02Z"), "{text}");
    sandbox.imgb("diff a gone").run().error(3, &["gone"]);
}

/// Reasons that are found again follow from the images: they differ only where these do.
#[test]
fn files_that_are_there_for_other_reasons_are_named() {
    let sandbox = Sandbox::new();
    let image = |entrypoint: &str| {
        let program = static_elf(X86_64);
        let executable = |header: &mut [u8; 512]| put(header, MODE, b"0000755\0");
        let tar = RawTar::new()
            .raw(b'0', b"app", &program, executable)
            .raw(b'0', b"tool", &program, executable);
        let mut parts = Parts { layers: vec![tar.end()], ..parts() };
        parts.config["config"]["Entrypoint"] = json!([entrypoint]);
        parts
    };
    image("/app").write(&sandbox, "a");
    image("/tool").write(&sandbox, "b");
    let reasons = |name: &str| {
        json!([
            format!("{name} (the image's command)"),
            "included: arguments of the image's command",
        ])
    };
    let wanted = json!({"recorded": false, "unresolved": null, "files": [
        {"path": "/app", "a": reasons("/app"), "b": []},
        {"path": "/tool", "a": [], "b": reasons("/tool")},
    ]});
    assert_eq!(diff(&sandbox, "")["reasons"], wanted);
    let text = sandbox.imgb("diff a b").run().exits(1).text();
    assert!(
        text.contains("\nreasons\n  ~ /app  - /app (the image's command) (and 1 more)\n"),
        "{text}"
    );
    assert_eq!(diff(&sandbox, "--ignore reasons")["reasons"]["files"], json!([]));
    assert_eq!(diff(&sandbox, "--ignore config.Entrypoint")["same"], true);
    image("/gone").write(&sandbox, "b");
    let unresolved = &diff(&sandbox, "")["reasons"]["unresolved"];
    assert_eq!(*unresolved, "the image starts no program that it has");
    let outcome = sandbox.imgb("diff a b").run().exits(1);
    let wanted = "note: why files are there was not compared: the image starts no program";
    assert!(outcome.stderr().contains(wanted), "{}", outcome.stderr());
    let outcome = sandbox.imgb("diff --ignore reasons a b").run().exits(1);
    assert_eq!(outcome.stderr(), "");
}

/// The reasons of a build have no counterpart in an image that has none.
#[test]
fn reasons_that_one_image_has_are_not_compared_with_others() {
    let sandbox = Sandbox::new();
    sandbox.program("app", static_elf(X86_64));
    sandbox.imgb("pack ./app -q --attach reasons -o a.tar").run().ok();
    sandbox.imgb("pack ./app -q -o b.tar").run().ok();
    sandbox.imgb("pack ./app -q --env A=1 -o c.tar").run().ok();
    // There is nothing to compare.
    assert_eq!(sandbox.imgb("diff a.tar b.tar").run().ok().stderr(), "");
    let outcome = sandbox.imgb("diff a.tar c.tar").run().exits(1);
    let wanted = "note: only a.tar has attached reasons that can be used; those of both are found \
                  again in the images\n";
    assert_eq!(outcome.stderr(), wanted);
    for more in ["--ignore reasons", "--resolve"] {
        let outcome = sandbox.imgb(&format!("diff {more} a.tar c.tar")).run().exits(1);
        assert_eq!(outcome.stderr(), "", "{more}");
    }
}

/// Reasons that two builds recorded are compared as they are.
#[test]
fn builds_of_one_image_may_have_other_reasons() {
    let sandbox = Sandbox::new();
    sandbox.program("app", static_elf(X86_64)).file("conf/a", "1");
    for (inputs, name) in
        [("conf:/etc/conf", "a"), ("conf/a:/etc/conf/a", "b"), ("conf:/etc/conf", "c")]
    {
        let pack = format!("pack ./app {inputs} -q --attach reasons -o {name}.tar");
        sandbox.imgb(&pack).run().ok();
    }
    // The history names the inputs.
    let text = sandbox.imgb("diff --ignore history a.tar b.tar").run().exits(1).text();
    let wanted = "~ /etc/conf/a  - listed: conf:/etc/conf  + listed: conf/a:/etc/conf/a\n";
    assert!(text.ends_with(&format!("\n\nreasons\n  {wanted}")), "{text}");
    for same in [
        "--ignore history --ignore reasons a.tar b.tar",
        "--ignore history --resolve a.tar b.tar",
        "a.tar c.tar",
    ] {
        assert!(!sandbox.imgb(&format!("diff {same}")).run().ok().text().contains("reasons"));
    }
}
