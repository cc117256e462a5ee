//! Member headers: ustar (POSIX.1-1988), preceded by PAX records only for what ustar cannot hold.

use std::ops::Range;

use crate::{
    path::{ImagePath, escape},
    timestamp::{Mtime, Timestamp},
    tree::{Kind, Meta, Node, Special},
};

/// The size of a header, to whose multiples content is padded.
pub const BLOCK: usize = 512;

/// The length of the two zero blocks that end an archive. It is not padded to 10 KiB, as tar(1)
/// does for tapes.
pub const END: u64 = 2 * BLOCK as u64;

/// The largest values of fields of eight and twelve bytes: octal digits and a NUL.
const MAX_ID: u64 = 0o7_777_777;
const MAX_SIZE: u64 = 0o77_777_777_777;

/// The byte ranges of the fields of a ustar header.
mod field {
    use std::ops::Range;

    pub(super) const NAME: Range<usize> = 0..100;
    pub(super) const MODE: Range<usize> = 100..108;
    pub(super) const UID: Range<usize> = 108..116;
    pub(super) const GID: Range<usize> = 116..124;
    pub(super) const SIZE: Range<usize> = 124..136;
    pub(super) const MTIME: Range<usize> = 136..148;
    pub(super) const CHECKSUM: Range<usize> = 148..156;
    pub(super) const KIND: usize = 156;
    pub(super) const LINK: Range<usize> = 157..257;
    pub(super) const MAGIC: Range<usize> = 257..265;
    pub(super) const MAJOR: Range<usize> = 329..337;
    pub(super) const MINOR: Range<usize> = 337..345;
    pub(super) const PREFIX: Range<usize> = 345..500;
}

/// Why a node cannot be a member of a tar.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Names with the prefix `.wh.` are whiteouts (OCI image-spec, layer.md).
    #[error("{0}: no image layer can hold a file whose name begins with `.wh.`")]
    Whiteout(ImagePath),
    /// The fields for device numbers have seven octal digits, and PAX has no key for them.
    #[error("{0}: no archive can hold a device number over 2097151")]
    Device(ImagePath),
    /// The archive would be larger than any disk.
    #[error("{0}: the file is too large for an archive")]
    Large(ImagePath),
    /// A NUL byte ends a link's target.
    #[error("{0}: a NUL byte in the link's target")]
    Target(ImagePath),
    /// A PAX key ends at `=`, and kernels do not accept NUL.
    #[error("{0}: no archive can hold an attribute called `{name}`", name = escape(.1))]
    Attribute(ImagePath, Vec<u8>),
}

/// The header of a regular file `name` in an archive of blobs: mode 0644, owner 0:0, time 0. Always
/// one block, so that it can be written when the size is known. A size of 8 GiB or more is in base
/// 256, which all readers of images support. A name is truncated after 100 bytes.
pub fn blob(name: &str, size: u64) -> [u8; BLOCK] {
    let mut header = Header::new(b'0', &Meta::new(0o644));
    header.set_bytes(field::NAME, name.as_bytes());
    if size <= MAX_SIZE {
        header.set_number(field::SIZE, size);
    } else {
        let mut bytes = [0; 12];
        bytes[0] = 0x80;
        bytes[4..].copy_from_slice(&size.to_be_bytes());
        header.0[field::SIZE].copy_from_slice(&bytes);
    }
    header.finish()
}

/// The size in a header that [`blob`] made; `None` for one of 8 GiB or more, and for other headers.
pub fn size_of_blob(header: &[u8; BLOCK]) -> Option<u64> {
    let digits = header.get(field::SIZE)?.strip_suffix(&[0])?;
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok()
}

/// The header of the directory `name`, which ends in a slash, in an archive of blobs: mode 0755,
/// owner 0:0, time 0. A name is cut off after 100 bytes.
pub fn blob_directory(name: &str) -> [u8; BLOCK] {
    let mut header = Header::new(b'5', &Meta::new(0o755));
    header.set_bytes(field::NAME, name.as_bytes());
    header.finish()
}

/// Appends the header of `node` at `path` to `out`, a whole number of blocks. With `link`, it is
/// the header of a hard link to that path. `mtime` takes the place of the node's own time.
///
/// # Errors
/// [`HeaderError`] for what no tar can hold.
pub fn append(
    out: &mut Vec<u8>,
    path: &ImagePath,
    node: &Node,
    link: Option<&ImagePath>,
    mtime: Timestamp,
) -> Result<(), HeaderError> {
    let (header, pax) = make(path, node, link, mtime)?;
    pax.append(out, path);
    out.extend_from_slice(&header.finish());
    Ok(())
}

