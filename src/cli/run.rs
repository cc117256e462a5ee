//! `imgb run`.

use clap::Args;

use super::{
    failure::Failure,
    options::{image::ImageArgs, run_overrides::RunOverrides},
    terminal::print_message,
};
use crate::{
    error_kind::{ErrorKind, with_causes},
    run::{self, RunError, Runtime},
};

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    imgb run myapp.tar\n  \
    imgb run myapp.tar -- --version\n  \
    imgb run --memory 64m --timeout 10s --read-only oci:layout:1.0\n\n\
    The program sees only the image, in its own namespaces: no network except loopback, no \
    capabilities. All files belong to the one user it runs as, so chown(2) to another user and \
    setuid(2) fail. It is killed when it has written nine tenths of the free space in TMPDIR.\n\n\
    The exit code is the program's; 124 after --timeout, 125 if imgb itself fails or there is too \
    little memory to start it, 126 and 127 if the program cannot be executed or does not exist.")]
pub(super) struct RunArgs {
    #[command(flatten)]
    image: ImageArgs,

    /// Arguments that replace the image's cmd
    #[arg(last = true, value_name = "ARG")]
    args: Vec<String>,

    #[command(flatten)]
    start: RunOverrides,

    /// Make everything read-only except /tmp, /run and /dev/shm
    #[arg(long)]
    read_only: bool,

    /// What runs it: own, crun, runc or podman
    #[arg(long, value_name = "RUNTIME", default_value = "own")]
    runtime: Runtime,
}

/// Runs the program and returns its exit code.
pub(super) fn run(args: &RunArgs) -> Result<u8, Failure> {
    let image = args.image.open().map_err(|failure| failure.with_kind(ErrorKind::Runner))?;
    let options = run::RunOptions {
        read_only: args.read_only,
        runtime: args.runtime,
        ..args.start.run_options(&args.args)
    };
    let tree = image.merged();
    let ended = run::run(&tree, &args.start.config(image.image.config), &options);
    let ended = ended.map_err(run_failure)?;
    for note in &ended.notes {
        print_message(&format!("warning: {note}"));
    }
    Ok(ended.code)
}

/// Why the program was not started, and what to do about it.
pub(super) fn run_failure(error: RunError) -> Failure {
    let failure = Failure::new(error.kind(), with_causes(&error));
    match &error {
        RunError::NotFound(_, searched) => {
            failure.with_details(vec![format!("searched: {}", searched.join(", "))])
        }
        RunError::NoCommand => failure.with_hint("name one: imgb run IMAGE -- PROGRAM ARG..."),
        RunError::NoRuntime(_) => {
            failure.with_hint("leave `--runtime` out: imgb runs the program itself")
        }
        RunError::OnlyRoot => failure.with_hint(
            "map the user and the group 65534 into it, too, or be another user than root",
        ),
        RunError::Unreachable { .. } => failure
            .with_hint("set TMPDIR to a directory that every user may enter, such as /var/tmp"),
        RunError::CannotWatch => failure.with_hint(
            "record it with `strace -f -y -e trace=%file -o LOG` and use `--from-strace LOG`",
        ),
        _ => failure,
    }
}
