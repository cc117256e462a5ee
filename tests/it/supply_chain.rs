//! What SECURITY.md and CONTRIBUTING.md say of tests and dependencies.

use std::{collections::BTreeSet, path::Path, process::Command};

fn text(name: &str) -> String {
    fs_err::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// The crates that `cargo tree` lists for a Linux release.
fn tree(edges: &str) -> BTreeSet<String> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["tree", "--locked", "--offline", "--prefix=none", "--format={p}"]);
    cargo.args(["--target=x86_64-unknown-linux-gnu", "--edges", edges]);
    let output = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    let crates = lines.lines().filter_map(|line| line.split(" (").next().map(str::to_owned));
    crates.filter(|name| !name.is_empty() && !name.starts_with("imgb ")).collect()
}

#[test]
fn the_number_of_crates_is_what_contributing_says() {
    let all = text("Cargo.lock").lines().filter(|line| *line == "[[package]]").count() - 1;
    let binary = tree("normal,no-proc-macro").len();
    let build = tree("normal,build").len() - binary;
    assert!(binary + build <= 135, "{} crates to build imgb", binary + build);
    let stated = format!(
        "Cargo.lock has {all} crates: {binary} are in the binary, {build} only build it, the rest"
    );
    let contributing = text("CONTRIBUTING.md").split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(contributing.contains(&stated), "CONTRIBUTING.md should say: {stated}");
}

/// So that no promise outlives its test.
#[test]
fn every_test_that_security_md_names_exists() {
    let security = text("SECURITY.md");
    let rows = security.lines().filter(|line| line.starts_with('|') && line.contains("::"));
    let mut promises = 0;
    for row in rows {
        promises += 1;
        let names = row.split('`').skip(1).step_by(2).filter_map(|name| name.split_once("::"));
        for (file, test) in names {
            let source = text(&format!("tests/it/{file}.rs"));
            let is_test = source.contains(&format!("#[test]\nfn {test}() {{"));
            assert!(is_test, "tests/it/{file}.rs has no test {test}");
        }
    }
    let tables = security.lines().filter(|line| line.starts_with('|')).count();
    // Without the two rows that begin the table.
    assert_eq!(promises, tables - 2, "a promise has no test");
}

/// In imgb's own code; `forbid` cannot be allowed away by a module.
#[test]
fn unsafe_code_is_forbidden_and_overflow_is_checked() {
    let manifest = text("Cargo.toml");
    assert!(manifest.contains("unsafe_code = \"forbid\""));
    let release = manifest.split("[profile.release]").nth(1).unwrap();
    assert!(release.contains("overflow-checks = true"));
    let denies = text("deny.toml");
    for section in ["[advisories]", "[licenses]", "[bans]", "[sources]"] {
        assert!(denies.contains(section), "{section}");
    }
}
