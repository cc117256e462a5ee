//! Why a path is in the image: one edge of the graph of reasons.

use std::{fmt, sync::Arc};

use serde_json::{Value, json};

use crate::{
    elf::SearchRule,
    path::{ImagePath, escape},
    rules::Evidence,
};

/// Why one path is in the image.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// The input of this number brings it.
    Listed(usize),
    /// A program or library needs it.
    Needed(Arc<Needed>),
    /// A program names it as its loader (`PT_INTERP`).
    Loader(ImagePath),
    /// A script's first line names it, or makes `env` look for it.
    Interpreter(ImagePath),
    /// A link that leads to another path of the image.
    Link(ImagePath),
    /// A link of the inputs leads to this program.
    Target(ImagePath),
    /// It is the compiled form of this source.
    Compiled(ImagePath),
    /// A directory on the way to another path: the first one in it, or the one whose path leaves
    /// it with `..`.
    Parent(ImagePath),
    /// `/etc/ld.so.preload` of the sysroot: it names a library that is in the image.
    PreloadList,
    /// The text of this script names it.
    Named(ImagePath),
    /// The user asked for it with this option.
    Included(Arc<str>),
    /// A run-time dependency.
    Rule(Arc<RuleMatch>),
    /// It tells scanners of a package that has a file in the image.
    Package(Arc<PackageRecord>),
    /// It tells scanners which distribution the packages are of.
    Distribution,
    /// Made by imgb.
    Generated(Generated),
    /// An instruction of a Buildfile brings it.
    Instruction(Arc<Instruction>),
    /// The base image has it.
    Base,
}

/// A request for a library, and where it was found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Needed {
    /// The object that asked.
    pub by: ImagePath,
    /// The name it asked for (`DT_NEEDED`).
    pub name: Arc<[u8]>,
    /// The rule of the loader's search that found it.
    pub found_by: SearchRule,
}

/// A rule that added a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RuleMatch {
    /// The rule's name.
    pub rule: Box<str>,
    /// What made it fire.
    pub evidence: Arc<Evidence>,
    /// The file that has the evidence, unless it is the user's wish or the configuration.
    pub by: Option<ImagePath>,
}

/// A package that has files in the image.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PackageRecord {
    /// Its name and version.
    pub package: Box<str>,
    /// The first of its files.
    pub owns: ImagePath,
}

/// What imgb makes itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Generated {
    /// The list of libraries for the image's loader.
    LibraryPaths,
    /// The working directory.
    WorkingDirectory,
}

/// An instruction of a Buildfile.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instruction {
    /// The line where it begins, counted from 1.
    pub line: usize,
    /// As it was written, its lines joined.
    pub text: String,
}

impl fmt::Display for Generated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LibraryPaths => "where the loader finds libraries outside its own directories",
            Self::WorkingDirectory => "working directory",
        })
    }
}

impl Reason {
    /// One phrase; `inputs` are the inputs' names.
    pub fn text(&self, inputs: &[String]) -> String {
        match self {
            Self::Listed(input) => match inputs.get(*input) {
                Some(name) => format!("listed: {}", escape(name.as_bytes())),
                None => "listed".into(),
            },
            Self::Needed(needed) => {
                let Needed { by, name, found_by } = &**needed;
                format!("needed by {by} as {} ({found_by})", escape(name))
            }
            Self::Loader(of) => format!("loader of {of}"),
            Self::Interpreter(of) => format!("interpreter of {of}"),
            Self::Link(to) => format!("link to {to}"),
            Self::Target(of) => format!("the program that {of} leads to"),
            Self::Compiled(of) => format!("compiled from {of}"),
            Self::Parent(of) => format!("parent of {of}"),
            Self::Named(by) => format!("named by {by}"),
            Self::PreloadList => "included: the sysroot's programs preload what it names".into(),
            Self::Included(option) => format!("included: {option}"),
            Self::Rule(found) => {
                let RuleMatch { rule, evidence, by } = &**found;
                match by {
                    Some(by) => format!("rule {rule} for {by}: {evidence}"),
                    None => format!("rule {rule}: {evidence}"),
                }
            }
            Self::Package(record) => {
                let PackageRecord { package, owns } = &**record;
                format!("package {}, which owns {owns}", escape(package.as_bytes()))
            }
            Self::Distribution => "the distribution of the packages".into(),
            Self::Generated(what) => format!("generated: {what}"),
            Self::Instruction(instruction) => {
                let Instruction { line, text } = &**instruction;
                format!("{} (line {line})", escape(text.as_bytes()))
            }
            Self::Base => "from the base image".into(),
        }
    }

    /// The path that this reason points to, one step nearer to an input.
    pub fn cause(&self) -> Option<&ImagePath> {
        match self {
            Self::Needed(needed) => Some(&needed.by),
            Self::Rule(found) => found.by.as_ref(),
            Self::Package(record) => Some(&record.owns),
            Self::Loader(path)
            | Self::Interpreter(path)
            | Self::Link(path)
            | Self::Target(path)
            | Self::Compiled(path)
            | Self::Parent(path)
            | Self::Named(path) => Some(path),
            Self::Listed(_)
            | Self::PreloadList
            | Self::Included(_)
            | Self::Distribution
            | Self::Generated(_)
            | Self::Instruction(_)
            | Self::Base => None,
        }
    }

    /// The name of its kind, as in JSON.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Listed(_) => "listed",
            Self::Needed(_) => "needed",
            Self::Loader(_) => "loader",
            Self::Interpreter(_) => "interpreter",
            Self::Link(_) => "link",
            Self::Target(_) => "target",
            Self::Compiled(_) => "compiled",
            Self::Parent(_) => "parent",
            Self::Named(_) => "named",
            Self::PreloadList => "preload_list",
            Self::Included(_) => "included",
            Self::Rule(_) => "rule",
            Self::Package(_) => "package",
            Self::Distribution => "distribution",
            Self::Generated(_) => "generated",
            Self::Instruction(_) => "instruction",
            Self::Base => "base",
        }
    }

    /// An object with `kind` and what belongs to that kind. Bytes that are not UTF-8 are escaped.
    pub fn json(&self, inputs: &[String]) -> Value {
        let kind = self.kind();
        match self {
            Self::Listed(input) => json!({"kind": kind, "input": inputs.get(*input)}),
            Self::Needed(needed) => json!({
                "kind": kind,
                "by": needed.by.to_string(),
                "name": escape(&needed.name),
                "found_by": needed.found_by.to_string(),
            }),
            Self::Loader(path)
            | Self::Interpreter(path)
            | Self::Link(path)
            | Self::Target(path)
            | Self::Compiled(path)
            | Self::Parent(path)
            | Self::Named(path) => json!({"kind": kind, "path": path.to_string()}),
            Self::PreloadList => json!({"kind": kind}),
            Self::Included(option) => json!({"kind": kind, "option": &**option}),
            Self::Rule(found) => json!({
                "kind": kind,
                "rule": &*found.rule,
                "evidence": found.evidence.to_string(),
                "by": found.by.as_ref().map(ToString::to_string),
            }),
            Self::Package(record) => json!({
                "kind": kind, "package": &*record.package, "owns": record.owns.to_string(),
            }),
            Self::Distribution => json!({"kind": kind}),
            Self::Generated(what) => json!({"kind": kind, "what": what.to_string()}),
            Self::Instruction(instruction) => json!({
                "kind": kind, "text": instruction.text, "line": instruction.line,
            }),
            Self::Base => json!({"kind": kind}),
        }
    }
}
