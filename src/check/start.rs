//! The program that the image starts: where it is, and the chain from it to the kernel.

use std::sync::Arc;

use super::{Finding, Proof, programs::Share};
use crate::{
    elf::{
        Found, FoundKind, Lookup as _, ReadFailure, Sniffed,
        script::{self, Shebang},
        sniff,
    },
    path::{ImagePath, escape},
    process::{Access, User, UserError, locate},
};

/// Interpreters that may be scripts themselves, one above the other (`BINPRM` recursion in
/// `exec_binprm`).
const MAX_DEPTH: usize = 5;

impl Proof<'_> {
    /// The user of the configuration; root if it is unknown.
    pub(super) fn user(&mut self) -> Result<User, ReadFailure> {
        let text = self.start.user.as_deref().unwrap_or_default();
        Ok(User::resolve(self.view, text)?.unwrap_or_else(|error| {
            self.fault(match error {
                UserError::User(name) => Finding::User(name),
                UserError::Group(name) => Finding::Group(name),
            });
            User::root()
        }))
    }

    /// Checks that `user` can reach `path`, a real path, and may do `access` with it.
    pub(super) fn permit(&mut self, user: &User, path: &ImagePath, access: Access) {
        for dir in path.ancestors() {
            self.permit_one(user, &dir, Access::Search);
        }
        self.permit_one(user, path, access);
    }

    fn permit_one(&mut self, user: &User, path: &ImagePath, access: Access) {
        let Some(node) = self.view.tree().get(path) else { return };
        if !user.may(node, access) {
            let (path, mode) = (path.clone(), node.meta.mode);
            self.fault(Finding::Denied { path, access, mode, uid: user.uid });
        }
    }

    pub(super) fn workdir(&mut self) {
        for entry in &self.start.env {
            if !entry.contains('=') {
                self.warn(Finding::Variable(entry.clone()));
            }
        }
        let Some(dir) = self.start.workdir.clone() else { return };
        // One that is not there is made by the engine.
        let is_wrong = match self.view.tree().resolve(dir.as_bytes()) {
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
        self.permit(user, &found.path, Access::Execute);
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
                self.permit(user, &found.path, Access::Read);
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
