//! The built-in table, and evaluation.

use super::*;
use crate::{
    ownership::{Bond, Tie},
    path::ImagePath,
};

fn path(text: &str) -> ImagePath {
    ImagePath::new(text).unwrap()
}

fn table(text: &str) -> Table {
    let mut table = Table::default();
    table.add(text).unwrap();
    table
}

fn choice(soft: Soft) -> Choice {
    Choice { soft, ..Choice::default() }
}

fn with_symbol(name: &str) -> Facts {
    let mut facts = Facts::default();
    facts.add_symbol(name.as_bytes(), &path("/app"), true);
    facts
}

/// `rule: evidence: files` of each rule that fires.
fn fired(table: &Table, facts: &Facts, choice: &Choice) -> Vec<String> {
    let line = |fired: Fired<'_>| {
        let files: Vec<_> =
            fired.files.iter().map(|f| String::from_utf8_lossy(&f.pattern).into_owned()).collect();
        format!("{}: {}: {}", fired.rule.name, fired.evidence, files.join(" "))
    };
    evaluate(table, facts, choice).into_iter().map(line).collect()
}

#[test]
fn the_built_in_table_is_sound() {
    let table = Table::builtin().unwrap();
    assert!(table.rules().len() > 40);
    for rule in table.rules() {
        let names = rule.when.iter().flat_map(|when| when.rules.iter().chain(&when.unless));
        let unknown: Vec<_> = names.filter(|name| table.get(name).is_none()).collect();
        assert!(unknown.is_empty(), "{} names {unknown:?}", rule.name);
        assert!(
            rule.level != Level::Hint || rule.hint.is_some() || !rule.files.is_empty(),
            "{}",
            rule.name
        );
    }
}

#[test]
fn no_evidence_no_rule() {
    let table = Table::builtin().unwrap();
    let mut facts = Facts::default();
    facts.programs.insert(path("/usr/bin/true"), path("/usr/bin/true"));
    facts.libcs.insert(Libc {
        kind: LibcKind::Glibc,
        version: Some((2, 36)),
        path: path("/lib/libc.so.6"),
    });
    facts.libraries.insert(b"libc.so.6"[..].into(), path("/lib/libc.so.6"));
    for soft in [Soft::Auto, Soft::All] {
        assert!(fired(&table, &facts, &choice(soft)).is_empty());
    }
}

#[test]
fn variables_are_filled_in() {
    let table = table(
        r#"rule = [
          { name = "py", description = "", level = "auto", when = [{ programs = ["python3.*"] }],
            files = ["{prefix}/lib/python3.{1}", "{libdir}/x", "{dir}/{2}"] },
          { name = "more", description = "", level = "auto", when = [{ rules = ["py"] }],
            files = ["/m"] },
        ]"#,
    );
    let mut facts = Facts::default();
    facts.programs.insert(path("/usr/bin/python3"), path("/opt/[py]/bin/python3.11"));
    let wanted = r"py: it is such a program: /opt/\[py]/lib/python3.11";
    assert_eq!(fired(&table, &facts, &Choice::default()), [wanted, "more: rule py: /m"]);
    let libc = path("/usr/lib/x86_64-linux-gnu/libc.so.6");
    facts.libcs.insert(Libc { kind: LibcKind::Glibc, version: None, path: libc });
    let more = "/usr/lib/x86_64-linux-gnu/x /lib/x86_64-linux-gnu/x";
    assert_eq!(fired(&table, &facts, &Choice::default())[0], format!("{wanted} {more}"));
}

#[test]
fn all_parts_of_a_combination_must_hold() {
    let table = table(
        r#"[[rule]]
        name = "nss"
        description = ""
        level = "auto"
        files = ["{libdir}/libnss_files.so.2"]
        [[rule.when]]
        symbols = ["getaddrinfo", "getpwnam"]
        libc = "glibc"
        libc-before = "2.34""#,
    );
    let mut facts = with_symbol("getpwnam");
    let mut libc = |version| {
        let libc = Libc { kind: LibcKind::Glibc, version, path: path("/lib/libc.so.6") };
        facts.libcs = [libc].into();
        fired(&table, &facts, &Choice::default())
    };
    assert!(libc(Some((2, 36))).is_empty());
    assert!(libc(None).is_empty());
    let files = "/lib/libnss_files.so.2 /usr/lib/libnss_files.so.2";
    assert_eq!(libc(Some((2, 31))), [format!("nss: it imports getpwnam: {files}")]);
}

