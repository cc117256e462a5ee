//! Files that are inspected piece by piece: each is opened once and stays open while it is among
//! the last ones that were asked for.

use std::{fs::File, io, sync::Arc};

use rustix::{
    io::Errno,
    process::{Resource, getrlimit},
};

use super::content::{ContentError, Files, Source};
use crate::{
    elf::{LookupError, ObjectError, ReadAt, ReadFailure},
    tree::{Content, FileNode, Identity},
};

/// Descriptors that are kept open at most. A plan looks at a program and the libraries that it
/// loads in several passes; most programs load fewer.
const MOST_OPEN: usize = 128;

/// Open files of the host, the last one used first.
#[derive(Debug)]
pub struct OpenFiles {
    files: Files,
    open: Vec<(Identity, Arc<File>)>,
    /// Descriptors that are kept open at most.
    most_open: usize,
}

/// No open files. At most a quarter of the descriptors that the process may open are kept.
impl Default for OpenFiles {
    fn default() -> Self {
        let limit = getrlimit(Resource::Nofile).current;
        let quarter = limit.and_then(|limit| usize::try_from(limit / 4).ok());
        let most_open = quarter.unwrap_or(MOST_OPEN).clamp(1, MOST_OPEN);
        Self { files: Files::default(), open: Vec::new(), most_open }
    }
}

/// A file that is open for as long as this lives.
#[derive(Clone, Debug)]
pub struct FileReader {
    content: Content,
    len: u64,
    /// The open file, if the content is a file of the host.
    file: Option<Arc<File>>,
}

impl OpenFiles {
    /// A reader of `node`, whose file is opened unless it is open.
    ///
    /// # Errors
    /// [`ContentError`] if the host refuses.
    pub fn reader(&mut self, node: &FileNode) -> Result<FileReader, ContentError> {
        let FileNode { content, len, .. } = node;
        let file = match content {
            Content::Host(_) => Some(self.file(content, *len)?),
            Content::Inline(_) | Content::Member(..) | Content::Sparse(..) => None,
        };
        Ok(FileReader { content: content.clone(), len: *len, file })
    }

    fn file(&mut self, content: &Content, len: u64) -> Result<Arc<File>, ContentError> {
        let id = content.identity();
        if let Some(at) = self.open.iter().position(|(known, _)| *known == id) {
            self.open[..=at].rotate_right(1);
        } else {
            self.open.truncate(self.most_open - 1);
            let source = match Source::open(&mut self.files, content, len) {
                Err(error) if is_out_of_descriptors(&error) => {
                    self.open.clear();
                    self.files = Files::default();
                    Source::open(&mut self.files, content, len)?
                }
                source => source?,
            };
            let Source::Host(_, _, file) = source else { return Err(ContentError::Short) };
            self.open.insert(0, (id, file));
        }
        self.open.first().map(|(_, file)| Arc::clone(file)).ok_or(ContentError::Short)
    }
}

fn is_out_of_descriptors(error: &ContentError) -> bool {
    let ContentError::Open { source, .. } = error else { return false };
    [Errno::MFILE, Errno::NFILE]
        .iter()
        .any(|errno| Some(errno.raw_os_error()) == source.raw_os_error())
}

impl FileReader {
    /// Fills `out` with the bytes from `offset` on.
    ///
    /// # Errors
    /// [`ContentError`], also if a file of the host is no longer the one that was found.
    pub fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<(), ContentError> {
        let source = self.source()?;
        source.read(offset, out)?;
        source.verify()
    }

