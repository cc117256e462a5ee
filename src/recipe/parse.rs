//! Parses the text of a Buildfile into a [`Recipe`], or reports all errors in it.

use crate::path::ImagePath;
use crate::suggest;

use super::action::CopyFrom;
use super::budget::Budget;
use super::fault::{Fault, FaultKind, Faults, Notice, NoticeKind};
use super::flags::{Flags, INSTRUCTIONS};
use super::heredoc::{announced, body};
use super::instructions::InstructionReader;
use super::lines::{LineReader, LogicalLine};
use super::resolve::Resolver;
use super::source::{Source, Span};
use super::stage_names::StageNames;
use super::words::{Json, LineRest, json};
use super::{Argument, Directives, Heredoc, Instruction, Recipe, Stage, Step, Word};

/// The largest Buildfile, in bytes.
pub const MAX_TEXT: usize = 1 << 20;
/// The number of faults, and of notices, after which no more are collected.
const MAX_FOUND: usize = 1000;

/// Parses the text of a Buildfile, which messages call `name`.
///
/// # Errors
/// All faults of the text.
pub fn parse(name: &str, bytes: &[u8]) -> Result<Recipe, Faults> {
    let text = text(name, bytes)?;
    let mut parser = Parser {
        text: &text,
        reader: LineReader::new(&text),
        faults: Vec::new(),
        notices: Vec::new(),
        global_args: Vec::new(),
        stages: Vec::new(),
        before_from: false,
        saw_from: false,
        counted: (1, 0),
    };
    let directives = parser.directives();
    while let Some(line) = parser.reader.logical() {
        parser.line(&line);
        if parser.faults.len() > MAX_FOUND {
            break;
        }
    }
    parser.check_stages();
    let Parser { mut faults, mut notices, global_args, stages, .. } = parser;
    faults.sort_by_key(|fault| fault.span);
    notices.truncate(MAX_FOUND);
    let source = Source { name: name.into(), text };
    if !faults.is_empty() {
        return Err(Faults { source, faults });
    }
    Ok(Recipe { source, directives, global_args, stages, notices })
}

/// Checks that the bytes are text.
fn text(name: &str, bytes: &[u8]) -> Result<String, Faults> {
    let fail = |text: String, span: Span, kind: FaultKind| {
        Err(Faults {
            source: Source { name: name.into(), text },
            faults: vec![Fault { span, kind }],
        })
    };
    if bytes.len() > MAX_TEXT {
        let head = bytes.get(..200).unwrap_or_default();
        let kind = FaultKind::TooLong { size: bytes.len(), max: MAX_TEXT };
        return fail(String::from_utf8_lossy(head).into_owned(), Span::default(), kind);
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let start = error.valid_up_to();
            let lossy = String::from_utf8_lossy(bytes).into_owned();
            return fail(lossy, Span { start, end: start + 3 }, FaultKind::NotUtf8);
        }
    };
    match text.find('\0') {
        Some(start) => fail(text.into(), Span { start, end: start + 1 }, FaultKind::Nul),
        None => Ok(text.into()),
    }
}

struct Parser<'a> {
    text: &'a str,
    reader: LineReader<'a>,
    faults: Vec<Fault>,
    notices: Vec<Notice>,
    global_args: Vec<Argument>,
    stages: Vec<Stage>,
    /// Whether an instruction before the first FROM was reported.
    before_from: bool,
    saw_from: bool,
    /// The number of a line, and an offset in it.
    counted: (usize, usize),
}

