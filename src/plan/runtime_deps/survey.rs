//! One object's file → the symbols, paths, words and names in it that rules ask for.

use std::{collections::BTreeSet, io, ops::Range, sync::Arc};

use super::scan::{self, Hits, MAX_STRING, Scanner};
use crate::{
    elf::{self, ObjectError, ReadAt, ReadFailure},
    ownership::{Mentions, Names, Startables, wide},
    rules::Wanted,
    source::FileReader,
};

/// Bytes of an object's constants in memory at a time: they fit in a processor's cache.
const WINDOW: usize = 256 << 10;
/// Bytes of constants that are searched in one object.
const MAX_CONSTANTS: u64 = 256 << 20;

/// What to look for in objects.
#[derive(Debug)]
pub(super) struct Surveyor<'t> {
    wanted: Wanted<'t>,
    scanner: Scanner<'t>,
    /// Configuration of the machine that objects may name.
    configuration: Names,
}

/// What was found in an object.
#[derive(Debug, Default)]
pub(super) struct Survey<'t> {
    /// Whether it is a program or the user names it.
    pub(super) own: bool,
    /// Whether it imports dlopen(3).
    pub(super) calls_dlopen: bool,
    /// Symbols that it imports.
    pub(super) symbols: BTreeSet<&'t [u8]>,
    /// What is in its constants.
    pub(super) hits: Hits<'t>,
    /// What of its package its constants mention.
    pub(super) mentions: Mentions,
    /// The configuration that they name.
    pub(super) configuration: Mentions,
    /// The programs of its packages that they name, if it starts programs.
    pub(super) programs: BTreeSet<Box<[u8]>>,
    /// Whether it imports functions that run a shell.
    pub(super) runs_shell: bool,
    /// Whether it imports functions that start programs, these among them.
    pub(super) starts_programs: bool,
}

/// A file to look through.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) reader: FileReader,
    /// Whether it is a program or the user names it.
    pub(super) own: bool,
    /// The names of what its package owns, and of what a program's package of the same source owns.
    pub(super) names: Vec<Arc<Names>>,
    /// The programs that it may start.
    pub(super) startable: Arc<Startables>,
}

/// Memory for the constants of one object after the other. The first byte stays zero, so that the
/// first string of a range has a beginning.
#[derive(Debug)]
pub(super) struct Window(Box<[u8]>);

impl Default for Window {
    fn default() -> Self {
        Self(vec![0; 1 + WINDOW].into())
    }
}

impl<'t> Surveyor<'t> {
    /// `configuration` are the names of files that objects may name.
    pub(super) fn new(wanted: Wanted<'t>, configuration: Names) -> Self {
        Self { scanner: Scanner::new(&wanted), wanted, configuration }
    }

    /// What is in the file of `task`. Of a file that is damaged or that this user may not read,
    /// what could be read.
    ///
    /// # Errors
    /// [`ReadFailure`]
    pub(super) fn survey(
        &self,
        Task { reader, own, names, startable }: Task,
        window: &mut Window,
    ) -> Result<Survey<'t>, ReadFailure> {
        let mut survey = Survey { own, ..Survey::default() };
        // A damaged object fails in the closure, and a denied one when it is packed.
        let _ = reader.parse(|len, read_at| {
            let known = (&names[..], &*startable);
            self.look((len, read_at), known, &mut survey, window)
        })?;
        Ok(survey)
    }

    /// Adds to `survey` what is in an object of `len` bytes, whose packages own files of these
    /// `names`, and which may start what is `startable`.
    ///
    /// # Errors
    /// Those of `read_at`; the inner one tells what is wrong with the object.
    pub(super) fn look(
        &self,
        (len, read_at): (u64, ReadAt<'_>),
        (names, startable): (&[Arc<Names>], &Startables),
        survey: &mut Survey<'t>,
        window: &mut Window,
    ) -> io::Result<Result<(), ObjectError>> {
        let mut functions = BTreeSet::<Box<[u8]>>::new();
        // Of a damaged table, what could be read.
        let _ = elf::imports(len, read_at, |name| {
            functions.extend(startable.contains_key(name).then(|| name.into()));
            survey.calls_dlopen |= matches!(name, b"dlopen" | b"dlmopen");
            survey.runs_shell |= matches!(name, b"system" | b"popen");
            survey.starts_programs |= starts_programs(name);
            survey.symbols.extend(self.wanted.symbols.get(name));
        })?;
        let ranges = match elf::constants(len, read_at)? {
            Ok(ranges) => ranges,
            Err(error) => return Ok(Err(error)),
        };
        let own = survey.own;
        let look = |bytes: &[u8]| {
            self.scanner.scan(bytes, own, &mut survey.hits);
            for names in names {
                names.scan(bytes, &mut survey.mentions);
            }
            if !names.is_empty() {
                wide::each_name(bytes, |name| {
                    names.iter().for_each(|names| names.scan(name, &mut survey.mentions));
                });
            }
            if !self.configuration.is_empty() {
                self.configuration.scan(bytes, &mut survey.configuration);
            }
            if survey.starts_programs && (own || !names.is_empty()) {
                let is_shell = own && survey.runs_shell;
                scan::command_lines(bytes, is_shell, &mut survey.hits.command_lines);
            }
            if survey.starts_programs && !startable.is_empty() {
                scan::programs(bytes, startable, &mut survey.programs);
            }
        };
        window.slide(&ranges, read_at, look)?;
        // The names of functions that it imports are among its constants.
        survey.programs.retain(|name| !functions.contains(name));
        Ok(Ok(()))
    }
}

