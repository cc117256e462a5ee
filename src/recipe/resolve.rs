//! Turns one instruction into its [`Action`]. Also checks values that depend on no variable, before
//! variables are known.

mod copy;

use crate::image::{Ports, SignalError, StopSignal};
use crate::path::{ImagePath, PathError, glob::clean};

use super::action::{Action, CopyFrom, Dest, Mkdir, Pack, Soft};
use super::budget::Budget;
use super::expand::{self, Scope};
use super::fault::{Fault, FaultKind};
use super::mode::Mode;
use super::owner::Owner;
use super::source::Span;
use super::{Argument, Command, Instruction, Pair, Word};

/// Finds what `--from` names.
pub(super) type FindStage<'a> = dyn Fn(&str) -> Result<CopyFrom, FaultKind> + 'a;

/// Resolves the words of instructions.
pub(super) struct Resolver<'a> {
    pub escape: char,
    /// `None` while no variables are known: the syntax of words with variables is checked then, and
    /// nothing else.
    pub scope: Option<&'a Scope>,
    pub budget: &'a mut Budget,
    pub workdir: &'a ImagePath,
    pub shell: &'a [String],
    pub find_stage: &'a FindStage<'a>,
    pub faults: &'a mut Vec<Fault>,
    /// Variables that are not set, with their positions.
    pub unset: Vec<(Span, String)>,
}

