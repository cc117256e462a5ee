//! Errors in a Buildfile, each with its place in the text and, where there is one, a hint.

use std::fmt;

use super::source::{Source, Span};
use crate::path::is_printable;

/// The number of faults that are shown. The others are only counted.
const SHOWN: usize = 50;

/// All errors in a Buildfile, in the order of the text. Displays each with its line, a caret and a
/// hint, without a final newline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults {
    /// The file.
    pub source: Source,
    /// At least one.
    pub faults: Vec<Fault>,
}

/// One error in a Buildfile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The place in the text.
    pub span: Span,
    /// What is wrong.
    pub kind: FaultKind,
}

/// A warning about a Buildfile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Where; `None` if it has no place in the text.
    pub span: Option<Span>,
    /// What is wrong.
    pub kind: NoticeKind,
}

impl std::error::Error for Faults {}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut hinted = Vec::new();
        for (at, fault) in self.faults.iter().take(SHOWN).enumerate() {
            let gap = if at == 0 { "" } else { "\n\n" };
            write!(
                f,
                "{gap}{}\n{}",
                tidy(&fault.kind.to_string()),
                self.source.excerpt(fault.span)
            )?;
            // Thirty RUN lines need their hint only once.
            if let Some(hint) = fault.kind.hint().filter(|hint| !hinted.contains(hint)) {
                write!(f, "\nhint: {hint}")?;
                hinted.push(hint);
            }
        }
        match self.faults.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, "\n\nand {more} more"),
        }
    }
}

impl Notice {
    /// The notice with its place, formatted like [`Faults`].
    pub fn show(&self, source: &Source) -> String {
        match self.span {
            Some(span) => format!("{}\n{}", tidy(&self.kind.to_string()), source.excerpt(span)),
            None => tidy(&self.kind.to_string()),
        }
    }
}

/// A message that quotes the text, without what is not printable and shortened in the middle if it
/// is long.
fn tidy(message: &str) -> String {
    const ENDS: usize = 120;
    let shown = |char| if is_printable(char) { char } else { char::REPLACEMENT_CHARACTER };
    let count = message.chars().count();
    if count <= 2 * ENDS {
        return message.chars().map(shown).collect();
    }
    let (head, tail) = (message.chars().take(ENDS), message.chars().skip(count - ENDS));
    head.chain(['…']).chain(tail).map(shown).collect()
}

