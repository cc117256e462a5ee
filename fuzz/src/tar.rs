//! Tars out of a fuzzer's bytes.

const BLOCK: usize = 512;

/// Sets the checksum of every header, found as readers find it, so that the fuzzer gets past it.
pub fn fix_checksums(bytes: &[u8]) -> Vec<u8> {
    let mut tar = bytes.to_vec();
    let mut at = 0;
    while let Some(header) = tar.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<BLOCK>()) {
        if header.iter().all(|&byte| byte == 0) {
            break;
        }
        sign(header);
        let digits = header[124..136].iter().take_while(|byte| byte.is_ascii_digit());
        let size = digits.fold(0_usize, |size, &byte| {
            size.wrapping_mul(8).wrapping_add(usize::from(byte - b'0'))
        });
        let next = size.checked_next_multiple_of(BLOCK).and_then(|size| size.checked_add(BLOCK));
        let Some(next) = next.and_then(|next| next.checked_add(at)) else { break };
        at = next;
    }
    tar
}

fn sign(header: &mut [u8; BLOCK]) {
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

/// A tar that is written member by member.
#[derive(Debug, Default)]
pub struct Writer(pub Vec<u8>);

impl Writer {
    /// A member. A name or target that does not fit its field comes in PAX records.
    pub fn member(&mut self, kind: u8, name: &[u8], target: &[u8], content: &[u8]) {
        let mut records = Vec::new();
        for (key, value) in [(&b"path"[..], name), (b"linkpath", target)] {
            if value.len() > 100 {
                records.extend(record(key, value));
            }
        }
        if !records.is_empty() {
            self.header(b'x', b"pax", b"", &records, |_| {});
        }
        self.header(kind, name, target, content, |_| {});
    }

    /// A header, after `change`, with its content.
    pub fn header(
        &mut self,
        kind: u8,
        name: &[u8],
        target: &[u8],
        content: &[u8],
        change: impl FnOnce(&mut [u8; BLOCK]),
    ) {
        let mut header = [0; BLOCK];
        let mut put = |at: usize, len: usize, bytes: &[u8]| {
            let len = len.min(bytes.len());
            header[at..at + len].copy_from_slice(&bytes[..len]);
        };
        put(0, 100, name);
        put(100, 8, b"0000644\0");
        put(108, 8, b"0000000\0");
        put(116, 8, b"0000000\0");
        put(124, 12, format!("{:011o}\0", content.len()).as_bytes());
        put(136, 12, b"00000000000\0");
        put(156, 1, &[kind]);
        put(157, 100, target);
        put(257, 8, b"ustar\x0000");
        change(&mut header);
        sign(&mut header);
        self.0.extend(header);
        self.0.extend(content);
        self.0.resize(self.0.len().next_multiple_of(BLOCK), 0);
    }

    /// The archive.
    pub fn finish(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 2 * BLOCK, 0);
        self.0
    }
}

/// A PAX record with its length.
pub fn record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = [b" ", key, b"=", value, b"\n"].concat();
    let len = |digits: usize| rest.len() + digits;
    let digits = (1..).find(|&digits| len(digits).to_string().len() == digits).unwrap_or(1);
    [len(digits).to_string().into_bytes(), rest].concat()
}
