//! Path patterns as in Docker: Go's `filepath.Match` with the `**` of moby's `patternmatcher`.
//!
//! Paths and patterns are bytes. `?` and classes match one character, or one byte that is not
//! UTF-8. A match takes at most time proportional to pattern length times path length, for any
//! pattern: all states are followed at the same time.

/// The longest pattern in bytes: as long as the longest path.
pub const MAX_PATTERN: usize = 4096;

/// A parsed pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob {
    /// The bytes before the first wildcard and after the last one. Most paths fail to match one of
    /// them.
    head: Vec<u8>,
    tail: Vec<u8>,
    /// What is between them; starts and ends with a wildcard. If empty, the pattern is `head`
    /// literally.
    middle: Vec<Token>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// This character.
    Char(u32),
    /// `?`: any character except a slash.
    One,
    /// `[a-z]`, `[^a]`; as in Go, it may match a slash too.
    Class {
        negated: bool,
        ranges: Vec<(u32, u32)>,
    },
    /// `*`: any sequence without a slash.
    Run,
    /// `**` at the end: anything at all.
    Everything,
    /// `**` elsewhere: nothing, or anything up to and including a slash. Its loop is the `DirsBody`
    /// that follows it.
    Dirs,
    DirsBody,
}

/// Why bytes are not a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GlobError {
    /// `[` without its `]`, an empty class, an unescaped `-` or `]`, a range that runs backwards,
    /// or bytes that are not UTF-8.
    #[error("a `[...]` class in it is malformed")]
    Class,
    /// A backslash at the end, which escapes nothing.
    #[error("it ends in a backslash")]
    Backslash,
    /// Longer than [`MAX_PATTERN`].
    #[error("it is longer than {MAX_PATTERN} bytes")]
    TooLong,
}

impl Glob {
    /// Parses a pattern with `**`: `**/` is any number of directories, `**` at the end is
    /// everything. It is matched against whole relative paths.
    ///
    /// # Errors
    /// [`GlobError`] where Go's `filepath.Match` returns `ErrBadPattern`, and for a range that runs
    /// backwards.
    pub fn new(pattern: &[u8]) -> Result<Self, GlobError> {
        Self::parse(pattern, true)
    }

    /// Parses a pattern without `**`, as Go's `filepath.Match` does and the sources of COPY need
    /// it: two stars are the same as one.
    ///
    /// # Errors
    /// As [`Glob::new`].
    pub fn plain(pattern: &[u8]) -> Result<Self, GlobError> {
        Self::parse(pattern, false)
    }

    fn parse(pattern: &[u8], double_star: bool) -> Result<Self, GlobError> {
        if pattern.len() > MAX_PATTERN {
            return Err(GlobError::TooLong);
        }
        // Most patterns have few wildcards or none.
        let literal = pattern.iter().position(|byte| SPECIAL.contains(byte));
        let (literal, rest) = pattern.split_at(literal.unwrap_or(pattern.len()));
        let mut glob = Self::from_tokens(&tokens(rest, double_star, literal.is_empty())?);
        glob.head.splice(..0, literal.iter().copied());
        Ok(glob)
    }

    /// Whether the pattern matches the whole of `path`, which is relative and has no trailing
    /// slash.
    pub fn matches(&self, path: &[u8]) -> bool {
        if self.middle.is_empty() {
            return path == self.head;
        }
        let between =
            path.strip_prefix(&*self.head).and_then(|rest| rest.strip_suffix(&*self.tail));
        let matches = |between: &[u8]| match &self.middle[..] {
            // The usual patterns: `**/name`, `**/*.c`, `a*z` and `**/a*`.
            [Token::Dirs, Token::DirsBody] => matches!(between, [] | [.., b'/']),
            [Token::Dirs, Token::DirsBody, Token::Run] | [Token::Everything] => true,
            [Token::Run] => !between.contains(&b'/'),
            [Token::Dirs, Token::DirsBody, front @ .., Token::Run]
                if front.iter().all(is_ascii) =>
            {
                let name = between.rsplit(|&b| b == b'/').next().unwrap_or_default();
                let chars = name.iter().map(|&b| Token::Char(b.into()));
                name.len() >= front.len() && front.iter().zip(chars).all(|(a, b)| *a == b)
            }
            middle => walk(middle, between),
        };
        between.is_some_and(matches)
    }

