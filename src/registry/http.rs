//! One request and its response, over TLS where the URL says so: no redirects, no credentials but
//! the ones in the headers, limits on time and sizes.

use std::{
    collections::BTreeMap,
    io::{self, Read},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ureq::{
    Agent, Body, Proxy, SendBody,
    http::{HeaderMap, Method, Request as HttpRequest},
    tls::{Certificate, RootCerts, TlsConfig},
};

use super::{
    error::{TlsFault, shown},
    pace::Paced,
    proxy::Proxies,
    url::Url,
};

/// Bytes of all headers of a response.
const MAX_HEADERS: usize = 64 << 10;
/// Bytes of a body from which on the server is asked first whether it wants it. A server that does
/// not know `Expect` costs [`AWAIT_100`].
const EXPECT_FROM: u64 = 1 << 20;
const AWAIT_100: Duration = Duration::from_secs(1);

/// How long a registry may take.
#[derive(Clone, Debug)]
pub struct Timeouts {
    /// For name resolution, connection and TLS handshake, each.
    pub connect: Duration,
    /// For the headers of a response, from the end of the request on.
    pub response: Duration,
    /// Without a byte in either direction.
    pub idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        // A registry that stores in an object store answers to a large blob when that has it.
        Self { connect: seconds(30), response: seconds(300), idle: seconds(60) }
    }
}

/// Connections to servers, kept for later requests.
pub(super) struct Http {
    timeouts: Timeouts,
    proxies: Proxies,
    /// Trusted certificates, in DER.
    roots: Arc<Vec<Certificate<'static>>>,
    /// By whether certificates are checked, and by proxy.
    agents: Mutex<BTreeMap<(bool, Option<String>), Agent>>,
}

/// What is sent in a request.
pub(super) enum Payload<'a> {
    None,
    Bytes(&'a [u8]),
    Reader { reader: &'a mut dyn Read, len: u64 },
}

/// A request without its payload.
#[derive(Clone)]
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: Vec<(&'static str, String)>,
    /// Whether the server's certificate is not checked.
    pub(super) insecure: bool,
}

/// A response whose body has not been read.
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    body: Body,
    idle: Duration,
}

/// Why there is no response.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// The network failed; another attempt may succeed.
    Network(String),
    /// There is no host of this name, or no way to it.
    Unreachable(String),
    /// TLS failed, or the certificate is not trusted.
    Tls(TlsFault),
    /// The response is not HTTP, or exceeds a limit.
    Protocol(String),
}

impl Http {
    pub(super) fn new(
        timeouts: Timeouts,
        proxies: Proxies,
        roots: Vec<Certificate<'static>>,
    ) -> Self {
        Self { timeouts, proxies, roots: Arc::new(roots), agents: Mutex::default() }
    }

    /// Sends one request.
    pub(super) fn send(
        &self,
        request: &Request,
        mut payload: Payload<'_>,
    ) -> Result<Response, Fault> {
        let agent = self.agent(request)?;
        let uri = request.url.text();
        let mut builder = HttpRequest::builder().method(request.method.clone()).uri(uri);
        for (name, value) in &request.headers {
            builder = builder.header(*name, value);
        }
        if let Payload::Reader { len, .. } = &payload {
            builder = builder.header("Content-Length", len.to_string());
            if *len >= EXPECT_FROM {
                builder = builder.header("Expect", "100-continue");
            }
        }
        let invalid =
            |_| Fault::Protocol("a header has characters that HTTP does not allow".into());
        let response = match &mut payload {
            Payload::None => agent.run(builder.body(()).map_err(invalid)?),
            Payload::Bytes(bytes) => agent.run(builder.body(*bytes).map_err(invalid)?),
            Payload::Reader { reader, .. } => {
                agent.run(builder.body(SendBody::from_reader(*reader)).map_err(invalid)?)
            }
        };
        let response = response.map_err(|error| match fault(&error) {
            // The proxy is what fails: the host is not even asked for.
            Fault::Network(why) | Fault::Unreachable(why) if self.uses_proxy(request) => {
                Fault::Network(format!("{why} (through the proxy of the environment)"))
            }
            fault => fault,
        })?;
        let (parts, body) = response.into_parts();
        let (status, idle) = (parts.status.as_u16(), self.timeouts.idle);
        Ok(Response { status, headers: parts.headers, body, idle })
    }

    fn uses_proxy(&self, request: &Request) -> bool {
        self.proxies.of(&request.url).is_some()
    }

    fn agent(&self, request: &Request) -> Result<Agent, Fault> {
        let proxy = self.proxies.of(&request.url).map(str::to_owned);
        let key = (request.insecure, proxy);
        let mut agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(agent) = agents.get(&key) {
            return Ok(agent.clone());
        }
        let proxy = match &key.1 {
            Some(text) => Some(Proxy::new(text).map_err(|_| {
                Fault::Protocol("the proxy in the environment is not a URL of a proxy".into())
            })?),
            None => None,
        };
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::Specific(Arc::clone(&self.roots)))
            .disable_verification(request.insecure)
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .proxy(proxy)
            .user_agent(concat!("imgb/", env!("CARGO_PKG_VERSION")))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_response_header_size(MAX_HEADERS)
            .timeout_resolve(Some(self.timeouts.connect))
            .timeout_connect(Some(self.timeouts.connect))
            .timeout_await_100(Some(AWAIT_100))
            .timeout_recv_response(Some(self.timeouts.response))
            .timeout_per_read(Some(self.timeouts.idle.max(AWAIT_100)))
            .timeout_per_write(Some(self.timeouts.idle))
            .build();
        let agent = config.new_agent();
        agents.insert(key, agent.clone());
        Ok(agent)
    }
}

