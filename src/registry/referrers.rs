//! Artifacts attached to an image: manifests whose `subject` it is (OCI distribution-spec 1.1,
//! "Listing Referrers").
//!
//! Registries without the API have the list as an index under a tag that is made of the subject's
//! digest, which clients keep ("Referrers Tag Schema").

use std::collections::BTreeMap;

use serde_json::{Value, json};
use ureq::http::Method;

use super::{
    client::Repository,
    error::RegistryError,
    exchange::{Call, Content},
    manifest::{Pointer, Published},
    retry::is_transient,
};
use crate::digest::Digest;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Bytes of a page of the list.
const MAX_PAGE: u64 = 4 << 20;
const MAX_PAGES: usize = 64;
/// Bytes of all pages together.
const MAX_LIST: usize = 16 << 20;
/// How often the list under a tag is written again because another client has written it.
const MAX_RACES: usize = 5;

/// An artifact that is attached to an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Referrer {
    /// The media type of its manifest.
    pub media_type: String,
    /// The digest of its manifest.
    pub digest: Digest,
    /// The size of its manifest in bytes.
    pub size: u64,
    /// What it is, such as `application/spdx+json`.
    pub artifact_type: Option<String>,
    /// The annotations of its manifest.
    pub annotations: BTreeMap<String, String>,
}

impl Referrer {
    /// What an index says of an artifact; `None` if it is malformed, or its digest is of another
    /// algorithm.
    pub fn read(entry: &Value) -> Option<Self> {
        let text = |key: &str| entry.get(key)?.as_str();
        let annotations = entry.get("annotations").and_then(Value::as_object);
        let annotations = annotations.into_iter().flatten();
        Some(Self {
            media_type: text("mediaType")?.to_owned(),
            digest: text("digest")?.parse().ok()?,
            size: entry.get("size")?.as_u64()?,
            artifact_type: text("artifactType").map(str::to_owned),
            annotations: annotations
                .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
                .collect(),
        })
    }

    /// The entry of an index.
    pub fn entry(&self) -> Value {
        let mut entry = json!({
            "mediaType": self.media_type,
            "digest": self.digest.to_string(),
            "size": self.size,
        });
        if let Some(artifact_type) = &self.artifact_type {
            entry["artifactType"] = json!(artifact_type);
        }
        if !self.annotations.is_empty() {
            entry["annotations"] = json!(self.annotations);
        }
        entry
    }
}

impl Repository {
    /// The artifacts whose subject has this digest, in the registry's order.
    ///
    /// # Errors
    /// If the registry cannot be asked, or its list is malformed.
    pub fn referrers(&self, subject: Digest) -> Result<Vec<Referrer>, RegistryError> {
        let entries = match self.listed(subject)? {
            Some(entries) => entries,
            None => self.tagged(subject)?,
        };
        Ok(entries.iter().filter_map(Referrer::read).collect())
    }

    /// Puts an artifact's manifest, of which `referrer` tells and whose `subject` has the digest
    /// `subject`. Where the registry does not keep the list of referrers, it is kept here.
    ///
    /// # Errors
    /// If the registry does not take the manifest or the list.
    pub fn attach(
        &self,
        subject: Digest,
        referrer: &Referrer,
        manifest: &[u8],
    ) -> Result<Published, RegistryError> {
        let pointer = Pointer::Digest(Digest::of(manifest));
        let published = self.put_manifest(pointer, &referrer.media_type, manifest)?;
        if !published.subject_processed && self.listed(subject)?.is_none() {
            self.add_to_tag(subject, referrer)?;
        }
        Ok(published)
    }

    /// The list of the API; `None` if the registry does not have it.
    fn listed(&self, subject: Digest) -> Result<Option<Vec<Value>>, RegistryError> {
        let mut call = Call {
            action: format!("list the referrers of {subject} in {}", self.name),
            method: Method::GET,
            url: self.url(&format!("referrers/{subject}"))?,
            access: self.access(false),
            headers: vec![("Accept", INDEX.to_owned())],
            content: Content::None,
        };
        let (mut entries, mut bytes) = (Vec::new(), 0);
        for page in 0..MAX_PAGES {
            // A registry without the API may answer anything, except that it has failed.
            let answer = match self.read(&call, &[200], MAX_PAGE) {
                Err(RegistryError::Status { status, .. }) if page == 0 && !has_failed(status) => {
                    return Ok(None);
                }
                answer => answer?,
            };
            bytes += answer.bytes.len();
            if bytes > MAX_LIST {
                break;
            }
            let media_type = answer.header("content-type").unwrap_or_default();
            if page == 0 && !media_type.starts_with(INDEX) {
                return Ok(None);
            }
            entries.extend(self.entries(&call, &answer.bytes)?);
            let next = answer.header("link").and_then(next_page).map(str::to_owned);
            let Some(next) = next else { return Ok(Some(entries)) };
            let url = call.url.join(&next).filter(|url| url.origin() == call.url.origin());
            call.url = url.ok_or_else(|| {
                self.protocol(&call, "the next page of its list is at another host".into())
            })?;
        }
        Err(self.protocol(&call, "its list of referrers does not end".into()))
    }

    /// The list under the tag.
    fn tagged(&self, subject: Digest) -> Result<Vec<Value>, RegistryError> {
        let tag = fallback_tag(subject);
        let Some(document) = self.manifest(Pointer::Tag(&tag))? else { return Ok(Vec::new()) };
        let call = self.blob_call(Method::GET, "list the referrers of", subject)?;
        self.entries(&call, &document.bytes)
    }

    fn add_to_tag(&self, subject: Digest, referrer: &Referrer) -> Result<(), RegistryError> {
        let tag = fallback_tag(subject);
        let digest = referrer.digest.to_string();
        for _ in 0..MAX_RACES {
            let mut entries = self.tagged(subject)?;
            if entries.iter().any(|entry| entry["digest"] == json!(digest)) {
                return Ok(());
            }
            entries.push(referrer.entry());
            let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries});
            self.put_manifest(Pointer::Tag(&tag), INDEX, index.to_string().as_bytes())?;
        }
        let call = self.blob_call(Method::PUT, "list a referrer of", subject)?;
        Err(self.protocol(&call, format!("other clients keep changing the tag {tag}")))
    }

    fn entries(&self, call: &Call<'_>, index: &[u8]) -> Result<Vec<Value>, RegistryError> {
        let wrong = || self.protocol(call, "its list of referrers is not an index".into());
        let index: Value = serde_json::from_slice(index).map_err(|_| wrong())?;
        index.get("manifests").and_then(Value::as_array).cloned().ok_or_else(wrong)
    }
}

/// The tag of the list for registries without the API.
fn fallback_tag(subject: Digest) -> String {
    format!("sha256-{}", subject.hex())
}

/// The URL in `<URL>; rel="next"` (RFC 8288).
fn next_page(link: &str) -> Option<&str> {
    let (url, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
    let is_next = |parameter: &str| matches!(parameter.trim(), "rel=\"next\"" | "rel=next");
    parameters.split([';', ',']).any(is_next).then_some(url)
}

/// Whether a status is that of a failure. 501 says that the registry does not have the API.
fn has_failed(status: u16) -> bool {
    is_transient(status) || (status >= 500 && status != 501)
}
