//! `imgb trace`.

use std::{
    cell::RefCell,
    fs::File,
    io::{BufReader, Write as _},
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};

use super::{
    environment::{scratch, working_directory},
    failure::Failure,
    file::open_stdin,
    options::{
        cache::{CachePlace, KeptPieces},
        image::{self, open_options},
        lookup::lookup_options,
        registry::RegistryArgs,
        run_overrides::RunOverrides,
    },
    run::run_failure,
    terminal::{print_data, print_json, print_message},
    trace_report, values,
};
use crate::{
    build::{self, BaseContext, OpenSysroot},
    elf::{FoundKind, Lookup as _, ReadFailure},
    error_kind::{ErrorKind, with_causes},
    image::{ImageName, Platform},
    oci::{OpenOptions, UnpackedImage},
    pipeline, quantity,
    run::{self, HostCommand, RUNNER_FAILED, RunOutcome, Serving, Watch},
    source::Sysroot,
    store::{Durability, Pending, StoreError},
    trace::{self, Access, Observed, Report, Served, SysrootEntry, TracedFile, Watched},
    tree::Tree,
    view::View,
};

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    imgb trace app.tar -o more.list           # in the sandbox of `imgb run`\n  \
    imgb trace app.tar --timeout 5s -- serve  # a server, for a limited time\n  \
    imgb trace -o app.list -- ./app --work    # a command of this machine\n  \
    strace -f -y -e trace=%file -o log ./app &&\n      \
      imgb trace --from-strace log -o app.list\n  \
    imgb pack ./app --include-from app.list -o app.tar\n\n\
    For an image, files that its program looked for and that only the sysroot has are listed, and \
    the program gets them while it runs, so that one run shows all; except secrets, this machine's \
    own files, and what not everyone may read. For a command, every file that it read is listed. \
    --timeout or a second Ctrl-C end the program, and what was seen is listed. What the program \
    prints goes to stderr. The exit code is the program's, as with `imgb run`.")]
pub(super) struct TraceArgs {
    /// The image to run: PATH[:TAG], oci:DIR[:TAG], oci-archive:FILE[:TAG],
    /// docker-archive:FILE[:NAME], dir:DIR, docker://NAME[:TAG], docker-daemon:NAME or
    /// containers-storage:NAME; each may end in @sha256:DIGEST
    #[arg(value_name = "IMAGE", value_parser = values::image_name)]
    image: Option<ImageName>,

    /// Which image to take where there are several; otherwise the one for this machine
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<Platform>,

    /// Arguments that replace the image's cmd; without an IMAGE, the command to run here
    #[arg(last = true, value_name = "ARG")]
    args: Vec<String>,

    /// Read a log of strace instead of running anything; with an IMAGE, list what that lacks
    #[arg(long, value_name = "FILE", conflicts_with = "args")]
    from_strace: Option<PathBuf>,

    /// Where files that the image lacks are looked up: a directory, or an image as for --base
    #[arg(long, value_name = "DIR|IMAGE", default_value = "/")]
    sysroot: PathBuf,

    /// Which files of the sysroot the program gets while it runs, where the image lacks them
    #[arg(long, value_enum, value_name = "WHICH", conflicts_with = "from_strace")]
    serve: Option<Serve>,

    /// Write a list for `imgb pack --include-from`
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    #[command(flatten)]
    start: RunOverrides,

    #[command(flatten)]
    registry: RegistryArgs,

    #[command(flatten)]
    cache: CachePlace,

    /// List every file, also where a directory has many
    #[arg(long)]
    all: bool,

    /// Print JSON on stdout
    #[arg(long)]
    json: bool,
}

/// Which files a program gets while it is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Serve {
    /// None: only watch it
    None,
    /// What every user may read (default)
    Public,
    /// What you may read; never secrets, nor what belongs to this machine or its users
    All,
}

impl TraceArgs {
    /// Whether stdout is for JSON.
    pub(super) fn prints_json(&self) -> bool {
        self.json
    }
}

