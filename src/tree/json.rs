//! A node as JSON, for `--json` of every command that lists files.

use serde_json::{Value, json};

use super::{Kind, Node, Special};
use crate::path::escape;

impl Node {
    /// The kind of file, in words.
    pub fn kind_name(&self) -> &'static str {
        match &self.kind {
            Kind::Directory => "directory",
            Kind::File(_) => "file",
            Kind::Symlink(_) => "symlink",
            Kind::Special(Special::Fifo) => "fifo",
            Kind::Special(Special::Character(..)) => "character device",
            Kind::Special(Special::Block(..)) => "block device",
        }
    }

    /// `type`, `mode` in octal, `uid`, `gid`, `size` in bytes (0 unless it is a file), `target` of
    /// a symbolic link, escaped if it is not UTF-8, and `device`, `[major, minor]` of a device;
    /// both null for other types.
    pub fn json(&self) -> Value {
        let meta = &self.meta;
        let mode = format!("{:04o}", meta.mode);
        let target = match &self.kind {
            Kind::Symlink(target) => Some(escape(target)),
            _ => None,
        };
        let device = match self.kind {
            Kind::Special(Special::Character(major, minor) | Special::Block(major, minor)) => {
                Some([major, minor])
            }
            _ => None,
        };
        json!({
            "type": self.kind_name(),
            "mode": mode,
            "uid": meta.uid,
            "gid": meta.gid,
            "size": self.file().map_or(0, |file| file.len),
            "target": target,
            "device": device,
        })
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
        let expected = json!({
            "type": "character device", "mode": "0666", "uid": 0, "gid": 0,
            "size": 0, "target": null, "device": [1, 3],
        });
        assert_eq!(node(0o666, Kind::Special(Special::Character(1, 3))), expected);
        assert_eq!(node(0o1777, Kind::Directory)["mode"], "1777");
    }
}
