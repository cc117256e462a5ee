//! Uploading blobs: existence check, mount, one PUT; chunks only where a server asks for them; and
//! going on where a connection broke.
//!
//! A request that failed is never just repeated, since the server may have kept a part of its
//! bytes: it is asked how many it has, and sent the rest. A server that does not know the session
//! any more gets a new one.

mod session;

use std::{
    cell::Cell,
    io::{self, Read as _},
};

use ureq::http::Method;

use super::{
    blob::PROGRESS,
    client::Repository,
    error::RegistryError,
    exchange::{Call, Content, NoResponse, Unreadable},
    http::Response,
    retry::Failure,
    url::Url,
};
use crate::digest::Digest;
use session::Saved;

/// The size of the first chunk where a server refuses the whole, and of the smallest chunk.
const MAX_CHUNK: u64 = 32 << 20;
const MIN_CHUNK: u64 = 1 << 20;
/// Sessions that a server may lose before the upload is given up.
const MAX_LOSSES: u32 = 5;
/// Sessions of smaller blobs are not noted for later processes.
const NOTED: u64 = 8 << 20;

/// A blob to be uploaded, which can be read more than once and from any offset.
pub struct Source<'a> {
    /// The SHA-256 of the bytes.
    pub digest: Digest,
    /// The number of bytes.
    pub size: u64,
    /// Opens the bytes from an offset on.
    pub open: &'a dyn Fn(u64) -> io::Result<Box<dyn io::Read>>,
    /// Another repository of the same registry that may have the blob.
    pub mount_from: Option<&'a str>,
}

/// How a blob came to be in a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Uploaded {
    /// It was there.
    Existed,
    /// The registry took it from another of its repositories.
    Mounted,
    /// It was sent. Where connections broke, more bytes were sent than it has.
    Sent {
        /// Bytes that were handed to the network.
        bytes: u64,
    },
}

/// An upload that a server has begun.
struct Session {
    url: Url,
    /// Bytes that the server has.
    offset: u64,
    /// The least size of a chunk, if the server says it (`OCI-Chunk-Min-Length`).
    min_chunk: Option<u64>,
}

/// What became of one request of an upload.
enum Step {
    /// The server has the blob.
    Done,
    /// The server has taken a chunk.
    Next(Session),
    /// The server has to be asked how much it has.
    Broken(Failure),
    /// The server does not know the session.
    Lost(RegistryError),
    /// The server takes smaller requests only.
    TooLarge(RegistryError),
}

/// One blob on its way.
struct Upload<'a> {
    repository: &'a Repository,
    source: &'a Source<'a>,
    progress: &'a dyn Fn(u64),
    /// The size of chunks; `None` for all that is left in one request.
    chunk: Option<u64>,
    /// The least size of a chunk (`OCI-Chunk-Min-Length`).
    min_chunk: u64,
    /// Bytes handed to the network, over all requests, and in the current one.
    sent: Cell<u64>,
    current: Cell<u64>,
    saved: Option<Saved>,
}

impl std::fmt::Debug for Source<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {} bytes", self.digest, self.size)
    }
}

impl Repository {
    /// Brings a blob into the repository, by the least work that does it, and checks that it is
    /// there. `progress` is told how many of the blob's bytes have been sent; the number falls
    /// where a connection broke.
    ///
    /// # Errors
    /// If the registry does not take the blob, or the source cannot be read.
    pub fn upload(
        &self,
        source: &Source<'_>,
        progress: &dyn Fn(u64),
    ) -> Result<Uploaded, RegistryError> {
        if self.has_blob(source.digest)? {
            return Ok(Uploaded::Existed);
        }
        let mut first = None;
        if let Some(from) = source.mount_from.filter(|from| *from != self.name) {
            match self.mount(source.digest, from) {
                Ok(None) => return Ok(Uploaded::Mounted),
                // The server did not mount, and has begun a session instead.
                Ok(session) => first = session,
                // Whatever it says, the blob can be sent.
                Err(_) => {}
            }
        }
        let upload = Upload {
            repository: self,
            source,
            progress,
            chunk: self.client.inner.chunk(&self.registry),
            min_chunk: 0,
            sent: Cell::new(0),
            current: Cell::new(0),
            saved: (source.size >= NOTED).then(|| Saved::of(self, source.digest)).flatten(),
        };
        let bytes = upload.run(first)?;
        if !self.has_blob(source.digest)? {
            let why = "it is not there after it was sent".into();
            let host = self.registry.clone();
            return Err(RegistryError::Mismatch { host, digest: source.digest, why });
        }
        Ok(Uploaded::Sent { bytes })
    }

