//! The configuration's command lines → the programs that they start and the files that they name.

use std::collections::BTreeMap;

use crate::{
    elf::{Lookup as _, ReadFailure, script},
    image::Config,
    languages::{Languages, Variables, shell},
    path::ImagePath,
    plan::Include,
    process,
    tree::Node,
    view::View,
};

/// What an image starts.
#[derive(Debug, Default)]
pub(super) struct Started {
    /// Programs by their paths, and what names each.
    pub(super) programs: BTreeMap<ImagePath, String>,
    /// Files and directories that are named besides programs.
    pub(super) include: Vec<Include>,
    /// Directories that are named, by their real paths.
    pub(super) directories: Vec<ImagePath>,
    /// Those of them that arguments name.
    pub(super) arguments: Vec<ImagePath>,
    /// Whether the configuration starts a program, or one was asked for: what the health check
    /// runs is not what an image is for.
    pub(super) has_purpose: bool,
    /// Names that were asked for and are those of no program.
    pub(super) unknown: Vec<String>,
}

/// Paths that are looked at to find programs: a configuration of 4 MiB may have a million words and
/// as many directories in its PATH.
const MAX_LOOKUPS: usize = 1 << 20;

/// Collects what the command lines of an image name.
struct Collector<'a> {
    view: &'a View<'a>,
    config: &'a Config,
    started: Started,
    /// What is left of [`MAX_LOOKUPS`].
    lookups: usize,
}

/// The programs of the entrypoint, the command and the health check, and those that `more` names,
/// each with what names it; what the arguments and the environment name; and the program that the
/// configuration starts and the image does not have.
pub(super) fn find(
    view: &View<'_>,
    config: &Config,
    more: &[(String, String)],
) -> Result<(Started, Option<String>), ReadFailure> {
    let mut all = Collector { view, config, started: Started::default(), lookups: MAX_LOOKUPS };
    let mut missing = None;
    let entrypoint = config.entrypoint.as_deref().unwrap_or_default();
    let command = config.cmd.as_deref().unwrap_or_default();
    if let Some(first) = config.command().first()
        && !all.program(first, "the image's command")?
    {
        missing = Some((*first).to_owned());
    }
    for (program, why) in more {
        if !all.program(program, why)? {
            all.started.unknown.push(program.clone());
        }
    }
    all.started.has_purpose = !all.started.programs.is_empty();
    // An entrypoint often is a chain: an init, a script, a program.
    for word in entrypoint {
        all.program(word, "the image's entrypoint")?;
    }
    // The entrypoint may be a script that ends in `exec "$@"`.
    if let Some(first) = command.first() {
        all.program(first, "the image's command")?;
    }
    for pair in config.command().windows(2) {
        if let [script, next] = pair
            && all.is_script(script)?
        {
            all.program(next, "the image's command")?;
        }
    }
    for words in [entrypoint, command] {
        all.command_line(words)?;
    }
    all.health_check()?;
    all.environment()?;
    if let Some(dir) = &config.workdir
        && let Ok(resolved) = view.resolve(dir.as_bytes())?
    {
        all.started.directories.push(resolved.path);
    }
    Ok((all.started, missing))
}

