//! `imgb attach`.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;
use serde_json::json;

use super::{
    environment::scratch,
    failure::Failure,
    options::{image::open_options, messages::Verbosity, registry::RegistryArgs},
    printable::printable,
    terminal::{print_data, print_json, print_message},
    transfers::Transfers,
    values::{self, image_name},
};
use crate::{
    digest::Digesting,
    error_kind::ErrorKind,
    image::{ArtifactParts, ImageName, Platform},
    oci::OpenOptions,
    store::{Blob, Extent, Place},
    transfer::Attach,
    uninterrupted,
};

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    imgb attach myapp.tar audit.json --type application/vnd.example.audit+json\n  \
    imgb attach docker://registry.example/app:1.0 signature.json \\\n      \
      --type application/vnd.example.signature.v1+json --annotation key=team\n\n\
    The file becomes an artifact whose subject is the image. A registry lists it (OCI 1.1), or \
    imgb keeps the list under the tag sha256-DIGEST where the registry cannot. In an OCI layout or \
    archive it is beside the image, where engines do not look. The image keeps its digest. \
    `imgb referrers` lists what is attached; `imgb copy --referrers` takes it along.")]
pub(super) struct AttachArgs {
    /// The image: docker://NAME[:TAG], or one in an OCI layout or archive, as for `imgb inspect`
    #[arg(value_name = "IMAGE", value_parser = image_name)]
    image: ImageName,

    /// The file, such as a signature or an attestation; - for stdin
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// What the artifact is: its media type
    #[arg(long = "type", value_name = "MEDIA_TYPE", value_parser = values::media_type)]
    artifact_type: String,

    /// The media type of the file, if it is another
    #[arg(long, value_name = "MEDIA_TYPE", value_parser = values::media_type)]
    content_type: Option<String>,

    /// An annotation of the artifact (repeatable)
    #[arg(long, value_name = "NAME=VALUE", value_parser = values::pair)]
    annotation: Vec<(String, String)>,

    /// Attach it to the image for this platform, not to the index
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<Platform>,

    #[command(flatten)]
    registry: RegistryArgs,

    #[command(flatten)]
    verbosity: Verbosity,
}

impl AttachArgs {
    /// Whether stdout is for JSON.
    pub(super) fn prints_json(&self) -> bool {
        self.verbosity.json
    }
}

pub(super) fn attach(args: &AttachArgs) -> Result<(), Failure> {
    let shown = args.image.to_string();
    let blob = blob(&args.file)?;
    let title = args.file.file_name().filter(|_| args.file != Path::new("-"));
    let parts = ArtifactParts {
        artifact_type: args.artifact_type.clone(),
        media_type: args.content_type.clone().unwrap_or_else(|| args.artifact_type.clone()),
        blob: (blob.digest, blob.size),
        title: title.map(|name| name.to_string_lossy().into_owned()),
        annotations: args.annotation.iter().cloned().collect(),
    };
    let registries = args.registry.registries([&*shown])?;
    let open = open_options(args.platform.clone(), registries);
    let open = OpenOptions { any: true, ..open };
    let progress = Transfers::new(args.verbosity.progress, args.verbosity.quiet);
    let all = args.platform.is_none();
    let attach = Attach { image: &args.image, open: &open, all, parts, blob: &blob };
    let attached = attach.run(&|transfer| progress.event(transfer))?;
    drop(progress);
    if !args.verbosity.quiet {
        let (what, subject) = (printable(&args.artifact_type), attached.subject);
        print_message(&format!("attached {what} to {subject}"));
    }
    match args.verbosity.json {
        false => print_data(&format!("{}\n", attached.digest)),
        true => print_json(json!({
            "image": shown,
            "subject": attached.subject.to_string(),
            "digest": attached.digest.to_string(),
            "type": args.artifact_type,
        })),
    }
}

/// The bytes of `path`, or of stdin. What is not a regular file is copied to a temporary file.
fn blob(path: &Path) -> Result<Blob, Failure> {
    let unreadable = |error: io::Error| {
        let why = crate::error_kind::system_reason(&error);
        Failure::new(ErrorKind::Input, format!("cannot read `{}`: {why}", path.display()))
    };
    let file = match path == Path::new("-") {
        true => spooled(&mut io::stdin().lock()).map_err(unreadable)?,
        false => {
            let mut file = File::open(path).map_err(unreadable)?;
            let kind =
                uninterrupted::uninterrupted(|| file.metadata()).map_err(unreadable)?.file_type();
            match kind.is_file() {
                true => file,
                false => spooled(&mut file).map_err(unreadable)?,
            }
        }
    };
    let len = uninterrupted::uninterrupted(|| file.metadata()).map_err(unreadable)?.len();
    let extent = Extent { file: Arc::new(file), offset: 0 };
    let mut hash = Digesting::new(io::sink());
    io::copy(&mut extent.reader(len), &mut hash).map_err(unreadable)?;
    let (_, digest, size) = hash.finish();
    Ok(Blob { digest, size, place: Place::Open(extent) })
}

fn spooled(from: &mut dyn Read) -> io::Result<File> {
    let mut file = tempfile::tempfile_in(scratch())?;
    io::copy(from, &mut file)?;
    Ok(file)
}
