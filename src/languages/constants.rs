//! The constants of a source: names in capitals that it assigns one quoted word. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::shell;

/// Constants of one source.
const MAX_CONSTANTS: usize = 200;

/// The constants of `text` that it assigns once, each with its value.
pub(super) fn constants(text: &[u8]) -> BTreeMap<&[u8], &[u8]> {
    let (mut known, mut again) = (BTreeMap::new(), BTreeSet::new());
    for line in text.split(|&b| b == b'\n').map(<[u8]>::trim_ascii_start) {
        let (name, after) = line.split_at(name_length(line));
        let Some(value) = after.trim_ascii_start().strip_prefix(b"=") else { continue };
        if !line.first().is_some_and(u8::is_ascii_uppercase) || value.starts_with(b"=") {
            continue;
        }
        if known.len() < MAX_CONSTANTS && known.insert(name, quoted_word(value)).is_some() {
            again.insert(name);
        }
    }
    known.retain(|name, _| !again.contains(name));
    known.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// Whether `text` has the constant `name` in more than one place.
pub(super) fn is_used_again(text: &[u8], name: &[u8]) -> bool {
    let in_name = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
    let is_whole = |at: &usize| {
        let before = at.checked_sub(1).and_then(|at| text.get(at));
        !in_name(before) && !in_name(text.get(at + name.len()))
    };
    memchr::memmem::find_iter(text, name).filter(is_whole).nth(1).is_some()
}

fn name_length(line: &[u8]) -> usize {
    let is_part = |b: &&u8| b.is_ascii_uppercase() || b.is_ascii_digit() || **b == b'_';
    line.iter().take_while(is_part).count()
}

/// The word in quotes at the start of `text`, if it has the form of a command.
fn quoted_word(text: &[u8]) -> Option<&[u8]> {
    let (quote, inside) = text.trim_ascii_start().split_first()?;
    let word = inside.get(..memchr::memchr(*quote, inside)?)?;
    (b"'\"".contains(quote) && !word.is_empty() && shell::is_plain(word)).then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_assigned_once() {
        let text = b"A = 'one'\nB=\"/bin/two\".freeze\n  C_1 = 'three' # x\nD = 'a b'\nE = 'x'\n\
            E = y\nF == 'z'\nlower = 'w'\nG = ''\nH = 'open\nI = f('x')\nJa = 'j'\n";
        let wanted: [(&[u8], &[u8]); 3] = [(b"A", b"one"), (b"B", b"/bin/two"), (b"C_1", b"three")];
        assert_eq!(constants(text), wanted.into());
        assert!(is_used_again(b"A = 1; f(A)", b"A") && !is_used_again(b"A = 1; AB, B_A", b"A"));
    }
}
