//! Logs of strace: accesses are absolute paths, each once, and a list of them is read again.
#![no_main]

use std::collections::BTreeSet;

use imgb::trace::{self, Call, Observed, Served, SysrootEntry, Watched};
use imgb_fuzz::check_line;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    match trace::read_strace(data, b"/home/me") {
        Ok(accesses) => {
            let known: BTreeSet<_> = accesses.iter().collect();
            assert_eq!(known.len(), accesses.len(), "an access comes twice");
            for access in &accesses {
                assert!(access.path.starts_with(b"/"), "{access:?}");
            }
            let sysroot = |path: &[u8]| Some((path.to_vec(), SysrootEntry::File(1)));
            let served = Served::default();
            for watched in [Watched::InImage, Watched::OnSystem] {
                let observed = Observed { accesses: &accesses, watched, served: &served };
                let report = trace::classify(observed, &sysroot, &|_| false);
                let list = trace::write_list(&report);
                if let Ok(paths) = trace::parse_list(&list) {
                    assert!(paths.len() <= report.missing.len());
                }
                assert!(report.missing.iter().all(|file| file.call != Call::Create));
            }
        }
        Err(error) => check_line(&error.to_string()),
    }
});
