//! The values of HEALTHCHECK.

use super::Command;
use crate::image::Healthcheck;

/// A health check, as HEALTHCHECK defines it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// The command; `None` disables the check of a base image.
    pub command: Option<Command>,
    /// Nanoseconds between two checks; 0 means the engine's default, here and below.
    pub interval: u64,
    /// Nanoseconds that one check may take.
    pub timeout: u64,
    /// Nanoseconds after the start during which failures do not count.
    pub start_period: u64,
    /// Nanoseconds between two checks during the start period.
    pub start_interval: u64,
    /// The number of consecutive failures that make a container unhealthy.
    pub retries: u32,
}

impl Health {
    /// The configuration's form.
    pub fn config(&self) -> Healthcheck {
        let test = match &self.command {
            None => vec!["NONE".into()],
            Some(Command::Exec(words)) => {
                ["CMD".into()].into_iter().chain(words.iter().cloned()).collect()
            }
            Some(Command::Shell(text)) => vec!["CMD-SHELL".into(), text.clone()],
        };
        let said = |number: u64| (number > 0).then_some(number);
        Healthcheck {
            test,
            interval: said(self.interval),
            timeout: said(self.timeout),
            start_period: said(self.start_period),
            start_interval: said(self.start_interval),
            retries: said(self.retries.into()),
        }
    }
}

/// Reads a duration such as `1m30s` or `1.5h`, in the syntax of Go, as nanoseconds.
///
/// # Errors
/// The cause, to be appended to "is not a duration"; may be empty.
pub(super) fn duration(text: &str) -> Result<u64, &'static str> {
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
    // The configuration holds an i64 of nanoseconds: 292 years.
    match total {
        _ if text.is_empty() => Err(""),
        _ if total >= 9.2e18 => Err(": it is too long"),
        _ if total > 0.0 && total < 1e6 => Err(": the minimum is one millisecond"),
        _ => Ok(total.round() as u64),
    }
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
}
