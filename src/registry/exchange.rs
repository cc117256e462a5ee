//! One exchange with a registry: authorization, redirects, retries.

use std::{cell::RefCell, io};

use ureq::http::{HeaderMap, Method};

use super::{
    auth::{Access, Refused},
    client::{Inner, Repository},
    error::{RegistryError, read_body},
    http::{Fault, Payload, Request, Response},
    pace::Paced,
    retry::{Failure, is_transient, retry_after},
    secret::Secret,
    url::{Url, is_loopback},
};

/// Redirects that are followed for one request.
const MAX_HOPS: u32 = 5;
/// Bytes of the body of an error.
const MAX_ERROR: u64 = 64 << 10;

/// A body that can be read more than once.
pub(super) enum Content<'a> {
    None,
    Bytes(&'a [u8]),
    /// Opens a reader of `len` bytes.
    Reader {
        open: &'a dyn Fn() -> io::Result<Box<dyn io::Read + 'a>>,
        len: u64,
    },
}

/// A request to a registry.
pub(super) struct Call<'a> {
    /// What it is for, as in "cannot ACTION at HOST".
    pub(super) action: String,
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) access: Access,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) content: Content<'a>,
}

/// A response with its body.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) bytes: Vec<u8>,
}

impl Answer {
    /// The value of a header, if it is text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// An error of reading [`Content`], which is not one of the network.
pub(super) struct Unreadable(pub(super) io::Error);

/// Why there is no response.
pub(super) enum NoResponse {
    Unreadable(Unreadable),
    Failed(Failure),
}

impl<T: Into<Failure>> From<T> for NoResponse {
    fn from(failure: T) -> Self {
        Self::Failed(failure.into())
    }
}

impl Repository {
    /// Makes the request until it has an answer that another attempt would not change. Only for
    /// requests that can be repeated, without content that is read.
    pub(super) fn call(&self, call: &Call<'_>) -> Result<Response, RegistryError> {
        let mut attempts = self.client.inner.attempts();
        loop {
            match self.once(call) {
                Ok(response) => return Ok(response),
                Err(NoResponse::Failed(failure)) => attempts.wait(failure)?,
                Err(NoResponse::Unreadable(Unreadable(error))) => {
                    return Err(self.network(call, &error.to_string()));
                }
            }
        }
    }

    /// Makes the request until it has an answer with one of these statuses and the whole of its
    /// body, which has at most `max` bytes.
    pub(super) fn read(
        &self,
        call: &Call<'_>,
        statuses: &[u16],
        max: u64,
    ) -> Result<Answer, RegistryError> {
        let mut attempts = self.client.inner.attempts();
        loop {
            let failure = match self.once(call) {
                Ok(response) => {
                    let response = self.expect(call, response, statuses)?;
                    let (status, headers) = (response.status, response.headers.clone());
                    match response.read(max) {
                        Ok(bytes) => return Ok(Answer { status, headers, bytes }),
                        Err(fault) => self.failure(call, &call.url, fault),
                    }
                }
                Err(NoResponse::Failed(failure)) => failure,
                Err(NoResponse::Unreadable(Unreadable(error))) => {
                    return Err(self.network(call, &error.to_string()));
                }
            };
            attempts.wait(failure)?;
        }
    }

    /// Makes the request once, or twice if the registry asks for another authorization. An answer
    /// that is not transient is returned whatever its status, except 401.
    pub(super) fn once(&self, call: &Call<'_>) -> Result<Response, NoResponse> {
        let inner = &self.client.inner;
        let base = inner.base(&self.registry)?;
        let is_own = call.url.origin() == base.origin();
        let header = if is_own { inner.auth.header(&base.origin(), &call.access) } else { None };
        let (mut response, mut from) = self.follow(call, &base, header.as_ref())?;
        if response.status == 401 {
            let refused = Refused {
                action: &call.action,
                registry: &base,
                name: &self.registry,
                access: &call.access,
                used: header.as_ref(),
                insecure: inner.is_insecure(&base),
            };
            // A challenge counts only from the registry, and not from where it has led.
            if from.origin() != base.origin() {
                let why = format!("{} wants credentials and gets none", from.authority());
                return Err(inner.auth.unauthorized(&refused, why).into());
            }
            let fresh = inner.auth.answer(&inner.http, &refused, &response)?;
            (response, from) = self.follow(call, &base, Some(&fresh))?;
            if response.status == 401 && from.origin() != base.origin() {
                let why = format!("{} wants credentials and gets none", from.authority());
                return Err(inner.auth.unauthorized(&refused, why).into());
            }
            if response.status == 401 {
                let body = response.read(MAX_ERROR).unwrap_or_default();
                let (_, message) = read_body(&body, &|text| self.redact(text));
                let why = format!("it does not accept the credentials{message}");
                return Err(inner.auth.unauthorized(&refused, why).into());
            }
        }
        if is_transient(response.status) {
            let after = retry_after(&response);
            let error = self.status_error(call, response);
            return Err(Failure::Transient { error, after }.into());
        }
        Ok(response)
    }

