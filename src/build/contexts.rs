//! Directories and images that `--build-context` gives names.

use std::{collections::BTreeMap, path::PathBuf};

use crate::{image::Reference, path::ignore::Ignore};

/// What a name of `--build-context` stands for.
#[derive(Clone, Debug)]
pub enum NamedContext {
    /// A directory of the host.
    Directory(ContextDirectory),
    /// An image, as FROM names it.
    Image(String),
}

/// A directory of the host that files are taken from.
#[derive(Clone, Debug)]
pub struct ContextDirectory {
    /// The directory.
    pub path: PathBuf,
    /// Patterns of files in it that are left out.
    pub ignore: Ignore,
}

/// What `--build-context` names. FROM, `--from` and the names of stages are looked up here first,
/// as in BuildKit.
#[derive(Clone, Debug, Default)]
pub struct NamedContexts(BTreeMap<String, NamedContext>);

impl NamedContexts {
    /// Contexts by name, whose case does not matter; of two with one name the later one.
    pub fn new(contexts: impl IntoIterator<Item = (String, NamedContext)>) -> Self {
        let contexts = contexts.into_iter();
        Self(contexts.map(|(name, context)| (name.to_ascii_lowercase(), context)).collect())
    }

    /// The names, in lower case.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(|name| &**name)
    }

    /// What `name` stands for: the context of this name, or of the same image reference.
    pub(super) fn get(&self, name: &str) -> Option<&NamedContext> {
        let reference = |text: &str| text.parse::<Reference>().ok();
        self.0.get(&name.to_ascii_lowercase()).or_else(|| {
            let wanted = reference(name)?;
            let same = |known: &&String| reference(known).as_ref() == Some(&wanted);
            self.0.keys().find(same).and_then(|known| self.0.get(known))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_found_however_it_is_written() {
        let image = NamedContext::Image("x.tar".into());
        let contexts = NamedContexts::new([("busybox".into(), image)]);
        for name in ["busybox", "Busybox", "busybox:latest", "docker.io/library/busybox"] {
            assert!(contexts.get(name).is_some(), "{name}");
        }
        for name in ["busybox:1", "./busybox", ""] {
            assert!(contexts.get(name).is_none(), "{name}");
        }
    }
}
