//! `imgb trace`: what a program opens when it runs, and what its image lacks of it.

use std::{
    fmt::Write as _,
    io::{self, BufReader, Write as _},
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::{
    check,
    image_args::{ImageArgs, TraceArgs},
    pack::scratch,
    progress::line,
    report::{Failure, bytes, chain, print},
    run::{duration, failure, pair, started},
};
use crate::{
    elf::{FoundKind, Lookup as _},
    error_kind::ErrorKind,
    oci::Image,
    path::{ImagePath, escape},
    run::{self, HostCommand, RUNNER_FAILED, RunOutcome},
    source::{HostView, TreeView},
    trace::{self, Access, Call, Report, SysrootEntry, TracedFile, Watched},
};

/// The exit code is the program's.
pub(super) fn trace(args: &TraceArgs) -> Result<u8, Failure> {
    let host = HostView::new(&args.sysroot).map_err(|error| {
        let message =
            format!("cannot open the sysroot `{}`: {}", args.sysroot.display(), chain(&error));
        Failure::new(ErrorKind::Input, message, Vec::new(), None)
    })?;
    let image = args.image.as_ref().map(|name| {
        check::open(&ImageArgs { image: name.clone(), platform: args.platform.clone() })
            .map_err(|failure| failure.with_kind(ErrorKind::Runner))
    });
    let image = image.transpose()?;
    let tree = image.as_ref().map(Image::merged).unwrap_or_default();
    let (ended, accesses, watched) = match (&args.from_strace, &image) {
        (Some(log), _) => {
            (RunOutcome { code: 0, notes: Vec::new() }, read_log(log)?, Watched::OnSystem)
        }
        (None, Some(image)) => {
            let (ended, accesses) = in_image(args, image)?;
            (ended, accesses, Watched::InImage)
        }
        (None, None) => {
            let (ended, accesses) = here(args)?;
            (ended, accesses, Watched::OnSystem)
        }
    };
    for note in &ended.notes {
        line(&format!("warning: {note}"));
    }
    if accesses.is_empty() && ended.code >= RUNNER_FAILED {
        // Nothing was started, and the runner has said why.
        return Ok(ended.code);
    }
    let view = TreeView::new(&tree);
    let in_image = |path: &[u8]| image.is_some() && view.resolve(path).is_ok();
    let report = trace::classify(&accesses, watched, &|path| there(&host, path), &in_image);
    if let Some(output) = &args.output {
        write(output, &trace::write_list(&report.missing))?;
        let count = report
            .missing
            .iter()
            .filter(|seen| seen.in_sysroot != Some(SysrootEntry::Directory))
            .count();
        let (list, s) = (output.display(), if count == 1 { "" } else { "s" });
        line(&format!(
            "wrote {list}, {count} file{s}; use it with: imgb pack --include-from {list}"
        ));
    }
    match args.json {
        true => print(&format!("{}\n", as_json(&report, ended.code)))?,
        false => print(&as_text(&report, watched, image.is_some()))?,
    }
    Ok(ended.code)
}

fn in_image(args: &TraceArgs, image: &Image) -> Result<(RunOutcome, Vec<Access>), Failure> {
    let (start, options) = started(&args.start, &args.args, image)?;
    run::watch(&image.merged(), &start, &options).map_err(failure)
}

/// Runs a command of this machine, with the caller's own rights.
fn here(args: &TraceArgs) -> Result<(RunOutcome, Vec<Access>), Failure> {
    if args.args.is_empty() {
        let hint = "name an image, or a command behind --: imgb trace -- ./app";
        return Err(Failure::new(
            ErrorKind::Usage,
            "there is nothing to run".into(),
            Vec::new(),
            Some(hint),
        ));
    }
    let only_for_images = [
        ("--entrypoint", args.start.entrypoint.is_some()),
        ("--workdir", args.start.workdir.is_some()),
        ("--user", args.start.user.is_some()),
        ("--memory", args.start.memory.is_some()),
        ("--platform", args.platform.is_some()),
    ];
    if let Some((option, _)) = only_for_images.iter().find(|(_, given)| *given) {
        return Err(Failure::usage(format!(
            "{option} is for an image; a command runs as it would here"
        )));
    }
    let mut env: std::collections::BTreeMap<_, _> = std::env::vars_os().collect();
    env.extend(args.start.env.iter().filter_map(|entry| pair(entry)));
    let command = HostCommand {
        args: args.args.iter().map(Into::into).collect(),
        env: env.into_iter().collect(),
        workdir: here_is()?,
    };
    let timeout = args.start.timeout.as_deref().map(duration).transpose()?;
    run::watch_command(&command, timeout, &scratch()).map_err(failure)
}

fn here_is() -> Result<PathBuf, Failure> {
    std::env::current_dir().map_err(|error| {
        Failure::local(format!("cannot tell the working directory: {}", chain(&error)))
    })
}

/// A log is read relative to where imgb stands.
fn read_log(path: &Path) -> Result<Vec<Access>, Failure> {
    let shown = path.display();
    let fault =
        |kind, why: String| Failure::new(kind, format!("`{shown}`: {why}"), Vec::new(), None);
    let cwd = here_is()?;
    let read = match path == Path::new("-") {
        true => trace::read_strace(io::stdin().lock(), cwd.as_os_str().as_bytes()),
        false => {
            let file =
                fs_err::File::open(path).map_err(|error| fault(ErrorKind::Input, chain(&error)))?;
            trace::read_strace(BufReader::new(file), cwd.as_os_str().as_bytes())
        }
    };
    read.map_err(|error| fault(error.kind(), chain(&error)))
}

/// What the sysroot has at `path`. A path with `..` goes through links that a name cannot tell:
/// where it leads is its name then.
fn there(host: &HostView, path: &[u8]) -> Option<(Vec<u8>, SysrootEntry)> {
    let found = host.find(path).ok()?;
    let there = match found.kind {
        FoundKind::File(len) => SysrootEntry::File(len),
        FoundKind::Directory => SysrootEntry::Directory,
        FoundKind::Other => return None,
    };
    let climbs = path.split(|&byte| byte == b'/').any(|part| part == b"..");
    let name = if climbs { found.path } else { ImagePath::new(path).ok()? };
    Some((name.as_bytes().to_vec(), there))
}

/// The list appears whole or not at all.
fn write(output: &Path, list: &[u8]) -> Result<(), Failure> {
    let dir = output.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || {
        let mut file =
            tempfile::Builder::new().prefix(".imgb-").permissions(list_mode()).tempfile_in(dir)?;
        file.write_all(list)?;
        file.as_file().sync_all()?;
        file.persist(output).map(drop).map_err(|error| error.error)
    };
    write().map_err(|error| {
        Failure::new(
            ErrorKind::Local,
            format!("cannot write `{}`: {}", output.display(), chain(&error)),
            Vec::new(),
            None,
        )
    })
}

fn list_mode() -> std::fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o644)
}

