//! Dependencies between packages.

/// What a package depends on: one of several packages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    /// Names of packages or of what they provide, the preferred one first. Versions are left out:
    /// what is installed satisfies them.
    pub alternatives: Vec<Box<str>>,
    /// How strongly.
    pub strength: Strength,
}

/// How strongly a package depends on another, the strongest first (deb-control(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strength {
    /// It cannot be unpacked without.
    PreDepends,
    /// It does not work without.
    Depends,
    /// Nearly all of its users want it.
    Recommends,
    /// Some of its users want it.
    Suggests,
    /// It makes the other more useful.
    Enhances,
}

impl Dependency {
    /// The dependencies of a field of dpkg: `a (>= 1), b:any | c [amd64]`.
    pub(super) fn parse(field: &[u8], strength: Strength) -> impl Iterator<Item = Self> {
        field.split(|&b| b == b',').filter_map(move |group| {
            let alternatives: Vec<_> = group.split(|&b| b == b'|').filter_map(name).collect();
            (!alternatives.is_empty()).then_some(Self { alternatives, strength })
        })
    }
}

/// The names of a field that lists packages.
pub(super) fn names(field: &[u8]) -> impl Iterator<Item = Box<str>> {
    field.split(|&b| b == b',').filter_map(name)
}

/// The name of `name:arch (>= version) [arch]`.
fn name(relation: &[u8]) -> Option<Box<str>> {
    let relation = relation.trim_ascii_start();
    let is_end = |b: &u8| b.is_ascii_whitespace() || matches!(b, b'(' | b'[' | b'<' | b':');
    let end = relation.iter().position(is_end).unwrap_or(relation.len());
    let name = std::str::from_utf8(relation.get(..end)?).ok()?;
    (!name.is_empty()).then(|| name.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_alternatives_without_versions_and_architectures() {
        let field = b"libc6 (>= 2.34), python3:any | python3.11 [amd64],\n dash(>=1), , \xff";
        let all: Vec<_> = Dependency::parse(field, Strength::Depends)
            .map(|dependency| dependency.alternatives.join("|"))
            .collect();
        assert_eq!(all, ["libc6", "python3|python3.11", "dash"]);
    }
}
