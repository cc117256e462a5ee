//! Layers on their way to a registry while others are packed.
//!
//! The server and the packing wait for each other, so that nothing depends on how fast either is.

use std::{
    collections::BTreeMap,
    fs::File,
    num::NonZero,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread::sleep,
    time::{Duration, Instant},
};

use imgb::{
    compress::Compression,
    digest::Digest,
    error_kind::ErrorKind,
    image::{Platform, Target},
    oci::OpenOptions,
    output::PushOptions,
    pack::Step,
    pipeline::{Delivered, Delivery, Error, Event, PackRequest, Part, deliver, plan},
    plan::{Layers, Plan, PlanOptions, RuleSet, Settings},
    registry::{ClientOptions, Registries},
    rules::{Choice, Table},
    source::{InputOptions, Request},
    store::Durability,
    timestamp::{Mtime, Timestamp},
};

use crate::{
    registry_honest::{Honest, noise},
    registry_script::{Answer, Server},
};

/// Bytes of the file in the first layer. Its tar has two blocks more, and two at the end.
const FIRST: u64 = 100_000;

/// The plan of an image of two layers: a file of noise, and one of `second` zeros.
fn two_layers(dir: &Path, second: u64) -> Plan {
    fs_err::write(dir.join("first"), noise(FIRST as usize)).unwrap();
    File::create(dir.join("second")).unwrap().set_len(second).unwrap();
    let mut plans = ["first", "second"].map(|name| plan_of(dir, name)).into_iter();
    let mut all = plans.next().unwrap();
    all.layers.extend(plans.next().unwrap().layers);
    all
}

fn plan_of(dir: &Path, name: &str) -> Plan {
    let request = PackRequest {
        requests: vec![Request::parse(&format!("{}:/{name}", dir.join(name).display())).unwrap()],
        base: None,
        sysroot: None,
        image: OpenOptions {
            platform: None,
            machine: Platform::linux("amd64", None),
            any: false,
            spool: dir.into(),
            limits: Default::default(),
            registries: Default::default(),
            pieces: None,
        },
        source: InputOptions {
            exclude: Vec::new(),
            preserve_mode: false,
            owner: None,
            mtime: Mtime::At(Timestamp::EPOCH),
            outputs: Default::default(),
            command_dirs: Vec::new(),
            versions: Default::default(),
            as_file: true,
            spool: dir.into(),
            jobs: NonZero::<usize>::MIN,
        },
        plan: PlanOptions {
            dependencies: false,
            package_metadata: false,
            rules: RuleSet { table: Table::builtin().unwrap(), choice: Choice::default() },
            include: Vec::new(),
            allow_missing: Vec::new(),
            strict: false,
            library_path: Vec::new(),
            hwcaps_all: false,
            layers: Layers::One,
            platform: None,
            fallback_platform: Platform::linux("amd64", None),
            settings: Settings::default(),
            capabilities: Vec::new(),
        },
        deny_secrets: false,
    };
    plan(&request, &|_| {}).unwrap().plan
}

/// Packs `plan` into a repository of `server` and calls `on_second` whenever a part of the second
/// layer has been packed.
fn pack(
    (plan, dir): (&Plan, &Path),
    server: &Server,
    more: &[Target],
    on_second: &(dyn Fn() + Sync),
) -> Result<Delivered, Error> {
    let targets = [&[target(&format!("docker://{}/app:1", server.host()))], more].concat();
    deliver_to((plan, dir), To { targets, ..To::default() }, on_second)
}

fn target(name: &str) -> Target {
    Target::parse(name, None, |_| false).unwrap()
}

/// Where an image goes.
#[derive(Default)]
struct To {
    targets: Vec<Target>,
    cache_to: Vec<String>,
    push: PushOptions,
    expected: Option<Digest>,
}

fn deliver_to(
    (plan, dir): (&Plan, &Path),
    To { targets, cache_to, push, expected }: To,
    on_second: &(dyn Fn() + Sync),
) -> Result<Delivered, Error> {
    let delivery = Delivery {
        targets,
        names: Vec::new(),
        fallback_name: "app".parse().unwrap(),
        compression: Compression::GZIP,
        jobs: NonZero::<usize>::MIN,
        cache: None,
        cache_from: Vec::new(),
        cache_to,
        annotations: BTreeMap::new(),
        machine: Platform::linux("amd64", None),
        scratch: dir.into(),
        durability: Durability::Cached,
        registries: Registries::new(ClientOptions::default()),
        push,
        expected,
    };
    let done = AtomicU64::new(0);
    let part = Part { plan, base: None, annotations: BTreeMap::new() };
    deliver(&[part], &delivery, &|event| {
        let Event::Packing(Step::Done { bytes, .. }) = event else { return };
        if done.fetch_add(bytes, Ordering::Relaxed) + bytes > FIRST.next_multiple_of(512) + 2048 {
            on_second();
        }
    })
}

