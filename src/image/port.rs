//! The ports that an image exposes (OCI image-spec, config.md, `ExposedPorts`).

use std::{fmt, str::FromStr};

/// A range of ports of one protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// At least 1.
    first: u16,
    /// Not below `first`.
    last: u16,
    protocol: Protocol,
}

/// A transport protocol whose ports an image may expose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

/// Why a text does not name ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// Another protocol, or none after the slash.
    #[error("the protocol is tcp, udp or sctp")]
    Protocol,
    /// Not a number, or out of range.
    #[error("a port is a number from 1 to 65535")]
    Number,
    /// The end of a range is below its start.
    #[error("the range runs backwards")]
    Backwards,
    /// `8000-8001:80-90`
    #[error("the ranges do not have the same length")]
    Lengths,
}

/// `80`, `80/udp` or `8000-8010/tcp`; the protocol in any case, tcp if it is not given.
impl FromStr for Ports {
    type Err = PortError;

    fn from_str(text: &str) -> Result<Self, PortError> {
        let (range, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let protocol = match protocol.to_ascii_lowercase().as_str() {
            // docker takes a slash without a protocol too.
            "" | "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            "sctp" => Protocol::Sctp,
            _ => return Err(PortError::Protocol),
        };
        let (first, last) = range_of(range, 1)?;
        Ok(Self { first, last, protocol })
    }
}

impl Ports {
    /// As [`Ports::from_str`], for EXPOSE: as docker does, it takes `HOST:` or `IP:HOST:` in front,
    /// whose value has no effect. The host's port may be 0, which leaves the choice to the engine.
    ///
    /// # Errors
    /// [`PortError`]
    pub fn parse_published(text: &str) -> Result<Self, PortError> {
        let (host, container) = text.rsplit_once(':').unwrap_or(("", text));
        let ports: Self = container.parse()?;
        let host_port = host.rsplit_once(':').map_or(host, |(_, port)| port);
        if !host_port.is_empty() {
            let (first, last) = range_of(host_port, 0)?;
            let is_range = ports.first != ports.last;
            if is_range && last - first != ports.last - ports.first {
                return Err(PortError::Lengths);
            }
        }
        Ok(ports)
    }

    /// Each port as a key of `ExposedPorts`: `80/tcp`.
    pub fn keys(self) -> impl Iterator<Item = String> {
        (self.first..=self.last).map(move |port| format!("{port}/{}", self.protocol))
    }
}

/// `FIRST` or `FIRST-LAST`, decimal digits only, none of them below `least`.
fn range_of(text: &str, least: u16) -> Result<(u16, u16), PortError> {
    let port = |text: &str| {
        let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse().ok().filter(|number| is_digits && *number >= least);
        number.ok_or(PortError::Number)
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (port(first)?, port(last)?);
    if last < first { Err(PortError::Backwards) } else { Ok((first, last)) }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(ports: Result<Ports, PortError>) -> Result<String, PortError> {
        ports.map(|ports| ports.keys().collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn reads_ports_and_ranges() {
        for (text, wanted) in [
            ("80", "80/tcp"),
            ("0080", "80/tcp"),
            ("80/UDP", "80/udp"),
            ("80/", "80/tcp"),
            ("65535", "65535/tcp"),
            ("9-11/sctp", "9/sctp 10/sctp 11/sctp"),
        ] {
            assert_eq!(keys(text.parse()), Ok(wanted.to_owned()), "{text}");
            assert_eq!(keys(Ports::parse_published(text)), Ok(wanted.to_owned()), "{text}");
        }
    }

    #[test]
    fn the_published_form_may_name_the_host() {
        for (text, wanted) in [
            ("8080:80", "80/tcp"),
            ("0:80", "80/tcp"),
            ("127.0.0.1:1-2:3-4", "3/tcp 4/tcp"),
            ("127.0.0.1::90", "90/tcp"),
            ("1-9:80", "80/tcp"),
        ] {
            assert_eq!(keys(Ports::parse_published(text)), Ok(wanted.to_owned()), "{text}");
            assert!(text.parse::<Ports>().is_err(), "{text}");
        }
        assert_eq!(Ports::parse_published("1-2:3-9"), Err(PortError::Lengths));
    }

    #[test]
    fn refuses_what_is_not_a_port() {
        for (text, why) in [
            ("", PortError::Number),
            ("x", PortError::Number),
            ("0", PortError::Number),
            ("0/udp", PortError::Number),
            ("0-5", PortError::Number),
            ("8080:0", PortError::Number),
            ("65536", PortError::Number),
            ("-1", PortError::Number),
            ("+80", PortError::Number),
            ("1-", PortError::Number),
            ("80:", PortError::Number),
            ("2-1", PortError::Backwards),
            ("80/icmp", PortError::Protocol),
            ("80/tcp/udp", PortError::Protocol),
        ] {
            assert_eq!(Ports::parse_published(text), Err(why), "{text}");
        }
        assert_eq!(Ports::parse_published(":x:80"), Err(PortError::Number));
    }
}
