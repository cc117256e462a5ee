use super::*;

/// Pattern, path, whether `**` means directories: yes, no, for both.
#[rustfmt::skip]
const ROWS: &[(&str, &str, bool, bool)] = &[
    // Go's own table for filepath.Match.
    ("abc", "abc", true, true), ("*", "abc", true, true), ("*c", "abc", true, true),
    ("a*", "a", true, true),
    ("a*", "ab/c", false, false), ("a*/b", "abc/b", true, true), ("a*/b", "a/c/b", false, false),
    ("a*b*c*d*e*/f", "axbxcxdxe/f", true, true), ("a*b*c*d*e*/f", "axbxcxdxexxx/f", true, true),
    ("a*b*c*d*e*/f", "axbxcxdxe/xxx/f", false, false), ("a*b?c*x", "abxbbxdbxebxczzx", true, true),
    ("a*b?c*x", "abxbbxdbxebxczzy", false, false), ("ab[c]", "abc", true, true),
    ("ab[b-d]", "abc", true, true),
    ("ab[e-g]", "abc", false, false), ("ab[^c]", "abc", false, false),
    ("ab[^b-d]", "abc", false, false),
    ("ab[^e-g]", "abc", true, true), ("a\\*b", "a*b", true, true), ("a\\*b", "ab", false, false),
    ("a?b", "a☺b", true, true), ("a[^a]b", "a☺b", true, true), ("a???b", "a☺b", false, false),
    ("[a-ζ]*", "α", true, true), ("*[a-ζ]", "A", false, false), ("a?b", "a/b", false, false),
    ("a*b", "a/b", false, false), ("[\\]a]", "]", true, true), ("[\\-]", "-", true, true),
    ("[x\\-]", "x", true, true), ("[\\-x]", "-", true, true), ("[\\-x]", "a", false, false),
    ("*x", "xxx", true, true), ("", "", true, true), ("", "x", false, false),
    ("]", "]", true, true),
    // `**`, with moby's regular expressions as the measure.
    ("**", "a/b/c", true, false), ("**/", "file", true, false), ("**/c", "a/b/c", true, false),
    ("**/c", "c", true, false),
    ("**/c", "xc", false, false), ("a/**", "a/b/c", true, false), ("a/**", "a", false, false),
    ("a/**", "a/b", true, true), ("a/**/c", "a/c", true, false), ("a/**/c", "a/x/y/c", true, false),
    ("a/**/c", "a/xc", false, false), ("a**c", "ac", true, true), ("a**c", "abc", false, true),
    ("a**c", "ab/c", true, false), ("**.go", "a/b.go", true, false), ("**.g?", "b.go", false, true),
    ("**.g?", "a/.go", true, false), ("a**/*", "a/b", true, true),
    ("**/a/**", "x/a/b/c", true, false),
    ("**/**/x", "x", true, false), ("a/**/b/**/c", "a/1/2/b/3/c", true, false),
    ("**/*.c", "x.c", true, false), ("**/*.c", "a/b/x.c", true, false),
    ("**/*.c", "x.c/y", false, false),
    ("a/*.c", "a/b/x.c", false, false), ("a/**/*.c", "a/x.c", true, false),
    ("**/ab*", "abc", true, false), ("**/ab*", "x/y/ab", true, false),
    ("**/ab*", "ab/x", false, false), ("**/ab*", "x/a", false, false),
    ("**/ab*z", "x/abyz", true, true), ("**/ab*z", "abyz/x", false, false),
    ("abc/**", "abcd", false, false),
    ("a**", "ab/c", true, false), ("***", "a", true, true),
];

#[test]
fn matches_as_go_and_moby_do() {
    for &(pattern, path, deep, plain) in ROWS {
        let (pattern, path) = (pattern.as_bytes(), path.as_bytes());
        let shown = format!("{} on {}", pattern.escape_ascii(), path.escape_ascii());
        assert_eq!(Glob::new(pattern).unwrap().matches(path), deep, "with **: {shown}");
        assert_eq!(Glob::plain(pattern).unwrap().matches(path), plain, "plain: {shown}");
    }
}

#[test]
fn refuses_what_go_calls_a_bad_pattern() {
    for pattern in [
        "[", "[]a]", "[-]", "[x-]", "[-x]", "[a-b-c]", "[^", "[^bc", "a[", "[\\", "[]", "[z-a]",
        "*[",
    ] {
        assert_eq!(Glob::new(pattern.as_bytes()), Err(GlobError::Class), "{pattern}");
        assert_eq!(Glob::plain(pattern.as_bytes()), Err(GlobError::Class), "{pattern}");
    }
    assert_eq!(Glob::new(b"a\\"), Err(GlobError::Backslash));
    assert_eq!(Glob::new(b"[\xff]"), Err(GlobError::Class));
    assert_eq!(Glob::new(&[b'a'; MAX_PATTERN + 1]), Err(GlobError::TooLong));
}

#[test]
fn takes_bytes_that_are_no_text() {
    assert!(Glob::new(b"a?\xfe").unwrap().matches(b"a\xff\xfe"));
    assert!(Glob::new(b"\xff*").unwrap().matches(b"\xff\xfe\xfd"));
    assert!(!Glob::new(b"\xff?").unwrap().matches(b"\xff"));
}

/// The steps of a bomb are counted by its size: pattern times path, where a backtracking matcher
/// would not end.
#[test]
fn ends_on_bombs() {
    let path = "a".repeat(4000);
    for pattern in
        ["a*".repeat(1000) + "b?", "**/".repeat(1000) + "b?", "*a**/".repeat(800) + "[b]"]
    {
        assert!(!Glob::new(pattern.as_bytes()).unwrap().matches(path.as_bytes()));
    }
    let deep = "a/".repeat(2000) + "b";
    assert!(Glob::new("**/a/".repeat(500).as_bytes()).is_ok());
    assert!(Glob::new(("**/a/".repeat(500) + "b").as_bytes()).unwrap().matches(deep.as_bytes()));
    assert!(!Glob::new(("*/".repeat(1999) + "b").as_bytes()).unwrap().matches(deep.as_bytes()));
}

#[test]
fn knows_a_wildcard() {
    for (name, wild) in [
        ("a", false),
        ("a*", true),
        ("a\\*", false),
        ("\\\\*", true),
        ("a?b", true),
        ("[", true),
        ("]", false),
    ] {
        assert_eq!(has_wildcard(name.as_bytes()), wild, "{name}");
    }
}

#[test]
fn cleans_as_go_does() {
    for (path, wanted) in [
        ("", ""),
        ("abc", "abc"),
        ("a/b/", "a/b"),
        ("a//b", "a/b"),
        ("./a", "a"),
        (".", "."),
        ("a/..", "."),
        ("a/b/../../c", "c"),
        ("../a", "../a"),
        ("a/../../b", "../b"),
        ("/", "/"),
        ("/..", "/"),
        ("/../a", "/a"),
        ("/a/./b/", "/a/b"),
        ("../..", "../.."),
        ("a/../../../b", "../../b"),
    ] {
        assert_eq!(clean(path.as_bytes()), wanted.as_bytes(), "{path}");
    }
}

#[test]
fn a_pattern_is_no_longer_than_a_path() {
    let pattern = |len: usize| Glob::new(&vec![b'a'; len]).map(drop);
    assert_eq!(pattern(MAX_PATTERN), Ok(()));
    assert_eq!(pattern(MAX_PATTERN + 1), Err(GlobError::TooLong));
}
