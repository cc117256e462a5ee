//! Times in an image: whole seconds, given by the caller and never read from a clock.

mod content;

use std::fmt;

pub use content::ContentTime;

/// Whole seconds since 1970-01-01T00:00:00Z; negative values are before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(i64);

impl Timestamp {
    /// 1970-01-01T00:00:00Z, the default time of an image.
    pub const EPOCH: Self = Self(0);

    /// 1980-01-02T00:00:00Z, the default time of everything without content, and not later than
    /// that of any content. Some programs take time 0 for a missing file, and ZIP archives begin
    /// with 1980, in local time.
    pub const EARLIEST: Self = Self(315_619_200);

    /// The time `seconds` after 1970; `None` outside the years 0000 to 9999, which RFC 3339 cannot
    /// write.
    pub fn from_seconds(seconds: i64) -> Option<Self> {
        let time = jiff::Timestamp::from_second(seconds).ok()?;
        (0..=9999).contains(&time.to_zoned(jiff::tz::TimeZone::UTC).year()).then_some(Self(seconds))
    }

    /// Whole seconds since 1970.
    pub fn seconds(self) -> i64 {
        self.0
    }

    /// Parses `SOURCE_DATE_EPOCH`: decimal seconds
    /// (<https://reproducible-builds.org/specs/source-date-epoch/>).
    pub fn from_source_date_epoch(text: &str) -> Option<Self> {
        Self::from_seconds(text.trim().parse().ok()?)
    }

    /// Parses a time of RFC 3339. Fractions of a second are dropped.
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        Self::from_seconds(text.parse::<jiff::Timestamp>().ok()?.as_second())
    }
}

/// The time of last modification that a file has in an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mtime {
    /// [`ContentTime`] of a regular file's content, [`Timestamp::EARLIEST`] for everything else.
    #[default]
    OfContent,
    /// Decided by the user, by a base image or by what is compiled from the file.
    At(Timestamp),
}

impl Mtime {
    /// The time of the image's configuration where all its files have this time.
    pub fn of_image(self) -> Timestamp {
        match self {
            Self::OfContent => Timestamp::EPOCH,
            Self::At(time) => time,
        }
    }
}

/// RFC 3339 with a `Z`, as in `created` of the OCI configuration.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_second(self.0) {
            Ok(time) => write!(f, "{time}"),
            Err(_) => write!(f, "{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_rfc_3339() {
        assert_eq!(Timestamp::EPOCH.to_string(), "1970-01-01T00:00:00Z");
        assert_eq!(
            Timestamp::from_seconds(1_700_000_000).unwrap().to_string(),
            "2023-11-14T22:13:20Z"
        );
    }

    #[test]
    fn reads_rfc_3339() {
        for text in ["2023-11-14T22:13:20Z", "2023-11-14T23:13:20.9+01:00"] {
            assert_eq!(Timestamp::from_rfc3339(text), Timestamp::from_seconds(1_700_000_000));
        }
        assert_eq!(Timestamp::from_rfc3339("yesterday"), None);
    }

    #[test]
    fn refuses_what_rfc_3339_cannot_write() {
        assert_eq!(Timestamp::from_seconds(i64::MAX), None);
        assert_eq!(Timestamp::from_seconds(-62_167_219_201), None);
        assert_eq!(Timestamp::from_source_date_epoch("x"), None);
    }
}
