//! `/etc/ld.so.conf`: the directories from which ldconfig builds the cache. Loaders do not read it.

use std::sync::Arc;

use crate::elf::{FoundKind, Lookup, ReadFailure, tokens::directory};

/// Maximum bytes read from one file.
const MAX_FILE: usize = 1 << 20;
/// Maximum files in one configuration; `include` directives may form a circle.
const MAX_FILES: usize = 1000;
/// Maximum nesting depth of `include`.
const MAX_DEPTH: usize = 16;

/// One directory, and the line that names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfDir {
    /// The directory, without trailing slashes.
    pub dir: Arc<[u8]>,
    /// The file that names it.
    pub file: Arc<[u8]>,
    /// The number of its line in that file, from 1.
    pub line: usize,
}

/// The directories that the configuration at `path` names, in order, as `parse_conf` of glibc's
/// `elf/ldconfig.c` reads them: `#` starts a comment, `include` takes globs relative to the file's
/// directory, and directories that do not exist or are the same as an earlier one are left out.
/// Empty if there is no such file.
///
/// # Errors
/// [`ReadFailure`]
pub fn directories(path: &[u8], lookup: &dyn Lookup) -> Result<Vec<ConfDir>, ReadFailure> {
    let mut out = Parser { lookup, dirs: Vec::new(), ids: Vec::new(), files: 0 };
    out.file(path, 0)?;
    Ok(out.dirs)
}

struct Parser<'a> {
    lookup: &'a dyn Lookup,
    dirs: Vec<ConfDir>,
    ids: Vec<crate::elf::FileId>,
    files: usize,
}

impl Parser<'_> {
    fn file(&mut self, path: &[u8], depth: usize) -> Result<(), ReadFailure> {
        self.files += 1;
        if depth > MAX_DEPTH || self.files > MAX_FILES {
            return Ok(());
        }
        let Ok(found) = self.lookup.find(path)? else { return Ok(()) };
        if !found.is_file() {
            return Ok(());
        }
        let Ok(text) = self.lookup.read(&found, MAX_FILE)? else { return Ok(()) };
        let file: Arc<[u8]> = path.into();
        for (index, line) in text.split(|&b| b == b'\n').enumerate() {
            let line = line.split(|&b| b == b'#').next().unwrap_or_default().trim_ascii_start();
            match directive(line, b"include") {
                _ if line.is_empty() => {}
                // Only blanks end a glob: with CRLF line endings, the last glob includes the CR.
                Some(globs) => {
                    for glob in globs.split(|b| is_blank(*b)).filter(|glob| !glob.is_empty()) {
                        self.include(&file, glob, depth)?;
                    }
                }
                None if directive(line, b"hwcap").is_some() => {}
                None => self.directory(line, &file, index + 1)?,
            }
        }
        Ok(())
    }

    fn include(&mut self, file: &[u8], glob: &[u8], depth: usize) -> Result<(), ReadFailure> {
        let mut full = glob.to_vec();
        if !glob.starts_with(b"/") {
            full = [directory(file), b"/", glob].concat();
        }
        let mut paths: Vec<Vec<u8>> = vec![Vec::new()];
        for part in full.split(|&b| b == b'/').filter(|part| !part.is_empty()) {
            if !part.iter().any(|b| matches!(b, b'*' | b'?' | b'[')) {
                paths.iter_mut().for_each(|path| {
                    path.push(b'/');
                    path.extend_from_slice(part);
                });
                continue;
            }
            let mut matched = Vec::new();
            for path in &paths {
                let dir: &[u8] = if path.is_empty() { b"/" } else { path };
                let names = self.lookup.list(dir)?.unwrap_or_default();
                let names = names.iter().filter(|name| matches(part, name));
                matched.extend(names.map(|name| [path, &b"/"[..], name].concat()));
            }
            paths = matched;
        }
        for path in paths {
            self.file(&path, depth + 1)?;
        }
        Ok(())
    }

    fn directory(
        &mut self,
        line: &[u8],
        file: &Arc<[u8]>,
        number: usize,
    ) -> Result<(), ReadFailure> {
        // Drops the type of `dir=TYPE`, a form from the time of libc5.
        let mut dir = line.split(|&b| b == b'=').next().unwrap_or_default().trim_ascii_end();
        while let Some(shorter) = dir.strip_suffix(b"/").filter(|shorter| !shorter.is_empty()) {
            dir = shorter;
        }
        if !dir.starts_with(b"/") {
            return Ok(());
        }
        let Ok(found) = self.lookup.find(dir)? else { return Ok(()) };
        if found.kind == FoundKind::Directory && !self.ids.contains(&found.id) {
            self.ids.push(found.id);
            self.dirs.push(ConfDir { dir: dir.into(), file: file.clone(), line: number });
        }
        Ok(())
    }
}