#[test]
fn levels_and_choices() {
    let table = table(
        r#"rule = [
          { name = "a", description = "", level = "auto", when = [{ symbols = ["x"] }],
            files = ["/a"] },
          { name = "b", description = "", level = "all", when = [{ symbols = ["x"] }],
            files = ["/b"] },
          { name = "c", description = "", level = "hint", when = [{ symbols = ["x"] }],
            files = ["/c"] },
        ]"#,
    );
    let verdicts = |choice: &Choice| {
        let fired = evaluate(&table, &with_symbol("x"), choice);
        fired
            .iter()
            .map(|f| format!("{}{:?}", f.rule.name, f.verdict))
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(verdicts(&choice(Soft::None)), "");
    assert_eq!(verdicts(&choice(Soft::Auto)), "aTakeUpTo(10485760) bSuggest cSuggest");
    assert_eq!(verdicts(&choice(Soft::All)), "aTake bTake cSuggest");
    let mut with = choice(Soft::None);
    with.with.insert("c".into());
    assert_eq!(verdicts(&with), "cTake");
    assert_eq!(fired(&table, &Facts::default(), &with), ["c: --with: /c"]);
    let mut without = choice(Soft::All);
    without.without.insert("a".into());
    assert_eq!(verdicts(&without), "bTake cSuggest");
    without.with.insert("nonsense".into());
    assert_eq!(without.unknown(&table).collect::<Vec<_>>(), ["nonsense"]);
}

#[test]
fn mistakes_in_a_table_are_named() {
    let check = |text: &str, wanted: &str| {
        let error = Table::default().add(text).unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
    };
    let rule =
        |rest: &str| format!("[[rule]]\nname = 'x'\ndescription = ''\nlevel = 'auto'\n{rest}");
    check("[[rules]]", "unknown field `rules`");
    check("[[rule]]\nname = 'x'", "missing field `description`");
    check(&rule("nonsense = 1"), "unknown field `nonsense`");
    check(&rule("exclude = ['[']"), "rule `x`: exclude `[`");
    check(&rule("when = [{ paths = ['etc'] }]"), "`etc`: a path starts with a slash");
    check(&rule("when = [{ libc-before = '2' }]"), "`2`: a version is written MAJOR.MINOR");
    check(&rule("make = [{ path = '/../x', text = '' }]"), "rule `x`: path `/../x`");
    check(&rule("when = [{ programs = ['********'] }]"), "a pattern has at most 6 stars");
    check(
        &rule("files = ['/usr/../etc']"),
        "rule `x`: `/usr/../etc`: a pattern of files must not contain `..`",
    );
    check(&rule("present = ['etc/x']"), "`etc/x`: a pattern of files starts with a slash");
    check(&rule("when = [{ owned = ['etc'] }]"), "`etc`: a path starts with a slash");
    check(&rule("env = ['LANG']"), "`LANG`: a variable is written NAME=VALUE");
    check("\n\nx = [", "line 3: ");
    check("[[rule]]\nname = 'X'\ndescription = ''\nlevel = 'auto'", "lower-case");
}

#[test]
fn what_is_left_out_is_so_with_all_below_it() {
    let table = table(
        r#"rule = [{ name = "a", description = "", level = "auto",
          files = ["/usr"], exclude = ["/usr/lib/*/x", "**/doc"] }]"#,
    );
    let excludes =
        |path: &str| table.excludes(table.get("a").unwrap(), &ImagePath::new(path).unwrap());
    assert!(
        excludes("/usr/lib/a/x") && excludes("/usr/lib/a/x/y/z.so") && excludes("/usr/share/doc/a")
    );
    assert!(!excludes("/usr/lib/a") && !excludes("/usr/lib/a/xy") && !excludes("/"));
}

