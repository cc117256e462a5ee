//! The module table, held against the code: who may import whom, and who may touch the world.
//! The same table opens `src/lib.rs`; a change of it is made in both, in a commit that says why.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use crate::rust_text::{Named, code_of, paths, without_tests};

/// A module of `src/`.
struct Row {
    floor: u8,
    module: &'static str,
    /// As in `src/lib.rs`: `–`, a list, or [`BELOW`] with what is left out of it.
    imports: &'static str,
    /// As in `src/lib.rs`: one of the texts of [`touched`].
    touches: &'static str,
}

const BELOW: &str = "all of the above";

const fn row(floor: u8, module: &'static str, imports: &'static str, touches: &'static str) -> Row {
    Row { floor, module, imports, touches }
}

/// One row for each module, floor by floor.
const TABLE: &[Row] = &[
    row(0, "path", "–", "nothing"),
    row(0, "error_kind", "–", "nothing"),
    row(0, "timestamp", "–", "nothing"),
    row(0, "digest", "path", "Read/Write only"),
    row(0, "compress", "path", "Read/Write only"),
    row(1, "tree", "path, timestamp", "nothing"),
    row(1, "recipe", "path", "nothing"),
    row(1, "elf", "path", "nothing (Lookup)"),
    row(1, "rules", "path", "nothing"),
    row(1, "trace", "error_kind, path", "nothing"),
    row(1, "image", "digest, timestamp", "nothing"),
    row(2, "archive", "error_kind, path, timestamp, compress, tree", "its own files"),
    row(2, "store", "digest", "its own files"),
    row(
        3,
        "source",
        "error_kind, path, timestamp, digest, compress, tree, elf, archive, store",
        "host reads, threads",
    ),
    row(
        4,
        "oci",
        "error_kind, path, digest, compress, tree, elf, image, archive, store, source",
        "host reads",
    ),
    row(
        5,
        "plan",
        "error_kind, path, timestamp, tree, elf, rules, image, source",
        "reads through `source`",
    ),
    row(5, "check", "path, tree, elf, image, oci, source", "reads through `source`"),
    row(
        6,
        "build",
        "error_kind, path, timestamp, tree, recipe, rules, elf, image, oci, plan, source",
        "base images through `source`",
    ),
    row(6, "pack", "error_kind, path, digest, compress, tree, archive, store, source", "threads"),
    row(
        7,
        "output",
        "error_kind, digest, image, tree, archive, store, source",
        "writes at the target, stdout",
    ),
    row(7, "run", "error_kind, path, tree, trace, source, check", "processes"),
    row(8, "pipeline", "all of the above", "–"),
    row(9, "cli", "all of the above", "environment, clock, terminal, exit code, names of files"),
];

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
        "reads through `source`" => &[],
        "its own files"
        | "host reads"
        | "base images through `source`"
        | "Read/Write, nameless temporary files" => &[Files],
        "writes at the target, stdout" => &[Files, Terminal],
        "sockets" => &[Sockets],
        // Of which each stage is one, with its files, threads and messages.
        "processes" => &[Files, Threads, Processes, Terminal],
        "host reads, threads" => &[Files, Threads],
        "threads" => &[Threads],
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
        ("OpenOptions", Files),
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
    const HARMLESS: [&str; 4] = [
        // To hold an open file, to name its type or to read through it, is not to open one.
        "std::fs::File",
        "std::os::unix::fs::FileExt",
        // What this program was built for, and for how many threads the machine is.
        "std::env::consts::ARCH",
        "std::thread::available_parallelism",
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
    /// Below the crate's root: 1 for `src/digest.rs` and `src/path/mod.rs`.
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
fn allowed(row: &Row) -> BTreeSet<&'static str> {
    if row.imports == "–" {
        BTreeSet::new()
    } else if let Some(but) = row.imports.strip_prefix(BELOW) {
        let below = TABLE.iter().filter(|other| other.floor < row.floor).map(|other| other.module);
        below.filter(|module| !but.contains(&format!("`{module}`"))).collect()
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
    let rows = in_order(TABLE.iter().map(|row| row.module));
    assert_eq!(found, rows, "left: the modules of src/; right: the rows of TABLE");
    assert!(TABLE.is_sorted_by_key(|row| row.floor), "TABLE goes from floor to floor");
    for row in TABLE {
        for import in allowed(row) {
            let target = TABLE.iter().find(|other| other.module == import);
            assert!(
                target
                    .is_some_and(|target| target.floor <= row.floor && target.module != row.module),
                "the row of `{}` allows `{import}`, which is no module on its floor or below",
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
            // `crate` alone is the reach of a `pub`.
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
                reaches(&named).filter(|world| !touched(row.touches).contains(world))
            {
                let (path, name) = (source.path.display(), named.segments.join("::"));
                faults.push(format!("{path}: `{}` may not touch {world:?}, by {name}", row.module));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_library_opens_with_the_same_table() {
    let text = fs_err::read_to_string(src().join("lib.rs")).unwrap();
    let mut documented = Vec::new();
    for line in text.lines() {
        let cells: Vec<&str> =
            line.trim_start_matches("//! |").split(" | ").map(str::trim).collect();
        if let [floor, modules, _, imports, touches] = cells[..]
            && let Ok(floor) = floor.parse::<u8>()
        {
            let touches = touches.trim_end_matches('|').trim();
            let names = modules.split(['`', '[', ']', ' ', ',']).filter(|name| !name.is_empty());
            documented.extend(names.map(|name| format!("{floor} {name}: {imports}: {touches}")));
        }
    }
    let table = TABLE
        .iter()
        .map(|row| format!("{} {}: {}: {}", row.floor, row.module, row.imports, row.touches));
    let table: Vec<String> = table.collect();
    assert_eq!(
        in_order(documented.iter().map(String::as_str)),
        in_order(table.iter().map(String::as_str)),
        "left: the table of src/lib.rs; right: TABLE"
    );
    let code = code_of(&text);
    assert!(!code.contains("pub use"), "src/lib.rs exports modules and nothing else");
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
