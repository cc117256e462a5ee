//! The client and its settings, and how a registry's host is spoken to.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use ureq::{
    http::Method,
    tls::{Certificate, PemItem, parse_pem},
};

use super::{
    auth::{Access, Auth},
    credentials::Credentials,
    error::{RegistryError, TlsFault, shown},
    http::{Fault, Http, Payload, Request, Response, Timeouts},
    notices::Notices,
    proxy::Proxies,
    retry::{Attempts, Retry},
    url::{Url, is_loopback, split_port},
};

/// Bytes of a file of certificates.
const MAX_CERTIFICATES: u64 = 16 << 20;
/// Warnings of one answer that are read.
const MAX_WARNINGS: usize = 20;

/// The settings of a [`Client`]. Nothing is read from the environment.
#[derive(Clone, Debug, Default)]
pub struct ClientOptions {
    /// Whose credentials are used.
    pub credentials: Credentials,
    /// Files of the certificates that are trusted as the system's are, in PEM.
    pub ca_files: Vec<PathBuf>,
    /// Files of the system's certificates, in PEM. The first that exists is read.
    pub system_ca_files: Vec<PathBuf>,
    /// Hosts, with the port or for all ports, that may be spoken to without TLS, or with a
    /// certificate that is not trusted.
    pub insecure: BTreeSet<String>,
    /// Hosts of token servers that may have credentials of registries on other sites.
    pub token_servers: BTreeSet<String>,
    /// The proxies.
    pub proxies: Proxies,
    /// When requests are tried again.
    pub retry: Retry,
    /// How long a registry may take.
    pub timeouts: Timeouts,
    /// The directory in which unfinished uploads are noted, so that a later process resumes them.
    pub sessions: Option<PathBuf>,
    /// Where notices go.
    pub notices: Notices,
}

/// A client of any number of registries. Clones share connections and tokens.
#[derive(Clone)]
pub struct Client {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) http: Http,
    pub(super) auth: Auth,
    retry: Retry,
    pub(super) timeouts: Timeouts,
    pub(super) sessions: Option<PathBuf>,
    insecure: BTreeSet<String>,
    /// How each registry is reached, by its name.
    bases: Mutex<BTreeMap<String, Url>>,
    /// The size of chunks for registries that have lost an upload whose connection broke.
    chunks: Mutex<BTreeMap<String, u64>>,
    notices: Notices,
}

/// A repository of a registry.
#[derive(Clone)]
pub struct Repository {
    pub(super) client: Client,
    /// The host of the registry as images' names have it, with a port if that has one.
    pub(super) registry: String,
    pub(super) name: String,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl fmt::Debug for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.name)
    }
}

impl Client {
    /// A client with these settings. No connection is opened.
    ///
    /// # Errors
    /// If a file of certificates cannot be read.
    pub fn new(options: ClientOptions) -> Result<Self, RegistryError> {
        let mut roots = Vec::new();
        for file in &options.ca_files {
            let before = roots.len();
            roots.extend(certificates(file)?);
            if roots.len() == before {
                let why = "it has no certificate (it has to be PEM)".into();
                return Err(RegistryError::File { path: file.clone(), why });
            }
        }
        if let Some(file) = options.system_ca_files.iter().find(|file| file.exists()) {
            roots.extend(certificates(file)?);
        }
        let inner = Inner {
            http: Http::new(options.timeouts.clone(), options.proxies, roots),
            auth: Auth::new(options.credentials, options.token_servers, options.notices.clone()),
            retry: options.retry,
            timeouts: options.timeouts,
            sessions: options.sessions,
            insecure: options.insecure,
            bases: Mutex::default(),
            chunks: Mutex::default(),
            notices: options.notices,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The repository `name` of the registry `host`, both as in a normalized image name:
    /// `docker.io` and `library/debian`, `localhost:5000` and `app`.
    pub fn repository(&self, host: &str, name: &str) -> Repository {
        Repository { client: self.clone(), registry: host.to_owned(), name: name.to_owned() }
    }
}

impl Repository {
    /// The host of the registry, with its port if it has one.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The name of the repository in its registry.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn access(&self, push: bool) -> Access {
        Access { repository: self.name.clone(), push, from: None }
    }

    /// The URL of `path` below `/v2/NAME/`.
    pub(super) fn url(&self, path: &str) -> Result<Url, RegistryError> {
        let base = self.client.inner.base(&self.registry)?;
        let url = base.join(&format!("/v2/{}/{path}", self.name));
        url.ok_or_else(|| RegistryError::Host(self.registry.clone()))
    }
}

impl Inner {
    /// The URL of a registry's host. This machine is asked without TLS first, an `--insecure` host
    /// with TLS first; no other host is ever spoken to without.
    pub(super) fn base(&self, registry: &str) -> Result<Url, RegistryError> {
        let mut bases = self.bases.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(url) = bases.get(registry) {
            return Ok(url.clone());
        }
        let host = if registry == "docker.io" { "registry-1.docker.io" } else { registry };
        let url = |https| {
            Url::of_host(https, host, "/v2/").ok_or_else(|| RegistryError::Host(registry.into()))
        };
        let name = split_port(host).map_or(host, |(name, _)| name);
        let base = if is_loopback(name) {
            if self.speaks(&url(false)?) || !self.speaks(&url(true)?) {
                url(false)?
            } else {
                url(true)?
            }
        } else if self.is_insecure(&url(true)?) {
            if self.speaks(&url(true)?) || !self.speaks(&url(false)?) {
                url(true)?
            } else {
                url(false)?
            }
        } else {
            url(true)?
        };
        bases.insert(registry.to_owned(), base.clone());
        Ok(base)
    }

