//! Variables in words. A value is never expanded again, so that it may hold anything; a word
//! without special characters is itself.
#![no_main]

use std::collections::BTreeMap;

use imgb::recipe::{
    self, Arguments,
    action::Action,
    evaluate::{Inherited, evaluate},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&split, rest)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(rest) else { return };
    let split = text.floor_char_boundary(usize::from(split));
    let (value, word) = text.split_at(split);
    if word.contains(['\n', '\r']) {
        return;
    }
    // The whole value comes through, whatever is in it.
    let through = label("\"${V}\"", value);
    assert_eq!(through.as_deref(), Some(value));
    let Some(found) = label(word, value) else { return };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._/:-".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        assert_eq!(found, word);
    }
    assert!(found.len() <= 1 << 20);
});

/// What `LABEL x=WORD` sets where the base image has `V` in its environment.
fn label(word: &str, value: &str) -> Option<String> {
    let text = format!("FROM base\nLABEL x={word}\n");
    let recipe = recipe::parse("Buildfile", text.as_bytes()).ok()?;
    let arguments = Arguments::default();
    let outline = recipe::outline(&recipe, &arguments).ok()?;
    let env = BTreeMap::from([("V".to_owned(), value.to_owned())]);
    let base = Inherited { env, ..Inherited::default() };
    let stages = evaluate(&recipe, &arguments, &outline, &[(0, base)].into()).ok()?.stages;
    match &stages.first()?.steps.first()?.action {
        Action::Label(labels) => {
            labels.iter().find(|(name, _)| name == "x").map(|(_, x)| x.clone())
        }
        _ => None,
    }
}