/// The kinds of [`Fault`]. `instruction` is the name in capitals; words are quoted from the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages describe the variants and name their fields")]
pub enum FaultKind {
    #[error("the file is {size} bytes long; {max} are allowed")]
    TooLong { size: usize, max: usize },
    #[error("the text is not UTF-8")]
    NotUtf8,
    #[error("the text contains a NUL byte")]
    Nul,
    #[error("there is no FROM, so there is nothing to build")]
    NoStage,
    #[error("{instruction} comes before the first FROM")]
    BeforeFrom { instruction: &'static str },
    #[error("the parser directive `{name}` is given twice")]
    DirectiveTwice { name: String },
    #[error("`{value}` cannot be the escape character")]
    BadEscape { value: String },
    #[error("unknown instruction `{name}`")]
    UnknownInstruction { name: String, near: Option<&'static str> },
    #[error("RUN is not supported: imgb executes nothing while it builds")]
    Run,
    #[error("ONBUILD is not supported")]
    Onbuild,

    #[error("{instruction} has no flag `--{name}`")]
    UnknownFlag { instruction: &'static str, name: String, near: Option<&'static str> },
    #[error("`--{name}` needs a value: `--{name}=...`")]
    FlagWithoutValue { name: String },
    #[error("`--{name}` is true or false, not `{value}`")]
    FlagNotBool { name: String, value: String },
    #[error("`--{name}` is given twice")]
    FlagTwice { name: String },
    #[error("{instruction} needs {wanted}")]
    Arguments { instruction: &'static str, wanted: &'static str, comment: bool },

    #[error("the here-document `{name}` has no end: no line is just `{name}`")]
    HeredocWithoutEnd { name: String },
    #[error("the name of the here-document is malformed")]
    HeredocName,
    #[error("{instruction} cannot take a here-document as its destination")]
    HeredocDestination { instruction: &'static str },
    #[error("the quote {quote} is not closed")]
    Quote { quote: char },
    #[error("the JSON array may contain only strings")]
    JsonStrings,
    #[error("{instruction} takes only a JSON array")]
    JsonOnly { instruction: &'static str },
    #[error("`{word}` has no `=`")]
    NoEquals { word: String },
    #[error("{instruction} has an empty name")]
    BlankName { instruction: &'static str },
    #[error("`{name}` cannot be the name of an argument")]
    ArgumentName { name: String },
    #[error("`{name}` cannot be the name of a stage")]
    StageName { name: String },

    #[error("`${{` has no `}}`")]
    NoBrace,
    #[error("`${{...}}` has no `/` after its pattern")]
    NoSlash,
    #[error("there is no variable in `${{...}}`")]
    BadSubstitution,
    #[error("`{modifier}` is not supported in `${{...}}`")]
    Modifier { modifier: String },
    #[error("the pattern `{pattern}` has a backslash that escapes nothing")]
    Pattern { pattern: String },
    #[error("variable `{name}`: {message}")]
    Required { name: String, message: String },
    #[error("variables are nested more than {max} deep")]
    TooDeep { max: usize },
    #[error("the expansion is too large")]
    TooLarge,
    #[error("`--from` takes no variables")]
    FromVariable,

    #[error("the name of the base image is empty")]
    BlankBase,
    #[error("there is no stage {index}: stages are numbered from 0 to {last}")]
    StageIndex { index: String, last: usize },
    #[error("stage `{name}` is defined later in the file")]
    StageLater { name: String },
    #[error("there is no stage `{name}` to build")]
    Target { name: String, near: Option<String> },
    #[error("{what} is empty")]
    Empty { what: &'static str },
    #[error("`{value}` is not a port: {why}")]
    Port { value: String, why: crate::image::PortError },
    #[error("`{value}` is not a signal")]
    Signal { value: String, near: Option<&'static str> },
    #[error("`{value}` is not a duration{why}")]
    Duration { value: String, why: &'static str },
    #[error("`{value}` is not a number from 0 to {max}")]
    Number { value: String, max: u32 },
    #[error("`{value}` is not a mode")]
    Mode { value: String },
    #[error("`{value}` is not an owner")]
    Owner { value: String },
    #[error("`{value}` is not one of {choices}")]
    Choice { value: String, choices: &'static str },
    #[error("`{value}` cannot be a path in the image: {why}")]
    Path { value: String, why: crate::path::PathError },
    #[error("`{path}` is outside the context")]
    OutsideContext { path: String },
    #[error("the pattern `{value}` cannot be read: {why}")]
    Glob { value: String, why: crate::path::glob::GlobError },
    #[error("unknown health check `{value}`")]
    HealthCheck { value: String },
    #[error("{instruction} with several sources needs a destination that ends in `/`")]
    NotADirectory { instruction: &'static str },
    #[error("{instruction} from a URL is not supported: `{url}`")]
    Url { instruction: &'static str, url: String },
    #[error("`--{flag}` is for downloaded sources, which imgb does not support")]
    RemoteFlag { flag: &'static str },
}

impl FaultKind {
    /// A hint for the user, if there is one.
    pub fn hint(&self) -> Option<String> {
        let fixed = match self {
            Self::UnknownInstruction { near: Some(near), .. } => {
                return Some(format!("did you mean `{near}`?"));
            }
            Self::UnknownInstruction { name, .. } if name.starts_with("//") => {
                "a comment starts with `#`"
            }
            Self::UnknownFlag { near: Some(near), .. } => {
                return Some(format!("did you mean `--{near}`?"));
            }
            Self::Target { near: Some(near), .. } => {
                return Some(format!("did you mean `{near}`?"));
            }
            Self::Signal { near: Some(near), .. } => {
                return Some(format!("did you mean `{near}`?"));
            }
            Self::NoStage => "start with `FROM scratch`",
            Self::BeforeFrom { .. } => "only ARG may come before it; start with `FROM scratch`",
            Self::BadEscape { .. } => "use `\\` or a backtick",
            Self::Run => {
                "create the files before the build and COPY them, or pack a program with \
                 everything it needs: `PACK curl`; for a base with packages, \
                 `ADD rootfs.tar.xz /`"
            }
            Self::Onbuild => "write the instructions in the Buildfile that starts from this image",
            Self::Arguments { comment: true, .. } => {
                "`#` starts a comment only at the start of a line"
            }
            Self::HeredocWithoutEnd { .. } => {
                "spaces before or after the word count; `<<-` allows tabs before it"
            }
            Self::Quote { .. } => {
                "close it, or write a backslash before a literal quote; COPY and ADD take names \
                 with spaces as [\"a b\", \"/c\"]"
            }
            Self::NoBrace => "a word ends at the first space outside quotes",
            Self::JsonOnly { .. } => "for example: SHELL [\"/bin/bash\", \"-c\"]",
            Self::NoEquals { .. } => "write name=value, in quotes if the value has spaces",
            Self::ArgumentName { .. } => {
                "only its value may have quotes and variables: ARG name=\"value\""
            }
            Self::StageName { .. } => {
                "start with a letter, followed by letters, digits, `-`, `_` and `.`"
            }
            Self::FromVariable => {
                "add a stage `FROM $VARIABLE AS name`, with the ARG before the first FROM, and \
                 copy from that stage"
            }
            Self::StageLater { .. } => "stages are built in order: move it before this one",
            Self::Port { .. } => "write 80, 80/udp or 8000-8010",
            Self::Duration { .. } => "write 30s, 1m30s or 500ms",
            Self::Mode { .. } => "write it in octal (0644) or as chmod does (u=rw,go=r)",
            Self::Owner { .. } => "write USER or USER:GROUP, by name or number",
            Self::HealthCheck { .. } => "write HEALTHCHECK CMD command, or HEALTHCHECK NONE",
            Self::NotADirectory { instruction: "PACK" } => {
                "or pack programs by name (PACK curl jq), each under its own path"
            }
            Self::Url { .. } => {
                "download it before the build, check its digest, and COPY or ADD the file"
            }
            Self::OutsideContext { .. } => "use a parent directory as the context",
            _ => return None,
        };
        Some(fixed.into())
    }
}

/// The kinds of [`Notice`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages describe the variants and name their fields")]
pub enum NoticeKind {
    #[error("the directive `syntax={value}` is ignored: imgb reads the file itself")]
    Syntax { value: String },
    #[error("the directive `check={value}` is ignored")]
    Check { value: String },
    #[error("an empty line inside an instruction; Docker plans to refuse these")]
    EmptyContinuation,
    #[error("the last line ends with a continuation, but no line follows")]
    CutOff,
    #[error("{instruction} with a space instead of `=` is deprecated: write name=value")]
    LegacyPair { instruction: &'static str },
    #[error("MAINTAINER is deprecated: write LABEL org.opencontainers.image.authors=...")]
    Maintainer,
    #[error("this looks like a JSON array but is not one, so it is taken as a shell command")]
    NotJson,
    #[error("`{word}` is taken as a file: flags come before the first file")]
    LateFlag { word: String },
    #[error("`#` is taken as a file: a comment starts only at the start of a line")]
    LateComment,
    #[error("the stage name `{name}` is used twice; the later one counts")]
    StageTwice { name: String },
    #[error("{instruction} `{name}` looks like a secret, and anyone who has the image can read it")]
    Secret { instruction: &'static str, name: String },
    #[error("variable `{name}` is not set and expands to nothing{}", did_you_mean(near.as_deref()))]
    Unset { name: String, near: Option<String> },
    #[error("build argument `{name}` is not used: no ARG declares it")]
    UnusedArgument { name: String },
    #[error("the first WORKDIR is relative, so it depends on the base image")]
    RelativeWorkdir,
}

fn did_you_mean(name: Option<&str>) -> String {
    name.map_or_else(String::new, |name| format!("; did you mean `{name}`?"))
}
