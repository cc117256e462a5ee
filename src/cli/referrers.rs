//! `imgb referrers`.

use std::{fmt::Write as _, path::PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::{
    document_file,
    failure::Failure,
    options::{image::open_options, registry::RegistryArgs},
    printable::printable,
    terminal::{print_data, print_json, print_message},
    values::{self, image_name},
};
use crate::{
    digest::Digest,
    error_kind::ErrorKind,
    image::{ImageName, Platform},
    oci::{self, OpenOptions},
    quantity,
    registry::Referrer,
};

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    imgb referrers myapp.tar\n  \
    imgb referrers docker://registry.example/app:1.0 \\\n      \
      --type application/vnd.example.signature.v1+json -o signature.json\n\n\
    Listed is what is attached to the image, or to the index and to each image that it lists: \
    signatures, attestations, bills of materials, by whichever tool. `imgb attach` adds one.")]
pub(super) struct ReferrersArgs {
    /// The image, as for `imgb inspect`
    #[arg(value_name = "IMAGE", value_parser = image_name)]
    image: ImageName,

    /// List what is attached to the image for this platform only
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<Platform>,

    /// List artifacts of this media type only
    #[arg(long = "type", value_name = "MEDIA_TYPE", value_parser = values::media_type)]
    artifact_type: Option<String>,

    /// List the artifact with this digest only
    #[arg(long, value_name = "DIGEST")]
    digest: Option<Digest>,

    /// Write the content of the artifact to FILE; - for stdout. Only one artifact may match
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    #[command(flatten)]
    registry: RegistryArgs,

    /// Print JSON on stdout
    #[arg(long, conflicts_with = "output")]
    json: bool,
}

/// An artifact, and what it is about.
struct Listed {
    subject: Digest,
    platform: Option<Platform>,
    referrer: Referrer,
}

impl ReferrersArgs {
    /// Whether stdout is for JSON.
    pub(super) fn prints_json(&self) -> bool {
        self.json
    }

    fn wants(&self, referrer: &Referrer) -> bool {
        let kind = self.artifact_type.as_ref();
        kind.is_none_or(|kind| referrer.artifact_type.as_ref() == Some(kind))
            && self.digest.is_none_or(|digest| digest == referrer.digest)
    }
}

pub(super) fn referrers(args: &ReferrersArgs) -> Result<(), Failure> {
    let shown = args.image.to_string();
    let registries = args.registry.registries([&*shown])?;
    let open = open_options(args.platform.clone(), registries);
    let image = oci::open(&args.image, &OpenOptions { any: true, ..open })?;
    let mut all = Vec::new();
    for (subject, platform) in image.subjects(args.platform.is_none())? {
        let listed = image.referrers(subject)?.into_iter().filter(|one| args.wants(one));
        all.extend(listed.map(|referrer| Listed { subject, platform: platform.clone(), referrer }));
    }
    if let Some(path) = &args.output {
        let [one] = &all[..] else { return Err(not_one(&shown, &all)) };
        let bytes = image.artifact_blob(one.subject, &one.referrer)?;
        return document_file::write(path, &bytes, args.image.path());
    }
    if args.json {
        let all: Vec<Value> = all.iter().map(as_json).collect();
        return print_json(json!({"image": shown, "referrers": all}));
    }
    if all.is_empty() {
        print_message(&format!("nothing is attached to {shown}"));
    }
    print_data(&all.iter().map(as_text).collect::<String>())
}

fn not_one(image: &str, all: &[Listed]) -> Failure {
    if all.is_empty() {
        return Failure::new(ErrorKind::Input, format!("{image} has no such artifact"));
    }
    let count = quantity::count(all.len(), "artifact");
    let failure = Failure::usage(format!("{image} has {count}, and -o takes one"));
    let details = all.iter().map(|one| as_text(one).trim_end().to_owned());
    failure
        .with_details(details.collect())
        .with_hint("choose one with --digest, --type or --platform")
}

fn as_text(listed: &Listed) -> String {
    let Listed { platform, referrer, .. } = listed;
    let kind = referrer.artifact_type.as_deref().unwrap_or("(no type)");
    let mut text = format!("{}  {}", referrer.digest, printable(kind));
    if let Some(platform) = platform {
        let _ = write!(text, "  {platform}");
    }
    for (name, value) in &referrer.annotations {
        let _ = write!(text, "  {}={}", printable(name), printable(value));
    }
    text + "\n"
}

fn as_json(listed: &Listed) -> Value {
    let Listed { subject, platform, referrer } = listed;
    json!({
        "subject": subject.to_string(),
        "platform": platform.as_ref().map(ToString::to_string),
        "digest": referrer.digest.to_string(),
        "type": referrer.artifact_type,
        "media_type": referrer.media_type,
        "size": referrer.size,
        "annotations": referrer.annotations,
    })
}
