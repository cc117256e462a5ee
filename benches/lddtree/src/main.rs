//! The `lddtree` crate over all programs that are named, in one process, one analysis each: what
//! `benches/closure.sh` measures.

use std::{env, process::ExitCode};

use lddtree::DependencyAnalyzer;

fn main() -> ExitCode {
    let (mut found, mut failed) = (0, 0);
    for program in env::args_os().skip(1) {
        match DependencyAnalyzer::new("/".into()).analyze(&program) {
            Ok(tree) => found += tree.libraries.len(),
            Err(_) => failed += 1,
        }
    }
    println!("{found} libraries of programs, {failed} programs not read");
    ExitCode::SUCCESS
}
