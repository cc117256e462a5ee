//! The `imgb` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    imgb::cli::run()
}
