//! Names of images in registries: `debian:12`, `ghcr.io/team/app@sha256:…`.

use std::{fmt, str::FromStr};

use super::{
    Reference, ReferenceError,
    reference::{is_tag, split_repository},
};
use crate::digest::{Digest, DigestError};

/// The name of an image in a registry, with Docker's defaults filled in: `debian` is
/// `docker.io/library/debian`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RegistryName {
    /// Host of the registry, with a port if one is given: `docker.io`, `localhost:5000`.
    pub registry: String,
    /// Path of the repository in the registry: `library/debian`.
    pub repository: String,
    /// The tag, if one is given.
    pub tag: Option<String>,
    /// The digest of a manifest or index, if one is given. It decides where a tag is given too.
    pub digest: Option<Digest>,
}

/// Why a text is not the name of an image in a registry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistryNameError {
    /// The repository or the tag is invalid.
    #[error(transparent)]
    Name(#[from] ReferenceError),
    /// What follows the `@` is not a digest.
    #[error(transparent)]
    Digest(#[from] DigestError),
}

impl RegistryName {
    /// The host that answers for the registry: that of Docker Hub has another name than the
    /// registry.
    pub fn api_host(&self) -> &str {
        if self.registry == "docker.io" { "registry-1.docker.io" } else { &self.registry }
    }

    /// What selects the image in its repository: the digest, or the tag, which is `latest` if
    /// neither is given.
    pub fn selector(&self) -> String {
        match (self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => "latest".into(),
        }
    }

    /// The name that engines store the image under; `None` where only a digest is given.
    pub fn reference(&self) -> Option<Reference> {
        let tag = match (&self.tag, self.digest) {
            (Some(tag), _) => tag.clone(),
            (None, None) => "latest".into(),
            (None, Some(_)) => return None,
        };
        let (registry, repository) = (self.registry.clone(), self.repository.clone());
        Some(Reference { registry, repository, tag })
    }
}

impl FromStr for RegistryName {
    type Err = RegistryNameError;

    /// Parses by the grammar of distribution/reference: `[HOST[:PORT]/]PATH[:TAG][@DIGEST]`.
    fn from_str(text: &str) -> Result<Self, RegistryNameError> {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse()?)),
            None => (text, None),
        };
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains(['/', ']']) => (name, Some(tag)),
            _ => (rest, None),
        };
        let Some((registry, repository)) = split_repository(name) else {
            return Err(ReferenceError::Repository(text.into()).into());
        };
        if !tag.is_none_or(is_tag) {
            return Err(ReferenceError::Tag(text.into()).into());
        }
        let tag = tag.map(Into::into);
        Ok(Self { registry, repository, tag, digest })
    }
}

impl From<Reference> for RegistryName {
    fn from(name: Reference) -> Self {
        let Reference { registry, repository, tag } = name;
        Self { registry, repository, tag: Some(tag), digest: None }
    }
}

/// In full: with the registry and `library/`, and with tag and digest where they are given.
impl fmt::Display for RegistryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        self.tag.iter().try_for_each(|tag| write!(f, ":{tag}"))?;
        self.digest.iter().try_for_each(|digest| write!(f, "@{digest}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_s_defaults_are_filled_in() {
        let digest = Digest::of("x");
        for (text, wanted) in [
            ("debian", "docker.io/library/debian"),
            ("debian:12", "docker.io/library/debian:12"),
            ("docker.io/debian", "docker.io/library/debian"),
            ("index.docker.io/library/debian", "docker.io/library/debian"),
            ("team/app", "docker.io/team/app"),
            ("localhost/app", "localhost/app"),
            ("LOCALHOST/app", "LOCALHOST/app"),
            ("localhost:5000/a/b:x", "localhost:5000/a/b:x"),
            ("127.0.0.1:5000/a", "127.0.0.1:5000/a"),
            ("[::1]:5000/a:1", "[::1]:5000/a:1"),
            ("[2001:db8::1]/a", "[2001:db8::1]/a"),
            ("registry/app:1", "docker.io/registry/app:1"),
            ("ghcr.io/team/app:1@DIGEST", "ghcr.io/team/app:1@DIGEST"),
            ("debian@DIGEST", "docker.io/library/debian@DIGEST"),
            ("host:5000/app@DIGEST", "host:5000/app@DIGEST"),
            ("xn--n3h.com/app", "xn--n3h.com/app"),
        ] {
            let with_digest = |text: &str| text.replace("DIGEST", &digest.to_string());
            let name: RegistryName = with_digest(text).parse().unwrap();
            assert_eq!(name.to_string(), with_digest(wanted), "{text}");
            assert_eq!(name.to_string().parse(), Ok(name), "{text}");
        }
    }

    /// From the tests of distribution/reference.
    #[test]
    fn refuses_what_docker_refuses() {
        let hex = "a".repeat(64);
        for text in [
            "",
            ":tag",
            "@sha256:x",
            "repo@sha256:ffff",
            "validname@invaliddigest:ffff",
            "Uppercase:tag",
            "test:5000/Uppercase/lowercase:tag",
            "aa/asdf$$^/aa",
            "a//b",
            "-foo/bar",
            "foo.com/a..b",
            "https://github.com/docker/docker",
            "docker/Docker",
            "-docker",
            "docker///docker",
            "docker.io/docker/Docker",
            "[fe80::1%eth0]:5000/a",
            "[2001:db8::1",
            "[]/a",
            "a:",
            "a: b",
            &hex,
        ] {
            assert!(text.parse::<RegistryName>().is_err(), "{text}");
        }
        assert!(format!("{}/a", "a/".repeat(128)).parse::<RegistryName>().is_err());
    }

    #[test]
    fn docker_hub_answers_under_another_name() {
        let name = |text: &str| text.parse::<RegistryName>().unwrap();
        assert_eq!(name("debian").api_host(), "registry-1.docker.io");
        assert_eq!(name("localhost:5000/a").api_host(), "localhost:5000");
        assert_eq!(name("debian").selector(), "latest");
        assert_eq!(name("debian:12").selector(), "12");
        let digest = Digest::of("x");
        assert_eq!(name(&format!("a:1@{digest}")).selector(), digest.to_string());
        assert_eq!(name("a").reference().unwrap().to_string(), "docker.io/library/a:latest");
        assert_eq!(name(&format!("a@{digest}")).reference(), None);
    }
}
