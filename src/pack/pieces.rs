//! The pieces of all layers, made on several threads.

use std::{
    ops::Range,
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use super::{
    Layer, Options, PackError, Progress, Root,
    cached::Found,
    line::{Done, Line, Task},
    stages::{Hasher, Storer},
};
use crate::{
    archive::write::Layout,
    compress::{Compression, Encoder, Piece},
    digest::Digest,
    source::content::Files,
    store::Store,
};

/// Pieces beyond one for each worker: one being hashed, one being stored.
const SPARE: usize = 2;

/// More workers than these take one chunk at a time: of several, each would have too much in
/// memory.
const MOST_TOGETHER: usize = 4;

/// One layer.
pub(super) struct Part<'a> {
    pub(super) layout: &'a Layout<'a>,
    /// Where the cache has it, and under which name it goes there.
    pub(super) found: Found,
    /// Whether it is all of [`Options::root`].
    pub(super) is_root: bool,
    /// Bytes of content that were read so far.
    pub(super) read: AtomicU64,
}

/// Where a piece belongs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// All pieces are numbered in order.
    pub(super) number: u64,
    pub(super) layer: usize,
    /// Bytes of the layer's tar.
    pub(super) range: Range<u64>,
}

/// A part of a tar and its compressed form. The buffers are used again and again.
#[derive(Default)]
pub(super) struct Buffers {
    pub(super) place: Place,
    pub(super) tar: Vec<u8>,
    pub(super) encoded: Vec<u8>,
    /// What the trailer must know; absent without compression.
    pub(super) piece: Option<Piece>,
    /// Of the layer's tar, with its last piece when that is hashed.
    pub(super) digest: Option<Digest>,
}

/// The pieces that nobody makes yet, layer by layer.
#[derive(Default)]
pub(super) struct Pieces {
    /// Bytes of each layer, and of its chunks. A layer that is there already has none.
    layers: Vec<(u64, u64)>,
    next: Place,
    /// Bytes of all layers.
    left: u64,
    /// Chunks of a piece.
    together: u64,
    /// When no more chunks than these are left, pieces have one, so that all workers end at about
    /// one time.
    few: u64,
}

impl Pieces {
    /// All pieces of `parts`, and how many threads they are for.
    pub(super) fn new(parts: &[Part<'_>], options: &Options<'_>) -> (Self, usize) {
        let size = |part: &Part<'_>| if part.found.is_there() { 0 } else { part.layout.size() };
        let chunk_len = |size| options.compression.chunk_len(size) as u64;
        let layers: Vec<_> = parts.iter().map(|part| (size(part), chunk_len(size(part)))).collect();
        let chunks: u64 = layers.iter().map(|(size, chunk_len)| size.div_ceil(*chunk_len)).sum();
        let workers = usize::try_from(chunks).unwrap_or(usize::MAX).min(options.jobs.get());
        let together =
            if workers > MOST_TOGETHER { 1 } else { options.compression.chunks_at_once() };
        let left = layers.iter().map(|(size, _)| size).sum();
        let few = 2 * workers as u64 * together;
        (Self { layers, next: Place::default(), left, together, few }, workers)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.left == 0
    }
}

impl Iterator for Pieces {
    type Item = Place;

    fn next(&mut self) -> Option<Place> {
        if self.left == 0 {
            return None;
        }
        let (mut size, mut chunk_len) = *self.layers.get(self.next.layer)?;
        while self.next.range.end == size {
            self.next.layer += 1;
            self.next.range = 0..0;
            (size, chunk_len) = *self.layers.get(self.next.layer)?;
        }
        let start = self.next.range.end;
        let chunks = if self.left <= self.few * chunk_len { 1 } else { self.together };
        self.next.range = start..size.min(start + chunks * chunk_len);
        self.left -= self.next.range.end - start;
        let place = self.next.clone();
        self.next.number += 1;
        Some(place)
    }
}

/// What each worker has of its own.
#[derive(Default)]
struct Tools {
    files: Files,
    /// Made when the first piece is compressed, for chunks of this length.
    encoder: Option<(usize, Encoder)>,
}

/// What the workers share.
struct Job<'a> {
    parts: &'a [Part<'a>],
    compression: Compression,
    root: Option<&'a Root<'a>>,
}

