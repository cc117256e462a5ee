//! README.md, CONTRIBUTING.md and Cargo.toml agree with the command and with each other.

use std::{path::Path, process::Command};

use serde_json::Value;

use crate::sandbox::Sandbox;

fn text(name: &str) -> String {
    fs_err::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

#[test]
fn readme_lists_the_exit_codes_of_the_help() {
    let help = Sandbox::new().imgb("--help").run().ok().text();
    let (_, codes) = help.split_once("Exit codes:\n").unwrap();
    let codes = codes.split("\n\n").next().unwrap();
    let readme = text("README.md");
    for line in codes.lines() {
        let (code, meaning) = line.trim().split_once("  ").unwrap();
        let row = format!("| {code} | {} |", meaning.trim());
        assert!(readme.contains(&row), "README.md lacks {row}");
    }
    assert_eq!(codes.lines().count(), 10, "{codes}");
}

/// A version as numbers: 1.88 is as new as 1.88.0.
fn version(text: &str) -> [u32; 3] {
    let mut parts = text.split('.').map(|part| part.parse().unwrap());
    std::array::from_fn(|_| parts.next().unwrap_or(0))
}

/// What can be tested without the oldest compiler itself; `.ci/run` builds with it where it is
/// installed, and clippy's `incompatible_msrv` looks at the standard library.
#[test]
fn no_dependency_needs_a_newer_compiler_than_cargo_toml_says() {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--format-version=1", "--locked", "--offline"]);
    cargo.args(["--filter-platform", "x86_64-unknown-linux-gnu"]);
    let output = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let ours = env!("CARGO_PKG_RUST_VERSION");
    let packages = metadata["packages"].as_array().unwrap();
    let wanted =
        packages.iter().filter_map(|package| Some((package, package["rust_version"].as_str()?)));
    let newer: Vec<String> = wanted
        .filter(|(_, wanted)| version(wanted) > version(ours))
        .map(|(package, wanted)| format!("{} needs Rust {wanted}", package["name"]))
        .collect();
    assert!(newer.is_empty(), "Cargo.toml says {ours}: {}", newer.join(", "));
    assert!(packages.len() > 50, "{}", packages.len());
    for name in ["README.md", "CONTRIBUTING.md"] {
        assert!(text(name).contains(&format!("Rust {ours} or newer")), "{name}");
    }
}
