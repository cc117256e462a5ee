//! A node as JSON, for `--json` of every command that lists files.

use serde_json::{Value, json};

use super::{Kind, Node, Special};
use crate::path::escape;

impl Node {
    /// `type`, `mode` in octal, `uid` and `gid`; `size` in bytes for files, `target` for symbolic
    /// links, escaped if it is not UTF-8.
    pub fn json(&self) -> Value {
        let kind = match &self.kind {
            Kind::Directory => "directory",
            Kind::File(_) => "file",
            Kind::Symlink(_) => "symlink",
            Kind::Special(Special::Fifo) => "fifo",
            Kind::Special(Special::Character(..)) => "character device",
            Kind::Special(Special::Block(..)) => "block device",
        };
        let meta = &self.meta;
        let mode = format!("{:04o}", meta.mode);
        let mut value = json!({"type": kind, "mode": mode, "uid": meta.uid, "gid": meta.gid});
        match &self.kind {
            Kind::File(file) => value["size"] = file.len.into(),
            Kind::Symlink(target) => value["target"] = escape(target).into(),
            Kind::Directory | Kind::Special(_) => {}
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Meta;

    #[test]
    fn describes_each_kind() {
        let node = |mode, kind| Node { meta: Meta::new(mode), kind }.json();
        let link = node(0o777, Kind::Symlink(b"a\xff"[..].into()));
        assert_eq!(link["target"], "a\\xff");
        let expected = json!({"type": "character device", "mode": "0666", "uid": 0, "gid": 0});
        assert_eq!(node(0o666, Kind::Special(Special::Character(1, 3))), expected);
        assert_eq!(node(0o1777, Kind::Directory)["mode"], "1777");
    }
}
