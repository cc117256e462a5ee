//! The command line: malformed values, what `plan` takes, and the form of JSON.

use serde_json::Value;

use crate::{fixtures, sandbox::Sandbox};

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.program("app", fixtures::static_elf(fixtures::X86_64));
    sandbox
}

#[test]
fn malformed_values_are_usage_errors() {
    let sandbox = sandbox();
    for (option, wanted) in [
        ("--chown root", "--chown `root`: write UID or UID:GID, as numbers"),
        ("--env A", "--env `A`: write NAME=VALUE"),
        ("--cap /app", "--cap `/app`: write FILE=CAPS"),
        ("--exclude [", "--exclude `[`: "),
        ("--include ../x", "--include `../x`: "),
        ("--platform vax", "`vax` is not a platform"),
        ("--tag UPPER", "`UPPER` is not an image name"),
        ("--stop-signal RTMIN+99", "--stop-signal `RTMIN+99`: not a signal"),
        ("--expose 0", "--expose `0`: a port is a number from 1 to 65535"),
        ("--cache-limit 4mb", "--cache-limit `4mb`: "),
        ("--entrypoint [1]", "--entrypoint `[1]`: expected a JSON array of strings"),
    ] {
        let run = sandbox.imgb("pack ./app -o x.tar").args(option).run();
        run.error(2, &[&format!("error: {wanted}")]);
    }
    assert_eq!(sandbox.names(""), ["app"]);
}

#[test]
fn plan_takes_a_base() {
    let sandbox = sandbox();
    sandbox.file("etc/app.conf", "x").imgb("pack ./app ./etc -o base.tar").run().ok();
    sandbox.file("more", "y");
    let plan = sandbox.imgb("plan --all ./more --base base.tar").run().ok().text();
    assert!(plan.contains("/more"), "{plan}");
    assert!(!plan.contains("/etc/app.conf"), "what the base has is not added again\n{plan}");
}

#[test]
fn plan_takes_a_buildfile() {
    let sandbox = sandbox();
    sandbox.file("Buildfile", "FROM scratch\nARG to=/a\nCOPY app $to\nFROM scratch AS other\n");
    let plan = |options| sandbox.imgb("plan --all --file Buildfile").args(options).run();
    assert!(plan(". --target 0").ok().text().contains("/a"));
    assert!(plan("--target 0 --build-arg to=/b").ok().text().contains("/b"));
    plan(". app").error(2, &["the build context"]);
    plan(". --exclude x").exits(2);
    sandbox.imgb("plan --all . --target 0").run().exits(2);
}

#[test]
fn verbose_lists_the_paths_on_stderr() {
    let sandbox = sandbox();
    let quiet = sandbox.imgb("pack ./app -q -o a.tar").run().ok();
    assert_eq!(quiet.stderr(), "");
    let verbose = sandbox.imgb("pack ./app -v -o b.tar").run().ok();
    assert!(verbose.stderr().contains(" /app"), "{}", verbose.show());
    assert_eq!(verbose.digest(), quiet.digest());
}

#[test]
fn plan_and_inspect_describe_a_node_alike() {
    let sandbox = sandbox();
    sandbox.file("d/f", "12345").symlink("d/link", "f");
    sandbox.imgb("pack ./d -o d.tar").run().ok();
    let json = |line: &str| -> Value {
        serde_json::from_str(&sandbox.imgb(line).run().ok().text()).unwrap()
    };
    let plan = json("plan ./d --json");
    let inspected = json("inspect d.tar --json");
    let find = |files: &Value, path: &str| {
        let files = files.as_array().unwrap();
        files.iter().find(|file| file["path"] == path).unwrap().clone()
    };
    let layers = plan["layers"].as_array().unwrap();
    let planned = &layers.last().unwrap()["files"];
    for path in ["/d", "/d/f", "/d/link"] {
        let (planned, inspected) = (find(planned, path), find(&inspected["files"], path));
        for field in ["type", "mode", "uid", "gid", "size", "target"] {
            assert_eq!(planned[field], inspected[field], "{field} of {path}");
        }
    }
    assert_eq!(find(planned, "/d/f")["size"], 5);
    assert_eq!(find(planned, "/d/link")["type"], "symlink");
}
