//! `tests/CATALOGUE.md`: every row names tests, and each of these exists.

use std::{collections::BTreeMap, path::Path};

/// The rows that each section has, in order.
const SECTIONS: [(&str, u32); 7] =
    [("T", 21), ("S", 13), ("O", 14), ("E", 11), ("C", 10), ("W", 11), ("R", 11)];

/// A row: its number, and the tests that it names.
fn row(line: &str) -> Option<(String, Vec<String>)> {
    let cells: Vec<&str> = line.strip_prefix('|')?.strip_suffix('|')?.split(" | ").collect();
    let [name, _, _, tests, guards] = cells[..] else { return None };
    let name = name.trim();
    if !name.starts_with(|c: char| c.is_ascii_uppercase()) || name.len() > 3 {
        return None;
    }
    assert!(!guards.trim().is_empty(), "{name} does not say how its tests were tried");
    let tests = tests.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    Some((name.to_owned(), tests))
}

/// The files that may hold the test `path`: a module of `tests/it`, or of `src`.
fn files(path: &[&str]) -> Vec<String> {
    let module = path.join("/");
    let mut files = vec![format!("tests/it/{module}.rs"), format!("src/{module}.rs")];
    files.push(format!("src/{module}/mod.rs"));
    // The tests of a module may be in a file below it.
    let (last, above) = path.split_last().unwrap();
    files.push(format!("src/{}/{last}/tests.rs", above.join("/")));
    files
}

/// Whether the file of `test` has a test of that name.
fn exists(test: &str) -> bool {
    let parts: Vec<&str> = test.split("::").collect();
    let Some((name, path)) = parts.split_last().filter(|(_, path)| !path.is_empty()) else {
        return false;
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = files(path).into_iter();
    files.filter_map(|file| fs_err::read_to_string(root.join(file)).ok()).any(|text| {
        let before = text.split_once(&format!("fn {name}("));
        before.is_some_and(|(before, _)| before.trim_end().ends_with("#[test]"))
    })
}

#[test]
fn every_row_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs_err::read_to_string(root.join("tests/CATALOGUE.md")).unwrap();
    let rows: BTreeMap<String, Vec<String>> = text.lines().filter_map(row).collect();
    let names = SECTIONS
        .iter()
        .flat_map(|(letter, count)| (1..=*count).map(move |number| format!("{letter}{number}")));
    let missing: Vec<String> = names.filter(|name| !rows.contains_key(name)).collect();
    assert_eq!(missing, [""; 0], "rows are missing");
    for (name, tests) in &rows {
        assert!(!tests.is_empty(), "{name} names no test");
        let gone: Vec<_> = tests.iter().filter(|test| !exists(test)).collect();
        assert!(gone.is_empty(), "{name}: there are no such tests: {gone:?}");
    }
    assert!(!exists("catalogue::no_such_test") && !exists("catalogue::row"));
}
