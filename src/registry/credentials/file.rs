//! docker's config.json and podman's auth.json (containers-auth.json(5)).

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use rustix::{
    fs::{Mode, OFlags},
    io::retry_on_intr,
};
use serde_json::{Map, Value, json};

use crate::{
    error_kind::system_reason,
    registry::{
        error::RegistryError,
        secret::{Credential, Secret},
    },
    uninterrupted,
};

/// Bytes of a file.
const MAX_FILE: u64 = 1 << 20;

/// A file of credentials. What imgb does not know in it is kept.
pub(super) struct AuthFile {
    path: PathBuf,
    root: Map<String, Value>,
    /// The permission bits.
    mode: u32,
}

/// How the registry `host` is called by helpers and in docker's file.
pub(super) fn server(host: &str) -> String {
    match host {
        "docker.io" => "https://index.docker.io/v1/".into(),
        _ => host.to_owned(),
    }
}

/// The host, or host and path, of a key: without a scheme and without the path of an API.
fn normalized(key: &str) -> &str {
    let key = key.split_once("://").map_or(key, |(_, rest)| rest).trim_end_matches('/');
    let key = key.strip_suffix("/v1").or_else(|| key.strip_suffix("/v2")).unwrap_or(key);
    match key {
        "index.docker.io" | "registry-1.docker.io" => "docker.io",
        key => key,
    }
}

impl AuthFile {
    /// Reads a file; `None` if it does not exist.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, RegistryError> {
        let wrong = |why: &str| RegistryError::File { path: path.to_owned(), why: why.into() };
        let unreadable =
            |error: io::Error| wrong(&format!("cannot read it: {}", system_reason(&error)));
        // A FIFO must not block.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = match retry_on_intr(|| rustix::fs::open(path, flags, Mode::empty())) {
            Ok(fd) => File::from(fd),
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => return Ok(None),
            Err(errno) => return Err(unreadable(errno.into())),
        };
        let metadata = uninterrupted::uninterrupted(|| file.metadata()).map_err(unreadable)?;
        if !metadata.is_file() {
            return Err(wrong("it is not a regular file"));
        }
        let mut text = Vec::new();
        file.take(MAX_FILE + 1).read_to_end(&mut text).map_err(unreadable)?;
        if text.len() as u64 > MAX_FILE {
            return Err(wrong("it is too large for a file of credentials"));
        }
        if text.iter().all(u8::is_ascii_whitespace) {
            return Ok(Some(Self { mode: metadata.mode() & 0o777, ..Self::empty(path) }));
        }
        // An error of serde_json may repeat a value.
        let root = serde_json::from_slice(&text).map_err(|error: serde_json::Error| {
            let (line, column) = (error.line(), error.column());
            wrong(&format!("it is not a JSON object (line {line}, column {column})"))
        })?;
        Ok(Some(Self { path: path.to_owned(), root, mode: metadata.mode() & 0o777 }))
    }

    /// A file without entries, which does not exist yet.
    pub(super) fn empty(path: &Path) -> Self {
        Self { path: path.to_owned(), root: Map::new(), mode: 0o600 }
    }

    /// What is wrong with its permissions.
    pub(super) fn warning(&self) -> Option<String> {
        let who = match self.mode {
            mode if mode & 0o022 != 0 => "written",
            mode if mode & 0o004 != 0 && self.has_secrets() => "read",
            _ => return None,
        };
        let path = self.path.display();
        Some(format!("{path} can be {who} by other users: run `chmod 600 {path}`"))
    }

    fn has_secrets(&self) -> bool {
        self.auths().any(|(_, entry)| entry.as_object().is_some_and(|entry| !entry.is_empty()))
    }

    fn auths(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.root.get("auths").and_then(Value::as_object).into_iter().flatten()
    }

    /// The helper for one registry.
    pub(super) fn helper_of(&self, host: &str) -> Option<String> {
        let helpers = self.root.get("credHelpers")?.as_object()?;
        let (_, helper) = helpers.iter().find(|(key, _)| normalized(key) == host)?;
        Some(helper.as_str()?.to_owned()).filter(|helper| !helper.is_empty())
    }

    /// The helper for all registries without one of their own.
    pub(super) fn store(&self) -> Option<String> {
        let helper = self.root.get("credsStore")?.as_str()?;
        Some(helper.to_owned()).filter(|helper| !helper.is_empty())
    }

    /// The credential in the file itself: of the repository, the namespaces above it, or the host.
    pub(super) fn entry(
        &self,
        host: &str,
        repository: &str,
    ) -> Result<Option<Credential>, RegistryError> {
        let whole = format!("{host}/{repository}");
        let mut name = whole.as_str();
        loop {
            for (key, entry) in self.auths().filter(|(key, _)| normalized(key) == name) {
                if let Some(credential) = self.credential(key, entry)? {
                    return Ok(Some(credential));
                }
            }
            match name.rsplit_once('/') {
                Some((above, _)) if name != host => name = above,
                _ => return Ok(None),
            }
        }
    }

    fn credential(&self, key: &str, entry: &Value) -> Result<Option<Credential>, RegistryError> {
        let text = |name: &str| entry.get(name)?.as_str().filter(|text| !text.is_empty());
        if let Some(token) = text("identitytoken") {
            return Ok(Some(Credential::IdentityToken(Secret::new(token))));
        }
        if let Some(token) = text("registrytoken") {
            return Ok(Some(Credential::RegistryToken(Secret::new(token))));
        }
        let password = |user: &str, password: &str| Credential::Password {
            user: user.to_owned(),
            password: Secret::new(password),
        };
        if let Some((user, secret)) = text("username").zip(text("password")) {
            return Ok(Some(password(user, secret)));
        }
        let Some(auth) = text("auth") else { return Ok(None) };
        let wrong = || RegistryError::File {
            path: self.path.clone(),
            why: format!("the `auth` of `{}` is not Base64 of USER:PASSWORD", shown(key)),
        };
        let pair = BASE64_STANDARD.decode(auth.trim()).map_err(|_| wrong())?;
        let pair = String::from_utf8(pair).map_err(|_| wrong())?;
        let (user, secret) = pair.split_once(':').ok_or_else(wrong)?;
        // docker ends passwords with a NUL.
        Ok(Some(password(user, secret.trim_end_matches('\0'))))
    }

    /// Replaces the entry of a host; without a credential, by the empty entry that says to docker
    /// that a helper has it.
    pub(super) fn put(&mut self, host: &str, credential: Option<&Credential>) {
        self.remove(host);
        let entry = match credential {
            Some(Credential::Password { user, password }) => {
                json!({"auth": BASE64_STANDARD.encode(format!("{user}:{}", password.reveal()))})
            }
            Some(Credential::IdentityToken(token)) => json!({"identitytoken": token.reveal()}),
            Some(Credential::RegistryToken(token)) => json!({"registrytoken": token.reveal()}),
            None => json!({}),
        };
        let auths = self.root.entry("auths").or_insert_with(|| json!({}));
        if !auths.is_object() {
            *auths = json!({});
        }
        if let Some(auths) = auths.as_object_mut() {
            auths.insert(server(host), entry);
        }
    }

    /// Removes the entries of a host; whether there were any.
    pub(super) fn remove(&mut self, host: &str) -> bool {
        let Some(auths) = self.root.get_mut("auths").and_then(Value::as_object_mut) else {
            return false;
        };
        let before = auths.len();
        auths.retain(|key, _| normalized(key) != host);
        auths.len() < before
    }

    /// Writes the file, which appears whole or not at all, for its owner only. A link keeps leading
    /// to its target.
    pub(super) fn write(&self) -> Result<(), RegistryError> {
        let wrong = |error: io::Error| RegistryError::File {
            path: self.path.clone(),
            why: format!("cannot write it: {}", system_reason(&error)),
        };
        let path = uninterrupted::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
        let dir = dir.unwrap_or_else(|| Path::new("."));
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(dir).map_err(wrong)?;
        // A temporary file has mode 0600.
        let mut file = tempfile::NamedTempFile::new_in(dir).map_err(wrong)?;
        let mut text =
            serde_json::to_string_pretty(&self.root).map_err(io::Error::other).map_err(wrong)?;
        text.push('\n');
        file.write_all(text.as_bytes()).map_err(wrong)?;
        file.as_file().sync_all().map_err(wrong)?;
        file.persist(&path).map_err(|error| wrong(error.error))?;
        Ok(())
    }
}

