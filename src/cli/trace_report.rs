//! What `imgb trace` found, as text and as JSON.

use std::{collections::BTreeMap, fmt::Write as _};

use serde_json::{Value, json};

use super::size;
use crate::{
    path::escape,
    quantity,
    trace::{self, Call, Report, SysrootEntry, TracedFile, Watched},
};

/// Files of one directory beyond this number are counted unless all are to be printed.
const LISTED: usize = 8;

/// The files that were opened, and options that add what is missing. Unless `all`, only the first
/// files of a directory are listed.
pub(super) fn text(report: &Report, watched: Watched, has_image: bool, all: bool) -> String {
    let mut text = String::new();
    if watched == Watched::InImage || has_image {
        let _ = writeln!(text, "opened: {}", report.opened.len());
        list(&mut text, &report.opened, all, &|file| escape(&file.path));
        let what = match &report.missing[..] {
            [] => "the image lacks nothing that the sysroot has",
            _ => "missing in the image, present in the sysroot:",
        };
        let _ = writeln!(text, "\n{what}");
    } else {
        let _ = writeln!(text, "read: {}", report.missing.len());
    }
    list(&mut text, &report.missing, all, &|file| {
        let size = match file.in_sysroot {
            Some(SysrootEntry::File(len)) => size::format(len),
            _ => "directory".into(),
        };
        let path = quoted(&trace::include_path(file));
        let place = file.leads_to.as_ref().filter(|_| is_telling(file));
        let place = place.map_or_else(String::new, |to| format!(", leads to {}", escape(to)));
        let why =
            file.withheld.as_ref().map_or_else(String::new, |why| format!(", not served: {why}"));
        format!("--include {path}  ({size}, {}{place}{why})", how(file))
    });
    if !report.confidential.is_empty() {
        let _ = writeln!(text, "\nasked for, and neither served nor to be included:");
        list(&mut text, &report.confidential, all, &|file| {
            let why = file.withheld.as_ref().map_or_else(String::new, ToString::to_string);
            format!("{}  ({why}, {})", escape(&file.path), how(file))
        });
    }
    text
}

fn how(file: &TracedFile) -> String {
    format!("{} by {}", verb(file.call), escape(file.by.as_bytes()))
}

/// Whether the name of what `file` leads to says more than its own, which it does not where only
/// directories on the way are links.
fn is_telling(file: &TracedFile) -> bool {
    let name = |path: &[u8]| path.rsplit(|&byte| byte == b'/').next().map(<[u8]>::to_vec);
    let climbs = file.path.split(|&byte| byte == b'/').any(|part| part == b"..");
    climbs || file.leads_to.as_deref().and_then(name) != name(&file.path)
}

/// A line for each of `files`, or for the first of each directory, with a count of the others.
fn list(text: &mut String, files: &[TracedFile], all: bool, line: &dyn Fn(&TracedFile) -> String) {
    let mut counts: BTreeMap<&[u8], usize> = BTreeMap::new();
    for file in files {
        let count = counts.entry(directory(&file.path)).or_default();
        *count += 1;
        if all || *count <= LISTED {
            let _ = writeln!(text, "  {}", line(file));
        }
    }
    let over = counts.into_iter().filter(|&(_, count)| !all && count > LISTED);
    for (dir, count) in over {
        let more = quantity::count(count - LISTED, "more file");
        let _ = writeln!(text, "  and {more} in {}/ (--all lists them)", escape(dir));
    }
}

fn directory(path: &[u8]) -> &[u8] {
    path.rsplitn(2, |&byte| byte == b'/').nth(1).unwrap_or_default()
}

fn verb(call: Call) -> &'static str {
    match call {
        Call::Look => "looked for",
        Call::List => "listed",
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
        "confidential": list(&report.confidential),
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
        "type": kind,
        "size": size,
        "leads_to": file.leads_to.as_ref().map(|path| escape(path)),
        "not_served": file.withheld.as_ref().map(ToString::to_string),
        "option": format!("--include {}", quoted(&trace::include_path(file))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_with_many_files_is_cut_short_unless_all_are_wanted() {
        let file = |number: usize| TracedFile {
            path: format!("/usr/lib/x/{number:03}").into_bytes(),
            call: Call::Open,
            by: "/app".into(),
            in_sysroot: Some(SysrootEntry::File(1)),
            leads_to: None,
            withheld: None,
        };
        let missing = (0..187).map(file).collect();
        let report = Report { missing, ..Report::default() };
        let short = text(&report, Watched::InImage, true, false);
        assert_eq!(short.matches("--include ").count(), LISTED, "{short}");
        assert!(short.ends_with("  and 179 more files in /usr/lib/x/ (--all lists them)\n"));
        let all = text(&report, Watched::InImage, true, true);
        assert_eq!(all.matches("--include ").count(), 187, "{all}");
    }
}
