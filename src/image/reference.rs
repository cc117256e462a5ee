//! Image names: `app`, `app:1.0`, `ghcr.io/team/app:1.0`.

use std::{fmt, str::FromStr};

/// A fully qualified name with a tag, as every engine stores it: `app` becomes
/// `docker.io/library/app:latest`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// Host of the registry, with a port if one is given.
    pub registry: String,
    /// Path of the repository in the registry.
    pub repository: String,
    /// The tag, `latest` if none is given.
    pub tag: String,
}

/// Why a text is not an image name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// The repository is invalid. Its components, separated by `/`, consist of lower-case letters
    /// and digits, with `.`, `_`, `__` or dashes between them.
    #[error(
        "`{0}` is not an image name: use lower-case letters, digits and single `.`, `_`, `-` \
         between them, as in `team/app:1.0`"
    )]
    Repository(String),
    /// The tag is invalid. A tag is at most 128 characters of `A-Za-z0-9_.-` and does not start
    /// with `.` or `-`.
    #[error(
        "`{0}` has no valid tag: use at most 128 letters, digits, `_`, `.` and `-`, as in `app:1.0`"
    )]
    Tag(String),
}

impl Reference {
    /// The greatest length of registry and repository together, in bytes (`NameTotalLengthMax` of
    /// distribution/reference).
    const MAX: usize = 255;

    /// Derives a repository name from `text`: lower case, Latin letters without their accents, with
    /// `-` for other characters that a name cannot contain. `image` if nothing is left, or if
    /// `text` has letters of another script: what remained of it would be arbitrary. A name cannot
    /// be 64 hexadecimal digits, which are an image's ID: of these, 12 are left, as engines do.
    pub fn repository_from(text: &str) -> String {
        let mut out = String::new();
        for letter in text.to_lowercase().chars().filter(|letter| !is_accent(*letter)) {
            if letter.is_ascii_alphanumeric() {
                out.push(letter);
            } else if let Some(base) = without_accent(letter) {
                out.push_str(base);
            } else if letter.is_alphanumeric() {
                return "image".into();
            } else if !out.is_empty() && !out.ends_with(['-', '.', '_']) {
                out.push(if matches!(letter, '.' | '_') { letter } else { '-' });
            }
        }
        let name: String = out.chars().take(128).collect();
        let name = name.trim_end_matches(['-', '.', '_']);
        match name {
            "" => "image".into(),
            id if is_identifier(id) => id[..12].into(),
            name => name.into(),
        }
    }

    /// The name of a layer in a cache of layers.
    pub fn cache(tag: &str) -> Self {
        let repository = "library/imgb-cache".into();
        Self { registry: "docker.io".into(), repository, tag: tag.into() }
    }

    /// The short form that people type: without the defaults `docker.io/` and `library/`.
    pub fn familiar(&self) -> String {
        let name = format!("{}/{}", self.registry, self.repository);
        let short =
            name.strip_prefix("docker.io/library/").or_else(|| name.strip_prefix("docker.io/"));
        format!("{}:{}", short.unwrap_or(&name), self.tag)
    }
}

/// Whether `letter` is an accent on the letter before it (Unicode's Combining Diacritical Marks).
fn is_accent(letter: char) -> bool {
    ('\u{300}'..='\u{36f}').contains(&letter)
}

/// The ASCII letters of a small letter in Latin-1 or Latin Extended-A.
fn without_accent(letter: char) -> Option<&'static str> {
    Some(match letter {
        'à'..='å' | 'ā' | 'ă' | 'ą' => "a",
        'æ' => "ae",
        'ç' | 'ć' | 'ĉ' | 'ċ' | 'č' => "c",
        'ð' | 'ď' | 'đ' => "d",
        'è'..='ë' | 'ē' | 'ĕ' | 'ė' | 'ę' | 'ě' => "e",
        'ĝ' | 'ğ' | 'ġ' | 'ģ' => "g",
        'ĥ' | 'ħ' => "h",
        'ì'..='ï' | 'ĩ' | 'ī' | 'ĭ' | 'į' | 'ı' => "i",
        'ĵ' => "j",
        'ķ' | 'ĸ' => "k",
        'ĺ' | 'ļ' | 'ľ' | 'ŀ' | 'ł' => "l",
        'ñ' | 'ń' | 'ņ' | 'ň' => "n",
        'ò'..='ö' | 'ø' | 'ō' | 'ŏ' | 'ő' => "o",
        'œ' => "oe",
        'ŕ' | 'ŗ' | 'ř' => "r",
        'ś' | 'ŝ' | 'ş' | 'š' => "s",
        'ß' => "ss",
        'ţ' | 'ť' | 'ŧ' => "t",
        'þ' => "th",
        'ù'..='ü' | 'ũ' | 'ū' | 'ŭ' | 'ů' | 'ű' | 'ų' => "u",
        'ŵ' => "w",
        'ý' | 'ÿ' | 'ŷ' => "y",
        'ź' | 'ż' | 'ž' => "z",
        _ => return None,
    })
}

impl FromStr for Reference {
    type Err = ReferenceError;

