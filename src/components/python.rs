//! Python distributions: `METADATA` and `RECORD` of `*.dist-info`, `PKG-INFO` of `*.egg-info`
//! (Core metadata specifications, Recording installed projects).

use super::{Component, Ecosystem, MAX_COMPONENTS};

/// The distribution that `METADATA` or `PKG-INFO` describes. Of its licences, an expression comes
/// before classifiers, and these before free text.
pub fn parse(metadata: &[u8]) -> Option<Component> {
    let text = String::from_utf8_lossy(metadata);
    let (mut name, mut version) = (None, None);
    let (mut expression, mut classifiers, mut licence) = (None, Vec::new(), None);
    // The description follows an empty line.
    for line in text.lines().take_while(|line| !line.is_empty()) {
        let Some((key, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        match key.to_ascii_lowercase().as_str() {
            "name" => name = name.or(Some(value)),
            "version" => version = version.or(Some(value)),
            "license-expression" => expression = Some(value.to_owned()),
            "license" if !matches!(value, "" | "UNKNOWN") => licence = Some(value.to_owned()),
            "classifier" => {
                if let Some(name) = value.strip_prefix("License :: ") {
                    let name = name.strip_prefix("OSI Approved :: ").unwrap_or(name);
                    classifiers.push(name.to_owned());
                }
            }
            _ => {}
        }
    }
    let mut component = Component::new(Ecosystem::Pypi, name?, version.unwrap_or_default())?;
    match (expression, classifiers) {
        (Some(expression), _) => component.add_licences([expression]),
        (None, classifiers) if !classifiers.is_empty() => component.add_licences(classifiers),
        _ => component.add_licences(licence),
    }
    Some(component)
}

/// The paths that `RECORD` lists, relative to the directory that the `dist-info` is in.
pub fn record(text: &[u8]) -> Vec<Vec<u8>> {
    let path = |line: &[u8]| match line.strip_prefix(b"\"") {
        Some(quoted) => quoted.split(|&byte| byte == b'"').next().map(<[u8]>::to_vec),
        None => line.split(|&byte| byte == b',').next().map(<[u8]>::to_vec),
    };
    let lines = text.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
    let paths = lines.filter_map(path).filter(|path| !path.is_empty());
    paths.take(MAX_COMPONENTS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_names_a_distribution_and_its_licence() {
        let licences = |more: &str| {
            let text =
                format!("Metadata-Version: 2.1\nName: Foo\nVersion: 1.0\n{more}\n\nName: no");
            let one = parse(text.as_bytes()).unwrap();
            assert_eq!((&*one.name, &*one.version), ("Foo", "1.0"));
            one.licences
        };
        let classifier = "Classifier: License :: OSI Approved :: MIT License\nLicense: free text";
        assert_eq!(licences(classifier), ["MIT License"]);
        assert_eq!(
            licences(&format!("{classifier}\nLicense-Expression: MIT OR BSD-3-Clause")),
            ["MIT OR BSD-3-Clause"]
        );
        assert_eq!(licences("License: Apache 2.0"), ["Apache 2.0"]);
        assert!(licences("License: UNKNOWN").is_empty());
        assert_eq!(parse(b"\nName: x\n"), None);
    }

    #[test]
    fn records_list_files() {
        let text = b"a/b.py,sha256=x,10\r\n\"c,d.py\",,\n../../bin/x,,\n\n";
        let wanted = [&b"a/b.py"[..], b"c,d.py", b"../../bin/x"];
        assert_eq!(record(text), wanted);
    }
}