    /// The directory that the pattern starts with, without its slash; empty if it starts with none.
    pub(super) fn directory(&self) -> &[u8] {
        let slash = memchr::memrchr(b'/', &self.head).unwrap_or(0);
        self.head.get(..slash).unwrap_or_default()
    }

    fn from_tokens(tokens: &[Token]) -> Self {
        let literal = |token: &Token| matches!(token, Token::Char(_));
        let first = tokens.iter().position(|token| !literal(token)).unwrap_or(tokens.len());
        let last = tokens.iter().rposition(|token| !literal(token)).map_or(first, |at| at + 1);
        let bytes = |tokens: &[Token]| {
            let mut out = Vec::new();
            for token in tokens {
                if let Token::Char(char) = token {
                    push_char(&mut out, *char);
                }
            }
            out
        };
        let (head, tail) = (bytes(&tokens[..first]), bytes(&tokens[last..]));
        Self { head, tail, middle: tokens[first..last].to_vec() }
    }
}

/// Whether a token is a character of one byte, and not a slash.
fn is_ascii(token: &Token) -> bool {
    matches!(token, Token::Char(char) if *char < 0x80 && *char != SLASH)
}

/// What is not a literal character of a pattern, or makes the next one literal.
const SPECIAL: &[u8] = b"*?[\\";

/// Whether a name in COPY is a pattern: it has an unescaped `*`, `?` or `[`.
pub fn has_wildcard(name: &[u8]) -> bool {
    let mut escaped = false;
    name.iter().any(|&byte| {
        let wild = !escaped && matches!(byte, b'*' | b'?' | b'[');
        escaped = !escaped && byte == b'\\';
        wild
    })
}

/// The tokens of a pattern, or of the rest of one after its first wildcard.
fn tokens(pattern: &[u8], double_star: bool, is_whole: bool) -> Result<Vec<Token>, GlobError> {
    let chars: Vec<u32> = chars(pattern).collect();
    let mut rest = &chars[..];
    let mut out = Vec::new();
    // moby takes a leading `**` before plain text as "ends with": `**.go` matches `a.go`, while
    // `x**.go` requires a slash. It is an optimisation there that became the behaviour.
    if let (true, Some(suffix)) = (double_star && is_whole, pattern.strip_prefix(b"**"))
        && !suffix.starts_with(b"/")
        && !suffix.iter().any(|byte| *byte == b']' || SPECIAL.contains(byte))
    {
        out.push(Token::Everything);
        rest = &chars[2..];
    }
    while let Some((&char, after)) = rest.split_first() {
        rest = after;
        match char::from_u32(char) {
            Some('*') if double_star && rest.first() == Some(&STAR) => {
                rest = &rest[1..];
                rest = rest.strip_prefix(&[SLASH]).unwrap_or(rest);
                match rest.is_empty() {
                    true => out.push(Token::Everything),
                    false => out.extend([Token::Dirs, Token::DirsBody]),
                }
            }
            Some('*') => out.push(Token::Run),
            Some('?') => out.push(Token::One),
            Some('[') => out.push(class(&mut rest)?),
            Some('\\') => {
                let (&escaped, after) = rest.split_first().ok_or(GlobError::Backslash)?;
                rest = after;
                out.push(Token::Char(escaped));
            }
            _ => out.push(Token::Char(char)),
        }
    }
    Ok(out)
}

const SLASH: u32 = '/' as u32;
const STAR: u32 = '*' as u32;

/// Parses the class after a `[`. `rest` is what follows its `]` afterwards.
fn class(rest: &mut &[u32]) -> Result<Token, GlobError> {
    let negated = rest.first() == Some(&u32::from('^'));
    if negated {
        *rest = &rest[1..];
    }
    let mut ranges = Vec::new();
    loop {
        if !ranges.is_empty()
            && let Some(after) = rest.strip_prefix(&[u32::from(']')])
        {
            *rest = after;
            return Ok(Token::Class { negated, ranges });
        }
        let low = class_char(rest)?;
        let high = match rest.strip_prefix(&[u32::from('-')]) {
            None => low,
            Some(after) => {
                *rest = after;
                class_char(rest)?
            }
        };
        if high < low {
            return Err(GlobError::Class);
        }
        ranges.push((low, high));
    }
}