    /// Asks the registry to take a blob from its repository `from`; `None` if it has done so.
    fn mount(&self, digest: Digest, from: &str) -> Result<Option<Session>, RegistryError> {
        let mut call = self.begin_call(digest)?;
        call.action = format!("mount the blob {digest} of {from} in {}", self.name);
        call.access.from = Some(from.to_owned());
        let mount = call.url.with_query("mount", &digest.to_string());
        call.url = mount.with_query("from", from);
        let response = self.call(&call)?;
        match response.status {
            201 if self.has_blob(digest)? => Ok(None),
            202 => self.session(&call, &response).map(Some),
            _ => Err(self.status_error(&call, response)),
        }
    }

    fn begin_call<'a>(&self, digest: Digest) -> Result<Call<'a>, RegistryError> {
        Ok(Call {
            action: format!("store the blob {digest} in {}", self.name),
            method: Method::POST,
            url: self.url("blobs/uploads/")?,
            access: self.access(true),
            headers: Vec::new(),
            content: Content::Bytes(&[]),
        })
    }

    fn session(&self, call: &Call<'_>, response: &Response) -> Result<Session, RegistryError> {
        let url = self.location(call, &call.url, response)?;
        Ok(Session { url, offset: received(response), min_chunk: min_chunk(response) })
    }
}

