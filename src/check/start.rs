//! The program that the image starts, and the chain of interpreters from it to the kernel.

use std::collections::BTreeSet;

use super::{Finding, Findings, Subject, loader, runtime_files};
use crate::{
    elf::{
        self, Found, FoundKind, Lookup as _, ReadFailure, Root, Sniffed,
        script::{self, Shebang},
        sniff,
    },
    image::Config,
    path::ImagePath,
    process::{Access, User, UserError, locate},
    tree::ResolveError,
    view::View,
};

/// Interpreters that may be scripts themselves, one above the other (`BINPRM` recursion in
/// `exec_binprm`).
const MAX_DEPTH: usize = 5;

/// What the proof of the image's own program found out.
#[derive(Debug, Default)]
pub(super) struct Started {
    /// The program, with links resolved. `None` if none is named or it is missing.
    pub(super) program: Option<ImagePath>,
    /// The files that are executed or loaded on the way, with links resolved.
    pub(super) files: BTreeSet<ImagePath>,
    /// Whether any program of the image may be what runs in the end: if no program is named, or the
    /// program is a script.
    pub(super) needs_all: bool,
}

/// Proves that the image's own program starts: configuration, user, interpreters and libraries.
pub(super) fn prove(
    subject: &Subject<'_>,
    findings: &mut Findings,
) -> Result<Started, ReadFailure> {
    let user = user(subject, findings)?;
    check_variables(subject.config, findings);
    check_workdir(subject.view, subject.config, findings);
    let mut proof = StartProof { subject, user, findings, started: Started::default() };
    proof.follow()?;
    Ok(proof.started)
}

/// Proves that the program `name` starts as the image's own would, whose user is known.
pub(super) fn prove_program(
    subject: &Subject<'_>,
    name: &[u8],
    findings: &mut Findings,
) -> Result<(), ReadFailure> {
    let user = user(subject, &mut Findings::default())?;
    let mut proof = StartProof { subject, user, findings, started: Started::default() };
    proof.follow_program(name)
}

/// The user of the configuration; root if it is unknown.
fn user(subject: &Subject<'_>, findings: &mut Findings) -> Result<User, ReadFailure> {
    let text = subject.config.user.as_deref().unwrap_or_default();
    Ok(User::resolve(subject.view, text)?.unwrap_or_else(|error| {
        findings.fault(match error {
            UserError::User(name) => Finding::User(name),
            UserError::Group(name) => Finding::Group(name),
        });
        User::root()
    }))
}

fn check_variables(config: &Config, findings: &mut Findings) {
    for entry in config.env.iter().filter(|entry| !entry.contains('=')) {
        findings.warn(Finding::Variable(entry.clone()));
    }
}

/// Checks that the working directory is absolute, and is a directory or missing: the engine creates
/// a missing one.
fn check_workdir(view: &View<'_>, config: &Config, findings: &mut Findings) {
    let Some(dir) = &config.workdir else { return };
    let is_usable = match view.tree().resolve(dir.as_bytes()) {
        Ok(resolved) => resolved.is_directory,
        Err(error) => error == ResolveError::Missing,
    };
    if !is_usable || !dir.starts_with('/') {
        findings.fault(Finding::Workdir(dir.clone()));
    }
}

/// The proof of the image's own program, as far as it has come.
struct StartProof<'a> {
    subject: &'a Subject<'a>,
    user: User,
    findings: &'a mut Findings,
    started: Started,
}

