//! What programs and packages say of themselves: names, versions and licences.
//!
//! Readers get bytes and give plain values. All they read may be hostile: sizes and counts are
//! bounded, and what makes no sense is left out.

mod bounded;
pub mod cargo;
pub mod composer;
pub mod conda;
pub mod gem;
pub mod go;
pub mod java;
pub mod node;
pub mod note;
mod purl;
pub mod python;
pub mod release;

use std::collections::BTreeMap;

/// Components that are taken from one file.
pub const MAX_COMPONENTS: usize = 20_000;

/// Characters of a name, version or licence; longer ones are cut.
const MAX_TEXT: usize = 1000;

/// A piece of software with a version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Component {
    /// Whose name it is.
    pub ecosystem: Ecosystem,
    /// What the name is unique in: a distribution, a group of Maven, a scope of npm.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// Its version; empty if it does not say.
    pub version: String,
    /// Qualifiers of its package URL, such as `arch`.
    pub qualifiers: BTreeMap<&'static str, String>,
    /// Its licences as they are written: expressions, names, or texts of one line.
    pub licences: Vec<String>,
}

/// A family of packages that have names of their own (<https://github.com/package-url/purl-spec>).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ecosystem {
    /// Alpine.
    Apk,
    /// Rust.
    Cargo,
    /// Debian and its derivatives.
    Deb,
    /// Ruby.
    Gem,
    /// None of the others.
    Generic,
    /// Go.
    Golang,
    /// Java.
    Maven,
    /// JavaScript.
    Npm,
    /// Python.
    Pypi,
    /// Fedora and others.
    Rpm,
}

impl Ecosystem {
    /// The type in a package URL.
    pub fn name(self) -> &'static str {
        match self {
            Self::Apk => "apk",
            Self::Cargo => "cargo",
            Self::Deb => "deb",
            Self::Gem => "gem",
            Self::Generic => "generic",
            Self::Golang => "golang",
            Self::Maven => "maven",
            Self::Npm => "npm",
            Self::Pypi => "pypi",
            Self::Rpm => "rpm",
        }
    }
}

impl Component {
    /// A component without a namespace, qualifiers and licences; `None` without a name.
    pub fn new(
        ecosystem: Ecosystem,
        name: impl Into<String>,
        version: impl Into<String>,
    ) -> Option<Self> {
        let (name, version) = (clean(name.into()), clean(version.into()));
        (!name.is_empty()).then(|| Self {
            ecosystem,
            namespace: None,
            name,
            version,
            qualifiers: BTreeMap::new(),
            licences: Vec::new(),
        })
    }

    /// Its package URL.
    pub fn purl(&self) -> String {
        purl::purl(self)
    }

    /// Its name with its namespace.
    pub fn full_name(&self) -> String {
        let separator = if self.ecosystem == Ecosystem::Maven { ":" } else { "/" };
        match &self.namespace {
            Some(namespace)
                if !matches!(self.ecosystem, Ecosystem::Apk | Ecosystem::Deb | Ecosystem::Rpm) =>
            {
                format!("{namespace}{separator}{}", self.name)
            }
            _ => self.name.clone(),
        }
    }

    /// Adds licences, each once.
    pub fn add_licences(&mut self, licences: impl IntoIterator<Item = String>) {
        for licence in licences.into_iter().map(clean).filter(|text| !text.is_empty()) {
            if !self.licences.contains(&licence) && self.licences.len() < 100 {
                self.licences.push(licence);
            }
        }
    }
}

/// `text` without blanks around it, up to the limit.
fn clean(text: String) -> String {
    let trimmed = text.trim();
    trimmed.chars().take(MAX_TEXT).collect()
}
