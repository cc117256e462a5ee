//! The findings of a check, as values and as sentences.

use std::fmt;

use crate::{
    elf::{Absence, Machine},
    image::Platform,
    path::{ImagePath, escape},
    process::Access,
};

/// One thing that is broken or odd.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Finding {
    /// Neither entrypoint nor command.
    NoCommand,
    /// The program is not in the image.
    Command {
        /// The program as the configuration names it.
        name: String,
        /// Where it was looked for.
        searched: Vec<String>,
    },
    /// A path that does not lead to a regular file.
    NotRegular(ImagePath),
    /// A file that the user may not use.
    Denied {
        /// The file or directory.
        path: ImagePath,
        /// The access that the user does not have.
        access: Access,
        /// Permission bits.
        mode: u16,
        /// User.
        uid: u32,
    },
    /// Neither ELF nor a script.
    NoProgram(ImagePath),
    /// A program or library for a machine other than the image's.
    Machine {
        /// The program or library.
        path: ImagePath,
        /// The machine it is made for.
        machine: Machine,
        /// The image's platform.
        platform: Platform,
    },
    /// A library that nothing in the image provides.
    Library {
        /// The program that cannot start.
        program: ImagePath,
        /// The file that needs the library.
        by: ImagePath,
        /// The library.
        name: Vec<u8>,
        /// Where it was looked for, and by which rule.
        searched: Vec<String>,
    },
    /// Another error at which the loader stops.
    Loader {
        /// The program that cannot start.
        program: ImagePath,
        /// The loader's reason.
        why: String,
    },
    /// A file that the program opens before anything else and cannot do without.
    Part {
        /// The program.
        program: ImagePath,
        /// The file.
        path: ImagePath,
    },
    /// The interpreter of a script is missing or does not work.
    Interpreter {
        /// The script.
        script: ImagePath,
        /// As the script names it.
        name: Vec<u8>,
        /// Why it does not work.
        why: String,
    },
    /// The user is not in `/etc/passwd`.
    User(String),
    /// The group is not in `/etc/group`.
    Group(String),
    /// The working directory is not a directory, or relative.
    Workdir(String),
    /// A variable without `=`.
    Variable(String),
    /// What keeps the health check from running.
    Health(Box<Finding>),
    /// A broken link: its target does not exist or cannot be reached.
    Link {
        /// The link.
        path: ImagePath,
        /// Its target.
        target: Vec<u8>,
        /// Why.
        why: Absence,
    },
    /// The loader's cache names a missing file, or is not a valid cache.
    Cache {
        /// The cache.
        path: ImagePath,
        /// What is wrong.
        why: String,
    },
    /// Directories for which no layer has an entry, so that engines create them as they see fit.
    Parents {
        /// One of them.
        example: ImagePath,
        /// How many.
        count: usize,
    },
    /// A directory for temporary files in which not every user can create files, or in which any
    /// user can remove the files of others.
    Temporary(ImagePath, u16),
    /// Files with capabilities that containers do not have by default, so that the kernel does not
    /// start them.
    Capabilities {
        /// One of the files.
        path: ImagePath,
        /// How many there are.
        count: usize,
        /// What Docker's containers lack, as `--cap-add` takes it.
        docker: Vec<String>,
        /// What podman's containers lack: `docker` and more.
        podman: Vec<String>,
    },
}

impl Finding {
    /// A word for the kind of finding; stable, for use in scripts.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NoCommand => "no-command",
            Self::Command { .. } => "command",
            Self::NotRegular(_) => "not-regular",
            Self::Denied { .. } => "denied",
            Self::NoProgram(_) => "no-program",
            Self::Machine { .. } => "machine",
            Self::Library { .. } => "library",
            Self::Loader { .. } => "loader",
            Self::Part { .. } => "part",
            Self::Interpreter { .. } => "interpreter",
            Self::User(_) => "user",
            Self::Group(_) => "group",
            Self::Workdir(_) => "workdir",
            Self::Variable(_) => "variable",
            Self::Health(_) => "health",
            Self::Link { .. } => "link",
            Self::Cache { .. } => "cache",
            Self::Parents { .. } => "parents",
            Self::Temporary(..) => "temporary",
            Self::Capabilities { .. } => "capabilities",
        }
    }

    /// The file that the finding is about.
    pub fn path(&self) -> Option<&ImagePath> {
        match self {
            Self::NotRegular(path)
            | Self::NoProgram(path)
            | Self::Temporary(path, _)
            | Self::Denied { path, .. }
            | Self::Machine { path, .. }
            | Self::Library { by: path, .. }
            | Self::Loader { program: path, .. }
            | Self::Part { path, .. }
            | Self::Interpreter { script: path, .. }
            | Self::Link { path, .. }
            | Self::Cache { path, .. }
            | Self::Capabilities { path, .. }
            | Self::Parents { example: path, .. } => Some(path),
            Self::Health(fault) => fault.path(),
            Self::NoCommand
            | Self::Command { .. }
            | Self::User(_)
            | Self::Group(_)
            | Self::Workdir(_)
            | Self::Variable(_) => None,
        }
    }

    /// The library or interpreter that it is about; findings of one kind and name differ only in
    /// the files that need it.
    pub fn name(&self) -> Option<String> {
        match self {
            Self::Library { name, .. } | Self::Interpreter { name, .. } => Some(escape(name)),
            _ => None,
        }
    }

    /// Where something missing was looked for.
    pub fn searched(&self) -> &[String] {
        match self {
            Self::Command { searched, .. } | Self::Library { searched, .. } => searched,
            Self::Health(fault) => fault.searched(),
            _ => &[],
        }
    }

    /// Whether only the configuration is at fault: it names a program, user or directory that the
    /// image does not have or cannot start. Docker builds such images too, since a program can be
    /// chosen, and files can be mounted, when the container is started.
    pub(super) fn is_of_configuration(&self) -> bool {
        matches!(
            self,
            Self::Command { .. }
                | Self::NotRegular(_)
                | Self::Denied { .. }
                | Self::NoProgram(_)
                | Self::User(_)
                | Self::Group(_)
                | Self::Workdir(_)
        )
    }

    /// Whether something does not work, as opposed to being unusual.
    pub(super) fn is_broken(&self) -> bool {
        !matches!(
            self,
            Self::NoCommand
                | Self::Variable(_)
                | Self::Parents { .. }
                | Self::Temporary(..)
                | Self::Capabilities { .. }
                | Self::Link { .. }
                | Self::Cache { .. }
        )
    }
}

