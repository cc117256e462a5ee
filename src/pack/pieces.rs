//! One layer, piece by piece, on several threads.

use std::{
    io::{self, Write as _},
    ops::Range,
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use super::{
    Layer, Options, PackError, Progress, Root, Step,
    line::{Done, Line, Task},
};
use crate::{
    archive::write::Layout,
    compress::{Compression, Encoder, Piece, Trailer},
    digest::{DiffId, Digest, Digesting},
    source::content::Files,
    store::{Blob, BlobWriter, PartWriter, Store, StoreError},
};

/// Pieces beyond one for each worker: one being hashed, one being stored.
const SPARE: usize = 2;

/// More workers than these take one chunk at a time: of several, each would have too much in memory.
const MOST_TOGETHER: usize = 4;

/// A part of the tar and its compressed form. The buffers are used again and again.
#[derive(Default)]
pub(super) struct Buffers {
    tar: Vec<u8>,
    encoded: Vec<u8>,
    /// What the trailer must know; absent without compression.
    piece: Option<Piece>,
}

/// The parts of a tar, in order, each a range of its bytes.
#[derive(Default)]
pub(super) struct Pieces {
    next: u64,
    size: u64,
    /// Bytes of a piece: one chunk or several.
    piece_len: u64,
    chunk_len: u64,
    /// When no more bytes than these are left, pieces have one chunk, so that all workers end at about one time.
    few: u64,
}

impl Pieces {
    pub(super) fn is_empty(&self) -> bool {
        self.next == self.size
    }
}

impl Iterator for Pieces {
    type Item = Range<u64>;

    fn next(&mut self) -> Option<Range<u64>> {
        let (start, left) = (self.next, self.size - self.next);
        let len = if left <= self.few { self.chunk_len } else { self.piece_len };
        self.next += len.min(left);
        (left > 0).then_some(start..self.next)
    }
}

/// The digest of the tar so far.
pub(super) struct Hasher<'a> {
    layout: &'a Layout<'a>,
    tar: Digesting<io::Sink>,
    members: usize,
    progress: Progress<'a>,
}

/// The blob so far.
pub(super) struct Storer<'a> {
    writer: BlobWriter<'a>,
    trailer: Trailer,
    /// Bytes of the tar that are stored as they are.
    plain: u64,
}

/// What each worker has of its own.
#[derive(Default)]
struct Tools {
    files: Files,
    /// Made when the first piece is compressed.
    encoder: Option<Encoder>,
}

/// What the workers share.
struct Job<'a> {
    layout: &'a Layout<'a>,
    compression: Compression,
    chunk_len: usize,
    /// The tar's place if it is stored as it is: workers write their own pieces.
    parts: Option<PartWriter>,
    /// Bytes of content that were read so far.
    read: AtomicU64,
    root: Option<&'a Root<'a>>,
    /// Whether the layer is all of the root.
    is_root: bool,
}

/// Makes one layer.
pub(super) fn pack(
    layout: &Layout<'_>,
    options: &Options<'_>,
    store: &mut Store,
    progress: Progress<'_>,
) -> Result<Layer, PackError> {
    let compression = options.compression;
    let chunk_len = compression.chunk_len(layout.size());
    let chunks = layout.size().div_ceil(chunk_len as u64);
    let workers = usize::try_from(chunks).unwrap_or(usize::MAX).min(options.jobs.get());
    let together = if workers > MOST_TOGETHER { 1 } else { compression.chunks_at_once() };
    let pieces = Pieces {
        next: 0,
        size: layout.size(),
        piece_len: together * chunk_len as u64,
        chunk_len: chunk_len as u64,
        few: 2 * workers as u64 * together * chunk_len as u64,
    };
    let writer = store.begin()?;
    let job = Job {
        layout,
        compression,
        chunk_len,
        parts: (compression == Compression::None).then(|| writer.parts()),
        read: AtomicU64::new(0),
        root: options.root,
        is_root: options.root.is_some_and(|root| root.is(layout)),
    };
    let free = (0..workers + SPARE).map(|_| Buffers::default()).collect();
    let hasher = Hasher { layout, tar: Digesting::new(io::sink()), members: 0, progress };
    let line = Line::new(pieces, free, hasher, Storer::new(writer, compression)?);
    thread::scope(|scope| {
        // This thread is one of the workers.
        for _ in 1..workers {
            scope.spawn(|| job.work(&line));
        }
        job.work(&line);
    });
    let (hasher, storer) = line.finish()?;
    let (digest, tar_size) = (hasher.tar.finish().1, layout.size());
    Ok(Layer {
        blob: storer.finish(compression, digest, tar_size)?,
        diff_id: DiffId(digest),
        tar_size,
        members: layout.members(),
        compression,
        read: job.read.into_inner(),
        cached: false,
        is_root: job.is_root,
    })
}

