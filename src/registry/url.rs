//! URLs of registries: which requests go to the same origin, and which addresses a registry may
//! send a client to.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// The longest URL that is followed, in bytes: signed locations of object stores have about 2 KiB.
const MAX_LEN: usize = 16 << 10;

/// An absolute `http` or `https` URL without user information and fragment.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Url {
    https: bool,
    /// In lower case; an IPv6 address without brackets.
    host: String,
    port: u16,
    /// Path and query. It starts with a slash.
    target: String,
}

/// Scheme, host and port: what a credential belongs to (RFC 6454).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Origin {
    pub(super) https: bool,
    pub(super) host: String,
    pub(super) port: u16,
}

/// What a host is, as far as its text says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Network {
    /// A name, or an address of the internet.
    Public,
    /// RFC 1918, RFC 4193, RFC 6598.
    Private,
    Loopback,
    /// RFC 3927 and RFC 4291: among others, the metadata service of clouds.
    LinkLocal,
    /// An unusual spelling of an address, which getaddrinfo(3) takes all the same.
    Disguised,
}

impl Url {
    /// The URL of `path` at a registry's host, which may have a port.
    pub(super) fn of_host(https: bool, host: &str, path: &str) -> Option<Self> {
        if host.contains(['/', '?', '#']) {
            return None;
        }
        let scheme = if https { "https" } else { "http" };
        Self::parse(&format!("{scheme}://{host}{path}"))
    }

    /// Parses an absolute URL. User information is refused: it is a credential, or a disguise.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_LEN || !text.bytes().all(|b| b.is_ascii_graphic() && b != b'\\') {
            return None;
        }
        let (scheme, rest) = text.split_once("://")?;
        let https = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let rest = rest.split('#').next()?;
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        let (host, port) = split_port(authority)?;
        let port = match port {
            Some(port) => port.parse().ok().filter(|port| *port != 0)?,
            None if https => 443,
            None => 80,
        };
        let slash = if target.starts_with('/') { "" } else { "/" };
        let target = format!("{slash}{target}");
        Some(Self { https, host: host.to_ascii_lowercase(), port, target })
    }

    /// Resolves `reference` against this URL (RFC 3986, section 5.2), as far as registries need
    /// it: absolute, without a scheme, without a host, or a path relative to this one.
    pub(super) fn join(&self, reference: &str) -> Option<Self> {
        let scheme_end = reference.find(':').unwrap_or(0);
        let is_scheme = reference.bytes().take(scheme_end).all(|b| b.is_ascii_alphanumeric());
        if scheme_end > 0 && is_scheme {
            return Self::parse(reference);
        }
        let scheme = if self.https { "https" } else { "http" };
        if reference.starts_with("//") {
            return Self::parse(&format!("{scheme}:{reference}"));
        }
        let path = self.target.split('?').next().unwrap_or("/");
        let target = match reference {
            _ if reference.starts_with('/') => reference.to_owned(),
            _ if reference.starts_with('?') => format!("{path}{reference}"),
            _ => format!("{}/{reference}", path.rsplit_once('/').map_or("", |(dir, _)| dir)),
        };
        Self::parse(&format!("{scheme}://{}{target}", self.authority()))
    }

    /// The same URL with one more parameter in its query. The query's own text stays as it is.
    pub(super) fn with_query(&self, key: &str, value: &str) -> Self {
        let separator = if self.target.contains('?') { '&' } else { '?' };
        let target = format!("{}{separator}{key}={}", self.target, encode(value));
        Self { target, ..self.clone() }
    }

    pub(super) fn origin(&self) -> Origin {
        Origin { https: self.https, host: self.host.clone(), port: self.port }
    }

    pub(super) fn is_https(&self) -> bool {
        self.https
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// Host and port, the port only where it is not the scheme's own.
    pub(super) fn authority(&self) -> String {
        let host = match self.host.contains(':') {
            true => format!("[{}]", self.host),
            false => self.host.clone(),
        };
        match (self.https, self.port) {
            (true, 443) | (false, 80) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }

    /// The whole text, for a request. It may hold a secret: a location is signed.
    pub(super) fn text(&self) -> String {
        let scheme = if self.https { "https" } else { "http" };
        format!("{scheme}://{}{}", self.authority(), self.target)
    }

    /// Whether a registry at this URL may send a client to `target`, and if not, why.
    ///
    /// Encryption is never given up. An address of this machine or of a private network is followed
    /// only from an address of the same kind, so that a registry on the internet cannot reach what
    /// only this machine reaches.
    pub(super) fn may_lead_to(&self, target: &Self) -> Result<(), &'static str> {
        if self.https && !target.https {
            return Err("gives up encryption");
        }
        if self.host == target.host {
            return Ok(());
        }
        match (network(&self.host), network(&target.host)) {
            (_, Network::Public) => Ok(()),
            (_, Network::LinkLocal) => Err("leads to a link-local address"),
            (_, Network::Disguised) => Err("leads to an address in an unusual spelling"),
            (from, to) if from == to => Ok(()),
            (_, Network::Loopback) => Err("leads to this machine"),
            (_, Network::Private) => Err("leads into a private network"),
        }
    }
}

/// Without the query, which may hold a secret.
impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.https { "https" } else { "http" };
        let path = self.target.split('?').next().unwrap_or("/");
        write!(f, "{scheme}://{}{path}", self.authority())
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Whether `host`, without a port, is this machine.
pub(super) fn is_loopback(host: &str) -> bool {
    network(&host.to_ascii_lowercase()) == Network::Loopback
}