impl StartProof<'_> {
    /// Follows the image's program to the kernel.
    fn follow(&mut self) -> Result<(), ReadFailure> {
        let config = self.subject.config;
        let Some(name) = config.command().first().map(|name| name.as_bytes().to_vec()) else {
            self.findings.warn(Finding::NoCommand);
            self.started.needs_all = true;
            return Ok(());
        };
        self.follow_program(&name)
    }

    /// Follows the program `name` to the kernel.
    fn follow_program(&mut self, name: &[u8]) -> Result<(), ReadFailure> {
        let config = self.subject.config;
        let workdir = config.workdir.as_deref().unwrap_or("/");
        let (mut opened, mut found) = match locate(self.subject.view, name, workdir, config.path())?
        {
            Ok(located) => located,
            Err(searched) => {
                let name = String::from_utf8_lossy(name).into_owned();
                self.findings.fault(Finding::Command { name, searched });
                return Ok(());
            }
        };
        self.started.program = Some(found.path.clone());
        for _ in 0..=MAX_DEPTH {
            let Some(line) = self.one(&opened, &found)? else { return Ok(()) };
            self.started.needs_all = true;
            match self.interpreter(&found.path, &line, workdir)? {
                Some(next) => (opened, found) = next,
                None => return Ok(()),
            }
        }
        let name = found.path.as_bytes().to_vec();
        let why = "too many interpreters that are scripts".into();
        self.findings.fault(Finding::Interpreter { script: found.path, name, why });
        Ok(())
    }

    /// Checks one file that is executed. Returns the first line of a script.
    fn one(&mut self, opened: &[u8], found: &Found) -> Result<Option<Shebang>, ReadFailure> {
        self.started.files.insert(found.path.clone());
        let FoundKind::File(_) = found.kind else {
            self.findings.fault(Finding::NotRegular(found.path.clone()));
            return Ok(None);
        };
        self.permit(&found.path, Access::Execute);
        let front = match self.subject.view.read(found, script::FIRST_LINE)? {
            Ok(front) => front,
            Err(error) => {
                let why = error.to_string();
                self.findings.fault(Finding::Loader { program: found.path.clone(), why });
                return Ok(None);
            }
        };
        Ok(match sniff(&front) {
            Sniffed::Elf => {
                self.elf(opened, found)?;
                None
            }
            Sniffed::Script => {
                self.permit(&found.path, Access::Read);
                let line = script::shebang(&front);
                if line.is_none() {
                    self.findings.fault(Finding::NoProgram(found.path.clone()));
                }
                line
            }
            Sniffed::Data => {
                self.findings.fault(Finding::NoProgram(found.path.clone()));
                None
            }
        })
    }

    /// The program that the first line of `script` leads to: its interpreter, or what `env` finds.
    fn interpreter(
        &mut self,
        script: &ImagePath,
        line: &Shebang,
        workdir: &str,
    ) -> Result<Option<(Vec<u8>, Found)>, ReadFailure> {
        let mut last = None;
        for name in [Some(&line.interpreter), line.command.as_ref()].into_iter().flatten() {
            if self.subject.may_be_missing(name) {
                return Ok(None);
            }
            // The kernel opens the interpreter's name as a path, even without a slash.
            let by_kernel = name == &line.interpreter && !name.contains(&b'/');
            let path = if by_kernel { [b"./", &name[..]].concat() } else { name.clone() };
            match locate(self.subject.view, &path, workdir, self.subject.config.path())? {
                Ok(located) => last = Some(located),
                Err(searched) => {
                    let why = format!("it is not in the image (searched {})", searched.join(", "));
                    let name = name.clone();
                    self.findings.fault(Finding::Interpreter { script: script.clone(), name, why });
                    return Ok(None);
                }
            }
            if line.command.is_some() && name == &line.interpreter {
                // `env` itself has to start before it searches PATH.
                let Some((opened, found)) = last.clone() else { return Ok(None) };
                self.one(&opened, &found)?;
            }
        }
        Ok(last)
    }

    /// Checks an ELF program, which is opened by the path `opened`, and what its loader opens.
    pub(super) fn elf(&mut self, opened: &[u8], found: &Found) -> Result<(), ReadFailure> {
        match self.subject.view.object(found)? {
            Ok(object) => {
                if let Some(finding) =
                    loader::other_machine(&self.subject.config.platform, &found.path, &object)
                {
                    self.findings.fault(finding);
                    return Ok(());
                }
            }
            Err(error) => {
                let why = error.to_string();
                self.findings.fault(Finding::Loader { program: found.path.clone(), why });
                return Ok(());
            }
        }
        let Ok(path) = ImagePath::new(opened) else { return Ok(()) };
        let closure = elf::closure(
            &[Root { path }],
            &loader::options(self.subject.config),
            self.subject.view,
        )?;
        let Some(program) = closure.programs.first() else { return Ok(()) };
        for finding in loader::findings(self.subject, &closure, program, &found.path) {
            self.findings.fault(finding);
        }
        if let Some(file) = program.interpreter.and_then(|index| closure.files.get(index)) {
            // The kernel opens it for execution.
            self.permit(&file.path, Access::Execute);
        }
        for file in &closure.files {
            let damage = loader::damage(self.subject.view, &found.path, &file.path)?;
            damage.into_iter().for_each(|finding| self.findings.fault(finding));
        }
        for file in program.loads.iter().filter_map(|&index| closure.files.get(index)) {
            self.permit(&file.path, Access::Read);
        }
        for path in runtime_files::missing(self.subject, &found.path) {
            let program = found.path.clone();
            self.findings.fault(Finding::Part { program, path });
        }
        self.started.files.extend(closure.files.into_iter().map(|file| file.path));
        Ok(())
    }

    /// Checks that the user can reach `path`, with links resolved, and may do `access` with it.
    fn permit(&mut self, path: &ImagePath, access: Access) {
        for dir in path.ancestors() {
            self.permit_one(&dir, Access::Search);
        }
        self.permit_one(path, access);
    }

    fn permit_one(&mut self, path: &ImagePath, access: Access) {
        let Some(node) = self.subject.view.tree().get(path) else { return };
        if !self.user.may(node, access) {
            let (path, mode, uid) = (path.clone(), node.meta.mode, self.user.uid);
            self.findings.fault(Finding::Denied { path, access, mode, uid });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        image::Platform,
        timestamp::Timestamp,
        tree::{Node, Tree},
    };

    #[test]
    fn the_working_directory_is_a_directory_or_missing() {
        let path = |text: &str| ImagePath::new(text).unwrap();
        let tree = Tree::from_iter([
            (path("/d"), Node::directory(0o755)),
            (path("/f"), Node::inline(0o644, *b"")),
            (path("/l"), Node::symlink(*b"l")),
        ]);
        let view = View::of_tree(&tree);
        for (dir, wanted) in [
            ("/d", 0),
            ("/d/gone", 0),
            ("/gone/x", 0),
            ("/f", 1),
            ("/f/x", 1),
            ("/l", 1),
            ("/l/x", 1),
            ("d", 1),
        ] {
            let config = Config::new(Platform::linux("amd64", None), Timestamp::default());
            let config = Config { workdir: Some(dir.into()), ..config };
            let mut findings = Findings::default();
            check_workdir(&view, &config, &mut findings);
            assert_eq!(findings.lists().0.len(), wanted, "{dir}");
        }
    }
}