/// That `example` and other directories, `count` in all, have no entries.
fn without_entries(example: &ImagePath, count: usize) -> String {
    let others = match count {
        0 | 1 => String::new(),
        more => format!(" and {} other directories", more - 1),
    };
    format!(
        "no layer has an entry for `{example}`{others}: docker 20.10 creates such directories with \
         mode 0600"
    )
}

/// In which engines `path` and other files, `count` in all, do not start, and the options that let
/// them start.
fn not_started(path: &ImagePath, count: usize, docker: &[String], podman: &[String]) -> String {
    let options = |names: &[String]| {
        let all = names.iter().map(|name| format!("--cap-add {name}")).collect::<Vec<_>>();
        format!("`{}`", all.join(" "))
    };
    let engines = match (docker, podman) {
        ([], podman) => format!("podman without {}", options(podman)),
        (docker, podman) if docker == podman => {
            format!("docker and podman without {}", options(docker))
        }
        (docker, podman) => {
            format!("docker without {}, nor in podman without {}", options(docker), options(podman))
        }
    };
    let files = match count {
        0 | 1 => format!("`{path}` does"),
        more => format!("`{path}` and {} other files do", more - 1),
    };
    format!("because of file capabilities, {files} not start in {engines}")
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |text: &str| escape(text.as_bytes());
        match self {
            Self::NoCommand => f.write_str("the image names no program to start"),
            Self::Command { name, .. } => {
                write!(f, "the program `{}` is not in the image", text(name))
            }
            Self::NotRegular(path) => write!(f, "`{path}` is not a regular file"),
            Self::Denied { path, access, mode, uid } => {
                write!(f, "user {uid} may not {access} `{path}`, whose mode is {mode:04o}")
            }
            Self::NoProgram(path) => {
                write!(f, "`{path}` is neither an ELF program nor a script with `#!`")
            }
            Self::Machine { path, machine, platform } => {
                write!(f, "`{path}` is made for {machine}, the image for {platform}")
            }
            Self::Library { program, by, name, .. } if program == by => {
                write!(f, "`{program}` needs `{}`, which is not in the image", escape(name))
            }
            Self::Library { program, by, name, .. } => {
                write!(
                    f,
                    "`{program}` needs `{}` through `{by}`, and it is not in the image",
                    escape(name)
                )
            }
            Self::Loader { program, why } => write!(f, "`{program}` cannot start: {why}"),
            Self::Part { program, path } => {
                write!(f, "`{program}` does not start without `{path}`, which is not in the image")
            }
            Self::Interpreter { script, name, why } => {
                write!(f, "the script `{script}` needs `{}`: {why}", escape(name))?;
                match name.ends_with(b"\r") {
                    true => f.write_str("; it has Windows line ends (CR LF)"),
                    false => Ok(()),
                }
            }
            Self::User(name) => write!(f, "the user `{}` is not in /etc/passwd", text(name)),
            Self::Group(name) => write!(f, "the group `{}` is not in /etc/group", text(name)),
            Self::Workdir(dir) => {
                write!(
                    f,
                    "the working directory `{}` is not the absolute path of a directory",
                    text(dir)
                )
            }
            Self::Variable(entry) => {
                write!(f, "the variable `{}` is malformed: expected NAME=VALUE", text(entry))
            }
            Self::Health(fault) => write!(f, "the health check cannot run: {fault}"),
            Self::Link { path, target, why } => {
                write!(f, "the link `{path}` to `{}` is broken: {why}", escape(target))
            }
            Self::Cache { path, why } => write!(f, "`{path}`: {why}"),
            Self::Parents { example, count } => f.write_str(&without_entries(example, *count)),
            Self::Temporary(path, mode) => {
                let so = if mode & 0o777 == 0o777 {
                    "can remove each other's files"
                } else {
                    "cannot write"
                };
                write!(f, "`{path}` has mode {mode:04o}, not 1777: users {so} there")
            }
            Self::Capabilities { path, count, docker, podman } => {
                f.write_str(&not_started(path, *count, docker, podman))
            }
        }
    }
}
