//! Lines fit into 100 columns: source, comments, documents, tables and scripts.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

const WIDEST: usize = 100;

/// What is written by hand, from the root of the repository.
const WRITTEN: [&str; 7] = ["src", "tests", "benches", "docs", "fixtures", ".ci", "."];

/// Files whose long lines are data, with the reason.
const DATA: &[(&str, &str)] = &[
    ("tests/it/programs.toml", "the command lines of the programs that are packed"),
    ("tests/it/conformance/classic", "Dockerfiles whose lines are part of the case"),
];

/// Files and directories that still have long lines. The list shrinks until it is empty.
const TO_BE_WRAPPED: &[&str] = &[
    "src/build",
    "src/check",
    "src/elf",
    "src/image",
    "src/output",
    "src/plan",
    "src/rules",
    "src/source",
];

/// Every text of ours below `dir`, or in it alone.
fn texts(root: &Path, dir: &str) -> Vec<PathBuf> {
    let depth = if dir == "." { 1 } else { usize::MAX };
    let files = walkdir::WalkDir::new(root.join(dir)).max_depth(depth).sort_by_file_name();
    let files = files.into_iter().filter_entry(|entry| entry.file_name() != "target");
    let files = files.filter_map(Result::ok).filter(|entry| {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy();
        let is_text = path.extension().is_some_and(|extension| {
            ["rs", "md", "toml", "sh", "py", "txt"].iter().any(|&text| extension == text)
        });
        entry.file_type().is_file() && (is_text || name == "run" || name == "Buildfile.example")
    });
    files.map(|entry| entry.into_path()).collect()
}

/// Whether `line` may be long: a row of a Markdown table cannot be wrapped, nor can one word.
fn may_be_long(file: &Path, line: &str) -> bool {
    let is_row = file.extension().is_some_and(|extension| extension == "md")
        && line.trim_start().starts_with('|');
    let text = line.trim_start().trim_start_matches(['/', '!', '#', '-', ' ']);
    is_row || !text.contains(' ')
}

#[test]
fn lines_fit_into_100_columns() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut long: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for file in WRITTEN.iter().flat_map(|dir| texts(root, dir)) {
        let relative = file.strip_prefix(root).unwrap();
        let name = relative.to_str().unwrap().trim_start_matches("./").to_owned();
        let is_data = DATA.iter().any(|(data, _)| relative.starts_with(data));
        if is_data || TO_BE_WRAPPED.iter().any(|path| relative.starts_with(path)) {
            continue;
        }
        let text = fs_err::read_to_string(&file).unwrap();
        for (at, line) in text.lines().enumerate() {
            if line.chars().count() > WIDEST && !may_be_long(&file, line) {
                long.entry(name.clone()).or_default().push(at + 1);
            }
        }
    }
    let faults: Vec<String> = long.iter().map(|(name, at)| format!("{name}: {at:?}")).collect();
    assert!(faults.is_empty(), "lines of more than {WIDEST} columns:\n{}", faults.join("\n"));
}
