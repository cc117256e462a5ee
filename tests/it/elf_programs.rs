//! Programs of the machine, each packed with defaults and run alone in an empty root: `--version`
//! prints the same as outside. The suite tests a part of them; `IMGB_PROGRAMS=500` sets the number.

use std::{
    collections::BTreeMap,
    io::{self, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use imgb::elf::Object;

use crate::{
    engines::have,
    sandbox::{Run, Sandbox},
};

/// How many programs are tested by default.
const IN_SUITE: usize = 60;

/// What a loader prints when it gives up, and what `bwrap` prints when the kernel finds no loader.
const LOADERS_ERRORS: [&str; 4] = [
    "error while loading shared libraries",
    "symbol lookup error",
    "' not found (required by ",
    "bwrap: execvp",
];

/// Dynamic programs in `/usr/bin` without setuid or setgid bits, by name.
fn programs() -> Vec<PathBuf> {
    let entries = walkdir::WalkDir::new("/usr/bin").max_depth(1).sort_by_file_name().into_iter();
    let files = entries.filter_map(Result::ok).filter(|entry| entry.file_type().is_file());
    let plain =
        files.filter(|entry| entry.metadata().is_ok_and(|m| m.permissions().mode() & 0o6001 == 1));
    plain.map(walkdir::DirEntry::into_path).filter(|path| has_loader(path)).collect()
}

fn has_loader(path: &Path) -> bool {
    let Ok(bytes) = fs_err::read(path) else { return false };
    let object = Object::read(bytes.len() as u64, &mut |offset, buffer| {
        let from = &bytes[usize::try_from(offset).unwrap().min(bytes.len())..];
        let count = from.len().min(buffer.len());
        buffer[..count].copy_from_slice(&from[..count]);
        Ok(count)
    });
    object.unwrap().is_ok_and(|object| object.interp.is_some())
}

/// `program --version` in `root`: read-only, alone, without a network, for two seconds at most.
fn version(root: &str, program: &Path) -> (Option<i32>, String) {
    let outer = ["timeout", "--signal=KILL", "2", "bwrap", "--ro-bind", root, "/", "--dev", "/dev"];
    let inner = [
        "--proc",
        "/proc",
        "--tmpfs",
        "/tmp",
        "--chdir",
        "/",
        "--unshare-all",
        "--die-with-parent",
    ];
    let run = Run::new(program)
        .args("--version")
        .under(&[&outer[..], &inner, &["--new-session"]].concat());
    let outcome = run.env("PATH", "/usr/bin").env("HOME", "/tmp").env("LC_ALL", "C.UTF-8").run();
    (outcome.code(), format!("{}{}", outcome.text(), outcome.stderr()))
}

/// The outcome for a program.
enum Fate {
    /// It does not print a version outside either.
    NoVersion,
    Same,
    /// The output differs, and how.
    Differs(String),
    /// It could not be packed, or the loader stopped it.
    Stopped(String),
}

fn fate(program: &Path) -> Fate {
    let (code, outside) = version("/", program);
    if code != Some(0) || LOADERS_ERRORS.iter().any(|error| outside.contains(error)) {
        return Fate::NoVersion;
    }
    let sandbox = Sandbox::new();
    let name = program.file_name().unwrap();
    let packed = sandbox
        .imgb("pack --quiet -o rootfs:fs.tar")
        .arg(name)
        .env("PATH", "/usr/bin:/usr/sbin")
        .run();
    if !packed.success() {
        return Fate::Stopped(packed.show());
    }
    for dir in ["dev", "proc", "tmp"] {
        sandbox.dir(&format!("root/{dir}"));
    }
    sandbox.tool("tar", "-xf fs.tar -C root --no-same-owner").run().ok();
    let (code, inside) = version(sandbox.path("root").to_str().unwrap(), program);
    if LOADERS_ERRORS.iter().any(|error| inside.contains(error)) {
        return Fate::Stopped(inside);
    }
    if code == Some(0) && inside == outside {
        return Fate::Same;
    }
    Fate::Differs(reason(code, &inside, &outside))
}

/// The kind of a difference, and the first line that shows it.
fn reason(code: Option<i32>, inside: &str, outside: &str) -> String {
    let known: Vec<&str> = outside.lines().collect();
    let new = inside.lines().find(|line| !known.contains(line)).unwrap_or("less is printed");
    let class = match code {
        Some(137) | None => "too slow or killed",
        _ if inside.contains("cannot open shared object file") => "a library opened at run time",
        _ if new.to_lowercase().contains("locale") => "locale",
        _ if new.contains("No such file") || new.contains("annot find") => {
            "a file opened at run time"
        }
        Some(0) => "other text",
        _ => "fails",
    };
    format!("{class}, exit code {code:?}: {new}")
}

/// `count` of all programs, evenly spread.
fn spread(all: Vec<PathBuf>, count: usize) -> Vec<PathBuf> {
    let len = all.len();
    let taken = |at: usize| at * count / len != (at + 1) * count / len;
    all.into_iter()
        .enumerate()
        .filter(|(at, _)| len <= count || taken(*at))
        .map(|(_, path)| path)
        .collect()
}

#[test]
fn programs_print_their_versions_in_an_empty_root() {
    if !have(&["bwrap", "tar", "timeout"]) {
        return;
    }
    let count =
        std::env::var("IMGB_PROGRAMS").ok().map_or(IN_SUITE, |count| count.parse().unwrap());
    let programs = spread(programs(), count);
    let next = AtomicUsize::new(0);
    let work = || {
        let mine = std::iter::from_fn(|| programs.get(next.fetch_add(1, Ordering::Relaxed)));
        mine.map(|program| (program.clone(), fate(program))).collect::<Vec<_>>()
    };
    let fates: BTreeMap<PathBuf, Fate> = thread::scope(|scope| {
        let threads = [scope.spawn(work), scope.spawn(work)];
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let (mut same, mut differs, mut stopped) = (0, Vec::new(), Vec::new());
    for (program, fate) in &fates {
        match fate {
            Fate::NoVersion => {}
            Fate::Same => same += 1,
            Fate::Differs(reason) => differs.push(format!("{}: {reason}", program.display())),
            Fate::Stopped(text) => stopped.push(format!("{}: {text}", program.display())),
        }
    }
    let count = fates.len() - fates.values().filter(|fate| matches!(fate, Fate::NoVersion)).count();
    let head =
        format!("{same} of {count} programs print the same version, {} do not:", differs.len());
    // Written directly to stderr, because the harness hides the output of passed tests.
    let _ = writeln!(io::stderr(), "{head}\n{}", differs.join("\n"));
    assert!(stopped.is_empty(), "{} stopped:\n{}", stopped.len(), stopped.join("\n"));
    // The missing files are opened only at run time, by few programs.
    assert!(count > 0 && differs.len() * 5 <= count, "{} of {count} differ", differs.len());
}
