//! Ignore lists and globs: against a simple matcher, from the top down as in a walk, and nothing
//! below a directory that a walk skips is included again.
#![no_main]

use std::collections::BTreeSet;

use imgb::path::{
    ImagePath, escape,
    glob::{self, Glob},
    ignore::{Ignore, Verdict},
};
use imgb_fuzz::{check_line, input::Input, tree};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let paths: Vec<Vec<u8>> = (0..input.byte() % 6).map(|_| glob::clean(&input.path())).collect();
    let list = input.0;
    match Ignore::parse(list) {
        Ok(ignore) => paths.iter().for_each(|path| check_walk(&ignore, path)),
        Err(error) => check_line(&error.to_string()),
    }
    match ImagePath::new(list) {
        Ok(path) => tree::check_path(&path),
        Err(error) => check_line(&error.to_string()),
    }
    check_escape(list);
    for pattern in list.split(|&byte| byte == b'\n') {
        let Ok(one) = Glob::plain(pattern) else { continue };
        for path in paths.iter().filter(|path| path.is_ascii()) {
            if pattern.is_ascii() {
                assert_eq!(
                    one.matches(path),
                    matches(pattern, path),
                    "{} {}",
                    escape(pattern),
                    escape(path)
                );
            }
        }
        let _ = Glob::new(pattern).map(|glob| paths.iter().any(|path| glob.matches(path)));
    }
});

fn check_walk(ignore: &Ignore, path: &[u8]) {
    let mut verdict = Verdict::default();
    let mut skipped = false;
    let ends = path.iter().enumerate().filter(|&(_, &byte)| byte == b'/').map(|(at, _)| at);
    for end in ends.chain([path.len()]) {
        let part = &path[..end];
        verdict = ignore.verdict(&verdict, part);
        assert_eq!(verdict.excluded, ignore.excludes(part), "{}", escape(part));
        assert_eq!(verdict.excluded, ignore.reason(part).is_some(), "{}", escape(part));
        assert!(
            !skipped || verdict.excluded,
            "{} is below a directory that is skipped",
            escape(part)
        );
        skipped |= verdict.excluded && !ignore.may_reinclude_below(part);
    }
}

/// `filepath.Match` of Go, for patterns that it takes: after each part of the pattern, the lengths
/// of the path that are matched so far. Backtracking would take hours for a line of stars.
fn matches(pattern: &[u8], path: &[u8]) -> bool {
    let mut lens = BTreeSet::from([0]);
    let mut rest = pattern;
    while let Some((&first, after)) = rest.split_first() {
        let next = |len: &usize| path.get(*len).copied().filter(|&byte| byte != b'/');
        (lens, rest) = match first {
            b'*' => {
                let end = |from: usize| {
                    path[from..].iter().position(|&b| b == b'/').map_or(path.len(), |at| from + at)
                };
                (lens.iter().flat_map(|&from| from..=end(from)).collect(), after)
            }
            b'?' => (longer(&lens, |len| next(len).is_some()), after),
            b'[' => {
                let found = |len: &usize| path.get(*len).is_some_and(|&byte| class(after, byte).0);
                (longer(&lens, found), class(after, 0).1)
            }
            b'\\' if !after.is_empty() => {
                (longer(&lens, |len| path.get(*len) == Some(&after[0])), &after[1..])
            }
            _ => (longer(&lens, |len| path.get(*len) == Some(&first)), after),
        };
    }
    lens.contains(&path.len())
}

/// The lengths that pass `test`, with one byte more.
fn longer(lens: &BTreeSet<usize>, test: impl Fn(&usize) -> bool) -> BTreeSet<usize> {
    lens.iter().filter(|len| test(len)).map(|len| len + 1).collect()
}

/// Whether `byte` is in the class after a `[`, and what follows the class.
fn class(mut pattern: &[u8], byte: u8) -> (bool, &[u8]) {
    let negated = pattern.first() == Some(&b'^');
    pattern = &pattern[usize::from(negated)..];
    let mut found = false;
    let one = |pattern: &mut &[u8]| {
        *pattern = pattern.strip_prefix(b"\\").unwrap_or(pattern);
        let (&byte, rest) = pattern.split_first().expect("a well-formed class");
        *pattern = rest;
        byte
    };
    let mut is_first = true;
    while is_first || pattern.first() != Some(&b']') {
        is_first = false;
        let low = one(&mut pattern);
        let mut high = low;
        if let Some(rest) = pattern.strip_prefix(b"-") {
            pattern = rest;
            high = one(&mut pattern);
        }
        found |= (low..=high).contains(&byte);
    }
    (found != negated, &pattern[1..])
}

/// Holds that an escaped name is one printable line, from which the name can be told.
fn check_escape(name: &[u8]) {
    let text = escape(name);
    if !name.is_empty() {
        check_line(&text);
    }
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((&byte, after)) = rest.split_first() {
        match (byte, after.first()) {
            (b'\\', Some(b'x')) => {
                let hex = std::str::from_utf8(&after[1..3]).expect("digits");
                bytes.push(u8::from_str_radix(hex, 16).expect("digits"));
                rest = &after[3..];
            }
            (b'\\', _) => {
                bytes.push(b'\\');
                rest = &after[1..];
            }
            _ => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    assert_eq!(bytes, name);
}