/// The number of bytes that [`append`] appends. The time of content never needs a record.
///
/// # Errors
/// As [`append`].
pub fn len(path: &ImagePath, node: &Node, link: Option<&ImagePath>) -> Result<u64, HeaderError> {
    let mtime = match node.meta.mtime {
        Mtime::OfContent => Timestamp::EARLIEST,
        Mtime::At(time) => time,
    };
    let (_, pax) = make(path, node, link, mtime)?;
    let mut records = Vec::new();
    pax.append(&mut records, path);
    Ok((records.len() + BLOCK) as u64)
}

fn make(
    path: &ImagePath,
    node: &Node,
    link: Option<&ImagePath>,
    mtime: Timestamp,
) -> Result<(Header, Pax), HeaderError> {
    if path.file_name().starts_with(b".wh.") {
        return Err(HeaderError::Whiteout(path.clone()));
    }
    let mut header = Header::new(kind(&node.kind, link), &node.meta);
    let mut pax = Pax::default();
    if !header.set_name(path.relative(), node.is_directory()) {
        let slash: &[u8] = if node.is_directory() { b"/" } else { b"" };
        pax.push(b"path", &[path.relative(), slash].concat());
        header.set_bytes(field::NAME, path.relative());
    }
    match (&node.kind, link) {
        (_, Some(link)) => set_target(&mut header, &mut pax, link.relative()),
        (Kind::Symlink(target), None) if target.contains(&0) => {
            return Err(HeaderError::Target(path.clone()));
        }
        (Kind::Symlink(target), None) => set_target(&mut header, &mut pax, target),
        (Kind::Special(Special::Character(major, minor) | Special::Block(major, minor)), None) => {
            if u64::from(*major.max(minor)) > MAX_ID {
                return Err(HeaderError::Device(path.clone()));
            }
            header.set_number(field::MAJOR, u64::from(*major));
            header.set_number(field::MINOR, u64::from(*minor));
        }
        (Kind::File(file), None) => {
            set_number(&mut header, &mut pax, (field::SIZE, b"size"), file.len);
        }
        (Kind::Directory | Kind::Special(Special::Fifo), None) => {}
    }
    set_number(&mut header, &mut pax, (field::UID, b"uid"), u64::from(node.meta.uid));
    set_number(&mut header, &mut pax, (field::GID, b"gid"), u64::from(node.meta.gid));
    let seconds = mtime.seconds();
    match u64::try_from(seconds) {
        Ok(seconds) => set_number(&mut header, &mut pax, (field::MTIME, b"mtime"), seconds),
        Err(_) => pax.push(b"mtime", seconds.to_string().as_bytes()),
    }
    for (name, value) in node.meta.xattrs.iter().flat_map(|xattrs| xattrs.iter()) {
        if name.iter().any(|byte| matches!(byte, 0 | b'=')) {
            return Err(HeaderError::Attribute(path.clone(), name.clone()));
        }
        pax.push(&[b"SCHILY.xattr.", &name[..]].concat(), value);
    }
    Ok((header, pax))
}

/// Sets a number, as a PAX record if the field is too small for it.
fn set_number(header: &mut Header, pax: &mut Pax, (field, key): (Range<usize>, &[u8]), value: u64) {
    if value < 1 << (3 * (field.len() - 1)) {
        header.set_number(field, value);
    } else {
        pax.push(key, value.to_string().as_bytes());
    }
}

/// Sets a link's target, as a PAX record if the field is too small for it.
fn set_target(header: &mut Header, pax: &mut Pax, target: &[u8]) {
    if target.len() > field::LINK.len() {
        pax.push(b"linkpath", target);
    }
    header.set_bytes(field::LINK, target);
}

fn kind(kind: &Kind, link: Option<&ImagePath>) -> u8 {
    match kind {
        _ if link.is_some() => b'1',
        Kind::File(_) => b'0',
        Kind::Symlink(_) => b'2',
        Kind::Special(Special::Character(..)) => b'3',
        Kind::Special(Special::Block(..)) => b'4',
        Kind::Directory => b'5',
        Kind::Special(Special::Fifo) => b'6',
    }
}

/// The records before a header (POSIX.1-2001, pax Extended Header).
#[derive(Default)]
struct Pax(Vec<(Vec<u8>, Vec<u8>)>);

impl Pax {
    fn push(&mut self, key: &[u8], value: &[u8]) {
        self.0.push((key.to_vec(), value.to_vec()));
    }

