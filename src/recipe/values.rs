//! The values of instructions: what Docker's config holds, read strictly.

use std::fmt;

use super::Command;

/// Ports that EXPOSE names: as text, `80/tcp`, one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// The first.
    pub first: u16,
    /// The last; not below the first.
    pub last: u16,
    /// Which kind.
    pub protocol: Protocol,
}

/// A transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are their own names")]
pub enum Protocol {
    Tcp,
    Udp,
    Sctp,
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

impl Ports {
    /// Reads `80`, `80/udp` or `8000-8010/tcp`. As Docker, it takes `IP:HOST:` and `HOST:` before
    /// it and does nothing with them.
    ///
    /// # Errors
    /// What is wrong, as a fragment.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (host, container) = text.rsplit_once(':').unwrap_or(("", text));
        let (range, protocol) = container.split_once('/').unwrap_or((container, ""));
        let protocol = match protocol.to_ascii_lowercase().as_str() {
            "" | "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            "sctp" => Protocol::Sctp,
            _ => return Err("the protocol is tcp, udp or sctp"),
        };
        let (first, last) = port_range(range)?;
        let host_port = host.rsplit_once(':').map_or(host, |(_, port)| port);
        if !host_port.is_empty() {
            let (from, to) = port_range(host_port)?;
            if first != last && to - from != last - first {
                return Err("the ranges are not of the same length");
            }
        }
        Ok(Self { first, last, protocol })
    }

    /// One text a port, as the config's `ExposedPorts` has them.
    pub fn each(self) -> impl Iterator<Item = String> {
        (self.first..=self.last).map(move |port| format!("{port}/{}", self.protocol))
    }
}

fn port_range(text: &str) -> Result<(u16, u16), &'static str> {
    let port = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|_| digits).ok_or("a port is a number from 0 to 65535")
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (port(first)?, port(last)?);
    if last < first {
        return Err("the range runs backwards");
    }
    Ok((first, last))
}

/// Signals that have a name of their own on Linux, without `SIG`.
const SIGNALS: &[&str] = &[
    "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL",
    "PIPE", "POLL", "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP",
    "TTIN", "TTOU", "URG", "USR1", "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ", "RTMIN", "RTMAX",
];

/// Whether STOPSIGNAL may name it so: a number up to 64, or a name in any case with or without
/// `SIG`.
///
/// # Errors
/// The name that was perhaps meant.
pub fn signal(text: &str) -> Result<(), Option<&'static str>> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok().filter(|number| (1..=64).contains(number)).map(drop).ok_or(None);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let real_time = |prefix, most| {
        let offset: Option<u32> = name.strip_prefix(prefix).and_then(|number| number.parse().ok());
        offset.is_some_and(|offset| (1..=most).contains(&offset))
    };
    if SIGNALS.contains(&name) || real_time("RTMIN+", 15) || real_time("RTMAX-", 14) {
        return Ok(());
    }
    Err(near(name, SIGNALS.iter().copied()))
}

/// Nanoseconds that a duration such as `1m30s` or `1.5h` stands for.
///
/// # Errors
/// What is wrong, as the end of a sentence; empty if all of it.
pub fn duration(text: &str) -> Result<u64, &'static str> {
    if text == "0" {
        return Ok(0);
    }
    let (mut total, mut rest) = (0_f64, text);
    while !rest.is_empty() {
        let number = rest
            .find(|char: char| !char.is_ascii_digit() && char != '.')
            .ok_or(": its unit is missing")?;
        let (value, after) = rest.split_at(number);
        let unit =
            after.find(|char: char| char.is_ascii_digit() || char == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit);
        let scale = match unit {
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return Err(""),
        };
        total += value.parse::<f64>().map_err(|_| "")? * scale;
        rest = after;
    }
    // An i64 of nanoseconds is what the config can hold: 292 years.
    match total {
        _ if text.is_empty() => Err(""),
        _ if total >= 9.2e18 => Err(": it is too long"),
        _ if total > 0.0 && total < 1e6 => Err(": one millisecond is the least"),
        _ => Ok(total.round() as u64),
    }
}

/// What HEALTHCHECK says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// The command; `None` takes away what a base image has.
    pub command: Option<Command>,
    /// Nanoseconds between two checks; 0 is the engine's default, in all of these.
    pub interval: u64,
    /// Nanoseconds that one may take.
    pub timeout: u64,
    /// Nanoseconds at the start in which failures do not count.
    pub start_period: u64,
    /// Nanoseconds between two checks in that time.
    pub start_interval: u64,
    /// Failures in a row that make a container unhealthy.
    pub retries: u32,
}

/// `--chown`: who owns what is copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Before the colon.
    pub user: Principal,
    /// Behind it; without, it is the user's.
    pub group: Option<Principal>,
}

/// A user or a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// By number.
    Id(u32),
    /// By a name that the image's `/etc/passwd` or `/etc/group` has.
    Name(String),
}

impl Owner {
    /// Reads `USER` or `USER:GROUP`; neither may be empty.
    pub fn parse(text: &str) -> Option<Self> {
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(Principal::parse(group)?)),
            None => (text, None),
        };
        Some(Self { user: Principal::parse(user)?, group })
    }
}

impl Principal {
    fn parse(text: &str) -> Option<Self> {
        let number = text.bytes().all(|byte| byte.is_ascii_digit());
        match text {
            "" => None,
            _ if text.contains([':', '/', '\n', '\0']) => None,
            // The last id is no id: chown(2) takes it for "leave as it is".
            _ if number => text.parse().ok().filter(|&id| id != u32::MAX).map(Self::Id),
            _ => Some(Self::Name(text.into())),
        }
    }
}

