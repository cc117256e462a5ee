//! `imgb run`: the image's program, once, in a throw-away copy.

use std::{ffi::OsString, time::Duration};

use super::{
    check,
    image_args::{RunArgs, StartArgs},
    pack::scratch,
    progress::line,
    report::{Failure, chain},
    variable,
};
use crate::{
    check::Start,
    error_kind::ErrorKind,
    oci::Image,
    run::{self, RunError, Runtime},
};

/// The exit code is the program's.
pub(super) fn run(args: &RunArgs) -> Result<u8, Failure> {
    let image = check::open(&args.image).map_err(|failure| failure.with_kind(ErrorKind::Runner))?;
    let (start, limits) = started(&args.start, &args.args, &image)?;
    let runtime = args.runtime.parse().map_err(Failure::usage)?;
    let options = run::RunOptions { read_only: args.read_only, runtime, ..limits };
    let tree = image.merged();
    let ended = run::run(&tree, &start, &options).map_err(failure)?;
    for note in &ended.notes {
        line(&format!("warning: {note}"));
    }
    Ok(ended.code)
}

/// How `image` is started: as it says itself, but for `args`; with `words` instead of its
/// arguments, if there are any.
pub(super) fn started(
    args: &StartArgs,
    words: &[String],
    image: &Image,
) -> Result<(Start, run::RunOptions), Failure> {
    let mut start = Start::of_image(image);
    if let Some(entrypoint) = &args.entrypoint {
        start.entrypoint = shell_words::split(entrypoint).map_err(Failure::usage)?;
        start.cmd.clear();
    }
    start.user = args.user.clone().or(start.user);
    start.workdir = args.workdir.clone().or(start.workdir);
    let options = run::RunOptions {
        args: words.to_vec(),
        env: args.env.iter().filter_map(|entry| pair(entry)).collect(),
        memory: args.memory.as_deref().map(size).transpose()?,
        timeout: args.timeout.as_deref().map(duration).transpose()?,
        read_only: false,
        scratch: scratch(),
        runtime: Runtime::Own,
    };
    Ok((start, options))
}

pub(super) fn failure(error: RunError) -> Failure {
    let details = match &error {
        RunError::NotFound(_, searched) => vec![format!("searched: {}", searched.join(", "))],
        _ => Vec::new(),
    };
    let hint = match &error {
        RunError::NoCommand => Some("name one: imgb run IMAGE -- PROGRAM ARG..."),
        RunError::NoRuntime(_) => Some("leave `--runtime` out: imgb runs the program itself"),
        RunError::CannotWatch => {
            Some("record it with `strace -f -y -e trace=%file -o LOG` and use `--from-strace LOG`")
        }
        _ => None,
    };
    Failure::new(error.kind(), chain(&error), details, hint)
}

/// `NAME=VALUE`, or `NAME` alone for this process's own value, which may be none.
pub(super) fn pair(entry: &str) -> Option<(OsString, OsString)> {
    match entry.split_once('=') {
        Some((name, value)) => Some((name.into(), value.into())),
        None => Some((entry.into(), variable(entry)?)),
    }
}

/// Bytes, with `k`, `m` or `g` for powers of 1024, as docker has them.
fn size(text: &str) -> Result<u64, Failure> {
    let wrong = || {
        Failure::usage(format!(
            "--memory `{text}`: write a number of bytes, with k, m or g behind it"
        ))
    };
    let lower = text.to_ascii_lowercase();
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match lower.get(digits.len()..).map(|unit| unit.trim_end_matches('b')) {
        Some("") => 1,
        Some("k") => 1 << 10,
        Some("m") => 1 << 20,
        Some("g") => 1 << 30,
        _ => return Err(wrong()),
    };
    digits.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)).ok_or_else(wrong)
}

/// Seconds, with `s`, `m` or `h` behind them.
pub(super) fn duration(text: &str) -> Result<Duration, Failure> {
    let wrong =
        || Failure::usage(format!("--timeout `{text}`: write seconds, such as 10, 0.5s, 2m or 1h"));
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match text.get(digits.len()..) {
        Some("" | "s") => 1.0,
        Some("m") => 60.0,
        Some("h") => 3600.0,
        _ => return Err(wrong()),
    };
    let seconds = digits.parse::<f64>().ok().filter(|seconds| *seconds > 0.0).ok_or_else(wrong)?;
    Duration::try_from_secs_f64(seconds * factor).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_people_write_them() {
        for (text, wanted) in [("7m", 7 << 20), ("1G", 1 << 30), ("512", 512), ("4kb", 4096)] {
            assert_eq!(size(text).ok(), Some(wanted), "{text}");
        }
        assert!(["", "m", "-1", "1x", "99999999999g"].iter().all(|text| size(text).is_err()));
        for (text, wanted) in [("10", 10_000), ("0.5s", 500), ("2m", 120_000)] {
            assert_eq!(duration(text).ok(), Some(Duration::from_millis(wanted)), "{text}");
        }
        assert!(["", "0", "-1", "1d", "nan", "1e400"].iter().all(|text| duration(text).is_err()));
    }
}