/// Runs the program, or reads a log, prints what it opened, and returns its exit code.
pub(super) fn trace(args: &TraceArgs) -> Result<u8, Failure> {
    let pieces = args.cache.pieces();
    let open = open_sysroot(args, &pieces)?;
    let nothing = Tree::new();
    let sysroot = open.files(&nothing);
    let image =
        args.image.as_ref().map(|name| image::open(name, args.platform.clone(), &args.registry));
    let image = image.transpose().map_err(|failure| failure.with_kind(ErrorKind::Runner))?;
    let tree = image.as_ref().map(UnpackedImage::merged).unwrap_or_default();
    let (watch, watched) = match (&args.from_strace, &image) {
        (Some(log), _) => (of_log(read_log(log)?), Watched::OnSystem),
        (None, Some(image)) => {
            let config = args.start.config(image.image.config.clone());
            let options = args.start.run_options(&args.args);
            let serving = serving(sysroot, args.serve.unwrap_or(Serve::Public));
            let watch = run::watch(&tree, &config, &options, serving).map_err(run_failure)?;
            (watch, Watched::InImage)
        }
        (None, None) => (watch_command(args)?, Watched::OnSystem),
    };
    let ended = &watch.ended;
    for note in &ended.notes {
        print_message(&format!("warning: {note}"));
    }
    if watch.accesses.is_empty() && ended.code >= RUNNER_FAILED {
        // Nothing was started, and the runner has printed why.
        return Ok(ended.code);
    }
    let tree = image.is_some().then_some(&tree);
    let report = report(&watch, watched, sysroot, tree)?;
    let lacks_nothing = report.missing.is_empty() && report.confidential.is_empty();
    if watched == Watched::InImage && ended.code != 0 && lacks_nothing {
        print_message(
            "hint: the program failed, and lacks nothing that the sysroot has; if it needs the \
             network, a terminal or another user, watch it on this machine: imgb trace -- COMMAND",
        );
    }
    if let Some(output) = &args.output {
        write_list(output, &trace::write_list(&report))?;
        let is_file = |file: &&TracedFile| file.in_sysroot != Some(SysrootEntry::Directory);
        let files = report.missing.iter().filter(is_file).count();
        let (list, count) = (output.display(), quantity::count(files, "file"));
        print_message(&format!(
            "wrote {list}, {count}; use it with: imgb pack --include-from {list}"
        ));
    }
    match args.json {
        true => print_json(trace_report::json(&report, ended.code))?,
        false => print_data(&trace_report::text(&report, watched, image.is_some(), args.all))?,
    }
    Ok(ended.code)
}

fn open_sysroot(args: &TraceArgs, pieces: &KeptPieces) -> Result<OpenSysroot, Failure> {
    let sysroot = &*args.sysroot;
    let registries = args.registry.registries(sysroot.to_str())?;
    let image = OpenOptions { pieces: pieces.get(), ..open_options(None, registries) };
    let source = lookup_options(Some(sysroot));
    let context = BaseContext::here(&source, &image, (None, &image.machine));
    let open = OpenSysroot::open(Some(sysroot), &Tree::new(), &context);
    Ok(open.map_err(pipeline::Error::from)?)
}