/// Whether the name of a variable tells of a secret: `API_KEY` and `token` do, `PUBLIC_KEY` and
/// `PASSWORD_FILE` do not. The words are those of BuildKit's rule `SecretsUsedInArgOrEnv`.
pub fn names_secret(name: &str) -> bool {
    const SECRET: &[&str] = &[
        "apikey",
        "auth",
        "credential",
        "credentials",
        "key",
        "password",
        "pword",
        "passwd",
        "secret",
        "token",
    ];
    const HARMLESS: &[&str] = &["public", "file", "version"];
    let lower = name.to_ascii_lowercase();
    let any = |list: &[&str]| lower.split('_').any(|part| list.contains(&part));
    any(SECRET) && !any(HARMLESS)
}

/// The one of `names` that `word` is nearly: at most two letters are wrong, and less than half of
/// them.
pub fn near<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_ascii_uppercase();
    let length = word.chars().count();
    let distances =
        names.into_iter().filter(|name| name.len().abs_diff(word.len()) <= 2).filter_map(|name| {
            let distance = distance(&word, &name.to_ascii_uppercase());
            (length <= 40 && distance <= 2 && distance * 2 < length.max(2))
                .then_some((distance, name))
        });
    // The first of equals, so that the answer does not hang on chance.
    distances.min_by_key(|&(distance, _)| distance).map(|(_, name)| name)
}

/// Letters to add, to drop, to change or to swap with a neighbour (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let same = a[i - 1] == b[j - 1];
                let change = rows[i - 1][j - 1] + usize::from(!same);
                let swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
                let swap = if swapped { rows[i - 2][j - 2] + 1 } else { usize::MAX };
                change.min(swap).min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1)
            };
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_ports() {
        let each =
            |text: &str| Ports::parse(text).map(|ports| ports.each().collect::<Vec<_>>().join(" "));
        for (text, wanted) in [
            ("80", "80/tcp"),
            ("80/UDP", "80/udp"),
            ("9-11/sctp", "9/sctp 10/sctp 11/sctp"),
            ("0", "0/tcp"),
            ("8080:80", "80/tcp"),
            ("127.0.0.1:1-2:3-4", "3/tcp 4/tcp"),
            ("1-9:80", "80/tcp"),
            ("80/", "80/tcp"),
        ] {
            assert_eq!(each(text).unwrap(), wanted, "{text}");
        }
        for text in [
            "",
            "x",
            "65536",
            "-1",
            "1-",
            "2-1",
            "80/foo",
            "+80",
            "80/tcp/udp",
            "1-2:3-9",
            "80:",
            ":x:80",
        ] {
            assert!(each(text).is_err(), "{text}");
        }
    }

    #[test]
    fn knows_signals() {
        for text in ["SIGKILL", "kill", "Sigterm", "9", "64", "SIGRTMIN+3", "rtmax-14", "SIGRTMAX"]
        {
            assert_eq!(signal(text), Ok(()), "{text}");
        }
        for text in ["", "0", "65", "FOO", "SIGRTMIN+16", "SIGRTMAX-0", "-9", "SIGSIGKILL"] {
            assert!(signal(text).is_err(), "{text}");
        }
        assert_eq!(signal("SIGTEMR"), Err(Some("TERM")));
    }

    #[test]
    fn reads_durations() {
        for (text, nanoseconds) in [
            ("0", 0),
            ("0s", 0),
            ("30s", 30_000_000_000),
            ("1m30s", 90_000_000_000),
            ("1.5h", 5_400_000_000_000),
            ("1ms", 1_000_000),
            (".5s", 500_000_000),
            ("1000us", 1_000_000),
        ] {
            assert_eq!(duration(text), Ok(nanoseconds), "{text}");
        }
        for text in ["", "5", "-5s", "5ns", "s", "5x", "1..5s", "9999999h", "1e9s", "5s ", "inf"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn reads_owners() {
        let name = |text: &str| Principal::Name(text.into());
        assert_eq!(Owner::parse("5"), Some(Owner { user: Principal::Id(5), group: None }));
        assert_eq!(
            Owner::parse("a:7"),
            Some(Owner { user: name("a"), group: Some(Principal::Id(7)) })
        );
        for text in ["", ":", "a:", ":a", "a:b:c", "4294967295", "9999999999", "a/b"] {
            assert_eq!(Owner::parse(text), None, "{text}");
        }
    }

    #[test]
    fn suspects_secrets() {
        for name in ["API_KEY", "token", "GITHUB_TOKEN", "secret_message", "DB_PASSWORD", "AUTH"] {
            assert!(names_secret(name), "{name}");
        }
        for name in ["KEYBOARD", "PUBLIC_KEY", "PASSWORD_FILE", "AUTHOR", "TOKEN_VERSION", "A"] {
            assert!(!names_secret(name), "{name}");
        }
    }

    #[test]
    fn guesses_what_was_meant() {
        let guess = |word| near(word, ["COPY", "CMD", "ADD", "ENTRYPOINT"]);
        assert_eq!(guess("COPPY"), Some("COPY"));
        assert_eq!(guess("ocpy"), Some("COPY"));
        assert_eq!(guess("ENTRPOINT"), Some("ENTRYPOINT"));
        for word in ["XYZ", "A", "", "FOO", "C"] {
            assert_eq!(guess(word), None, "{word}");
        }
    }
}
