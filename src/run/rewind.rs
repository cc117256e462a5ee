//! A regular file as the standard input of a program: it is read through a pipe, and what the
//! program has not read of it is left for the next reader, as without the pipe. Shell scripts rely
//! on that in `while read` loops.

use std::{
    fs::File,
    io::{self, PipeReader, PipeWriter, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::FileExt as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

/// Bytes that are read at once.
const CHUNK: usize = 64 << 10;

/// A thread that copies a file into a pipe without moving the file's offset.
pub(super) struct Rewind {
    file: File,
    /// The offset at which the thread began.
    start: u64,
    unread: PipeReader,
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<io::Result<u64>>,
}

impl Rewind {
    /// Starts to copy `file` into `writer`. `unread` is the other end of the pipe.
    pub(super) fn start(
        mut file: File,
        unread: PipeReader,
        writer: PipeWriter,
    ) -> io::Result<Self> {
        let start = file.stream_position()?;
        let is_over = Arc::new(AtomicBool::new(false));
        let (source, flag) = (file.try_clone()?, Arc::clone(&is_over));
        let work = move || copy(&source, start, writer, &flag);
        let thread = thread::Builder::new().spawn(work)?;
        Ok(Self { file, start, unread, is_over, thread })
    }

    /// Moves the file's offset to the end of what the program has read.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.is_over.store(true, Ordering::SeqCst);
        // It also wakes the thread, which may wait for the pipe to have room.
        let (mut buffer, mut left) = (vec![0; CHUNK], 0);
        loop {
            match self.unread.read(&mut buffer)? {
                0 => break,
                count => left += count as u64,
            }
        }
        let copied = self.thread.join().unwrap_or_else(|_| Err(io::ErrorKind::Other.into()))?;
        let read = self.start + copied.saturating_sub(left);
        self.file.seek(SeekFrom::Start(read)).map(drop)
    }
}

/// Copies from the offset `start` on; returns the number of bytes.
fn copy(file: &File, start: u64, mut to: PipeWriter, is_over: &AtomicBool) -> io::Result<u64> {
    let (mut buffer, mut copied) = (vec![0; CHUNK], 0);
    while !is_over.load(Ordering::SeqCst) {
        let part = match file.read_at(&mut buffer, start + copied) {
            Ok(count) => buffer.get(..count).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if part.is_empty() {
            break;
        }
        to.write_all(part)?;
        copied += part.len() as u64;
    }
    Ok(copied)
}
