//! A tree as text, one line per node: for snapshots, `imgb plan -v` and debugging.

use std::fmt;

use super::{Kind, Node, Special, Tree};
use crate::path::escape;

impl fmt::Display for Tree {
    /// `drwxr-xr-x 0:0 /bin`: kind and mode, owner, path, then the target of a link or the size of
    /// a file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.iter().try_for_each(|(path, node)| {
            writeln!(f, "{} {}:{} {path}{}", mode(node), node.meta.uid, node.meta.gid, detail(node))
        })
    }
}

/// The ten characters of `ls -l`.
fn mode(node: &Node) -> String {
    let mode = node.meta.mode;
    let kind = match node.kind {
        Kind::Directory => 'd',
        Kind::File(_) => '-',
        Kind::Symlink(_) => 'l',
        Kind::Special(Special::Character(..)) => 'c',
        Kind::Special(Special::Block(..)) => 'b',
        Kind::Special(Special::Fifo) => 'p',
    };
    let mut text = String::from(kind);
    for (shift, special, plain, lone) in
        [(6, 0o4000, 's', 'S'), (3, 0o2000, 's', 'S'), (0, 0o1000, 't', 'T')]
    {
        let bits = mode >> shift;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (mode & special != 0, bits & 1 != 0) {
            (true, true) => plain,
            (true, false) => lone,
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    text
}

fn detail(node: &Node) -> String {
    match &node.kind {
        Kind::Directory => String::new(),
        Kind::File(file) => format!(" {}", file.len),
        Kind::Symlink(target) => format!(" -> {}", escape(target)),
        Kind::Special(Special::Character(major, minor) | Special::Block(major, minor)) => {
            format!(" {major},{minor}")
        }
        Kind::Special(Special::Fifo) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::ImagePath;

    #[test]
    fn one_line_a_node() {
        let path = |text: &str| ImagePath::new(text).unwrap();
        let tree: Tree = [
            (path("tmp"), Node::directory(0o1777)),
            (path("bin/su"), Node::inline(0o4755, *b"12")),
            (path("bin/sh"), Node::symlink(*b"bu\nsy")),
        ]
        .into_iter()
        .collect();
        assert_eq!(
            tree.to_string(),
            "lrwxrwxrwx 0:0 /bin/sh -> bu\\x0asy\n-rwsr-xr-x 0:0 /bin/su 2\ndrwxrwxrwt 0:0 /tmp\n"
        );
    }
}
