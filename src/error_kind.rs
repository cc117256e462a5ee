//! What an error means to the caller, whatever its type. `cli` makes an exit code of it.

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
    /// Content does not match the digest or size that is recorded for it.
    Digest,
    /// `imgb run` or `imgb trace` failed before the program was started.
    Runner,
    /// The program to run does not exist in the image.
    ProgramNotFound,
    /// The reader of stdout has stopped reading, as `head` does.
    ClosedPipe,
}