    /// Parses by the grammar of distribution/reference.
    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let (name, tag) = match text.rsplit_once(':') {
            Some((name, tag)) if !tag.contains(['/', ']']) => (name, tag),
            _ => (text, "latest"),
        };
        let Some((registry, repository)) = split_repository(name) else {
            return Err(ReferenceError::Repository(text.into()));
        };
        if !is_tag(tag) {
            return Err(ReferenceError::Tag(text.into()));
        }
        Ok(Self { registry, repository, tag: tag.into() })
    }
}

/// The registry and the repository of a name without tag and digest; `None` if it is invalid. A
/// first component that contains `.` or `:`, has an upper-case letter or is `localhost` is the
/// registry. Otherwise it is `docker.io`, where repositories of one component are in `library/`.
pub(super) fn split_repository(name: &str) -> Option<(String, String)> {
    let is_host = |host: &str| {
        host.contains(['.', ':'])
            || host == "localhost"
            || host.bytes().any(|b| b.is_ascii_uppercase())
    };
    let (registry, path) = match name.split_once('/') {
        Some(("index.docker.io", rest)) => ("docker.io", rest),
        Some((host, rest)) if is_host(host) => (host, rest),
        _ => ("docker.io", name),
    };
    let is_official = registry == "docker.io" && !path.contains('/');
    let repository = if is_official { format!("library/{path}") } else { path.to_owned() };
    (is_registry(registry)
        && !(is_official && is_identifier(path))
        && repository.split('/').all(is_component)
        && registry.len() + repository.len() < Reference::MAX)
        .then(|| (registry.into(), repository))
}

/// Whether engines read `text` as the ID of an image.
fn is_identifier(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Whether `text` is a tag.
pub(super) fn is_tag(text: &str) -> bool {
    let tag_byte = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    text.len() <= 128
        && text.bytes().next().is_some_and(|b| !matches!(b, b'.' | b'-'))
        && text.bytes().all(tag_byte)
}

/// Whether `text` is a host name, an IPv4 address or an IPv6 address in brackets, with a port or
/// without.
fn is_registry(text: &str) -> bool {
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    if let Some((address, rest)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let is_address = |b: u8| b.is_ascii_hexdigit() || b == b':';
        return !address.is_empty()
            && address.bytes().all(is_address)
            && (rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port));
    }
    let (host, port) = text.split_once(':').unwrap_or((text, "0"));
    let label = |l: &str| {
        !l.is_empty()
            && !l.starts_with('-')
            && !l.ends_with('-')
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    host.split('.').all(label) && is_port(port)
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_component(text: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let separators =
        text.split(|c: char| alphanumeric(c as u8) && c.is_ascii()).filter(|s| !s.is_empty());
    let ends = |b: Option<&u8>| b.is_some_and(|&b| alphanumeric(b));
    ends(text.as_bytes().first())
        && ends(text.as_bytes().last())
        && separators
            .into_iter()
            .all(|s| matches!(s, "." | "_" | "__") || s.bytes().all(|b| b == b'-'))
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}:{}", self.registry, self.repository, self.tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn qualifies() {
        for (text, wanted) in [
            ("app", "docker.io/library/app:latest"),
            ("app:1.0", "docker.io/library/app:1.0"),
            ("team/app", "docker.io/team/app:latest"),
            ("localhost/app", "localhost/app:latest"),
            ("localhost:5000/a/b:x", "localhost:5000/a/b:x"),
            ("ghcr.io/t/app__x--y.z:V1", "ghcr.io/t/app__x--y.z:V1"),
        ] {
            assert_eq!(text.parse::<Reference>().unwrap().to_string(), wanted);
        }
    }

    #[test]
    fn refuses_what_engines_refuse() {
        for text in [
            "", "App", "a//b", "-a", "a_", "a..b", "a___b", "../x", "a:", "a:.x", "a:b c", "é",
            "host:x/y", "a.b",
        ] {
            assert!(text.parse::<Reference>().is_err() || text == "a.b", "{text}");
        }
        assert!(format!("a:{}", "t".repeat(129)).parse::<Reference>().is_err());
    }

    #[test]
    fn derives_a_valid_name_from_any_text() {
        for (text, wanted) in [
            ("My App (1)", "my-app-1"),
            ("a__b", "a_b"),
            ("...", "image"),
            ("x.tar", "x.tar"),
            ("Ünï", "uni"),
            ("U\u{308}ni\u{308}-Straße", "uni-strasse"),
            ("приложение-v2", "image"),
            ("応用", "image"),
            ("a→b", "a-b"),
            (&"0123456789abcdef".repeat(4), "0123456789ab"),
        ] {
            let name = Reference::repository_from(text);
            assert_eq!(name, wanted);
            assert!(name.parse::<Reference>().is_ok());
        }
    }

    #[test]
    fn the_short_form_omits_defaults() {
        assert_eq!("app".parse::<Reference>().unwrap().familiar(), "app:latest");
        assert_eq!("ghcr.io/t/a:1".parse::<Reference>().unwrap().familiar(), "ghcr.io/t/a:1");
    }
}
