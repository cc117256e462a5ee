//! The real loaders, asked what they would load. They start nothing: glibc's stops before the program does when
//! LD_TRACE_LOADED_OBJECTS is set, musl's has `--list`.

use std::{
    ffi::OsStr,
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    process::{Command, Output},
};

use imgb::elf::{Closure, Cpu, Outcome, Program, Tag};

/// What a loader says it loads.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Listing {
    /// Paths, as opened, in order.
    pub(crate) loads: Vec<String>,
    /// Names that were not found, in order.
    pub(crate) missing: Vec<String>,
    /// Whether the loader stopped with an error.
    pub(crate) failed: bool,
}

/// The command's listing: lines `\tNAME => PATH (ADDRESS)`, `\tPATH (ADDRESS)`, `\tNAME => not found`.
pub(crate) fn trace(command: &mut Command) -> Listing {
    let output = command.env("LD_TRACE_LOADED_OBJECTS", "1").output().expect("the loader starts");
    parse(&output)
}

/// As [`trace`], from what was printed.
pub(crate) fn parse(output: &Output) -> Listing {
    let mut listing = Listing { failed: !output.status.success(), ..Listing::default() };
    for line in output.stdout.split(|&b| b == b'\n') {
        let Some(line) = line.strip_prefix(b"\t") else { continue };
        let line = String::from_utf8_lossy(line).into_owned();
        if line.starts_with("statically linked")
            || line.starts_with("linux-vdso")
            || line.starts_with("linux-gate")
        {
            continue;
        }
        if let Some(name) = line.strip_suffix(" => not found") {
            listing.missing.push(name.to_owned());
            continue;
        }
        let path = line.split_once(" => ").map_or(&*line, |(_, path)| path);
        let path = path.rsplit_once(" (0x").map_or(path, |(path, _)| path);
        listing.loads.push(path.to_owned());
    }
    listing
}

/// What we say of a program, in the same form.
pub(crate) fn ours(closure: &Closure, program: &Program) -> Listing {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let missing = program
        .edges
        .iter()
        .filter(|edge| edge.outcome == Outcome::Missing && matches!(edge.tag, Tag::Dynamic(_)));
    Listing {
        loads: program.loads.iter().map(|&file| text(&closure.files[file].opened)).collect(),
        missing: missing.map(|edge| text(&edge.name)).collect(),
        failed: !program.faults.is_empty(),
    }
}

/// A path as a command argument.
pub(crate) fn arg(bytes: &[u8]) -> &OsStr {
    OsStr::from_bytes(bytes)
}

/// A path's bytes.
pub(crate) fn bytes(path: impl Into<std::ffi::OsString>) -> Vec<u8> {
    path.into().into_vec()
}

/// This machine's processor as its glibc sees it: `--list-diagnostics` names the platform, `--help` the levels,
/// and LD_DEBUG shows which legacy subdirectories are tried.
pub(crate) fn this_cpu() -> Cpu {
    let loader = "/lib64/ld-linux-x86-64.so.2";
    let run = |args: &[&str]| Command::new(loader).args(args).output().expect("the loader starts").stdout;
    let help = String::from_utf8_lossy(&run(&["--help"])).into_owned();
    let supported = help.lines().filter(|line| line.contains("(supported, searched)"));
    let levels = supported.filter_map(|line| line.split_whitespace().next());
    let diagnostics = String::from_utf8_lossy(&run(&["--list-diagnostics"])).into_owned();
    let platform =
        diagnostics.lines().find_map(|line| line.strip_prefix("dl_platform=\"")?.strip_suffix('"'));
    Cpu {
        levels: levels.map(|level| level.as_bytes().to_vec()).collect(),
        legacy: legacy_subdirs(),
        platform: platform.map(|platform| platform.as_bytes().to_vec()),
    }
}

fn legacy_subdirs() -> Vec<Vec<u8>> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut command = Command::new("/bin/true");
    let output =
        command.env("LD_DEBUG", "libs").env("LD_LIBRARY_PATH", dir.path()).output().expect("true starts");
    let prefix = format!("{}/", dir.path().display());
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let path = text.lines().find_map(|line| line.split_once("search path=").map(|(_, path)| path));
    let path = path.and_then(|path| path.split_whitespace().next()).unwrap_or_default();
    let subdirs = path.split(':').filter_map(|dir| dir.strip_prefix(&prefix));
    subdirs.filter(|sub| !sub.starts_with("glibc-hwcaps/")).map(|sub| sub.as_bytes().to_vec()).collect()
}
