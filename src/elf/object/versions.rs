//! Symbol versions that an object needs (`verneed`) and defines (`verdef`). The structures are the
//! same for both classes (LSB 5.0 Core, "Symbol Versioning").

use std::sync::Arc;

use super::{Bytes, ObjectError, Stop, strings::Strings};

/// The versions needed from one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verneed {
    /// The DT_NEEDED name of the library that must define them.
    pub file: Arc<[u8]>,
    /// The versions.
    pub versions: Vec<NeededVersion>,
}

/// One needed version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NeededVersion {
    /// Its name, such as `GLIBC_2.34`.
    pub name: Arc<[u8]>,
    /// Whether the loader only warns if the version is missing (`VER_FLG_WEAK`).
    pub weak: bool,
}

/// Maximum records of one table; glibc's largest library has about 60.
const MAX_RECORDS: usize = 16 << 10;

/// A chain of version records, at a file offset.
#[derive(Clone, Copy)]
pub(super) struct Chain {
    pub(super) offset: u64,
    pub(super) count: u64,
    pub(super) big_endian: bool,
}

impl Chain {
    fn u16(self, bytes: &[u8], at: usize) -> u16 {
        let raw =
            bytes.get(at..at + 2).and_then(|b| <[u8; 2]>::try_from(b).ok()).unwrap_or_default();
        if self.big_endian { u16::from_be_bytes(raw) } else { u16::from_le_bytes(raw) }
    }

    fn u32(self, bytes: &[u8], at: usize) -> u32 {
        let raw =
            bytes.get(at..at + 4).and_then(|b| <[u8; 4]>::try_from(b).ok()).unwrap_or_default();
        if self.big_endian { u32::from_be_bytes(raw) } else { u32::from_le_bytes(raw) }
    }

    /// `Elfxx_Verneed` and `Elfxx_Vernaux`, 16 bytes each.
    pub(super) fn needed(
        self,
        bytes: &mut Bytes<'_>,
        strings: &mut Strings,
    ) -> Result<Vec<Verneed>, Stop> {
        let (mut out, mut at, mut records) = (Vec::new(), self.offset, 0);
        for _ in 0..self.count {
            let head = bytes.get(at, 16, "DT_VERNEED")?.to_vec();
            let file = strings.get(bytes, self.u32(&head, 4).into(), "DT_VERNEED")?;
            let mut versions = Vec::new();
            let mut aux = at.saturating_add(self.u32(&head, 8).into());
            for _ in 0..self.u16(&head, 2) {
                count(&mut records, "DT_VERNEED")?;
                let entry = bytes.get(aux, 16, "DT_VERNEED")?.to_vec();
                let name = strings.get(bytes, self.u32(&entry, 8).into(), "DT_VERNEED")?;
                versions.push(NeededVersion { name, weak: self.u16(&entry, 4) & 2 != 0 });
                match self.u32(&entry, 12) {
                    0 => break,
                    next => aux = aux.saturating_add(next.into()),
                }
            }
            out.push(Verneed { file, versions });
            count(&mut records, "DT_VERNEED")?;
            match self.u32(&head, 12) {
                0 => break,
                next => at = at.saturating_add(next.into()),
            }
        }
        Ok(out)
    }

    /// The first name of each `Elfxx_Verdef` (20 bytes), which is its own; further names are those
    /// of its parents.
    pub(super) fn defined(
        self,
        bytes: &mut Bytes<'_>,
        strings: &mut Strings,
    ) -> Result<Vec<Arc<[u8]>>, Stop> {
        let (mut out, mut at, mut records) = (Vec::new(), self.offset, 0);
        for _ in 0..self.count {
            count(&mut records, "DT_VERDEF")?;
            let head = bytes.get(at, 20, "DT_VERDEF")?.to_vec();
            let aux = at.saturating_add(self.u32(&head, 12).into());
            let name = self.u32(bytes.get(aux, 8, "DT_VERDEF")?, 0);
            out.push(strings.get(bytes, name.into(), "DT_VERDEF")?);
            match self.u32(&head, 16) {
                0 => break,
                next => at = at.saturating_add(next.into()),
            }
        }
        Ok(out)
    }
}

fn count(records: &mut usize, what: &'static str) -> Result<(), Stop> {
    *records += 1;
    if *records > MAX_RECORDS {
        return Err(ObjectError::TooMany { what, limit: MAX_RECORDS }.into());
    }
    Ok(())
}
