//! Reading blobs: verified, and continued where a connection broke.

use std::io::{self, Read, Write};

use ureq::http::Method;

use super::{
    client::Repository,
    error::RegistryError,
    exchange::{Call, Content, NoResponse, Unreadable},
    http::{Response, io_fault},
    retry::Attempts,
};
use crate::digest::{Digest, Digesting, StreamDigest};

/// Bytes copied through memory at once.
const BUFFER: usize = 1 << 18;
/// Bytes that a connection has to deliver before it breaks, so that the next one is not counted as
/// a further attempt.
pub(super) const PROGRESS: u64 = 64 << 10;

/// Reads a blob from an offset on. Broken connections are replaced. If it is read from the start,
/// its last bytes come only if the whole has its digest; an error then is a
/// [`RegistryError::Mismatch`] inside the [`io::Error`].
pub struct BlobReader {
    repository: Repository,
    digest: Digest,
    size: u64,
    at: u64,
    /// Bytes since the last connection broke.
    fresh: u64,
    /// Only from the start on.
    hash: Option<StreamDigest>,
    body: Option<Box<dyn Read + Send>>,
    attempts: Attempts,
}

impl std::fmt::Debug for BlobReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {:?} at {}", self.digest, self.repository, self.at)
    }
}

impl Repository {
    /// Whether the registry has the blob. An answer that says neither is taken as no: uploading is
    /// correct then.
    ///
    /// # Errors
    /// If the registry cannot be asked.
    pub fn has_blob(&self, digest: Digest) -> Result<bool, RegistryError> {
        let call = self.blob_call(Method::HEAD, "look up", digest)?;
        Ok(self.call(&call)?.status == 200)
    }

    /// The number of bytes of a blob; `None` if the registry does not have it, or does not say.
    ///
    /// # Errors
    /// If the registry cannot be asked.
    pub fn blob_size(&self, digest: Digest) -> Result<Option<u64>, RegistryError> {
        let response = self.call(&self.blob_call(Method::HEAD, "look up", digest)?)?;
        let size = response.header("content-length").and_then(|size| size.parse().ok());
        Ok(size.filter(|_| response.status == 200))
    }

    /// Reads a blob from `offset` on.
    ///
    /// # Errors
    /// If the registry cannot be asked, has no such blob, or one of another size.
    pub fn blob(
        &self,
        digest: Digest,
        size: u64,
        offset: u64,
    ) -> Result<BlobReader, RegistryError> {
        let mut reader = BlobReader {
            repository: self.clone(),
            digest,
            size,
            at: offset.min(size),
            fresh: 0,
            hash: (offset == 0).then(StreamDigest::default),
            body: None,
            attempts: self.client.inner.attempts(),
        };
        if reader.at < size {
            reader.connect()?;
        }
        Ok(reader)
    }

    /// Writes the whole blob to `sink`, and tells `progress` how many bytes it has written so far.
    /// Whatever has been written before an error must not be used.
    ///
    /// # Errors
    /// If the registry cannot be asked, its bytes are not those of the digest, or `sink` fails.
    pub fn fetch(
        &self,
        digest: Digest,
        size: u64,
        sink: &mut dyn Write,
        progress: &dyn Fn(u64),
    ) -> Result<(), RegistryError> {
        let mut reader = self.blob(digest, size, 0)?;
        let mut buffer = vec![0; BUFFER];
        let mut written = 0;
        loop {
            let read = reader.next(&mut buffer)?;
            if read == 0 {
                break;
            }
            sink.write_all(&buffer[..read]).map_err(|source| RegistryError::Sink {
                host: self.registry.clone(),
                digest,
                source,
            })?;
            written += read as u64;
            progress(written);
        }
        if size == 0 && Digesting::new(io::sink()).finish().1 != digest {
            return Err(reader.mismatch("it is empty".into()));
        }
        Ok(())
    }

    pub(super) fn blob_call<'a>(
        &self,
        method: Method,
        verb: &str,
        digest: Digest,
    ) -> Result<Call<'a>, RegistryError> {
        Ok(Call {
            action: format!("{verb} the blob {digest} of {}", self.name),
            method,
            url: self.url(&format!("blobs/{digest}"))?,
            access: self.access(false),
            headers: Vec::new(),
            content: Content::None,
        })
    }
}

