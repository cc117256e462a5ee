//! Archives of images out of documents that a fuzzer writes, with digests that fit.

use std::os::fd::AsRawFd as _;

use imgb::{
    archive::spool::Limits,
    digest::Digest,
    image::{ImageName, Platform},
    oci::{self, ImageError, OpenOptions, UnpackedImage},
    registry::Registries,
};

use crate::{check_line, scratch, tar::Writer, tree};

/// The layers that documents may mention: one of two files, and an empty one.
fn layers() -> [Vec<u8>; 2] {
    let mut writer = Writer::default();
    writer.member(b'5', b"dir", b"", b"");
    writer.member(b'0', b"dir/file", b"", b"content");
    [writer.finish(), Writer::default().finish()]
}

/// Replaces the names of digests and sizes in a document: `%c` the digest of the configuration,
/// `%C` its size in bytes, likewise `%m`, `%M` of the manifest, `%l`, `%L` and `%e`, `%E` of the
/// two layers.
struct Names(Vec<(u8, String)>);

impl Names {
    fn name(&mut self, letter: u8, bytes: &[u8]) {
        self.0.push((letter, Digest::of(bytes).hex()));
        self.0.push((letter.to_ascii_uppercase(), bytes.len().to_string()));
    }

    fn fill(&self, text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut rest = text;
        while let Some((&byte, after)) = rest.split_first() {
            let known =
                self.0.iter().find(|(letter, _)| byte == b'%' && after.first() == Some(letter));
            match known {
                Some((_, value)) => {
                    out.extend(value.bytes());
                    rest = &after[1..];
                }
                None => {
                    out.push(byte);
                    rest = after;
                }
            }
        }
        out
    }
}

/// An archive of the documents in `text`, which are separated by lines `---`: configuration,
/// manifest, index, manifest.json of docker, repositories. An empty one is left out.
pub fn archive(text: &[u8]) -> Vec<u8> {
    let mut names = Names(Vec::new());
    let mut writer = Writer::default();
    for (letter, layer) in [b'l', b'e'].into_iter().zip(layers()) {
        names.name(letter, &layer);
        writer.member(b'0', blob(&layer).as_bytes(), b"", &layer);
    }
    let mut parts = split(text).into_iter();
    let mut next = || parts.next().filter(|part| !part.is_empty());
    for letter in [b'c', b'm'] {
        let document = names.fill(next().unwrap_or_default());
        names.name(letter, &document);
        writer.member(b'0', blob(&document).as_bytes(), b"", &document);
    }
    for name in ["index.json", "manifest.json", "repositories"] {
        if let Some(document) = next().map(|part| names.fill(part)) {
            writer.member(b'0', name.as_bytes(), b"", &document);
        }
    }
    writer.member(b'0', b"oci-layout", b"", br#"{"imageLayoutVersion":"1.0.0"}"#);
    writer.finish()
}

fn split(text: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    let mut start = 0;
    for (at, window) in text.windows(4).enumerate() {
        if window == b"---\n" && at >= start {
            parts.push(&text[start..at]);
            start = at + 4;
        }
    }
    parts.push(&text[start..]);
    parts
}

fn blob(bytes: &[u8]) -> String {
    format!("blobs/sha256/{}", Digest::of(bytes).hex())
}

/// Opens an archive as the command does, with all layers and what lies beside the image.
///
/// # Errors
/// [`ImageError`]
pub fn open(archive: &[u8], prefix: &str) -> Result<UnpackedImage, ImageError> {
    let file = crate::file(archive);
    let name = format!("{prefix}/proc/self/fd/{}", file.as_raw_fd());
    let name = ImageName::parse(&name, |_| true).expect("a path");
    let options = OpenOptions {
        platform: None,
        machine: Platform::linux("amd64", None),
        spool: scratch(),
        limits: Limits { bytes: 64 << 20, ratio: 100, ratio_from: 1 << 20, as_layer: true },
        registries: Registries::default(),
        any: false,
        pieces: None,
    };
    let image = oci::open(&name, &options)?.unpack()?;
    image.verify_rest()?;
    Ok(image)
}

/// Opens `archive` by each of its faces. What is accepted has one layer per diff id, every digest
/// is right, and no path leads outside. Where several faces are accepted, they are one image.
pub fn check(archive: &[u8]) {
    let mut faces = Vec::new();
    for prefix in ["", "oci-archive:", "docker-archive:"] {
        match open(archive, prefix) {
            Ok(image) => {
                let documents = &image.image;
                assert_eq!(
                    Digest::of(&documents.config_document.bytes),
                    documents.config_document.digest
                );
                assert_eq!(documents.layers.len(), image.layers.len());
                for (entry, layer) in documents.layers.iter().zip(&image.layers) {
                    assert_eq!(entry.diff_id, layer.diff_id);
                    assert!(entry.blob.is_none_or(|blob| blob == (layer.digest, layer.size)));
                }
                tree::check(&image.merged(), u64::MAX);
                image.notes().iter().for_each(|note| check_line(note));
                let layers: Vec<_> = image.layers.iter().map(|layer| layer.diff_id).collect();
                faces.push((documents.config_document.digest, layers));
            }
            Err(error) => check_line(&error.to_string()),
        }
    }
    // `check` and engines without a transport must not see another image than those with one. With
    // several images in one archive each face asks for a name, so that none is accepted.
    faces.dedup();
    assert!(faces.len() < 2, "the faces are different images: {faces:?}");
}
