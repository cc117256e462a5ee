use super::*;

const BACKSLASH: Mode = Mode::Word { escape: '\\' };

fn scope() -> Scope {
    let of = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
    };
    Scope {
        env: of(&[
            ("HOME", "/home"),
            ("SHELL", "bash"),
            ("EMPTY", ""),
            ("한", "국"),
            ("A", "xxyy"),
            ("SELF", "$SELF"),
        ]),
        args: of(&[
            ("FILE", "/tmp/a.tar.gz"),
            ("STARS", "a***yy*"),
            ("HOME", "arg"),
            ("REGEX", "()[]{}^$.*?|\\x"),
        ]),
    }
}

fn run(word: &str) -> Result<String, FaultKind> {
    let expanded = expand(word, BACKSLASH, &scope(), &mut Budget::default());
    expanded.map(|expanded| expanded.text).map_err(|error| error.kind)
}

const EXPANSIONS: &[(&str, &str)] = &[
    // Plain, quotes, escapes.
    ("hello", "hello"),
    ("he'll'o", "hello"),
    ("he\"ll\"o", "hello"),
    // The backslash is literal within single quotes, so that `'` ends them.
    ("he'll\\'o", "hell\\o"),
    ("he\\'llo", "he'llo"),
    ("\"he'llo\"", "he'llo"),
    ("\"he\\\"llo\"", "he\"llo"),
    ("\"he\\llo\"", "he\\llo"),
    ("\"he\\\\llo\"", "he\\llo"),
    ("he\\llo", "hello"),
    ("he\\\\llo", "he\\llo"),
    ("hello\\", "hello"),
    ("\"hello\\\\\"", "hello\\"),
    ("'$HOME'", "$HOME"),
    ("\"$HOME\"", "/home"),
    ("\\$HOME", "$HOME"),
    ("\"\\$HOME\"", "$HOME"),
    ("a b", "a b"),
    // Names.
    ("$HOME.", "/home."),
    ("$HOMEx", ""),
    ("${HOME}x", "/homex"),
    ("$한", "국"),
    ("$", "$"),
    ("a$", "a$"),
    ("$.x", "$.x"),
    ("$1x", "x"),
    ("$*$$", ""),
    ("$SELF", "$SELF"),
    ("${UNSET}", ""),
    // Defaults and alternatives.
    ("${EMPTY-d}", ""),
    ("${EMPTY:-d}", "d"),
    ("${UNSET-d}", "d"),
    ("${HOME:-d}", "/home"),
    ("${UNSET:-}", ""),
    ("${EMPTY+a}", "a"),
    ("${EMPTY:+a}", ""),
    ("${HOME:+a$SHELL}", "abash"),
    ("${UNSET+a}", ""),
    ("${UNSET:-${EMPTY:-$SHELL}}", "bash"),
    ("${UNSET:-'a}b'}", "a}b"),
    ("${UNSET:-a\\}b}", "a}b"),
    ("${HOME:?no}${EMPTY?no}", "/home"),
    ("\"${UNSET:-a b}\"", "a b"),
    // Prefixes and suffixes.
    ("${A#x}", "xyy"),
    ("${A#*x}", "xyy"),
    ("${A##*x}", "yy"),
    ("${A#*}", "xxyy"),
    ("${A##*}", ""),
    ("${A#}", "xxyy"),
    ("${A##}", "xxyy"),
    ("${A#y}", "xxyy"),
    ("${A#?}", "xyy"),
    ("${A%y}", "xxy"),
    ("${A%y*}", "xxy"),
    ("${A%%y*}", "xx"),
    ("${A%}", "xxyy"),
    ("${A:%y}", "xxy"),
    ("${FILE##*/}", "a.tar.gz"),
    ("${FILE%.*}", "/tmp/a.tar"),
    ("${FILE%%.*}", "/tmp/a"),
    ("${FILE#$EMPTY}", "/tmp/a.tar.gz"),
    ("${UNSET#x}", ""),
    ("${STARS%%\\**\\*}", "a"),
    ("${REGEX#()[]{\\}^$.\\*\\?|\\\\}", "x"),
    // Replacements.
    ("${FILE/a/b}", "/tmp/b.tar.gz"),
    ("${FILE//a/b}", "/tmp/b.tbr.gz"),
    ("${FILE//\\//_}", "_tmp_a.tar.gz"),
    ("${FILE/tmp\\//}", "/a.tar.gz"),
    ("${FILE/.*/}", "/tmp/a"),
    ("${A/x*y/-}", "-"),
    ("${A//x?/-}", "-yy"),
    ("${A/z/-}", "xxyy"),
    ("${A/$EMPTY/w}", "wxxyy"),
    ("${A//$EMPTY/w}", "wxwxwywyw"),
    ("${A///}", "xxyy"),
    ("${UNSET/a/b}", ""),
];

#[test]
fn expands_as_buildkit_does() {
    for &(word, wanted) in EXPANSIONS {
        assert_eq!(run(word), Ok(wanted.into()), "{word}");
    }
}