/// Waits until `condition` holds.
fn wait(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(120), "{what} does not happen");
        sleep(Duration::from_millis(5));
    }
}

fn honest() -> Server {
    let honest = Mutex::new(Honest::default());
    Server::start(None, move |request| honest.lock().unwrap().answer(request))
}

fn manifests(server: &Server) -> usize {
    server.count("PUT", "/v2/app/manifests/*")
}

#[test]
fn a_layer_is_uploaded_while_the_next_is_packed() {
    let (dir, server) = (tempfile::tempdir().unwrap(), honest());
    let plan = two_layers(dir.path(), 8 << 20);
    let is_sent = || server.count("PUT", "/v2/app/blobs/uploads/*") > 0;
    let delivered = pack((&plan, dir.path()), &server, &[], &|| {
        wait("the upload of the first layer", is_sent);
        assert_eq!(manifests(&server), 0);
    });
    let delivered = delivered.unwrap();
    assert_eq!(delivered.pushed[0].blobs.len(), 3);
    let requests = server.requests();
    let requests = requests.iter().map(|request| &*request.method);
    assert_eq!(requests.clone().filter(|method| *method == "POST").count(), 3);
    // The manifest and the look whether it is there come last.
    assert_eq!(requests.rev().take(2).collect::<Vec<_>>(), ["HEAD", "PUT"]);
}

/// The first layer is there then, and nothing leads to it.
#[test]
fn a_build_that_fails_leaves_no_manifest() {
    let (dir, server) = (tempfile::tempdir().unwrap(), honest());
    let plan = two_layers(dir.path(), 8 << 20);
    let is_there = || server.count("PUT", "/v2/app/blobs/uploads/*") > 0;
    let error = pack((&plan, dir.path()), &server, &[], &|| {
        wait("the upload of the first layer", is_there);
        File::create(dir.path().join("second")).unwrap();
    });
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Input);
    assert_eq!(manifests(&server), 0);
}

/// The second layer is larger than could be packed in a day.
#[test]
fn an_upload_that_fails_ends_the_packing() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(None, |request| match request.method.as_str() {
        "POST" => Answer::new(403).body(r#"{"errors":[{"code":"DENIED"}]}"#),
        _ => Answer::new(404),
    });
    let plan = two_layers(dir.path(), 1 << 42);
    let error = pack((&plan, dir.path()), &server, &[], &|| {}).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Registry);
    assert!(error.to_string().contains("403: DENIED"), "{error}");
    assert_eq!(manifests(&server), 0);
}

/// Whether they fail while layers are packed or, with `--immutable`, when they are asked for tags.
#[test]
fn all_registries_that_fail_are_named() {
    let (dir, servers) = (tempfile::tempdir().unwrap(), [refusing(), refusing(), silent()]);
    let hosts = servers.each_ref().map(Server::host);
    let targets = hosts.each_ref().map(|host| target(&format!("docker://{host}/app:1")));
    let plan = two_layers(dir.path(), 8 << 20);
    for (targets, immutable) in [(&targets[..2], false), (&targets[..], true)] {
        let to = To { targets: targets.to_vec(), push: PushOptions { immutable }, ..To::default() };
        let error = deliver_to((&plan, dir.path()), to, &|| {}).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Registry);
        let text = error.to_string();
        assert!(hosts[..targets.len()].iter().all(|host| text.contains(&**host)), "{text}");
    }
}

/// A registry that does not even say what a tag leads to.
fn silent() -> Server {
    Server::start(None, |_| Answer::new(403))
}

/// A registry that takes no blob.
fn refusing() -> Server {
    Server::start(None, |request| match request.method.as_str() {
        "POST" => Answer::new(403),
        _ => Answer::new(404),
    })
}

/// Files are complete before a registry is needed.
#[test]
fn a_file_is_written_though_an_upload_fails() {
    let (dir, server) = (tempfile::tempdir().unwrap(), refusing());
    let plan = two_layers(dir.path(), 8 << 20);
    let file = dir.path().join("app.tar");
    let has_failed = || server.count("POST", "/v2/app/blobs/uploads/") > 0;
    let more = [target(&file.to_string_lossy())];
    let delivered = pack((&plan, dir.path()), &server, &more, &|| {
        wait("the failure", has_failed);
    });
    assert_eq!(delivered.unwrap().faults[0].kind(), ErrorKind::Registry);
    assert!(file.exists());
}

