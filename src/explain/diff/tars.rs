//! The tars of two layers, header by header: why the same files have another digest.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    os::unix::fs::FileExt as _,
};

use serde_json::Value;

use super::{ByteDifference, DiffError, Field, Part};
use crate::{
    archive::read::raw::{FIELDS, RawMember, members},
    oci::Layer,
    path::escape,
};

/// Bytes that are compared at once.
const WINDOW: u64 = 1 << 18;

/// Members by name and by how many of the same name come before.
type ByName<'a> = BTreeMap<(&'a [u8], usize), (usize, &'a RawMember)>;

/// What differs in the tars of two layers.
pub(super) fn compare(a: &Layer, b: &Layer) -> Result<Vec<ByteDifference>, DiffError> {
    let ((members_a, end_a), (members_b, end_b)) =
        (members(&a.archive, &a.range)?, members(&b.archive, &b.range)?);
    let (by_name_a, by_name_b) = (by_name(&members_a), by_name(&members_b));
    let mut found = Vec::new();
    let keys: BTreeSet<_> = by_name_a.keys().chain(by_name_b.keys()).collect();
    for key in keys {
        let fields = match (by_name_a.get(key), by_name_b.get(key)) {
            (Some((_, member_a)), Some((_, member_b))) => {
                let mut fields = headers(member_a, member_b);
                fields.extend(contents((a, member_a), (b, member_b))?);
                fields
            }
            (a, b) => {
                let at = |member: Option<&(usize, &RawMember)>| member.map(|(at, _)| *at);
                vec![Field::new("member", at(a), at(b))]
            }
        };
        if !fields.is_empty() {
            found.push(of_tar(Some(key.0.to_vec()), fields));
        }
    }
    found.extend(order(&by_name_a, &by_name_b));
    let zeros = Field::differing("zeros at the end", a.tar_size - end_a, b.tar_size - end_b);
    found.extend(zeros.map(|zeros| of_tar(None, vec![zeros])));
    Ok(found)
}

fn of_tar(member: Option<Vec<u8>>, fields: Vec<Field>) -> ByteDifference {
    ByteDifference { part: Part::Tar, layer: None, member, fields }
}

fn by_name(members: &[RawMember]) -> ByName<'_> {
    let mut seen: BTreeMap<&[u8], usize> = BTreeMap::new();
    let mut all = ByName::new();
    for (at, member) in members.iter().enumerate() {
        let count = seen.entry(&member.name).or_default();
        all.insert((&member.name, *count), (at, member));
        *count += 1;
    }
    all
}

/// The first member that both tars have in different places among those that both have.
fn order(a: &ByName<'_>, b: &ByName<'_>) -> Option<ByteDifference> {
    let common = |of: &ByName<'_>, other: &ByName<'_>| {
        let both = of.iter().filter(|(key, _)| other.contains_key(*key));
        let mut both: Vec<_> =
            both.map(|((name, count), (at, _))| (*at, name.to_vec(), *count)).collect();
        both.sort_unstable();
        both
    };
    let (a, b) = (common(a, b), common(b, a));
    let same = |((_, a, nth_a), (_, b, nth_b)): &(&(_, _, _), &(_, _, _))| (a, nth_a) == (b, nth_b);
    let (first_a, first_b) = a.iter().zip(&b).find(|pair| !same(pair))?;
    let fields = vec![Field::new("order", escape(&first_a.1), escape(&first_b.1))];
    Some(of_tar(None, fields))
}

/// The fields of two headers that differ, with their extension headers.
fn headers(a: &RawMember, b: &RawMember) -> Vec<Field> {
    let mut fields = Vec::new();
    for (name, at) in FIELDS {
        let (a, b) = (&a.header[at.clone()], &b.header[at]);
        if a != b {
            let (short_a, short_b) = (trimmed(a), trimmed(b));
            let (a, b) = if short_a == short_b { (a, b) } else { (short_a, short_b) };
            fields.push(Field::new(name, escape(a), escape(b)));
        }
    }
    let types = |member: &RawMember| escape(&member.extensions);
    fields.extend(Field::differing("extension headers", types(a), types(b)));
    let names: BTreeSet<_> = a.records.keys().chain(b.records.keys()).collect();
    for name in names {
        let value = |member: &RawMember| member.records.get(name).map(|value| escape(value));
        let label = format!("record {}", escape(name));
        fields.extend(Field::differing(&label, value(a), value(b)));
    }
    fields
}

/// A field without the NULs and spaces after its value.
fn trimmed(field: &[u8]) -> &[u8] {
    let end = field.iter().rposition(|byte| !matches!(byte, 0 | b' ')).map_or(0, |at| at + 1);
    &field[..end]
}

/// Where the contents of two members differ first.
fn contents(
    (a, member_a): (&Layer, &RawMember),
    (b, member_b): (&Layer, &RawMember),
) -> Result<Option<Field>, DiffError> {
    let (content_a, content_b) = (&member_a.content, &member_b.content);
    let len = |range: &Range<u64>| range.end - range.start;
    let common = len(content_a).min(len(content_b));
    let (mut left, mut right) = (vec![0; WINDOW as usize], vec![0; WINDOW as usize]);
    let mut at = 0;
    while at < common {
        let window = (common - at).min(WINDOW) as usize;
        let (left, right) = (&mut left[..window], &mut right[..window]);
        a.archive.file.read_exact_at(left, a.range.start + content_a.start + at)?;
        b.archive.file.read_exact_at(right, b.range.start + content_b.start + at)?;
        if let Some(first) = left.iter().zip(right.iter()).position(|(a, b)| a != b) {
            let byte = |bytes: &[u8]| Value::from(format!("{:02x}", bytes[first]));
            let name = format!("content at byte {}", at + first as u64);
            return Ok(Some(Field::new(name, byte(left), byte(right))));
        }
        at += window as u64;
    }
    Ok(Field::differing("bytes of content", len(content_a), len(content_b)))
}
