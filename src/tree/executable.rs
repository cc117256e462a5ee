//! Which files may be programs or libraries, by mode and name.

use super::{Kind, Node};
use crate::path::ImagePath;

impl Node {
    /// Whether this is a regular file that somebody may execute.
    pub fn is_executable(&self) -> bool {
        matches!(self.kind, Kind::File(_)) && self.meta.mode & 0o111 != 0
    }

    /// Whether the node at `path` is a regular file that the kernel or a loader may open as a
    /// program or library: it is executable or named like a library, and long enough for a magic
    /// number.
    pub fn may_be_code(&self, path: &ImagePath) -> bool {
        let named_like_a_library = || {
            let name = path.file_name();
            name.ends_with(b".node")
                || name.ends_with(b".so")
                || memchr::memmem::find(name, b".so.").is_some()
        };
        self.file().is_some_and(|file| file.len >= 4)
            && (self.meta.mode & 0o111 != 0 || named_like_a_library())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_and_libraries_are_looked_into() {
        let check = |path: &str, node: &Node| node.may_be_code(&ImagePath::new(path).unwrap());
        let (plain, program) = (Node::inline(0o644, *b"\x7fELF"), Node::inline(0o755, *b"\x7fELF"));
        for path in ["/libx.so", "/libx.so.1", "/addon.node"] {
            assert!(check(path, &plain), "{path}");
        }
        assert!(check("/x", &program) && !check("/x", &plain) && !check("/x.sofa", &plain));
        assert!(!check("/x", &Node::inline(0o755, *b"abc")));
        assert!(!check("/x.so", &Node::directory(0o755)));
    }
}
