use super::*;

/// The context of the table.
const FILES: &str = "a.txt b.txt README.md .env foo/x foo/bar/y.txt foo/bar/z foo/b.md src/main.rs \
    src/lib/a.txt src/lib/deep/er/a.txt node_modules/m.js src/node_modules/m.js food/x {a,b}.txt \
    !d sp/ace tail";

/// The shorter of the two lists.
enum Left {
    Kept(&'static str),
    Lost(&'static str),
}
use Left::{Kept, Lost};

/// Rules, and what they leave of [`FILES`]: the answers of docker 28.2.2 with its classic builder.
#[rustfmt::skip]
const DOCKER: &[(&str, Left)] = &[
    ("", Lost("")),
    ("a.txt", Lost("a.txt")),
    ("*.md", Lost("README.md")),
    ("**/*.md", Lost("README.md foo/b.md")),
    ("*.txt", Lost("a.txt b.txt {a,b}.txt")),
    ("**/*.txt", Lost("a.txt b.txt foo/bar/y.txt src/lib/a.txt src/lib/deep/er/a.txt {a,b}.txt")),
    ("node_modules", Lost("node_modules/m.js")),
    ("**/node_modules", Lost("node_modules/m.js src/node_modules/m.js")),
    ("foo", Lost("foo/x foo/bar/y.txt foo/bar/z foo/b.md")),
    ("foo/", Lost("foo/x foo/bar/y.txt foo/bar/z foo/b.md")),
    ("/foo", Lost("foo/x foo/bar/y.txt foo/bar/z foo/b.md")),
    ("./foo", Lost("foo/x foo/bar/y.txt foo/bar/z foo/b.md")),
    ("foo/*", Lost("foo/x foo/bar/y.txt foo/bar/z foo/b.md")),
    ("foo/**", Lost("foo/x foo/bar/y.txt foo/bar/z foo/b.md")),
    ("foo**", Lost("foo/x foo/bar/y.txt foo/bar/z foo/b.md food/x")),
    ("**foo", Lost("foo/x foo/bar/y.txt foo/bar/z foo/b.md")),
    ("**/foo", Lost("foo/x foo/bar/y.txt foo/bar/z foo/b.md")),
    ("*/bar", Lost("foo/bar/y.txt foo/bar/z")),
    ("foo/*/z", Lost("foo/bar/z")),
    ("foo\n!foo/bar/y.txt", Lost("foo/x foo/bar/z foo/b.md")),
    ("foo\n!foo/bar", Lost("foo/x foo/b.md")),
    ("*\n!src", Kept("src/main.rs src/lib/a.txt src/lib/deep/er/a.txt src/node_modules/m.js")),
    ("*\n!src/lib", Kept("src/lib/a.txt src/lib/deep/er/a.txt")),
    ("*\n!src\nsrc/lib", Kept("src/main.rs src/node_modules/m.js")),
    ("foo\n!foo/bar\nfoo/bar/z", Lost("foo/x foo/bar/z foo/b.md")),
    ("!a.txt\n*.txt", Lost("a.txt b.txt {a,b}.txt")),
    ("foo/../a.txt", Lost("a.txt")),
    ("../a.txt", Lost("")),
    ("  a.txt  ", Lost("a.txt")),
    ("# a.txt", Lost("")),
    ("  # a.txt", Lost("")),
    ("\\#x\na.txt", Lost("a.txt")),
    ("{a,b}.txt", Lost("{a,b}.txt")),
    ("[ab].txt", Lost("a.txt b.txt")),
    ("[^a].txt", Lost("b.txt")),
    ("[!a].txt", Lost("a.txt")),
    ("?.txt", Lost("a.txt b.txt")),
    ("???", Lost("foo/x foo/bar/y.txt foo/bar/z foo/b.md src/main.rs src/lib/a.txt \
    src/lib/deep/er/a.txt src/node_modules/m.js")),
    ("*/*", Kept("a.txt b.txt README.md .env {a,b}.txt !d tail")),
    ("**", Kept("")),
    ("**\n!a.txt", Kept("a.txt")),
    ("**/a.txt", Lost("a.txt src/lib/a.txt src/lib/deep/er/a.txt")),
    ("src/**/a.txt", Lost("src/lib/a.txt src/lib/deep/er/a.txt")),
    ("src/**/deep", Lost("src/lib/deep/er/a.txt")),
    ("**.txt", Lost("a.txt b.txt foo/bar/y.txt src/lib/a.txt src/lib/deep/er/a.txt {a,b}.txt")),
    ("**a.txt", Lost("a.txt src/lib/a.txt src/lib/deep/er/a.txt")),
    ("src**a.txt", Lost("src/lib/a.txt src/lib/deep/er/a.txt")),
    ("*/*/*.txt", Lost("foo/bar/y.txt src/lib/a.txt")),
    ("! a.txt", Lost("")),
    ("*.txt\n! a.txt", Lost("b.txt {a,b}.txt")),
    ("\\!d", Lost("!d")),
    ("/\n.\n./", Lost("")),
    ("foo/bar/y.txt/", Lost("foo/bar/y.txt")),
    ("foo/bar/y.txt\n!foo", Lost("foo/bar/y.txt")),
    ("fo?/bar", Lost("foo/bar/y.txt foo/bar/z")),
    ("f*\n!food", Lost("foo/x foo/bar/y.txt foo/bar/z foo/b.md")),
    ("\u{feff}a.txt", Lost("a.txt")),
    ("a.txt\r\nb.txt\r", Lost("a.txt b.txt")),
    ("src/lib/*\n!src/lib/deep", Lost("src/lib/a.txt")),
    ("**/deep/**\n!**/er", Lost("")),
    ("a\\.txt", Lost("a.txt")),
    (".*", Lost(".env")),
    ("*.txt\n*.md\n!README.md\n", Lost("a.txt b.txt {a,b}.txt")),
];

/// Where the classic builder leaves a directory that is out unless a `!` rule begins with its very
/// name, and BuildKit, as here, enters it.
const BUILDKIT: &[(&str, Left)] = &[
    ("*\n!**/a.txt", Kept("a.txt src/lib/a.txt src/lib/deep/er/a.txt")),
    ("*\n!*/lib", Kept("src/lib/a.txt src/lib/deep/er/a.txt")),
    ("foo\n!**/bar", Lost("foo/x foo/b.md")),
];

fn check(rules: &str, left: &Left) {
    let ignore = Ignore::parse(rules.as_bytes()).unwrap();
    let (list, wanted) = match left {
        Kept(list) => (list, true),
        Lost(list) => (list, false),
    };
    let listed: Vec<&str> = list.split_whitespace().collect();
    for file in FILES.split_whitespace() {
        let kept = !ignore.excludes(file.as_bytes());
        assert_eq!(kept, listed.contains(&file) == wanted, "rules {rules:?}, file {file}");
        // What pruning would lose must not be lost.
        for (at, _) in file.match_indices('/') {
            let dir = &file.as_bytes()[..at];
            let pruned = ignore.excludes(dir) && !ignore.may_reinclude_below(dir);
            assert!(!(kept && pruned), "rules {rules:?}, file {file}");
        }
    }
}

#[test]
fn leaves_out_what_docker_does() {
    assert!(DOCKER.len() >= 60);
    for (rules, left) in DOCKER.iter().chain(BUILDKIT) {
        check(rules, left);
    }
}

#[test]
fn enters_only_directories_where_something_may_come_back() {
    let ignore = Ignore::parse(b"*\n!src/*/keep\n!deep/**/x\n!only").unwrap();
    for (dir, enter) in [
        ("src", true),
        ("src/a", true),
        ("src/a/keep", false),
        ("deep/a/b/c", true),
        ("only", false),
        ("x", false),
    ] {
        assert_eq!(ignore.may_reinclude_below(dir.as_bytes()), enter, "{dir}");
    }
}

#[test]
fn a_rule_is_not_asked_where_it_changes_nothing() {
    // moby does not note that `!a` matched the directory, as nothing was to be taken back there.
    let ignore = Ignore::parse(b"a/b\n!a").unwrap();
    assert!(ignore.excludes(b"a/b") && !ignore.excludes(b"a/c"));
}

#[test]
fn patterns_of_copy_keep_their_slash() {
    let ignore = Ignore::new(["/a", "b/", "!b/c"]).unwrap();
    assert!(!ignore.excludes(b"a") && ignore.excludes(b"b/d") && !ignore.excludes(b"b/c"));
    assert!(!ignore.is_empty() && Ignore::parse(b"# only a comment\n\n").unwrap().is_empty());
}

#[test]
fn names_the_line_at_fault() {
    let error = |text: &[u8]| Ignore::parse(text).unwrap_err().to_string();
    assert_eq!(error(b"a\n\n!"), "line 3: `!` has no pattern after it");
    assert_eq!(
        error(b"a\nb[\xff"),
        "line 2: the pattern `b[\\xff` cannot be read: a `[...]` class in it is malformed"
    );
    assert_eq!(error("a\n".repeat(MAX_RULES + 1).as_bytes()), "it has more than 10000 patterns");
}
