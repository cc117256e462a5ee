//! Two trees, file by file.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{DiffError, DiffOptions, Field};
use crate::{
    digest::Digest,
    explain::contents::{digest, hard_links},
    path::{ImagePath, escape},
    source::content,
    timestamp::Mtime,
    tree::{FileNode, Identity, Kind, Node, Special, Tree, Xattrs, capability},
};

/// Bytes that are compared at once.
const WINDOW: usize = 1 << 18;

/// A path that differs.
#[derive(Clone, Debug, PartialEq)]
pub struct FileDifference {
    /// Where it is.
    pub path: ImagePath,
    /// What the first image has there.
    pub a: Option<Node>,
    /// What the second image has there.
    pub b: Option<Node>,
    /// What differs, if both have something there.
    pub fields: Vec<Field>,
    /// The offset of the first byte that differs, of two files.
    pub first_byte: Option<u64>,
}

impl FileDifference {
    /// `added`, `removed` or `changed`.
    pub fn change(&self) -> &'static str {
        match (&self.a, &self.b) {
            (None, _) => "added",
            (_, None) => "removed",
            _ => "changed",
        }
    }

    pub(super) fn json(&self) -> Value {
        let node = |node: &Option<Node>| node.as_ref().map(Node::json);
        json!({
            "path": self.path.to_string(),
            "change": self.change(),
            "fields": self.fields.iter().map(Field::json).collect::<Vec<_>>(),
            "first_byte": self.first_byte,
            "a": node(&self.a),
            "b": node(&self.b),
        })
    }
}

/// Compares trees and remembers which contents have been compared.
pub(super) struct Comparison<'a> {
    options: &'a DiffOptions,
    contents: BTreeMap<(Identity, Identity), Option<Contents>>,
}

/// Two contents that differ.
#[derive(Clone, Copy)]
struct Contents {
    first_byte: u64,
    a: Digest,
    b: Digest,
}

impl<'a> Comparison<'a> {
    pub(super) fn new(options: &'a DiffOptions) -> Self {
        Self { options, contents: BTreeMap::new() }
    }

    /// The paths in which two trees differ, in order.
    pub(super) fn trees(&mut self, a: &Tree, b: &Tree) -> Result<Vec<FileDifference>, DiffError> {
        let paths: BTreeSet<&ImagePath> = a.iter().chain(b).map(|(path, _)| path).collect();
        let (links_a, links_b) = (hard_links(a), hard_links(b));
        let mut found = Vec::new();
        for path in paths {
            let (node_a, node_b) = (a.get(path), b.get(path));
            let (mut fields, mut first_byte) = (Vec::new(), None);
            if let (Some(node_a), Some(node_b)) = (node_a, node_b) {
                (fields, first_byte) = self.nodes(node_a, node_b)?;
                let link = |links: &BTreeMap<&ImagePath, &ImagePath>| {
                    links.get(path).map(ToString::to_string)
                };
                fields.extend(Field::differing("hard link", link(&links_a), link(&links_b)));
                fields = self.options.counted(fields);
                if fields.is_empty() {
                    continue;
                }
            }
            let (a, b) = (node_a.cloned(), node_b.cloned());
            found.push(FileDifference { path: path.clone(), a, b, fields, first_byte });
        }
        Ok(found)
    }

