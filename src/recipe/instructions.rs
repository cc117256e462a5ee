//! Reads the words of one instruction.

mod healthcheck;

use super::fault::{Fault, FaultKind, Notice, NoticeKind};
use super::flags::{Flags, OWN};
use super::source::Span;
use super::words::{Json, LineRest, json};
use super::{
    Argument, Command, From, Heredoc, Instruction, Pack, Pair, Transfer, TransferSource, Word,
};

/// Reads the words of one instruction.
pub(super) struct InstructionReader<'a, 'f> {
    /// The name in capitals.
    pub name: &'static str,
    /// The position of the name.
    pub keyword: Span,
    /// What follows the name and flags.
    pub rest: LineRest<'a>,
    pub flags: Flags,
    pub escape: char,
    /// The here-documents that the words announce, in order.
    pub heredocs: Vec<Heredoc>,
    pub faults: &'f mut Vec<Fault>,
    pub notices: &'f mut Vec<Notice>,
}

impl InstructionReader<'_, '_> {
    /// The instruction; `None` after a fault.
    pub(super) fn instruction(&mut self) -> Option<Instruction> {
        Some(match self.name {
            "ADD" => Instruction::Add(self.transfer()?),
            "ANNOTATION" => Instruction::Annotation(self.pairs()?),
            "ARG" => Instruction::Arg(self.arguments()?),
            "CAP" => {
                let [file, capabilities] = self.exactly("a file and its capabilities")?;
                Instruction::Cap { file, capabilities }
            }
            "CMD" => Instruction::Cmd(self.command()?),
            "COPY" => Instruction::Copy(self.transfer()?),
            "ENTRYPOINT" => Instruction::Entrypoint(match self.command()? {
                // As in Docker, an empty text clears the entrypoint of the base image.
                Command::Shell(text) if text.is_empty() => Command::Exec(Vec::new()),
                command => command,
            }),
            "ENV" => Instruction::Env(self.pairs()?),
            "EXPOSE" => Instruction::Expose(self.at_least(1, "a port")?),
            "HEALTHCHECK" => Instruction::Healthcheck(self.health()?),
            "LABEL" => Instruction::Label(self.pairs()?),
            "MAINTAINER" => {
                self.notice(self.keyword, NoticeKind::Maintainer);
                Instruction::Maintainer(self.line("a name")?)
            }
            "MKDIR" => {
                let dirs = self.at_least(1, "a directory")?;
                Instruction::Mkdir {
                    dirs,
                    mode: self.flags.value("mode"),
                    chown: self.flags.value("chown"),
                }
            }
            "PACK" => Instruction::Pack(Pack {
                words: self.at_least(1, "a program")?,
                soft: self.flags.value("soft"),
                library_path: self.flags.values("library-path"),
                sysroot: self.flags.value("sysroot"),
            }),
            "SHELL" => Instruction::Shell(self.shell()?),
            "STOPSIGNAL" => Instruction::Stopsignal(self.line("a signal")?),
            "SYMLINK" => {
                let [target, link] = self.exactly("a target and the path of the link")?;
                Instruction::Symlink { target, link }
            }
            "USER" => Instruction::User(self.line("a user")?),
            "VOLUME" => Instruction::Volume(self.list()?),
            _ => Instruction::Workdir(self.line("a directory")?),
        })
    }

    /// FROM.
    pub(super) fn from(&mut self) -> Option<From> {
        let words = self.rest.words();
        let platform = self.flags.value("platform").filter(|word| !word.text.is_empty());
        let (base, alias) = match &words[..] {
            [base] => (base, None),
            [base, r#as, name] if r#as.text.eq_ignore_ascii_case("as") => {
                (base, Some(self.stage_name(name)?))
            }
            _ => {
                self.wrong_arguments("an image, optionally with `AS` and a name", &words, 1);
                return None;
            }
        };
        Some(From { base: base.clone(), alias, platform })
    }

    fn stage_name(&mut self, word: &Word) -> Option<String> {
        let name = word.text.to_ascii_lowercase();
        let fits = name.starts_with(|char: char| char.is_ascii_lowercase())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        if !fits {
            self.fault(word.span, FaultKind::StageName { name: word.text.clone() });
        }
        fits.then_some(name)
    }

