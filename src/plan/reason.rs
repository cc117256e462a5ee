//! Why a path is in the image.

use std::collections::BTreeMap;

use crate::{
    path::{ImagePath, escape},
    rules::Evidence,
};

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
        /// The evidence.
        evidence: std::sync::Arc<Evidence>,
        /// The file that has the evidence, if it is in a file.
        by: Option<ImagePath>,
    },
    /// Made by imgb, for the reason given.
    Generated(Box<str>),
    /// The base image has it.
    Base,
}

/// All reasons, by path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reasons {
    by_path: BTreeMap<ImagePath, Reason>,
    /// Of all paths that are not in the map: most images of a directory hold little else.
    of_others: Option<Reason>,
}

impl Reasons {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// `reason` for every path that none is [`inserted`](Reasons::insert) for.
    pub fn all(reason: Reason) -> Self {
        Self { by_path: BTreeMap::new(), of_others: Some(reason) }
    }

    /// Says why `path` is there.
    pub fn insert(&mut self, path: ImagePath, reason: Reason) {
        self.by_path.insert(path, reason);
    }

    /// Why `path` is there.
    pub fn get(&self, path: &ImagePath) -> Option<&Reason> {
        self.by_path.get(path).or(self.of_others.as_ref())
    }

    /// Why each of `paths` is there, which come in order: quicker than one question for each.
    pub fn of<'a, T>(
        &'a self,
        paths: impl Iterator<Item = (ImagePath, T)> + 'a,
    ) -> impl Iterator<Item = (ImagePath, T, Option<&'a Reason>)> + 'a {
        let mut known = self.by_path.iter().peekable();
        paths.map(move |(path, value)| {
            while known.next_if(|(other, _)| **other < path).is_some() {}
            let own = known.peek().filter(|(other, _)| **other == path).map(|(_, reason)| *reason);
            (path, value, own.or(self.of_others.as_ref()))
        })
    }

    /// The one reason of all paths, if there is one.
    pub fn only(&self) -> Option<&Reason> {
        self.of_others.as_ref().filter(|_| self.by_path.is_empty())
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
            Self::Needed { by, name, how } => format!("needed by {by} as {} ({how})", escape(name)),
            Self::Loader(of) => format!("loader of {of}"),
            Self::Interpreter(of) => format!("interpreter of {of}"),
            Self::Link(to) => format!("link to {to}"),
            Self::Target(of) => format!("the program that {of} leads to"),
            Self::Parent(of) => format!("parent of {of}"),
            Self::Included(option) => format!("included: {option}"),
            Self::Rule { rule, evidence, by: Some(by) } => {
                format!("rule {rule} for {by}: {evidence}")
            }
            Self::Rule { rule, evidence, by: None } => format!("rule {rule}: {evidence}"),
            Self::Generated(what) => format!("generated: {what}"),
            Self::Base => "from the base image".into(),
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
            Self::Listed(_) | Self::Included(_) | Self::Generated(_) | Self::Base => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> ImagePath {
        ImagePath::new(text).unwrap()
    }

    #[test]
    fn one_by_one_and_in_order_say_the_same() {
        let mut reasons = Reasons::all(Reason::Listed(0));
        assert_eq!(reasons.only(), Some(&Reason::Listed(0)));
        reasons.insert(path("/b"), Reason::Generated("x".into()));
        reasons.insert(path("/c"), Reason::Loader(path("/a")));
        assert_eq!(reasons.only(), None);
        let none = Reasons::new();
        for reasons in [&reasons, &none] {
            let paths = ["/a", "/b", "/b/x", "/d"].map(path);
            let of = reasons.of(paths.iter().map(|path| (path.clone(), ())));
            let of: Vec<_> = of.map(|(path, (), reason)| (path, reason.cloned())).collect();
            let one_by_one = paths.map(|path| (path.clone(), reasons.get(&path).cloned()));
            assert_eq!(of, one_by_one);
        }
        assert_eq!(reasons.get(&path("/d")), Some(&Reason::Listed(0)));
        assert_eq!(none.get(&path("/d")), None);
    }
}