impl Collector<'_> {
    /// Notes the program that a process of the image starts by `name`; whether there is one.
    fn program(&mut self, name: &str, why: &str) -> Result<bool, ReadFailure> {
        if !self.may_look() {
            return Ok(false);
        }
        let workdir = self.config.workdir.as_deref().unwrap_or("/");
        let located = process::locate(self.view, name.as_bytes(), workdir, self.config.path())?;
        let Ok((path, found)) = located else { return Ok(false) };
        let is_program = self.view.tree().get(&found.path).is_some_and(Node::is_executable);
        if let (true, Ok(path)) = (is_program, ImagePath::new(path)) {
            self.started.programs.entry(path).or_insert_with(|| format!("{name} ({why})"));
        }
        Ok(is_program)
    }

    /// Takes a program that is looked for off the number of lookups; whether any are left.
    fn may_look(&mut self) -> bool {
        let dirs = self.config.path().split(':').count();
        self.lookups = self.lookups.saturating_sub(dirs);
        self.lookups > 0
    }

    /// Whether `name` is a script, which may start the program that its arguments name.
    fn is_script(&mut self, name: &str) -> Result<bool, ReadFailure> {
        if !self.may_look() {
            return Ok(false);
        }
        let workdir = self.config.workdir.as_deref().unwrap_or("/");
        let located = process::locate(self.view, name.as_bytes(), workdir, self.config.path())?;
        let Ok((_, found)) = located else { return Ok(false) };
        let head = self.view.read(&found, script::FIRST_LINE)?.unwrap_or_default();
        Ok(script::shebang(&head).is_some())
    }

    /// Notes what the words of a command line name besides the program.
    fn command_line(&mut self, words: &[String]) -> Result<(), ReadFailure> {
        for (at, word) in words.iter().enumerate() {
            let after = |name: &str| at > 0 && words.get(at - 1).is_some_and(|word| word == name);
            if after("--") {
                self.program(word, "the image's command")?;
            }
            if after("-c") && is_shell(words, at) {
                self.shell_line(word)?;
            }
            self.argument(word)?;
        }
        Ok(())
    }

    /// Notes the programs that a line of a shell names.
    fn shell_line(&mut self, line: &str) -> Result<(), ReadFailure> {
        let language = &Languages::builtin().shell;
        let names = shell::names(line.as_bytes(), language, &mut Variables::default());
        for name in names.commands {
            self.program(&String::from_utf8_lossy(&name), "the image's command")?;
        }
        line.split_whitespace().try_for_each(|word| self.argument(word))
    }

    /// Notes a file that an argument names: a path, `OPTION=PATH`, `-OPATH` with an absolute path,
    /// or a list of paths with colons. Relative ones are below the working directory.
    fn argument(&mut self, word: &str) -> Result<(), ReadFailure> {
        let workdir = self.config.workdir.as_deref().unwrap_or("/");
        let value = word.split_once('=').map(|(_, value)| value);
        let attached = word.get(2..).filter(|rest| word.starts_with('-') && rest.starts_with('/'));
        let listed = value.unwrap_or(word).split(':').filter(|part| part.starts_with('/'));
        for text in [Some(word), value, attached].into_iter().flatten().chain(listed) {
            let path = match text.starts_with('/') {
                true => text.as_bytes().to_vec(),
                false if text.is_empty() || text.starts_with('-') => continue,
                false => [workdir.as_bytes(), b"/", text.as_bytes()].concat(),
            };
            let Ok(resolved) = self.view.resolve(&path)? else { continue };
            match resolved.is_directory {
                true => {
                    self.started.arguments.push(resolved.path.clone());
                    self.started.directories.push(resolved.path);
                }
                false => {
                    let include = Include::new(path, "arguments of the image's command");
                    self.started.include.extend(include);
                }
            }
        }
        Ok(())
    }

    /// Notes the files that variables name. Directories are left out: they may be anything.
    fn environment(&mut self) -> Result<(), ReadFailure> {
        let values = self.config.env.iter().filter_map(|entry| Some(entry.split_once('=')?.1));
        for value in values.filter(|value| value.starts_with('/')) {
            let Ok(resolved) = self.view.resolve(value.as_bytes())? else { continue };
            let is_file = self.view.tree().get(&resolved.path).and_then(Node::file).is_some();
            if is_file {
                let include = Include::new(value, "environment of the image");
                self.started.include.extend(include);
            }
        }
        Ok(())
    }

    /// Notes what the health check starts.
    fn health_check(&mut self) -> Result<(), ReadFailure> {
        let Some(check) = &self.config.healthcheck else { return Ok(()) };
        match &check.test[..] {
            [kind, words @ ..] if kind == "CMD" => {
                if let Some(first) = words.first() {
                    self.program(first, "the image's health check")?;
                }
                self.command_line(words)
            }
            [kind, lines @ ..] if kind == "CMD-SHELL" => {
                let shell = self.config.shell.as_ref().and_then(|words| words.first());
                self.program(shell.map_or("/bin/sh", String::as_str), "the image's health check")?;
                lines.iter().try_for_each(|line| self.shell_line(line))
            }
            _ => Ok(()),
        }
    }
}

/// Whether a word before the one at `at` names a shell.
fn is_shell(words: &[String], at: usize) -> bool {
    let shells = &Languages::builtin().shell.interpreters;
    let mut before = words.iter().take(at).filter_map(|word| word.rsplit('/').next());
    before.any(|name| shells.contains(name.as_bytes()))
}
