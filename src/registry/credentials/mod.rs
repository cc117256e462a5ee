//! Where credentials come from: given for this command, or stored by docker, podman or `imgb login`
//! in a file or with a credential helper.

mod file;
mod helper;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::{error::RegistryError, notices::Notices, secret::Credential};
use file::AuthFile;

/// What was found, by registry and repository.
type Found = BTreeMap<(String, String), Option<Credential>>;

/// The credentials of a user, by registry.
#[derive(Clone, Debug)]
pub struct Credentials {
    given: BTreeMap<String, Credential>,
    files: Vec<PathBuf>,
    helper_timeout: Duration,
    /// A helper is asked once.
    found: Arc<Mutex<Found>>,
}

impl Default for Credentials {
    fn default() -> Self {
        Self::stored_in(Vec::new())
    }
}

impl Credentials {
    /// Credentials stored in `files`, in the format of docker's config.json and podman's auth.json.
    /// The first file that has one for a registry is used; files that do not exist are skipped.
    pub fn stored_in(files: Vec<PathBuf>) -> Self {
        Self {
            given: BTreeMap::new(),
            files,
            helper_timeout: helper::TIMEOUT,
            found: Arc::default(),
        }
    }

    /// The files in which docker and podman store credentials, in the order of preference. With
    /// `REGISTRY_AUTH_FILE` it is that file alone. The last is the one that [`Self::store`] is best
    /// given: docker's, which the others read too.
    pub fn usual_files(variable: &dyn Fn(&str) -> Option<PathBuf>) -> Vec<PathBuf> {
        if let Some(file) = variable("REGISTRY_AUTH_FILE") {
            return vec![file];
        }
        let home = variable("HOME");
        let config =
            variable("XDG_CONFIG_HOME").or_else(|| home.as_ref().map(|home| home.join(".config")));
        let docker = variable("DOCKER_CONFIG")
            .or_else(|| home.as_ref().map(|home| home.join(".docker")))
            .map(|dir| dir.join("config.json"));
        let podman = [variable("XDG_RUNTIME_DIR"), config].into_iter().flatten();
        podman.map(|dir| dir.join("containers/auth.json")).chain(docker).collect()
    }

    /// Uses `credential` for the registry `host`, before any that is stored. `host` has the port
    /// that the image's name has.
    pub fn give(&mut self, host: &str, credential: Credential) {
        self.given.insert(host.to_owned(), credential);
    }

    /// How long a credential helper may take.
    pub fn set_helper_timeout(&mut self, timeout: Duration) {
        self.helper_timeout = timeout;
    }

    pub(super) fn given_secrets(&self) -> Vec<String> {
        self.given.values().flat_map(Credential::secrets).collect()
    }

    /// The credential for a repository of the registry `host`. What is wrong with a file that is
    /// used all the same is a notice.
    pub(super) fn find(
        &self,
        host: &str,
        repository: &str,
        notices: &Notices,
    ) -> Result<Option<Credential>, RegistryError> {
        if let Some(given) = self.given.get(host) {
            return Ok(Some(given.clone()));
        }
        // Held while a helper runs, so that several transfers do not start several.
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (host.to_owned(), repository.to_owned());
        if let Some(known) = found.get(&key) {
            return Ok(known.clone());
        }
        let mut credential = None;
        for path in &self.files {
            credential = self.find_in(path, (host, repository), notices)?;
            if credential.is_some() {
                break;
            }
        }
        found.insert(key, credential.clone());
        Ok(credential)
    }

    fn find_in(
        &self,
        path: &Path,
        (host, repository): (&str, &str),
        notices: &Notices,
    ) -> Result<Option<Credential>, RegistryError> {
        let Some(file) = AuthFile::read(path)? else { return Ok(None) };
        if let Some(warning) = file.warning() {
            notices.once(&warning);
        }
        let server = file::server(host);
        if let Some(helper) = file.helper_of(host) {
            return helper::get(&helper, &server, self.helper_timeout);
        }
        if let Some(credential) = file.entry(host, repository)? {
            return Ok(Some(credential));
        }
        match file.store() {
            Some(helper) => helper::get(&helper, &server, self.helper_timeout),
            None => Ok(None),
        }
    }

    /// Stores a credential for the registry `host`: with the helper that `file` names, or else in
    /// `file`, which is readable by its owner only. Other entries stay as they are. Returns the
    /// helper's name if one was used.
    ///
    /// # Errors
    /// If the file is malformed or cannot be written, or the helper fails.
    pub fn store(
        file: &Path,
        host: &str,
        user: &str,
        credential: &Credential,
    ) -> Result<Option<String>, RegistryError> {
        let mut auth = AuthFile::read(file)?.unwrap_or_else(|| AuthFile::empty(file));
        let helper = auth.helper_of(host).or_else(|| auth.store());
        if let Some(helper) = &helper {
            helper::store(helper, &file::server(host), user, credential)?;
        }
        auth.put(host, helper.is_none().then_some(credential));
        auth.write()?;
        Ok(helper)
    }

    /// Removes what [`Self::store`] has stored for the registry `host`; whether there was any.
    ///
    /// # Errors
    /// As [`Self::store`].
    pub fn erase(file: &Path, host: &str) -> Result<bool, RegistryError> {
        let Some(mut auth) = AuthFile::read(file)? else { return Ok(false) };
        let removed = auth.remove(host);
        if removed {
            auth.write()?;
        }
        if let Some(helper) = auth.helper_of(host).or_else(|| auth.store()) {
            helper::erase(&helper, &file::server(host))?;
            return Ok(true);
        }
        Ok(removed)
    }
}