fn class_char(rest: &mut &[u32]) -> Result<u32, GlobError> {
    let mut take = || {
        let (&char, after) = rest.split_first()?;
        *rest = after;
        char::from_u32(char)
    };
    let char = match take().ok_or(GlobError::Class)? {
        '-' | ']' => return Err(GlobError::Class),
        '\\' => take().ok_or(GlobError::Class)?,
        char => char,
    };
    Ok(u32::from(char))
}

/// The characters of `bytes`. A byte that is not UTF-8 counts as a character beyond Unicode.
fn chars(bytes: &[u8]) -> impl Iterator<Item = u32> {
    bytes.utf8_chunks().flat_map(|chunk| {
        let valid = chunk.valid().chars().map(u32::from);
        valid.chain(chunk.invalid().iter().map(|&byte| 0x11_0000 + u32::from(byte)))
    })
}

/// The reverse of [`chars`].
fn push_char(out: &mut Vec<u8>, char: u32) {
    match char::from_u32(char) {
        Some(char) => out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
        None => out.push(char.to_le_bytes()[0]),
    }
}

/// Runs all states of the pattern over `name` at once.
fn walk(tokens: &[Token], name: &[u8]) -> bool {
    let mut now = vec![false; tokens.len() + 1];
    let mut next = now.clone();
    enter(tokens, &mut now, 0);
    for char in chars(name) {
        next.fill(false);
        for (at, token) in tokens.iter().enumerate().filter(|&(at, _)| now[at]) {
            match token {
                Token::Run if char != SLASH => enter(tokens, &mut next, at),
                Token::Everything => enter(tokens, &mut next, at),
                Token::DirsBody => {
                    enter(tokens, &mut next, at);
                    if char == SLASH {
                        enter(tokens, &mut next, at + 1);
                    }
                }
                Token::Run | Token::Dirs => {}
                one if takes(one, char) => enter(tokens, &mut next, at + 1),
                _ => {}
            }
        }
        std::mem::swap(&mut now, &mut next);
        if !now.contains(&true) {
            return false;
        }
    }
    now[tokens.len()]
}

/// Adds the state before `tokens[at]`, and those reachable from it without a character.
fn enter(tokens: &[Token], states: &mut [bool], mut at: usize) {
    while !std::mem::replace(&mut states[at], true) {
        match tokens.get(at) {
            Some(Token::Run | Token::Everything) => at += 1,
            Some(Token::Dirs) => {
                states[at + 1] = true;
                at += 2;
            }
            _ => return,
        }
    }
}

fn takes(token: &Token, char: u32) -> bool {
    match token {
        Token::Char(wanted) => char == *wanted,
        Token::One => char != SLASH,
        Token::Class { negated, ranges } => {
            ranges.iter().any(|&(low, high)| (low..=high).contains(&char)) != *negated
        }
        Token::Run | Token::Everything | Token::Dirs | Token::DirsBody => false,
    }
}

/// A path without `.`, empty components, a trailing slash and, lexically, `..`: Go's `path.Clean`,
/// except that an empty path stays empty. A `..` that leads out is kept in a relative path and
/// dropped from an absolute one.
pub fn clean(path: &[u8]) -> Vec<u8> {
    let rooted = path.starts_with(b"/");
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." if parts.last().is_some_and(|last| *last != b"..") => drop(parts.pop()),
            b".." if rooted => {}
            _ => parts.push(part),
        }
    }
    match (rooted, parts.is_empty()) {
        (true, _) => [b"/", &*parts.join(&b'/')].concat(),
        (false, true) if !path.is_empty() => b".".to_vec(),
        (false, _) => parts.join(&b'/'),
    }
}

#[cfg(test)]
mod tests;
