//! Paragraphs of `Field: value` lines (deb-control(5)).

/// The paragraphs of `text`, without the empty lines between them.
pub(super) fn paragraphs(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = text;
    std::iter::from_fn(move || {
        while let Some(after) = rest.strip_prefix(b"\n") {
            rest = after;
        }
        if rest.is_empty() {
            return None;
        }
        let end = memchr::memmem::find(rest, b"\n\n").map_or(rest.len(), |end| end + 1);
        let (paragraph, after) = rest.split_at(end);
        rest = after;
        Some(paragraph)
    })
}

/// The fields of a paragraph: names, and values with their continuation lines. Lines that are not
/// fields are skipped.
pub(super) fn fields(paragraph: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = paragraph;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let mut end = 0;
            loop {
                end +=
                    memchr::memchr(b'\n', rest.get(end..)?).map_or(rest.len() - end, |at| at + 1);
                if !matches!(rest.get(end), Some(b' ' | b'\t')) {
                    break;
                }
            }
            let (field, after) = rest.split_at(end);
            rest = after;
            let colon = memchr::memchr(b':', field);
            if let Some((name, value)) = colon.and_then(|colon| field.split_at_checked(colon)) {
                return Some((name, value.get(1..).unwrap_or_default().trim_ascii()));
            }
        }
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_paragraphs_and_their_fields() {
        let text = b"\n\nA: 1\nB: x\n y\nnonsense\nC:\n\n\nA: 2";
        let all: Vec<Vec<_>> = paragraphs(text).map(|part| fields(part).collect()).collect();
        let first: &[(&[u8], &[u8])] = &[(b"A", b"1"), (b"B", b"x\n y"), (b"C", b"")];
        assert_eq!(all, [first.to_vec(), vec![(&b"A"[..], &b"2"[..])]]);
    }
}