/// What an object says of programs.
#[derive(Debug, Default)]
pub(super) struct NamedPrograms {
    /// Those that its constants name.
    pub(super) named: BTreeSet<Box<[u8]>>,
    /// Whether it imports functions that start programs.
    pub(super) starts_programs: bool,
}

/// What an object says of these programs; `None` for what is not an object.
///
/// # Errors
/// [`ReadFailure`]
pub(super) fn named_programs(
    reader: &FileReader,
    startable: &Startables,
    window: &mut Window,
) -> Result<Option<NamedPrograms>, ReadFailure> {
    let mut says = NamedPrograms::default();
    let read = reader.parse(|len, read_at| {
        // Of a damaged table, what could be read.
        let _ = elf::imports(len, read_at, |name| says.starts_programs |= starts_programs(name))?;
        let ranges = match elf::constants(len, read_at)? {
            Ok(ranges) => ranges,
            Err(error) => return Ok(Err(error)),
        };
        window
            .slide(&ranges, read_at, |bytes| scan::programs(bytes, startable, &mut says.named))?;
        Ok(Ok(()))
    })?;
    Ok(read.is_ok().then_some(says))
}

/// Whether a function starts programs: exec(3), fexecve(3), posix_spawn(3), system(3), popen(3),
/// and those of GLib, Qt, APR, libuv and libpipeline.
fn starts_programs(symbol: &[u8]) -> bool {
    const PREFIXES: [&[u8]; 6] =
        [b"exec", b"posix_spawn", b"g_spawn_", b"g_subprocess_new", b"_ZN8QProcess", b"pipeline_"];
    const NAMES: [&[u8]; 5] = [b"system", b"popen", b"fexecve", b"apr_proc_create", b"uv_spawn"];
    NAMES.contains(&symbol) || PREFIXES.iter().any(|front| symbol.starts_with(front))
}

impl Window {
    /// Calls `look` with the bytes of `ranges`, a window at a time. Windows of one range overlap by
    /// [`MAX_STRING`].
    fn slide(
        &mut self,
        ranges: &[Range<u64>],
        read_at: ReadAt<'_>,
        mut look: impl FnMut(&[u8]),
    ) -> io::Result<()> {
        let mut left = MAX_CONSTANTS;
        for range in ranges {
            let mut at = range.start;
            while at < range.end && left > 0 {
                let size = usize::try_from(range.end - at).unwrap_or(WINDOW).min(WINDOW);
                let count = read_at(at, self.0.get_mut(1..=size).unwrap_or_default())?;
                let front = usize::from(at != range.start);
                look(self.0.get(front..=count).unwrap_or_default());
                left = left.saturating_sub(count as u64);
                let end = at + count as u64;
                let is_last = count < size || end == range.end;
                at = if is_last { range.end } else { end - MAX_STRING as u64 };
            }
        }
        Ok(())
    }
}