impl Upload<'_> {
    /// Sends the blob. Returns the number of bytes handed to the network.
    fn run(mut self, first: Option<Session>) -> Result<u64, RegistryError> {
        let mut attempts = self.repository.client.inner.attempts();
        let mut session = match first {
            Some(session) => Some(session),
            None => self.resume()?,
        };
        let (mut best, mut losses) = (0, 0);
        loop {
            let current = match session.take() {
                Some(session) => session,
                None => self.begin()?,
            };
            let (url, begun) = (current.url.clone(), current.offset);
            self.min_chunk = current.min_chunk.unwrap_or(self.min_chunk);
            match self.step(current) {
                Ok(Step::Done) => break,
                Ok(Step::Next(next)) => {
                    if next.offset > begun {
                        attempts.progress();
                    } else {
                        attempts.wait(self.nothing_kept())?;
                    }
                    best = best.max(next.offset);
                    session = Some(next);
                }
                Ok(Step::Broken(failure)) => {
                    // The answer may be what was lost.
                    if begun + self.current.get() >= self.source.size && self.is_there() {
                        break;
                    }
                    attempts.wait(failure)?;
                    session = self.status(&url);
                    match &session {
                        Some(session) if session.offset >= best + PROGRESS => {
                            attempts.progress();
                            best = session.offset;
                        }
                        Some(_) => {}
                        None => self.after_loss(&mut losses, self.lost())?,
                    }
                }
                Ok(Step::Lost(error)) => self.after_loss(&mut losses, error)?,
                Ok(Step::TooLarge(error)) => {
                    if !self.shrink() {
                        self.abort(&url);
                        return Err(error);
                    }
                    session = self.status(&url);
                }
                Err(error) => {
                    // What the server has may be wanted by a later run.
                    if !matches!(error, RegistryError::Source { .. }) {
                        self.abort(&url);
                    }
                    return Err(error);
                }
            }
        }
        if let Some(saved) = &self.saved {
            saved.forget();
        }
        Ok(self.sent.get())
    }

    fn nothing_kept(&self) -> Failure {
        let error = RegistryError::Protocol {
            action: format!("store the blob {} in {}", self.source.digest, self.repository.name),
            host: self.repository.registry.clone(),
            why: "it takes chunks and keeps nothing of them".into(),
        };
        Failure::Transient { error, after: None }
    }

    /// The session of an earlier process, if the server still knows it.
    fn resume(&self) -> Result<Option<Session>, RegistryError> {
        let Some(saved) = &self.saved else { return Ok(None) };
        let base = self.repository.client.inner.base(&self.repository.registry)?;
        let session = saved.read(&base).and_then(|url| self.status(&url));
        Ok(session)
    }

    fn begin(&self) -> Result<Session, RegistryError> {
        let call = self.repository.begin_call(self.source.digest)?;
        let response = self.repository.call(&call)?;
        let response = self.repository.expect(&call, response, &[201, 202])?;
        let session = self.repository.session(&call, &response)?;
        self.note(&session.url);
        Ok(Session { offset: 0, ..session })
    }

    /// Sends all that is left, or the next chunk, or the end of a blob sent in chunks.
    fn step(&self, session: Session) -> Result<Step, RegistryError> {
        let left = self.source.size.saturating_sub(session.offset);
        let chunk = self.chunk.map(|chunk| chunk.max(self.min_chunk)).filter(|chunk| *chunk < left);
        let digest = self.source.digest;
        let method = if chunk.is_some() { Method::PATCH } else { Method::PUT };
        let len = chunk.unwrap_or(left);
        self.current.set(0);
        let open = || self.open(session.offset, len);
        let mut headers = vec![("Content-Type", "application/octet-stream".to_owned())];
        if session.offset > 0 || chunk.is_some() {
            let last = (session.offset + len).saturating_sub(1);
            headers.push(("Content-Range", format!("{}-{last}", session.offset)));
        }
        if self.chunk.is_some() {
            // A connection that broke after some bytes may do so again.
            headers.push(("Connection", "close".into()));
        }
        let content = match len {
            0 => Content::Bytes(&[]),
            _ => Content::Reader { open: &open, len },
        };
        let url = match chunk {
            Some(_) => session.url.clone(),
            None => session.url.with_query("digest", &digest.to_string()),
        };
        let mut call = self.repository.begin_call(digest)?;
        (call.method, call.url, call.headers, call.content) = (method, url, headers, content);
        let response = match self.repository.once(&call) {
            Ok(response) => response,
            Err(NoResponse::Failed(failure @ Failure::Transient { .. })) => {
                return Ok(Step::Broken(failure));
            }
            Err(NoResponse::Failed(Failure::Final(error))) => return Err(error),
            Err(NoResponse::Unreadable(Unreadable(source))) => {
                let host = self.repository.registry.clone();
                return Err(RegistryError::Source { host, digest, source });
            }
        };
        self.outcome(&call, response, chunk.map(|chunk| session.offset + chunk))
    }

    /// What a response means; `end` is the offset after the chunk that was sent.
    fn outcome(
        &self,
        call: &Call<'_>,
        response: Response,
        end: Option<u64>,
    ) -> Result<Step, RegistryError> {
        let resumed = self.sent.get() > self.current.get();
        match (response.status, end) {
            (201 | 204, None) => Ok(Step::Done),
            // 202 by the specification; go-containerregistry's registry says 204.
            (202 | 204, Some(end)) => {
                let next = self.repository.session(call, &response)?;
                self.note(&next.url);
                // A server that says less has lost some; one that says nothing has all.
                let offset = match next.offset {
                    0 if response.header("range").is_none() => end,
                    offset => offset.min(end),
                };
                Ok(Step::Next(Session { offset, ..next }))
            }
            (413, _) => Ok(Step::TooLarge(self.repository.status_error(call, response))),
            (404 | 416, _) => Ok(Step::Lost(self.repository.status_error(call, response))),
            (status, _) => {
                let error = self.repository.status_error(call, response);
                // After a broken connection the server may have kept more than it said.
                let is_mixed = resumed && (status == 400 || error.has_code("DIGEST_INVALID"));
                if is_mixed { Ok(Step::Lost(error)) } else { Err(error) }
            }
        }
    }

    /// How much the server has of a session; `None` if it does not know the session.
    fn status(&self, url: &Url) -> Option<Session> {
        let mut call = self.repository.begin_call(self.source.digest).ok()?;
        (call.method, call.url, call.content) = (Method::GET, url.clone(), Content::None);
        let response = self.repository.call(&call).ok()?;
        if !matches!(response.status, 200 | 202 | 204) {
            return None;
        }
        let offset = received(&response);
        let url = match response.header("location") {
            Some(_) => self.repository.location(&call, &call.url, &response).ok()?,
            None => url.clone(),
        };
        self.note(&url);
        let min_chunk = min_chunk(&response);
        (offset <= self.source.size).then_some(Session { url, offset, min_chunk })
    }

    /// A server that forgets a session whose connection broke loses all of it. Chunks that are
    /// shorter than what the connection carried lose nothing.
    fn after_loss(&mut self, losses: &mut u32, error: RegistryError) -> Result<(), RegistryError> {
        *losses += 1;
        if *losses > MAX_LOSSES {
            return Err(error);
        }
        let cut = self.current.get();
        if cut > 0 {
            // Some of it was still in buffers of the system.
            let chunk = (cut / 4).clamp(MIN_CHUNK, MAX_CHUNK);
            let chunk = self.chunk.map_or(chunk, |old| old.min(chunk));
            self.chunk = Some(chunk);
            self.repository.client.inner.note_chunk(&self.repository.registry, chunk);
        }
        Ok(())
    }

    fn lost(&self) -> RegistryError {
        RegistryError::Protocol {
            action: format!("store the blob {} in {}", self.source.digest, self.repository.name),
            host: self.repository.registry.clone(),
            why: format!("connections broke, and the registry lost the upload {MAX_LOSSES} times"),
        }
    }

    /// Makes chunks smaller; whether that was possible.
    fn shrink(&mut self) -> bool {
        let smaller = match self.chunk {
            None => MAX_CHUNK,
            Some(chunk) => chunk / 2,
        };
        let possible = smaller >= MIN_CHUNK.max(self.min_chunk);
        self.chunk = Some(smaller.max(MIN_CHUNK));
        possible
    }

    /// Whether the server has the blob though its answer did not arrive.
    fn is_there(&self) -> bool {
        self.repository.has_blob(self.source.digest).unwrap_or(false)
    }

    fn abort(&self, url: &Url) {
        let Ok(mut call) = self.repository.begin_call(self.source.digest) else { return };
        (call.method, call.url, call.content) = (Method::DELETE, url.clone(), Content::None);
        // The server ends the session by itself after some time.
        let _ = self.repository.once(&call);
        if let Some(saved) = &self.saved {
            saved.forget();
        }
    }

    fn note(&self, url: &Url) {
        let base = self.repository.client.inner.base(&self.repository.registry);
        if let Some((saved, base)) = self.saved.as_ref().zip(base.ok()) {
            saved.write(url, &base);
        }
    }

    /// Opens `len` bytes from `offset` on, and counts what is read of them.
    fn open(&self, offset: u64, len: u64) -> io::Result<Box<dyn io::Read + '_>> {
        self.current.set(0);
        let source = (self.source.open)(offset)?;
        Ok(Box::new(Counting { source: source.take(len), upload: self, offset }))
    }
}

/// Counts what is sent.
struct Counting<'a> {
    source: io::Take<Box<dyn io::Read>>,
    upload: &'a Upload<'a>,
    /// Where the request begins in the blob.
    offset: u64,
}

impl io::Read for Counting<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buf)?;
        if read == 0 && self.source.limit() > 0 && !buf.is_empty() {
            let why = "it is shorter than its recorded size";
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, why));
        }
        let upload = self.upload;
        upload.sent.set(upload.sent.get() + read as u64);
        upload.current.set(upload.current.get() + read as u64);
        (upload.progress)(self.offset + upload.current.get());
        Ok(read)
    }
}

/// The least size of a chunk that a server takes, except the last one of a blob.
fn min_chunk(response: &Response) -> Option<u64> {
    response.header("oci-chunk-min-length")?.trim().parse().ok()
}

/// The number of bytes that a response's `Range: 0-LAST` says. A server without any says `0-0`.
fn received(response: &Response) -> u64 {
    let range = response.header("range").unwrap_or_default();
    let range = range.strip_prefix("bytes=").unwrap_or(range);
    let last = range.strip_prefix("0-").and_then(|last| last.trim().parse::<u64>().ok());
    last.filter(|last| *last > 0).map_or(0, |last| last.saturating_add(1))
}