/// What a program gets from `sysroot` while it is watched.
pub(super) fn serving(sysroot: Sysroot<'_>, which: Serve) -> Option<Serving<'_>> {
    let is_secret = build::is_secret_file;
    let serves_private = which == Serve::All;
    (which != Serve::None).then_some(Serving { sysroot, is_secret, serves_private })
}

/// What was seen of a program as a report. `tree` holds the files of the image, if there is one.
pub(super) fn report(
    watch: &Watch,
    watched: Watched,
    sysroot: Sysroot<'_>,
    tree: Option<&Tree>,
) -> Result<Report, Failure> {
    let in_image = |path: &[u8]| tree.is_some_and(|tree| tree.resolve(path).is_ok());
    let alone = View::of_sysroot(sysroot);
    // A link of the sysroot may lead to what only the image has.
    let both = tree.map(|tree| View::of_sysroot(sysroot).over(tree));
    let failure = RefCell::new(None);
    let sysroot_entry = |path: &[u8]| {
        let both = both.as_ref().filter(|_| !in_image(path));
        let find = || match (in_sysroot(&alone, path)?, both) {
            (None, Some(both)) => in_sysroot(both, path),
            (found, _) => Ok(found),
        };
        find().unwrap_or_else(|error| {
            failure.borrow_mut().get_or_insert(error);
            None
        })
    };
    let observed = Observed { accesses: &watch.accesses, watched, served: &watch.served };
    let report = trace::classify(observed, &sysroot_entry, &in_image);
    match failure.take() {
        Some(failure) => Err(pipeline::Error::from(failure).into()),
        None => Ok(report),
    }
}

/// The accesses of a log as those of a program that was watched.
fn of_log(accesses: Vec<Access>) -> Watch {
    let ended = RunOutcome { code: 0, notes: Vec::new() };
    Watch { ended, accesses, served: Served::default() }
}

/// Runs a command of this machine with the caller's own rights.
fn watch_command(args: &TraceArgs) -> Result<Watch, Failure> {
    if args.args.is_empty() {
        let hint = "name an image, or a command after --: imgb trace -- ./app";
        return Err(Failure::usage("there is nothing to run").with_hint(hint));
    }
    let only_for_images = [
        ("--entrypoint", args.start.entrypoint.is_some()),
        ("--workdir", args.start.workdir.is_some()),
        ("--user", args.start.user.is_some()),
        ("--memory", args.start.memory.is_some()),
        ("--pids-limit", args.start.pids_limit.is_some()),
        ("--allow-risky-syscalls", args.start.allow_risky_syscalls),
        ("--platform", args.platform.is_some()),
        ("--serve", args.serve.is_some()),
    ];
    if let Some((option, _)) = only_for_images.iter().find(|(_, given)| *given) {
        return Err(Failure::usage(format!(
            "{option} is for images; a command runs as it would without imgb"
        )));
    }
    let mut env: std::collections::BTreeMap<_, _> = std::env::vars_os().collect();
    env.extend(args.start.variables());
    let command = HostCommand {
        args: args.args.iter().map(Into::into).collect(),
        env: env.into_iter().collect(),
        workdir: working_directory()?,
    };
    run::watch_command(&command, args.start.timeout, &scratch()).map_err(run_failure)
}

/// The accesses in a log of strace. Its relative paths start at the working directory.
fn read_log(path: &Path) -> Result<Vec<Access>, Failure> {
    let fault = |kind, why: String| Failure::new(kind, format!("`{}`: {why}", path.display()));
    let cwd = working_directory()?;
    let read = match path == Path::new("-") {
        true => trace::read_strace(open_stdin()?, cwd.as_os_str().as_bytes()),
        false => {
            let file = fs_err::File::open(path)
                .map_err(|error| fault(ErrorKind::Input, with_causes(&error)))?;
            trace::read_strace(BufReader::new(file), cwd.as_os_str().as_bytes())
        }
    };
    read.map_err(|error| fault(error.kind(), with_causes(&error)))
}

/// The file or directory that `path` leads to in the sysroot, and its real path.
fn in_sysroot(
    sysroot: &View<'_>,
    path: &[u8],
) -> Result<Option<(Vec<u8>, SysrootEntry)>, ReadFailure> {
    let Ok(found) = sysroot.find(path)? else { return Ok(None) };
    let there = match found.kind {
        FoundKind::File(len) => SysrootEntry::File(len),
        FoundKind::Directory => SysrootEntry::Directory,
        FoundKind::Other => return Ok(None),
    };
    Ok(Some((found.path.as_bytes().to_vec(), there)))
}

/// Writes the list, so that it is complete or absent.
fn write_list(output: &Path, list: &[u8]) -> Result<(), Failure> {
    let failed = |error: &dyn std::error::Error| {
        Failure::local(format!("cannot write `{}`: {}", output.display(), with_causes(error)))
    };
    let refused = |error: StoreError| match error {
        StoreError::Io { source, .. } => failed(&source),
        error @ StoreError::Directory(_) => Failure::local(error),
    };
    let pending = Pending::create(output).map_err(refused)?;
    let mut file: &File = pending.file();
    file.write_all(list).map_err(|error| failed(&error))?;
    pending.commit(Durability::Synced).map_err(refused)
}
