//! Where credentials come from.

use std::collections::BTreeMap;

use super::{error::RegistryError, secret::Credential};

/// The credentials of a user, by registry.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    given: BTreeMap<String, Credential>,
}

impl Credentials {
    /// Uses `credential` for the registry `host`, before any that is stored. `host` has the port
    /// that the image's name has.
    pub fn give(&mut self, host: &str, credential: Credential) {
        self.given.insert(host.to_owned(), credential);
    }

    pub(super) fn given_secrets(&self) -> Vec<String> {
        self.given.values().flat_map(Credential::secrets).collect()
    }

    /// The credential for a repository of the registry `host`.
    pub(super) fn find(
        &self,
        host: &str,
        _repository: &str,
    ) -> Result<Option<Credential>, RegistryError> {
        Ok(self.given.get(host).cloned())
    }
}