/// Delivers an image to the registry that `failing` starts and to an honest one, in both orders:
/// the second has it, and the fault of the first is told. Its second layer has `size` bytes.
fn one_fails(
    failing: fn() -> Server,
    push: PushOptions,
    size: u64,
    on_second: &(dyn Fn(&Server) + Sync),
) {
    for is_first in [true, false] {
        let (dir, server, failing) = (tempfile::tempdir().unwrap(), honest(), failing());
        let plan = two_layers(dir.path(), size);
        let mut targets =
            [&failing, &server].map(|one| target(&format!("docker://{}/app:1", one.host())));
        if !is_first {
            targets.reverse();
        }
        let to = To { targets: targets.to_vec(), push, ..To::default() };
        let delivered = deliver_to((&plan, dir.path()), to, &|| on_second(&failing)).unwrap();
        assert_eq!(delivered.faults[0].kind(), ErrorKind::Registry);
        assert_eq!((delivered.pushed.len(), manifests(&server)), (1, 1));
    }
}

/// Whether a registry has the image does not depend on how soon another one fails.
#[test]
fn a_registry_gets_the_image_though_another_one_refuses_it() {
    one_fails(refusing, PushOptions::default(), 32 << 20, &|refusing| {
        wait("the refusal", || refusing.count("POST", "/v2/app/blobs/uploads/") > 0);
        sleep(Duration::from_millis(50));
    });
}

#[test]
fn a_registry_gets_an_immutable_image_though_another_one_says_nothing() {
    one_fails(silent, PushOptions { immutable: true }, 1 << 20, &|_| {});
}

/// An image in a file, and its layers in a cache.
fn file_and_cache(dir: &Path, server: &Server) -> To {
    let targets = vec![target(&dir.join("app.tar").to_string_lossy())];
    let cache_to = vec![format!("docker://{}/app", server.host())];
    To { targets, cache_to, ..To::default() }
}

/// The cache has the first layer, and then the tags that lead to both.
#[test]
fn a_layer_is_sent_to_a_cache_while_the_next_is_packed() {
    let (dir, server) = (tempfile::tempdir().unwrap(), honest());
    let plan = two_layers(dir.path(), 8 << 20);
    let blobs = || server.count("PUT", "/v2/app/blobs/uploads/*");
    let delivered = deliver_to((&plan, dir.path()), file_and_cache(dir.path(), &server), &|| {
        wait("the upload of the first layer", || blobs() > 0);
        assert_eq!(manifests(&server), 0);
    });
    assert!(delivered.unwrap().notes.is_empty());
    assert_eq!((blobs(), manifests(&server)), (4, 2));
}

/// An image that is not the expected one is not wanted anywhere.
#[test]
fn no_layer_is_sent_to_a_cache_before_the_digest_is_the_expected_one() {
    let (dir, server) = (tempfile::tempdir().unwrap(), honest());
    let plan = two_layers(dir.path(), 8 << 20);
    let expected = Some(Digest::of("x"));
    let to = To { expected, ..file_and_cache(dir.path(), &server) };
    let error = deliver_to((&plan, dir.path()), to, &|| sleep(Duration::from_millis(50)));
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Digest);
    assert_eq!(server.count("POST", "/v2/app/blobs/uploads/"), 0);
}

/// A cache that fails is a warning.
#[test]
fn an_image_is_written_though_a_cache_takes_nothing() {
    let (dir, server) = (tempfile::tempdir().unwrap(), refusing());
    let plan = two_layers(dir.path(), 8 << 20);
    let delivered =
        deliver_to((&plan, dir.path()), file_and_cache(dir.path(), &server), &|| {}).unwrap();
    assert!(delivered.faults.is_empty());
    let notes: Vec<_> = delivered.notes.iter().map(|note| note.text.as_str()).collect();
    assert!(matches!(notes[..], [one] if one.starts_with("cannot keep layers")), "{notes:?}");
    // It is asked for one blob at once for each layer, and not again afterwards.
    assert!(server.count("POST", "/v2/app/blobs/uploads/") <= 2, "{:?}", server.requests());
    assert_eq!(server.count("GET", "/v2/app/manifests/*"), 0);
}
