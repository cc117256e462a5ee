//! The closure's parts as text, one line each.

use std::fmt;

use super::{Edge, Fault, FaultKind, Miss, SearchLogEntry, SearchRule, Tag, Warning};
use crate::{
    elf::{Absence, Priority, Request},
    path::escape,
    quantity,
};

/// The tag as readelf(1) names it, or the variable or file.
impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dynamic(Request::Needed) => "NEEDED",
            Self::Dynamic(Request::Auxiliary) => "AUXILIARY",
            Self::Dynamic(Request::Filter) => "FILTER",
            Self::Preload => "LD_PRELOAD",
            Self::PreloadFile => "/etc/ld.so.preload",
            Self::Variant => "glibc-hwcaps",
            Self::Opened => "dlopen",
            Self::Dlopen(Priority::Required) => "dlopen required",
            Self::Dlopen(Priority::Recommended) => "dlopen recommended",
            Self::Dlopen(Priority::Suggested) => "dlopen suggested",
        })
    }
}

impl Edge {
    /// Each place that was searched, with the rule that led there, and the reason unless it is just
    /// "not there".
    pub fn searched(&self) -> Vec<String> {
        let place = |SearchLogEntry { path, rule, miss }: &SearchLogEntry| match miss {
            Miss::Find(Absence::Missing) | Miss::NoDirectory => {
                format!("{} ({rule})", escape(path))
            }
            _ => format!("{} ({rule}: {miss})", escape(path)),
        };
        let more = (self.unlisted > 0).then(|| quantity::count(self.unlisted, "more place"));
        self.search_log.iter().map(place).chain(more).collect()
    }
}

impl fmt::Display for SearchRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path => f.write_str("path"),
            Self::Rpath(of) => write!(f, "RPATH of {}", escape(of)),
            Self::Runpath(of) => write!(f, "RUNPATH of {}", escape(of)),
            Self::Environment => f.write_str("LD_LIBRARY_PATH"),
            Self::LibraryPath => f.write_str("--library-path"),
            Self::Cache(path) if path.ends_with(b"/ld.so.cache") => f.write_str("ld.so.cache"),
            Self::Cache(path) | Self::PathFile(path) => write!(f, "{}", escape(path)),
            Self::Conf(file, line) => write!(f, "{}:{line}", escape(file)),
            Self::Default => f.write_str("default"),
            Self::Loaded(path) => write!(f, "already loaded as {}", escape(path)),
            Self::Loader => f.write_str("the loader itself"),
            Self::Beside(path) => write!(f, "beside {}", escape(path)),
        }
    }
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Find(error) => write!(f, "{error}"),
            Self::OfProcess => {
                f.write_str("the path leads through /proc, where it is different for each process")
            }
            Self::NoDirectory => f.write_str("no such directory"),
            Self::Class(machine) | Self::Machine(machine) => write!(f, "made for {machine}"),
            Self::NoClass => f.write_str("invalid ELF class"),
            Self::NotInCache => f.write_str("not in the cache"),
            Self::NoDefaultLib => f.write_str("excluded by NODEFLIB"),
            Self::Relative => f.write_str("relative to the working directory"),
            Self::TooLong => f.write_str("longer than the loader's 511 bytes"),
            Self::Token => f.write_str("a token in it has no value"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            FaultKind::Version(version, by) => {
                write!(
                    f,
                    "{} not found in {}, needed by {}",
                    escape(version),
                    escape(&self.path),
                    escape(by)
                )
            }
            kind => write!(f, "{}: {kind}", escape(&self.path)),
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RelativeElement(file, tag, element) => write!(
                f,
                "{}: {tag} element `{}` is taken from the working directory and left out",
                escape(file),
                escape(element)
            ),
            Self::UnknownLoader(path) => {
                write!(f, "{}: unknown loader, taken to follow glibc's rules", escape(path))
            }
            Self::NoLoader(path, machine) => {
                write!(f, "{}: no loader for {machine} found", escape(path))
            }
            Self::Preload(name) => write!(f, "{}: preloaded library not found", escape(name)),
            Self::NoVersions(library, user) => {
                write!(
                    f,
                    "{} has no version information, which {} needs",
                    escape(library),
                    escape(user)
                )
            }
            Self::Recommended(file, name) => {
                write!(f, "{} recommends {}, which was not found", escape(file), escape(name))
            }
            Self::RecommendedNeeds(library, name) => {
                let (library, name) = (escape(library), escape(name));
                write!(f, "{library}, which is only recommended, needs {name}, which was not found")
            }
            Self::Metadata(file, what) => write!(f, "{}: {what}", escape(file)),
            Self::Soft(what) => f.write_str(what),
            Self::Platform(file, path) => write!(
                f,
                "{}: $PLATFORM in `{}` depends on the processor: the usual one's was taken",
                escape(file),
                escape(path)
            ),
            Self::ProcessDirectory(path) => {
                write!(
                    f,
                    "{}: leads through /proc, where it is different for each process; left out",
                    escape(path)
                )
            }
            Self::OnlyVariant(name, path) => {
                write!(f, "{} is only there for some processors, as {}", escape(name), escape(path))
            }
            Self::Shadowed(path, other) => write!(
                f,
                "{} needs LD_LIBRARY_PATH in the image: RUNPATH leads to {}",
                escape(path),
                escape(other)
            ),
        }
    }
}