    /// Sends the request and follows redirects. Authorization stays with the registry's origin.
    /// Returns the response and where it comes from.
    fn follow(
        &self,
        call: &Call<'_>,
        base: &Url,
        authorization: Option<&Secret>,
    ) -> Result<(Response, Url), NoResponse> {
        let inner = &self.client.inner;
        let mut url = call.url.clone();
        for _ in 0..=MAX_HOPS {
            inner.check_scheme(&call.action, &url)?;
            let mut headers = call.headers.clone();
            if let Some(secret) = authorization.filter(|_| url.origin() == base.origin()) {
                headers.push(("Authorization", secret.reveal().to_owned()));
            }
            let request = Request {
                method: call.method.clone(),
                url: url.clone(),
                headers,
                insecure: inner.is_insecure(&url),
            };
            let response = self.send(call, &request)?;
            inner.note_warnings(&url.authority(), &response);
            let is_read = matches!(call.method, Method::GET | Method::HEAD);
            let redirects = match response.status {
                307 | 308 => true,
                301..=303 => is_read,
                _ => false,
            };
            if !redirects {
                return Ok((response, url));
            }
            url = self.location(call, &url, &response)?;
        }
        Err(self.protocol(call, format!("it redirects more than {MAX_HOPS} times")).into())
    }

    fn send(&self, call: &Call<'_>, request: &Request) -> Result<Response, NoResponse> {
        let inner = &self.client.inner;
        let failed = RefCell::new(None);
        let result = match &call.content {
            Content::None => inner.http.send(request, Payload::None),
            Content::Bytes(bytes) => inner.http.send(request, Payload::Bytes(bytes)),
            Content::Reader { open, len } => {
                let source = open().map_err(|error| NoResponse::Unreadable(Unreadable(error)))?;
                let mut reader = Noting { source, failed: &failed };
                let mut paced = Paced::sending(&mut reader, inner.timeouts.idle);
                inner.http.send(request, Payload::Reader { reader: &mut paced, len: *len })
            }
        };
        if let Some(error) = failed.into_inner() {
            return Err(NoResponse::Unreadable(Unreadable(error)));
        }
        result.map_err(|fault| self.failure(call, &request.url, fault).into())
    }

    /// Where a response leads to, if a client may go there.
    pub(super) fn location(
        &self,
        call: &Call<'_>,
        from: &Url,
        response: &Response,
    ) -> Result<Url, RegistryError> {
        let text = response.header("location");
        let url = text.and_then(|text| from.join(text)).ok_or_else(|| {
            self.protocol(call, "it answers with a location that is not a URL".into())
        })?;
        from.may_lead_to(&url).map_err(|why| {
            self.protocol(call, format!("it sends the client to {}, which {why}", url.authority()))
        })?;
        Ok(url)
    }

    /// The response, if it has one of these statuses.
    pub(super) fn expect(
        &self,
        call: &Call<'_>,
        response: Response,
        statuses: &[u16],
    ) -> Result<Response, RegistryError> {
        match statuses.contains(&response.status) {
            true => Ok(response),
            false => Err(self.status_error(call, response)),
        }
    }

    pub(super) fn status_error(&self, call: &Call<'_>, response: Response) -> RegistryError {
        let status = response.status;
        let body = response.read(MAX_ERROR).unwrap_or_default();
        let (codes, message) = read_body(&body, &|text| self.redact(text));
        RegistryError::Status {
            action: call.action.clone(),
            host: call.url.authority(),
            status,
            codes,
            message,
        }
    }

    pub(super) fn failure(&self, call: &Call<'_>, url: &Url, fault: Fault) -> Failure {
        let (action, host) = (call.action.clone(), url.authority());
        match fault {
            Fault::Network(why) => Failure::Transient {
                error: RegistryError::Network { action, host, why: self.redact(&why) },
                after: None,
            },
            Fault::Unreachable(why) => RegistryError::Network { action, host, why }.into(),
            Fault::Tls(fault) => RegistryError::Tls { action, host, fault }.into(),
            Fault::Protocol(why) => RegistryError::Protocol { action, host, why }.into(),
        }
    }

    pub(super) fn protocol(&self, call: &Call<'_>, why: String) -> RegistryError {
        let host = call.url.authority();
        RegistryError::Protocol { action: call.action.clone(), host, why: self.redact(&why) }
    }

    pub(super) fn network(&self, call: &Call<'_>, why: &str) -> RegistryError {
        let host = call.url.authority();
        RegistryError::Network { action: call.action.clone(), host, why: self.redact(why) }
    }

    fn redact(&self, text: &str) -> String {
        self.client.inner.auth.redact(text)
    }
}

impl Inner {
    /// Without TLS, only this machine and hosts that the user allows are spoken to.
    fn check_scheme(&self, action: &str, url: &Url) -> Result<(), RegistryError> {
        if url.is_https() || is_loopback(url.host()) || self.is_insecure(url) {
            return Ok(());
        }
        let why = "it is not reached by TLS; allow that with --insecure".into();
        Err(RegistryError::Protocol { action: action.into(), host: url.authority(), why })
    }
}

/// Notes an error of the source, which HTTP reports as one of the connection.
struct Noting<'a> {
    source: Box<dyn io::Read + 'a>,
    failed: &'a RefCell<Option<io::Error>>,
}

impl io::Read for Noting<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.source.read(buf).map_err(|error| {
            let copy = io::Error::new(error.kind(), error.to_string());
            *self.failed.borrow_mut() = Some(error);
            copy
        })
    }
}
