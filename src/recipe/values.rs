//! The values of instructions: what Docker's config holds, read strictly.

use super::Command;

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

#[cfg(test)]
mod tests {
    use super::*;

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
}
