//! A few of the faults and kills of tests/faults/run and tests/faults/kills, which try thousands.

use std::path::Path;

use crate::{engines::have, sandbox::Run};

fn script(name: &str) -> Run {
    let faults = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults");
    Run::new(faults.join(name)).arg("--imgb").arg(env!("CARGO_BIN_EXE_imgb"))
}

#[test]
fn a_call_that_fails_leaves_the_layout_whole() {
    if have(&["strace", "python3"]) {
        let run = script("run").args("--writes --most 1 --jobs 1 --only").arg("pack layout");
        run.run().ok().prints("0 violated something");
    }
}

#[test]
fn a_process_that_is_killed_leaves_outputs_whole() {
    if have(&["python3"]) {
        script("kills").arg("24").run().ok().prints("violations: 0");
    }
}
