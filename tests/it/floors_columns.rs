//! Lines fit into 100 columns: source, comments, documents, tables and scripts.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

const WIDEST: usize = 100;

/// What is written by hand, from the root of the repository.
const WRITTEN: [&str; 9] =
    ["src", "tests", "benches", "docs", "fixtures", "fuzz", "packaging", ".ci", "."];

/// Files whose long lines are data, with the reason.
const DATA: &[(&str, &str)] = &[
    ("tests/it/programs.toml", "the command lines of the programs that are packed"),
    ("src/explain/page/vendor", "code that others wrote, and that is made shorter"),
    ("tests/it/conformance/classic", "Dockerfiles whose lines are part of the case"),
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
            ["rs", "md", "toml", "sh", "py", "txt", "js", "css", "html"]
                .iter()
                .any(|&text| extension == text)
        });
        entry.file_type().is_file()
            && (is_text || ["build", "lint", "run", "Buildfile.example"].contains(&&*name))
    });
    files.map(|entry| entry.into_path()).collect()
}

/// Whether `line` may be long: a row of a Markdown table, one long word, and a list of patterns in
/// a table of rules, which is data. Comments and texts of these tables are not.
fn may_be_long(file: &Path, line: &str) -> bool {
    let has_extension = |wanted: &str| file.extension().is_some_and(|found| found == wanted);
    let start = line.trim_start();
    let is_row = has_extension("md") && start.starts_with('|');
    let is_prose = ["#", "description", "hint"].iter().any(|prose| start.starts_with(prose));
    let is_list = has_extension("toml") && file.iter().any(|part| part == "table") && !is_prose;
    let text = start.trim_start_matches(['/', '!', '#', '-', ' ']);
    is_row || is_list || !text.contains(' ')
}

#[test]
fn lines_fit_into_100_columns() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut long: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for file in WRITTEN.iter().flat_map(|dir| texts(root, dir)) {
        let relative = file.strip_prefix(root).unwrap();
        let name = relative.to_str().unwrap().trim_start_matches("./").to_owned();
        let is_data = DATA.iter().any(|(data, _)| relative.starts_with(data));
        if is_data {
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