    /// The fields in which two nodes differ, and the first byte.
    fn nodes(&mut self, a: &Node, b: &Node) -> Result<(Vec<Field>, Option<u64>), DiffError> {
        let (mut fields, mut first_byte) = (Vec::new(), None);
        let mut add = |field: Option<Field>| fields.extend(field);
        add(Field::differing("type", a.kind_name(), b.kind_name()));
        // No engine applies the mode of a link.
        if !matches!((&a.kind, &b.kind), (Kind::Symlink(_), Kind::Symlink(_))) {
            let mode = |node: &Node| format!("{:04o}", node.meta.mode);
            add(Field::differing("mode", mode(a), mode(b)));
        }
        add(Field::differing("uid", a.meta.uid, b.meta.uid));
        add(Field::differing("gid", a.meta.gid, b.meta.gid));
        add(Field::differing("mtime", time(a.meta.mtime), time(b.meta.mtime)));
        for name in attributes(&a.meta.xattrs, &b.meta.xattrs) {
            let value = |xattrs: &Xattrs| Some(attribute(&name, xattrs.as_ref()?.get(&name)?));
            let label = if name == capability::NAME { "capability".into() } else { escape(&name) };
            add(Field::differing(&label, value(&a.meta.xattrs), value(&b.meta.xattrs)));
        }
        match (&a.kind, &b.kind) {
            (Kind::File(file_a), Kind::File(file_b)) => {
                add(Field::differing("size", file_a.len, file_b.len));
                if let Some(found) = self.contents(file_a, file_b)? {
                    first_byte = Some(found.first_byte);
                    let (a, b) = (found.a.to_string(), found.b.to_string());
                    fields.push(Field::new("content", a, b));
                }
            }
            (Kind::Symlink(a), Kind::Symlink(b)) => {
                add(Field::differing("target", escape(a), escape(b)));
            }
            (Kind::Special(a), Kind::Special(b)) => {
                add(Field::differing("device", numbers(*a), numbers(*b)));
            }
            _ => {}
        }
        Ok((fields, first_byte))
    }

    /// How the contents of two files differ, if they do.
    fn contents(&mut self, a: &FileNode, b: &FileNode) -> Result<Option<Contents>, DiffError> {
        let key = (a.content.identity(), b.content.identity());
        if let Some(known) = self.contents.get(&key) {
            return Ok(*known);
        }
        let found = match first_difference(a, b)? {
            Some(first_byte) => Some(Contents { first_byte, a: digest(a)?, b: digest(b)? }),
            None => None,
        };
        self.contents.insert(key, found);
        Ok(found)
    }
}

/// The offset of the first byte in which two files differ, or the length of the shorter one.
fn first_difference(a: &FileNode, b: &FileNode) -> Result<Option<u64>, DiffError> {
    let len = a.len.min(b.len);
    let (mut left, mut right) = (vec![0; WINDOW], vec![0; WINDOW]);
    let mut at = 0;
    while at < len {
        let window = (len - at).min(WINDOW as u64) as usize;
        let (left, right) = (&mut left[..window], &mut right[..window]);
        content::read_at(&a.content, a.len, at, left)?;
        content::read_at(&b.content, b.len, at, right)?;
        if let Some(first) = left.iter().zip(right.iter()).position(|(a, b)| a != b) {
            return Ok(Some(at + first as u64));
        }
        at += window as u64;
    }
    Ok((a.len != b.len).then_some(len))
}

/// The names of the attributes that one of two files has.
fn attributes(a: &Xattrs, b: &Xattrs) -> BTreeSet<Vec<u8>> {
    a.iter().chain(b).flat_map(|all| all.keys().cloned()).collect()
}

/// An attribute's value: the names of capabilities, and all of its bytes.
fn attribute(name: &[u8], value: &[u8]) -> String {
    let hex: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
    match name == capability::NAME {
        true => {
            let names = capability::names(capability::required(value)).into_iter();
            let names: Vec<_> = names.map(|name| format!("cap_{}", name.to_lowercase())).collect();
            format!("{} ({hex})", names.join(","))
        }
        false => hex,
    }
}

fn time(mtime: Mtime) -> Option<String> {
    match mtime {
        Mtime::OfContent => None,
        Mtime::At(time) => Some(time.to_string()),
    }
}

fn numbers(special: Special) -> Option<String> {
    match special {
        Special::Character(major, minor) | Special::Block(major, minor) => {
            Some(format!("{major},{minor}"))
        }
        Special::Fifo => None,
    }
}
