//! The flags of an instruction, `--name=value` before its words.

use std::collections::BTreeMap;

use crate::suggest;

use super::fault::{Fault, FaultKind};
use super::{Instruction, Word};

/// The kind of value that a flag takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Takes {
    /// `--link`, `--link=true` or `--link=false`.
    Bool,
    /// One value.
    Value,
    /// A value each time it is given.
    Values,
}
use Takes::{Bool, Value, Values};

/// The flags of an instruction.
fn known(instruction: &str) -> &'static [(&'static str, Takes)] {
    match instruction {
        "ADD" => &[
            ("checksum", Value),
            ("chmod", Value),
            ("chown", Value),
            ("exclude", Values),
            ("keep-git-dir", Bool),
            ("link", Bool),
            ("unpack", Bool),
        ],
        "COPY" => &[
            ("chmod", Value),
            ("chown", Value),
            ("exclude", Values),
            ("from", Value),
            ("link", Bool),
            ("parents", Bool),
        ],
        "FROM" => &[("platform", Value)],
        "HEALTHCHECK" => &[
            ("interval", Value),
            ("retries", Value),
            ("start-interval", Value),
            ("start-period", Value),
            ("timeout", Value),
        ],
        "MKDIR" => &[("chown", Value), ("mode", Value)],
        "PACK" => &[("library-path", Values), ("soft", Value), ("sysroot", Value)],
        _ => &[],
    }
}

/// The flags that one instruction was given.
#[derive(Debug, Default)]
pub(super) struct Flags {
    given: BTreeMap<&'static str, Vec<Word>>,
}

impl Flags {
    /// Reads flags from words that start with `--`. Adds errors to `faults`.
    pub(super) fn read(
        instruction: &'static str,
        words: Vec<Word>,
        faults: &mut Vec<Fault>,
    ) -> Self {
        let mut out = Self::default();
        for word in words {
            let span = word.span;
            if let Err(kind) = out.take(instruction, &word) {
                faults.push(Fault { span, kind });
            }
        }
        out
    }

    fn take(&mut self, instruction: &'static str, word: &Word) -> Result<(), FaultKind> {
        let flag = word.text.strip_prefix("--").unwrap_or(&word.text);
        let (name, value) = match flag.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (flag, None),
        };
        let known = known(instruction);
        let Some(&(key, takes)) = known.iter().find(|(key, _)| *key == name) else {
            let near = suggest::closest(name, known.iter().map(|&(key, _)| key));
            return Err(FaultKind::UnknownFlag { instruction, name: name.into(), near });
        };
        let value = match (takes, value) {
            (Bool, None) => "true".to_string(),
            (Bool, Some(value)) => {
                let lower = value.to_ascii_lowercase();
                if lower != "true" && lower != "false" {
                    return Err(FaultKind::FlagNotBool { name: name.into(), value: value.into() });
                }
                lower
            }
            (_, None) => return Err(FaultKind::FlagWithoutValue { name: name.into() }),
            (_, Some(value)) => value.to_string(),
        };
        // The span of the value alone, unless quotes were removed before it.
        let mut span = word.span;
        if takes != Bool && span.end - span.start == word.text.len() {
            span.start += "--=".len() + name.len();
        }
        let given = self.given.entry(key).or_default();
        if !given.is_empty() && takes != Values {
            return Err(FaultKind::FlagTwice { name: name.into() });
        }
        given.push(Word { text: value, span });
        Ok(())
    }

    /// The value of a flag that takes one.
    pub(super) fn value(&mut self, name: &str) -> Option<Word> {
        self.given.remove(name).and_then(|mut words| words.pop())
    }

    /// The values of a flag that takes several.
    pub(super) fn values(&mut self, name: &str) -> Vec<Word> {
        self.given.remove(name).unwrap_or_default()
    }

    /// A flag that is true or false, if it was given.
    pub(super) fn bool(&mut self, name: &str) -> Option<bool> {
        self.value(name).map(|word| word.text == "true")
    }
}

/// Instructions that take words to the end of the line, and so may have a comment there, where
/// Docker has none.
pub(super) const OWN: &[&str] = &["ANNOTATION", "CAP", "MKDIR", "PACK", "SYMLINK"];

/// All instructions, in capitals.
pub(super) const INSTRUCTIONS: &[&str] = &[
    "ADD",
    "ANNOTATION",
    "ARG",
    "CAP",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "MKDIR",
    "ONBUILD",
    "PACK",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "SYMLINK",
    "USER",
    "VOLUME",
    "WORKDIR",
];

impl Instruction {
    /// Its name, in capitals.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Add(_) => "ADD",
            Self::Annotation(_) => "ANNOTATION",
            Self::Arg(_) => "ARG",
            Self::Cap { .. } => "CAP",
            Self::Cmd(_) => "CMD",
            Self::Copy(_) => "COPY",
            Self::Entrypoint(_) => "ENTRYPOINT",
            Self::Env(_) => "ENV",
            Self::Expose(_) => "EXPOSE",
            Self::Healthcheck(_) => "HEALTHCHECK",
            Self::Label(_) => "LABEL",
            Self::Maintainer(_) => "MAINTAINER",
            Self::Mkdir { .. } => "MKDIR",
            Self::Pack(_) => "PACK",
            Self::Shell(_) => "SHELL",
            Self::Stopsignal(_) => "STOPSIGNAL",
            Self::Symlink { .. } => "SYMLINK",
            Self::User(_) => "USER",
            Self::Volume(_) => "VOLUME",
            Self::Workdir(_) => "WORKDIR",
        }
    }
}
