//! Licences as they are written → expressions of SPDX (SPDX 2.3, annex D).

use std::{collections::BTreeMap, sync::LazyLock};

/// The identifiers of the SPDX licence list 3.28, exceptions included, by their lower-case forms.
static KNOWN: LazyLock<BTreeMap<String, &str>> = LazyLock::new(|| {
    include_str!("licences.txt").lines().map(|id| (id.to_lowercase(), id)).collect()
});

/// Names in other lists: Debian's, and the classifiers of PyPI.
const OTHER_NAMES: [(&str, &str); 9] = [
    ("expat", "MIT"),
    ("mit license", "MIT"),
    ("apache software license", "Apache-2.0"),
    ("apache 2.0", "Apache-2.0"),
    ("apache license 2.0", "Apache-2.0"),
    ("isc license (iscl)", "ISC"),
    ("mozilla public license 2.0 (mpl 2.0)", "MPL-2.0"),
    ("python software foundation license", "PSF-2.0"),
    ("the unlicense (unlicense)", "Unlicense"),
];

/// A licence for a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Licence {
    /// One identifier.
    Id(String),
    /// Several, with operators.
    Expression(String),
    /// A name that SPDX does not know.
    Name(String),
}

impl Licence {
    /// What `text` says.
    pub(super) fn parse(text: &str) -> Self {
        if let Some(id) = identifier(text) {
            return Self::Id(id);
        }
        match expression(text) {
            Some(expression) if expression.contains([' ', '(']) => Self::Expression(expression),
            Some(id) => Self::Id(id),
            None => Self::Name(text.to_owned()),
        }
    }

    /// As a part of an expression, in which a name has a reference.
    pub(super) fn term(&self) -> String {
        match self {
            Self::Id(id) => id.clone(),
            Self::Expression(expression) => format!("({expression})"),
            Self::Name(name) => reference(name),
        }
    }
}

/// The reference that stands for a name in expressions.
pub(super) fn reference(name: &str) -> String {
    let kept: String = name
        .chars()
        .map(|char| if char.is_ascii_alphanumeric() || char == '.' { char } else { '-' })
        .take(40)
        .collect();
    let sum = crate::digest::Digest::of(name).hex();
    format!("LicenseRef-{}-{}", kept.trim_matches('-'), &sum[..8])
}

/// The identifier of one licence under any of its names.
fn identifier(text: &str) -> Option<String> {
    let lower = text.trim().to_lowercase();
    let other = OTHER_NAMES.iter().find(|(name, _)| *name == lower).map(|(_, id)| *id);
    let known = gnu(&lower).or_else(|| KNOWN.get(&lower).copied()).or(other);
    known.map(str::to_owned)
}

/// A licence of GNU without its `only` or `or-later`, as in Debian's `GPL-2` and `LGPL-2.1+`.
fn gnu(lower: &str) -> Option<&'static str> {
    let (name, later) = match lower.strip_suffix('+') {
        Some(name) => (name, "or-later"),
        None => (lower, "only"),
    };
    let (family, version) = name.split_once('-')?;
    let is_gnu = matches!(family, "gpl" | "lgpl" | "agpl" | "gfdl");
    let version = if version.contains('.') { version.to_owned() } else { format!("{version}.0") };
    KNOWN.get(&format!("{family}-{version}-{later}")).filter(|_| is_gnu).copied()
}

/// The expression that `text` is, with identifiers as SPDX spells them.
fn expression(text: &str) -> Option<String> {
    let spaced = text.replace('(', " ( ").replace(')', " ) ");
    let mut words = spaced.split_whitespace().peekable();
    let mut out = String::new();
    let (mut depth, mut wants_term) = (0_usize, true);
    while let Some(word) = words.next() {
        match (word, wants_term) {
            ("(", true) => {
                depth += 1;
                out.push('(');
            }
            (")", false) => {
                depth = depth.checked_sub(1)?;
                out.push(')');
            }
            ("AND" | "OR" | "and" | "or", false) => {
                out.push_str(&format!(" {} ", word.to_uppercase()));
                wants_term = true;
            }
            ("WITH" | "with", false) => {
                let exception = KNOWN.get(&words.next()?.to_lowercase())?;
                out.push_str(&format!(" WITH {exception}"));
            }
            (_, true) => {
                out.push_str(&identifier(word)?);
                wants_term = false;
            }
            _ => return None,
        }
        if out.len() > 10_000 {
            return None;
        }
    }
    (depth == 0 && !wants_term).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_names_are_identifiers_and_others_have_references() {
        let id = |text: &str| Licence::Id(text.to_owned());
        for (text, wanted) in [
            ("mit", id("MIT")),
            ("Expat", id("MIT")),
            ("GPL-2+", id("GPL-2.0-or-later")),
            ("LGPL-2.1", id("LGPL-2.1-only")),
            ("BSD-3-clause", id("BSD-3-Clause")),
            ("(MIT)", Licence::Expression("(MIT)".into())),
            ("mit or apache-2.0", Licence::Expression("MIT OR Apache-2.0".into())),
            (
                "GPL-2.0-or-later WITH Classpath-exception-2.0",
                Licence::Expression("GPL-2.0-or-later WITH Classpath-exception-2.0".into()),
            ),
            ("public-domain", Licence::Name("public-domain".into())),
            ("MIT AND", Licence::Name("MIT AND".into())),
            ("MIT)", Licence::Name("MIT)".into())),
            ("", Licence::Name(String::new())),
        ] {
            let parsed = Licence::parse(text);
            let bare = Licence::Id("(MIT)".into());
            assert!(parsed == wanted || text == "(MIT)" && parsed == bare, "{text}: {parsed:?}");
        }
        let name = Licence::parse("custom: a/b").term();
        assert!(name.starts_with("LicenseRef-custom--a-b-"), "{name}");
    }
}
