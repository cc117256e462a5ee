//! Artifacts about an image, which go where the image goes.

use std::collections::{BTreeSet, VecDeque};

use super::{CopyError, parts};
use crate::{
    digest::Digest,
    oci::{self, Contents, ImageError},
    output::ShippedReferrer,
    registry::Referrer,
};

/// Artifacts about one image, and about these, that are copied.
const MAX_ARTIFACTS: usize = 1000;

/// An artifact that was found.
pub(super) struct Found<'a> {
    subject: Digest,
    referrer: Referrer,
    contents: Contents<'a>,
}

impl Found<'_> {
    pub(super) fn shipped(&self) -> ShippedReferrer<'_> {
        let (documents, blobs) = parts(&self.contents);
        ShippedReferrer { subject: self.subject, referrer: self.referrer.clone(), documents, blobs }
    }

    /// The digest of its manifest.
    pub(super) fn digest(&self) -> Digest {
        self.referrer.digest
    }
}

/// The artifacts about what `contents` consist of, and about these artifacts.
///
/// # Errors
/// If one of them is not complete, is about another image, or there are too many.
pub(super) fn gather<'a>(
    image: &'a oci::Image,
    contents: &Contents<'_>,
) -> Result<Vec<Found<'a>>, CopyError> {
    let documents = contents.documents.iter().rev();
    let manifests = documents.filter(|document| document.media_type.is_some());
    let mut left: VecDeque<Digest> = manifests.map(|document| document.digest).collect();
    let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
    while let Some(subject) = left.pop_front() {
        for referrer in image.referrers(subject)? {
            if !seen.insert(referrer.digest) {
                continue;
            }
            if seen.len() > MAX_ARTIFACTS {
                let (document, why) = (subject.to_string(), "too many artifacts about it".into());
                return Err(ImageError::Document { document, why }.into());
            }
            left.push_back(referrer.digest);
            let contents = image.artifact(subject, &referrer)?;
            found.push(Found { subject, referrer, contents });
        }
    }
    Ok(found)
}
