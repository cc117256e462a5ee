//! Typelibs of GObject introspection (`gitypelib-internal.h`). Pure.

/// What a typelib begins with.
const MAGIC: &[u8] = b"GOBJ\nMETADATA\r\n\x1a";
/// Where the header has the offset of the dependencies.
const DEPENDENCIES: usize = 36;
/// Namespaces that one typelib depends on.
const MAX_DEPENDENCIES: usize = 200;

/// The namespaces that the typelib in `bytes` depends on, each with its version.
pub fn dependencies(bytes: &[u8]) -> Vec<(&[u8], &[u8])> {
    list(bytes).unwrap_or_default()
}

fn list(bytes: &[u8]) -> Option<Vec<(&[u8], &[u8])>> {
    let offset = bytes.strip_prefix(MAGIC)?.get(DEPENDENCIES - MAGIC.len()..)?.first_chunk()?;
    let from = bytes.get(usize::try_from(u32::from_le_bytes(*offset)).ok()?..)?;
    let list = from.get(..memchr::memchr(0, from)?).filter(|_| *offset != [0; 4])?;
    let pairs = list.split(|&b| b == b'|').filter_map(|name| {
        let dash = memchr::memrchr(b'-', name)?;
        Some((name.get(..dash)?, name.get(dash + 1..)?))
    });
    Some(pairs.take(MAX_DEPENDENCIES).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_typelibs_depend_on_nothing() {
        let mut typelib = [MAGIC, &[0; 24]].concat();
        assert!(dependencies(&typelib).is_empty());
        typelib[DEPENDENCIES] = 40;
        typelib.extend(b"GLib-2.0|x|Gdk-Pixbuf-2.0\0");
        assert_eq!(dependencies(&typelib), [(&b"GLib"[..], &b"2.0"[..]), (b"Gdk-Pixbuf", b"2.0")]);
        for len in 0..typelib.len() {
            assert!(dependencies(&typelib[..len]).is_empty());
        }
        typelib[DEPENDENCIES + 3] = 0xff;
        assert!(dependencies(&typelib).is_empty());
    }
}
