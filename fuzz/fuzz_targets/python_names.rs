//! Python scripts and the metadata of packages: each name is out of the text, and not empty.
#![no_main]

use imgb::languages::python::{self, Depth};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let imported = python::named(data, Depth::All);
    let required = python::required(data);
    let lists = [python::required_by_metadata(data), python::required_by_list(data)];
    for name in imported.iter().chain(&required).chain(lists.iter().flatten()) {
        assert!(!name.is_empty() && name.len() <= data.len(), "{name:?}");
    }
    python::words(data);
    python::namespaces(data);
});
