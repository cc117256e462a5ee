//! Search paths: their elements and the dynamic string tokens in them.

use std::{collections::BTreeSet, sync::Arc};

/// The values of the tokens for one object.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tokens<'a> {
    /// `$ORIGIN`: the directory that contains the object.
    pub(super) origin: &'a [u8],
    /// `$LIB`
    pub(super) lib: &'a [u8],
    /// `$PLATFORM`; empty if unknown.
    pub(super) platform: &'a [u8],
}

/// A search path, split and expanded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SearchPath {
    /// Absolute directories, in order, without duplicates or trailing slashes.
    pub(super) dirs: Vec<Arc<[u8]>>,
    /// Elements relative to the working directory, which an image does not determine. They are not
    /// searched.
    pub(super) relative: Vec<Arc<[u8]>>,
}

impl SearchPath {
    fn new(elements: impl Iterator<Item = Arc<[u8]>>) -> Self {
        let mut seen = BTreeSet::new();
        let elements = elements.filter(|element| seen.insert(element.clone()));
        let (dirs, relative) = elements.partition(|element| element.starts_with(b"/"));
        Self { dirs, relative }
    }
}

impl Tokens<'_> {
    /// Splits a path as `fillin_rpath` of glibc's `elf/dl-load.c` does: an empty element is the
    /// working directory, and an element with a token of unknown value is dropped.
    pub(super) fn glibc_path(self, list: &[u8]) -> SearchPath {
        if list.is_empty() {
            return SearchPath::default();
        }
        let element = |element: &[u8]| {
            if element.is_empty() {
                return Some(Arc::default());
            }
            self.glibc(element).map(|expanded| without_slashes(&expanded).into())
        };
        SearchPath::new(list.split(|&b| b == b':').filter_map(element))
    }

    /// `_dl_dst_substitute`: `None` if the result is empty or a token has no value.
    pub(super) fn glibc(self, text: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(text.len());
        let mut rest = text;
        while let Some((&byte, after)) = rest.split_first() {
            rest = after;
            if byte != b'$' {
                out.push(byte);
                continue;
            }
            let values =
                [(&b"ORIGIN"[..], self.origin), (b"PLATFORM", self.platform), (b"LIB", self.lib)];
            match values.iter().find_map(|(name, value)| Some((token(rest, name)?, value))) {
                Some((_, [])) => return None,
                Some((len, value)) => {
                    out.extend_from_slice(value);
                    rest = rest.get(len..).unwrap_or_default();
                }
                None => out.push(b'$'),
            }
        }
        Some(out).filter(|out| !out.is_empty())
    }

    /// Splits a path as `fixup_rpath` and `path_open` of musl's `ldso/dynlink.c` do: `$ORIGIN` is
    /// the only token, any other `$` invalidates the whole path, and empty elements are ignored.
    pub(super) fn musl_path(self, list: &[u8]) -> SearchPath {
        let mut expanded = Vec::with_capacity(list.len());
        let mut rest = list;
        while let Some(dollar) = rest.iter().position(|&b| b == b'$') {
            expanded.extend_from_slice(rest.get(..dollar).unwrap_or_default());
            rest = rest.get(dollar..).unwrap_or_default();
            let Some(after) = rest.strip_prefix(b"$ORIGIN").or(rest.strip_prefix(b"${ORIGIN}"))
            else {
                return SearchPath::default();
            };
            expanded.extend_from_slice(self.origin);
            rest = after;
        }
        expanded.extend_from_slice(rest);
        musl_list(&expanded)
    }
}

/// The elements of one of musl's search paths, separated by colons or newlines.
pub(super) fn musl_list(list: &[u8]) -> SearchPath {
    let elements = list.split(|b| matches!(b, b':' | b'\n')).filter(|element| !element.is_empty());
    SearchPath::new(elements.map(Arc::from))
}

/// A directory without trailing slashes; the root keeps one.
pub(super) fn without_slashes(dir: &[u8]) -> &[u8] {
    let end = dir.iter().rposition(|&b| b != b'/').map_or(1, |last| last + 1);
    dir.get(..end).unwrap_or(dir)
}

/// Whether `text` contains the token `$PLATFORM`.
pub(super) fn mentions_platform(text: &[u8]) -> bool {
    let after = text.split(|&b| b == b'$').skip(1);
    after.into_iter().any(|rest| token(rest, b"PLATFORM").is_some())
}

/// `is_dst`: the length of the token `name` or `{name}` if `text` starts with it.
fn token(text: &[u8], name: &[u8]) -> Option<usize> {
    if let Some(inner) = text.strip_prefix(b"{") {
        let after = inner.strip_prefix(name)?;
        return after.starts_with(b"}").then_some(name.len() + 2);
    }
    let after = text.strip_prefix(name)?;
    let goes_on = after.first().is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
    (!goes_on).then_some(name.len())
}

/// The directory of a path, as both loaders compute it: everything before the last slash, or `/`.
pub(super) fn directory(path: &[u8]) -> &[u8] {
    match path.iter().rposition(|&b| b == b'/') {
        Some(0) | None => b"/",
        Some(slash) => path.get(..slash).unwrap_or_default(),
    }
}

/// `dir/name`, as the loader spells it.
pub(super) fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    let slash: &[u8] = if dir.ends_with(b"/") { b"" } else { b"/" };
    [dir, slash, name].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKENS: Tokens<'_> = Tokens { origin: b"/o", lib: b"lib64", platform: b"" };

    fn glibc(list: &str) -> Vec<String> {
        let path = TOKENS.glibc_path(list.as_bytes());
        path.dirs.iter().map(|dir| String::from_utf8_lossy(dir).into_owned()).collect()
    }

    #[test]
    fn tokens_are_whole_names() {
        assert_eq!(
            glibc("$ORIGIN/a:${ORIGIN}b:/$ORIGINAL:/$FOO:/${LIB}/$LIB"),
            ["/o/a", "/ob", "/$ORIGINAL", "/$FOO", "/lib64/lib64"]
        );
        assert_eq!(glibc("/x/$PLATFORM:/y"), ["/y"]);
        assert_eq!(glibc("/${ORIGIN"), ["/${ORIGIN"]);
    }

    #[test]
    fn elements_are_cleaned_as_glibc_does() {
        assert_eq!(glibc("/a//:/a:/:/b/../c/"), ["/a", "/", "/b/../c"]);
        let path = TOKENS.glibc_path(b"/a::rel/x:");
        assert_eq!(path.relative, [Arc::from(&b""[..]), Arc::from(&b"rel/x"[..])]);
        assert_eq!(TOKENS.glibc_path(b""), SearchPath::default());
    }

    #[test]
    fn musl_knows_one_token_and_no_other() {
        assert_eq!(
            TOKENS.musl_path(b"$ORIGINAL:/x").dirs,
            [Arc::from(&b"/oAL"[..]), Arc::from(&b"/x"[..])]
        );
        assert_eq!(TOKENS.musl_path(b"/x:$LIB"), SearchPath::default());
        assert_eq!(TOKENS.musl_path(b"::/x:").dirs, [Arc::from(&b"/x"[..])]);
    }
}
