//! Packages of languages, told by where they are.

use crate::path::escape;

/// Directories that packages are in.
const DIRECTORIES: [&[u8]; 6] = [
    b"node_modules",
    b"gems",
    b"extensions",
    b"specifications",
    b"site-packages",
    b"dist-packages",
];

/// The name of the package that a file belongs to, by its path; `None` for any other file. The name
/// is without the version, and the same wherever the package is.
pub(super) fn of_path(path: &[u8]) -> Option<String> {
    let parts = path.split(|&byte| byte == b'/').filter(|part| !part.is_empty());
    // No other path has a name below.
    if !path.ends_with(b".jar") && !parts.clone().any(|part| DIRECTORIES.contains(&part)) {
        return None;
    }
    let parts: Vec<&[u8]> = parts.collect();
    let name = npm(&parts).or_else(|| gem(&parts)).or_else(|| jar(&parts));
    name.or_else(|| python(&parts))
}

/// The name of a package among those of all languages: with the type that package URLs have.
fn named(kind: &str, name: &[u8]) -> String {
    format!("{kind}:{}", escape(name))
}

/// The name of a distribution of Python.
pub(super) fn pypi(name: &[u8]) -> String {
    named("pypi", &python_name(name))
}

/// The name of a package of conda.
pub(super) fn conda(name: &[u8]) -> String {
    named("conda", name)
}

/// The name of a package of Composer.
pub(super) fn composer(name: &[u8]) -> String {
    named("composer", name)
}

/// The innermost package of `node_modules`, or its scope: the packages of a scope are released
/// together, and they are many. What is beside packages begins with a dot.
fn npm(parts: &[&[u8]]) -> Option<String> {
    let at = parts.iter().rposition(|part| *part == b"node_modules")?;
    let (name, more) = (parts.get(at + 1)?, parts.get(at + 2));
    if name.starts_with(b".") {
        return None;
    }
    more.map(|_| named("npm", name))
}

/// A directory of `gems`, its specification, or what was compiled for it.
fn gem(parts: &[&[u8]]) -> Option<String> {
    let at = |name: &[u8]| parts.iter().rposition(|part| *part == name);
    let after = |dir: &[u8], count: usize| parts.get(at(dir)? + count).copied();
    let is_dir = |name: &&[u8]| parts.last() != Some(name);
    let gem = after(b"gems", 1).filter(is_dir);
    let compiled = || after(b"extensions", 3).filter(is_dir);
    let specification = || after(b"specifications", 1)?.strip_suffix(b".gemspec");
    let found = [gem, compiled(), specification()].into_iter().flatten();
    found.filter_map(without_version).map(|name| named("gem", name)).next()
}

/// An archive of Java.
fn jar(parts: &[&[u8]]) -> Option<String> {
    let stem = parts.last()?.strip_suffix(b".jar")?;
    Some(named("maven", without_version(stem).unwrap_or(stem)))
}

/// What is in a directory of packages of Python, where no record says more.
fn python(parts: &[&[u8]]) -> Option<String> {
    let is_site = |part: &&[u8]| matches!(*part, b"site-packages" | b"dist-packages");
    let at = parts.iter().rposition(is_site)?;
    let top = parts.get(at + 1)?;
    let stem = top.split(|&byte| matches!(byte, b'-' | b'.')).next().unwrap_or(top);
    let is_name = !stem.is_empty() && !stem.starts_with(b"__");
    is_name.then(|| pypi(stem))
}

/// The name of a distribution as names are compared (PyPA, Names and normalization).
fn python_name(name: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len());
    for byte in name.to_ascii_lowercase() {
        match byte {
            b'-' | b'_' | b'.' if out.last() == Some(&b'-') => {}
            b'-' | b'_' | b'.' => out.push(b'-'),
            _ => out.push(byte),
        }
    }
    out
}

/// `NAME` of `NAME-VERSION`, whose version begins with a digit.
fn without_version(text: &[u8]) -> Option<&[u8]> {
    let at = text.windows(2).position(|pair| pair[0] == b'-' && pair[1].is_ascii_digit())?;
    text.get(..at).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_tell_packages() {
        for (path, wanted) in [
            ("/app/node_modules/react/index.js", "npm:react"),
            ("/app/node_modules/@babel/core/lib/x.js", "npm:@babel"),
            ("/app/node_modules/a/node_modules/b/b.js", "npm:b"),
            ("/app/node_modules/.pnpm/b@1.2.3/node_modules/b/b.js", "npm:b"),
            ("/app/node_modules/.bin/b", ""),
            ("/app/node_modules/.package-lock.json", ""),
            ("/usr/local/bundle/gems/rack-test-2.1.0/lib/x.rb", "gem:rack-test"),
            ("/usr/lib/ruby/gems/3.1.0/gems/rails-7.0.1/x", "gem:rails"),
            ("/usr/lib/ruby/gems/3.1.0/specifications/rails-7.0.1.gemspec", "gem:rails"),
            ("/b/extensions/x86_64-linux/3.1.0/pg-1.5.6/pg_ext.so", "gem:pg"),
            ("/app/lib/commons-lang3-3.12.0.jar", "maven:commons-lang3"),
            ("/app/app.jar", "maven:app"),
            ("/v/lib/python3.11/site-packages/numpy/core/x.so", "pypi:numpy"),
            ("/v/lib/python3.11/site-packages/numpy.libs/x.so", "pypi:numpy"),
            ("/v/lib/python3.11/site-packages/Zope_X-1.0.dist-info/METADATA", "pypi:zope-x"),
            ("/v/lib/python3.11/site-packages/six.py", "pypi:six"),
            ("/v/lib/python3.11/site-packages/__pycache__/six.cpython-311.pyc", ""),
            ("/app/main.py", ""),
        ] {
            assert_eq!(of_path(path.as_bytes()).unwrap_or_default(), wanted, "{path}");
        }
    }
}
