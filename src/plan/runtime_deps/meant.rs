//! Mentions of files and directories → the scripts among them that are meant to be started.

use std::collections::BTreeSet;

use super::files::{self, RuleFile};
use crate::{
    path::ImagePath,
    rules::{Evidence, Facts},
};

/// The paths of those of `found` that something which mentions them, or a directory above them,
/// means to start. Of a directory, only a script or an object that starts programs can mean all
/// that is in it: where it has the path, the directory is not one of shared data, and it has no
/// program in it by name, for which it needs that path; or where the files of the directory are all
/// started (`install.d`).
pub(super) fn meant<'f>(found: &'f [RuleFile<'_>], facts: &Facts) -> BTreeSet<&'f ImagePath> {
    let explained = explained(found, facts);
    let is_meant = |one: &&RuleFile<'_>| {
        let mentions = mentions(one, facts);
        mentions.iter().any(|mention| mention.means(&one.path, &explained, facts))
    };
    found.iter().filter(is_meant).map(|one| &one.path).collect()
}

/// Whether a script at `path` is an example or a template: in a directory of shared data, and not
/// with commands there.
pub(super) fn is_example(path: &ImagePath) -> bool {
    let parts: Vec<&[u8]> = path.components().collect();
    let dirs = parts.split_last().map_or(&[][..], |(_, dirs)| dirs);
    let is_for_commands = |dir: &&&[u8]| matches!(**dir, b"bin" | b"sbin" | b"libexec");
    dirs.contains(&&b"share"[..]) && dirs.last().filter(is_for_commands).is_none()
}

/// What an object or script says of a file.
#[derive(Debug)]
struct Mention<'f> {
    by: Option<&'f ImagePath>,
    /// A path or a name; `None` where a rule names it.
    text: Option<&'f [u8]>,
    /// Whether a directory above the file is mentioned, and not the file.
    is_of_directory: bool,
}

impl Mention<'_> {
    fn means(
        &self,
        path: &ImagePath,
        explained: &BTreeSet<(&ImagePath, ImagePath)>,
        facts: &Facts,
    ) -> bool {
        if self.has_name(path) {
            return true;
        }
        let Some(dir) = path.parent() else { return false };
        let is_path = self.text.is_none_or(|text| text.starts_with(b"/"));
        let is_meant = match dir.file_name().ends_with(b".d") {
            true => is_path || self.is_relative(&dir, facts),
            false => {
                let is_explained = |by| explained.contains(&(by, dir));
                is_path && !is_example(path) && !self.by.is_some_and(is_explained)
            }
        };
        is_meant && self.by.is_none_or(|by| !facts.starts_nothing.contains(by))
    }

    /// Whether it is the last part of the path of `dir`, in a program or script. A library may have
    /// that for any of its programs.
    fn is_relative(&self, dir: &ImagePath, facts: &Facts) -> bool {
        let is_library = |by: &ImagePath| {
            let known = facts.libraries.get(by.file_name());
            known == Some(by) && !facts.programs.values().any(|program| program == by)
        };
        self.text.is_some_and(|text| last(text) == dir.file_name())
            && !self.by.is_some_and(is_library)
    }

    /// Whether it has the name of the file at `path`, or the first part of it: compilers cut a
    /// constant, and programs add an ending, or the rest of a path (`/usr/share/lftp/import-`).
    fn has_name(&self, path: &ImagePath) -> bool {
        let Some(text) = self.text else { return !self.is_of_directory };
        if let Some(rest) = path.as_bytes().strip_prefix(text) {
            return !text.ends_with(b"/") && !rest.contains(&b'/');
        }
        let name = last(text);
        !self.is_of_directory && !name.is_empty() && path.file_name().starts_with(name)
    }
}

/// The last component of a path.
fn last(text: &[u8]) -> &[u8] {
    text.rsplit(|&byte| byte == b'/').next().unwrap_or_default()
}

/// Everything that mentions a file of a rule, or the directory above it that the rule names.
fn mentions<'f>(one: &'f RuleFile<'_>, facts: &'f Facts) -> Vec<Mention<'f>> {
    let Evidence::Owned(..) = *one.named.evidence else {
        let by = one.named.by.as_ref();
        return vec![Mention { by, text: None, is_of_directory: !one.is_named }];
    };
    let pattern = files::unescape(&one.named.pattern);
    let mut out = Vec::new();
    for (key, is_of_directory) in [(&pattern[..], !one.is_named), (one.path.as_bytes(), false)] {
        let known = facts.mentioned.get(key).into_iter().flatten();
        out.extend(known.map(|(by, text)| Mention {
            by: Some(by),
            text: Some(text),
            is_of_directory,
        }));
    }
    out
}

/// The directories of programs that an object or script has by name, each after that file.
fn explained<'f>(
    found: &'f [RuleFile<'_>],
    facts: &'f Facts,
) -> BTreeSet<(&'f ImagePath, ImagePath)> {
    let mut out = BTreeSet::new();
    let is_program = |one: &&RuleFile<'_>| one.node.file().is_some() && one.node.is_executable();
    for one in found.iter().filter(is_program) {
        let by_name = mentions(one, facts).into_iter().filter(|known| known.has_name(&one.path));
        let by_name = by_name.filter_map(|mention| Some((mention.by?, one.path.parent()?)));
        out.extend(by_name);
    }
    let started = facts.own_programs.values().flatten().filter_map(|(path, mention)| {
        let path = ImagePath::new(path).ok()?;
        Some((&mention.by, path.parent()?))
    });
    out.extend(started);
    out
}