impl Response {
    /// The value of a header, if it is text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// All values of a header that are text.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.headers.get_all(name).iter().filter_map(|value| value.to_str().ok())
    }

    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Reads the body, as long as it does not come too slowly.
    pub(super) fn into_reader(self) -> impl Read + Send + use<> {
        Paced::receiving(self.body.into_reader(), self.idle)
    }

    /// The whole body, if it has at most `max` bytes.
    pub(super) fn read(self, max: u64) -> Result<Vec<u8>, Fault> {
        let mut bytes = Vec::new();
        let mut reader = self.into_reader().take(max + 1);
        reader.read_to_end(&mut bytes).map_err(|error| io_fault(&error))?;
        if bytes.len() as u64 > max {
            return Err(Fault::Protocol(format!("the answer has more than {max} bytes")));
        }
        Ok(bytes)
    }
}

/// What an error of ureq means. Its text never has the URL.
fn fault(error: &ureq::Error) -> Fault {
    match error {
        ureq::Error::Io(error) => io_fault(error),
        ureq::Error::Timeout(_) => Fault::Network("it took too long".into()),
        ureq::Error::HostNotFound => Fault::Unreachable("there is no host of this name".into()),
        ureq::Error::ConnectionFailed => Fault::Network("no connection".into()),
        ureq::Error::ConnectProxyFailed(why) => Fault::Network(shown(why)),
        ureq::Error::InvalidProxyUrl => Fault::Protocol("the proxy is not a URL".into()),
        ureq::Error::Rustls(error) => tls_fault(error),
        ureq::Error::Tls(why) => Fault::Tls(TlsFault::Other((*why).into())),
        ureq::Error::LargeResponseHeader(..) => {
            Fault::Protocol("the headers of the answer are too large".into())
        }
        ureq::Error::BadUri(_) => Fault::Protocol("the URL is malformed".into()),
        _ => Fault::Protocol("the answer is not valid HTTP".into()),
    }
}

/// What an error while reading or writing means.
pub(super) fn io_fault(error: &io::Error) -> Fault {
    let inner = error.get_ref();
    if let Some(error) = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return tls_fault(error);
    }
    if let Some(error) = inner.and_then(|inner| inner.downcast_ref::<ureq::Error>()) {
        return fault(error);
    }
    match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => {
            Fault::Network("it took too long".into())
        }
        io::ErrorKind::UnexpectedEof => Fault::Network("the connection was closed".into()),
        _ => lookup_fault(&error.to_string())
            .unwrap_or_else(|| Fault::Network(crate::error_kind::system_reason(error))),
    }
}

/// What getaddrinfo(3) means, which the standard library reports as text only.
fn lookup_fault(text: &str) -> Option<Fault> {
    let why = text.strip_prefix("failed to lookup address information: ")?;
    // EAI_AGAIN of glibc and of musl: no name server answers. Others are answers.
    let is_transient = ["Temporary failure in name resolution", "Try again"].contains(&why);
    Some(match is_transient {
        true => Fault::Network("its name cannot be looked up: no name server answers".into()),
        false => Fault::Unreachable("there is no host of this name".into()),
    })
}

fn tls_fault(error: &rustls::Error) -> Fault {
    use rustls::CertificateError as Wrong;
    let time = |time: &rustls::pki_types::UnixTime| {
        jiff::Timestamp::from_second(i64::try_from(time.as_secs()).ok()?).ok()
    };
    let rustls::Error::InvalidCertificate(wrong) = error else {
        return Fault::Tls(match error {
            rustls::Error::InvalidMessage(_) => TlsFault::NotTls,
            error => TlsFault::Other(shown(&error.to_string())),
        });
    };
    Fault::Tls(match wrong {
        Wrong::UnknownIssuer => TlsFault::Issuer,
        Wrong::Expired => TlsFault::Expired(None),
        Wrong::ExpiredContext { not_after, .. } => TlsFault::Expired(time(not_after)),
        Wrong::NotValidYet => TlsFault::NotYet(None),
        Wrong::NotValidYetContext { not_before, .. } => TlsFault::NotYet(time(not_before)),
        Wrong::NotValidForNameContext { expected, presented } => TlsFault::Name {
            host: expected.to_str().into_owned(),
            presented: presented.iter().map(|name| certificate_name(name)).collect(),
        },
        // webpki's error, which rustls has no name for.
        Wrong::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
            TlsFault::OfAuthority
        }
        wrong => TlsFault::Other(shown(&wrong.to_string())),
    })
}

/// A name of a certificate, which webpki writes as `DnsName("a")` or `IpAddress(::1)`.
fn certificate_name(name: &str) -> String {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    shown(inner.unwrap_or(name).trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_cannot_be_looked_up() {
        let fault =
            |why: &str| lookup_fault(&format!("failed to lookup address information: {why}"));
        for why in ["Temporary failure in name resolution", "Try again"] {
            assert!(matches!(fault(why), Some(Fault::Network(_))), "{why}");
        }
        for why in ["Name or service not known", "Name does not resolve"] {
            assert!(matches!(fault(why), Some(Fault::Unreachable(_))), "{why}");
        }
        assert!(lookup_fault("Connection refused").is_none());
    }
}
