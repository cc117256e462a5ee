//! One piece of evidence: why a rule fired.

use std::{fmt, sync::Arc};

use super::LibcKind;
use crate::{
    ownership::Tie,
    path::{ImagePath, escape},
};

/// What made a rule fire. [`fmt::Display`] gives the phrase that users read:
/// `it imports getaddrinfo`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Evidence {
    /// The file is a program that the rule is about.
    Program,
    /// An object has the name of a library among its constants, and calls dlopen(3).
    Dlopen(Box<[u8]>),
    /// An object has the name of a library among its constants, and is linked with this library,
    /// which calls dlopen(3).
    DlopenThrough(Box<[u8]>, ImagePath),
    /// A script or configuration names this library.
    LibraryInText(Box<[u8]>),
    /// This object in an archive inside the file needs this library.
    Embedded(Box<[u8]>, Box<[u8]>),
    /// A program that calls system(3) or popen(3) has this command line among its constants, or a
    /// script in another language than that of a shell has it.
    CommandLine(Box<[u8]>),
    /// Such evidence for a library whose package that of the object asks for.
    Tied(Arc<Evidence>, Tie),
    /// An object or a script mentions what its own package or a related one owns.
    Owned(Box<[u8]>, Option<Tie>),
    /// The imports of a Python script lead to this module.
    ScriptModule(Box<[u8]>),
    /// A shell script has this word where a command stands.
    ScriptCommand(Box<[u8]>),
    /// As [`Evidence::ScriptCommand`], where the script cannot do without the command.
    ScriptNeeds(Box<[u8]>),
    /// A program that calls system(3) or popen(3) mentions this program of its own package.
    OwnProgram(ImagePath),
    /// A program that starts others has the name or path of this one, which its package or one
    /// that this depends on owns.
    Starts(Box<[u8]>),
    /// A script has an interpreter of this file name.
    ScriptInterpreter(Box<[u8]>),
    /// An object of this SONAME or file name is in the closure.
    Library(Box<[u8]>),
    /// A path among the constants of an object or in the text of a script.
    Constant(Box<[u8]>),
    /// An object imports this symbol.
    Symbol(Box<str>),
    /// The constants of a program contain this word.
    Word(Box<str>),
    /// The image's environment has this variable, `NAME=VALUE`.
    Environment(Box<str>),
    /// Another rule is followed.
    Rule(Box<str>),
    /// The file is a C library of this kind.
    Libc(LibcKind),
    /// The image's configuration names this user.
    User(Box<str>),
    /// The user asked for the rule: `--with`.
    Requested,
}

/// Where a library's name was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mention {
    /// The file that has the name.
    pub by: ImagePath,
    /// What the file says.
    pub evidence: Arc<Evidence>,
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Program => f.write_str("it is such a program"),
            Self::Dlopen(name) => write!(f, "it names {} and calls dlopen", escape(name)),
            Self::DlopenThrough(name, library) => {
                write!(f, "it names {} and needs {library}, which calls dlopen", escape(name))
            }
            Self::LibraryInText(name) => write!(f, "it names the library {}", escape(name)),
            Self::Embedded(member, name) => {
                write!(f, "{} in it needs {}", escape(member), escape(name))
            }
            Self::CommandLine(line) => write!(f, "it has the command line `{}`", escape(line)),
            Self::Tied(evidence, tie) => write!(f, "{evidence}; the library is {tie}"),
            Self::Owned(mention, None) => write!(f, "it names {}", escape(mention)),
            Self::Owned(mention, Some(tie)) => write!(f, "it names {}, {tie}", escape(mention)),
            Self::ScriptModule(name) => write!(f, "its imports lead to {}", escape(name)),
            Self::ScriptCommand(name) => {
                write!(f, "its script names the command {}", escape(name))
            }
            Self::ScriptNeeds(name) => write!(f, "its script needs the command {}", escape(name)),
            Self::OwnProgram(path) => write!(f, "it runs a shell, and {path} is of its package"),
            Self::Starts(name) => {
                write!(f, "it starts programs, and names {} of its packages", escape(name))
            }
            Self::ScriptInterpreter(name) => write!(f, "it is a script for {}", escape(name)),
            Self::Library(name) => write!(f, "{} is loaded", escape(name)),
            Self::Constant(path) => write!(f, "it names {}", escape(path)),
            Self::Symbol(name) => write!(f, "it imports {name}"),
            Self::Word(word) => write!(f, "it has the word {word}"),
            Self::Environment(variable) => {
                write!(f, "the image's environment has {variable}")
            }
            Self::Rule(name) => write!(f, "rule {name}"),
            Self::Libc(_) => f.write_str("it is the C library"),
            Self::User(user) => write!(f, "the image's user is {user}"),
            Self::Requested => f.write_str("--with"),
        }
    }
}

