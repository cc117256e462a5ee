use super::*;
use crate::languages::Languages;

#[track_caller]
fn check(text: &str, lines: &[&str], words: &[&str]) {
    let found = started(text.as_bytes(), &Languages::builtin().calls);
    let texts = |set: &BTreeSet<Vec<u8>>| {
        set.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect::<Vec<_>>()
    };
    assert_eq!(texts(&found.lines), lines, "{text}");
    assert_eq!(texts(&found.words), words, "{text}");
}

#[test]
fn commands_in_perl() {
    check("system('tar', 'x'); exec \"make all\";", &["make all", "tar"], &["x"]);
    check("my $x = `git log`; $y = qx{id -u};", &["git log", "id -u"], &[]);
    check("open(F, \"find . |\"); open(G, '|sort');", &["find .", "sort"], &[]);
    check(
        "$c = q$find . \\( -name x \\) 2>/dev/null |$;",
        &["find . \\( -name x \\) 2>/dev/null"],
        &[],
    );
    check("$s =~ s/a/x/; print 'it is', \"don't\";", &[], &[]);
}

#[test]
fn commands_that_variables_hold() {
    let by_variable =
        |text: &str| started(text.as_bytes(), &Languages::builtin().calls).by_variable;
    for text in [
        "system(@cmd)",
        "exec $tar, 'x'",
        "exec { $a } @b",
        "p = Popen(command)",
        "Popen(args = cmd, shell=True)",
        "Popen(f)",
        "os.system(f\"{tool} -v\")",
    ] {
        assert!(by_variable(text), "{text}");
    }
    for text in [
        "system('x', @args)",
        "the system is new",
        "exec 'a'",
        "Popen(['x', y])",
        "Popen(f\"a {x}\")",
        "os.system(rb'a')",
        "Popen(args=['x'], y=z)",
        "check_output(input = f'x')",
    ] {
        assert!(!by_variable(text), "{text}");
    }
}

#[test]
fn commands_in_python_and_ruby() {
    check(
        "subprocess.run([\"git\", 'log']); p = Popen( ['dot'])\nos.system('ls -l')",
        &["dot", "git", "ls -l"],
        &["log"],
    );
    check("%x(uname -a); CONVERT = 'convert'", &["uname -a"], &["convert"]);
    check("a = 5 % x; 'never\nends'", &[], &[]);
}

#[test]
fn commands_in_lists_of_words() {
    check("my @c = (qw(dpkg-x -us), $y); system @c;", &[], &["dpkg-x"]);
    check("system(qw(diff -u), @files); %w[grind corn]", &["diff"], &["corn", "grind"]);
    check("use POSIX qw(sort time);\n  no strict qw(refs);", &[], &[]);
}

#[test]
fn commands_in_lists_of_arguments() {
    check("open(my $h, \"-|\", \"diff\", \"-u\");", &["diff"], &[]);
    check("open(H, '|-', 'sort');", &["sort"], &[]);
    for text in ["open($h, '-|', $cmd)", "open($h, \"-|\", \"$diff\", @files)", "open(H, '|-', @c)"]
    {
        let found = started(text.as_bytes(), &Languages::builtin().calls);
        assert!(found.by_variable && found.starts, "{text}");
    }
    check(
        "Open3.capture2('one'); Open3.popen3(\"two\"); spawn 'three'; capture3('four')",
        &["four", "one", "three", "two"],
        &[],
    );
    check("run(['five']); execFileSync('six')", &["five", "six"], &[]);
}

#[test]
fn commands_that_constants_hold() {
    let constants = |text: &str| {
        let found = started(text.as_bytes(), &Languages::builtin().calls);
        let texts = found.constants.iter().map(|text| String::from_utf8_lossy(text).into_owned());
        texts.collect::<Vec<_>>().join(" ")
    };
    check("C = \"diff\"\nsystem(C, 'x')", &["diff"], &["diff", "x"]);
    check("LINT = 'lint'  # a program\nrun([LINT, x])", &["lint"], &["lint"]);
    assert_eq!(constants("LINT = 'lint'\nPopen(cmd)\nshell('%s %s' % (LINT, x))"), "lint");
    assert_eq!(constants("LINT = 'lint'\nPopen(cmd)"), "");
    assert_eq!(constants("LINT = 'lint'\nLINT = 'other'\nPopen(cmd)\nf(LINT)"), "");
    assert_eq!(constants("LINT = 'lint'\nf(LINT)"), "");
}
