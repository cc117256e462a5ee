//! What rules left out, and what the image's scripts and plugins lack → notes.

use std::collections::{BTreeMap, BTreeSet};

use super::{RuntimeDeps, files};
use crate::{
    elf::ReadFailure,
    path::{ImagePath, escape},
    plan::{Missing, Note, builder::ImageBuilder},
    rules::{Level, Verdict},
};

/// Paths that one note names.
const LISTED: usize = 5;

impl RuntimeDeps<'_> {
    /// Notes about what was left out for doubt or size, with the option that adds it.
    pub(super) fn notes(&self, builder: &ImageBuilder<'_>) -> Result<Vec<Note>, ReadFailure> {
        let mut notes = self.absent.clone();
        notes.extend(self.gatherer.lacking.clone());
        for (rule, bytes) in &self.large {
            let description = self.set.table.get(rule).map_or("", |rule| &*rule.description);
            let text =
                format!("left out for its size, {} MB: {description}", bytes.div_ceil(1_000_000));
            notes.push(Note::hint(text, format!("`--with {rule}` adds it")));
        }
        notes.extend(self.heavy_note(builder));
        notes.extend(self.private_note(builder));
        let suggested = self.fired.values().filter(|fired| fired.verdict == Verdict::Suggest);
        let (hints, optional): (Vec<_>, Vec<_>) =
            suggested.partition(|fired| fired.rule.level == Level::Hint);
        for fired in hints {
            let there = files::exist(&fired.files, fired.rule, &self.set.table, builder)?;
            if there.is_empty() && !fired.rule.files.is_empty() {
                continue;
            }
            let what = fired.rule.hint.as_deref().unwrap_or(&fired.rule.description);
            let (by, why) = match fired.rule.files_only {
                true => named_by(&there),
                false => (fired.by.as_ref(), fired.evidence.to_string()),
            };
            let by = by.map_or_else(String::new, |by| format!("{by}: "));
            let text = format!("{by}{what} ({why})");
            notes.push(Note::hint(text, format!("`--with {}` adds it", fired.rule.name)));
        }
        let mut names: Vec<&str> = Vec::new();
        for fired in optional {
            if !files::exist(&fired.files, fired.rule, &self.set.table, builder)?.is_empty() {
                names.push(&fired.rule.name);
            }
        }
        if !names.is_empty() {
            let text = format!("left out, since it is probably not needed: {}", names.join(", "));
            let hint =
                "`--with NAME` adds one, `--soft all` adds all; `imgb rules` says what they are"
                    .into();
            notes.push(Note::info(text, hint));
        }
        Ok(notes)
    }

    /// One note about files and directories that not everybody may read.
    fn private_note(&self, builder: &ImageBuilder<'_>) -> Option<Note> {
        let out: Vec<_> = self.private.iter().filter(|path| !builder.has(path)).cloned().collect();
        let first = out.first()?;
        let text = format!("left out, since not everybody may read it: {}", list(out.iter()));
        Some(Note::hint(text, format!("`--include {first}` adds it, secrets and all")))
    }

    /// One note about the plugins that were left out for the size of their libraries.
    fn heavy_note(&self, builder: &ImageBuilder<'_>) -> Option<Note> {
        let out: Vec<_> = self.heavy.iter().filter(|(path, _)| !builder.has(path)).collect();
        let paths: Vec<_> = out.iter().map(|(path, _)| (*path).clone()).collect();
        let rules = out.iter().map(|(_, (rule, _))| format!("--with {rule}"));
        let rules: Vec<_> = rules.collect::<BTreeSet<_>>().into_iter().collect();
        let bytes = out.iter().map(|(_, (_, bytes))| bytes).max()?.div_ceil(1_000_000);
        let what = "left out, since it is optional and large";
        let text = format!("{what}, up to {bytes} MB with what it needs: {}", list(paths.iter()));
        Some(Note::hint(text, format!("`{}` adds what is left out", rules.join(" "))))
    }
}

/// The file that names the first of `paths`, and the first few paths that it names, followed by
/// those of each other file with its name.
fn named_by<'f>(
    paths: &BTreeMap<ImagePath, Option<&'f ImagePath>>,
) -> (Option<&'f ImagePath>, String) {
    let first = paths.values().next().copied().flatten();
    let (ours, others): (Vec<_>, Vec<_>) = paths.iter().partition(|(_, by)| **by == first);
    let mut texts = vec![list(ours.iter().map(|(path, _)| path))];
    let mut of_others: BTreeMap<&ImagePath, Vec<&ImagePath>> = BTreeMap::new();
    for (path, by) in others {
        if let Some(by) = by {
            of_others.entry(by).or_default().push(path);
        }
    }
    let named = |(by, paths): (&ImagePath, Vec<_>)| {
        format!("{}: {}", escape(by.file_name()), list(paths.iter()))
    };
    texts.extend(of_others.into_iter().take(LISTED).map(named));
    (first, texts.join("; "))
}

/// The first few of `all`.
fn list<T: ToString>(all: impl ExactSizeIterator<Item = T>) -> String {
    let left = all.len().saturating_sub(LISTED);
    let mut text: Vec<_> = all.take(LISTED).map(|one| one.to_string()).collect();
    if left > 0 {
        text.push(format!("and {left} more"));
    }
    text.join(", ")
}

/// One note about all libraries that objects added by rules lack. That is not an error, because the
/// image starts without them.
pub(in crate::plan) fn lacks(missing: &[Missing]) -> Option<Note> {
    let names: BTreeSet<&str> = missing.iter().map(|missing| &*missing.name).collect();
    let first = missing.first()?;
    let names: Vec<_> = names.into_iter().collect();
    let text = format!(
        "libraries that plugins need are missing: {} (the first is needed by {})",
        escape(names.join(", ").as_bytes()),
        first.by
    );
    Some(Note::warning(text))
}
