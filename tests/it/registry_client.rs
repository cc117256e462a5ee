//! The client of registries against Debian's docker-registry.

use std::{
    io::{self, Cursor, Read},
    path::PathBuf,
};

use imgb::{
    digest::Digest,
    registry::{
        Client, ClientOptions, Credential, Pointer, RegistryError, Repository, Source, Uploaded,
    },
};

use crate::registry_server::{self as server, Demands, PASSWORD, USER};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

fn open(bytes: &[u8]) -> impl Fn(u64) -> io::Result<Box<dyn Read>> + use<> {
    let bytes = bytes.to_vec();
    move |offset| Ok(Box::new(Cursor::new(bytes[offset as usize..].to_vec())))
}

fn upload(
    repository: &Repository,
    bytes: &[u8],
    mount_from: Option<&str>,
) -> Result<Uploaded, RegistryError> {
    let open = open(bytes);
    let (digest, size) = (Digest::of(bytes), bytes.len() as u64);
    repository.upload(&Source { digest, size, open: &open, mount_from }, &|_| {})
}

/// Pushes an image of one layer, reads everything back, and compares.
fn round_trip(client: &Client, host: &str) {
    let repository = client.repository(host, "team/app");
    let (config, layer) = (b"{}".as_slice(), vec![7_u8; 3 << 20]);
    assert_eq!(upload(&repository, config, None).unwrap(), Uploaded::Sent { bytes: 2 });
    let sent = Uploaded::Sent { bytes: layer.len() as u64 };
    assert_eq!(upload(&repository, &layer, None).unwrap(), sent);
    assert_eq!(upload(&repository, &layer, None).unwrap(), Uploaded::Existed);

    let descriptor = |kind: &str, bytes: &[u8]| {
        let media_type = format!("application/vnd.oci.image.{kind}");
        serde_json::json!({
            "mediaType": media_type, "digest": Digest::of(bytes).to_string(), "size": bytes.len(),
        })
    };
    let manifest = serde_json::to_vec(&serde_json::json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor("config.v1+json", config),
        "layers": [descriptor("layer.v1.tar", &layer)],
    }))
    .unwrap();
    let digest = Digest::of(&manifest);
    assert_eq!(repository.manifest(Pointer::Tag("1")).unwrap(), None);
    for pointer in [Pointer::Digest(digest), Pointer::Tag("1"), Pointer::Tag("latest")] {
        repository.put_manifest(pointer, MANIFEST, &manifest).unwrap();
        let document = repository.manifest(pointer).unwrap().unwrap();
        assert_eq!((document.bytes, document.digest), (manifest.clone(), digest));
        assert_eq!(document.media_type, MANIFEST);
        assert_eq!(repository.manifest_digest(pointer).unwrap(), Some(digest));
    }

    let mut read = Vec::new();
    let (digest, size) = (Digest::of(&layer), layer.len() as u64);
    repository.fetch(digest, size, &mut read, &|_| {}).unwrap();
    assert!(read == layer);
    let mut rest = Vec::new();
    repository.blob(digest, size, size - 10).unwrap().read_to_end(&mut rest).unwrap();
    assert_eq!(rest, [7; 10]);
    let missing = Digest::of("missing");
    assert!(!repository.has_blob(missing).unwrap());
    assert!(repository.blob(missing, 7, 0).unwrap_err().to_string().contains("404"));

    let sibling = client.repository(host, "team/other");
    assert_eq!(upload(&sibling, &layer, Some("team/app")).unwrap(), Uploaded::Mounted);
    // docker-registry has no such blob to mount, and begins an upload.
    let other = b"other".as_slice();
    assert_eq!(upload(&sibling, other, Some("team/app")).unwrap(), Uploaded::Sent { bytes: 5 });
}

fn options(files: &[PathBuf]) -> ClientOptions {
    ClientOptions { ca_files: files.to_vec(), ..ClientOptions::default() }
}

#[test]
fn an_open_registry() {
    let Some(registry) = server::registry() else { return };
    round_trip(&Client::new(options(&[])).unwrap(), &registry.host());
    // One PUT for each blob that was sent, and no PATCH.
    let requests = registry.requests();
    let count = |method: &str| requests.iter().filter(|line| line.starts_with(method)).count();
    assert_eq!((count("PATCH"), count("PUT")), (0, 3 + 3), "{requests:#?}");
}

#[test]
fn a_registry_with_a_login() {
    let Some(registry) = server::demanding(Demands { login: true, tls: false }) else { return };
    let anonymous = Client::new(options(&[])).unwrap();
    let error = anonymous.repository(&registry.host(), "app").manifest(Pointer::Tag("1"));
    let text = error.unwrap_err().to_string();
    assert!(text.ends_with("it wants credentials"), "{text}");

    let mut wrong = options(&[]);
    let credential = Credential::parse("imgb:CANARY-wrong").unwrap();
    wrong.credentials.give(&registry.host(), credential);
    let client = Client::new(wrong).unwrap();
    let error = client.repository(&registry.host(), "app").manifest(Pointer::Tag("1"));
    let text = error.unwrap_err().to_string();
    assert!(text.contains("does not accept the credentials"), "{text}");
    assert!(!text.contains("CANARY"), "{text}");

    let mut right = options(&[]);
    let credential = Credential::parse(&format!("{USER}:{PASSWORD}")).unwrap();
    right.credentials.give(&registry.host(), credential);
    round_trip(&Client::new(right).unwrap(), &registry.host());
}

#[test]
fn a_registry_with_tls() {
    let Some(registry) = server::demanding(Demands { login: false, tls: true }) else { return };
    let untrusted = Client::new(options(&[])).unwrap();
    let error = untrusted.repository(&registry.host(), "app").manifest(Pointer::Tag("1"));
    let text = error.unwrap_err().to_string();
    assert!(text.contains("TLS: its certificate is not signed by an authority"), "{text}");
    round_trip(&Client::new(options(&[registry.ca_file()])).unwrap(), &registry.host());

    let mut insecure = options(&[]);
    insecure.insecure.insert(registry.host());
    let client = Client::new(insecure).unwrap();
    let document = client.repository(&registry.host(), "team/app").manifest(Pointer::Tag("1"));
    assert!(document.unwrap().is_some());
}
