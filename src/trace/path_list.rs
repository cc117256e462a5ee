//! Lists of files for `pack --include-from`: one absolute path per line; `#` starts a comment.

use super::{SysrootEntry, TracedFile};
use crate::path::{ImagePath, escape};

/// The largest list that is read, in bytes.
pub const MAX_LIST: usize = 64 << 20;

/// A line that is not a path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: `{text}` {why}")]
pub struct ListError {
    /// Counted from 1.
    pub line: usize,
    /// The text of the line.
    pub text: String,
    /// What is wrong.
    pub why: String,
}

/// Writes `files` as a list. Directories, and names that a line cannot hold, become comments: a
/// directory may contain more than the program needs.
pub fn write(files: &[TracedFile]) -> Vec<u8> {
    let mut out = b"# For `imgb pack --include-from`: one absolute path per line.\n".to_vec();
    for file in files {
        let comment = match file.in_sysroot {
            Some(SysrootEntry::Directory) => " (a directory)",
            _ if file.path.contains(&b'\n') => " (a line cannot hold its name)",
            _ => "",
        };
        match comment {
            "" => out.extend_from_slice(&file.path),
            _ => out.extend(format!("# {}{comment}", escape(&file.path)).into_bytes()),
        }
        out.push(b'\n');
    }
    out
}

/// Parses a list into its paths, in order.
///
/// # Errors
/// [`ListError`] for a line that is not an absolute path.
pub fn parse(bytes: &[u8]) -> Result<Vec<ImagePath>, ListError> {
    let mut out = Vec::new();
    for (at, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.trim_ascii().is_empty() || line.first() == Some(&b'#') {
            continue;
        }
        let text: String = escape(line).chars().take(200).collect();
        let fault = |why: String| ListError { line: at + 1, text, why };
        if line.first() != Some(&b'/') {
            return Err(fault("is not an absolute path".into()));
        }
        match ImagePath::new(line) {
            Ok(path) => out.push(path),
            Err(error) => return Err(fault(format!("is not a path in an image: {error}"))),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::{super::Call, *};

    #[test]
    fn what_is_written_is_read_again() {
        let file = |path: &[u8], in_sysroot| TracedFile {
            path: path.into(),
            call: Call::Open,
            by: String::new(),
            in_sysroot,
        };
        let files = [
            file(b"/etc/app.conf", Some(SysrootEntry::File(1))),
            file(b"/usr/share/a name\xff", Some(SysrootEntry::File(1))),
            file(b"/usr/share/dir", Some(SysrootEntry::Directory)),
            file(b"/new\nline", Some(SysrootEntry::File(1))),
        ];
        let text = write(&files);
        let names: Vec<_> =
            parse(&text).unwrap().into_iter().map(|path| path.as_bytes().to_vec()).collect();
        assert_eq!(names, [files[0].path.clone(), files[1].path.clone()]);
        assert!(String::from_utf8_lossy(&text).contains("# /usr/share/dir (a directory)"));
    }

    #[test]
    fn reports_lines_that_are_not_paths() {
        assert_eq!(parse(b"# remark\r\n\n/etc/x\r\n").unwrap().len(), 1);
        let error = parse(b"/etc/x\netc/y\n").unwrap_err();
        assert_eq!((error.line, &*error.text), (2, "etc/y"));
        assert_eq!(parse(b"/a/../../b").unwrap_err().line, 1);
    }
}
