//! The module table at the head of `src/lib.rs`, held against the code: who may import whom, and
//! who may touch the world. A change of the table says why in its commit.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::LazyLock,
};

use crate::rust_text::{Named, code_of, paths, without_tests};

/// A module of `src/`, as the table describes it.
#[derive(Debug, Default)]
struct Row {
    floor: u8,
    module: String,
    /// `–`, a list, or [`BELOW`].
    imports: String,
    /// One of the texts of [`touched`].
    touches: String,
}

const BELOW: &str = "all of the above";

/// The table of `src/lib.rs`, floor by floor.
static TABLE: LazyLock<Vec<Row>> =
    LazyLock::new(|| rows(&fs_err::read_to_string(src().join("lib.rs")).unwrap()));

/// The rows of the table in `text`: a line with the floor, the module and what it holds, then its
/// cells, which may continue on lines of their own.
fn rows(text: &str) -> Vec<Row> {
    let (_, section) = text.split_once("//! # Modules\n").unwrap();
    let table = section.split("```").nth(1).unwrap();
    let mut rows: Vec<Row> = Vec::new();
    let mut cell = "";
    for line in table.lines().skip(1).filter_map(|line| line.strip_prefix("//! ")) {
        let (word, rest) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
        if let Ok(floor) = word.parse() {
            let module = rest.split_whitespace().next().unwrap().to_owned();
            rows.push(Row { floor, module, ..Row::default() });
            cell = "holds";
            continue;
        }
        let row = rows.last_mut().unwrap();
        let text = match word {
            "imports" | "touches" => {
                cell = word;
                rest
            }
            _ => line,
        };
        let cell = match cell {
            "imports" => &mut row.imports,
            "touches" => &mut row.touches,
            _ => continue,
        };
        *cell = format!("{cell} {}", text.trim()).trim().to_owned();
    }
    rows
}

/// A part of the world outside a module's arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum World {
    Files,
    Environment,
    Clock,
    Terminal,
    Threads,
    Sockets,
    Processes,
}
use World::*;

/// What a text of the table's last column allows.
fn touched(text: &str) -> &'static [World] {
    match text {
        "–" | "nothing" | "nothing (Lookup)" | "nothing (bytes in)" | "Read/Write only" => &[],
        "reads through source" => &[],
        "its own files"
        | "host reads"
        | "reads through source, base images through oci"
        | "Read/Write, nameless temporary files" => &[Files],
        "writes at the target, stdout, threads" => &[Files, Terminal, Threads],
        "sockets, credentials, sessions, threads, clock" => {
            &[Sockets, Files, Processes, Threads, Clock]
        }
        // Each stage is a process, with its files, threads and messages.
        "processes" => &[Files, Threads, Processes, Terminal],
        "host reads, threads" => &[Files, Threads],
        "threads" | "reads through oci, threads" => &[Threads],
        "environment, clock, terminal, exit code, names of files" => {
            &[Environment, Clock, Terminal, Processes, Files, Threads]
        }
        other => panic!("the table's last column says {other:?}, which `touched` does not know"),
    }
}

/// Which part of the world `path` reaches.
fn reaches(path: &Named) -> Option<World> {
    const PREFIXES: &[(&str, World)] = &[
        ("fs_err", Files),
        ("std::fs", Files),
        ("File::open", Files),
        ("File::create", Files),
        ("std::os::unix::fs", Files),
        ("rustix::fs", Files),
        ("walkdir", Files),
        ("tempfile", Files),
        ("std::env", Environment),
        ("std::time::SystemTime", Clock),
        ("std::time::Instant", Clock),
        ("SystemTime", Clock),
        ("Instant", Clock),
        ("std::thread", Threads),
        ("rustix::time", Clock),
        ("std::net", Sockets),
        ("std::os::unix::net", Sockets),
        ("TcpStream", Sockets),
        ("std::process", Processes),
        ("rustix::process", Processes),
    ];
    const MACROS: [&str; 5] = ["print", "println", "eprint", "eprintln", "dbg"];
    const METHODS: [&str; 6] =
        ["exists", "try_exists", "canonicalize", "read_dir", "symlink_metadata", "set_permissions"];
    let last = path.segments.last()?.as_str();
    if path.is_method() {
        return METHODS.contains(&last).then_some(Files);
    }
    if path.is_macro {
        return MACROS.contains(&last).then_some(Terminal);
    }
    if path.segments.len() > 1 && ["stdin", "stdout", "stderr"].contains(&last) {
        return Some(Terminal);
    }
    const HARMLESS: [&str; 6] = [
        // Holding an open file, naming its type or reading through it does not open one.
        "std::fs::File",
        "std::os::unix::fs::FileExt",
        // The architecture that imgb was built for, and the number of processors.
        "std::env::consts::ARCH",
        "std::thread::available_parallelism",
        // The limits of this process.
        "rustix::process::Resource",
        "rustix::process::getrlimit",
    ];
    if HARMLESS.contains(&path.segments.join("::").as_str()) {
        return None;
    }
    let starts = |prefix: &str| {
        let mut segments = path.segments.iter();
        prefix.split("::").all(|word| segments.next().is_some_and(|segment| segment == word))
    };
    PREFIXES.iter().find(|(prefix, _)| starts(prefix)).map(|(_, world)| *world)
}

