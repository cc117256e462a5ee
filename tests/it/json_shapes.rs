//! docs/json.md, compared with what each command prints.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use serde_json::Value;

use crate::{
    engines::{docker, have},
    fixtures::{self, program_without_its_library},
    registry_server,
    sandbox::{Run, Sandbox},
};

/// The fields of each section of docs/json.md, with their types.
type Shapes = BTreeMap<String, BTreeMap<String, String>>;

/// The tables of docs/json.md by the titles of their sections; the table before the first section
/// is called `error`.
fn documented() -> Shapes {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/json.md");
    let text = fs_err::read_to_string(path).unwrap();
    let mut shapes = Shapes::new();
    let mut section = "error".to_owned();
    for line in text.lines() {
        if let Some(title) = line.trim_start_matches('#').strip_prefix(' ')
            && line.starts_with("##")
        {
            section = title.replace('`', "");
        }
        let cells: Vec<&str> =
            line.split(" | ").map(|cell| cell.trim_matches(['|', ' '])).collect();
        let name = cells[0].strip_prefix('`').and_then(|name| name.strip_suffix('`'));
        if let (Some(name), true) = (name, line.starts_with('|')) {
            let shape = shapes.entry(section.clone()).or_default();
            assert!(shape.insert(name.to_owned(), cells[1].to_owned()).is_none(), "{name} twice");
        }
    }
    shapes
}

/// The table of `title` with its shared objects in place.
fn expanded(shapes: &Shapes, title: &str) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let table = shapes.get(title).unwrap_or_else(|| panic!("docs/json.md has no {title}"));
    for (field, kind) in table {
        match shapes.get(kind) {
            Some(_) => {
                let inner = expanded(shapes, kind);
                all.extend(inner.into_iter().map(|(name, kind)| (format!("{field}.{name}"), kind)));
            }
            None => drop(all.insert(field.clone(), kind.clone())),
        }
    }
    all
}

/// Compares one value with the table; adds the fields that it has to `seen`.
fn compare(at: &str, value: &Value, table: &BTreeMap<String, String>, seen: &mut BTreeSet<String>) {
    if let Some(kind) = table.get(at) {
        let fits = kind.split(" or ").any(|kind| match kind {
            "string" => value.is_string(),
            "number" => value.is_number(),
            "boolean" => value.is_boolean(),
            "object" => value.is_object(),
            "null" => value.is_null(),
            "value" => true,
            "strings" => is_list(value, Value::is_string),
            "numbers" => is_list(value, Value::is_number),
            _ => panic!("docs/json.md: unknown type {kind}"),
        });
        assert!(fits, "`{at}` is {value}, which is not {kind}");
        seen.insert(at.to_owned());
        return;
    }
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let dot = if at.is_empty() { "" } else { "." };
                compare(&format!("{at}{dot}{name}"), value, table, seen);
            }
        }
        Value::Array(items) => {
            let inner = format!("{at}[]");
            let is_known = table.keys().any(|field| field.starts_with(&inner));
            assert!(is_known, "docs/json.md does not have `{inner}`");
            items.iter().for_each(|item| compare(&inner, item, table, seen));
        }
        _ => panic!("docs/json.md does not have `{at}`, which is {value}"),
    }
}

fn is_list(value: &Value, is_item: impl Fn(&Value) -> bool) -> bool {
    value.as_array().is_some_and(|items| items.iter().all(is_item))
}

/// Compares what `runs` print with the section `title`: each field is documented, and each
/// documented field occurs, except for `absent`, which these runs do not lead to.
#[track_caller]
fn check(shapes: &Shapes, title: &str, runs: impl IntoIterator<Item = Run>, absent: &[&str]) {
    let mut table = expanded(shapes, title);
    table.insert("schema_version".into(), "number".into());
    let mut seen = BTreeSet::new();
    for run in runs {
        let outcome = run.run();
        let text = outcome.text();
        assert_eq!(text.lines().count(), 1, "{}", outcome.show());
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["schema_version"], 1, "{text}");
        compare("", &value, &table, &mut seen);
    }
    let missing: Vec<&String> = table
        .keys()
        .filter(|field| !seen.contains(*field) && !absent.contains(&field.as_str()))
        .collect();
    assert!(missing.is_empty(), "{title}: documented, but not printed: {missing:?}");
}

