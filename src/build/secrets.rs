//! Files that hold secrets as a rule, known by their names.

use std::fmt;

use crate::{
    elf::ReadFailure,
    path::ImagePath,
    plan::Note,
    source::{Input, InputKind, content},
    tree::{FileNode, Node, Tree},
};

/// Bytes of a file that are looked at for the mark of a private key.
const HEAD: usize = 4096;

/// Names, anywhere, in byte order.
const NAMES: &[&str] = &[
    ".env",
    ".git-credentials",
    ".htpasswd",
    ".netrc",
    ".npmrc",
    ".pgpass",
    ".pypirc",
    ".vault-token",
    "_netrc",
    "application_default_credentials.json",
    "credentials.tfrc.json",
    "id_dsa",
    "id_ecdsa",
    "id_ecdsa_sk",
    "id_ed25519",
    "id_ed25519_sk",
    "id_rsa",
    "terraform.tfstate",
];
/// Ends of whole paths, each from a directory with a dot on.
const PATHS: &[&str] = &[
    "/.aws/config",
    "/.aws/credentials",
    "/.azure/accessTokens.json",
    "/.azure/msal_token_cache.json",
    "/.cargo/credentials",
    "/.cargo/credentials.toml",
    "/.config/gcloud/credentials.db",
    "/.config/gh/hosts.yml",
    "/.docker/config.json",
    "/.gem/credentials",
    "/.kube/config",
];
/// Ends of names.
const ENDINGS: &[&str] = &[".key", ".jks", ".keystore", ".p12", ".pfx", ".ppk"];

/// The files of directories among `inputs` that look like secrets, by their path in the image. A
/// file that is an input itself is assumed to be intentional.
///
/// # Errors
/// [`ReadFailure`]
pub fn suspects(inputs: &[Input]) -> Result<Vec<ImagePath>, ReadFailure> {
    let directories = inputs.iter().filter(|input| input.kind == InputKind::Directory);
    let mut found = Vec::new();
    for (path, node) in directories.flat_map(|input| input.tree.iter()) {
        if let Some(file) = node.file()
            && is_suspect_file(file, path)?
        {
            found.push(path.clone());
        }
    }
    Ok(found)
}

/// What is said of a secret at `path`.
pub fn note(path: impl fmt::Display, hint: &str) -> Note {
    Note::warning(format!("`{path}` looks like a secret")).about(path).with_hint(hint)
}

/// Whether the file at `place` in `tree`, which is called `path` where it comes from, looks like a
/// secret.
///
/// # Errors
/// [`ReadFailure`]
pub(super) fn is_suspect(
    tree: &Tree,
    place: &ImagePath,
    path: &ImagePath,
) -> Result<bool, ReadFailure> {
    tree.get(place).and_then(Node::file).map_or(Ok(false), |file| is_suspect_file(file, path))
}

/// Whether `file`, which is called `path` where it comes from, looks like a secret.
///
/// # Errors
/// [`ReadFailure`]
fn is_suspect_file(file: &FileNode, path: &ImagePath) -> Result<bool, ReadFailure> {
    // A file that this user may not read fails when it is packed.
    suspect(path, || Ok(content::head(file, HEAD)?.unwrap_or_default()))
}

/// As `is_suspect_file`, and whether `file` is a private key, whatever its name.
///
/// # Errors
/// [`ReadFailure`]
pub fn is_secret_file(file: &FileNode, path: &ImagePath) -> Result<bool, ReadFailure> {
    if is_suspect_file(file, path)? {
        return Ok(true);
    }
    let head = content::head(file, HEAD)?.unwrap_or_default();
    Ok(head.split(|&byte| byte == b'\n').any(starts_key))
}

/// Whether a line is the first one of a private key: PEM (RFC 7468) and OpenSSH, PuTTY, age.
fn starts_key(line: &[u8]) -> bool {
    let is_pem = line.starts_with(b"-----BEGIN ") && has_key(line);
    is_pem || line.starts_with(b"PuTTY-User-Key-File-") || line.starts_with(b"AGE-SECRET-KEY-")
}

fn has_key(text: &[u8]) -> bool {
    memchr::memmem::find(text, b"PRIVATE KEY").is_some()
}

/// Whether a file like the one at `path` usually holds a secret. `head` reads its first bytes,
/// which decide where a name alone does not: certificates end in `.pem` too.
fn suspect(
    path: &ImagePath,
    head: impl FnOnce() -> Result<Vec<u8>, ReadFailure>,
) -> Result<bool, ReadFailure> {
    let (whole, name) = (path.as_bytes(), path.file_name());
    let ends = |text: &[u8], ends: &[&str]| ends.iter().any(|end| text.ends_with(end.as_bytes()));
    // The cheap questions first: there is one such call for each file of a directory.
    let has_ending = memchr::memrchr(b'.', name)
        .and_then(|dot| name.get(dot..))
        .is_some_and(|ending| ENDINGS.iter().any(|known| known.as_bytes() == ending));
    let named = has_ending
        || NAMES.binary_search_by(|known| known.as_bytes().cmp(name)).is_ok()
        || (memchr::memmem::find(whole, b"/.").is_some() && ends(whole, PATHS))
        || (name.starts_with(b".env.")
            && !ends(name, &[".example", ".sample", ".template", ".dist"]));
    Ok(named || (name.ends_with(b".pem") && has_key(&head()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_as_they_are_searched() {
        assert!(NAMES.is_sorted());
        assert!(PATHS.iter().all(|path| path.starts_with("/.")));
        assert!(ENDINGS.iter().all(|ending| ending.rfind('.') == Some(0)));
    }

    #[test]
    fn knows_where_secrets_are() {
        let check = |path: &str, head: &str| {
            suspect(&ImagePath::new(path).unwrap(), || Ok(head.as_bytes().to_vec())).unwrap()
        };
        for path in [
            "/a/.env",
            "/.env.production",
            "/home/.ssh/id_rsa",
            "/x/.npmrc",
            "/r/.aws/credentials",
            "/tls.key",
        ] {
            assert!(check(path, ""), "{path}");
        }
        for path in ["/.env.example", "/id_rsa.pub", "/environment", "/aws/credentials", "/ca.pem"]
        {
            assert!(!check(path, "-----BEGIN CERTIFICATE-----"), "{path}");
        }
        assert!(check("/server.pem", "-----BEGIN RSA PRIVATE KEY-----"));
    }

    #[test]
    fn knows_the_first_line_of_a_private_key() {
        for line in
            ["-----BEGIN OPENSSH PRIVATE KEY-----", "PuTTY-User-Key-File-3: x", "AGE-SECRET-KEY-1Q"]
        {
            assert!(starts_key(line.as_bytes()), "{line}");
        }
        for line in ["-----BEGIN CERTIFICATE-----", "a -----BEGIN PRIVATE KEY-----", ""] {
            assert!(!starts_key(line.as_bytes()), "{line}");
        }
    }
}
