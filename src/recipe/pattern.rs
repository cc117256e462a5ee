//! The patterns in `${name#pattern}` and similar forms: `*`, `?`, and a backslash before literal
//! characters.

use super::budget::{Budget, Exhausted};

/// A pattern. It has no bracket expressions, as in BuildKit.
#[derive(Debug)]
pub(super) struct Pattern(Vec<Token>);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Token {
    Char(char),
    One,
    Run,
}

impl Pattern {
    /// `None` where a backslash precedes a character that needs none.
    pub(super) fn new(text: &str) -> Option<Self> {
        let mut chars = text.chars();
        let mut tokens = Vec::new();
        while let Some(char) = chars.next() {
            tokens.push(match char {
                '*' => Token::Run,
                '?' => Token::One,
                '\\' => match chars.next()? {
                    // The last two would end a part of `${...}`.
                    escaped @ ('*' | '?' | '\\' | '}' | '/') => Token::Char(escaped),
                    _ => return None,
                },
                _ => Token::Char(char),
            });
        }
        Some(Self(tokens))
    }

    /// `value` without its shortest or longest prefix that matches.
    pub(super) fn trim_start(
        &self,
        value: &str,
        longest: bool,
        budget: &mut Budget,
    ) -> Result<String, Exhausted> {
        budget.spend_steps(value.len())?;
        let chars: Vec<char> = value.chars().collect();
        let cut = prefix(&self.0, &chars, longest, budget)?.unwrap_or(0);
        Ok(chars[cut..].iter().collect())
    }

    /// `value` without its shortest or longest suffix that matches.
    pub(super) fn trim_end(
        &self,
        value: &str,
        longest: bool,
        budget: &mut Budget,
    ) -> Result<String, Exhausted> {
        budget.spend_steps(value.len())?;
        let chars: Vec<char> = value.chars().rev().collect();
        let tokens: Vec<Token> = self.0.iter().rev().copied().collect();
        let cut = prefix(&tokens, &chars, longest, budget)?.unwrap_or(0);
        Ok(chars[cut..].iter().rev().collect())
    }

    /// `value` with the first match, or all matches, replaced. Matches are as long as possible.
    pub(super) fn replace(
        &self,
        value: &str,
        with: &str,
        all: bool,
        budget: &mut Budget,
    ) -> Result<String, Exhausted> {
        budget.spend_steps(value.len())?;
        let chars: Vec<char> = value.chars().collect();
        let (mut out, mut at, mut last_end) = (String::new(), 0, None);
        while at <= chars.len() {
            match prefix(&self.0, &chars[at..], true, budget)? {
                // As in Go, an empty match directly after another match is not replaced.
                Some(len) if len > 0 || last_end != Some(at) => {
                    budget.spend_bytes(with.len())?;
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

/// The length in characters of the shortest or longest prefix of `value` that matches. Wildcards do
/// not match newlines.
fn prefix(
    tokens: &[Token],
    value: &[char],
    longest: bool,
    budget: &mut Budget,
) -> Result<Option<usize>, Exhausted> {
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
        budget.spend_steps(now.len())?;
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

/// Adds a state, and the states after the `*`s that follow it, since `*` also matches nothing.
fn enter(tokens: &[Token], states: &mut [bool], from: usize) {
    for (at, state) in states.iter_mut().enumerate().skip(from) {
        *state = true;
        if tokens.get(at) != Some(&Token::Run) {
            return;
        }
    }
}