    /// Appends the records, sorted by key, as a member with the name that Go's archive/tar gives
    /// it.
    fn append(mut self, out: &mut Vec<u8>, path: &ImagePath) {
        if self.0.is_empty() {
            return;
        }
        self.0.sort();
        let mut body = Vec::new();
        for (key, value) in &self.0 {
            append_record(&mut body, key, value);
        }
        let dir = path.parent().unwrap_or_else(ImagePath::root);
        let name = [dir.relative(), b"/PaxHeaders.0/", path.file_name()].concat();
        let name = name.strip_prefix(b"/").unwrap_or(&name);
        let mut header = Header::new(b'x', &Meta::new(0));
        header.set_bytes(field::NAME, &name[..name.len().min(field::NAME.len())]);
        header.set_number(field::SIZE, body.len() as u64);
        out.extend_from_slice(&header.finish());
        body.resize(body.len().next_multiple_of(BLOCK), 0);
        out.extend_from_slice(&body);
    }
}

/// `LENGTH KEY=VALUE\n`, where the length counts its own digits.
fn append_record(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut len = rest + 1;
    while len != rest + len.to_string().len() {
        len = rest + len.to_string().len();
    }
    out.extend_from_slice(len.to_string().as_bytes());
    out.push(b' ');
    out.extend_from_slice(key);
    out.push(b'=');
    out.extend_from_slice(value);
    out.push(b'\n');
}

/// A header with the magic, and zero in every number.
const BLANK: [u8; BLOCK] = {
    let mut bytes = [0; BLOCK];
    let fields = [
        field::MODE,
        field::UID,
        field::GID,
        field::SIZE,
        field::MTIME,
        field::MAJOR,
        field::MINOR,
    ];
    let mut number = 0;
    while number < fields.len() {
        let mut at = fields[number].start;
        while at + 1 < fields[number].end {
            bytes[at] = b'0';
            at += 1;
        }
        number += 1;
    }
    let magic = b"ustar\x0000";
    let mut at = 0;
    while at < magic.len() {
        bytes[field::MAGIC.start + at] = magic[at];
        at += 1;
    }
    bytes
};

/// A ustar header that is being filled in. User and group names stay empty: on extraction a name
/// overrides the number, and this machine's names have no meaning in an image.
struct Header([u8; BLOCK]);

impl Header {
    fn new(kind: u8, meta: &Meta) -> Self {
        let mut header = Self(BLANK);
        header.0[field::KIND] = kind;
        header.set_number(field::MODE, u64::from(meta.mode & 0o7777));
        header
    }

    /// Octal digits that fill the field up to a NUL.
    fn set_number(&mut self, field: Range<usize>, value: u64) {
        let Some((end, digits)) = self.0[field].split_last_mut() else { return };
        *end = 0;
        let mut rest = value;
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (rest & 7) as u8;
            rest >>= 3;
        }
    }

    /// As much of `bytes` as fits.
    fn set_bytes(&mut self, field: Range<usize>, bytes: &[u8]) {
        let to = &mut self.0[field];
        let len = to.len().min(bytes.len());
        to[..len].copy_from_slice(&bytes[..len]);
    }

    /// Sets the name, with a slash after that of a directory. A longer name is split at a slash.
    /// Returns whether it fits.
    fn set_name(&mut self, name: &[u8], directory: bool) -> bool {
        let len = name.len() + usize::from(directory);
        let fits = |start: usize| len - start <= field::NAME.len();
        let slashes = (1..name.len().min(field::PREFIX.len() + 1)).filter(|&at| name[at] == b'/');
        let Some(start) =
            fits(0).then_some(0).or_else(|| slashes.map(|at| at + 1).find(|&at| fits(at)))
        else {
            return false;
        };
        self.set_bytes(field::PREFIX, &name[..start.saturating_sub(1)]);
        self.set_bytes(field::NAME, &name[start..]);
        if directory {
            self.0[field::NAME.start + name.len() - start] = b'/';
        }
        true
    }

    fn finish(mut self) -> [u8; BLOCK] {
        self.0[field::CHECKSUM].fill(b' ');
        // In halves, whose sums fit into 16 bits: that is several times faster.
        let half = |bytes: &[u8]| u64::from(bytes.iter().map(|&byte| u16::from(byte)).sum::<u16>());
        let sum = self.0.chunks(BLOCK / 2).map(half).sum();
        // Six digits and a NUL, before the space that is already there.
        self.set_number(field::CHECKSUM.start..field::CHECKSUM.end - 1, sum);
        self.0
    }
}
