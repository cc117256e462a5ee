//! The patterns in `${name#pattern}` and its kin: `*` and `?`, a backslash before what is meant
//! literally.

use super::expand::{Budget, TooMuch};

/// A pattern; no brackets, as in BuildKit.
#[derive(Debug)]
pub(super) struct Pattern(Vec<Token>);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Token {
    Char(char),
    One,
    Run,
}

impl Pattern {
    /// `None` where a backslash stands before something that needs none.
    pub(super) fn new(text: &str) -> Option<Self> {
        let mut chars = text.chars();
        let mut tokens = Vec::new();
        while let Some(char) = chars.next() {
            tokens.push(match char {
                '*' => Token::Run,
                '?' => Token::One,
                '\\' => match chars.next()? {
                    // The last two end `${...}` unless escaped.
                    escaped @ ('*' | '?' | '\\' | '}' | '/') => Token::Char(escaped),
                    _ => return None,
                },
                _ => Token::Char(char),
            });
        }
        Some(Self(tokens))
    }

    /// `value` without the shortest or longest beginning that matches.
    pub(super) fn trim_start(
        &self,
        value: &str,
        longest: bool,
        budget: &mut Budget,
    ) -> Result<String, TooMuch> {
        budget.work(value.len())?;
        let chars: Vec<char> = value.chars().collect();
        let cut = prefix(&self.0, &chars, longest, budget)?.unwrap_or(0);
        Ok(chars[cut..].iter().collect())
    }

    /// `value` without the shortest or longest end that matches.
    pub(super) fn trim_end(
        &self,
        value: &str,
        longest: bool,
        budget: &mut Budget,
    ) -> Result<String, TooMuch> {
        budget.work(value.len())?;
        let chars: Vec<char> = value.chars().rev().collect();
        let tokens: Vec<Token> = self.0.iter().rev().copied().collect();
        let cut = prefix(&tokens, &chars, longest, budget)?.unwrap_or(0);
        Ok(chars[cut..].iter().rev().collect())
    }

    /// `value` with the first match, or every one, replaced; matches are as long as can be.
    pub(super) fn replace(
        &self,
        value: &str,
        with: &str,
        all: bool,
        budget: &mut Budget,
    ) -> Result<String, TooMuch> {
        budget.work(value.len())?;
        let chars: Vec<char> = value.chars().collect();
        let (mut out, mut at, mut last_end) = (String::new(), 0, None);
        while at <= chars.len() {
            match prefix(&self.0, &chars[at..], true, budget)? {
                // As in Go, nothing is put in directly behind a match for the empty string there.
                Some(len) if len > 0 || last_end != Some(at) => {
                    budget.bytes(with.len())?;
                    out.push_str(with);
                    at += len;
                    last_end = Some(at);
                    if !all {
                        break;
                    }
                    if len > 0 {
                        continue;
                    }
                }
                _ => {}
            }
            out.extend(chars.get(at));
            at += 1;
        }
        out.extend(chars.get(at..).unwrap_or_default());
        Ok(out)
    }
}

/// Characters of the shortest or longest beginning of `value` that matches. A wildcard takes no
/// newline.
fn prefix(
    tokens: &[Token],
    value: &[char],
    longest: bool,
    budget: &mut Budget,
) -> Result<Option<usize>, TooMuch> {
    let mut now = vec![false; tokens.len() + 1];
    let mut next = now.clone();
    enter(tokens, &mut now, 0);
    let mut found = None;
    for at in 0..=value.len() {
        if now[tokens.len()] {
            found = Some(at);
            if !longest {
                break;
            }
        }
        let Some(&char) = value.get(at) else { break };
        budget.work(now.len())?;
        next.fill(false);
        for (state, token) in tokens.iter().enumerate().filter(|&(state, _)| now[state]) {
            match token {
                Token::Run if char != '\n' => enter(tokens, &mut next, state),
                Token::One if char != '\n' => enter(tokens, &mut next, state + 1),
                Token::Char(wanted) if char == *wanted => enter(tokens, &mut next, state + 1),
                _ => {}
            }
        }
        std::mem::swap(&mut now, &mut next);
        if !now.contains(&true) {
            break;
        }
    }
    Ok(found)
}

/// Adds a state and those behind the `*`s that follow, which may stand for nothing.
fn enter(tokens: &[Token], states: &mut [bool], from: usize) {
    for (at, state) in states.iter_mut().enumerate().skip(from) {
        *state = true;
        if tokens.get(at) != Some(&Token::Run) {
            return;
        }
    }
}