/// A file of `src/`, without comments, strings and unit tests.
pub(crate) struct Source {
    /// Relative to `src/`.
    pub(crate) path: PathBuf,
    module: String,
    /// Depth below the crate root: 1 for `src/digest.rs` and `src/path/mod.rs`.
    depth: usize,
    pub(crate) code: String,
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Every `.rs` file below `dir`, in order.
fn rust_files(dir: &Path) -> BTreeSet<PathBuf> {
    let mut files = BTreeSet::new();
    for entry in fs_err::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.append(&mut rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.insert(path);
        }
    }
    files
}

/// Every file of the library except `lib.rs`, with its code.
pub(crate) fn sources() -> Vec<Source> {
    let mut codes = BTreeMap::new();
    let mut tests = BTreeSet::new();
    for file in rust_files(&src()) {
        let (code, test_files) = without_tests(&code_of(&fs_err::read_to_string(&file).unwrap()));
        let is_root = ["mod.rs", "lib.rs"].iter().any(|name| file.ends_with(name));
        let dir = if is_root { file.parent().unwrap().to_owned() } else { file.with_extension("") };
        tests.extend(test_files.iter().map(|name| dir.join(name).with_extension("rs")));
        codes.insert(file, code);
    }
    let is_test = |file: &Path| {
        tests.iter().any(|test| file == test || file.starts_with(test.with_extension("")))
    };
    codes.retain(|file, _| !is_test(file));
    let sources = codes.into_iter().map(|(file, code)| {
        let path = file.strip_prefix(src()).unwrap().to_owned();
        let mut names: Vec<String> = path
            .with_extension("")
            .iter()
            .map(|name| name.to_string_lossy().into_owned())
            .collect();
        if names.last().is_some_and(|name| name == "mod") {
            names.pop();
        }
        Source { path, module: names[0].clone(), depth: names.len(), code }
    });
    sources.filter(|source| !["lib", "main"].contains(&source.module.as_str())).collect()
}

/// The modules that a row of the table may import.
fn allowed(row: &'static Row) -> BTreeSet<&'static str> {
    if row.imports == "–" {
        BTreeSet::new()
    } else if row.imports == BELOW {
        let below = TABLE.iter().filter(|other| other.floor < row.floor);
        below.map(|other| other.module.as_str()).collect()
    } else {
        row.imports.split(", ").collect()
    }
}

fn in_order<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut sorted: Vec<&str> = texts.collect();
    sorted.sort_unstable();
    sorted
}

#[test]
fn every_module_has_a_row_and_every_row_a_module() {
    let found: BTreeSet<String> = sources().into_iter().map(|source| source.module).collect();
    let found: Vec<&str> = found.iter().map(String::as_str).collect();
    let rows = in_order(TABLE.iter().map(|row| row.module.as_str()));
    assert_eq!(found, rows, "left: the modules of src/; right: the rows of the table");
    assert!(TABLE.is_sorted_by_key(|row| row.floor), "the table is sorted by floor");
    for row in TABLE.iter() {
        for import in allowed(row) {
            let target = TABLE.iter().find(|other| other.module == import);
            assert!(
                target.is_some_and(|target| target.floor < row.floor),
                "the row of `{}` allows `{import}`, which is not a module on a lower floor",
                row.module
            );
        }
    }
}

