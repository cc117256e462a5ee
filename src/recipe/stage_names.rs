//! Looking up stages by name or number.

use std::collections::BTreeMap;

use super::Stage;
use super::action::CopyFrom;
use super::fault::FaultKind;

/// The stages of a recipe by name.
#[derive(Debug)]
pub(super) struct StageNames<'a> {
    count: usize,
    /// Indices in ascending order.
    by_name: BTreeMap<&'a str, Vec<usize>>,
}

impl<'a> StageNames<'a> {
    pub(super) fn new(stages: &'a [Stage]) -> Self {
        let mut by_name: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (index, stage) in stages.iter().enumerate() {
            if let Some(name) = &stage.from.alias {
                by_name.entry(name).or_default().push(index);
            }
        }
        Self { count: stages.len(), by_name }
    }

    /// The last stage of this name before `index`. Case does not matter.
    pub(super) fn before(&self, index: usize, name: &str) -> Option<usize> {
        let all = self.all(name);
        let count = all.partition_point(|&stage| stage < index);
        all.get(count.checked_sub(1)?).copied()
    }

    /// What `--from` in the stage `index` names: a stage by number or name, otherwise an image.
    pub(super) fn copy_from(&self, index: usize, text: &str) -> Result<CopyFrom, FaultKind> {
        let later = || Err(FaultKind::StageLater { name: text.into() });
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            return match text.parse() {
                Ok(number) if number < index => Ok(CopyFrom::Stage(number)),
                Ok(number) if number < self.count => later(),
                _ => Err(FaultKind::StageIndex {
                    index: text.into(),
                    last: self.count.saturating_sub(1),
                }),
            };
        }
        match self.before(index, text) {
            Some(stage) => Ok(CopyFrom::Stage(stage)),
            None if self.all(text).is_empty() => Ok(CopyFrom::Image(text.into())),
            None => later(),
        }
    }

    /// The stage that `--target` names, or the last one.
    pub(super) fn target(&self, target: Option<&str>) -> Result<usize, FaultKind> {
        let Some(target) = target else { return Ok(self.count.saturating_sub(1)) };
        if let Some(stage) = self.before(self.count, target) {
            return Ok(stage);
        }
        let number = target.parse().ok().filter(|&number| number < self.count);
        number.ok_or_else(|| {
            let near =
                crate::suggest::closest(target, self.by_name.keys().copied()).map(str::to_string);
            FaultKind::Target { name: target.into(), near }
        })
    }

    fn all(&self, name: &str) -> &[usize] {
        self.by_name.get(name.to_ascii_lowercase().as_str()).map_or(&[], Vec::as_slice)
    }
}
