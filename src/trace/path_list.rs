//! A list of files for `pack --include-from`: an absolute path a line, `#` for remarks.

use super::{SysrootEntry, TracedFile};
use crate::path::{ImagePath, escape};

/// Bytes of a list that are read.
pub const MAX_LIST: usize = 64 << 20;

/// A line that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: `{text}` {why}")]
pub struct ListError {
    /// From 1.
    pub line: usize,
    /// The line.
    pub text: String,
    /// What is wrong.
    pub why: String,
}

/// `files` as a list. Directories, and names that no line can hold, become remarks: a directory may
/// hold more than the program wants.
pub fn write(files: &[TracedFile]) -> Vec<u8> {
    let mut out = b"# For `imgb pack --include-from`: an absolute path a line.\n".to_vec();
    for file in files {
        let remark = match file.in_sysroot {
            Some(SysrootEntry::Directory) => " (a directory)",
            _ if file.path.contains(&b'\n') => " (a line cannot hold its name)",
            _ => "",
        };
        match remark {
            "" => out.extend_from_slice(&file.path),
            _ => out.extend(format!("# {}{remark}", escape(&file.path)).into_bytes()),
        }
        out.push(b'\n');
    }
    out
}

/// The paths of a list, in its order.
///
/// # Errors
/// [`ListError`] for a line that is no absolute path.
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
            return Err(fault("is no absolute path".into()));
        }
        match ImagePath::new(line) {
            Ok(path) => out.push(path),
            Err(error) => return Err(fault(format!("is no path of an image: {error}"))),
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
    fn lines_that_are_no_paths_are_named() {
        assert_eq!(parse(b"# remark\r\n\n/etc/x\r\n").unwrap().len(), 1);
        let error = parse(b"/etc/x\netc/y\n").unwrap_err();
        assert_eq!((error.line, &*error.text), (2, "etc/y"));
        assert_eq!(parse(b"/a/../../b").unwrap_err().line, 1);
    }
}