#[test]
fn every_command_prints_what_is_documented() {
    let (sandbox, mut shapes) = (Sandbox::new(), documented());
    let Some(registry) = registry_server::registry() else { return };
    if !program_without_its_library(&sandbox) || !have(&["gcc", "curl"]) {
        return;
    }
    sandbox
        .file("ctx/.env", "S=1")
        .symlink("ctx/link", "gone")
        .file("ctx/Buildfile", "FROM scratch\nCOPY . /c\nENTRYPOINT [\"/c/app\"]\n")
        .program("ctx/app", fixtures::static_elf(fixtures::X86_64))
        .program("script", "#!/bin/nosuch\n");
    sandbox.imgb("pack curl -q -o curl.tar -t imgb/curl:1").run().ok();
    sandbox.imgb("pack ./app ctx --no-check --allow-missing * -q -o bad.tar").run().ok();
    let imgb = |args: &str| sandbox.imgb(args).arg("--json");
    check(
        &shapes,
        "imgb pack, imgb build",
        [
            imgb("pack curl ./ctx --timing -o a.tar --attach reasons"),
            imgb("build ctx -o b.tar"),
            imgb("copy curl.tar cut.tar --layers packages"),
            imgb(&format!("pack ./ctx --no-check -o docker://{}/a:1", registry.host())),
        ],
        &[],
    );
    sandbox.imgb("copy curl.tar referred.tar -q").run().ok();
    let attached = [imgb("attach referred.tar script --type a/b --annotation k=v")];
    check(&shapes, "imgb attach", attached, &[]);
    check(&shapes, "imgb referrers", [imgb("referrers referred.tar")], &[]);
    let copies = [
        "copy curl.tar oci:copy:1 c.tar",
        "copy curl.tar oci:copy:2",
        "copy referred.tar oci:copy:3 --referrers",
    ];
    check(&shapes, "imgb copy, imgb push, imgb pull", copies.map(imgb), &[]);
    if let Some(docker) = docker() {
        let load = imgb("load curl.tar").environment(&docker.environment());
        check(&shapes, "imgb load", [load], &[]);
    }
    images_of_images(&sandbox, &mut shapes);
    let plans = ["plan curl ./ctx", "plan --file ctx/Buildfile ctx", "build ctx --dry-run"];
    check(&shapes, "imgb plan", plans.map(imgb), &[]);
    sandbox.file("one", "1").file("two", "22");
    sandbox.imgb("pack ./one:/f ./two:/g --no-check -q -o one.tar").run().ok();
    sandbox.imgb("pack ./two:/f --base one.tar --no-check -q -o two.tar").run().ok();
    let inspected = ["inspect curl.tar", "inspect two.tar", "inspect --from /f two.tar"].map(imgb);
    check(&shapes, "imgb inspect", inspected, &["notes[]"]);
    let diffs =
        ["diff curl.tar bad.tar --strict", "diff bad.tar curl.tar", "diff curl.tar curl.tar"]
            .map(imgb);
    check(&shapes, "imgb diff", diffs, &[]);
    let why = ["why curl.tar /usr/bin/curl", "why a.tar /usr/bin/curl"].map(imgb);
    check(&shapes, "imgb why", why, &[]);
    check(&shapes, "imgb why --unreached", [imgb("why --unreached --from /f two.tar")], &[]);
    reports(&sandbox, &shapes);
}

