//! Crates in a program that cargo-auditable built: JSON, compressed with zlib
//! (<https://github.com/rust-secure-code/cargo-auditable>, PARSING.md).

use std::io::Read as _;

use serde::Deserialize;

use super::{Component, Ecosystem, bounded};

/// Bytes of the JSON. Those of large programs have 100 kB.
const MAX_JSON: u64 = 16 << 20;

#[derive(Deserialize)]
struct Audit {
    #[serde(deserialize_with = "bounded::list")]
    packages: Vec<Crate>,
}

#[derive(Deserialize)]
struct Crate {
    name: String,
    version: String,
    #[serde(default)]
    source: String,
    #[serde(default)]
    kind: Option<String>,
}

/// The crates that are compiled in; those that only built it are left out.
pub fn parse(section: &[u8]) -> Vec<Component> {
    let mut json = Vec::new();
    let mut decoder = flate2::read::ZlibDecoder::new(section).take(MAX_JSON);
    if decoder.read_to_end(&mut json).is_err() {
        return Vec::new();
    }
    let Ok(audit) = serde_json::from_slice::<Audit>(&json) else { return Vec::new() };
    let there = audit.packages.into_iter().filter(|one| one.kind.as_deref() != Some("build"));
    let component = |one: Crate| {
        let mut component = Component::new(Ecosystem::Cargo, one.name, one.version)?;
        // Only a crate of the registry is known by its name.
        if !matches!(&*one.source, "crates.io" | "registry" | "local" | "") {
            component.qualifiers.insert("source", one.source);
        }
        Some(component)
    };
    there.filter_map(component).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn section(json: &str) -> Vec<u8> {
        let mut out = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        out.write_all(json.as_bytes()).unwrap();
        out.finish().unwrap()
    }

    #[test]
    fn crates_that_are_compiled_in() {
        let json = r#"{"packages":[
            {"name":"app","version":"0.1.0","source":"local","root":true,"dependencies":[1,2]},
            {"name":"cc","version":"1.0.0","source":"crates.io","kind":"build"},
            {"name":"fork","version":"2.0.0+x","source":"git"}]}"#;
        let purls: Vec<_> = parse(&section(json)).iter().map(Component::purl).collect();
        let fork = "pkg:cargo/fork@2.0.0%2Bx?source=git";
        assert_eq!(purls, ["pkg:cargo/app@0.1.0", fork]);
    }

    #[test]
    fn nonsense_is_no_list() {
        let whole = section("{\"packages\":[]}");
        for bytes in
            [b"", &b"not zlib"[..], &whole[..whole.len() - 3], &section("[]"), &section("x")]
        {
            assert!(parse(bytes).is_empty());
        }
    }
}
