//! Why a path is in the image.

use std::collections::BTreeMap;

use crate::path::{ImagePath, escape};

/// Why one path is in the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The input of this number brings it.
    Listed(usize),
    /// A program or library needs it: who, by which name, and how it was found.
    Needed {
        /// The object that asked.
        by: ImagePath,
        /// The name it asked for (`DT_NEEDED`).
        name: Box<[u8]>,
        /// Where the loader's search found it.
        how: Box<str>,
    },
    /// A program names it as its loader (`PT_INTERP`).
    Loader(ImagePath),
    /// A script's first line names it, or makes `env` look for it.
    Interpreter(ImagePath),
    /// A link that leads to another path of the image.
    Link(ImagePath),
    /// A link of the inputs leads to this program.
    Target(ImagePath),
    /// A directory on the way to another path.
    Parent(ImagePath),
    /// The user asked for it with this option.
    Included(Box<str>),
    /// A soft dependency: the rule, what made it fire, and the file that has the evidence.
    Rule {
        /// The rule's name.
        rule: Box<str>,
        /// The evidence, as a phrase.
        evidence: std::sync::Arc<str>,
        /// Where it is, unless the user asked for the rule.
        by: Option<ImagePath>,
    },
    /// Made by imgb, for the reason given.
    Generated(Box<str>),
}

/// All reasons, by path.
pub type Reasons = BTreeMap<ImagePath, Reason>;

impl Reason {
    /// One phrase; `inputs` are the inputs' names.
    pub fn text(&self, inputs: &[String]) -> String {
        match self {
            Self::Listed(input) => match inputs.get(*input) {
                Some(name) => format!("listed: {}", escape(name.as_bytes())),
                None => "listed".into(),
            },
            Self::Needed { by, name, how } => format!("needed by {by} as {} ({how})", escape(name)),
            Self::Loader(of) => format!("loader of {of}"),
            Self::Interpreter(of) => format!("interpreter of {of}"),
            Self::Link(to) => format!("link to {to}"),
            Self::Target(of) => format!("the program that {of} leads to"),
            Self::Parent(of) => format!("parent of {of}"),
            Self::Included(option) => format!("included: {option}"),
            Self::Rule { rule, evidence, by: Some(by) } => format!("rule {rule} for {by}: {evidence}"),
            Self::Rule { rule, evidence, by: None } => format!("rule {rule}: {evidence}"),
            Self::Generated(what) => format!("generated: {what}"),
        }
    }

    /// The path that this reason points to, one step nearer to an input.
    pub fn cause(&self) -> Option<&ImagePath> {
        match self {
            Self::Needed { by, .. } => Some(by),
            Self::Rule { by, .. } => by.as_ref(),
            Self::Loader(of) | Self::Interpreter(of) => Some(of),
            Self::Link(to) => Some(to),
            Self::Parent(of) | Self::Target(of) => Some(of),
            Self::Listed(_) | Self::Included(_) | Self::Generated(_) => None,
        }
    }
}
