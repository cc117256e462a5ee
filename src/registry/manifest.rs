//! Manifests: small documents under tags and digests.

use ureq::http::Method;

use super::{
    client::Repository,
    error::RegistryError,
    exchange::{Call, Content},
    http::Response,
};
use crate::digest::Digest;

/// Bytes of a manifest that registries have to take, and that are read (OCI distribution-spec,
/// "Pushing Manifests").
const MAX_MANIFEST: u64 = 4 << 20;

/// The media types that are understood.
const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, \
                      application/vnd.oci.image.manifest.v1+json, \
                      application/vnd.docker.distribution.manifest.list.v2+json, \
                      application/vnd.docker.distribution.manifest.v2+json";

/// How a manifest is named in its repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pointer<'a> {
    /// By a tag, which may be moved.
    Tag(&'a str),
    /// By its digest.
    Digest(Digest),
}

/// A manifest or index as a registry has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// The bytes, which have this digest.
    pub bytes: Vec<u8>,
    /// The SHA-256 of the bytes.
    pub digest: Digest,
    /// `Content-Type`, without parameters; empty if the registry sends none.
    pub media_type: String,
}

/// What became of a manifest that was put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// Whether the registry already had it under this name, and would not take it again.
    pub existed: bool,
    /// Whether the registry has added it to the referrers of its subject (`OCI-Subject`).
    pub subject_processed: bool,
}

impl std::fmt::Display for Pointer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tag(tag) => f.write_str(tag),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

impl Repository {
    /// The manifest at `pointer`; `None` if there is none.
    ///
    /// # Errors
    /// If the registry cannot be asked, or sends other bytes than their digest says.
    pub fn manifest(&self, pointer: Pointer<'_>) -> Result<Option<Document>, RegistryError> {
        let call = self.manifest_call(Method::GET, "read", pointer, false)?;
        let answer = self.read(&call, &[200, 404], MAX_MANIFEST)?;
        if answer.status == 404 {
            return Ok(None);
        }
        let media_type = media_type(answer.header("content-type"));
        let claimed = digest_in(answer.header("docker-content-digest"));
        let (host, bytes) = (call.url.authority(), answer.bytes);
        let digest = Digest::of(&bytes);
        let wanted = match pointer {
            Pointer::Digest(wanted) => Some(wanted),
            Pointer::Tag(_) => claimed,
        };
        match wanted.filter(|wanted| *wanted != digest) {
            Some(wanted) => {
                let why = format!("it has the digest {digest}");
                Err(RegistryError::Mismatch { host, digest: wanted, why })
            }
            None => Ok(Some(Document { bytes, digest, media_type })),
        }
    }

    /// The digest of the manifest at `pointer`; `None` if there is none. A registry that does not
    /// say it without the manifest is asked for the manifest.
    ///
    /// # Errors
    /// If the registry cannot be asked.
    pub fn manifest_digest(&self, pointer: Pointer<'_>) -> Result<Option<Digest>, RegistryError> {
        let call = self.manifest_call(Method::HEAD, "look up", pointer, false)?;
        let response = self.call(&call)?;
        match (response.status, claimed_digest(&response), pointer) {
            (404, ..) => Ok(None),
            (200, Some(digest), _) | (200, None, Pointer::Digest(digest)) => Ok(Some(digest)),
            _ => Ok(self.manifest(pointer)?.map(|document| document.digest)),
        }
    }

    /// Puts a manifest whose blobs and children the registry has, and checks that it is there. A
    /// registry that refuses to move a tag which already leads to these bytes has them: that is
    /// success.
    ///
    /// # Errors
    /// If the registry does not take it, or says that it has stored other bytes.
    pub fn put_manifest(
        &self,
        pointer: Pointer<'_>,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<Published, RegistryError> {
        let digest = Digest::of(bytes);
        let mut call = self.manifest_call(Method::PUT, "store", pointer, true)?;
        call.headers = vec![("Content-Type", media_type.to_owned())];
        call.content = Content::Bytes(bytes);
        let response = self.call(&call)?;
        if response.status == 413 || bytes.len() as u64 > MAX_MANIFEST {
            let why = format!(
                "the manifest has {}, more than it takes",
                crate::quantity::bytes(bytes.len() as u64)
            );
            return Err(self.protocol(&call, why));
        }
        if !response.is_success() {
            let error = self.status_error(&call, response);
            let existing = self.manifest_digest(pointer).ok().flatten();
            return match existing == Some(digest) {
                true => Ok(Published { existed: true, subject_processed: false }),
                false => Err(error),
            };
        }
        if let Some(claimed) = claimed_digest(&response).filter(|claimed| *claimed != digest) {
            let (host, why) = (call.url.authority(), format!("it stored {claimed}"));
            return Err(RegistryError::Mismatch { host, digest, why });
        }
        let subject_processed = response.header("oci-subject").is_some();
        match self.manifest_digest(pointer)? {
            Some(found) if found == digest => Ok(Published { existed: false, subject_processed }),
            // Another push has moved the tag since. The manifest is there under its digest.
            Some(found) if matches!(pointer, Pointer::Tag(_)) => {
                if self.manifest_digest(Pointer::Digest(digest))? == Some(digest) {
                    return Ok(Published { existed: false, subject_processed });
                }
                let why = format!("it has {found} there");
                Err(RegistryError::Mismatch { host: call.url.authority(), digest, why })
            }
            found => {
                let why = match found {
                    Some(found) => format!("it has {found} there"),
                    None => "it is not there after it was stored".into(),
                };
                Err(RegistryError::Mismatch { host: call.url.authority(), digest, why })
            }
        }
    }

    fn manifest_call<'a>(
        &self,
        method: Method,
        verb: &str,
        pointer: Pointer<'_>,
        push: bool,
    ) -> Result<Call<'a>, RegistryError> {
        Ok(Call {
            action: format!("{verb} the manifest {}:{pointer}", self.name),
            method,
            url: self.url(&format!("manifests/{pointer}"))?,
            access: self.access(push),
            headers: vec![("Accept", ACCEPT.to_owned())],
            content: Content::None,
        })
    }
}

fn media_type(value: Option<&str>) -> String {
    value.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_owned()
}

/// The digest that the registry claims, if it is one that can be compared.
fn claimed_digest(response: &Response) -> Option<Digest> {
    digest_in(response.header("docker-content-digest"))
}

fn digest_in(value: Option<&str>) -> Option<Digest> {
    value?.parse().ok()
}
