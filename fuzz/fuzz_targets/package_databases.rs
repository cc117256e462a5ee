//! The databases of dpkg, apk and rpm: who owns a path, and which paths a package has, say the
//! same; in dpkg's, with links of the root and diversions.
#![no_main]

use imgb::{
    packages::{Database, Listing, apk, dpkg, rpm},
    path::ImagePath,
};
use imgb_fuzz::{input::Input, tree};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&len, rest)) = data.split_first() else { return };
    let (decisions, text) = rest.split_at(rest.len().min(usize::from(len)));
    let mut input = Input(decisions);
    let status = dpkg::Status::parse(text);
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
    check(&database, !is_diverted);
    // Their paths may have `..`, and then come out clean.
    check(&apk::parse(text, ImagePath::root(), Vec::new()), false);
    if let Ok(database) = rpm::parse(text, ImagePath::root(), Vec::new()) {
        check(&database, false);
    }
    Listing::of_checksums(text.to_vec());
});

/// Looks up everything that the database has. If `are_listed`, each path of a package is listed as
/// it is.
fn check(database: &Database, are_listed: bool) {
    for (id, package) in database.packages() {
        assert!(database.find(&package.name).any(|found| found == id), "{}", package.name);
        package.is_for_all();
        dpkg::paragraph(package, |_| true);
        apk::paragraph(package, |_| true);
        for path in database.files(id) {
            tree::check_path(&path);
            let owners = database.owners(&path);
            assert!(!are_listed || path.is_root() || owners.contains(&id), "{path}");
        }
    }
}

/// Lines with a clean path each, with `end` after it.
fn lines(input: &mut Input<'_>, end: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    for _ in 0..input.byte() % 6 {
        // No line can hold a name with a line feed.
        let path = ImagePath::new(input.path()).ok();
        if let Some(path) = path.filter(|path| !path.as_bytes().contains(&b'\n')) {
            text.extend(path.as_bytes());
            text.extend(end);
        }
    }
    text
}
