//! The signals that an image may name as its stop signal (OCI image-spec, config.md, `StopSignal`).

use std::{fmt, str::FromStr};

use crate::suggest;

/// Names of the signals of Linux, without `SIG`, as in moby's `sys/signal`.
const NAMES: &[&str] = &[
    "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL",
    "PIPE", "POLL", "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP",
    "TTIN", "TTOU", "URG", "USR1", "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ", "RTMIN", "RTMAX",
];

/// The largest signal number on Linux, SIGRTMAX.
const MAX_NUMBER: u8 = 64;

/// A stop signal, which keeps the spelling it was given: `SIGTERM`, `term`, `15`, `RTMIN+3`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StopSignal(String);

/// A text that does not name a signal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a signal: write SIGTERM, TERM or 15")]
pub struct SignalError {
    /// The signal that was probably meant, without `SIG`.
    pub suggestion: Option<&'static str>,
}

/// A number from 1 to 64, or a name in any case, with or without `SIG`. The real-time signals
/// between SIGRTMIN and SIGRTMAX are `RTMIN+1` to `RTMIN+15` and `RTMAX-1` to `RTMAX-14`, as in
/// bash's `kill -l`.
impl FromStr for StopSignal {
    type Err = SignalError;

    fn from_str(text: &str) -> Result<Self, SignalError> {
        let known = Self(text.to_owned());
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            let number = text.parse().ok().filter(|number| (1..=MAX_NUMBER).contains(number));
            return number.map(|_| known).ok_or(SignalError { suggestion: None });
        }
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        let is_real_time = |prefix, most| {
            let offset: Option<u8> = name.strip_prefix(prefix).and_then(|rest| rest.parse().ok());
            offset.is_some_and(|offset| (1..=most).contains(&offset))
        };
        if NAMES.contains(&name) || is_real_time("RTMIN+", 15) || is_real_time("RTMAX-", 14) {
            return Ok(known);
        }
        Err(SignalError { suggestion: suggest::closest(name, NAMES.iter().copied()) })
    }
}

impl fmt::Display for StopSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_names_and_numbers_and_keeps_their_spelling() {
        for text in [
            "SIGKILL",
            "kill",
            "Sigterm",
            "1",
            "9",
            "64",
            "SIGRTMIN",
            "SIGRTMIN+3",
            "rtmin+15",
            "rtmax-14",
            "SIGRTMAX",
        ] {
            assert_eq!(text.parse::<StopSignal>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn refuses_what_is_not_a_signal() {
        for text in [
            "",
            "0",
            "65",
            "300",
            "+9",
            "-9",
            "FOO",
            "SIG",
            "SIGSIGKILL",
            "RTMIN+0",
            "SIGRTMIN+16",
            "RTMIN+99",
            "RTMIN-1",
            "SIGRTMAX-0",
            "RTMAX-15",
            "RTMAX+1",
        ] {
            assert!(text.parse::<StopSignal>().is_err(), "{text}");
        }
    }

    #[test]
    fn suggests_a_name() {
        let suggestion = |text: &str| text.parse::<StopSignal>().unwrap_err().suggestion;
        assert_eq!(suggestion("SIGTEMR"), Some("TERM"));
        assert_eq!(suggestion("NOTHING"), None);
    }
}
