//! The distribution that an image's packages are of (os-release(5)), and its packages.

use super::{Component, Ecosystem};

/// What `/etc/os-release` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Release {
    /// `ID`, such as `debian`; may be empty.
    pub id: String,
    /// `VERSION_ID`, such as `12`; may be empty.
    pub version: String,
}

impl Release {
    /// Reads `text`, the file.
    pub fn parse(text: &[u8]) -> Self {
        let text = String::from_utf8_lossy(text);
        let value = |name: &str| {
            let mut lines = text.lines().filter_map(|line| line.trim().split_once('='));
            let value = lines.rfind(|(key, _)| *key == name).map(|(_, value)| value);
            value.unwrap_or_default().trim_matches(['"', '\'']).to_owned()
        };
        Self { id: value("ID"), version: value("VERSION_ID") }
    }

    /// `debian-12`; without a version only the name.
    pub fn name(&self) -> String {
        match (&*self.id, &*self.version) {
            (id, "") => id.to_owned(),
            (id, version) => format!("{id}-{version}"),
        }
    }

    /// A package of this distribution. The epoch of rpm is a qualifier of its package URL.
    pub fn component(
        &self,
        ecosystem: Ecosystem,
        name: &str,
        version: &str,
        architecture: &str,
    ) -> Option<Component> {
        let epoch = version.split_once(':').filter(|_| ecosystem == Ecosystem::Rpm);
        let (epoch, version) = epoch.map_or((None, version), |(epoch, rest)| (Some(epoch), rest));
        let mut component = Component::new(ecosystem, name, version)?;
        component.namespace = (!self.id.is_empty()).then(|| self.id.clone());
        let qualifiers = [
            ("arch", architecture.to_owned()),
            ("distro", self.name()),
            ("epoch", epoch.unwrap_or_default().to_owned()),
        ];
        let known = qualifiers.into_iter().filter(|(_, value)| !value.is_empty());
        component.qualifiers = known.collect();
        Some(component)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_of_a_release() {
        let text = b"NAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\nID=debian\n#ID=x\n";
        let release = Release::parse(text);
        let package =
            release.component(Ecosystem::Deb, "libc6", "2.36-9+deb12u1", "amd64").unwrap();
        let wanted = "pkg:deb/debian/libc6@2.36-9%2Bdeb12u1?arch=amd64&distro=debian-12";
        assert_eq!(package.purl(), wanted);
        let package = Release::default().component(Ecosystem::Rpm, "a", "1:2-3", "").unwrap();
        assert_eq!(package.purl(), "pkg:rpm/a@2-3?epoch=1");
        assert_eq!(Release::parse(b"").name(), "");
    }
}