#[test]
fn finds_what_is_malformed() {
    let required = |name: &str, message: &str| FaultKind::Required {
        name: name.into(),
        message: message.into(),
    };
    let modifier = |modifier: &str| FaultKind::Modifier { modifier: modifier.into() };
    for (word, wanted) in [
        ("'a", FaultKind::Quote { quote: '\'' }),
        ("\"a", FaultKind::Quote { quote: '"' }),
        ("a\"${A:-'x}", FaultKind::Quote { quote: '\'' }),
        ("${", FaultKind::NoBrace),
        ("${A", FaultKind::NoBrace),
        ("${A:", FaultKind::NoBrace),
        ("${A:-", FaultKind::NoBrace),
        ("${A:-${A}", FaultKind::NoBrace),
        ("${}", FaultKind::BadSubstitution),
        ("${{A}}", FaultKind::BadSubstitution),
        ("${:}", FaultKind::BadSubstitution),
        ("${A=b}", modifier("=")),
        ("${A:=b}", modifier(":=")),
        ("${A:b}", modifier(":b")),
        ("${A.b}", modifier(".")),
        ("${A/x}", FaultKind::NoSlash),
        ("${A//}", FaultKind::NoSlash),
        ("${A/x/", FaultKind::NoBrace),
        ("${A#\\x}", FaultKind::Pattern { pattern: "\\x".into() }),
        ("${UNSET?}", required("UNSET", "is not set")),
        ("${EMPTY:?}", required("EMPTY", "is empty")),
        ("${UNSET:?give $SHELL}", required("UNSET", "give bash")),
    ] {
        assert_eq!(run(word), Err(wanted), "{word}");
    }
}

#[test]
fn says_where() {
    let at = |word: &str| expand(word, BACKSLASH, &scope(), &mut Budget::default()).unwrap_err().at;
    assert_eq!((at("a${A"), at("a'b"), at("ab${A:-${B}"), at("x${A:=y}")), (1, 1, 2, 1));
    let unset = expand("a$X ${Y} ${Z:-} \"$X\"", BACKSLASH, &scope(), &mut Budget::default())
        .unwrap()
        .unset;
    assert_eq!(unset, [(1, "X".into()), (4, "Y".into()), (17, "X".into())]);
}

#[test]
fn the_escape_character_is_the_files() {
    let run = |word: &str| {
        expand(word, Mode::Word { escape: '`' }, &scope(), &mut Budget::default()).unwrap().text
    };
    assert_eq!((run("`$A\\n").as_str(), run("\"f`\"\"").as_str()), ("$A\\n", "f\""));
}

#[test]
fn here_documents_keep_their_quotes() {
    let run =
        |text: &str| expand(text, Mode::Heredoc, &scope(), &mut Budget::default()).unwrap().text;
    assert_eq!(run("it's \"$SHELL\"\n\\$A ${A#x}\n"), "it's \"bash\"\n$A xyy\n");
}

#[test]
fn a_check_knows_no_values() {
    for word in ["${A:?}$B${C/x/y}", "${A#$B*}", "\"${A:-${B:+c}}\""] {
        assert_eq!(check(word, BACKSLASH), Ok(()), "{word}");
    }
    for word in ["${A", "${A=b}", "'$A", "${A:-'}", "${A#\\x}"] {
        assert!(check(word, BACKSLASH).is_err(), "{word}");
    }
}

#[test]
fn is_bounded() {
    let deep = |levels: usize| "${X:-".repeat(levels) + "y" + &"}".repeat(levels);
    assert_eq!(run(&deep(MAX_DEPTH)), Ok("y".into()));
    assert_eq!(run(&deep(MAX_DEPTH + 1)), Err(FaultKind::TooDeep { max: MAX_DEPTH }));
    assert_eq!(run(&deep(100_000)), Err(FaultKind::TooDeep { max: MAX_DEPTH }));

    let big = Scope { env: [("B".into(), "b".repeat(MAX_WORD / 2))].into(), ..Scope::default() };
    let run = |word: &str| {
        expand(word, BACKSLASH, &big, &mut Budget::default()).map(|expanded| expanded.text.len())
    };
    assert_eq!(run("$B$B"), Ok(MAX_WORD));
    let too_large = |error: ExpandError| error.kind == FaultKind::TooLarge;
    assert!(run("$B$B$B").is_err_and(too_large));
    assert!(run("${B//b/bbb}").is_err_and(too_large));
    // A search of pattern times value: its steps are counted.
    assert!(run("${B##*b*b*b*b*b*b*b*bc}").is_ok());
    assert!(run(&format!("${{B##{}c}}", "*b".repeat(2000))).is_err_and(too_large));
    assert!(run("${B/*b*bc/x}").is_err_and(too_large));

    let mut budget = Budget::default();
    let words =
        (0..1000).take_while(|_| expand("$B", BACKSLASH, &big, &mut budget).is_ok()).count();
    assert_eq!(words, 64);
}