impl Resolver<'_> {
    /// What the instruction does. `None` after a fault, or if it has variables and they are not
    /// known.
    pub(super) fn action(&mut self, instruction: &Instruction) -> Option<Action> {
        Some(match instruction {
            Instruction::Add(transfer) => Action::Copy(self.transfer("ADD", transfer)?),
            Instruction::Annotation(pairs) => Action::Annotation(self.pairs("ANNOTATION", pairs)?),
            // Its values depend on the command line: see `Evaluator::argument`.
            Instruction::Arg(arguments) => return self.arguments(arguments),
            Instruction::Cap { file, capabilities } => {
                let capabilities = self.filled(capabilities, "the capability");
                Action::Cap { file: self.path(file)?, capabilities: capabilities? }
            }
            Instruction::Cmd(command) => Action::Cmd(self.command(command)),
            Instruction::Copy(transfer) => Action::Copy(self.transfer("COPY", transfer)?),
            Instruction::Entrypoint(command) => Action::Entrypoint(self.command(command)),
            Instruction::Env(pairs) => Action::Env(self.pairs("ENV", pairs)?),
            Instruction::Expose(words) => Action::Expose(self.ports(words)?),
            Instruction::Healthcheck(health) => Action::Healthcheck(health.clone()),
            Instruction::Label(pairs) => Action::Label(self.pairs("LABEL", pairs)?),
            Instruction::Maintainer(word) => Action::Maintainer(word.text.clone()),
            Instruction::Mkdir { dirs, mode, chown } => {
                let (mode, owner) = (self.mode(mode.as_ref()), self.owner(chown.as_ref()));
                let dirs = self.all(dirs, Self::path);
                Action::Mkdir(Mkdir { dirs: dirs?, mode: mode?, owner: owner? })
            }
            Instruction::Pack(pack) => Action::Pack(self.pack(pack)?),
            Instruction::Shell(words) => Action::Shell(words.clone()),
            Instruction::Stopsignal(word) => Action::StopSignal(self.signal(word)?),
            Instruction::Symlink { target, link } => {
                let held = self.expand(target);
                let held = held.and_then(|text| self.link_target(target.span, text));
                Action::Symlink { link: self.path(link)?, target: held? }
            }
            Instruction::User(word) => Action::User(self.expand(word)?),
            Instruction::Volume(words) => Action::Volume(self.all(words, Self::volume)?),
            Instruction::Workdir(word) => Action::Workdir(self.path(word)?),
        })
    }

    /// The text of a word; `None` as in [`Resolver::action`].
    pub(super) fn expand(&mut self, word: &Word) -> Option<String> {
        let mode = expand::Mode::Word { escape: self.escape };
        self.expand_as(word, mode)
    }

    fn expand_as(&mut self, word: &Word, mode: expand::Mode) -> Option<String> {
        // A word in which lines were joined or quotes removed is marked as a whole.
        let verbatim = word.span.end - word.span.start == word.text.len();
        let place = |at: usize| Span {
            start: word.span.start + if verbatim { at } else { 0 },
            end: word.span.end,
        };
        let known = match self.scope {
            None if word.text.contains('$') => {
                let checked = expand::check(&word.text, mode).err();
                self.faults
                    .extend(checked.map(|error| Fault { span: place(error.at), kind: error.kind }));
                return None;
            }
            None => &Scope::default(),
            Some(scope) => scope,
        };
        match expand::expand(&word.text, mode, known, self.budget) {
            Ok(expanded) => {
                self.unset.extend(expanded.unset.into_iter().map(|(at, name)| (place(at), name)));
                Some(expanded.text)
            }
            Err(error) => {
                self.faults.push(Fault { span: place(error.at), kind: error.kind });
                None
            }
        }
    }

    fn fault(&mut self, span: Span, kind: FaultKind) {
        self.faults.push(Fault { span, kind });
    }

    /// Reports a value that could not be parsed.
    fn value<T>(
        &mut self,
        span: Span,
        value: Option<T>,
        kind: impl FnOnce() -> FaultKind,
    ) -> Option<T> {
        if value.is_none() {
            self.fault(span, kind());
        }
        value
    }

    /// The text of a word, which must not be empty.
    fn filled(&mut self, word: &Word, what: &'static str) -> Option<String> {
        let text = self.expand(word)?;
        self.value(word.span, (!text.is_empty()).then_some(text), || FaultKind::Empty { what })
    }

    /// The results for all words, or `None` if one failed; all are tried.
    fn all<T>(
        &mut self,
        words: &[Word],
        mut each: impl FnMut(&mut Self, &Word) -> Option<T>,
    ) -> Option<Vec<T>> {
        let tried: Vec<Option<T>> = words.iter().map(|word| each(self, word)).collect();
        tried.into_iter().collect()
    }

    fn pairs(
        &mut self,
        instruction: &'static str,
        pairs: &[Pair],
    ) -> Option<Vec<(String, String)>> {
        let tried: Vec<_> = pairs
            .iter()
            .map(|pair| {
                let name = self.expand(&pair.name).and_then(|name| {
                    let named = (!name.is_empty()).then_some(name);
                    self.value(pair.name.span, named, || FaultKind::BlankName { instruction })
                });
                let value = self.expand(&pair.value);
                Some((name?, value?))
            })
            .collect();
        tried.into_iter().collect()
    }

    fn arguments(&mut self, arguments: &[Argument]) -> Option<Action> {
        for argument in arguments {
            if self.scope.is_none() {
                argument.default.as_ref().map(|default| self.expand(default));
            }
        }
        None
    }

    /// A path relative to the working directory. As in Docker, `..` stops at the root.
    fn path(&mut self, word: &Word) -> Option<ImagePath> {
        let text = self.filled(word, "the path")?;
        self.under_workdir(word.span, &text)
    }

    fn under_workdir(&mut self, span: Span, text: &str) -> Option<ImagePath> {
        let rooted = if text.starts_with('/') {
            text.as_bytes().to_vec()
        } else {
            [self.workdir.as_bytes(), b"/", text.as_bytes()].concat()
        };
        self.image_path(span, text, ImagePath::new(clean(&rooted)))
    }

    fn image_path(
        &mut self,
        span: Span,
        text: &str,
        path: Result<ImagePath, PathError>,
    ) -> Option<ImagePath> {
        path.map_err(|why| self.fault(span, FaultKind::Path { value: text.into(), why })).ok()
    }

    fn dest(&mut self, word: &Word) -> Option<Dest> {
        let text = self.expand(word)?;
        self.dest_at(word.span, &text)
    }

    fn dest_at(&mut self, span: Span, text: &str) -> Option<Dest> {
        // As in Docker, `dir/.` is the file `dir` if that does not exist.
        let is_dir = matches!(text, "" | ".") || text.ends_with('/');
        Some(Dest { path: self.under_workdir(span, text)?, is_dir })
    }

    fn command(&mut self, command: &Command) -> Vec<String> {
        match command {
            Command::Exec(words) => words.clone(),
            Command::Shell(text) if text.is_empty() => self.shell.to_vec(),
            Command::Shell(text) => self.shell.iter().cloned().chain([text.clone()]).collect(),
        }
    }

    fn mode(&mut self, word: Option<&Word>) -> Option<Option<Mode>> {
        let Some(word) = word else { return Some(None) };
        let value = self.expand(word)?;
        if value.is_empty() {
            return Some(None);
        }
        self.value(word.span, Mode::parse(&value), || FaultKind::Mode { value }).map(Some)
    }

    fn owner(&mut self, word: Option<&Word>) -> Option<Option<Owner>> {
        let Some(word) = word else { return Some(None) };
        let value = self.expand(word)?;
        if value.is_empty() {
            return Some(None);
        }
        self.value(word.span, Owner::parse(&value), || FaultKind::Owner { value }).map(Some)
    }

    fn ports(&mut self, words: &[Word]) -> Option<Vec<Ports>> {
        let lists = self.all(words, |this, word| {
            // One variable may contain several ports.
            let text = this.expand(word)?;
            let ports = text.split_whitespace().map(|value| {
                let ports = Ports::parse_published(value);
                ports
                    .map_err(|why| {
                        this.fault(word.span, FaultKind::Port { value: value.into(), why });
                    })
                    .ok()
            });
            ports.collect::<Option<Vec<_>>>()
        });
        Some(lists?.concat())
    }

    fn signal(&mut self, word: &Word) -> Option<StopSignal> {
        let value = self.expand(word)?;
        let signal = value.parse::<StopSignal>();
        signal
            .map_err(|SignalError { suggestion }| {
                self.fault(word.span, FaultKind::Signal { value, near: suggestion });
            })
            .ok()
    }

    fn volume(&mut self, word: &Word) -> Option<String> {
        let text = self.expand(word)?;
        let text = text.trim();
        self.value(word.span, (!text.is_empty()).then(|| text.into()), || FaultKind::Empty {
            what: "the volume",
        })
    }

    fn link_target(&mut self, span: Span, text: String) -> Option<String> {
        let why = match text.len() {
            0 => return self.value(span, None, || FaultKind::Empty { what: "the target" }),
            1..=ImagePath::MAX => return Some(text),
            _ => PathError::TooLong,
        };
        self.fault(span, FaultKind::Path { value: text, why });
        None
    }

    fn pack(&mut self, pack: &super::Pack) -> Option<Pack> {
        let soft = self.soft(pack.soft.as_ref());
        let library_path = self.all(&pack.library_path, Self::expand);
        let sysroot = pack.sysroot.as_ref().map(|word| self.expand(word));
        let (last, others) = pack.words.split_last()?;
        let mut programs = self.all(others, Self::program);
        let text = self.program(last)?;
        let is_dest = !others.is_empty() && (text.starts_with('/') || text.ends_with('/'));
        let dest = if is_dest { Some(self.dest_at(last.span, &text)?) } else { None };
        match &dest {
            Some(Dest { is_dir: false, .. }) if others.len() > 1 => {
                self.fault(last.span, FaultKind::NotADirectory { instruction: "PACK" });
                return None;
            }
            Some(_) => {}
            None => programs.iter_mut().for_each(|programs| programs.push(text.clone())),
        }
        let sysroot = match sysroot {
            Some(sysroot) => Some(sysroot?),
            None => None,
        };
        Some(Pack { programs: programs?, dest, soft: soft?, library_path: library_path?, sysroot })
    }

    fn program(&mut self, word: &Word) -> Option<String> {
        self.filled(word, "the program")
    }

    fn soft(&mut self, word: Option<&Word>) -> Option<Option<Soft>> {
        let Some(word) = word else { return Some(None) };
        let soft = match self.expand(word)?.as_str() {
            "none" => Soft::None,
            "auto" => Soft::Auto,
            "all" => Soft::All,
            value => {
                self.fault(
                    word.span,
                    FaultKind::Choice { value: value.into(), choices: "none, auto and all" },
                );
                return None;
            }
        };
        Some(Some(soft))
    }
}
