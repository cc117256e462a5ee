//! Packages of npm: `package.json`.

use serde_json::Value;

use super::{Component, Ecosystem};

/// The package that a `package.json` describes; `None` if it has no name. Parts of a package, and
/// programs that are not published, may have no version.
pub fn parse(text: &[u8]) -> Option<Component> {
    let value: Value = serde_json::from_slice(text).ok()?;
    let field =
        |name: &str| value.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let (name, version) = (field("name")?, field("version").unwrap_or_default());
    let (namespace, name) = match name.split_once('/') {
        Some((scope, name)) if scope.starts_with('@') => (Some(scope.to_owned()), name),
        _ => (None, name),
    };
    let mut component = Component { namespace, ..Component::new(Ecosystem::Npm, name, version)? };
    // Formerly an object, or a list of objects in `licenses`.
    let one = |value: &Value| {
        let text = value.as_str().or_else(|| value.get("type").and_then(Value::as_str));
        text.map(str::to_owned)
    };
    component.add_licences(value.get("license").and_then(one));
    let many = value.get("licenses").and_then(Value::as_array).into_iter().flatten();
    component.add_licences(many.filter_map(one));
    Some(component)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_have_names() {
        let parse = |text: &str| parse(text.as_bytes());
        let one = parse(r#"{"name":"@a/b","version":"1.0.0","license":"MIT"}"#).unwrap();
        assert_eq!(
            (one.purl().as_str(), one.licences),
            ("pkg:npm/%40a/b@1.0.0", vec!["MIT".into()])
        );
        let old = r#"{"name":"b","version":"1","licenses":[{"type":"MIT"},{"type":"BSD"}]}"#;
        assert_eq!(parse(old).unwrap().licences, ["MIT", "BSD"]);
        assert_eq!(parse(r#"{"name":"b","main":"b.js"}"#).unwrap().purl(), "pkg:npm/b");
        for none in [r#"{"name":1,"version":"1"}"#, "[]", "", r#"{"version":"1"}"#] {
            assert_eq!(parse(none), None);
        }
    }
}
