//! What a user should know while registries are spoken to: their warnings, what is wrong with files
//! of credentials, and requests that are tried again.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

/// Different notices that are given.
const MAX_NOTICES: usize = 50;

/// Takes one notice.
type Take = dyn Fn(&str) + Send + Sync;

/// Where notices go. Clones share what has been said.
#[derive(Clone, Default)]
pub struct Notices {
    take: Option<Arc<Take>>,
    said: Arc<Mutex<BTreeSet<String>>>,
}

impl fmt::Debug for Notices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notices").finish_non_exhaustive()
    }
}

impl Notices {
    /// Hands each notice to `take`: one line, without a credential.
    pub fn to(take: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self { take: Some(Arc::new(take)), said: Arc::default() }
    }

    /// Gives a notice, unless the same has been given.
    pub(super) fn once(&self, text: &str) {
        let Some(take) = &self.take else { return };
        let is_new = {
            let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
            said.len() < MAX_NOTICES && said.insert(text.to_owned())
        };
        if is_new {
            take(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_given_once_and_not_without_end() {
        let taken = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&taken);
        let notices = Notices::to(move |text| into.lock().unwrap().push(text.to_owned()));
        notices.once("a");
        notices.once("a");
        (0..1000).for_each(|number| notices.once(&number.to_string()));
        let taken = taken.lock().unwrap();
        assert_eq!((taken.len(), &*taken[0], &*taken[1]), (MAX_NOTICES, "a", "0"));
        Notices::default().once("a");
    }
}
