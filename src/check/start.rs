//! The program that the image starts: where it is, and the chain from it to the kernel.

use std::sync::Arc;

use super::{Finding, Proof, Start, programs::Share, user::User};
use crate::{
    elf::{
        Found, FoundKind, Lookup, ReadFailure, Sniffed,
        script::{self, Shebang},
        sniff,
    },
    path::{ImagePath, escape},
    source::TreeView,
};

/// Where runtimes look for a program when the image sets no PATH.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Interpreters that may be scripts themselves, one above the other (`BINPRM` recursion in
/// `exec_binprm`).
const MAX_DEPTH: usize = 5;

/// The path by which a program is opened and the file there, or the places that were searched.
pub(super) type Located = Result<(Vec<u8>, Found), Vec<String>>;

/// Where the program `name` is when it is started in `workdir` with this PATH: the path that is
/// opened, and what stands there. With a slash in it, it is a path; else the first regular file
/// with an execute bit in PATH is taken, as in execvp(3).
///
/// Where it is nowhere: the places that were searched.
///
/// # Errors
/// [`ReadFailure`]
pub fn locate(
    view: &TreeView<'_>,
    name: &[u8],
    workdir: &str,
    path: &str,
) -> Result<Located, ReadFailure> {
    let candidates: Vec<Vec<u8>> = match (name.first(), name.contains(&b'/')) {
        (Some(b'/'), _) => vec![name.to_vec()],
        (_, true) => vec![[workdir.as_bytes(), b"/", name].concat()],
        _ => {
            let dirs = path.split(':').filter(|dir| dir.starts_with('/'));
            dirs.map(|dir| [dir.as_bytes(), b"/", name].concat()).collect()
        }
    };
    let is_path = name.contains(&b'/');
    let executable = |found: &Found| {
        let mode = view.tree().get(&found.path).map_or(0, |node| node.meta.mode);
        matches!(found.kind, FoundKind::File(_)) && mode & 0o111 != 0
    };
    for candidate in &candidates {
        if let Ok(found) = view.find(candidate)?
            && (is_path || executable(&found))
        {
            return Ok(Ok((candidate.clone(), found)));
        }
    }
    Ok(Err(candidates.iter().map(|candidate| escape(candidate)).collect()))
}

impl Start {
    /// PATH, or what runtimes set without one.
    pub fn path(&self) -> &str {
        self.variable("PATH").unwrap_or(DEFAULT_PATH)
    }
}

impl Proof<'_> {
    pub(super) fn workdir(&mut self) {
        for entry in &self.start.env {
            if !entry.contains('=') {
                self.warn(Finding::Variable(entry.clone()));
            }
        }
        let Some(dir) = self.start.workdir.clone() else { return };
        // One that is not there is made by the engine.
        let is_wrong = match self.view.resolve(dir.as_bytes()) {
            Ok(resolved) => !resolved.is_directory,
            Err(_) => false,
        };
        if is_wrong || !dir.starts_with('/') {
            self.fault(Finding::Workdir(dir));
        }
    }

    /// Follows the image's program to the kernel. Returns whether any program of the image may be
    /// what runs in the end: where none is named, and where a script is.
    pub(super) fn program(&mut self, user: &User) -> Result<Share, ReadFailure> {
        let Some(name) = self.start.command().first().map(|name| name.as_bytes().to_vec()) else {
            self.warn(Finding::NoCommand);
            return Ok(Share::All);
        };
        let workdir = self.start.workdir.clone().unwrap_or_else(|| "/".into());
        let (mut opened, mut found) = match locate(self.view, &name, &workdir, self.start.path())? {
            Ok(located) => located,
            Err(searched) => {
                let name = String::from_utf8_lossy(&name).into_owned();
                self.fault(Finding::Command { name, searched });
                return Ok(Share::Rest);
            }
        };
        self.report.program = Some(found.path.clone());
        let mut share = Share::Rest;
        for _ in 0..=MAX_DEPTH {
            match self.one(user, &opened, &found)? {
                None => return Ok(share),
                Some(line) => {
                    share = Share::All;
                    let script = found.path.clone();
                    match self.interpreter(user, &script, &line, &workdir)? {
                        Some(next) => (opened, found) = next,
                        None => return Ok(share),
                    }
                }
            }
        }
        let name = found.path.as_bytes().to_vec();
        let why = "too many interpreters that are scripts".into();
        self.fault(Finding::Interpreter { script: found.path, name, why });
        Ok(share)
    }

    /// One file on the way; a script's first line, if it is one.
    fn one(
        &mut self,
        user: &User,
        opened: &[u8],
        found: &Found,
    ) -> Result<Option<Shebang>, ReadFailure> {
        self.on_the_way.insert(found.path.clone());
        let FoundKind::File(_) = found.kind else {
            self.fault(Finding::NotRegular(found.path.clone()));
            return Ok(None);
        };
        self.permit(user, &found.path, "execute");
        let front = match self.view.read(found, script::FIRST_LINE)? {
            Ok(front) => front,
            Err(error) => {
                let why = error.to_string();
                self.fault(Finding::Loader { program: found.path.clone(), why });
                return Ok(None);
            }
        };
        Ok(match sniff(&front) {
            Sniffed::Elf => {
                self.elf(user, opened, found)?;
                None
            }
            Sniffed::Script => {
                self.permit(user, &found.path, "read");
                let line = script::shebang(&front);
                if line.is_none() {
                    self.fault(Finding::NoProgram(found.path.clone()));
                }
                line
            }
            Sniffed::Data => {
                self.fault(Finding::NoProgram(found.path.clone()));
                None
            }
        })
    }

    /// What the first line of `script` leads to: its interpreter, or what `env` finds.
    fn interpreter(
        &mut self,
        user: &User,
        script: &ImagePath,
        line: &Shebang,
        workdir: &str,
    ) -> Result<Option<(Vec<u8>, Found)>, ReadFailure> {
        let mut last = None;
        for name in [Some(&line.interpreter), line.command.as_ref()].into_iter().flatten() {
            if self.may_be_missing(name) {
                return Ok(None);
            }
            // The kernel opens the interpreter's name as a path, whatever it looks like.
            let by_kernel = name == &line.interpreter && !name.contains(&b'/');
            let path = if by_kernel { [b"./", &name[..]].concat() } else { name.clone() };
            match locate(self.view, &path, workdir, self.start.path())? {
                Ok(located) => last = Some(located),
                Err(searched) => {
                    let why = format!("it is not in the image (searched {})", searched.join(", "));
                    let name = name.clone();
                    self.fault(Finding::Interpreter { script: script.clone(), name, why });
                    return Ok(None);
                }
            }
            if line.command.is_some() && name == &line.interpreter {
                // `env` itself has to start before it can look for anything.
                let Some((opened, found)) = last.clone() else { return Ok(None) };
                self.one(user, &opened, &found)?;
            }
        }
        Ok(last)
    }
}

/// Text of a loader's bytes.
pub(super) fn text(bytes: &Arc<[u8]>) -> String {
    escape(bytes)
}
