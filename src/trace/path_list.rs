//! Lists of files for `pack --include-from`: one absolute path per line; `#` starts a comment.

use super::{Report, SysrootEntry, TracedFile, without_slash};
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

/// Writes `report` as a list: a directory without its content, and as comments what a line cannot
/// hold and what belongs in no image.
pub fn write(report: &Report) -> Vec<u8> {
    let mut out = b"# For `imgb pack --include-from`: one absolute path per line; DIR/. is the \
directory without\n# its content.\n"
        .to_vec();
    for file in &report.missing {
        if file.path.contains(&b'\n') {
            comment(&mut out, &file.path, "a line cannot hold its name");
            continue;
        }
        out.extend_from_slice(&include_path(file));
        out.push(b'\n');
    }
    for file in &report.confidential {
        let why = file.withheld.as_ref().map(ToString::to_string).unwrap_or_default();
        comment(&mut out, &file.path, &why);
    }
    out
}

fn comment(out: &mut Vec<u8>, path: &[u8], why: &str) {
    out.extend(format!("# {} ({why})\n", escape(path)).into_bytes());
}

/// The path with which `--include` adds `file`, and of a directory only that.
pub fn include_path(file: &TracedFile) -> Vec<u8> {
    match file.in_sysroot {
        Some(SysrootEntry::Directory) => [without_slash(&file.path), b"/."].concat(),
        _ => file.path.clone(),
    }
}

/// Parses a list into its paths, in order, as they are written.
///
/// # Errors
/// [`ListError`] for a line that is not an absolute path.
pub fn parse(bytes: &[u8]) -> Result<Vec<Vec<u8>>, ListError> {
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
            Ok(_) => out.push(line.to_vec()),
            Err(error) => return Err(fault(format!("is not a path in an image: {error}"))),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Call, Withheld},
        *,
    };

    #[test]
    fn what_is_written_is_read_again() {
        let file = |path: &[u8], in_sysroot| TracedFile {
            path: path.into(),
            call: Call::Open,
            by: String::new(),
            in_sysroot: Some(in_sysroot),
            leads_to: None,
            withheld: Some(Withheld::Personal),
        };
        let missing = vec![
            file(b"/etc/app.conf", SysrootEntry::File(1)),
            file(b"/opt/x/../a name\xff", SysrootEntry::File(1)),
            file(b"/usr/share/dir", SysrootEntry::Directory),
            file(b"/new\nline", SysrootEntry::File(1)),
        ];
        let confidential = vec![file(b"/etc/shadow", SysrootEntry::File(1))];
        let text = write(&Report { missing, confidential, ..Report::default() });
        let wanted: [&[u8]; 3] = [b"/etc/app.conf", b"/opt/x/../a name\xff", b"/usr/share/dir/."];
        assert_eq!(parse(&text).unwrap(), wanted);
        let text = String::from_utf8_lossy(&text);
        assert!(text.contains("\n# /new\\x0aline (a line cannot hold its name)\n"), "{text}");
        assert!(
            text.ends_with("\n# /etc/shadow (it belongs to this machine or to one of its users)\n")
        );
    }

    #[test]
    fn reports_lines_that_are_not_paths() {
        assert_eq!(parse(b"# remark\r\n\n/etc/x\r\n").unwrap().len(), 1);
        let error = parse(b"/etc/x\netc/y\n").unwrap_err();
        assert_eq!((error.line, &*error.text), (2, "etc/y"));
        assert_eq!(parse(b"/a/../../b").unwrap_err().line, 1);
    }
}