fn as_text(report: &Report, watched: Watched, has_image: bool) -> String {
    let mut text = String::new();
    if watched == Watched::InImage || has_image {
        let _ = writeln!(text, "opened: {}", report.opened.len());
        for seen in &report.opened {
            let _ = writeln!(text, "  {}", escape(&seen.path));
        }
        let what = match &report.missing[..] {
            [] => "nothing that the sysroot has was missing",
            _ => "missing in the image, and there in the sysroot:",
        };
        let _ = writeln!(text, "\n{what}");
    } else {
        let _ = writeln!(text, "read: {}", report.missing.len());
    }
    for seen in &report.missing {
        let size = match seen.in_sysroot {
            Some(SysrootEntry::File(len)) => bytes(len),
            _ => "directory".into(),
        };
        let by = escape(seen.by.as_bytes());
        let _ = writeln!(
            text,
            "  --include {}  ({size}, {} by {by})",
            quoted(&seen.path),
            verb(seen.call)
        );
    }
    text
}

fn verb(call: Call) -> &'static str {
    match call {
        Call::Look => "looked for",
        Call::Open | Call::Create => "opened",
        Call::Execute => "executed",
    }
}

/// A path as a shell takes it.
fn quoted(path: &[u8]) -> String {
    shell_words::quote(&escape(path)).into_owned()
}

fn as_json(report: &Report, code: u8) -> Value {
    let list = |all: &[TracedFile]| all.iter().map(seen).collect::<Vec<_>>();
    json!({
        "exit_code": code,
        "opened": list(&report.opened),
        "missing": list(&report.missing),
    })
}

fn seen(seen: &TracedFile) -> Value {
    let path = escape(&seen.path);
    let (kind, size) = match seen.in_sysroot {
        Some(SysrootEntry::File(len)) => (Some("file"), Some(len)),
        Some(SysrootEntry::Directory) => (Some("directory"), None),
        None => (None, None),
    };
    json!({
        "path": path,
        "how": verb(seen.call),
        "by": seen.by,
        "in_sysroot": kind,
        "size": size,
        "option": format!("--include {}", quoted(&seen.path)),
    })
}
