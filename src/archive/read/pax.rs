//! PAX records (POSIX.1-2001, pax Extended Header): `LENGTH KEY=VALUE\n`.

use super::{
    Fault,
    fields::{decimal, name},
    sparse,
};

/// The records of one header, which apply to the next member.
#[derive(Debug, Default)]
pub(super) struct Records {
    pub(super) path: Option<Vec<u8>>,
    pub(super) linkpath: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    /// Whole seconds, rounded down.
    pub(super) mtime: Option<i64>,
    /// Value of `security.capability`.
    pub(super) capability: Option<Vec<u8>>,
    /// The number of other extended attributes.
    pub(super) other_attributes: usize,
    pub(super) sparse: sparse::Records,
}

/// Reads the records of one header. With `padded`, NULs may follow the last one: GNU tar and Python
/// take them, and Go, with which engines read layers, does not.
pub(super) fn parse(mut body: &[u8], padded: bool) -> Result<Records, Fault> {
    let mut records = Records::default();
    while !body.is_empty() {
        if padded && body.iter().all(|&byte| byte == 0) {
            break;
        }
        let (key, value, rest) = record(body).ok_or(Fault::Record)?;
        records.push(key, value)?;
        body = rest;
    }
    Ok(records)
}

/// The key and value of the first record, and the rest.
pub(super) fn record(body: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let digits = body.iter().take(8).position(|&byte| byte == b' ')?;
    let len = usize::try_from(decimal(&body[..digits])?).ok()?;
    let (record, rest) = body.split_at_checked(len)?;
    let record = record.get(digits + 1..)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|&byte| byte == b'=').filter(|at| *at > 0)?;
    let (key, value) = (&record[..equals], &record[equals + 1..]);
    // Go refuses a NUL, and GNU tar skips blanks before the key.
    let clean = !key.contains(&0) && !matches!(key[0], b' ' | b'\t');
    clean.then_some((key, value, rest))
}

impl Records {
    fn push(&mut self, key: &[u8], value: &[u8]) -> Result<(), Fault> {
        match key {
            b"path" => set(&mut self.path, name(value)),
            b"linkpath" => set(&mut self.linkpath, name(value)),
            b"size" => set(&mut self.size, decimal(value)),
            b"uid" => set(&mut self.uid, decimal(value).and_then(|id| id.try_into().ok())),
            b"gid" => set(&mut self.gid, decimal(value).and_then(|id| id.try_into().ok())),
            b"mtime" => set(&mut self.mtime, seconds(value)),
            // Go refuses a NUL here too.
            b"uname" | b"gname" if value.contains(&0) => Err(Fault::Record),
            b"SCHILY.xattr.security.capability" => set(&mut self.capability, Some(value.to_vec())),
            b"SCHILY.realsize" => Err(Fault::Sparse),
            _ if key.starts_with(b"SCHILY.xattr.") => {
                self.other_attributes += 1;
                Ok(())
            }
            // Other times, user names, comments and vendor extensions.
            _ => match key.strip_prefix(b"GNU.sparse.") {
                Some(key) => self.sparse.push(key, value),
                None => Ok(()),
            },
        }
    }

    /// A global header may hold what changes neither names nor content: comments, as `git archive`
    /// writes them, times and owners. Go, and so every engine, does not apply them to entries, and
    /// neither does imgb.
    pub(super) fn check_global(&self) -> Result<(), Fault> {
        let harmless = self.path.is_none()
            && self.linkpath.is_none()
            && self.size.is_none()
            && self.capability.is_none()
            && self.sparse.is_empty();
        if harmless { Ok(()) } else { Err(Fault::Global) }
    }
}

/// Sets a field. Of two records, all readers take the last one; they disagree on what an empty one
/// means.
fn set<T>(slot: &mut Option<T>, value: Option<T>) -> Result<(), Fault> {
    *slot = Some(value.ok_or(Fault::Record)?);
    Ok(())
}

/// Decimal seconds with an optional sign and fraction, rounded down.
fn seconds(value: &[u8]) -> Option<i64> {
    let (negative, value) = match value.strip_prefix(b"-") {
        Some(value) => (true, value),
        None => (false, value),
    };
    let mut parts = value.splitn(2, |&byte| byte == b'.');
    let whole = i64::try_from(decimal(parts.next()?)?).ok()?;
    let fraction = parts.next().unwrap_or(b"0");
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let has_fraction = fraction.iter().any(|&digit| digit != b'0');
    Some(if negative { -whole - i64::from(has_fraction) } else { whole })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_must_be_whole() {
        let parse = |body: &[u8]| parse(body, false).map(|records| (records.path, records.size));
        for body in
            [&b"12 path=a/b\n10 size=7\n"[..], b"10 size=8\n9 path=a\n10 size=7\n12 path=a/b\n"]
        {
            assert_eq!(parse(body).unwrap(), (Some(b"a/b".to_vec()), Some(7)));
        }
        for body in [
            &b"12 path=a/b"[..],
            b"13 path=a/b\n",
            b"11 path=a/b\n",
            b"12 path=a/b\n\0",
            b"-2 path=a/b\n",
            b"99999999999999999999 path=a\n",
            b"8 path=\n",
            b"4 =\n",
            b"5 a\n",
            b"0 a=b\n",
            b"12 path=a\0b\n",
            b"12 path\0x=a\n",
            b"13  path=a/b\n",
            b"12 uname=a\0\n",
            b"11 size=-1\n",
            b"11 size=0x\n",
            b"27 size=18446744073709551616\n",
        ] {
            assert!(parse(body).is_err(), "{}", crate::path::escape(body));
        }
    }

    #[test]
    fn times_round_down() {
        for (text, wanted) in [
            ("0", Some(0)),
            ("1.999999999", Some(1)),
            ("-1", Some(-1)),
            ("-1.5", Some(-2)),
            ("-1.000", Some(-1)),
            ("", None),
            ("nan", None),
            ("1e3", None),
            ("1.-", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(seconds(text.as_bytes()), wanted, "{text}");
        }
    }
}