impl Parser<'_> {
    fn fault(&mut self, span: Span, kind: FaultKind) {
        self.faults.push(Fault { span, kind });
    }

    fn notice(&mut self, span: Span, kind: NoticeKind) {
        if self.notices.len() < MAX_FOUND {
            self.notices.push(Notice { span: Some(span), kind });
        }
    }

    /// Reads the comments `# name=value` at the top, up to the first line that is not one.
    fn directives(&mut self) -> Directives {
        let mut out = Directives { escape: '\\', syntax: None, check: None };
        let mut seen = Vec::new();
        let mut reader = LineReader::new(self.text);
        while let Some((line, start)) = reader.physical() {
            let Some((name, value)) = directive(line) else { break };
            let name = name.to_ascii_lowercase();
            let span = Span { start, end: start + line.trim_end().len() };
            if !["escape", "syntax", "check"].contains(&name.as_str()) {
                break;
            }
            if seen.contains(&name) {
                self.fault(span, FaultKind::DirectiveTwice { name });
                continue;
            }
            match (name.as_str(), value) {
                ("escape", "\\" | "`") => out.escape = if value == "`" { '`' } else { '\\' },
                ("escape", _) => self.fault(span, FaultKind::BadEscape { value: value.into() }),
                ("syntax", _) => {
                    self.notice(span, NoticeKind::Syntax { value: value.into() });
                    out.syntax = Some(value.into());
                }
                _ => {
                    self.notice(span, NoticeKind::Check { value: value.into() });
                    out.check = Some(value.into());
                }
            }
            seen.push(name);
        }
        self.reader.escape = out.escape;
        out
    }

    fn line(&mut self, line: &LogicalLine) {
        let (keyword, rest) = LineRest::whole(line).split_first();
        let span = LineRest::whole(line).word().span;
        if line.has_empty_line {
            self.notice(span, NoticeKind::EmptyContinuation);
        }
        if line.cut_off {
            self.notice(span, NoticeKind::CutOff);
        }
        let upper = keyword.text.to_ascii_uppercase();
        let Some(&name) = INSTRUCTIONS.iter().find(|name| **name == upper) else {
            let near = suggest::closest(&upper, INSTRUCTIONS.iter().copied());
            return self
                .fault(keyword.span, FaultKind::UnknownInstruction { name: keyword.text, near });
        };
        let (flags, rest) = rest.flags();
        let heredocs = self.heredocs(name, rest);
        match name {
            "RUN" => return self.fault(keyword.span, FaultKind::Run),
            "ONBUILD" => return self.fault(keyword.span, FaultKind::Onbuild),
            "ARG" | "FROM" => {}
            _ if !self.saw_from && !self.before_from => {
                self.before_from = true;
                self.fault(keyword.span, FaultKind::BeforeFrom { instruction: name });
            }
            _ => {}
        }
        let (number, text) = (self.line_number(keyword.span.start), line.text.trim().to_string());
        let mut reader = InstructionReader {
            name,
            keyword: keyword.span,
            rest,
            flags: Flags::read(name, flags, &mut self.faults),
            escape: self.reader.escape,
            heredocs,
            faults: &mut self.faults,
            notices: &mut self.notices,
        };
        if name == "FROM" {
            self.saw_from = true;
            if let Some(from) = reader.from() {
                self.check_words([Some(&from.base), from.platform.as_ref()].into_iter().flatten());
                self.stages.push(Stage { line: number, text, from, steps: Vec::new() });
            }
            return;
        }
        let Some(kind) = reader.instruction() else { return };
        self.check(&kind);
        match (self.stages.last_mut(), kind) {
            (None, Instruction::Arg(arguments)) => self.global_args.extend(arguments),
            (None, _) => {}
            (Some(stage), kind) => stage.steps.push(Step { line: number, span, text, kind }),
        }
    }

    /// The line number of an offset, which is after that of the last call.
    fn line_number(&mut self, offset: usize) -> usize {
        let (line, from) = self.counted;
        let between = self.text.get(from..offset).unwrap_or_default();
        let line = line + between.bytes().filter(|&byte| byte == b'\n').count();
        self.counted = (line, offset);
        line
    }

    /// Reads the here-documents that the instruction announces from the lines that follow.
    fn heredocs(&mut self, name: &str, rest: LineRest<'_>) -> Vec<Heredoc> {
        let (inner, rest) = match name {
            "ONBUILD" => {
                let (inner, rest) = rest.split_first();
                (inner.text.to_ascii_uppercase(), rest.flags().1)
            }
            _ => (name.to_string(), rest),
        };
        let words = match inner.as_str() {
            _ if !rest.text().contains("<<") || json(rest.text()) != Json::No => return Vec::new(),
            "ADD" | "COPY" => rest.words(),
            "RUN" => rest.quoted_words(self.reader.escape),
            _ => return Vec::new(),
        };
        let mut out = Vec::new();
        for word in words {
            let announced = match announced(&word.text) {
                Ok(Some(announced)) => announced,
                Ok(None) => continue,
                Err(_) if inner == "RUN" => continue,
                Err(_) => {
                    self.fault(word.span, FaultKind::HeredocName);
                    continue;
                }
            };
            let Some((content, span)) = body(&mut self.reader, &announced) else {
                self.fault(word.span, FaultKind::HeredocWithoutEnd { name: announced.name });
                break;
            };
            let (name, expand) = (announced.name, announced.expand);
            out.push(Heredoc { name, span: word.span, expand, content, body: span });
        }
        out
    }

    /// Reports errors that do not depend on the values of variables.
    fn check(&mut self, instruction: &Instruction) {
        self.resolver(|resolver| {
            resolver.action(instruction);
        });
    }

    fn check_words<'w>(&mut self, words: impl Iterator<Item = &'w Word>) {
        self.resolver(|resolver| {
            for word in words {
                resolver.expand(word);
            }
        });
    }

    fn resolver(&mut self, run: impl FnOnce(&mut Resolver<'_>)) {
        // Stages are looked up at the end: see `check_stages`.
        let find_stage = |name: &str| Ok(CopyFrom::Image(name.into()));
        run(&mut Resolver {
            escape: self.reader.escape,
            scope: None,
            budget: &mut Budget::default(),
            workdir: &ImagePath::root(),
            shell: &[],
            find_stage: &find_stage,
            faults: &mut self.faults,
            unset: Vec::new(),
        });
    }

    /// Checks that there is a stage, that stage names differ, and that COPY names existing stages.
    fn check_stages(&mut self) {
        if !self.saw_from && !self.before_from && self.faults.is_empty() {
            let end = self.text.len();
            self.fault(Span { start: end, end }, FaultKind::NoStage);
        }
        let (mut faults, mut notices) = (Vec::new(), Vec::new());
        let names = StageNames::new(&self.stages);
        for (index, stage) in self.stages.iter().enumerate() {
            if let Some(name) = &stage.from.alias
                && names.before(index, name).is_some()
            {
                notices.push((stage.from.base.span, NoticeKind::StageTwice { name: name.clone() }));
            }
            for step in &stage.steps {
                if let Instruction::Copy(transfer) = &step.kind
                    && let Some(from) = transfer
                        .from
                        .as_ref()
                        .filter(|word| !word.text.is_empty() && !word.text.contains('$'))
                    && let Err(kind) = names.copy_from(index, &from.text)
                {
                    faults.push(Fault { span: from.span, kind });
                }
            }
        }
        self.faults.extend(faults);
        notices.into_iter().for_each(|(span, kind)| self.notice(span, kind));
    }
}

/// The name and value of a parser directive.
fn directive(line: &str) -> Option<(&str, &str)> {
    let comment = line.trim_start_matches('\u{feff}').trim_start().strip_prefix('#')?;
    let (name, value) = comment.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    let named = name.starts_with(|char: char| char.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    (named && !value.is_empty()).then_some((name, value))
}
