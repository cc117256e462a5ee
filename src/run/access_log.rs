//! The file in which a tracer records what a program accessed, and its reader. It is limited in
//! bytes, since a program can name as many paths as it likes.
//!
//! A record is the call, whether the file was found, the lengths of path and program (16 bits each,
//! in this machine's byte order), the path, and the program.

use std::{
    collections::BTreeSet,
    fs::File,
    hash::{BuildHasher as _, RandomState},
    io::{self, BufReader, Read, Write as _},
    path::Path,
};

use crate::trace::{Access, Call};

/// Bytes of all records: paths of 100 bytes, 300,000 times.
const MAX_BYTES: usize = 32 << 20;
/// Records.
const MAX_RECORDS: usize = 1 << 18;

const CALLS: [Call; 5] = [Call::Look, Call::List, Call::Open, Call::Execute, Call::Create];
/// Stands for a call where records were left out.
const LEFT_OUT: u8 = u8::MAX;

/// Writes records.
pub(super) struct AccessLog {
    out: File,
    /// Hashes of the accesses that were recorded; a program cannot know which ones are equal.
    known: BTreeSet<u64>,
    keys: RandomState,
    bytes: usize,
    is_full: bool,
}

impl AccessLog {
    /// Creates the new file `path`.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let out = fs_err::File::create_new(path)?.into_parts().0;
        let (known, keys) = (BTreeSet::new(), RandomState::new());
        Ok(Self { out, known, keys, bytes: 0, is_full: false })
    }

    /// Adds an access unless it is known. If the disk is full it is lost; the program is not
    /// disturbed.
    pub(super) fn add(&mut self, access: &Access) {
        let (Ok(path), Ok(by)) = (u16::try_from(access.path.len()), u16::try_from(access.by.len()))
        else {
            return;
        };
        if self.is_full || !self.known.insert(self.keys.hash_one(access)) {
            return;
        }
        let call = CALLS.iter().position(|call| *call == access.call).unwrap_or_default();
        let mut record = vec![u8::try_from(call).unwrap_or_default(), u8::from(access.found)];
        record.extend(path.to_ne_bytes());
        record.extend(by.to_ne_bytes());
        record.extend(&access.path);
        record.extend(access.by.as_bytes());
        self.bytes += record.len();
        if self.bytes > MAX_BYTES || self.known.len() > MAX_RECORDS {
            self.is_full = true;
            record = vec![LEFT_OUT; HEADER];
        }
        let _ = self.out.write_all(&record);
    }
}

/// Bytes before the path.
const HEADER: usize = 6;

/// What a tracer has recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Accesses {
    /// In the order of their first occurrence.
    pub(super) list: Vec<Access>,
    /// Whether more were made than are recorded.
    pub(super) is_cut: bool,
}

/// Reads the file `path`. It is empty where no program was started.
pub(super) fn read(path: &Path) -> io::Result<Accesses> {
    let mut accesses = Accesses::default();
    let mut file = match fs_err::File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(accesses),
        file => BufReader::new(file?),
    };
    let mut header = [0; HEADER];
    // A timeout may have cut off the last record.
    while filled(&mut file, &mut header)? {
        let [call, found, path0, path1, by0, by1] = header;
        let Some(call) = CALLS.get(usize::from(call)) else {
            accesses.is_cut = call == LEFT_OUT;
            break;
        };
        let mut path = vec![0; usize::from(u16::from_ne_bytes([path0, path1]))];
        let mut by = vec![0; usize::from(u16::from_ne_bytes([by0, by1]))];
        if !(filled(&mut file, &mut path)? && filled(&mut file, &mut by)?) {
            break;
        }
        let by = String::from_utf8_lossy(&by).into_owned();
        accesses.list.push(Access { path, call: *call, found: found == 1, by });
    }
    Ok(accesses)
}

/// Fills `out`; `false` at the end of the file.
fn filled(file: &mut impl Read, out: &mut [u8]) -> io::Result<bool> {
    match file.read_exact(out) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        done => done.map(|()| true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(path: &[u8], call: Call, found: bool) -> Access {
        Access { path: path.into(), call, found, by: "/bin/app".into() }
    }

    #[test]
    fn what_is_written_is_read_again_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        assert_eq!(read(&path).unwrap(), Accesses::default());
        let mut log = AccessLog::create(&path).unwrap();
        let list = [
            access(b"/a\n\xff", Call::Open, true),
            access(b"/a\n\xff", Call::Create, false),
            access(b"/b", Call::Look, false),
        ];
        for access in list.iter().chain(&list) {
            log.add(access);
        }
        assert_eq!(read(&path).unwrap(), Accesses { list: list.to_vec(), is_cut: false });
        let whole = fs_err::read(&path).unwrap();
        for len in 0..whole.len() {
            fs_err::write(&path, &whole[..len]).unwrap();
            let read = read(&path).unwrap();
            assert!(read.list.len() < 3 && list.starts_with(&read.list) && !read.is_cut);
        }
    }

    #[test]
    fn the_file_is_limited_in_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut log = AccessLog::create(&path).unwrap();
        let long = vec![b'x'; 4000];
        for number in 0..10_000_u32 {
            let path = [&long[..], &number.to_ne_bytes()].concat();
            log.add(&access(&path, Call::Look, false));
        }
        let accesses = read(&path).unwrap();
        assert!(accesses.is_cut && accesses.list.len() > 8000);
        assert!(fs_err::metadata(&path).unwrap().len() <= (MAX_BYTES + HEADER) as u64);
    }
}
