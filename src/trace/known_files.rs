//! Which paths of a system an image may need, and what languages' runtimes do with files.

use crate::{languages::Languages, machine_files};

/// Whether a path is one that an image does not provide itself.
pub(super) fn is_image_path(path: &[u8]) -> bool {
    path != b"/" && !machine_files::is_system(path) && !machine_files::is_generated(path)
}

/// Whether a directory holds what unrelated programs have installed: one of the root directory, or
/// of `/usr` and `/usr/local`.
pub(super) fn is_shared(dir: &[u8]) -> bool {
    let dir = [&b"/usr/local/"[..], b"/usr/", b"/"].iter().find_map(|top| dir.strip_prefix(*top));
    dir.is_none_or(|below| !below.contains(&b'/'))
}

/// The path of the source that a runtime requires beside the compiled file `path`; `None` for other
/// files.
pub(super) fn required_source(path: &[u8]) -> Option<Vec<u8>> {
    Languages::builtin().source(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_what_an_image_provides_and_what_programs_share() {
        for path in ["/process", "/etc/hosts.allow"] {
            assert!(is_image_path(path.as_bytes()), "{path}");
        }
        for path in ["/proc/1", "/", "/etc/hosts"] {
            assert!(!is_image_path(path.as_bytes()), "{path}");
        }
        for dir in ["/", "/etc", "/usr/lib", "/usr/local/share"] {
            assert!(is_shared(dir.as_bytes()), "{dir}");
        }
        assert!(!is_shared(b"/usr/share/app") && !is_shared(b"/opt/app"));
    }

    #[test]
    fn finds_the_sources_of_compiled_files() {
        let source = |path: &str| required_source(path.as_bytes());
        assert_eq!(source("/a/__pycache__/x.cpython-311.opt-1.pyc"), Some(b"/a/x.py".to_vec()));
        assert_eq!(source("/a/x.pyc"), None);
        assert_eq!(source("/a/__pycache__/x.py"), None);
    }
}