#[test]
fn modules_and_what_is_owned_bring_the_paths_that_were_found() {
    let table = table(
        r#"rule = [
          { name = "m", description = "", level = "auto", when = [{ modules = ["*"] }],
            files = ["{match}"] },
          { name = "n", description = "", level = "auto",
            when = [{ owned = ["/etc/*", "/etc/*/**"] }], files = ["/etc/{1}"] },
        ]"#,
    );
    let paths =
        [("/lib/yaml".as_bytes().into(), path("/ask")), (b"/lib/yaml.py"[..].into(), path("/ask"))];
    let tie = Some(Tie { package: "unbound".into(), bond: Bond::Own });
    let owned = Owned { tie, ..Owned::by_nobody(&path("/usr/sbin/unbound"), b"unbound.conf") };
    let facts = Facts {
        modules: [(b"yaml"[..].into(), paths.into())].into(),
        owned: [(b"/etc/unbound/unbound.conf"[..].into(), owned)].into(),
        ..Facts::default()
    };
    let wanted = [
        "m: its imports lead to yaml: /lib/yaml /lib/yaml.py",
        "n: it names unbound.conf, of unbound: /etc/unbound",
    ];
    assert_eq!(fired(&table, &facts, &Choice::default()), wanted);
}

#[test]
fn a_later_rule_of_the_same_name_replaces_the_first() {
    let mut table = Table::builtin().unwrap();
    let count = table.rules().len();
    table.add("[[rule]]\nname = 'shell'\ndescription = 'mine'\nlevel = 'all'").unwrap();
    assert_eq!((table.rules().len(), &*table.get("shell").unwrap().description), (count, "mine"));
}

#[test]
fn the_documentation_has_the_limit_of_stars() {
    let stars = |count| "*".repeat(count);
    let add = |pattern: &str| {
        let when = format!("when = [{{ programs = ['{pattern}'] }}]");
        let rule = format!("[[rule]]\nname = 'x'\ndescription = ''\nlevel = 'auto'\n{when}");
        Table::default().add(&rule).map_err(|error| error.to_string())
    };
    assert_eq!(add(&stars(pattern::MAX_STARS)), Ok(()));
    let error = add(&stars(pattern::MAX_STARS + 1)).unwrap_err();
    let limit = format!("pattern has at most {} stars; `**` counts as two", pattern::MAX_STARS);
    assert!(error.ends_with(&limit), "{error}");
    let docs = include_str!("../../docs/rules.md").replace('\n', " ");
    assert!(docs.contains(&limit), "docs/rules.md does not have: {limit}");
}

#[test]
fn built_in_generic_rules_give_a_reason_for_each_denial() {
    let table = Table::builtin().unwrap();
    let generic: Vec<_> = table.rules().iter().filter(|rule| rule.generic).collect();
    let names: Vec<_> = generic.iter().map(|rule| &*rule.name).collect();
    assert_eq!(names, ["own-files", "recommended-files", "own-configuration", "configuration"]);
    for rule in generic {
        assert_eq!(rule.exclude, [""; 0], "{}", rule.name);
        for denial in &rule.deny {
            assert!(!denial.reason.is_empty(), "{} {:?}", rule.name, denial.paths);
        }
    }
}

#[test]
fn generic_rules_leave_to_specific_rules_what_they_claim() {
    let table = Table::builtin().unwrap();
    let claimed = |rule: &str, path: &str| {
        let (rule, path) = (table.get(rule).unwrap(), ImagePath::new(path).unwrap());
        table.excludes(rule, &path)
    };
    for path in [
        "/usr/share/X11/xkb",
        "/usr/share/vim/vim90",
        "/usr/share/zoneinfo/right",
        "/usr/lib/python3/dist-packages/yaml",
        "/usr/lib/x86_64-linux-gnu/krb5/plugins",
        "/usr/lib/x86_64-linux-gnu/perl/5.36.0/auto",
    ] {
        assert!(claimed("own-files", path), "{path}");
    }
    for path in ["/etc/ssh/moduli", "/etc/passwd", "/etc/fonts/fonts.conf"] {
        assert!(claimed("own-configuration", path), "{path}");
    }
    for path in
        ["/usr/share/bison", "/usr/lib/x86_64-linux-gnu/sox", "/usr/share/color", "/opt/tool/conf"]
    {
        assert!(!claimed("own-files", path), "{path}");
    }
    assert!(!claimed("own-configuration", "/etc/unbound"));
}
