//! Buildfiles: parsing, the stages that are needed, and the expansion of all variables. Faults lie
//! in the text, and what a file expands to is bounded.
#![no_main]

use std::collections::BTreeMap;

use imgb::recipe::{self, Arguments, evaluate::evaluate, fault::Faults};
use imgb_fuzz::check_message;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let recipe = match recipe::parse("Buildfile", data) {
        Ok(recipe) => recipe,
        Err(faults) => return check(&faults),
    };
    assert!(!recipe.stages.is_empty());
    let arguments = Arguments {
        build_args: BTreeMap::from([("A".into(), "${A}\"'\\".into())]),
        ..Arguments::default()
    };
    let outline = match recipe::outline(&recipe, &arguments) {
        Ok(outline) => outline,
        Err(faults) => return check(&faults),
    };
    match evaluate(&recipe, &arguments, &outline, &BTreeMap::new()) {
        Ok(evaluation) => {
            assert_eq!(evaluation.stages.len(), outline.needed.len());
            assert!(format!("{evaluation:?}").len() < 512 << 20);
            let again = evaluate(&recipe, &arguments, &outline, &BTreeMap::new());
            assert!(again.is_ok_and(|again| again == evaluation));
        }
        Err(faults) => check(&faults),
    }
});

fn check(faults: &Faults) {
    assert!(!faults.faults.is_empty());
    for fault in &faults.faults {
        assert!(fault.span.start <= fault.span.end && fault.span.end <= faults.source.text.len());
    }
    check_message(&faults.to_string());
}
