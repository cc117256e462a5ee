//! Paths that need no file of the sysroot in an image, and what languages' runtimes do with files.
//! Data only, with the lookups in it.

use crate::languages::Languages;

/// Directories whose files are those of the kernel or the container engine.
const SYSTEM_DIRS: [&[u8]; 5] = [b"/proc", b"/sys", b"/dev", b"/run", b"/var/run"];

/// Directories for temporary files. What an image lacks there is not looked for in the sysroot.
const TEMPORARY_DIRS: [&[u8]; 2] = [b"/tmp", b"/var/tmp"];

/// Files that an engine, or imgb itself, generates for each image. Those of another system would be
/// wrong there.
const GENERATED_FILES: [&[u8]; 5] = [
    b"/etc/ld.so.cache",
    b"/etc/ld.so.preload",
    b"/etc/hosts",
    b"/etc/hostname",
    b"/etc/resolv.conf",
];

/// Whether a path is one that an image provides itself.
pub(super) fn is_image_path(path: &[u8]) -> bool {
    path != b"/"
        && !SYSTEM_DIRS.iter().any(|dir| is_within(path, dir))
        && !GENERATED_FILES.contains(&path)
}

/// Whether a path is in a directory for temporary files.
pub(super) fn is_temporary(path: &[u8]) -> bool {
    TEMPORARY_DIRS.iter().any(|dir| is_within(path, dir))
}

/// The path of the source that a runtime requires beside the compiled file `path`; `None` for other
/// files.
pub(super) fn required_source(path: &[u8]) -> Option<Vec<u8>> {
    Languages::builtin().source(path)
}

fn is_within(path: &[u8], dir: &[u8]) -> bool {
    path.strip_prefix(dir).is_some_and(|rest| matches!(rest, [] | [b'/', ..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_common_prefix_of_names_does_not_matter() {
        for path in ["/process", "/developer/x", "/etc/hosts.allow"] {
            assert!(is_image_path(path.as_bytes()), "{path}");
        }
        for path in ["/proc/1", "/proc", "/", "/etc/hosts"] {
            assert!(!is_image_path(path.as_bytes()), "{path}");
        }
        assert!(is_temporary(b"/tmp/x") && !is_temporary(b"/tmpfile"));
    }

    #[test]
    fn finds_the_sources_of_compiled_files() {
        let source = |path: &str| required_source(path.as_bytes());
        assert_eq!(source("/a/__pycache__/x.cpython-311.opt-1.pyc"), Some(b"/a/x.py".to_vec()));
        assert_eq!(source("/a/x.pyc"), None);
        assert_eq!(source("/a/__pycache__/x.py"), None);
    }
}