impl Job<'_> {
    fn work<'l>(&self, line: &Line<'l>) {
        let mut tools = Tools::default();
        line.work(|task| match task {
            Task::Make(piece, buffers) => Done::Made(piece.start, self.make(piece, buffers, &mut tools)),
            Task::Hash(mut hasher, buffers) => {
                hasher.take(&buffers);
                Done::Hashed(hasher, buffers)
            }
            Task::Store(mut storer, mut buffers) => {
                let stored = storer.take(&mut buffers);
                Done::Stored(storer, stored.map(|()| buffers))
            }
        });
    }

    /// Fills, compresses and, without compression, writes a piece.
    fn make(&self, piece: Range<u64>, mut buffers: Buffers, tools: &mut Tools) -> Result<Buffers, PackError> {
        let start = piece.start;
        buffers.tar.resize((piece.end - start) as usize, 0);
        let mut read = 0;
        let root = self.root.filter(|_| !self.is_root);
        self.layout.fill(start, &mut buffers.tar, |want, out| {
            read += out.len() as u64;
            tools.files.read_at(&want.file.content, want.file.len, want.offset, out)?;
            root.map_or(Ok(()), |root| root.take(&want, out))
        })?;
        self.read.fetch_add(read, Ordering::Relaxed);
        if let Some(root) = self.root.filter(|_| self.is_root) {
            root.part(start, &buffers.tar)?;
        }
        if let Some(parts) = &self.parts {
            parts.write_at(&buffers.tar, start)?;
            return Ok(buffers);
        }
        let encoder = match &mut tools.encoder {
            Some(encoder) => encoder,
            none => none.insert(Encoder::new(self.compression, self.chunk_len).map_err(PackError::Encode)?),
        };
        let piece = encoder.encode(&buffers.tar, &mut buffers.encoded).map_err(PackError::Encode)?;
        buffers.piece = Some(piece);
        Ok(buffers)
    }
}

impl Hasher<'_> {
    /// Bytes that are hashed: where the next piece begins.
    pub(super) fn hashed(&self) -> u64 {
        self.tar.written()
    }

    /// Takes the next piece.
    fn take(&mut self, buffers: &Buffers) {
        // A sink takes everything.
        let _ = self.tar.write_all(&buffers.tar);
        let members = self.layout.members_before(self.hashed());
        let before = std::mem::replace(&mut self.members, members);
        (self.progress)(Step::Done { members: self.members - before, bytes: buffers.tar.len() as u64 });
    }
}

impl<'a> Storer<'a> {
    fn new(mut writer: BlobWriter<'a>, compression: Compression) -> Result<Self, StoreError> {
        let trailer = Trailer::new(compression);
        writer.append(trailer.header())?;
        Ok(Self { writer, trailer, plain: 0 })
    }

    /// Stores the next piece.
    fn take(&mut self, buffers: &mut Buffers) -> Result<(), PackError> {
        match buffers.piece.take() {
            Some(piece) => {
                self.trailer.push(&piece);
                self.writer.append(&buffers.encoded)?;
            }
            None => {
                self.plain += buffers.tar.len() as u64;
                self.writer.settle(self.plain);
            }
        }
        Ok(())
    }

    /// The blob of a tar of this digest and size.
    fn finish(mut self, compression: Compression, tar: Digest, tar_size: u64) -> Result<Blob, PackError> {
        if compression == Compression::None {
            return Ok(self.writer.finish_written(tar, tar_size)?);
        }
        self.writer.append(&self.trailer.finish().map_err(PackError::Encode)?)?;
        Ok(self.writer.finish()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_pieces_are_single_chunks() {
        let of = |size| Pieces { next: 0, size, piece_len: 20, chunk_len: 10, few: 40 };
        let ends = |size| of(size).map(|piece| piece.end).collect::<Vec<_>>();
        assert_eq!(ends(75), [20, 40, 50, 60, 70, 75]);
        assert_eq!(ends(10), [10]);
        assert!(ends(0).is_empty() && of(0).is_empty() && Pieces::default().is_empty());
    }
}
