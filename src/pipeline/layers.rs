//! The layers of one image, as they are packed.

use std::collections::{BTreeMap, BTreeSet};

use super::{Delivery, Error, Event, Part, prove};
use crate::{
    archive::write::TarLayout,
    compress::Compression,
    image::{self, Image, LayerFormat},
    output::{Outputs, Uploads},
    pack::{self, Follower, PackError, PackOptions, Rootfs},
    path::ImagePath,
    plan::Plan,
    reuse::{self, Sources},
    store::Blob,
};

/// How the layers of all images of one run are packed.
#[derive(Clone, Copy)]
pub(super) struct Packing<'a> {
    pub(super) delivery: &'a Delivery,
    /// Where layers of other builds and machines are found.
    pub(super) sources: Option<&'a Sources>,
    /// Uploads that begin when a layer is finished.
    pub(super) uploads: Option<&'a Uploads>,
    /// The same, to caches.
    pub(super) to_caches: Option<&'a Uploads>,
}

impl Packing<'_> {
    /// Writes the layers of one part to the outputs' store and makes its documents. Appends to
    /// `blobs` the bytes of all its layers.
    pub(super) fn pack(
        &self,
        part: &Part<'_>,
        outputs: &mut Outputs,
        blobs: &mut Vec<Blob>,
        event: &(dyn Fn(Event) + Sync),
    ) -> Result<(Image, Vec<pack::Layer>), Error> {
        let Part { plan, base, annotations } = part;
        let delivery = self.delivery;
        let trees: Vec<_> = plan.layers.iter().map(|layer| &layer.tree).collect();
        let root_file = outputs.root();
        let root_tree = root_file.as_ref().map(|_| plan.merged()).unwrap_or_default();
        let root_layout = TarLayout::new(&root_tree).map_err(PackError::from)?;
        let root = root_file.map(|file| Rootfs::new(&root_layout, file));
        let mut layers: Vec<image::Layer> = Vec::new();
        for (base, layer) in
            base.iter().flat_map(|base| base.layers.iter().map(move |layer| (base, layer)))
        {
            layers.extend(layer.document());
            let blob = outputs.keep(&base.blob(layer)?)?;
            if let Some(uploads) = self.uploads {
                let origin = base.image.repository();
                let origin = origin.map(|(host, name)| (host.to_owned(), name.to_owned()));
                uploads.add(&blob, origin.as_ref());
            }
            blobs.push(blob);
        }
        let below = layers.len();
        let on_layer = |blob: &Blob| self.upload_packed(blob);
        let is_cancelled = || self.uploads.is_some_and(Uploads::have_failed);
        let first = match delivery.compression {
            Compression::Estargz(_) => first(plan)?,
            _ => BTreeSet::new(),
        };
        let options = PackOptions {
            compression: delivery.compression,
            first: &first,
            jobs: delivery.jobs,
            sources: self.sources,
            has_keys: !delivery.cache_to.is_empty(),
            cache: delivery.cache.as_ref(),
            rootfs: root.as_ref(),
            follower: Some(Follower { on_layer: &on_layer, is_cancelled: &is_cancelled }),
        };
        let on_step = |step| event(Event::Packing(step));
        let packed = pack::pack(&trees, &options, outputs.store(), &on_step);
        let packed = packed.map_err(|error| self.cause(error))?;
        layers.extend(packed.iter().zip(&plan.layers).map(|(layer, planned)| image::Layer {
            annotations:
                planned.annotations().into_iter().chain(layer.annotations.clone()).collect(),
            ..document(layer, delivery.compression)
        }));
        if let Some(root) = root {
            root.finish(packed.iter().any(|layer| layer.is_rootfs))?;
        }
        let mut all = delivery.annotations.clone();
        for (name, value) in annotations {
            all.entry(name.clone()).or_insert_with(|| value.clone());
        }
        all.retain(|name, _| !reuse::is_of_layers(name));
        all.extend(reuse::compression_annotations(delivery.compression));
        if below > 0 {
            all.insert(reuse::BASE_LAYERS_ANNOTATION.into(), below.to_string());
        }
        blobs.extend(packed.iter().map(|layer| layer.blob.clone()));
        Ok((image::assemble(&plan.config, layers, &all), packed))
    }

    fn upload_packed(&self, blob: &Blob) {
        let origins = self.sources.map(Sources::origins).unwrap_or_default();
        let origin = origins.get(&blob.digest);
        self.uploads.iter().chain(&self.to_caches).for_each(|uploads| uploads.add(blob, origin));
    }

    /// What an error of packing comes from: an upload, if that is why layers are not wanted.
    fn cause(&self, error: PackError) -> Error {
        let fault = match error {
            PackError::Cancelled => self.uploads.and_then(Uploads::take_fault),
            _ => None,
        };
        fault.map_or(error.into(), Error::from)
    }
}

/// The files that the image of `plan` reads when it starts.
fn first(plan: &Plan) -> Result<BTreeSet<ImagePath>, Error> {
    let mut first = prove(plan, &[])?.started;
    first.extend(ImagePath::new(b"/etc/ld.so.cache"));
    Ok(first)
}

/// What a manifest says of a layer.
pub(super) fn document(layer: &pack::Layer, compression: Compression) -> image::Layer {
    let format = match compression {
        Compression::None => LayerFormat::Tar,
        Compression::Gzip(_) | Compression::Estargz(_) => LayerFormat::Gzip,
        Compression::Zstd(_) => LayerFormat::Zstd,
    };
    image::Layer {
        digest: layer.blob.digest,
        diff_id: layer.diff_id,
        size: layer.blob.size,
        format,
        annotations: BTreeMap::new(),
    }
}
