//! One layer, piece by piece, on several threads.
//!
//! Pieces go round: free → made by any worker → hashed in order → stored in order → free again. There is a
//! fixed number of them, and whoever makes the earliest one holds all it needs, so the round never stops.
//! A fault travels in the piece's place. Who meets it goes home, which closes its channels, which sends the
//! others home.

use std::{
    collections::BTreeMap,
    io::{self, Write as _},
    ops::Range,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, Receiver, Sender},
    },
    thread,
};

use super::{Layer, Options, PackError, Progress, Root, Step};
use crate::{
    archive::write::Layout,
    compress::{Compression, Encoder, Piece, Trailer},
    digest::{DiffId, Digest, Digesting},
    source::content::Files,
    store::{BlobWriter, PartWriter, Store},
};

/// Pieces beyond one for each worker: one being hashed, one being stored.
const SPARE: usize = 2;

/// More workers than these take one chunk at a time: of several, each would have too much in memory.
const MOST_TOGETHER: usize = 4;

/// A part of the tar and its compressed form. The buffers are used again and again.
#[derive(Default)]
struct Buffers {
    tar: Vec<u8>,
    encoded: Vec<u8>,
    /// What the trailer must know; absent without compression.
    piece: Option<Piece>,
}

/// A part of the tar by its offset, or why it could not be made.
type Made = (u64, Result<Buffers, PackError>);

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
    /// Bytes of a piece: one chunk or several.
    piece_len: u64,
    /// When no more bytes than these are left, pieces have one chunk, so that all workers end at about one time.
    few: u64,
    /// The tar's place if it is stored as it is: workers write their own pieces.
    parts: Option<PartWriter>,
    /// Where the next piece that nobody makes yet begins.
    next: AtomicU64,
    /// Bytes of content that were read so far.
    read: AtomicU64,
    free: Mutex<Receiver<Buffers>>,
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
    let mut writer = store.begin()?;
    let (free, free_pieces) = mpsc::channel();
    let chunk_len = compression.chunk_len(layout.size());
    let chunks = layout.size().div_ceil(chunk_len as u64);
    let workers = usize::try_from(chunks).unwrap_or(usize::MAX).min(options.jobs.get());
    let together = if workers > MOST_TOGETHER { 1 } else { compression.chunks_at_once() };
    let job = Job {
        layout,
        compression,
        chunk_len,
        piece_len: together * chunk_len as u64,
        few: 2 * workers as u64 * together * chunk_len as u64,
        parts: (compression == Compression::None).then(|| writer.parts()),
        next: AtomicU64::new(0),
        read: AtomicU64::new(0),
        free: Mutex::new(free_pieces),
        root: options.root,
        is_root: options.root.is_some_and(|root| root.is(layout)),
    };
    for _ in 0..workers + SPARE {
        let _ = free.send(Buffers::default());
    }
    let (made, made_pieces) = mpsc::channel();
    let (hashed, hashed_pieces) = mpsc::channel();
    let digest = thread::scope(|scope| {
        for _ in 0..workers {
            let made = made.clone();
            let job = &job;
            scope.spawn(move || job.work(&made));
        }
        drop(made);
        let hasher = scope.spawn(move || hash(layout, &made_pieces, &hashed, progress));
        let stored = store_pieces(&mut writer, compression, &hashed_pieces, &free);
        // Whoever still waits for free pieces or hands in hashed ones hears that there is no more to do.
        drop((free, hashed_pieces));
        let digest = hasher.join().unwrap_or(Err(PackError::Stopped))?;
        stored.map(|()| digest)
    })?;
    let blob = match compression {
        Compression::None => writer.finish_written(digest, layout.size())?,
        Compression::Gzip(_) | Compression::Zstd(_) => writer.finish()?,
    };
    Ok(Layer {
        blob,
        diff_id: DiffId(digest),
        tar_size: layout.size(),
        members: layout.members(),
        compression,
        read: job.read.into_inner(),
        cached: false,
        is_root: job.is_root,
    })
}

impl Job<'_> {
    /// The next piece, if there is one.
    fn claim(&self) -> Option<Range<u64>> {
        let size = self.layout.size();
        let end = |start: u64| {
            let few = size - start <= self.few;
            size.min(start + if few { self.chunk_len as u64 } else { self.piece_len })
        };
        let next = |start| (start < size).then(|| end(start));
        let start = self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).ok()?;
        Some(start..end(start))
    }

    /// Makes pieces until there are no more, or nobody wants them.
    fn work(&self, made: &Sender<Made>) {
        let mut tools = Tools::default();
        loop {
            let free = self.free.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(buffers) = free else { return };
            let Some(piece) = self.claim() else { return };
            let turn = Turn { start: piece.start, made };
            let result = self.make(piece, buffers, &mut tools);
            let failed = result.is_err();
            if !turn.done(result) || failed {
                return;
            }
        }
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

/// A worker's duty to hand in the piece that it took: without it the others would wait for ever,
/// even where the worker panics.
struct Turn<'a> {
    start: u64,
    made: &'a Sender<Made>,
}

impl Turn<'_> {
    /// Hands the piece in. Whether anybody took it.
    fn done(self, result: Result<Buffers, PackError>) -> bool {
        let sent = self.made.send((self.start, result)).is_ok();
        std::mem::forget(self);
        sent
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let _ = self.made.send((self.start, Err(PackError::Stopped)));
    }
}

/// Puts the pieces in order, hashes the tar and passes them on.
fn hash(
    layout: &Layout<'_>,
    made: &Receiver<Made>,
    hashed: &Sender<Buffers>,
    progress: Progress<'_>,
) -> Result<Digest, PackError> {
    let mut tar = Digesting::new(io::sink());
    let mut waiting = BTreeMap::new();
    let (mut bytes, mut members) = (0, 0);
    for (start, result) in made {
        waiting.insert(start, result);
        while let Some(result) = waiting.remove(&bytes) {
            let buffers = result?;
            // A sink takes everything.
            let _ = tar.write_all(&buffers.tar);
            bytes += buffers.tar.len() as u64;
            let before = std::mem::replace(&mut members, layout.members_before(bytes));
            progress(Step::Done { members: members - before, bytes: buffers.tar.len() as u64 });
            if hashed.send(buffers).is_err() {
                // The storing has failed and says why.
                break;
            }
        }
    }
    Ok(tar.finish().1)
}

/// Stores the compressed pieces, which come in order, and frees them.
fn store_pieces(
    writer: &mut BlobWriter<'_>,
    compression: Compression,
    hashed: &Receiver<Buffers>,
    free: &Sender<Buffers>,
) -> Result<(), PackError> {
    let mut trailer = Trailer::new(compression);
    writer.append(trailer.header())?;
    let mut written = 0;
    for mut buffers in hashed {
        if let Some(piece) = buffers.piece.take() {
            trailer.push(&piece);
            writer.append(&buffers.encoded)?;
        } else {
            written += buffers.tar.len() as u64;
            writer.settle(written);
        }
        // The workers may all have gone home.
        let _ = free.send(buffers);
    }
    writer.append(&trailer.finish().map_err(PackError::Encode)?)?;
    Ok(())
}