/// Makes the layers, but for those that the cache has.
pub(super) fn pack(
    parts: &[Part<'_>],
    options: &Options<'_>,
    store: &mut Store,
    progress: Progress<'_>,
) -> Result<Vec<Layer>, PackError> {
    let (pieces, workers) = Pieces::new(parts, options);
    let free = (0..workers + SPARE).map(|_| Buffers::default()).collect();
    let storer = Storer::new(parts, options, store, progress);
    let line = Line::new(pieces, free, Hasher::new(parts, progress), storer);
    let job = Job { parts, compression: options.compression, root: options.root };
    thread::scope(|scope| {
        // This thread is one of the workers.
        for _ in 1..workers {
            // Where the system gives no more threads, those that are there do all.
            if thread::Builder::new().spawn_scoped(scope, || job.work(&line)).is_err() {
                break;
            }
        }
        job.work(&line);
    });
    line.finish()?.finish()
}

impl Job<'_> {
    fn work<'l>(&self, line: &Line<'l>) {
        let mut tools = Tools::default();
        line.work(|task| match task {
            Task::Make(place, mut buffers) => {
                let number = place.number;
                buffers.place = place;
                let made = self.make(&mut buffers, &mut tools);
                Done::Made(number, made.map(|()| buffers))
            }
            Task::Hash(mut hasher, mut buffers) => {
                hasher.take(&mut buffers);
                Done::Hashed(hasher, buffers)
            }
            Task::Store(mut storer, mut buffers) => {
                let stored = storer.take(&mut buffers);
                Done::Stored(storer, stored.map(|()| buffers))
            }
        });
    }

    /// Fills and compresses a piece.
    fn make(&self, buffers: &mut Buffers, tools: &mut Tools) -> Result<(), PackError> {
        let Range { start, end } = buffers.place.range;
        let part = self.parts.get(buffers.place.layer).ok_or(PackError::Stopped)?;
        buffers.tar.resize((end - start) as usize, 0);
        let mut read = 0;
        let root = self.root.filter(|_| !part.is_root);
        part.layout.fill(start, &mut buffers.tar, |want, out| {
            read += out.len() as u64;
            tools.files.read_at(&want.file.content, want.file.len, want.offset, out)?;
            root.map_or(Ok(()), |root| root.take(&want, out))
        })?;
        part.read.fetch_add(read, Ordering::Relaxed);
        if let Some(root) = self.root.filter(|_| part.is_root) {
            root.part(start, &buffers.tar)?;
        }
        if self.compression != Compression::None {
            let chunk_len = self.compression.chunk_len(part.layout.size());
            let encoder = tools.encoder(self.compression, chunk_len).map_err(PackError::Encode)?;
            let piece =
                encoder.encode(&buffers.tar, &mut buffers.encoded).map_err(PackError::Encode)?;
            buffers.piece = Some(piece);
        }
        Ok(())
    }
}

impl Tools {
    fn encoder(
        &mut self,
        compression: Compression,
        chunk_len: usize,
    ) -> std::io::Result<&mut Encoder> {
        let of_others = self.encoder.take().filter(|(len, _)| *len == chunk_len);
        let encoder = match of_others {
            Some(encoder) => encoder,
            None => (chunk_len, Encoder::new(compression, chunk_len)?),
        };
        Ok(&mut self.encoder.insert(encoder).1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_go_through_the_layers_and_the_last_are_single_chunks() {
        let of = |layers: &[u64], together, few| Pieces {
            layers: layers.iter().map(|size| (*size, 10)).collect(),
            next: Place::default(),
            left: layers.iter().sum(),
            together,
            few,
        };
        let ends =
            |pieces: Pieces| pieces.map(|place| (place.layer, place.range)).collect::<Vec<_>>();
        assert_eq!(
            ends(of(&[0, 45, 0, 0, 7, 0], 2, 2)),
            [(1, 0..20), (1, 20..40), (1, 40..45), (4, 0..7)]
        );
        assert_eq!(ends(of(&[30], 2, 1)), [(0, 0..20), (0, 20..30)]);
        assert!(ends(of(&[], 1, 1)).is_empty() && ends(of(&[0, 0], 1, 1)).is_empty());
        assert_eq!(of(&[11, 0, 5], 1, 0).map(|place| place.number).collect::<Vec<_>>(), [0, 1, 2]);
    }
}
