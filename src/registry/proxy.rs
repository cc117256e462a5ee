//! Which requests go through a proxy: `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`, as Go's programs
//! and curl read them.

use std::net::IpAddr;

use super::url::{Url, is_loopback, split_port};

/// The proxies of the environment.
#[derive(Clone, Default)]
pub struct Proxies {
    https: Option<String>,
    http: Option<String>,
    /// Hosts and domains that are reached directly, in lower case.
    none: Vec<String>,
}

/// Without the URLs, which may have a password.
impl std::fmt::Debug for Proxies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proxies").field("none", &self.none).finish_non_exhaustive()
    }
}

impl Proxies {
    /// Reads the variables, in upper or lower case, through `variable`.
    pub fn from_variables(variable: &dyn Fn(&str) -> Option<String>) -> Self {
        let either = |name: &str| {
            let found = variable(name).or_else(|| variable(&name.to_lowercase()));
            found.filter(|value| !value.trim().is_empty())
        };
        let all = either("ALL_PROXY");
        let none = either("NO_PROXY").unwrap_or_default();
        Self {
            https: either("HTTPS_PROXY").or_else(|| all.clone()),
            http: either("HTTP_PROXY").or(all),
            none: none
                .split([',', ' '])
                .map(|host| host.trim().to_ascii_lowercase())
                .filter(|host| !host.is_empty())
                .collect(),
        }
    }

    /// The proxy for `url`; `None` if it is reached directly. This machine always is.
    pub(super) fn of(&self, url: &Url) -> Option<&str> {
        let proxy = if url.is_https() { &self.https } else { &self.http };
        let proxy = proxy.as_deref()?;
        let direct = is_loopback(url.host()) || self.none.iter().any(|rule| covers(rule, url));
        (!direct).then_some(proxy)
    }
}

/// Whether an entry of `NO_PROXY` covers the host of `url`: `*`, a network as `10.0.0.0/8`, a host,
/// a domain with all below it (with or without a leading dot), the last two with an optional port.
fn covers(rule: &str, url: &Url) -> bool {
    if rule == "*" {
        return true;
    }
    if let Some((network, length)) = rule.split_once('/') {
        let address = url.host().parse::<IpAddr>().ok().zip(network.parse().ok());
        return address.is_some_and(|(address, network)| is_in(address, network, length));
    }
    let (name, port) = match rule.parse::<std::net::Ipv6Addr>() {
        Ok(_) => (rule, None),
        Err(_) => split_port(rule).unwrap_or((rule, None)),
    };
    if port.is_some_and(|port| port.parse() != Ok(url.origin().port)) {
        return false;
    }
    let domain = name.trim_start_matches("*.").trim_start_matches('.');
    let is_below = url.host().strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
    (url.host() == domain && !name.starts_with('.')) || (is_below && !domain.is_empty())
}

/// Whether an address is in the network of the first `length` bits of `network` (RFC 4632).
fn is_in(address: IpAddr, network: IpAddr, length: &str) -> bool {
    // Both at the upper end of 128 bits.
    let bits = |address| match address {
        IpAddr::V4(address) => (u128::from(u32::from(address)) << 96, 32),
        IpAddr::V6(address) => (u128::from(address), 128),
    };
    let ((address, width), (network, other)) = (bits(address), bits(network));
    let Some(length) = length.parse::<u32>().ok().filter(|length| *length <= width) else {
        return false;
    };
    let differing = (address ^ network).leading_zeros();
    width == other && differing >= length
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(pairs: &[(&str, &str)]) -> Proxies {
        Proxies::from_variables(&|name| {
            pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn picks_by_scheme_and_host() {
        let set = [
            ("HTTPS_PROXY", "http://p:1"),
            ("http_proxy", "http://q:2"),
            (
                "NO_PROXY",
                "a.example, .b.example,c.example:444,10.0.0.1,10.8.0.0/13,fd00::/8,1.2.3.4/x,/8",
            ),
        ];
        let proxies = proxies(&set);
        for (url, wanted) in [
            ("https://x.example/", Some("http://p:1")),
            ("http://x.example/", Some("http://q:2")),
            ("https://a.example/", None),
            ("https://sub.a.example/", None),
            ("https://xa.example/", Some("http://p:1")),
            ("https://b.example/", Some("http://p:1")),
            ("https://x.b.example/", None),
            ("https://c.example/", Some("http://p:1")),
            ("https://c.example:444/", None),
            ("https://10.0.0.1/", None),
            ("https://10.0.0.2/", Some("http://p:1")),
            ("https://10.8.0.1/", None),
            ("https://10.15.255.255:5000/", None),
            ("https://10.16.0.0/", Some("http://p:1")),
            ("https://1.2.3.4/", Some("http://p:1")),
            ("https://[fd12::1]/", None),
            ("https://[fe80::1]/", Some("http://p:1")),
            ("http://127.0.0.1:5000/", None),
            ("http://localhost:5000/", None),
        ] {
            assert_eq!(proxies.of(&Url::parse(url).unwrap()), wanted, "{url}");
        }
    }

    #[test]
    fn debugging_shows_no_password() {
        let proxies = proxies(&[("HTTPS_PROXY", "http://me:CANARY@p:1")]);
        assert!(!format!("{proxies:?}").contains("CANARY"));
    }
}
