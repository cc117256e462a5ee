//! One client for all that a command does.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use super::{
    client::{Client, ClientOptions, Repository},
    error::RegistryError,
};

/// Registries, reached by the same settings. Clones share one [`Client`], which is made when it is
/// first needed: without a name in a registry, no certificate is read and no socket opened.
#[derive(Clone, Default)]
pub struct Registries {
    options: ClientOptions,
    client: Arc<OnceLock<Client>>,
}

impl fmt::Debug for Registries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registries").finish_non_exhaustive()
    }
}

impl Registries {
    /// Registries that are reached by these settings.
    pub fn new(options: ClientOptions) -> Self {
        Self { options, client: Arc::default() }
    }

    /// The repository `name` of the registry `host` ([`Client::repository`]).
    ///
    /// # Errors
    /// If a file of certificates cannot be read.
    pub fn repository(&self, host: &str, name: &str) -> Result<Repository, RegistryError> {
        Ok(self.client()?.repository(host, name))
    }

    /// The client.
    ///
    /// # Errors
    /// If a file of certificates cannot be read.
    pub fn client(&self) -> Result<Client, RegistryError> {
        if let Some(client) = self.client.get() {
            return Ok(client.clone());
        }
        let fresh = Client::new(self.options.clone())?;
        Ok(self.client.get_or_init(|| fresh).clone())
    }
}