    fn source(&self) -> Result<Source<'_>, ContentError> {
        Ok(match (&self.content, &self.file) {
            (Content::Host(host), Some(file)) => Source::Host(host, self.len, Arc::clone(file)),
            (Content::Host(_), None) => return Err(ContentError::Short),
            (Content::Inline(bytes), _) => Source::Inline(bytes),
            (Content::Member(archive, start), _) => Source::Member(archive, *start),
            (Content::Sparse(archive, regions), _) => Source::Sparse(archive, regions),
        })
    }

    /// The first `limit` bytes, or all of them.
    ///
    /// # Errors
    /// As [`FileReader::read_at`].
    pub fn head(&self, limit: usize) -> Result<Vec<u8>, ContentError> {
        let mut bytes = vec![0; usize::try_from(self.len).unwrap_or(usize::MAX).min(limit)];
        self.read_at(0, &mut bytes)?;
        Ok(bytes)
    }

    /// What `read`, a reader of ELF objects, makes of the file. That a file of the host is the one
    /// that was found is checked at the end, once for all reads.
    ///
    /// # Errors
    /// [`ReadFailure`]
    pub fn parse<T>(
        &self,
        read: impl FnOnce(u64, ReadAt<'_>) -> io::Result<Result<T, ObjectError>>,
    ) -> Result<Result<T, ObjectError>, ReadFailure> {
        let error = match self.parse_content(read) {
            Ok(parsed) => return Ok(parsed),
            Err(error) => error,
        };
        let error = match error.downcast::<ContentError>() {
            Ok(error) => error.into(),
            Err(source) => ReadFailure { path: "content of a file".into(), source }.into(),
        };
        match error {
            LookupError::Absent(absence) => Ok(Err(absence.into())),
            LookupError::Failed(failure) => Err(failure),
        }
    }

    fn parse_content<T>(
        &self,
        read: impl FnOnce(u64, ReadAt<'_>) -> io::Result<T>,
    ) -> io::Result<T> {
        let source = self.source().map_err(io::Error::other)?;
        let mut read_at = |offset: u64, buffer: &mut [u8]| {
            let left = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX);
            let count = buffer.len().min(left);
            source.read(offset, &mut buffer[..count]).map_err(io::Error::other)?;
            Ok(count)
        };
        let parsed = read(self.len, &mut read_at)?;
        source.verify().map_err(io::Error::other)?;
        Ok(parsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{path::ImagePath, source::HostRoot, tree::Node};

    fn node(host: &HostRoot, name: &str) -> Node {
        host.node(&ImagePath::new(name).unwrap()).unwrap().unwrap().unwrap()
    }

    #[test]
    fn a_file_is_opened_once_and_few_stay_open() {
        let dir = tempfile::tempdir().unwrap();
        let mut files = OpenFiles { most_open: 5, ..OpenFiles::default() };
        let names: Vec<String> = (0..7).map(|number| format!("{number}")).collect();
        for name in &names {
            fs_err::write(dir.path().join(name), name).unwrap();
        }
        let host = HostRoot::new(dir.path()).unwrap();
        let first = node(&host, "0");
        for name in &names {
            let node = node(&host, name);
            let reader = files.reader(node.file().unwrap()).unwrap();
            assert_eq!(reader.head(99).unwrap(), name.as_bytes());
            // A file that is in use is never closed.
            files.reader(first.file().unwrap()).unwrap();
        }
        assert_eq!(files.open.len(), 5);
        assert_eq!(files.open[0].0, first.file().unwrap().content.identity());
        let one = node(&host, "1").file().unwrap().content.identity();
        assert!(files.open.iter().all(|(id, _)| *id != one), "the oldest is closed");
    }

    #[test]
    fn a_file_that_was_swapped_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        fs_err::write(dir.path().join("a"), "one").unwrap();
        fs_err::write(dir.path().join("b"), "two").unwrap();
        let host = HostRoot::new(dir.path()).unwrap();
        let found = node(&host, "a");
        fs_err::rename(dir.path().join("b"), dir.path().join("a")).unwrap();
        let reader = OpenFiles::default().reader(found.file().unwrap()).unwrap();
        assert!(matches!(reader.head(10), Err(ContentError::ChangedWhileRead(_))));
    }
}
