//! Package URLs (<https://github.com/package-url/purl-spec>).

use std::fmt::Write as _;

use super::{Component, Ecosystem};

pub(super) fn purl(component: &Component) -> String {
    let Component { ecosystem, namespace, name, version, qualifiers, .. } = component;
    let mut url = format!("pkg:{}/", ecosystem.name());
    for part in namespace.iter().flat_map(|namespace| namespace.split('/')) {
        if !part.is_empty() {
            encode(&mut url, part);
            url.push('/');
        }
    }
    match ecosystem {
        // PyPI does not tell these apart.
        Ecosystem::Pypi => encode(&mut url, &name.to_lowercase().replace('_', "-")),
        _ => encode(&mut url, name),
    }
    if !version.is_empty() {
        url.push('@');
        encode(&mut url, version);
    }
    for (number, (key, value)) in qualifiers.iter().filter(|(_, v)| !v.is_empty()).enumerate() {
        let _ = write!(url, "{}{key}=", if number == 0 { '?' } else { '&' });
        encode(&mut url, value);
    }
    url
}

/// Appends `text` with all but letters, digits and `-._~:` percent-encoded.
fn encode(url: &mut String, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' => {
                url.push(byte.into());
            }
            _ => {
                let _ = write!(url, "%{byte:02X}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_is_encoded() {
        let check =
            |ecosystem, namespace: Option<&str>, name: &str, version: &str, wanted: &str| {
                let mut component = Component::new(ecosystem, name, version).unwrap();
                component.namespace = namespace.map(str::to_owned);
                assert_eq!(component.purl(), wanted);
            };
        check(
            Ecosystem::Deb,
            Some("debian"),
            "g++",
            "4:12-1+b1",
            "pkg:deb/debian/g%2B%2B@4:12-1%2Bb1",
        );
        check(Ecosystem::Npm, Some("@a"), "b", "1", "pkg:npm/%40a/b@1");
        check(Ecosystem::Golang, Some("github.com/a"), "b", "v1", "pkg:golang/github.com/a/b@v1");
        check(Ecosystem::Pypi, None, "Foo_Bar", "1", "pkg:pypi/foo-bar@1");
        check(Ecosystem::Cargo, None, "a", "", "pkg:cargo/a");
        let mut one = Component::new(Ecosystem::Apk, "a", "1").unwrap();
        one.qualifiers = [("distro", "alpine-3.1".to_owned()), ("arch", "x/y".to_owned())].into();
        assert_eq!(one.purl(), "pkg:apk/a@1?arch=x%2Fy&distro=alpine-3.1");
    }
}
