//! How a tracer asks the caller for files that a watched program's image lacks: named pipes, since
//! the tracer has no descriptors of the caller.
//!
//! A request is the call, the length of the path (16 bits, in this machine's byte order) and the
//! path. An answer is one byte.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs::File,
    hash::{BuildHasher as _, RandomState},
    io::{self, Read as _, Write as _},
    path::Path,
};

use rustix::{
    fs::{CWD, FileType, Gid, Mode, OFlags, Uid},
    io::retry_on_intr,
};
use serde::{Deserialize, Serialize};

use crate::trace::Call;

/// Paths that are asked for, and their bytes. What is asked for beyond that is not served.
const MAX_REQUESTS: usize = 1 << 18;
const MAX_BYTES: usize = 32 << 20;

const CALLS: [Call; 4] = [Call::Look, Call::List, Call::Open, Call::Execute];

/// The paths of the named pipes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Pipes {
    requests: OsString,
    answers: OsString,
}

/// The tracer's side.
pub(super) struct Requests {
    requests: File,
    answers: File,
    /// Hashes of what was asked for. What was there or not once is not asked for again: the
    /// program may have removed it.
    known: BTreeSet<u64>,
    keys: RandomState,
    bytes: usize,
}

impl Requests {
    /// Opens the pipes that [`Answers::new`] has made.
    pub(super) fn open(pipes: &Pipes) -> io::Result<Self> {
        let requests = open(&pipes.requests, OFlags::WRONLY)?;
        let answers = open(&pipes.answers, OFlags::RDONLY)?;
        let (known, keys) = (BTreeSet::new(), RandomState::new());
        Ok(Self { requests, answers, known, keys, bytes: 0 })
    }

    /// Never asks for a file that the program makes itself.
    pub(super) fn leave(&mut self, path: &[u8]) {
        let made = CALLS.map(|call| self.keys.hash_one((call, path)));
        self.known.extend(made);
    }

    /// Asks for a file, and waits until it is served, if that is so.
    pub(super) fn ask(&mut self, call: Call, path: &[u8]) -> bool {
        let kind = CALLS.iter().position(|known| *known == call);
        let is_known = kind.is_none() || !self.known.insert(self.keys.hash_one((call, path)));
        if is_known || self.known.len() > MAX_REQUESTS || self.bytes > MAX_BYTES {
            return false;
        }
        self.bytes += path.len();
        let (Some(kind), Ok(len)) = (kind, u16::try_from(path.len())) else { return false };
        let mut request = vec![u8::try_from(kind).unwrap_or_default()];
        request.extend(len.to_ne_bytes());
        request.extend(path);
        let mut answer = [0];
        // Without an answer the program goes on as if nothing could be served.
        let asked = self.requests.write_all(&request);
        asked.and_then(|()| self.answers.read_exact(&mut answer)).is_ok() && answer == [1]
    }
}

/// The caller's side.
pub(super) struct Answers {
    requests: File,
    answers: File,
}

/// Keeps [`Answers::serve`] waiting for requests until it is dropped.
pub(super) struct KeepOpen(#[expect(dead_code, reason = "dropping it closes the pipe")] File);

impl Answers {
    /// Makes the pipes in the directory `dir`, for the user `owner` or else the caller.
    pub(super) fn new(
        dir: &Path,
        owner: Option<(u32, u32)>,
    ) -> io::Result<(Self, KeepOpen, Pipes)> {
        let [requests, answers] = ["requests", "answers"].map(|name| dir.join(name));
        for path in [&requests, &answers] {
            let mode = Mode::from_raw_mode(0o600);
            retry_on_intr(|| rustix::fs::mknodat(CWD, path, FileType::Fifo, mode, 0))?;
            if let Some((uid, gid)) = owner {
                let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
                retry_on_intr(|| rustix::fs::chown(path, Some(uid), Some(gid)))?;
            }
        }
        // Neither waits for the other side: fifo(7). A tracer that is killed in the middle of a
        // request does not keep the reader waiting, since the writer here is closed after it.
        let reader = open(requests.as_os_str(), OFlags::RDONLY | OFlags::NONBLOCK)?;
        rustix::fs::fcntl_setfl(&reader, OFlags::empty())?;
        let writer = open(requests.as_os_str(), OFlags::WRONLY)?;
        let both = open(answers.as_os_str(), OFlags::RDWR)?;
        let pipes = Pipes { requests: requests.into(), answers: answers.into() };
        Ok((Self { requests: reader, answers: both }, KeepOpen(writer), pipes))
    }

    /// Answers requests with `answer` until no process can make any.
    pub(super) fn serve(mut self, mut answer: impl FnMut(Call, &[u8]) -> bool) {
        let mut header = [0; 3];
        while self.requests.read_exact(&mut header).is_ok() {
            let [kind, len0, len1] = header;
            let mut path = vec![0; usize::from(u16::from_ne_bytes([len0, len1]))];
            let Some(call) = CALLS.get(usize::from(kind)) else { break };
            if self.requests.read_exact(&mut path).is_err() {
                break;
            }
            if self.answers.write_all(&[u8::from(answer(*call, &path))]).is_err() {
                break;
            }
        }
    }
}

fn open(path: impl AsRef<Path>, flags: OFlags) -> io::Result<File> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(retry_on_intr(|| rustix::fs::open(path.as_ref(), flags, Mode::empty()))?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_is_asked_for_once_and_the_end_of_the_tracer_ends_the_server() {
        let dir = tempfile::tempdir().unwrap();
        let (server, keep, pipes) = Answers::new(dir.path(), None).unwrap();
        let asked = std::thread::spawn(move || {
            let mut asked = Vec::new();
            server.serve(|call, path| {
                asked.push((call, path.to_vec()));
                path.ends_with(b"x")
            });
            asked
        });
        let mut client = Requests::open(&pipes).unwrap();
        assert!(client.ask(Call::Open, b"/x") && !client.ask(Call::Open, b"/x"));
        assert!(!client.ask(Call::Look, b"/y\n") && !client.ask(Call::Create, b"/x"));
        client.leave(b"/made/x");
        assert!(!client.ask(Call::Open, b"/made/x"));
        let long = [b'x'; 4095];
        assert!(client.ask(Call::List, &long));
        // A tracer that is killed while it asks.
        client.requests.write_all(&[2, 9, 0, b'/']).unwrap();
        drop((client, keep));
        let wanted = [
            (Call::Open, b"/x".to_vec()),
            (Call::Look, b"/y\n".to_vec()),
            (Call::List, long.to_vec()),
        ];
        assert_eq!(asked.join().unwrap(), wanted);
    }
}
