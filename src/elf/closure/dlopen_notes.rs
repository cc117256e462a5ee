//! The dlopen metadata of files, parsed once.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{Suggestion, Warning, files::FileTable};
use crate::elf::{Dlopen, Priority, dlopen};

/// What the notes of files say, by the files' indices.
#[derive(Default)]
pub(super) struct DlopenNotes {
    taken: BTreeMap<usize, Arc<[Dlopen]>>,
    /// What is only suggested: it is not taken.
    pub(super) suggested: Vec<Suggestion>,
}

impl DlopenNotes {
    /// The dependencies of a file that are to be taken.
    pub(super) fn of(
        &mut self,
        file: usize,
        files: &FileTable<'_>,
        warnings: &mut BTreeSet<Warning>,
    ) -> Arc<[Dlopen]> {
        if let Some(known) = self.taken.get(&file) {
            return known.clone();
        }
        let mut taken = Vec::new();
        if let Some(known) = files.get(file) {
            for note in &known.object.dlopen_notes {
                let (entries, errors) = dlopen::parse(note);
                let of = || known.opened.clone();
                warnings.extend(errors.iter().map(|e| Warning::Metadata(of(), e.to_string())));
                let (suggested, hard): (Vec<_>, Vec<_>) =
                    entries.into_iter().partition(|entry| entry.priority == Priority::Suggested);
                taken.extend(hard);
                let suggested = suggested.into_iter().map(|dlopen| Suggestion { file, dlopen });
                self.suggested.extend(suggested);
            }
        }
        let taken: Arc<[Dlopen]> = taken.into();
        self.taken.insert(file, taken.clone());
        taken
    }
}
