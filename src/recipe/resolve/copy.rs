//! The words of ADD and COPY.

use super::Resolver;
use crate::{
    path::glob::{Glob, clean, has_wildcard},
    recipe::{
        Heredoc, Transfer, TransferSource, Word,
        action::{CopyFiles, CopyFrom, CopySource, Dest},
        expand,
        fault::FaultKind,
    },
};

impl Resolver<'_> {
    pub(super) fn transfer(
        &mut self,
        instruction: &'static str,
        transfer: &Transfer,
    ) -> Option<CopyFiles> {
        let from = self.copy_from(transfer.from.as_ref());
        let in_context = from == Some(CopyFrom::Context);
        let sources: Vec<_> = transfer
            .sources
            .iter()
            .map(|source| match source {
                TransferSource::Path(word) => self.source(instruction, word, in_context),
                TransferSource::Heredoc(heredoc) => self.inline(heredoc),
            })
            .collect();
        let dest = self.dest(&transfer.dest);
        let dots = ["/.", "/..", ".."].iter().any(|end| transfer.dest.text.ends_with(end));
        if let Some(Dest { is_dir: false, .. }) = dest
            && sources.len() > 1
            && !dots
        {
            self.fault(transfer.dest.span, FaultKind::NotADirectory { instruction });
            return None;
        }
        let (owner, mode) =
            (self.owner(transfer.chown.as_ref()), self.mode(transfer.chmod.as_ref()));
        let exclude = self.all(&transfer.exclude, Self::exclude);
        Some(CopyFiles {
            from: from?,
            sources: sources.into_iter().collect::<Option<_>>()?,
            dest: dest?,
            owner: owner?,
            mode: mode?,
            exclude: exclude?,
            parents: transfer.parents,
            unpack: transfer.unpack.unwrap_or(instruction == "ADD"),
        })
    }

    fn copy_from(&mut self, word: Option<&Word>) -> Option<CopyFrom> {
        let Some(word) = word.filter(|word| !word.text.is_empty()) else {
            return Some(CopyFrom::Context);
        };
        // The stages must be known before the variables of a stage are.
        let found = if word.text.contains('$') {
            Err(FaultKind::FromVariable)
        } else {
            (self.find_stage)(&word.text)
        };
        found.map_err(|kind| self.fault(word.span, kind)).ok()
    }

    fn source(
        &mut self,
        instruction: &'static str,
        word: &Word,
        in_context: bool,
    ) -> Option<CopySource> {
        let text = self.expand(word)?;
        let lower = text.to_ascii_lowercase();
        let is_url = ["http://", "https://", "git://", "ssh://", "git@"]
            .iter()
            .any(|head| lower.starts_with(head));
        if in_context && is_url {
            self.fault(word.span, FaultKind::Url { instruction, url: text });
            return None;
        }
        if in_context
            && clean(text.trim_start_matches('/').as_bytes()).split(|&byte| byte == b'/').next()
                == Some(b"..")
        {
            self.fault(word.span, FaultKind::OutsideContext { path: text });
            return None;
        }
        match Glob::plain(text.as_bytes()) {
            Err(why) if has_wildcard(text.as_bytes()) => {
                self.fault(word.span, FaultKind::Glob { value: text, why });
                None
            }
            _ => Some(CopySource::Path(text)),
        }
    }

    fn inline(&mut self, heredoc: &Heredoc) -> Option<CopySource> {
        let word = Word { text: heredoc.content.clone(), span: heredoc.body };
        let content = if heredoc.expand {
            self.expand_as(&word, expand::Mode::Heredoc)
        } else {
            Some(word.text)
        };
        Some(CopySource::Inline { name: heredoc.name.clone(), content: content? })
    }

    fn exclude(&mut self, word: &Word) -> Option<String> {
        let value = self.expand(word)?;
        if let Err(why) = Glob::new(value.trim_start_matches('!').as_bytes()) {
            self.fault(word.span, FaultKind::Glob { value, why });
            return None;
        }
        Some(value)
    }
}
