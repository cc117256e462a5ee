//! The arguments of the commands that read images back.

use clap::Args;

/// Which image.
#[derive(Args, Debug)]
pub(super) struct ImageArgs {
    /// The image: PATH[:TAG], oci:DIR[:TAG], oci-archive:FILE[:TAG] or docker-archive:FILE[:NAME]
    #[arg(value_name = "IMAGE")]
    pub(super) image: String,

    /// Which one, where there are several; otherwise the one for this machine
    #[arg(long, value_name = "OS/ARCH")]
    pub(super) platform: Option<String>,
}

#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  imgb check myapp.tar\n  imgb check oci:layout:1.0 --json | jq -r '.faults[].text'\n\n\
    Nothing is executed. Exit code 1: it cannot start; 4: malformed; 7: a digest or size is wrong."
)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    pub(super) image: ImageArgs,

    /// Go on although libraries whose names match are missing (repeatable)
    #[arg(long, value_name = "GLOB")]
    pub(super) allow_missing: Vec<String>,

    /// What is broken anywhere in the image is a fault, not only what keeps its own program from
    /// starting
    #[arg(long)]
    pub(super) strict: bool,

    /// JSON on stdout
    #[arg(long)]
    pub(super) json: bool,

    /// Say nothing but faults
    #[arg(short, long)]
    pub(super) quiet: bool,
}

/// How an image's program is started, and its limits.
#[derive(Args, Debug)]
pub(super) struct StartArgs {
    /// Words instead of the image's entrypoint and cmd
    #[arg(long, value_name = "WORDS")]
    pub(super) entrypoint: Option<String>,

    /// A variable (repeatable); NAME alone takes its value from here
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    pub(super) env: Vec<String>,

    /// Instead of the image's working directory
    #[arg(short, long, value_name = "DIR")]
    pub(super) workdir: Option<String>,

    /// Instead of the image's user
    #[arg(short, long, value_name = "USER[:GROUP]")]
    pub(super) user: Option<String>,

    /// Memory of all processes together, such as 64m: past it they are ended
    #[arg(short, long, value_name = "BYTES")]
    pub(super) memory: Option<String>,

    /// How long it may run, such as 10s: then it is ended with code 124
    #[arg(long, value_name = "TIME")]
    pub(super) timeout: Option<String>,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  imgb run myapp.tar\n  imgb run myapp.tar -- --version\n  \
    imgb run --memory 64m --timeout 10s --read-only oci:layout:1.0\n\n\
    The program sees only the image, in namespaces of its own: no network but loopback, no capabilities.\n\
    All files are the one user's that it runs as, so chown(2) to another and setuid(2) fail there.\n\
    It is ended when it has written nine tenths of what the disk of TMPDIR had free.\n\
    The exit code is the program's; 124 after --timeout, 125 where imgb itself fails, 126 and 127 for a program \
    that cannot be executed or is not there.")]
pub(super) struct RunArgs {
    #[command(flatten)]
    pub(super) image: ImageArgs,

    /// Arguments instead of the image's cmd
    #[arg(last = true, value_name = "ARG")]
    pub(super) args: Vec<String>,

    #[command(flatten)]
    pub(super) start: StartArgs,

    /// Nothing but /tmp, /run and /dev/shm can be written
    #[arg(long)]
    pub(super) read_only: bool,

    /// What runs it: own, crun, runc or podman
    #[arg(long, value_name = "RUNTIME", default_value = "own")]
    pub(super) runtime: String,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    imgb trace app.tar -o more.list           # the image's program, in the sandbox of `imgb run`\n  \
    imgb trace app.tar --timeout 5s -- serve  # a server, for as long as it takes\n  \
    imgb trace -o app.list -- ./app --work    # a command of this machine, without a sandbox\n  \
    strace -f -y -e trace=%file -o log ./app && imgb trace --from-strace log -o app.list\n  \
    imgb pack ./app --include-from app.list -o app.tar\n\n\
    Of an image, what its program asked for in vain is listed where the sysroot has it; of a command, every file \
    that it read, after --timeout as well. What the program prints goes to stderr.\n\
    The exit code is the program's, as with `imgb run`.")]
pub(super) struct TraceArgs {
    /// The image to run: PATH[:TAG], oci:DIR[:TAG], oci-archive:FILE[:TAG] or
    /// docker-archive:FILE[:NAME]
    #[arg(value_name = "IMAGE")]
    pub(super) image: Option<String>,

    /// Which one, where there are several; otherwise the one for this machine
    #[arg(long, value_name = "OS/ARCH")]
    pub(super) platform: Option<String>,

    /// Arguments instead of the image's cmd; without an IMAGE the command to run here
    #[arg(last = true, value_name = "ARG")]
    pub(super) args: Vec<String>,

    /// Run nothing and read what strace recorded; with an IMAGE, list what that lacks
    #[arg(long, value_name = "FILE", conflicts_with = "args")]
    pub(super) from_strace: Option<std::path::PathBuf>,

    /// Where files that the image lacks are looked for
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub(super) sysroot: std::path::PathBuf,

    /// Write a list for `imgb pack --include-from`
    #[arg(short, long, value_name = "FILE")]
    pub(super) output: Option<std::path::PathBuf>,

    #[command(flatten)]
    pub(super) start: StartArgs,

    /// JSON on stdout
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  imgb inspect myapp.tar\n  imgb inspect --files oci:layout:1.0\n  \
    imgb inspect --json myapp.tar | jq '.files | sort_by(-.size)[:10]'"
)]
pub(super) struct InspectArgs {
    #[command(flatten)]
    pub(super) image: ImageArgs,

    /// List every file: mode, owner, path, size
    #[arg(long)]
    pub(super) files: bool,

    /// JSON on stdout
    #[arg(long)]
    pub(super) json: bool,
}