    fn fault(&mut self, span: Span, kind: FaultKind) {
        self.faults.push(Fault { span, kind });
    }

    fn notice(&mut self, span: Span, kind: NoticeKind) {
        self.notices.push(Notice { span: Some(span), kind });
    }

    /// Reports too few words, or one too many, which is `words[most]`.
    fn wrong_arguments(&mut self, wanted: &'static str, words: &[Word], most: usize) {
        let comment = words.iter().any(|word| word.text.starts_with('#'));
        let span = words.get(most).map_or(self.keyword, |word| word.span);
        self.fault(span, FaultKind::Arguments { instruction: self.name, wanted, comment });
    }

    /// The words, without a comment in instructions that allow one.
    fn words(&mut self) -> Vec<Word> {
        if !OWN.contains(&self.name) {
            return self.rest.words();
        }
        let mut words = self.rest.quoted_words(self.escape);
        let comment = words.iter().position(|word| word.text.starts_with('#'));
        words.truncate(comment.unwrap_or(words.len()));
        words
    }

    fn at_least(&mut self, least: usize, wanted: &'static str) -> Option<Vec<Word>> {
        let words = self.words();
        if words.len() < least {
            self.wrong_arguments(wanted, &words, usize::MAX);
            return None;
        }
        Some(words)
    }

    fn exactly<const N: usize>(&mut self, wanted: &'static str) -> Option<[Word; N]> {
        let words = self.words();
        <[Word; N]>::try_from(words).map_err(|words| self.wrong_arguments(wanted, &words, N)).ok()
    }

    /// The rest of the line, including spaces.
    fn line(&mut self, wanted: &'static str) -> Option<Word> {
        let word = self.rest.word();
        if word.text.is_empty() {
            self.wrong_arguments(wanted, &[], 0);
            return None;
        }
        Some(word)
    }

    /// A JSON array, or words between spaces; at least one.
    fn list(&mut self) -> Option<Vec<Word>> {
        let words = self.json_or_words()?;
        if words.is_empty() {
            self.wrong_arguments("a path", &[], 0);
            return None;
        }
        Some(words)
    }

    fn json_or_words(&mut self) -> Option<Vec<Word>> {
        let span = self.rest.word().span;
        match json(self.rest.text()) {
            Json::Strings(strings) => {
                Some(strings.into_iter().map(|text| Word { text, span }).collect())
            }
            Json::Others => {
                self.fault(span, FaultKind::JsonStrings);
                None
            }
            Json::No => Some(self.rest.words()),
        }
    }

    fn command(&mut self) -> Option<Command> {
        self.command_of(self.rest)
    }

    fn command_of(&mut self, rest: LineRest<'_>) -> Option<Command> {
        let word = rest.word();
        match json(&word.text) {
            Json::Strings(words) => Some(Command::Exec(words)),
            Json::Others => {
                self.fault(word.span, FaultKind::JsonStrings);
                None
            }
            Json::No => {
                if word.text.starts_with('[') && word.text.ends_with(']') {
                    self.notice(word.span, NoticeKind::NotJson);
                }
                Some(Command::Shell(word.text))
            }
        }
    }

    fn shell(&mut self) -> Option<Vec<String>> {
        match self.command()? {
            Command::Exec(words) if !words.is_empty() => Some(words),
            _ => {
                let word = self.rest.word();
                let span = if word.text.is_empty() { self.keyword } else { word.span };
                self.fault(span, FaultKind::JsonOnly { instruction: self.name });
                None
            }
        }
    }

    fn arguments(&mut self) -> Option<Vec<Argument>> {
        let words = self.rest.quoted_words(self.escape);
        if words.is_empty() {
            self.wrong_arguments("a name", &[], 0);
            return None;
        }
        let mut out = Vec::new();
        for word in words {
            let (name, default) = split(&word);
            if name.text.is_empty() {
                self.fault(word.span, FaultKind::BlankName { instruction: self.name });
                continue;
            }
            if name.text.contains(['"', '\'', '$', '\\', '`']) {
                self.fault(name.span, FaultKind::ArgumentName { name: name.text });
                continue;
            }
            self.suspect(&name);
            out.push(Argument { name, default });
        }
        (!out.is_empty()).then_some(out)
    }

