//! Operating system and architecture as OCI spells them: Go's GOOS and GOARCH.

use std::{fmt, str::FromStr};

use serde_json::Value;

/// A platform such as `linux/arm/v7`. The variants that containerd treats as the default
/// (`amd64/v1`, `arm64/v8`) are spelled without one, as containerd normalises them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Platform {
    /// GOOS.
    pub os: String,
    /// GOARCH.
    pub architecture: String,
    /// CPU variant, such as `v7`.
    pub variant: Option<String>,
}

/// Text that is not `os/architecture[/variant]`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a platform: write `os/architecture` or `os/architecture/variant`, such as \
     `linux/arm64` or `linux/arm/v7`"
)]
pub struct PlatformError(String);

impl Platform {
    /// `linux` on `architecture`.
    pub fn linux(architecture: &str, variant: Option<&str>) -> Self {
        let normal = match (architecture, variant) {
            ("amd64", Some("v1")) | ("arm64", Some("v8")) => None,
            ("arm", None) => Some("v7"),
            (_, variant) => variant,
        };
        Self {
            os: "linux".into(),
            architecture: architecture.into(),
            variant: normal.map(Into::into),
        }
    }

    /// How well this platform runs programs for `other`: 0 if both are the same, more for older
    /// variants of the architecture; `None` if it does not (containerd's `platforms.Only`).
    pub fn runs(&self, other: &Self) -> Option<u32> {
        if self.os != other.os || self.architecture != other.architecture {
            return None;
        }
        if self.variant == other.variant {
            return Some(0);
        }
        self.version()?.checked_sub(other.version()?)
    }

    /// The number of the variant, where greater ones run what is made for lesser ones.
    fn version(&self) -> Option<u32> {
        let default = match &*self.architecture {
            "amd64" => "v1",
            "arm64" => "v8",
            "arm" => "v7",
            _ => return None,
        };
        self.variant.as_deref().unwrap_or(default).strip_prefix('v')?.parse().ok()
    }

    /// The platform that a descriptor's `platform` or a configuration gives; both have the same
    /// fields. `None` if `os` or `architecture` is missing or empty.
    pub(crate) fn of_json(value: &Value) -> Option<Self> {
        let text =
            |name: &str| value.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let platform = Self::linux(text("architecture")?, text("variant"));
        Some(Self { os: text("os")?.into(), ..platform })
    }
}

/// Architectures for which Linux and OCI have a name (`go tool dist list`).
const KNOWN: [&str; 14] = [
    "386", "amd64", "arm", "arm64", "loong64", "mips", "mips64", "mips64le", "mipsle", "ppc64",
    "ppc64le", "riscv64", "s390x", "sparc64",
];

impl FromStr for Platform {
    type Err = PlatformError;

    /// Parses `linux/amd64`, `amd64`, and the kernel's machine names (`x86_64`, `aarch64`).
    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let wrong = || PlatformError(text.to_owned());
        let rest = text.strip_prefix("linux/").unwrap_or(text);
        let (architecture, variant) = match rest.split_once('/') {
            Some((architecture, variant)) => (architecture, Some(variant)),
            None => (rest, None),
        };
        let (architecture, variant) = match (architecture, variant) {
            ("x86_64" | "x86-64", variant) => ("amd64", variant),
            ("i386" | "i686", None) => ("386", None),
            ("aarch64", variant) => ("arm64", variant),
            ("armhf", None) => ("arm", Some("v7")),
            ("armel", None) => ("arm", Some("v6")),
            other => other,
        };
        let word = |text: &str| {
            !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        };
        if !KNOWN.contains(&architecture) || !variant.is_none_or(word) {
            return Err(wrong());
        }
        Ok(Self::linux(architecture, variant))
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(f, "/{variant}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_platform_runs_what_is_made_for_older_variants() {
        let runs =
            |own: &str, other: &str| own.parse::<Platform>().unwrap().runs(&other.parse().unwrap());
        assert_eq!(runs("amd64", "linux/amd64/v1"), Some(0));
        assert_eq!(runs("amd64", "linux/amd64/v2"), None);
        assert_eq!(runs("linux/amd64/v3", "amd64"), Some(2));
        assert_eq!(runs("arm", "linux/arm/v6"), Some(1));
        assert_eq!(runs("linux/arm/v6", "arm"), None);
        assert_eq!(runs("arm64", "arm"), None);
        assert_eq!(runs("riscv64", "riscv64"), Some(0));
    }

    #[test]
    fn reads_the_spellings_people_use() {
        for (text, wanted) in [
            ("linux/amd64", "linux/amd64"),
            ("x86_64", "linux/amd64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("arm", "linux/arm/v7"),
            ("linux/arm/v6", "linux/arm/v6"),
        ] {
            assert_eq!(text.parse::<Platform>().unwrap().to_string(), wanted);
        }
        for text in ["", "linux/", "windows/amd64/v1/x", "linux/arm/", "AMD64", "foo"] {
            assert!(text.parse::<Platform>().is_err(), "{text}");
        }
    }
}
