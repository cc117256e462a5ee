//! The standard streams of a program in a sandbox.
//!
//! A program that has a file open can do more with it than to go on reading or writing: truncate
//! it, rewrite what others appended, change its mode, or leave its root through a directory. A
//! connected socket can be connected elsewhere, outside of the program's network. So a program gets
//! only terminals, `/dev/null` and nameless pipes as they are, and everything else through pipes,
//! which the caller fills and empties.
//!
//! A program opens its own streams again as `/dev/stdout`, for which they have to belong to its
//! user. Nameless pipes for output that are another user's are replaced, too.

use std::{
    fs::File,
    io::{self, IsTerminal as _, PipeReader, PipeWriter, Write as _},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    process::Command,
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::Duration,
};

use rustix::{
    fs::{FileType, Gid, OFlags, Uid},
    io::retry_on_intr,
};

use super::rewind::Rewind;

/// `PIPEFS_MAGIC` (`linux/magic.h`): the file system of pipes that have no name.
const PIPEFS: u64 = 0x5049_5045;

/// How long to wait, after a timeout, until each output is read.
const GRACE: Duration = Duration::from_secs(5);

/// The pipes of a program, and the threads that copy what goes through them.
#[derive(Default)]
pub(super) struct Streams {
    input: Option<Rewind>,
    outputs: Vec<Receiver<io::Result<()>>>,
    /// What the program gets as it is, and its flags (fcntl(2), `F_GETFL`). They belong to the open
    /// file, which others use too: one that does not block any more breaks them.
    flags: Vec<(OwnedFd, OFlags)>,
    /// The program's user and group.
    owner: Option<(Uid, Gid)>,
}

/// How a stream reaches the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Passing {
    AsIs,
    Pipe,
    /// Through a pipe from a file, in which other programs may go on reading.
    PipeFromFile,
}

impl Streams {
    /// Connects the streams of `command` with those of this process, so that a program of the user
    /// and group `owner` can open them again. With `prints_to_stderr` its stdout goes to stderr.
    ///
    /// # Errors
    /// [`io::ErrorKind::IsADirectory`] for a directory; the system's.
    pub(super) fn connect(
        command: &mut Command,
        owner: Option<(u32, u32)>,
        prints_to_stderr: bool,
    ) -> io::Result<Self> {
        let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
        let owner = owner.map(|(uid, gid)| (Uid::from_raw(uid), Gid::from_raw(gid)));
        let mut streams = Self { owner, ..Self::default() };
        for stream in [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()] {
            let flags = rustix::fs::fcntl_getfl(stream)?;
            streams.flags.push((stream.try_clone_to_owned()?, flags));
        }
        let passing = passing(stdin.as_fd())?;
        if passing != Passing::AsIs {
            let (reader, writer) = streams.pipe()?;
            let file = File::from(stdin.as_fd().try_clone_to_owned()?);
            if passing == Passing::PipeFromFile {
                streams.input = Some(Rewind::start(file, reader.try_clone()?, writer)?);
            } else {
                thread::Builder::new().spawn(move || feed(file, writer))?;
            }
            command.stdin(reader);
        }
        let out = if prints_to_stderr { stderr.as_fd() } else { stdout.as_fd() };
        // Two descriptors of one file share a pipe, which keeps the order of what is printed.
        let is_one = is_same_file(out, stderr.as_fd())?;
        let to_out = streams.output(out)?;
        let to_err = match &to_out {
            to_out if is_one => to_out.as_ref().map(PipeWriter::try_clone).transpose()?,
            _ => streams.output(stderr.as_fd())?,
        };
        match to_out {
            Some(writer) => drop(command.stdout(writer)),
            None if prints_to_stderr => drop(command.stdout(stderr)),
            None => {}
        }
        if let Some(writer) = to_err {
            command.stderr(writer);
        }
        Ok(streams)
    }

    /// The pipe through which a program writes to `to`; `None` if it may have `to` itself.
    fn output(&mut self, to: BorrowedFd<'_>) -> io::Result<Option<PipeWriter>> {
        if passing(to)? == Passing::AsIs && !self.replaces(to)? {
            return Ok(None);
        }
        let (reader, writer) = self.pipe()?;
        let to = File::from(to.try_clone_to_owned()?);
        let (sender, done) = mpsc::channel();
        let work = move || {
            // Without a receiver, no one waits any more.
            let _ = sender.send(copy(OwnedFd::from(reader).into(), to));
        };
        thread::Builder::new().spawn(work)?;
        self.outputs.push(done);
        Ok(Some(writer))
    }