/// The host and the port of an authority. An IPv6 address is in brackets.
pub(super) fn split_port(authority: &str) -> Option<(&str, Option<&str>)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            host.parse::<Ipv6Addr>().ok()?;
            (host, if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) })
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let of_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    let is_host = host.contains(':') || (!host.is_empty() && host.bytes().all(of_name));
    let is_port =
        port.is_none_or(|port| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()));
    (is_host && is_port).then_some((host, port))
}

fn network(host: &str) -> Network {
    let host = host.strip_suffix('.').unwrap_or(host);
    if host == "localhost" || host.ends_with(".localhost") {
        return Network::Loopback;
    }
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => network_v4(address),
        Ok(IpAddr::V6(address)) => network_v6(address),
        // inet_aton(3): fewer parts, octal, hexadecimal.
        Err(_) => {
            let last = host.trim_end_matches('.').rsplit('.').next().unwrap_or("");
            let is_number = last.bytes().all(|b| b.is_ascii_digit()) || last.starts_with("0x");
            if is_number { Network::Disguised } else { Network::Public }
        }
    }
}

fn network_v4(address: Ipv4Addr) -> Network {
    let [first, second, ..] = address.octets();
    match (first, second) {
        (127 | 0, _) => Network::Loopback,
        (169, 254) => Network::LinkLocal,
        (100, 64..=127) => Network::Private,
        _ if address.is_private() => Network::Private,
        _ => Network::Public,
    }
}

fn network_v6(address: Ipv6Addr) -> Network {
    if let Some(address) = address.to_ipv4_mapped() {
        return network_v4(address);
    }
    match address.segments() {
        _ if address.is_loopback() || address.is_unspecified() => Network::Loopback,
        [0xfe80..=0xfebf, ..] => Network::LinkLocal,
        [0xfc00..=0xfdff, ..] => Network::Private,
        _ => Network::Public,
    }
}

/// Percent-encodes everything except RFC 3986's unreserved characters, `:` and `/`, which
/// registries expect to read in scopes and digests.
pub(super) fn encode(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'-' | b'.' | b'_' | b'~' | b':' | b'/' => out.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap_or_else(|| panic!("{text}"))
    }

    #[test]
    fn parses_and_prints() {
        assert_eq!(url("HTTPS://Ghcr.IO").text(), "https://ghcr.io/");
        assert_eq!(url("http://a:5000/v2/?x=1#y").text(), "http://a:5000/v2/?x=1");
        assert_eq!(url("https://a:443/x").text(), "https://a/x");
        assert_eq!(url("http://[::1]:5000/").text(), "http://[::1]:5000/");
        assert_eq!(url("https://a?b").text(), "https://a/?b");
        assert_eq!(url("https://a/b?secret=1").to_string(), "https://a/b");
    }

    #[test]
    fn refuses_disguises() {
        for text in [
            "ftp://a/",
            "file:///etc/passwd",
            "https://u:p@a/",
            "https://a@b/",
            "https:///x",
            "https://a:0/",
            "https://a:99999/",
            "https://a b/",
            "https://a\\b/",
            "https://a/\r\nX: y",
            "//a/b",
            "https://[::1/",
            "https://[x]/",
            "https://é/",
        ] {
            assert!(Url::parse(text).is_none(), "{text}");
        }
        assert!(Url::parse(&format!("https://a/{}", "x".repeat(MAX_LEN))).is_none());
    }

    #[test]
    fn joins_locations() {
        let base = url("https://a:5000/v2/n/blobs/uploads/?x=1");
        for (reference, joined) in [
            ("/v2/y?s=1&t", "https://a:5000/v2/y?s=1&t"),
            ("//b/y", "https://b/y"),
            ("http://b/y", "http://b/y"),
            ("id?s=a:b", "https://a:5000/v2/n/blobs/uploads/id?s=a:b"),
            ("?z", "https://a:5000/v2/n/blobs/uploads/?z"),
        ] {
            assert_eq!(base.join(reference).unwrap().text(), joined, "{reference}");
        }
        assert!(base.join("file:///etc/passwd").is_none());
        assert!(base.join("javascript:x").is_none());
    }

    #[test]
    fn adds_to_an_opaque_query() {
        let with = |text: &str| url(text).with_query("digest", "sha256:0a&b").text();
        assert_eq!(with("https://a/u"), "https://a/u?digest=sha256:0a%26b");
        assert_eq!(with("https://a/u?_state=x%3D"), "https://a/u?_state=x%3D&digest=sha256:0a%26b");
    }

    #[test]
    fn leads_nowhere_private() {
        let from = url("https://registry.example/");
        for refused in [
            "http://registry.example/",
            "http://other.example/",
            "https://127.0.0.1/",
            "https://localhost:1/",
            "https://localhost./",
            "https://x.localhost/",
            "https://10.1.2.3/",
            "https://[::1]/",
            "https://169.254.169.254/",
            "https://[fe80::1]/",
            "https://[::ffff:169.254.169.254]/",
            "https://192.168.0.1/",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://127.1/",
            "https://0.0.0.0/",
            "https://[fd00::1]/",
            "https://100.100.0.1/",
        ] {
            assert!(from.may_lead_to(&url(refused)).is_err(), "{refused}");
        }
        assert_eq!(from.may_lead_to(&url("https://cdn.example/x")), Ok(()));
        assert_eq!(from.may_lead_to(&url("https://8.8.8.8/x")), Ok(()));
        let local = url("http://127.0.0.1:5000/");
        assert_eq!(local.may_lead_to(&url("http://localhost:6000/")), Ok(()));
        assert!(local.may_lead_to(&url("http://169.254.169.254/")).is_err());
        assert_eq!(url("https://10.0.0.1/").may_lead_to(&url("https://10.0.0.2/")), Ok(()));
    }
}
