//! Hands an image to docker or podman.
//!
//! Docker does not open a layer that it has: one whose chain of diff ids, from the lowest layer up,
//! is that of an image in its store (`layer.ChainID` of moby's `image/tarexport/load.go`). Such
//! layers are left out of the archive. If docker then does not have the image, it gets all of it.

use std::{
    io::{self, Write},
    str::FromStr as _,
};

use super::{
    OutputError, archive,
    shipment::Shipment,
    transfer::{How, Moved, Transfer},
};
use crate::{
    digest::Digest,
    engine::{self, EngineError},
    image::{Engine, OutputFormat, Reference},
};

/// IDs of images that are asked for at once.
const AT_ONCE: usize = 100;

/// What became of an image that was handed to an engine.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The engine.
    pub engine: Engine,
    /// The names of the image in its store.
    pub names: Vec<Reference>,
    /// The ID that the engine has given it.
    pub id: String,
    /// Bytes of the archive that the engine was given.
    pub sent: u64,
    /// What became of each layer.
    pub blobs: Vec<Moved>,
}

/// Loads the local image of `shipment` under `names`.
pub(super) fn load(
    shipment: &Shipment<'_>,
    engine: Engine,
    names: &[Reference],
    event: &(dyn Fn(Transfer) + Sync),
) -> Result<Loaded, OutputError> {
    let known = match engine {
        Engine::Docker => known_layers(&diff_ids(shipment))?,
        Engine::Podman => 0,
    };
    if known > 0 {
        let loaded = attempt(shipment, known, engine, names, event);
        if let Ok(loaded) = loaded {
            return Ok(loaded);
        }
    }
    attempt(shipment, 0, engine, names, event)
}

/// Loads the image without its lowest `known` layers, and checks that the engine has it.
fn attempt(
    shipment: &Shipment<'_>,
    known: usize,
    engine: Engine,
    names: &[Reference],
    event: &(dyn Fn(Transfer) + Sync),
) -> Result<Loaded, OutputError> {
    let (config, layers) = &shipment.local;
    let left_out: Vec<Digest> = layers.iter().take(known).copied().collect();
    // A layer may be in the image twice.
    let is_sent = |digest: Digest| !left_out.contains(&digest) && layers.contains(&digest);
    let sent: Vec<Moved> = shipment
        .blobs
        .iter()
        .filter(|blob| layers.contains(&blob.digest))
        .map(|blob| {
            let (digest, size) = (blob.digest, blob.size);
            let how = if is_sent(digest) { How::Sent { bytes: size } } else { How::Existed };
            Moved { digest, size, how }
        })
        .collect();
    event(Transfer::Begin { blobs: sent.len(), bytes: sent.iter().map(Moved::sent).sum() });
    let mut bytes = 0;
    let said = engine::load(engine.command(), |out| {
        let mut counted = Counted { out, bytes: &mut bytes };
        let format = OutputFormat::Archive;
        archive::partial(&mut counted, format, (shipment, &is_sent), names, event).map_err(
            |fault| {
                let (command, action) = (engine.command(), "load");
                fault.into_error(|source| EngineError::Io { command, action, source }.into())
            },
        )
    })?;
    // Docker's containerd store prints an error and exits with 0.
    if said.contains("Error unpacking image") {
        return Err(refused(engine, &said));
    }
    let fallback = config.to_string();
    let name = names.first().map_or(fallback, Reference::familiar);
    let id = id(engine, &name)?.ok_or_else(|| refused(engine, &said))?;
    let accepted = [config.hex(), shipment.root.digest.hex()];
    if !accepted.iter().any(|digest| id.ends_with(digest)) {
        return Err(refused(engine, &format!("`{name}` is {id} now")));
    }
    Ok(Loaded { engine, names: names.to_vec(), id, sent: bytes, blobs: sent })
}

fn refused(engine: Engine, said: &str) -> OutputError {
    let message = said.lines().last().unwrap_or("it does not have the image").to_owned();
    EngineError::Failed { command: engine.command(), action: "load", message }.into()
}

/// The ID of an image; `None` if the engine does not have it.
fn id(engine: Engine, name: &str) -> Result<Option<String>, EngineError> {
    let arguments = ["inspect", "--format", "{{.Id}}", name];
    let id = engine::ask(engine.command(), "image", &arguments)?;
    Ok(id.map(|id| id.trim().to_owned()))
}

/// The diff ids of the local image.
fn diff_ids(shipment: &Shipment<'_>) -> Vec<Digest> {
    let (config, _) = shipment.local;
    let document = shipment.documents.iter().find(|document| document.digest == config);
    let config = document
        .and_then(|document| serde_json::from_slice::<serde_json::Value>(document.bytes).ok());
    let ids = config.as_ref().and_then(|config| config.get("rootfs")?.get("diff_ids")?.as_array());
    // One that cannot be read ends the layers that can be the same.
    let ids = ids.into_iter().flatten().map_while(|id| id.as_str()?.parse().ok());
    ids.collect()
}

/// How many of the lowest layers docker has.
fn known_layers(diff_ids: &[Digest]) -> Result<usize, EngineError> {
    let docker = Engine::Docker.command();
    let list = ["ls", "--all", "--quiet", "--no-trunc"];
    let Some(ids) = engine::ask(docker, "image", &list)? else { return Ok(0) };
    let mut ids: Vec<&str> = ids.lines().map(str::trim).filter(|id| !id.is_empty()).collect();
    ids.sort_unstable();
    ids.dedup();
    let mut known = 0;
    for ids in ids.chunks(AT_ONCE) {
        let mut arguments = vec!["inspect", "--format", "{{json .RootFS.Layers}}"];
        arguments.extend(ids);
        // An image that was removed meanwhile makes the command fail; it then knows nothing.
        let Some(lines) = engine::ask(docker, "image", &arguments)? else { continue };
        for line in lines.lines() {
            let layers: Vec<String> = serde_json::from_str(line).unwrap_or_default();
            let same = layers
                .iter()
                .zip(diff_ids)
                .take_while(|(theirs, ours)| Digest::from_str(theirs).as_ref() == Ok(ours));
            known = known.max(same.count());
        }
    }
    Ok(known)
}

/// Counts what is written.
struct Counted<'a> {
    out: &'a mut dyn Write,
    bytes: &'a mut u64,
}

impl Write for Counted<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let written = self.out.write(buf)?;
        *self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