/// What the phrase of a piece of evidence says is in the text of a file, escaped; `None` if it says
/// nothing of a text.
pub fn mentioned(phrase: &str) -> Option<&str> {
    const STARTS: [&str; 6] = [
        "its script names the command ",
        "its script needs the command ",
        "its imports lead to ",
        "it names the library ",
        "it names ",
        "it has the command line `",
    ];
    let rest = STARTS.iter().find_map(|start| phrase.strip_prefix(start))?;
    // What ties the package of what is named to that of the file.
    let ends = ["; the library is ", ", of ", " and calls dlopen", " and needs "];
    let end = ends.iter().filter_map(|end| rest.find(end)).min().unwrap_or(rest.len());
    Some(rest.get(..end)?.trim_end_matches('`'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ownership::Bond;

    #[test]
    fn phrases_tell_what_a_text_has() {
        let tie = || Tie { package: "x".into(), bond: Bond::Own };
        for (evidence, wanted) in [
            (Evidence::ScriptCommand(b"ls"[..].into()), Some("ls")),
            (Evidence::ScriptNeeds(b"ls"[..].into()), Some("ls")),
            (Evidence::ScriptModule(b"yaml"[..].into()), Some("yaml")),
            (Evidence::LibraryInText(b"libx.so"[..].into()), Some("libx.so")),
            (Evidence::CommandLine(b"ls -l"[..].into()), Some("ls -l")),
            (Evidence::Owned(b"x/4"[..].into(), Some(tie())), Some("x/4")),
            (Evidence::Constant(b"/etc/\xff"[..].into()), Some(r"/etc/\xff")),
            (Evidence::Dlopen(b"libx.so"[..].into()), Some("libx.so")),
            (
                Evidence::Tied(Evidence::LibraryInText(b"libx.so"[..].into()).into(), tie()),
                Some("libx.so"),
            ),
            (Evidence::Symbol("getpwnam".into()), None),
            (Evidence::Requested, None),
        ] {
            assert_eq!(mentioned(&evidence.to_string()), wanted);
        }
    }

    #[test]
    fn phrases() {
        let text = |evidence: Evidence| evidence.to_string();
        let tie = |package: &str, bond| Tie { package: package.into(), bond };
        let phrases = [
            (Evidence::Program, "it is such a program"),
            (Evidence::Dlopen(b"libx.so"[..].into()), "it names libx.so and calls dlopen"),
            (
                Evidence::DlopenThrough(b"libx.so"[..].into(), ImagePath::new("/liby.so").unwrap()),
                "it names libx.so and needs /liby.so, which calls dlopen",
            ),
            (Evidence::LibraryInText(b"libx.so"[..].into()), "it names the library libx.so"),
            (
                Evidence::Embedded(b"lib/y.so"[..].into(), b"libx.so"[..].into()),
                "lib/y.so in it needs libx.so",
            ),
            (Evidence::CommandLine(b"ls -l"[..].into()), "it has the command line `ls -l`"),
            (
                Evidence::Tied(
                    Evidence::Dlopen(b"libx.so"[..].into()).into(),
                    tie("libx1", Bond::Depends),
                ),
                "it names libx.so and calls dlopen; the library is of libx1, which its package \
                 depends on",
            ),
            (Evidence::Owned(b"x/4"[..].into(), None), "it names x/4"),
            (Evidence::Owned(b"x/4"[..].into(), Some(tie("x", Bond::Own))), "it names x/4, of x"),
            (
                Evidence::Owned(b"x"[..].into(), Some(tie("x-data", Bond::Recommends))),
                "it names x, of x-data, which its package recommends",
            ),
            (Evidence::ScriptModule(b"yaml"[..].into()), "its imports lead to yaml"),
            (Evidence::ScriptCommand(b"ls"[..].into()), "its script names the command ls"),
            (Evidence::ScriptNeeds(b"ls"[..].into()), "its script needs the command ls"),
            (
                Evidence::OwnProgram(ImagePath::new("/usr/lib/x/y").unwrap()),
                "it runs a shell, and /usr/lib/x/y is of its package",
            ),
            (
                Evidence::Starts(b"x-cpp"[..].into()),
                "it starts programs, and names x-cpp of its packages",
            ),
            (Evidence::ScriptInterpreter(b"perl"[..].into()), "it is a script for perl"),
            (Evidence::Library(b"libssl.so.3"[..].into()), "libssl.so.3 is loaded"),
            (Evidence::Constant(b"/etc/\xff"[..].into()), r"it names /etc/\xff"),
            (Evidence::Symbol("getpwnam".into()), "it imports getpwnam"),
            (Evidence::Word("os/user".into()), "it has the word os/user"),
            (Evidence::Environment("TZ=UTC".into()), "the image's environment has TZ=UTC"),
            (Evidence::Rule("php".into()), "rule php"),
            (Evidence::Libc(LibcKind::Musl), "it is the C library"),
            (Evidence::User("1000".into()), "the image's user is 1000"),
            (Evidence::Requested, "--with"),
        ];
        for (evidence, phrase) in phrases {
            assert_eq!(text(evidence), phrase);
        }
    }
}
