//! When a failed request is tried again: exponential backoff with full jitter, `Retry-After`, and a
//! limit on the whole.

use std::{
    hash::{BuildHasher as _, RandomState},
    time::{Duration, Instant},
};

use jiff::fmt::rfc2822::DateTimeParser;

use super::{error::RegistryError, http::Response, notices::Notices};

/// How often and how long a failed request is tried again.
#[derive(Clone, Debug)]
pub struct Retry {
    /// Attempts without progress, the first included.
    pub attempts: u32,
    /// The longest wait before the second attempt. It doubles with each further one.
    pub base: Duration,
    /// The longest wait at all, also where a registry asks for more.
    pub cap: Duration,
    /// No attempt begins later than this after the first, or after the last progress.
    pub total: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { attempts: 5, base: seconds(2), cap: seconds(60), total: seconds(600) }
    }
}

/// A wait that the user is told of.
const WORTH_TELLING: Duration = Duration::from_secs(1);

/// Why one attempt failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// Another attempt would fail too.
    Final(RegistryError),
    /// Another attempt may succeed, after the time that the registry asks for.
    Transient { error: RegistryError, after: Option<Duration> },
}

impl From<RegistryError> for Failure {
    fn from(error: RegistryError) -> Self {
        Self::Final(error)
    }
}

/// The attempts at one thing.
#[derive(Debug)]
pub(super) struct Attempts {
    retry: Retry,
    notices: Notices,
    failed: u32,
    start: Instant,
}

impl Attempts {
    pub(super) fn new(retry: &Retry, notices: Notices) -> Self {
        Self { retry: retry.clone(), notices, failed: 0, start: Instant::now() }
    }

    /// After progress, the count and the clock begin anew.
    pub(super) fn progress(&mut self) {
        self.failed = 0;
        self.start = Instant::now();
    }

    /// Waits after a failed attempt; the error if there shall not be another.
    pub(super) fn wait(&mut self, failure: Failure) -> Result<(), RegistryError> {
        let (error, after) = match failure {
            Failure::Final(error) => return Err(error),
            Failure::Transient { error, after } => (error, after),
        };
        self.failed += 1;
        let longest = backoff(&self.retry, self.failed);
        let wait = after.map_or_else(|| jitter(longest), |after| after.min(self.retry.cap));
        if self.failed >= self.retry.attempts || self.start.elapsed() + wait > self.retry.total {
            return Err(error);
        }
        if wait >= WORTH_TELLING {
            let seconds = wait.as_secs();
            self.notices.once(&format!("{error}; imgb tries again, in {seconds} s"));
        }
        std::thread::sleep(wait);
        Ok(())
    }
}

/// The longest wait after `failed` attempts.
fn backoff(retry: &Retry, failed: u32) -> Duration {
    let factor = 1_u32.checked_shl(failed.saturating_sub(1)).unwrap_or(u32::MAX);
    retry.base.saturating_mul(factor).min(retry.cap)
}

/// A random time up to `longest`, so that clients that failed together do not come back together.
fn jitter(longest: Duration) -> Duration {
    // The keys of a `RandomState` are random, and differ with each.
    let random = RandomState::new().hash_one(0) >> 11;
    longest.mul_f64(random as f64 / (1_u64 << 53) as f64)
}

/// Whether a status says that another attempt may succeed. 499 and 522 are those of nginx and
/// Cloudflare for connections that broke.
pub(super) fn is_transient(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 499 | 500 | 502 | 503 | 504 | 522)
}

/// What `Retry-After` asks for: seconds, or a date, which is compared with the `Date` of the same
/// response (RFC 9110, section 10.2.3).
pub(super) fn retry_after(response: &Response) -> Option<Duration> {
    parse_retry_after(response.header("retry-after")?, response.header("date"))
}

fn parse_retry_after(value: &str, date: Option<&str>) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let parse = |text: &str| DateTimeParser::new().parse_timestamp(text).ok();
    let seconds = parse(value)?.as_second() - parse(date?)?.as_second();
    Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_retry_after() {
        let seconds = |n| Some(Duration::from_secs(n));
        let date = Some("Wed, 21 Oct 2015 07:28:00 GMT");
        assert_eq!(parse_retry_after("7", None), seconds(7));
        assert_eq!(parse_retry_after("99999999999999999999999", None), seconds(u64::MAX));
        assert_eq!(parse_retry_after("Wed, 21 Oct 2015 07:28:30 GMT", date), seconds(30));
        assert_eq!(parse_retry_after("Wed, 21 Oct 2015 07:27:30 GMT", date), seconds(0));
        assert_eq!(parse_retry_after("Wed, 21 Oct 2015 07:28:30 GMT", None), None);
        for wrong in ["", "-1", "soon", "1e9"] {
            assert_eq!(parse_retry_after(wrong, date), None, "{wrong}");
        }
    }

    #[test]
    fn waits_grow_up_to_the_cap() {
        let retry = Retry::default();
        let waits: Vec<u64> = (1..8).map(|failed| backoff(&retry, failed).as_secs()).collect();
        assert_eq!(waits, [2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(backoff(&retry, u32::MAX), retry.cap);
        let random: Vec<Duration> = (0..100).map(|_| jitter(retry.cap)).collect();
        assert!(random.iter().all(|wait| *wait <= retry.cap));
        assert!(random.iter().any(|wait| *wait != random[0]));
    }

    #[test]
    fn gives_up_after_the_last_attempt_and_at_the_limit() {
        let retry = |total| Retry {
            attempts: 3,
            base: Duration::ZERO,
            cap: Duration::from_secs(60),
            total: Duration::from_secs(total),
        };
        let failure = |after| Failure::Transient {
            error: RegistryError::Setting("x".into()),
            after: Some(Duration::from_secs(after)),
        };
        let mut attempts = Attempts::new(&retry(600), Notices::default());
        assert!(attempts.wait(failure(0)).is_ok());
        assert!(attempts.wait(failure(0)).is_ok());
        assert!(attempts.wait(failure(0)).is_err());
        attempts.progress();
        assert!(attempts.wait(failure(0)).is_ok());
        // A wait that would go past the limit is not begun.
        assert!(
            Attempts::new(&retry(59), Notices::default()).wait(failure(1_000_000_000)).is_err()
        );
    }
}
