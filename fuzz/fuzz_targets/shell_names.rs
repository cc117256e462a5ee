//! Shell scripts: the number of names is bounded, each is out of the text, and time is linear.
#![no_main]

use imgb::languages::{Languages, Variables, shell};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let language = &Languages::builtin().shell;
    let names = shell::names(data, language, &mut Variables::default());
    assert!(names.commands.len() <= 1000 && names.sourced.len() <= 1000);
    for name in names.commands.iter().chain(&names.sourced).take(10) {
        assert!(!name.is_empty() && name.len() <= data.len());
        shell::asks_for(data, name, language);
        shell::is_plain(name);
    }
    assert_eq!(names, shell::names(data, language, &mut Variables::default()));
});