#[test]
fn modules_import_only_what_their_rows_allow() {
    let mut faults = Vec::new();
    for source in sources() {
        let Some(row) = TABLE.iter().find(|row| row.module == source.module) else { continue };
        let allowed = allowed(row);
        for named in paths(&source.code) {
            let up = named.segments.iter().take_while(|segment| *segment == "super").count();
            if up >= source.depth && up > 0 {
                faults.push(format!("{}: `super` reaches the crate root", source.path.display()));
            }
            // `crate` alone is the visibility of a `pub(crate)`.
            let [root, target, ..] = &named.segments[..] else { continue };
            let target = target.as_str();
            if root == "crate" && target != source.module && !allowed.contains(target) {
                let name = named.segments.join("::");
                faults.push(format!(
                    "{}: `{}` may not name {name}",
                    source.path.display(),
                    row.module
                ));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn modules_touch_only_what_their_rows_allow() {
    let mut faults = Vec::new();
    for source in sources() {
        let Some(row) = TABLE.iter().find(|row| row.module == source.module) else { continue };
        for named in paths(&source.code) {
            if let Some(world) =
                reaches(&named).filter(|world| !touched(&row.touches).contains(world))
            {
                let (path, name) = (source.path.display(), named.segments.join("::"));
                faults.push(format!("{path}: `{}` may not touch {world:?}, by {name}", row.module));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_library_exports_modules_and_nothing_else() {
    let code = code_of(&fs_err::read_to_string(src().join("lib.rs")).unwrap());
    let items = code.split(';').map(str::trim).filter(|item| !item.is_empty());
    let others: Vec<&str> = items.filter(|item| !item.starts_with("pub mod ")).collect();
    assert!(others.is_empty(), "{others:?}");
}

#[test]
fn cells_of_the_table_continue_on_the_next_line() {
    let text = "//! # Modules\n//! ```text\n//! 0 a   first,\n//!         second\n\
                //!     imports –\n//! 1 b  c\n//!     imports x,\n//!        y\n\
                //!     touches nothing\n//! ```\n";
    let rows = rows(text);
    let cells = rows.iter().map(|row| (row.floor, &*row.module, &*row.imports, &*row.touches));
    assert_eq!(cells.collect::<Vec<_>>(), [(0, "a", "–", ""), (1, "b", "x, y", "nothing")]);
}

#[test]
fn files_are_short_and_finished() {
    const MOST_LINES: usize = 500;
    const UNFINISHED: [&str; 3] = ["todo!", "unimplemented!", "#[ignore"];
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut faults = Vec::new();
    for file in rust_files(&src()).union(&rust_files(&tests)) {
        let text = fs_err::read_to_string(file).unwrap();
        let lines = text.lines().take_while(|line| line.trim() != "#[cfg(test)]").count();
        let is_tests = file.ends_with("tests.rs") || file.starts_with(&tests);
        if lines > MOST_LINES && !is_tests {
            faults.push(format!("{}: {lines} lines before its tests", file.display()));
        }
        let code = code_of(&text);
        let marks = UNFINISHED.iter().filter(|mark| code.contains(**mark));
        faults.extend(marks.map(|mark| format!("{}: `{mark}`", file.display())));
        let allows = code
            .split("#[allow(")
            .skip(1)
            .filter(|rest| !rest.split(")]").next().unwrap().contains("reason"));
        faults.extend(allows.map(|_| format!("{}: `#[allow]` without a reason", file.display())));
        let notes =
            ["TODO", "FIXME"].into_iter().filter(|note| text.contains(&format!("// {note}")));
        faults.extend(notes.map(|note| format!("{}: {note}", file.display())));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn no_test_file_is_forgotten() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let main = fs_err::read_to_string(dir.join("main.rs")).unwrap();
    let lines: Vec<&str> = main.lines().collect();
    let mut listed = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        if let Some(name) = line.strip_prefix("mod ").and_then(|rest| rest.strip_suffix(';')) {
            assert!(
                lines[at - 1].starts_with("/// "),
                "what belongs into `{name}`? Say it above its line"
            );
            listed.push(name);
        }
    }
    let mut found = Vec::new();
    for entry in fs_err::read_dir(&dir).unwrap() {
        let path = entry.unwrap().path();
        let is_module = path.extension().is_some_and(|extension| extension == "rs")
            || path.join("mod.rs").exists();
        if is_module && !path.ends_with("main.rs") {
            found.push(path.file_stem().unwrap().to_string_lossy().into_owned());
        }
    }
    let found: Vec<&str> = found.iter().map(String::as_str).collect();
    assert_eq!(
        in_order(listed.into_iter()),
        in_order(found.into_iter()),
        "left: main.rs; right: the files"
    );
}

#[test]
fn the_world_is_recognised() {
    let reached = |code: &str| paths(&code_of(code)).iter().filter_map(reaches).collect::<Vec<_>>();
    assert_eq!(reached("use std::{fs, env}; use fs_err as fs;"), [Files, Environment, Files]);
    assert_eq!(reached("fs_err::read(p)?; p.exists(); tree.get(p)"), [Files, Files]);
    assert_eq!(reached("use std::fs::File; fn f(file: &File) { File::open(p) }"), [Files]);
    assert_eq!(reached("println!(); io::stdout().lock(); stdout.flush()"), [Terminal, Terminal]);
    assert_eq!(
        reached("SystemTime::now(); std::time::Duration::ZERO; std::path::Path::new(x)"),
        [Clock]
    );
    assert_eq!(
        reached("std::thread::scope(|s| s.spawn(f)); std::process::exit(1)"),
        [Threads, Processes]
    );
}
