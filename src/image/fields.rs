//! The fields of the documents that are read (OCI image-spec; moby's `image/spec` and
//! `container.Config`; moby's `image/tarexport`).

use super::shape::Shape;

use Shape::{Any, Bool, Integer, List, Map, Object, Text, Time};

const TEXTS: Shape = List(&Text);
/// A set: its names, with empty objects as values.
const NAMES: Shape = Map(&Object(&[]));

/// The configuration of an image.
pub(crate) const CONFIG: Shape = Object(&[
    ("architecture", Text),
    ("author", Text),
    ("comment", Text),
    ("config", PROCESS),
    ("container", Text),
    ("container_config", Any),
    ("created", Time),
    ("docker_version", Text),
    ("history", List(&HISTORY)),
    ("id", Text),
    ("os", Text),
    ("os.features", TEXTS),
    ("os.version", Text),
    ("parent", Text),
    ("rootfs", Object(&[("diff_ids", TEXTS), ("type", Text)])),
    ("variant", Text),
]);

const HISTORY: Shape = Object(&[
    ("author", Text),
    ("comment", Text),
    ("created", Time),
    ("created_by", Text),
    ("empty_layer", Bool),
]);

const PROCESS: Shape = Object(&[
    ("ArgsEscaped", Bool),
    ("AttachStderr", Bool),
    ("AttachStdin", Bool),
    ("AttachStdout", Bool),
    ("Cmd", TEXTS),
    ("Domainname", Text),
    ("Entrypoint", TEXTS),
    ("Env", TEXTS),
    ("ExposedPorts", NAMES),
    ("Healthcheck", HEALTHCHECK),
    ("Hostname", Text),
    ("Image", Text),
    ("Labels", Map(&Text)),
    ("MacAddress", Text),
    ("NetworkDisabled", Bool),
    ("OnBuild", TEXTS),
    ("OpenStdin", Bool),
    ("Shell", TEXTS),
    ("StdinOnce", Bool),
    ("StopSignal", Text),
    ("StopTimeout", Integer),
    ("Tty", Bool),
    ("User", Text),
    ("Volumes", NAMES),
    ("WorkingDir", Text),
]);

const HEALTHCHECK: Shape = Object(&[
    ("Interval", Integer),
    ("Retries", Integer),
    ("StartInterval", Integer),
    ("StartPeriod", Integer),
    ("Test", TEXTS),
    ("Timeout", Integer),
]);

/// A manifest or an index: which of the two is known only afterwards.
pub(crate) const MANIFEST: Shape = Object(&[
    ("annotations", Map(&Text)),
    ("artifactType", Text),
    ("config", DESCRIPTOR),
    ("layers", List(&DESCRIPTOR)),
    ("manifests", List(&DESCRIPTOR)),
    ("mediaType", Text),
    ("schemaVersion", Integer),
    ("subject", DESCRIPTOR),
]);

const DESCRIPTOR: Shape = Object(&[
    ("annotations", Map(&Text)),
    ("artifactType", Text),
    ("data", Text),
    ("digest", Text),
    ("mediaType", Text),
    ("platform", PLATFORM),
    ("size", Integer),
    ("urls", TEXTS),
]);

const PLATFORM: Shape = Object(&[
    ("architecture", Text),
    ("features", TEXTS),
    ("os", Text),
    ("os.features", TEXTS),
    ("os.version", Text),
    ("variant", Text),
]);

/// The file `oci-layout`.
pub(crate) const LAYOUT: Shape = Object(&[("imageLayoutVersion", Text)]);

/// Docker's `manifest.json`.
pub(crate) const DOCKER_MANIFEST: Shape = List(&Object(&[
    ("Config", Text),
    ("LayerSources", Map(&DESCRIPTOR)),
    ("Layers", TEXTS),
    ("Parent", Text),
    ("RepoTags", TEXTS),
]));

/// Docker's `repositories`: names, tags in them, and the identifier of each tag's upper layer.
pub(crate) const REPOSITORIES: Shape = Map(&Map(&Text));