/// The rest of `line`, if it starts with `keyword` followed by a blank.
fn directive<'a>(line: &'a [u8], keyword: &[u8]) -> Option<&'a [u8]> {
    line.strip_prefix(keyword).filter(|rest| rest.first().is_some_and(|&b| is_blank(b)))
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// Whether ldconfig considers files of this name when it scans a directory.
pub(super) fn is_library_name(name: &[u8]) -> bool {
    let library = name.starts_with(b"lib") || name.starts_with(b"ld-");
    (library && name.windows(3).any(|part| part == b".so"))
        || name.starts_with(b"ld.so.")
        || name.starts_with(b"ld64.so.")
}

/// glob(7) without character classes: `*`, `?`, `[abc]`, `[a-z]`, `[!a]`; a leading dot must be
/// matched explicitly.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    if name.starts_with(b".") && !pattern.starts_with(b".") {
        return false;
    }
    // Backtracking to the last star is enough: it can match whatever an earlier one could.
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p + 1, n));
                p += 1;
                continue;
            }
            Some(b'[') => {
                if let Some(len) =
                    bracket(pattern.get(p..).unwrap_or_default(), name.get(n).copied())
                {
                    p += len;
                    n += 1;
                    continue;
                }
            }
            Some(byte) if *byte == b'?' || name.get(n) == Some(byte) => {
                p += 1;
                n += 1;
                continue;
            }
            _ => {}
        }
        match star {
            Some((after, from)) => {
                star = Some((after, from + 1));
                p = after;
                n = from + 1;
            }
            None => return false,
        }
    }
    pattern.get(p..).unwrap_or_default().iter().all(|&b| b == b'*')
}

/// The length of the bracket expression at the start of `pattern`, if it matches `byte`.
fn bracket(pattern: &[u8], byte: Option<u8>) -> Option<usize> {
    let byte = byte?;
    let negated = matches!(pattern.get(1), Some(b'!' | b'^'));
    let start = if negated { 2 } else { 1 };
    // A leading `]` is a member.
    let end = start + 1 + pattern.get(start + 1..)?.iter().position(|&b| b == b']')?;
    let (mut set, mut member) = (pattern.get(start..end)?, false);
    while let Some((&low, rest)) = set.split_first() {
        match rest {
            [b'-', high, rest @ ..] => {
                member |= (low..=*high).contains(&byte);
                set = rest;
            }
            _ => {
                member |= low == byte;
                set = rest;
            }
        }
    }
    (member != negated).then_some(end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        for (pattern, name, wanted) in [
            ("*.conf", "a.conf", true),
            ("*.conf", ".a.conf", false),
            ("*.conf", "a.conf.dpkg-old", false),
            ("a?[b-d]*", "axcyz", true),
            ("[!a]*", "abc", false),
            ("[]]", "]", true),
            ("[a", "[a", false),
            ("*a*b*", "xxaxxbxx", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), wanted, "{pattern} {name}");
        }
    }

    #[test]
    fn library_names() {
        for (name, wanted) in [
            ("libx.so.1", true),
            ("ld-linux.so.2", true),
            ("x.so", false),
            ("libx.a", false),
            ("ld64.so.1", true),
        ] {
            assert_eq!(is_library_name(name.as_bytes()), wanted, "{name}");
        }
    }
}
