//! dpkg's database: who owns a path, and which paths a package has, say the same, with links of the
//! root and diversions.
#![no_main]

use imgb::{
    packages::{Listing, dpkg::Status},
    path::ImagePath,
};
use imgb_fuzz::{input::Input, tree};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&len, rest)) = data.split_first() else { return };
    let (decisions, text) = rest.split_at(rest.len().min(usize::from(len)));
    let mut input = Input(decisions);
    let status = Status::parse(text);
    let links = (0..input.byte() % 3).filter_map(|_| {
        let link = ImagePath::new(input.path()).ok()?;
        let real = ImagePath::new(input.path()).ok()?;
        (!link.is_root() && !real.is_root()).then_some((link, real))
    });
    let links = links.collect();
    // Three lines each: a path, where it is, the package.
    let diversions = lines(&mut input, b"\na\n");
    let is_diverted = !diversions.is_empty();
    let lists: Vec<_> = status
        .file_names()
        .map(|(id, _)| (id, Listing::of_paths(lines(&mut input, b"\n"))))
        .collect();
    let database = status.with_files(lists, links, &diversions);
    for (id, package) in database.packages() {
        assert!(database.find(&package.name).any(|found| found == id), "{}", package.name);
        package.licence();
        package.is_for_all();
        for path in database.files(id) {
            tree::check_path(&path);
            let owners = database.owners(&path);
            assert!(is_diverted || path.is_root() || owners.contains(&id), "{path}");
        }
    }
    Listing::of_checksums(text.to_vec());
});

/// Lines with a clean path each, with `end` after it.
fn lines(input: &mut Input<'_>, end: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    for _ in 0..input.byte() % 6 {
        if let Ok(path) = ImagePath::new(input.path()) {
            text.extend(path.as_bytes());
            text.extend(end);
        }
    }
    text
}
