//! The causes of each path in `imgb plan --json`: all of them, each with its kind.

use serde_json::{Value, json};

use crate::{engines::have, fixtures::sysroot, sandbox::Sandbox};

/// A sysroot with `true` and time zones, and the base `b.tar`. `None` if the test is to be skipped.
fn sysroot_and_base() -> Option<Sandbox> {
    if !have(&["true"]) {
        return None;
    }
    let sandbox = Sandbox::new();
    sysroot(&sandbox, "true --soft none");
    sandbox.file("sys/usr/share/zoneinfo/UTC", "TZif");
    sandbox.file("below/opt/old", "1").file("ctx/f", "2").file("ctx/g", "3");
    sandbox.imgb("pack below/:/ --no-deps -q -o b.tar").run().ok();
    Some(sandbox)
}

/// The causes of paths in the layers of a plan.
struct Causes(Vec<(String, Value)>);

impl Causes {
    fn of(sandbox: &Sandbox, plan: &str) -> Self {
        let text = sandbox.imgb(plan).run().ok().text();
        let plan: Value = serde_json::from_str(&text).unwrap();
        let layers = plan["layers"].as_array().unwrap().iter();
        let files = layers.flat_map(|layer| layer["files"].as_array().unwrap());
        let one = |file: &Value| (file["path"].as_str().unwrap().into(), file["causes"].clone());
        Self(files.map(one).collect())
    }

    #[track_caller]
    fn are(&self, path: &str, wanted: &Value) {
        let found = self.0.iter().find(|(at, _)| at == path);
        assert_eq!(found.map(|(_, causes)| causes), Some(wanted), "{path}");
    }

    /// The C library is there since `true` needs it.
    #[track_caller]
    fn name_what_needs_the_c_library(&self) {
        let needed = |cause: &&Value| cause["kind"] == "needed" && cause["name"] == "libc.so.6";
        let all = self.0.iter().flat_map(|(_, causes)| causes.as_array().unwrap());
        let by: Vec<_> = all.filter(needed).map(|cause| &cause["by"]).collect();
        assert_eq!(by, ["/usr/bin/true"]);
    }
}

#[test]
fn a_plan_on_a_base_has_typed_causes() {
    let Some(sandbox) = sysroot_and_base() else { return };
    let args = "--base b.tar --sysroot sys true ctx/f:/opt/f --with time-zones --json";
    let causes = Causes::of(&sandbox, &format!("plan {args}"));
    causes.are("/usr/bin/true", &json!([{"kind": "listed", "input": "true"}]));
    causes.are("/opt/f", &json!([{"kind": "listed", "input": "ctx/f:/opt/f"}]));
    causes.are("/opt", &json!([{"kind": "base"}]));
    let rule = json!([{"kind": "rule", "rule": "time-zones", "evidence": "--with", "by": null}]);
    causes.are("/usr/share/zoneinfo/UTC", &rule);
    causes.name_what_needs_the_c_library();
}

#[test]
fn a_plan_of_a_buildfile_has_typed_causes() {
    let Some(sandbox) = sysroot_and_base() else { return };
    let recipe = "FROM ../b.tar\nCOPY f /opt/x\nCOPY g /opt/x\nPACK true\n";
    sandbox.file("ctx/Buildfile", recipe);
    let causes = Causes::of(&sandbox, "plan --file ctx/Buildfile ctx --json");
    // The file of the first COPY is replaced.
    let copy = json!([{"kind": "instruction", "text": "COPY g /opt/x", "line": 3}]);
    causes.are("/opt/x", &copy);
    causes.are("/opt", &json!([{"kind": "base"}]));
    causes.are("/usr/bin/true", &json!([{"kind": "listed", "input": "true"}]));
    causes.name_what_needs_the_c_library();
}
