//! The command lines of container engines: images out of their stores and into them.
//!
//! The commands `docker` and `podman` take the same arguments for this. They find their daemon,
//! store and credentials by their own configuration and environment, which is left to them.

use std::{
    fs::File,
    io::{self, Read, Write},
    process::{Child, Command, Stdio},
    thread::{self, JoinHandle},
};

use crate::error_kind::ErrorKind;

/// Bytes of a line of a command's messages that are kept.
const MAX_MESSAGE: usize = 4 << 10;

/// Bytes of a command's output that are read.
const MAX_OUTPUT: u64 = 16 << 20;

/// Why an engine did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The command is not on PATH.
    #[error("`{command}` is not installed, or not on PATH")]
    Missing {
        /// The command.
        command: &'static str,
    },
    /// The command failed.
    #[error("`{command} {action}` failed: {}", crate::path::escape(message.as_bytes()))]
    Failed {
        /// The command.
        command: &'static str,
        /// Its first argument.
        action: &'static str,
        /// The last line of what it said, or its exit status.
        message: String,
    },
    /// The system refused to start the command or to talk to it.
    #[error("cannot run `{command} {action}`")]
    Io {
        /// The command.
        command: &'static str,
        /// Its first argument.
        action: &'static str,
        /// The system's reason.
        source: io::Error,
    },
}

impl EngineError {
    /// What the error means to the caller.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Failed { action: "save", .. } => ErrorKind::Input,
            Self::Missing { .. } | Self::Failed { .. } | Self::Io { .. } => ErrorKind::Local,
        }
    }
}

/// Writes the archive of the image `name` to `into`.
///
/// # Errors
/// [`EngineError`], with what the command said.
pub fn save(command: &'static str, name: &str, into: &File) -> Result<(), EngineError> {
    let call = Call { command, action: "save" };
    let into = into.try_clone().map_err(|source| call.io(source))?;
    call.start(&["save", name], Stdio::null(), into.into())?.finish()
}

/// Hands an archive, which `write` writes, to the engine. Returns what the command printed.
///
/// # Errors
/// [`EngineError`], with what the command said; the error of `write`, unless the command failed.
pub fn load<E: From<EngineError>>(
    command: &'static str,
    write: impl FnOnce(&mut dyn Write) -> Result<(), E>,
) -> Result<String, E> {
    let call = Call { command, action: "load" };
    let mut running = call.start(&["load"], Stdio::piped(), Stdio::piped())?;
    let stdin = running.child.stdin.take();
    let stdout = running.child.stdout.take();
    let read = move || stdout.map(|stdout| bounded(stdout, MAX_OUTPUT)).unwrap_or_default();
    let output = aside(&mut running.child, read).map_err(|source| call.io(source))?;
    // The error of a pipe that the command closed early is explained by what it says.
    let written = stdin.map_or(Ok(()), |mut stdin| write(&mut stdin));
    running.finish()?;
    written?;
    Ok(output.join().unwrap_or_default())
}

/// What `arguments` print, the first of which is `action`; `None` if the command fails, as for an
/// image that the store does not have.
///
/// # Errors
/// If the command cannot be started.
pub fn ask(
    command: &'static str,
    action: &'static str,
    arguments: &[&str],
) -> Result<Option<String>, EngineError> {
    let call = Call { command, action };
    let arguments: Vec<&str> = std::iter::once(action).chain(arguments.iter().copied()).collect();
    let mut running = call.start(&arguments, Stdio::null(), Stdio::piped())?;
    let text = running.child.stdout.take().map(|out| bounded(out, MAX_OUTPUT)).unwrap_or_default();
    match running.finish() {
        Ok(()) => Ok(Some(text)),
        Err(EngineError::Failed { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A command and its first argument, for messages.
#[derive(Clone, Copy)]
struct Call {
    command: &'static str,
    action: &'static str,
}

impl Call {
    fn io(self, source: io::Error) -> EngineError {
        EngineError::Io { command: self.command, action: self.action, source }
    }

    fn start(
        self,
        arguments: &[&str],
        stdin: Stdio,
        stdout: Stdio,
    ) -> Result<Running, EngineError> {
        let child = Command::new(self.command)
            .args(arguments)
            .stdin(stdin)
            .stdout(stdout)
            .stderr(Stdio::piped())
            .spawn();
        let mut child = child.map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => EngineError::Missing { command: self.command },
            _ => self.io(source),
        })?;
        let stderr = child.stderr.take();
        let said = aside(&mut child, move || stderr.map(last_line).unwrap_or_default());
        let said = said.map_err(|source| self.io(source))?;
        Ok(Running { call: self, child, said })
    }
}

/// A command that was started. Its messages are read from the start: podman prints lines for each
/// layer, and would wait for a reader while its input waits for it.
struct Running {
    call: Call,
    child: Child,
    said: JoinHandle<String>,
}

impl Running {
    /// Waits for the command. Its last line is why it failed.
    fn finish(mut self) -> Result<(), EngineError> {
        let status = self.child.wait().map_err(|source| self.call.io(source))?;
        if status.success() {
            return Ok(());
        }
        let said = self.said.join().unwrap_or_default();
        let message = if said.is_empty() { status.to_string() } else { said };
        let Call { command, action } = self.call;
        Err(EngineError::Failed { command, action, message })
    }
}

/// Reads a stream of `child` in a thread of its own. Where the system refuses one, ends the child.
fn aside(
    child: &mut Child,
    read: impl FnOnce() -> String + Send + 'static,
) -> io::Result<JoinHandle<String>> {
    thread::Builder::new().spawn(read).inspect_err(|_| {
        let _ = child.kill();
        let _ = child.wait();
    })
}

/// The last line of a stream that is not empty, trimmed. The stream is read to its end.
fn last_line(mut stream: impl Read) -> String {
    let (mut last, mut line, mut buffer) = (Vec::new(), Vec::new(), [0; 4096]);
    loop {
        let read = match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        for &byte in buffer.iter().take(read) {
            match byte {
                b'\n' if line.trim_ascii().is_empty() => line.clear(),
                b'\n' => last = std::mem::take(&mut line),
                _ if line.len() < MAX_MESSAGE => line.push(byte),
                _ => {}
            }
        }
    }
    let last = if line.trim_ascii().is_empty() { last } else { line };
    String::from_utf8_lossy(last.trim_ascii()).into_owned()
}

/// The first `limit` bytes of a stream as text; the rest is read and forgotten, so that its writer
/// does not block.
fn bounded(mut stream: impl Read, limit: u64) -> String {
    let mut bytes = Vec::new();
    let _ = stream.by_ref().take(limit).read_to_end(&mut bytes);
    let _ = io::copy(&mut stream, &mut io::sink());
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_says_why() {
        for (said, wanted) in [
            ("", ""),
            ("one", "one"),
            ("one\ntwo\n \n\n", "two"),
            ("one\n\ttwo ", "two"),
            (&*("x".repeat(100_000) + "\nwhy\n"), "why"),
        ] {
            assert_eq!(last_line(said.as_bytes()), wanted);
        }
        assert_eq!(last_line(io::repeat(b'x').take(1 << 20)).len(), MAX_MESSAGE);
    }
}