    /// Whether a server answers at `url` in its scheme. Servers for HTTPS answer 400 to HTTP.
    fn speaks(&self, url: &Url) -> bool {
        let request = Request {
            method: Method::GET,
            url: url.clone(),
            headers: Vec::new(),
            insecure: self.is_insecure(url),
        };
        match self.http.send(&request, Payload::None) {
            Ok(response) => url.is_https() || response.status != 400,
            Err(Fault::Tls(fault)) => fault != TlsFault::NotTls,
            Err(_) => false,
        }
    }

    /// Whether the user allows this host to go without TLS or without a trusted certificate.
    pub(super) fn is_insecure(&self, url: &Url) -> bool {
        let with_port = format!("{}:{}", url.host(), url.origin().port);
        [url.host(), &url.authority(), &with_port].iter().any(|name| self.insecure.contains(*name))
    }

    /// The size of chunks that uploads to a registry begin with; `None` for the whole blob.
    pub(super) fn chunk(&self, registry: &str) -> Option<u64> {
        self.chunks.lock().unwrap_or_else(PoisonError::into_inner).get(registry).copied()
    }

    /// Notes that a registry has lost an upload, and how large its chunks may be.
    pub(super) fn note_chunk(&self, registry: &str, size: u64) {
        let mut chunks = self.chunks.lock().unwrap_or_else(PoisonError::into_inner);
        let known = chunks.entry(registry.to_owned()).or_insert(size);
        *known = size.min(*known);
    }

    /// Counts the attempts at one request.
    pub(super) fn attempts(&self) -> Attempts {
        Attempts::new(&self.retry, self.notices.clone())
    }

    /// Tells of the warnings of a response (OCI distribution-spec, "Warnings"): `299 - "TEXT"`.
    pub(super) fn note_warnings(&self, host: &str, response: &Response) {
        for value in response.all("warning").take(MAX_WARNINGS) {
            let Some(text) = value.strip_prefix("299 - ") else { continue };
            let text = shown(&self.auth.redact(text.trim_matches('"')));
            self.notices.once(&format!("{host}: {text}"));
        }
    }
}

/// The certificates in a file of PEM.
fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>, RegistryError> {
    let wrong = |why: String| RegistryError::File { path: path.to_owned(), why };
    let unreadable = |error: std::io::Error| wrong(crate::error_kind::system_reason(&error));
    let stat = rustix::io::retry_on_intr(|| rustix::fs::stat(path))
        .map_err(|errno| unreadable(errno.into()))?;
    if rustix::fs::FileType::from_raw_mode(stat.st_mode) != rustix::fs::FileType::RegularFile {
        return Err(wrong("it is not a regular file".into()));
    }
    if stat.st_size as u64 > MAX_CERTIFICATES {
        return Err(wrong("it is too large for certificates".into()));
    }
    let text = fs_err::read(path).map_err(unreadable)?;
    let items = parse_pem(&text).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    });
    Ok(items.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The base is known without a connection.
    #[test]
    fn hosts_are_spoken_to_with_tls() {
        let client = Client::new(ClientOptions::default()).unwrap();
        for (host, wanted) in [
            ("docker.io", "https://registry-1.docker.io/v2/"),
            ("registry.invalid:80", "https://registry.invalid:80/v2/"),
            ("192.0.2.1:5000", "https://192.0.2.1:5000/v2/"),
        ] {
            assert_eq!(client.inner.base(host).unwrap().text(), wanted);
        }
        assert!(client.inner.base("a/b").is_err());
        assert!(client.inner.base("u@a").is_err());
    }

    #[test]
    fn insecure_hosts_are_named_with_or_without_port() {
        let insecure = ["a.example", "b.example:5000"].map(str::to_owned).into();
        let options = ClientOptions { insecure, ..ClientOptions::default() };
        let client = Client::new(options).unwrap();
        let is_insecure = |url: &str| client.inner.is_insecure(&Url::parse(url).unwrap());
        assert!(is_insecure("http://a.example:1/") && is_insecure("https://b.example:5000/"));
        assert!(!is_insecure("https://b.example/") && !is_insecure("https://x.a.example/"));
    }
}
