//! The rows of one table of an SQLite database (<https://www.sqlite.org/fileformat2.html>), as far
//! as rpm's database needs it: whole tables are read in the order of their keys, nothing is written
//! and no SQL is understood.

/// Tables and pages of overflow go this deep.
const MAX_DEPTH: usize = 20;

/// Why a database cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SqliteError {
    /// Not an SQLite database.
    #[error("it is not an SQLite database")]
    Magic,
    /// A page, cell or record that contradicts the format.
    #[error("it is damaged")]
    Damaged,
    /// The table does not exist.
    #[error("it does not have the table `Packages`")]
    NoTable,
}

use SqliteError::{Damaged, Magic, NoTable};

/// A value of a row.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value<'a> {
    /// An integer.
    Integer(i64),
    /// Text or a blob.
    Bytes(&'a [u8]),
    /// NULL or a floating-point number.
    Other,
}

/// A database.
#[derive(Debug)]
pub(super) struct Sqlite<'a> {
    bytes: &'a [u8],
    page_size: usize,
    /// Bytes of a page without those that are reserved at its end.
    usable: usize,
}

impl<'a> Sqlite<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, SqliteError> {
        let header = bytes.get(..100).filter(|header| header.starts_with(b"SQLite format 3\0"));
        let header = header.ok_or(Magic)?;
        let page_size = match be(header, 16, 2)? {
            1 => 65536,
            size => size,
        };
        let usable = page_size.saturating_sub(be(header, 20, 1)?);
        if !page_size.is_power_of_two() || page_size < 512 || usable < 480 {
            return Err(Damaged);
        }
        Ok(Self { bytes, page_size, usable })
    }

    /// Calls `row` with the values of each row of the table `name`.
    pub(super) fn rows(
        &self,
        name: &[u8],
        row: &mut dyn FnMut(&[Value<'_>]),
    ) -> Result<(), SqliteError> {
        let mut root = None;
        self.walk(1, &mut |record| {
            if let [Value::Bytes(b"table"), Value::Bytes(found), _, Value::Integer(page), ..] =
                record
                && *found == name
            {
                root = usize::try_from(*page).ok();
            }
        })?;
        self.walk(root.ok_or(NoTable)?, row)
    }

    /// Calls `row` with each row of the table whose root is `page`.
    fn walk(&self, root: usize, row: &mut dyn FnMut(&[Value<'_>])) -> Result<(), SqliteError> {
        // Each page is a part of one table once: more of them than there are is a circle.
        let mut left = self.bytes.len() / self.page_size;
        // So is each byte a part of one row: cells may not share what they point to.
        let mut bytes_left = self.bytes.len();
        let mut todo = vec![(root, 0)];
        while let Some((number, depth)) = todo.pop() {
            left = left.checked_sub(1).ok_or(Damaged)?;
            if depth > MAX_DEPTH {
                return Err(Damaged);
            }
            let page = self.page(number)?;
            // The first page begins with the header of the database.
            let start = if number == 1 { 100 } else { 0 };
            let cells = be(page, start + 3, 2)?;
            let (is_leaf, pointers) = match be(page, start, 1)? {
                0x0d => (true, start + 8),
                0x05 => (false, start + 12),
                _ => return Err(Damaged),
            };
            if !is_leaf {
                todo.push((be(page, start + 8, 4)?, depth + 1));
            }
            // The first cell is taken first: it is on top.
            for cell in (0..cells).rev().filter(|_| !is_leaf) {
                let at = be(page, pointers + 2 * cell, 2)?;
                todo.push((be(page, at, 4)?, depth + 1));
            }
            for cell in (0..cells).filter(|_| is_leaf) {
                let at = be(page, pointers + 2 * cell, 2)?;
                let payload = self.payload(page.get(at..).ok_or(Damaged)?, bytes_left)?;
                // A row without content takes the two bytes of its pointer.
                bytes_left = bytes_left.checked_sub(payload.len().max(2)).ok_or(Damaged)?;
                row(&record(&payload)?);
            }
        }
        Ok(())
    }

    /// The page of this number, counted from 1, without what is reserved.
    fn page(&self, number: usize) -> Result<&'a [u8], SqliteError> {
        let start = number.checked_sub(1).and_then(|page| page.checked_mul(self.page_size));
        let page = start.and_then(|start| self.bytes.get(start..start.checked_add(self.usable)?));
        page.ok_or(Damaged)
    }

    /// The whole payload of the leaf cell that `cell` begins with, up to `limit` bytes.
    fn payload(&self, mut cell: &[u8], limit: usize) -> Result<Vec<u8>, SqliteError> {
        let size = usize::try_from(varint(&mut cell)?).map_err(|_| Damaged)?;
        let _key = varint(&mut cell)?;
        if size > limit {
            return Err(Damaged);
        }
        let most = self.usable - 35;
        let here = if size <= most {
            size
        } else {
            let least = (self.usable - 12) * 32 / 255 - 23;
            let rest = least + (size - least) % (self.usable - 4);
            if rest <= most { rest } else { least }
        };
        let mut payload = Vec::with_capacity(size);
        payload.extend_from_slice(cell.get(..here).ok_or(Damaged)?);
        let mut next = if size > here { be(cell, here, 4)? } else { 0 };
        while payload.len() < size {
            let page = self.page(next)?;
            let part = (size - payload.len()).min(self.usable - 4);
            payload.extend_from_slice(page.get(4..4 + part).ok_or(Damaged)?);
            next = be(page, 0, 4)?;
        }
        Ok(payload)
    }
}

/// The values of a record.
fn record(payload: &[u8]) -> Result<Vec<Value<'_>>, SqliteError> {
    let mut types = payload;
    let size = usize::try_from(varint(&mut types)?).map_err(|_| Damaged)?;
    let head = payload.len() - types.len();
    let mut types = payload.get(head..size).ok_or(Damaged)?;
    let mut at = size;
    let mut values = Vec::new();
    while !types.is_empty() {
        let kind = varint(&mut types)?;
        let len = match kind {
            0..=4 => usize::try_from(kind).map_err(|_| Damaged)?,
            5 => 6,
            6 | 7 => 8,
            8..=11 => 0,
            _ => usize::try_from((kind - 12) / 2).map_err(|_| Damaged)?,
        };
        let end = at.checked_add(len).ok_or(Damaged)?;
        let bytes = payload.get(at..end).ok_or(Damaged)?;
        values.push(match kind {
            1..=6 => Value::Integer(integer(bytes)),
            8 | 9 => Value::Integer(i64::from(kind == 9)),
            12.. => Value::Bytes(bytes),
            _ => Value::Other,
        });
        at = end;
    }
    Ok(values)
}

/// A big-endian number with a sign.
fn integer(bytes: &[u8]) -> i64 {
    let sign = if bytes.first().is_some_and(|first| *first >= 0x80) { -1 } else { 0 };
    bytes.iter().fold(sign, |value, byte| value << 8 | i64::from(*byte))
}

/// The big-endian number of `len` bytes at `at`.
fn be(bytes: &[u8], at: usize, len: usize) -> Result<usize, SqliteError> {
    let bytes = at.checked_add(len).and_then(|end| bytes.get(at..end)).ok_or(Damaged)?;
    Ok(bytes.iter().fold(0, |value, byte| value << 8 | usize::from(*byte)))
}

/// Takes a number of one to nine bytes.
fn varint(bytes: &mut &[u8]) -> Result<u64, SqliteError> {
    let mut value = 0;
    for count in 0..9 {
        let (byte, rest) = bytes.split_first().ok_or(Damaged)?;
        *bytes = rest;
        if count == 8 {
            return Ok(value << 8 | u64::from(*byte));
        }
        value = value << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            break;
        }
    }
    Ok(value)
}