    /// Whether `to`, which the program may have as it is, is a pipe that it could not open again.
    fn replaces(&self, to: BorrowedFd<'_>) -> io::Result<bool> {
        let stat = retry_on_intr(|| rustix::fs::fstat(to))?;
        let is_pipe = FileType::from_raw_mode(stat.st_mode) == FileType::Fifo;
        // The program itself deals with one that does not block, as its caller wants.
        let blocks = !rustix::fs::fcntl_getfl(to)?.contains(OFlags::NONBLOCK);
        Ok(is_pipe && blocks && self.owner.is_some_and(|(uid, _)| stat.st_uid != uid.as_raw()))
    }

    /// A pipe that belongs to the program's user.
    fn pipe(&self) -> io::Result<(PipeReader, PipeWriter)> {
        let (reader, writer) = io::pipe()?;
        if let Some((uid, gid)) = self.owner {
            retry_on_intr(|| rustix::fs::fchown(&reader, Some(uid), Some(gid)))?;
        }
        Ok((reader, writer))
    }

    /// Restores the streams' flags, and waits until everything that the program has printed is
    /// written: after a timeout, no longer than [`GRACE`]. Call it when no process of the program
    /// is left.
    ///
    /// # Errors
    /// If its input cannot be read or its output not be written.
    pub(super) fn finish(self, is_timeout: bool) -> io::Result<()> {
        for (stream, flags) in self.flags {
            let _ = rustix::fs::fcntl_setfl(stream, flags);
        }
        self.input.map_or(Ok(()), Rewind::finish)?;
        for output in self.outputs {
            let lost = || Err(io::ErrorKind::Other.into());
            match is_timeout {
                false => output.recv().unwrap_or_else(|_| lost())?,
                true => match output.recv_timeout(GRACE) {
                    Ok(done) => done?,
                    Err(RecvTimeoutError::Disconnected) => lost()?,
                    Err(RecvTimeoutError::Timeout) => {
                        let text = "the end of the program's output is lost: it was not read";
                        let _ = writeln!(io::stderr(), "warning: {text}");
                    }
                },
            }
        }
        Ok(())
    }
}

fn passing(stream: BorrowedFd<'_>) -> io::Result<Passing> {
    let stat = retry_on_intr(|| rustix::fs::fstat(stream))?;
    let is_null = || stat.st_rdev == rustix::fs::makedev(1, 3);
    Ok(match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => return Err(io::ErrorKind::IsADirectory.into()),
        FileType::RegularFile => Passing::PipeFromFile,
        FileType::Fifo if file_system(stream)? == PIPEFS => Passing::AsIs,
        FileType::CharacterDevice if stream.is_terminal() || is_null() => Passing::AsIs,
        _ => Passing::Pipe,
    })
}

fn is_same_file(one: BorrowedFd<'_>, other: BorrowedFd<'_>) -> io::Result<bool> {
    let id = |stream: BorrowedFd<'_>| {
        let stat = retry_on_intr(|| rustix::fs::fstat(stream))?;
        io::Result::Ok((stat.st_dev, stat.st_ino))
    };
    Ok(id(one)? == id(other)?)
}

/// The type of the file system that holds a stream (statfs(2), `f_type`).
fn file_system(stream: BorrowedFd<'_>) -> io::Result<u64> {
    Ok(retry_on_intr(|| rustix::fs::fstatfs(stream))?.f_type as u64)
}

/// Copies until the source ends, or until nobody reads what is copied: as any writer into a pipe,
/// the program gets SIGPIPE then.
fn copy(mut from: File, mut to: File) -> io::Result<()> {
    match io::copy(&mut from, &mut to) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}

/// As [`copy`], for an input that may never end: no one waits for this thread.
fn feed(from: File, to: PipeWriter) {
    if let Err(error) = copy(from, OwnedFd::from(to).into()) {
        let _ = writeln!(io::stderr(), "warning: cannot read the standard input: {error}");
    }
}
