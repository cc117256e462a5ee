//! What an error means to the caller, whatever its type: its kind, of which `cli` makes an exit
//! code, and its text.

use std::{error::Error, io, iter};

/// The kinds of error. Each error type gives its own with a method `kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The inputs can be read, but no working image can be made of them: a library is missing, two
    /// inputs disagree.
    Build,
    /// The command line, an environment variable, a Buildfile or a file of rules is wrong.
    Usage,
    /// An input does not exist or cannot be read.
    Input,
    /// An input is malformed or hostile, or exceeds a limit.
    Refused,
    /// An output cannot be written, or this machine lacks a resource such as disk space.
    Local,
    /// A registry or the network failed, or a registry refuses.
    Registry,
    /// Content does not match the digest or size that is recorded for it.
    Digest,
    /// `imgb run` or `imgb trace` failed before the program was started.
    Runner,
    /// The program to run does not exist in the image.
    ProgramNotFound,
    /// The reader of stdout has stopped reading, as `head` does.
    ClosedPipe,
}

/// `error` and what it comes from, the nearest first: its causes, and the errors that those of
/// reading carry.
pub fn causes<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    iter::successors(Some(error), |&error| {
        let carried = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        match carried {
            Some(carried) => Some(carried),
            None => error.source(),
        }
    })
}

/// `error` and its causes, on one line.
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        source = cause.source();
        // Libraries wrap the system's errors in errors that repeat the path.
        let is_wrapper =
            cause.downcast_ref::<io::Error>().is_some_and(|io| io.raw_os_error().is_none());
        if is_wrapper && source.is_some() {
            continue;
        }
        let cause = system_reason(cause);
        if !text.ends_with(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// The message of `error` without the system's number.
pub fn system_reason(error: &dyn Error) -> String {
    let text = error.to_string();
    text.split(" (os error ").next().unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read `a`")]
    struct Outer(#[source] io::Error);

    #[test]
    fn causes_follow_without_repetition_and_numbers() {
        let missing = || io::Error::from_raw_os_error(2);
        let missing_text = "No such file or directory";
        assert_eq!(with_causes(&Outer(missing())), format!("cannot read `a`: {missing_text}"));
        let wrapped = Outer(io::Error::other(Outer(missing())));
        assert_eq!(with_causes(&wrapped), format!("cannot read `a`: {missing_text}"));
        assert_eq!(with_causes(&Outer(io::Error::other("cannot read `a`"))), "cannot read `a`");
    }
}
