//! Tars in which every byte can be set, and what imgb makes of them.

use std::{io::Write as _, ops::Range, sync::Arc};

use imgb::{
    archive::read::{self, Contents, Limits, Whiteouts},
    source::content,
    tree::{Archive, Kind, Tree},
};

use crate::sandbox::Sandbox;

pub(crate) const NAME: Range<usize> = 0..100;
pub(crate) const MODE: Range<usize> = 100..108;
pub(crate) const UID: Range<usize> = 108..116;
pub(crate) const GID: Range<usize> = 116..124;
pub(crate) const SIZE: Range<usize> = 124..136;
pub(crate) const MTIME: Range<usize> = 136..148;
pub(crate) const SUM: Range<usize> = 148..156;
pub(crate) const KIND: usize = 156;
pub(crate) const LINK: Range<usize> = 157..257;
pub(crate) const MAGIC: Range<usize> = 257..265;

/// A tar in which every byte can be set to what no writer would write.
#[derive(Clone, Default)]
pub(crate) struct RawTar(pub(crate) Vec<u8>);

impl RawTar {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// A header whose checksum is right after `change`, and a body padded to a block.
    pub(crate) fn raw(
        mut self,
        kind: u8,
        name: &[u8],
        body: &[u8],
        change: impl FnOnce(&mut [u8; 512]),
    ) -> Self {
        let mut header = [0; 512];
        header[NAME][..name.len()].copy_from_slice(name);
        header[KIND] = kind;
        header[MAGIC].copy_from_slice(b"ustar\x0000");
        put(&mut header, MODE, b"0000644\0");
        put(&mut header, SIZE, format!("{:011o}\0", body.len()).as_bytes());
        change(&mut header);
        if header[SUM] == [0; 8] {
            sign(&mut header);
        }
        self.0.extend(header);
        self.block(body)
    }

    /// Bytes padded to a block.
    pub(crate) fn block(mut self, body: &[u8]) -> Self {
        self.0.extend(body);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub(crate) fn file(self, name: &str, body: &str) -> Self {
        self.raw(b'0', name.as_bytes(), body.as_bytes(), |_| {})
    }

    pub(crate) fn dir(self, name: &str) -> Self {
        self.raw(b'5', name.as_bytes(), b"", |_| {})
    }

    pub(crate) fn link(self, kind: u8, name: &str, target: &str) -> Self {
        self.raw(kind, name.as_bytes(), b"", |header| put(header, LINK, target.as_bytes()))
    }

    pub(crate) fn symlink(self, name: &str, target: &str) -> Self {
        self.link(b'2', name, target)
    }

    pub(crate) fn hard_link(self, name: &str, target: &str) -> Self {
        self.link(b'1', name, target)
    }

    /// PAX records with correct lengths.
    pub(crate) fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let body: Vec<u8> = records.iter().flat_map(|(key, value)| record(key, value)).collect();
        self.raw(b'x', b"pax", &body, |_| {})
    }

    pub(crate) fn end(self) -> Vec<u8> {
        self.block(&[0; 1024]).0
    }
}

pub(crate) fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = [b" ", key.as_bytes(), b"=", value, b"\n"].concat();
    let len = (1..)
        .map(|digits| (digits, rest.len() + digits))
        .find(|(d, len)| len.to_string().len() == *d);
    [len.unwrap().1.to_string().as_bytes(), &rest].concat()
}

pub(crate) fn put(header: &mut [u8; 512], field: Range<usize>, bytes: &[u8]) {
    header[field][..bytes.len()].copy_from_slice(bytes);
}

pub(crate) fn sign(header: &mut [u8; 512]) {
    header[SUM].fill(b' ');
    let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
    put(header, SUM, format!("{sum:06o}\0 ").as_bytes());
}

pub(crate) fn archive(tar: &[u8]) -> Arc<Archive> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(tar).unwrap();
    Arc::new(Archive::new("in.tar", file))
}

pub(crate) fn read_with(
    tar: &[u8],
    whiteouts: Whiteouts,
    limits: Limits,
) -> Result<Contents, String> {
    read::read(&archive(tar), whiteouts, limits).map_err(|error| error.to_string())
}

pub(crate) fn read(tar: &[u8]) -> Result<Contents, String> {
    read_with(tar, Whiteouts::Refuse, Limits::default())
}

/// One line per node, with the content of files.
pub(crate) fn text(tree: &Tree) -> Vec<String> {
    let line = |node: &imgb::tree::Node| match &node.kind {
        Kind::Directory => "/".to_owned(),
        Kind::Symlink(target) => format!(" -> {}", imgb::path::escape(target)),
        Kind::Special(special) => format!(" {special:?}"),
        Kind::File(file) => {
            let mut bytes = vec![0; file.len as usize];
            content::read_at(&file.content, file.len, 0, &mut bytes).unwrap();
            format!(
                " {}{}",
                String::from_utf8_lossy(&bytes),
                if file.shared { " (shared)" } else { "" }
            )
        }
    };
    tree.iter().map(|(path, node)| format!("{path}{}", line(node))).collect()
}

/// Builds with the tarball as a base and as an ADD, as a user without privileges: it is accepted,
/// or refused with a message that names it. Nothing outside the work directory is touched, and a
/// refused tarball leaves no image.
#[track_caller]
pub(crate) fn builds(tar: &[u8], taken: bool) {
    let sandbox = Sandbox::new();
    sandbox
        .file("ctx/in.tar", tar)
        .file("victim/file", "victim")
        .mode("victim", 0o700)
        .give_to_nobody();
    for recipe in ["FROM rootfs:in.tar\n", "FROM scratch\nADD in.tar /d/\n"] {
        sandbox.file("ctx/Buildfile", recipe);
        let run = sandbox.imgb("build ctx -q -o rootfs:out.tar").nobody().run();
        if taken {
            run.ok();
        } else {
            run.error(4, &["in.tar"]);
            assert!(!sandbox.path("out.tar").exists());
        }
        let _ = fs_err::remove_file(sandbox.path("out.tar"));
        assert_eq!(sandbox.read("victim/file"), b"victim");
        assert_eq!(sandbox.names(""), ["ctx", "victim"]);
    }
}

#[track_caller]
pub(crate) fn gives(tar: RawTar, wanted: &[&str]) -> Contents {
    builds(&tar.clone().end(), true);
    let contents = read(&tar.end()).unwrap();
    assert_eq!(text(&contents.change.tree), wanted);
    contents
}

/// Asserts the whole message, which names the archive, the entry and its offset.
#[track_caller]
pub(crate) fn refuses(tar: RawTar, wanted: &str) {
    refuses_bytes(&tar.end(), wanted);
}

#[track_caller]
pub(crate) fn refuses_bytes(tar: &[u8], wanted: &str) {
    let message = read(tar).map(|contents| text(&contents.change.tree)).unwrap_err();
    assert_eq!(message, format!("in.tar: {wanted}"));
    builds(tar, false);
}

/// Sets the checksum as the sum of signed bytes, which some old writers wrote.
pub(crate) fn sign_signed(header: &mut [u8; 512]) {
    header[SUM].fill(b' ');
    let sum: i32 = header.iter().map(|&byte| i32::from(byte as i8)).sum();
    put(header, SUM, format!("{sum:06o}\0 ").as_bytes());
}