impl BlobReader {
    /// Reads more; 0 at the end of the blob.
    ///
    /// # Errors
    /// If no connection delivers more, or the blob is not what its digest says.
    pub fn next(&mut self, buf: &mut [u8]) -> Result<usize, RegistryError> {
        let left = usize::try_from(self.size - self.at).unwrap_or(usize::MAX).min(buf.len());
        if left == 0 {
            return Ok(0);
        }
        loop {
            let Some(body) = &mut self.body else {
                self.connect()?;
                continue;
            };
            match body.read(&mut buf[..left]) {
                Ok(0) => self.broken(&io::ErrorKind::UnexpectedEof.into())?,
                Ok(read) => {
                    self.at += read as u64;
                    self.fresh += read as u64;
                    if let Some(hash) = &mut self.hash {
                        hash.update(&buf[..read]);
                    }
                    self.check_end()?;
                    return Ok(read);
                }
                Err(error) => self.broken(&error)?,
            }
        }
    }

    /// Opens a connection for what has not been read.
    fn connect(&mut self) -> Result<(), RegistryError> {
        loop {
            let mut call = self.repository.blob_call(Method::GET, "read", self.digest)?;
            if self.at > 0 {
                // With its end, which go-containerregistry's registry wants.
                call.headers.push(("Range", format!("bytes={}-{}", self.at, self.size - 1)));
            }
            match self.repository.once(&call) {
                Ok(response) => match self.begin(&call, response)? {
                    Some(body) => {
                        self.body = Some(body);
                        return Ok(());
                    }
                    None => self.broken(&io::ErrorKind::UnexpectedEof.into())?,
                },
                Err(NoResponse::Failed(failure)) => self.attempts.wait(failure)?,
                Err(NoResponse::Unreadable(Unreadable(error))) => self.broken(&error)?,
            }
        }
    }

    /// The body from `self.at` on; `None` if the connection broke before that.
    fn begin(
        &self,
        call: &Call<'_>,
        response: Response,
    ) -> Result<Option<Box<dyn Read + Send>>, RegistryError> {
        let response = self.repository.expect(call, response, &[200, 206])?;
        let length = response.header("content-length").and_then(|text| text.parse::<u64>().ok());
        let skip = match response.status {
            200 => {
                if let Some(other) = length.filter(|length| *length != self.size) {
                    return Err(self.mismatch(format!("{other} bytes instead of {}", self.size)));
                }
                self.at
            }
            _ => {
                let range = format!("bytes {}-{}/", self.at, self.size - 1);
                let is_wanted =
                    response.header("content-range").is_some_and(|text| text.starts_with(&range));
                if !is_wanted {
                    let why = "it answers with another range than the one asked for".into();
                    return Err(self.repository.protocol(call, why));
                }
                0
            }
        };
        let mut body = response.into_reader();
        let skipped = io::copy(&mut (&mut body).take(skip), &mut io::sink());
        Ok((skipped.ok() == Some(skip)).then(|| Box::new(body) as Box<dyn Read + Send>))
    }

    /// After a connection broke: waits, or gives up.
    fn broken(&mut self, error: &io::Error) -> Result<(), RegistryError> {
        self.body = None;
        let call = self.repository.blob_call(Method::GET, "read", self.digest)?;
        let failure = self.repository.failure(&call, &call.url, io_fault(error));
        if self.fresh >= PROGRESS {
            self.attempts.progress();
        }
        self.fresh = 0;
        self.attempts.wait(failure)
    }

    fn check_end(&mut self) -> Result<(), RegistryError> {
        if self.at < self.size {
            return Ok(());
        }
        self.body = None;
        let Some(hash) = self.hash.take() else { return Ok(()) };
        let (found, _) = hash.finish();
        match found == self.digest {
            true => Ok(()),
            false => Err(self.mismatch(format!("it has the digest {found}"))),
        }
    }

    fn mismatch(&self, why: String) -> RegistryError {
        let host = self.repository.registry.clone();
        RegistryError::Mismatch { host, digest: self.digest, why }
    }
}

impl Read for BlobReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.next(buf).map_err(io::Error::other)
    }
}
