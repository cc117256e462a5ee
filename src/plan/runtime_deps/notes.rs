//! What rules left out, and what the image's scripts and plugins lack → notes.

use std::collections::BTreeSet;

use super::{RuntimeDeps, files};
use crate::{
    elf::ReadFailure,
    path::{ImagePath, escape},
    plan::{Missing, Note, builder::ImageBuilder},
    rules::{Level, Verdict},
};

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
            let by = fired.by.as_ref().map_or_else(String::new, |by| format!("{by}: "));
            let why = match fired.rule.files_only {
                true => list(&there),
                false => fired.evidence.to_string(),
            };
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
        let text = format!("left out, since not everybody may read it: {}", list(&out));
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
        let text = format!("{what}, up to {bytes} MB with what it needs: {}", list(&paths));
        Some(Note::hint(text, format!("`{}` adds what is left out", rules.join(" "))))
    }
}

/// The first few of `paths`.
fn list(paths: &[ImagePath]) -> String {
    let mut text: Vec<_> = paths.iter().take(5).map(ToString::to_string).collect();
    if paths.len() > text.len() {
        text.push(format!("and {} more", paths.len() - text.len()));
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