fn shown(text: &str) -> String {
    crate::registry::error::shown(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> AuthFile {
        let root = serde_json::from_str(text).unwrap();
        AuthFile { path: "config.json".into(), root, mode: 0o600 }
    }

    fn user(file: &AuthFile, host: &str, repository: &str) -> Option<String> {
        match file.entry(host, repository).unwrap()? {
            Credential::Password { user, .. } => Some(user),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn finds_by_repository_then_host() {
        let pair = |user: &str| BASE64_STANDARD.encode(format!("{user}:secret"));
        let text = format!(
            r#"{{"auths": {{
                "https://index.docker.io/v1/": {{"auth": "{}"}},
                "ghcr.io/team/app": {{"auth": "{}"}},
                "ghcr.io/team": {{"auth": "{}"}},
                "ghcr.io": {{"auth": "{}"}},
                "http://r.example:5000/v2/": {{"username": "old", "password": "x"}},
                "helped.example": {{}}
            }}}}"#,
            pair("hub"),
            pair("app"),
            pair("team"),
            pair("all")
        );
        let file = file(&text);
        for (host, repository, wanted) in [
            ("docker.io", "library/debian", Some("hub")),
            ("ghcr.io", "team/app", Some("app")),
            ("ghcr.io", "team/other", Some("team")),
            ("ghcr.io", "teams/other", Some("all")),
            ("r.example:5000", "x", Some("old")),
            ("r.example", "x", None),
            ("helped.example", "x", None),
        ] {
            assert_eq!(user(&file, host, repository).as_deref(), wanted, "{host}/{repository}");
        }
    }

    #[test]
    fn keeps_what_it_does_not_know() {
        let mut file = file(r#"{"psFormat": "x", "auths": {"a": {"auth": "eA=="}}}"#);
        file.put("b", Credential::parse("me:CANARY").as_ref());
        assert_eq!(user(&file, "b", "r").as_deref(), Some("me"));
        assert!(file.remove("b") && !file.remove("b"));
        let kept = json!({"psFormat": "x", "auths": {"a": {"auth": "eA=="}}});
        assert_eq!(Value::Object(file.root), kept);
    }

    #[test]
    fn errors_do_not_repeat_values() {
        let error = file(r#"{"auths": {"a": {"auth": "CANARY!"}}}"#).entry("a", "r").unwrap_err();
        assert_eq!(
            error.to_string(),
            "config.json: the `auth` of `a` is not Base64 of USER:PASSWORD"
        );
    }
}