/// What `pack` and `slim` print for several platforms and for an image that is cut down.
fn images_of_images(sandbox: &Sandbox, shapes: &mut Shapes) {
    let imgb = |args: &str| sandbox.imgb(args).arg("--json");
    let several = "--platform linux/amd64 --platform linux/arm64 --timing -o two.tar -o docker.tar \
        --attach reasons";
    let several = imgb(&format!("pack ./ctx {several} --no-check"));
    let notes = ["severity", "text", "about", "hint"].map(|field| format!("notes[].{field}"));
    let transfers =
        ["to", "id", "existed", "sent", "blobs[].digest", "blobs[].size", "blobs[].how"];
    let transfers = transfers.iter().chain(&["blobs[].sent"]);
    let transfers = transfers.map(|field| format!("transfers[].{field}"));
    let absent: Vec<String> = notes.into_iter().chain(transfers).collect();
    let absent: Vec<&str> = absent.iter().map(String::as_str).collect();
    // What `slim` prints is said as an addition to what `pack` does.
    let of_pack = shapes["imgb pack, imgb build"].clone();
    shapes.get_mut("imgb slim").unwrap().extend(of_pack);
    let slim = [imgb("slim curl.tar --timing -o slim.tar --attach reasons")];
    let of_slim = absent.iter().copied().chain(["slim.removed_packages[]"]);
    check(shapes, "imgb slim", slim, &of_slim.collect::<Vec<_>>());
    check(shapes, "Several platforms", [several], &absent);
    check(shapes, "imgb index create", [imgb("index create two.tar -o oci:index")], &[]);
}

/// What the commands print that look at images and programs.
fn reports(sandbox: &Sandbox, shapes: &Shapes) {
    let imgb = |args: &str| sandbox.imgb(args).arg("--json");
    let args = "pack ./static ./app --entrypoint /static --allow-missing * -q -o odd.tar";
    sandbox.program("static", fixtures::static_elf(fixtures::X86_64)).imgb(args).run().ok();
    let checks = ["check curl.tar", "check bad.tar", "check odd.tar"].map(imgb);
    check(shapes, "imgb check", checks, &["notes[]"]);
    let deps = ["deps curl", "deps ./app", "deps ./script"].map(imgb);
    let absent = [
        "programs[].extra[]",
        "programs[].faults[]",
        "needs_cache[].name",
        "needs_cache[].path",
        "suggested[].by",
        "suggested[].names[]",
        "suggested[].feature",
        "suggested[].description",
        "warnings[]",
    ];
    check(shapes, "imgb deps", deps, &absent);
    let trace = sandbox.imgb("trace --json -- ls /etc");
    let log = sandbox.file("log", "1 open(\"/etc/hosts\", O_RDONLY) = 3</etc/hosts>\n");
    let log = log.imgb("trace --json --from-strace log");
    sandbox.file("sys/etc/shadow", "");
    let image = sandbox.imgb("trace --json --sysroot sys curl.tar -- file:///etc/shadow");
    check(shapes, "imgb trace", [trace, log, image], &[]);
    let cache = ["cache info --cache c", "cache prune --cache c"].map(imgb);
    check(shapes, "imgb cache info, imgb cache prune", cache, &[]);
    check(shapes, "imgb rules", [imgb("rules")], &[]);
}

#[test]
fn every_command_prints_its_error_as_json_too() {
    let (sandbox, shapes) = (Sandbox::new(), documented());
    sandbox.file("text.tar", "text").file("ctx/Buildfile", "FROM scratch\nRUN x\n");
    for (line, code) in [
        ("check text.tar", 4),
        ("check gone.tar", 3),
        ("inspect gone.tar", 3),
        ("diff gone.tar gone.tar", 3),
        ("pack ./gone -o x.tar", 3),
        ("build ctx -o x.tar", 2),
        ("plan ./gone", 3),
        ("deps ./gone", 3),
        ("trace gone.tar", 125),
        ("copy gone.tar x.tar", 3),
        ("push gone.tar localhost/x", 3),
        ("load gone.tar --engine podman", 3),
        ("attach gone.tar ctx/Buildfile --type a/b", 3),
        ("referrers gone.tar", 3),
        ("pull 127.0.0.1:1/x -o x.tar --retry-for 1s", 6),
        ("rules --rules gone.toml", 3),
    ] {
        let run = || sandbox.imgb(line).arg("--json");
        let outcome = run().run().exits(code);
        assert!(outcome.stderr().starts_with("error: "), "{}", outcome.show());
        let value: Value = serde_json::from_str(&outcome.text()).unwrap();
        assert_eq!(value["error"]["code"], code);
        let absent = ["error.details[]"];
        check(&shapes, "error", [run()], &absent);
    }
    // The image itself goes to stdout.
    let outcome = sandbox.imgb("pack ./gone -o - --json").run().exits(3);
    assert_eq!(outcome.text(), "");
}
