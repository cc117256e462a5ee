//! Rules of users: a table that is refused stays as it was, and messages are printable.
#![no_main]

use imgb::rules::{Choice, Facts, Table, evaluate};
use imgb_fuzz::check_message;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut table = Table::default();
    match table.add(text) {
        Ok(()) => {
            table.wanted();
            evaluate(&table, &Facts::default(), &Choice::default());
            let count = table.rules().len();
            assert!(table.add(text).is_ok() && table.rules().len() == count);
        }
        Err(error) => {
            check_message(&error.to_string());
            assert!(table.rules().is_empty());
        }
    }
});
