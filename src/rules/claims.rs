//! The paths that a specific rule claims, whatever is packed, and those that describe the machine:
//! generic rules do not take them.

use std::collections::BTreeSet;

use super::Rule;
use crate::{
    machine_files,
    path::{glob::Glob, glob_set::GlobSet, shared_dirs},
};

/// Where C libraries live: the values that `{libdir}` can have.
const LIBRARY_DIRS: [&str; 4] = ["/lib*", "/usr/lib*", "/lib/*-linux-*", "/usr/lib/*-linux-*"];
/// Usual installation prefixes: values that `{prefix}` can have.
const PREFIXES: [&str; 2] = ["/usr", "/usr/local"];

/// What generic rules leave alone: files that describe the machine, and what `rules` claim. That is
/// their files, those that must be present, and what they generate, for the usual values of the
/// variables in their patterns. A pattern that could match the files of any program claims nothing.
pub(super) fn claims<'r>(rules: impl Iterator<Item = &'r Rule>) -> GlobSet {
    let mut paths: BTreeSet<String> = machine_files::patterns().map(str::to_owned).collect();
    for rule in rules {
        let made = rule.make.iter().map(|make| make.path.clone());
        let looked_at = rule.files.iter().chain(&rule.present);
        paths.extend(looked_at.flat_map(|file| patterns(file, rule)).chain(made));
    }
    globs(&paths)
}

fn globs(patterns: &BTreeSet<String>) -> GlobSet {
    let glob = |pattern: &String| Glob::new(pattern.trim_start_matches('/').as_bytes()).ok();
    patterns.iter().filter_map(glob).collect()
}

/// `file` with patterns for its variables.
fn patterns(file: &str, rule: &Rule) -> Vec<String> {
    let (variable, rest) =
        file.strip_prefix('{').and_then(|file| file.split_once('}')).unwrap_or(("", file));
    let rest = with_stars(rest);
    let known = |dirs: &[&str]| dirs.iter().map(|dir| format!("{dir}{rest}")).collect();
    let front_with_rest = |front: &str| format!("{front}{rest}");
    let all: Vec<String> = match variable {
        "" if names_something(&rest) => vec![rest],
        "libdir" if names_something(&rest) => known(&LIBRARY_DIRS),
        "prefix" if names_something(&rest) => {
            let prefixes = triggers(rule).filter_map(|path| Some(path.split_once("/bin/")?.0));
            let prefixes = prefixes.filter(|prefix| names_something(prefix)).chain(PREFIXES);
            prefixes.map(front_with_rest).collect()
        }
        "match" => triggers(rule).map(|path| front_with_rest(path)).collect(),
        "dir" => triggers(rule)
            .filter_map(|path| Some(front_with_rest(path.rsplit_once('/')?.0)))
            .collect(),
        _ => Vec::new(),
    };
    all.into_iter().filter(|pattern| names_something(pattern)).collect()
}

/// Whether a part of `pattern` is the name of something: it begins with a literal, and is not a
/// directory that many programs share, as `lib*` is.
fn names_something(pattern: &str) -> bool {
    let is_name = |part: &str| {
        let name = part.trim_end_matches('*');
        !name.is_empty()
            && !name.starts_with(['*', '?', '['])
            && !shared_dirs::is_hierarchy(name.as_bytes())
    };
    pattern.split('/').filter(|part| !part.is_empty()).any(is_name)
}

/// The patterns of whole paths that make `rule` fire.
fn triggers(rule: &Rule) -> impl Iterator<Item = &String> {
    let paths = rule.when.iter().flat_map(|when| when.paths.iter().chain(&when.programs));
    paths.filter(|path| path.starts_with('/'))
}

/// `pattern` with a star for each variable.
fn with_stars(pattern: &str) -> String {
    let mut out = String::new();
    let mut rest = pattern;
    while let Some((before, after)) = rest.split_once('{') {
        out += before;
        out.push('*');
        rest = after.split_once('}').map_or("", |(_, after)| after);
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::super::Table;

    /// The patterns that a rule with these fields claims, as far as they match one of `paths`.
    #[track_caller]
    fn check(fields: &str, claimed: &[&str], free: &[&str]) {
        let mut table = Table::default();
        let specific =
            format!("[[rule]]\nname = 'x'\ndescription = ''\nlevel = 'hint'\n{fields}\n");
        let generic = "[[rule]]\nname = 'g'\ndescription = ''\nlevel = 'auto'\ngeneric = true";
        table.add(generic).unwrap();
        table.add(&specific).unwrap();
        let excludes = |path: &&&str| {
            let path = crate::path::ImagePath::new(path).unwrap();
            let excludes = |rule: &str| table.excludes(table.get(rule).unwrap(), &path);
            assert!(!excludes("x"));
            excludes("g")
        };
        assert_eq!(claimed.iter().find(|path| !excludes(path)), None, "not claimed");
        assert_eq!(free.iter().find(excludes), None, "claimed");
    }

    #[test]
    fn files_and_what_is_below_them() {
        check(
            "files = ['/etc/x', '/usr/share/x/*.d']",
            &["/etc/x", "/etc/x/y", "/usr/share/x/a.d/b"],
            &["/etc", "/etc/xy", "/usr/share/x", "/usr/share/x/a"],
        );
        check("make = [{ path = '/etc/x', text = '' }]", &["/etc/x"], &["/etc/y"]);
        check("", &["/etc/passwd-", "/etc/localtime", "/etc/ssl/private/a"], &["/etc/localtimes"]);
    }

    #[test]
    fn variables_stand_for_their_usual_values() {
        check(
            "files = ['{libdir}/gio', '{prefix}/lib/py{1}', '/usr/lib/php/{1}']",
            &[
                "/usr/lib/x86_64-linux-gnu/gio/modules",
                "/lib64/gio",
                "/usr/local/lib/py3",
                "/usr/lib/php/8",
            ],
            &["/usr/share/gio", "/opt/a/lib/py3", "/usr/lib/php"],
        );
        check(
            "files = ['{match}/legacy.so', '{dir}/openssl.cnf']\n\
             when = [{ paths = ['/**/ssl/certs'] }]",
            &["/usr/lib/ssl/openssl.cnf", "/a/ssl/certs/legacy.so"],
            &["/usr/lib/ssl", "/usr/lib/ssl/certs"],
        );
    }

    #[test]
    fn what_could_be_anything_claims_nothing() {
        let paths = &[
            "/usr/lib/a",
            "/usr/share/a.so",
            "/usr/bin/a",
            "/opt/a/lib",
            "/usr/lib/x86_64-linux-gnu/a.o",
        ];
        check(
            "files = ['{prefix}/lib', '/usr/lib/{1}', '{libdir}/*.o', '/usr/share/**']",
            &[],
            paths,
        );
        check(
            "files = ['{match}', '{dir}/a']\nwhen = [{ programs = ['a'], opens = ['*'] }]",
            &[],
            paths,
        );
        check(
            "files = ['{match}']\nwhen = [{ paths = ['/usr/share/**', '/usr/lib/**.so'] }]",
            &[],
            paths,
        );
    }
}