    fn pairs(&mut self) -> Option<Vec<Pair>> {
        let words = match OWN.contains(&self.name) {
            true => self.words(),
            false => self.rest.quoted_words(self.escape),
        };
        let Some(first) = words.first() else {
            self.wrong_arguments("name=value", &[], 0);
            return None;
        };
        let legacy = !OWN.contains(&self.name) && !first.text.contains('=');
        if legacy {
            return self.legacy_pair().map(|pair| vec![pair]);
        }
        let mut out = Vec::new();
        for word in words {
            let (name, Some(value)) = split(&word) else {
                self.fault(word.span, FaultKind::NoEquals { word: word.text });
                continue;
            };
            if name.text.is_empty() {
                self.fault(word.span, FaultKind::BlankName { instruction: self.name });
                continue;
            }
            self.suspect(&name);
            out.push(Pair { name, value });
        }
        (!out.is_empty()).then_some(out)
    }

    /// `ENV name value with spaces`
    fn legacy_pair(&mut self) -> Option<Pair> {
        let (name, rest) = self.rest.split_first();
        let value = rest.word();
        if value.text.is_empty() {
            self.wrong_arguments("a name and a value", &[], 0);
            return None;
        }
        self.notice(name.span, NoticeKind::LegacyPair { instruction: self.name });
        self.suspect(&name);
        Some(Pair { name, value })
    }

    fn suspect(&mut self, name: &Word) {
        let instruction = self.name;
        if matches!(instruction, "ARG" | "ENV") && super::secrets::names_secret(&name.text) {
            self.notice(name.span, NoticeKind::Secret { instruction, name: name.text.clone() });
        }
    }

    fn transfer(&mut self) -> Option<Transfer> {
        let mut words = self.json_or_words()?;
        if words.len() < 2 {
            self.wrong_arguments("at least one source, and a destination", &words, usize::MAX);
            return None;
        }
        let dest = words.pop()?;
        let is_json = words.first().is_some_and(|word| word.span == dest.span);
        if !is_json && super::heredoc::announced(&dest.text).is_ok_and(|found| found.is_some()) {
            self.fault(dest.span, FaultKind::HeredocDestination { instruction: self.name });
            return None;
        }
        let mut heredocs = std::mem::take(&mut self.heredocs).into_iter().peekable();
        let mut sources = Vec::new();
        for word in words {
            if let Some(heredoc) = heredocs.next_if(|heredoc| heredoc.span == word.span) {
                sources.push(TransferSource::Heredoc(heredoc));
                continue;
            }
            match word.text.as_str() {
                text if text.starts_with("--") && !is_json => {
                    self.notice(word.span, NoticeKind::LateFlag { word: text.into() });
                }
                "#" if !is_json => self.notice(word.span, NoticeKind::LateComment),
                _ => {}
            }
            sources.push(TransferSource::Path(word));
        }
        for flag in ["checksum", "keep-git-dir"] {
            if let Some(word) = self.flags.value(flag) {
                self.fault(word.span, FaultKind::RemoteFlag { flag });
            }
        }
        let flags = &mut self.flags;
        Some(Transfer {
            sources,
            dest,
            from: flags.value("from"),
            chown: flags.value("chown"),
            chmod: flags.value("chmod"),
            exclude: flags.values("exclude"),
            link: flags.bool("link").unwrap_or(false),
            parents: flags.bool("parents").unwrap_or(false),
            unpack: flags.bool("unpack"),
        })
    }
}

/// Splits a word at its first `=`.
fn split(word: &Word) -> (Word, Option<Word>) {
    let Some((name, value)) = word.text.split_once('=') else { return (word.clone(), None) };
    let verbatim = word.span.end - word.span.start == word.text.len();
    let at = |from: usize, to: usize| match verbatim {
        true => Span { start: word.span.start + from, end: word.span.start + to },
        false => word.span,
    };
    let end = word.text.len();
    (
        Word { text: name.into(), span: at(0, name.len()) },
        Some(Word { text: value.into(), span: at(name.len() + 1, end) }),
    )
}
