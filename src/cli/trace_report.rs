//! What `imgb trace` found, as text and as JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::size;
use crate::{
    path::escape,
    trace::{Call, Report, SysrootEntry, TracedFile, Watched},
};

/// The files that were opened, and options that add what is missing.
pub(super) fn text(report: &Report, watched: Watched, has_image: bool) -> String {
    let mut text = String::new();
    if watched == Watched::InImage || has_image {
        let _ = writeln!(text, "opened: {}", report.opened.len());
        for file in &report.opened {
            let _ = writeln!(text, "  {}", escape(&file.path));
        }
        let what = match &report.missing[..] {
            [] => "the image lacks nothing that the sysroot has",
            _ => "missing in the image, present in the sysroot:",
        };
        let _ = writeln!(text, "\n{what}");
    } else {
        let _ = writeln!(text, "read: {}", report.missing.len());
    }
    for file in &report.missing {
        let size = match file.in_sysroot {
            Some(SysrootEntry::File(len)) => size::format(len),
            _ => "directory".into(),
        };
        let by = escape(file.by.as_bytes());
        let _ = writeln!(
            text,
            "  --include {}  ({size}, {} by {by})",
            quoted(&file.path),
            verb(file.call)
        );
    }
    text
}

fn verb(call: Call) -> &'static str {
    match call {
        Call::Look => "looked for",
        Call::Open | Call::Create => "opened",
        Call::Execute => "executed",
    }
}

/// A path, quoted for a shell.
fn quoted(path: &[u8]) -> String {
    shell_words::quote(&escape(path)).into_owned()
}

/// The same as JSON, with the program's exit code.
pub(super) fn json(report: &Report, code: u8) -> Value {
    let list = |all: &[TracedFile]| all.iter().map(describe).collect::<Vec<_>>();
    json!({
        "exit_code": code,
        "opened": list(&report.opened),
        "missing": list(&report.missing),
    })
}

fn describe(file: &TracedFile) -> Value {
    let path = escape(&file.path);
    let (kind, size) = match file.in_sysroot {
        Some(SysrootEntry::File(len)) => (Some("file"), Some(len)),
        Some(SysrootEntry::Directory) => (Some("directory"), None),
        None => (None, None),
    };
    json!({
        "path": path,
        "how": verb(file.call),
        "by": file.by,
        "in_sysroot": kind,
        "size": size,
        "option": format!("--include {}", quoted(&file.path)),
    })
}
