//! The cache's record of one layer, as text that is checked when it is read. Pure.

use std::fmt::Write as _;

use crate::digest::{DiffId, Digest};

/// The first line. Another one means another format.
const TITLE: &str = "imgb layer 1";

/// The longest record that is read, in bytes.
pub(super) const MAX_RECORD: u64 = 4096;

/// What lstat(2) reports for a file until somebody changes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Device and inode.
    pub(super) id: (u64, u64),
    /// Modification time: seconds and nanoseconds.
    pub(super) mtime: (i64, u32),
    /// Status change time: seconds and nanoseconds. No system call can set it back.
    pub(super) ctime: (i64, u32),
}

/// A layer in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) digest: Digest,
    pub(super) size: u64,
    pub(super) diff_id: DiffId,
    pub(super) tar_size: u64,
    pub(super) members: u64,
    /// Of the blob's file when its digest was last computed.
    pub(super) stamp: Stamp,
    /// The id of the boot that this was in; empty where the system does not provide one.
    pub(super) boot: String,
}

impl Record {
    /// The record as text, with a digest of the text at the end.
    pub(super) fn print(&self) -> String {
        let Stamp { id, mtime, ctime } = self.stamp;
        let mut text = String::new();
        let _ = write!(
            text,
            "{TITLE}\ndigest {}\nsize {}\ndiff-id {}\ntar-size {}\nmembers {}\n\
             inode {} {}\nmtime {} {}\nctime {} {}\nboot {}\n",
            self.digest,
            self.size,
            self.diff_id,
            self.tar_size,
            self.members,
            id.0,
            id.1,
            mtime.0,
            mtime.1,
            ctime.0,
            ctime.1,
            self.boot
        );
        let sum = Digest::of(&text);
        let _ = writeln!(text, "sum {sum}");
        text
    }

    /// Parses a record; `None` for anything that [`Record::print`] has not written.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let body = text.get(..text.rfind("sum ")?)?;
        let mut lines = body.lines();
        if lines.next()? != TITLE {
            return None;
        }
        let mut field = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(' ');
        let record = Self {
            digest: field("digest")?.parse().ok()?,
            size: field("size")?.parse().ok()?,
            diff_id: DiffId(field("diff-id")?.parse().ok()?),
            tar_size: field("tar-size")?.parse().ok()?,
            members: field("members")?.parse().ok()?,
            stamp: Stamp {
                id: pair(field("inode")?)?,
                mtime: pair(field("mtime")?)?,
                ctime: pair(field("ctime")?)?,
            },
            boot: field("boot")?.to_owned(),
        };
        // This also compares the sum, and rejects other spellings of the same values.
        (record.print() == text).then_some(record)
    }
}

fn pair<A: std::str::FromStr, B: std::str::FromStr>(text: &str) -> Option<(A, B)> {
    let (a, b) = text.split_once(' ')?;
    Some((a.parse().ok()?, b.parse().ok()?))
}

/// Whether a file with this ctime could be changed after `now` and keep its ctime, because the
/// clock that stamps files ticks in steps. Git calls such files racy. Both times are seconds and
/// nanoseconds; `now` is that of a file created then, so it is read from the same clock. A file
/// system without fractions of a second may round to two seconds.
pub fn is_racy(ctime: (i64, u32), now: (i64, u32)) -> bool {
    if ctime.1 == 0 { ctime.0.saturating_add(2) >= now.0 } else { ctime >= now }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            digest: Digest::of("blob"),
            size: 4,
            diff_id: DiffId(Digest::of("tar")),
            tar_size: 1024,
            members: 3,
            stamp: Stamp { id: (7, 8), mtime: (-1, 5), ctime: (9, 999_999_999) },
            boot: "b1-2".into(),
        }
    }

    #[test]
    fn reads_what_it_wrote() {
        for record in [record(), Record { boot: String::new(), ..record() }] {
            assert_eq!(Record::parse(&record.print()), Some(record));
        }
    }

    #[test]
    fn no_changed_byte_goes_unseen() {
        let text = record().print();
        for at in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] ^= 1;
            assert_eq!(
                String::from_utf8(changed).ok().and_then(|text| Record::parse(&text)),
                None,
                "{at}"
            );
            assert_eq!(Record::parse(&text[..at]), None, "cut at {at}");
        }
        assert_eq!(Record::parse(&format!("{text}\n")), None);
    }

    #[test]
    fn racy_is_what_the_clock_cannot_tell_apart() {
        assert!(!is_racy((10, 5), (10, 6)));
        assert!(is_racy((10, 6), (10, 6)) && is_racy((11, 1), (10, 6)));
        assert!(is_racy((9, 0), (10, 6)) && !is_racy((7, 0), (10, 6)));
    }
}
