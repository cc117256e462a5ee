//! Registries that fail, lie and lead astray: the rows R1 to R11 of CATALOGUE.md.

use std::{
    io::{self, Cursor, Read},
    sync::{Arc, Mutex},
    time::Duration,
};

use imgb::{
    digest::Digest,
    error_kind::ErrorKind,
    registry::{
        Client, ClientOptions, Credential, Pointer, Referrer, RegistryError, Repository, Retry,
        Source, Timeouts, Uploaded,
    },
};

use crate::{
    registry_honest::{Honest, collected, noise, ranged},
    registry_script::{Answer, Request, Server},
};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// What `CANARY-user:CANARY-password` becomes in a header.
const BASIC: &str = "Basic Q0FOQVJZLXVzZXI6Q0FOQVJZLXBhc3N3b3Jk";

/// No waits between attempts.
fn options() -> ClientOptions {
    let seconds = Duration::from_secs;
    let (attempts, total) = (5, seconds(600));
    let retry = Retry { attempts, base: Duration::ZERO, cap: Duration::ZERO, total };
    ClientOptions { retry, ..ClientOptions::default() }
}

fn with_login(host: &str) -> ClientOptions {
    let mut options = options();
    options.credentials.give(host, Credential::parse("CANARY-user:CANARY-password").unwrap());
    options
}

/// A repository of `server` for a user without credentials.
fn repository(server: &Server) -> Repository {
    Client::new(options()).unwrap().repository(&server.host(), "app")
}

/// A repository of `server` for a user with the canaries as credentials.
fn private(server: &Server) -> Repository {
    Client::new(with_login(&server.host())).unwrap().repository(&server.host(), "app")
}

fn upload(repository: &Repository, bytes: &[u8]) -> Result<Uploaded, RegistryError> {
    let content = bytes.to_vec();
    let open = move |offset: u64| {
        Ok(Box::new(Cursor::new(content[offset as usize..].to_vec())) as Box<dyn Read>)
    };
    let (digest, size) = (Digest::of(bytes), bytes.len() as u64);
    repository.upload(&Source { digest, size, open: &open, mount_from: None }, &|_| {})
}

fn fetch(repository: &Repository, bytes: &[u8]) -> Result<Vec<u8>, RegistryError> {
    let mut read = Vec::new();
    repository.fetch(Digest::of(bytes), bytes.len() as u64, &mut read, &|_| {})?;
    Ok(read)
}

/// Asserts that no secret is in the error's text, and returns it.
fn text(error: &RegistryError) -> String {
    let text = format!("{error} {error:?}");
    for secret in ["CANARY-password", "CANARY-token", "Q0FOQVJZ"] {
        assert!(!text.contains(secret), "{text}");
    }
    imgb::error_kind::with_causes(error)
}

fn bearer(realm: &str) -> Answer {
    let challenge = format!("Bearer realm=\"{realm}\",service=\"s\",scope=\"repository:app:pull\"");
    Answer::new(401).header("WWW-Authenticate", challenge)
}

/// R1: each request is authorized anew once, whatever the registry says then.
#[test]
fn r01_endless_challenges_end() {
    let server = Server::start(None, |request| match request.is("GET", "/token") {
        true => Answer::new(200).body(r#"{"token":"CANARY-token"}"#),
        false => {
            let host = request.header("host").unwrap();
            bearer(&format!("http://{host}/token"))
        }
    });
    let repository = private(&server);
    for _ in 0..2 {
        let error = repository.manifest(Pointer::Tag("1")).unwrap_err();
        assert!(text(&error).contains("it does not accept the credentials"), "{}", text(&error));
        assert_eq!(error.kind(), ErrorKind::Registry);
    }
    // The second time, the known token is tried first.
    assert_eq!(server.count("GET", "/v2/app/manifests/1"), 3);
    assert!(server.count("GET", "/token") <= 2, "{:?}", server.requests());
}

/// R1: a token that expires while a blob is sent is replaced, and the blob is sent again.
#[test]
fn r01_a_token_expires_during_a_push() {
    let (mut honest, mut issued, mut puts, mut valid_from) = (Honest::default(), 0, 0, 1);
    let server = Server::start(None, move |request| {
        if request.is("GET", "/token") {
            issued += 1;
            return Answer::new(200).body(format!(r#"{{"token":"CANARY-token-{issued}"}}"#));
        }
        puts += usize::from(request.method == "PUT");
        if puts == 1 && request.method == "PUT" {
            valid_from = issued + 1;
        }
        let token = request.header("authorization").and_then(|value| value.rsplit_once('-'));
        if token.is_none_or(|(_, token)| token.parse::<u32>().unwrap() < valid_from) {
            return bearer(&format!("http://{}/token", request.header("host").unwrap()));
        }
        honest.answer(request)
    });
    let bytes = noise(2 << 20);
    let sent = upload(&private(&server), &bytes).unwrap();
    assert_eq!(sent, Uploaded::Sent { bytes: 2 * bytes.len() as u64 });
    // One token to look, one to write, one after the expiry, one to look again.
    assert!(server.count("GET", "/token") <= 4, "{}", server.count("GET", "/token"));
    let scopes: Vec<String> = server.requests().iter().map(|one| one.target.clone()).collect();
    assert!(scopes.iter().any(|target| target.contains("scope=repository:app:pull")), "{scopes:?}");
    for request in server.requests().iter().filter(|request| request.is("GET", "/token")) {
        assert_eq!(request.header("authorization"), Some(BASIC));
    }
}

/// R2: what may pass is tried five times, and no longer than allowed.
#[test]
fn r02_transient_failures_are_tried_again() {
    for status in [408, 429, 499, 500, 502, 503, 504, 522] {
        for (failures, succeeds) in [(4, true), (5, false)] {
            let mut left = failures;
            let server = Server::start(None, move |_| match left {
                0 => Answer::new(200).body("{}"),
                _ => {
                    left -= 1;
                    Answer::new(status).header("Retry-After", "0")
                }
            });
            let result = repository(&server).manifest(Pointer::Tag("1"));
            assert_eq!(result.is_ok(), succeeds, "{status} {failures} {result:?}");
            assert_eq!(server.count("GET", "/v2/app/manifests/1"), 5);
        }
    }
    for status in [400, 403, 404, 405, 410, 501] {
        let server = Server::start(None, move |_| Answer::new(status));
        let _ = repository(&server).manifest(Pointer::Tag("1"));
        assert_eq!(server.count("GET", "/v2/app/manifests/1"), 1, "{status}");
    }
}

/// R2: a registry does not decide how long a client waits.
#[test]
fn r02_retry_after_is_limited() {
    let server =
        Server::start(None, |_| Answer::new(429).header("Retry-After", "999999999999999999999"));
    let mut options = options();
    options.retry.cap = Duration::from_secs(3600);
    options.retry.total = Duration::from_secs(1800);
    let client = Client::new(options).unwrap();
    let error = client.repository(&server.host(), "app").manifest(Pointer::Tag("1")).unwrap_err();
    assert!(text(&error).contains("429"), "{}", text(&error));
    assert_eq!(server.count("GET", "/v2/app/manifests/1"), 1);
    // No longer than the cap, which is nothing here.
    let mut asked = 0;
    let server = Server::start(None, move |request| {
        asked += usize::from(request.target.ends_with("/manifests/1"));
        match asked {
            1 => Answer::new(429).header("Retry-After", "3600"),
            _ => Answer::new(200).body(b"{}".to_vec()),
        }
    });
    assert!(repository(&server).manifest(Pointer::Tag("1")).unwrap().is_some());
}

/// R2: connections that break, and a port at which nothing listens.
#[test]
fn r02_broken_connections() {
    let mut left = 4;
    let server = Server::start(None, move |_| {
        let whole = Answer::new(200).body(vec![b' '; 1000]);
        left -= 1;
        let cut_at = if left < 0 { None } else { Some(left as usize * 30) };
        Answer { cut_at, ..whole }
    });
    assert!(repository(&server).manifest(Pointer::Tag("1")).unwrap().is_some());
    let host = server.host();
    drop(server);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let free = listener.local_addr().unwrap().to_string();
    drop(listener);
    let client = Client::new(options()).unwrap();
    let error = client.repository(&free, "app").manifest(Pointer::Tag("1")).unwrap_err();
    assert!(text(&error).contains("Connection refused"), "{host}: {}", text(&error));
}

/// R3: who sends a byte now and then does not hold the client.
#[test]
fn r03_slow_answers_end() {
    let slow = |request: &Request| match request.is("GET", "/v2/") {
        true => Answer::new(200),
        false => Answer {
            drip: Some(Duration::from_millis(20)),
            ..Answer::new(200).header("Content-Length", 1_000_000)
        },
    };
    let server = Server::start(None, slow);
    let mut options = options();
    options.retry.attempts = 1;
    let seconds = Duration::from_secs;
    options.timeouts = Timeouts { connect: seconds(5), response: seconds(6), idle: seconds(1) };
    let client = Client::new(options).unwrap();
    let repository = client.repository(&server.host(), "app");
    let error = repository.manifest(Pointer::Tag("1")).unwrap_err();
    assert!(text(&error).contains("took too long"), "{}", text(&error));
    let mut sink = io::sink();
    let error = repository.fetch(Digest::of("x"), 1_000_000, &mut sink, &|_| {}).unwrap_err();
    assert!(text(&error).contains("took too long"), "{}", text(&error));
}

/// R3: bodies without an end, and longer or shorter than they say.
#[test]
fn r03_bodies_are_limited() {
    let endless = |request: &Request| match request.is("GET", "/v2/") {
        true => Answer::new(200),
        false => Answer { endless: true, ..Answer::new(200) },
    };
    let server = Server::start(None, endless);
    let repository = repository(&server);
    let error = repository.manifest(Pointer::Tag("1")).unwrap_err();
    assert!(text(&error).contains("more than 4194304 bytes"), "{}", text(&error));
    let error = fetch(&repository, &noise(100_000)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Digest, "{}", text(&error));

    let blob = noise(1000);
    let server = Server::start(None, |_| Answer::new(200).body(noise(999)));
    let error = fetch(&self::repository(&server), &blob).unwrap_err();
    assert!(text(&error).contains("999 bytes instead of 1000"), "{}", text(&error));

    // Chunks that end without the last one.
    let server = Server::start(None, |request| match request.is("GET", "/v2/") {
        true => Answer::new(200),
        false => Answer { endless: true, cut_at: Some(usize::MAX), ..Answer::new(200) }
            .header("Transfer-Encoding", "chunked")
            .body("3e8\r\nabc"),
    });
    let error = fetch(&self::repository(&server), &blob).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Registry, "{}", text(&error));
}

/// R3: a download goes on where the connection broke, and is verified as a whole.
#[test]
fn r03_downloads_are_resumed() {
    let blob = noise(8 << 20);
    let (served, counted) = (blob.clone(), Arc::new(Mutex::new(0_usize)));
    let sent = Arc::clone(&counted);
    let server = Server::start(None, move |request| {
        let answer = ranged(request, &served);
        *sent.lock().unwrap() += answer.body.len().min(1 << 20);
        Answer { cut_at: Some((1 << 20) + 200), ..answer }
    });
    assert!(fetch(&repository(&server), &blob).unwrap() == blob);
    let sent = *counted.lock().unwrap();
    assert!(sent < blob.len() * 11 / 10, "{sent}");
    let mut other = blob;
    other[7_000_000] ^= 1;
    let error = fetch(&repository(&server), &other).unwrap_err();
    assert!(text(&error).contains("404") || error.kind() == ErrorKind::Digest, "{}", text(&error));
}

/// R4: an upload whose connection is cut all the time sends hardly more than its bytes.
#[test]
fn r04_uploads_are_resumed() {
    for forgetful in [false, true] {
        let honest = Arc::new(Mutex::new(Honest { forgetful, ..Honest::default() }));
        let state = Arc::clone(&honest);
        let server =
            Server::start(Some(4 << 20), move |request| state.lock().unwrap().answer(request));
        let blob = noise(24 << 20);
        let repository = repository(&server);
        assert!(matches!(upload(&repository, &blob), Ok(Uploaded::Sent { .. })));
        assert!(honest.lock().unwrap().blobs[0] == blob);
        let received =
            || -> usize { server.requests().iter().map(|request| request.body.len()).sum() };
        let first = received();
        // It loses an upload once: the next one is sent in chunks from the start.
        let second = &blob[1..];
        upload(&repository, second).unwrap();
        assert_eq!(received() - first, second.len(), "forgetful: {forgetful}");
        let received = first;
        // A registry that forgets costs what it had, and once more if buffers are large.
        let most = blob.len() + if forgetful { 8 << 20 } else { 0 };
        assert!(received <= most, "{received} bytes, forgetful: {forgetful}");
    }
}

/// R4: a session of a killed process is gone on with by the next.
#[test]
fn r04_a_later_process_resumes() {
    let dir = tempfile::tempdir().unwrap();
    let honest = Arc::new(Mutex::new(Honest::default()));
    let state = Arc::clone(&honest);
    let server = Server::start(Some(6 << 20), move |request| state.lock().unwrap().answer(request));
    let mut options = with_login(&server.host());
    options.sessions = Some(dir.path().to_owned());
    options.retry.attempts = 1;
    let blob = noise(16 << 20);
    let push = || {
        let client = Client::new(options.clone()).unwrap();
        upload(&client.repository(&server.host(), "app"), &blob)
    };
    assert!(push().is_err());
    let noted = fs_err::read_dir(dir.path()).unwrap().next().unwrap().unwrap();
    let noted_text = fs_err::read_to_string(noted.path()).unwrap();
    assert!(noted_text.contains("/uploads/0?") && !noted_text.contains("CANARY"), "{noted_text}");
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&noted.metadata().unwrap().permissions()) & 0o777,
        0o600
    );
    assert!(push().is_err());
    assert_eq!(push().unwrap(), Uploaded::Sent { bytes: 4 << 20 });
    assert!(honest.lock().unwrap().blobs[0] == blob);
    assert_eq!(server.count("POST", "/v2/app/blobs/uploads/"), 1);
    assert_eq!(fs_err::read_dir(dir.path()).unwrap().count(), 0);
    // A small blob is not noted, so that it does not push out what is.
    let client = Client::new(options.clone()).unwrap();
    upload(&client.repository(&server.host(), "app"), b"small").unwrap();
    assert_eq!(fs_err::read_dir(dir.path()).unwrap().count(), 0);
}

/// R4: proxies that take small bodies only.
#[test]
fn r04_chunks_where_the_whole_is_too_large() {
    for says_no_content in [false, true] {
        let honest = Honest { max_body: Some(9 << 20), says_no_content, ..Honest::default() };
        let honest = Arc::new(Mutex::new(honest));
        let state = Arc::clone(&honest);
        let server = Server::start(None, move |request| state.lock().unwrap().answer(request));
        let blob = noise(20 << 20);
        upload(&repository(&server), &blob).unwrap();
        assert!(honest.lock().unwrap().blobs[0] == blob);
        assert!(server.count("PATCH", "/v2/app/blobs/uploads/*") >= 2);
    }
}

/// R4: chunks are as large as the registry wants them (`OCI-Chunk-Min-Length`), also in a session
/// that it began in place of a mount.
#[test]
fn r04_chunks_are_not_too_small() {
    const MIN: u64 = 6 << 20;
    for mounts in [false, true] {
        let honest = Honest { forgetful: true, ..Honest::default() };
        let honest = Arc::new(Mutex::new(honest));
        let state = Arc::clone(&honest);
        let server = Server::start(Some(8 << 20), move |request| {
            let answer = state.lock().unwrap().answer(request);
            let is_new = request.method == "POST";
            if is_new { answer.header("OCI-Chunk-Min-Length", MIN) } else { answer }
        });
        let blob = noise(20 << 20);
        let content = blob.clone();
        let open = move |offset: u64| {
            Ok(Box::new(Cursor::new(content[offset as usize..].to_vec())) as Box<dyn Read>)
        };
        let (digest, size) = (Digest::of(&blob), blob.len() as u64);
        let mount_from = mounts.then_some("base");
        let source = Source { digest, size, open: &open, mount_from };
        repository(&server).upload(&source, &|_| {}).unwrap();
        assert!(honest.lock().unwrap().blobs[0] == blob);
        let chunks = server.requests();
        let chunks: Vec<_> = chunks.iter().filter(|one| one.method == "PATCH").collect();
        assert!(!chunks.is_empty(), "{mounts}");
        assert!(chunks.iter().all(|one| one.body.len() as u64 >= MIN), "{mounts}");
    }
}

/// R4: sessions that a registry loses again and again.
#[test]
fn r04_a_registry_that_knows_no_session() {
    let server = Server::start(None, |request| match request.method.as_str() {
        "POST" => Answer::new(202).header("Location", "/v2/app/blobs/uploads/1"),
        _ => Answer::new(404),
    });
    let error = upload(&repository(&server), b"blob").unwrap_err();
    assert!(text(&error).contains("404"), "{}", text(&error));
    assert!(server.count("POST", "/v2/app/blobs/uploads/") <= 6);
}

/// R5: what a registry claims to have is compared.
#[test]
fn r05_wrong_digests() {
    let other = Digest::of("other");
    let put = |claim: bool, found: &'static str| {
        let server = Server::start(None, move |request| match request.method.as_str() {
            "PUT" if claim => Answer::new(201).header("Docker-Content-Digest", other),
            "PUT" => Answer::new(201),
            _ if found.is_empty() || request.target.contains("sha256:") => Answer::new(404),
            _ => Answer::new(200).body(found),
        });
        repository(&server).put_manifest(Pointer::Tag("1"), MANIFEST, b"{}")
    };
    for (claim, found, wanted) in [
        (true, "{}", "it stored sha256:"),
        (false, "other", "it has sha256:"),
        (false, "", "it is not there after it was stored"),
    ] {
        let error = put(claim, found).unwrap_err();
        assert!(text(&error).contains(wanted), "{}", text(&error));
        assert_eq!(error.kind(), ErrorKind::Digest);
    }
    let server = Server::start(None, move |_| {
        Answer::new(200).header("Docker-Content-Digest", other).body("{}")
    });
    let repository = repository(&server);
    for pointer in [Pointer::Tag("1"), Pointer::Digest(other)] {
        assert_eq!(repository.manifest(pointer).unwrap_err().kind(), ErrorKind::Digest);
    }
    let error = fetch(&repository, b"[]").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Digest);
    // A blob that is not there after it was sent.
    let server = Server::start(None, |request| match request.method.as_str() {
        "POST" => Answer::new(202).header("Location", "/v2/app/blobs/uploads/1"),
        "PUT" => Answer::new(201),
        _ => Answer::new(404),
    });
    let error = upload(&self::repository(&server), b"blob").unwrap_err();
    assert!(text(&error).contains("not there after it was sent"), "{}", text(&error));
}

/// R6: a redirect to another origin is followed without credentials.
#[test]
fn r06_credentials_stay_with_their_origin() {
    let blob = noise(1000);
    let served = blob.clone();
    let other = Server::start(None, move |request| match request.method.as_str() {
        "PUT" => Answer::new(201),
        _ => Answer::new(200).body(served.clone()),
    });
    let elsewhere = other.host();
    let server = Server::start(None, move |request| {
        if request.header("authorization") != Some(BASIC) {
            return Answer::new(401).header("WWW-Authenticate", "Basic");
        }
        let there = format!("http://{elsewhere}/x?signature=y");
        match request.method.as_str() {
            "HEAD" => Answer::new(404),
            "POST" => Answer::new(202).header("Location", there),
            _ => Answer::new(307).header("Location", there),
        }
    });
    let repository = private(&server);
    assert!(fetch(&repository, &blob).unwrap() == blob);
    // The upload goes to the other origin, and is looked for at the registry.
    let _ = upload(&repository, b"small");
    let requests = other.requests();
    assert!(requests.iter().any(|request| request.method == "PUT"), "{requests:?}");
    assert!(requests.iter().all(|request| request.header("authorization").is_none()));
    assert!(requests.iter().all(|request| !format!("{request:?}").contains("CANARY")));
    // An origin that asks for credentials gets none.
    let other = Server::start(None, |_| Answer::new(401).header("WWW-Authenticate", "Basic"));
    let there = format!("http://{}/x", other.host());
    let server = Server::start(None, move |_| Answer::new(302).header("Location", &there));
    let error = fetch(&private(&server), &blob).unwrap_err();
    assert!(other.requests().iter().all(|request| request.header("authorization").is_none()));
    let wanted = format!("{} wants credentials and gets none", other.host());
    assert!(text(&error).contains(&wanted), "{}", text(&error));
}

/// R6: what another origin asks for is no reason to log in, and the registry's own token server is
/// not even asked.
#[test]
fn r06_a_challenge_of_another_origin_does_not_count() {
    let tokens = Server::start(None, |_| Answer::new(200).body(r#"{"token":"CANARY-token"}"#));
    let realm = format!("http://{}/token", tokens.host());
    let other = Server::start(None, move |_| bearer(&realm));
    let there = format!("http://{}/x", other.host());
    let server = Server::start(None, move |_| Answer::new(307).header("Location", &there));
    let mut options = with_login(&server.host());
    options.token_servers.insert(tokens.host());
    let client = Client::new(options).unwrap();
    let error = fetch(&client.repository(&server.host(), "app"), b"x").unwrap_err();
    assert!(text(&error).contains("gets none"), "{}", text(&error));
    assert!(tokens.requests().is_empty(), "{:?}", tokens.requests());
}

/// R6: where a client is never led.
#[test]
fn r06_places_that_are_not_followed() {
    for (location, wanted) in [
        ("file:///etc/passwd", "not a URL"),
        ("http://169.254.169.254/latest", "link-local"),
        ("http://user:pass@127.0.0.1/", "not a URL"),
        ("http://10.0.0.1/x", "private network"),
        ("http://2130706433/x", "unusual spelling"),
        ("http://registry.invalid/x", "--insecure"),
        ("", "redirects more than 5 times"),
    ] {
        let server = Server::start(None, move |request| match request.is("GET", "/v2/") {
            true => Answer::new(200),
            false => Answer::new(307).header("Location", location),
        });
        let error = fetch(&repository(&server), b"x").unwrap_err();
        assert!(text(&error).contains(wanted), "{location}: {}", text(&error));
    }
    let server = Server::start(None, |_| Answer::new(302).header("Location", "/v2/again"));
    let error = fetch(&repository(&server), b"x").unwrap_err();
    assert!(text(&error).contains("redirects more than 5 times"), "{}", text(&error));
    assert_eq!(server.count("GET", "/v2/again"), 5);
}

/// R7: a token server at another origin without TLS gets no credentials.
#[test]
fn r07_foreign_token_servers_get_no_credentials() {
    let other = Server::start(None, |_| Answer::new(200).body(r#"{"token":"CANARY-token"}"#));
    let realm = format!("http://{}/token", other.host());
    let asked = realm;
    let server = Server::start(None, move |request| match request.header("authorization") {
        Some("Bearer CANARY-token") => Answer::new(200).body("{}"),
        _ => bearer(&asked),
    });
    assert!(private(&server).manifest(Pointer::Tag("1")).unwrap().is_some());
    assert_eq!(other.count("GET", "/token"), 1);
    assert!(other.requests().iter().all(|request| request.header("authorization").is_none()));
    // Unless the user trusts it.
    let mut options = with_login(&server.host());
    options.token_servers.insert(other.host());
    let client = Client::new(options).unwrap();
    client.repository(&server.host(), "app").manifest(Pointer::Tag("1")).unwrap();
    assert_eq!(other.requests()[1].header("authorization"), Some(BASIC));
    // If it refuses without, the message says why it got none.
    let other = Server::start(None, |_| Answer::new(403));
    let realm = format!("http://{}/token", other.host());
    let server = Server::start(None, move |_| bearer(&realm));
    let error = private(&server).manifest(Pointer::Tag("1")).unwrap_err();
    assert!(text(&error).contains("--token-server"), "{}", text(&error));
}

/// R7: challenges that are malformed, hostile or too large.
#[test]
fn r07_challenges() {
    for (challenge, wanted) in [
        ("Bearer realm=\"http://me:pass@127.0.0.1/t\"".to_owned(), "not a URL"),
        ("Bearer realm=\"http://169.254.169.254/t\"".to_owned(), "link-local"),
        ("Bearer realm=\"file:///etc/passwd\"".to_owned(), "not a URL"),
        ("Negotiate".to_owned(), "unknown kind of login"),
        (format!("Bearer realm=\"{}\"", "x".repeat(1 << 20)), "too large"),
    ] {
        let server = Server::start(None, move |request| match request.is("GET", "/v2/") {
            true => Answer::new(200),
            false => Answer::new(401).header("WWW-Authenticate", &challenge),
        });
        let error = private(&server).manifest(Pointer::Tag("1")).unwrap_err();
        assert!(text(&error).contains(wanted), "{wanted}: {}", text(&error));
    }
    let large = format!(r#"{{"token":"{}"}}"#, "x".repeat(2 << 20));
    let server = Server::start(None, move |request| match request.is("GET", "/token") {
        true => Answer::new(200).body(large.clone()),
        false => bearer(&format!("http://{}/token", request.header("host").unwrap())),
    });
    let error = private(&server).manifest(Pointer::Tag("1")).unwrap_err();
    assert!(text(&error).contains("more than 1048576 bytes"), "{}", text(&error));
    // Of two challenges, the token server is taken.
    let server = Server::start(None, |request| match request.header("authorization") {
        _ if request.is("GET", "/token") => Answer::new(200).body(r#"{"access_token":"t"}"#),
        Some("Bearer t") => Answer::new(200).body("{}"),
        _ => {
            let realm = format!("http://{}/token", request.header("host").unwrap());
            Answer::new(401)
                .header("WWW-Authenticate", format!("Basic realm=\"x\", Bearer realm=\"{realm}\""))
        }
    });
    assert!(private(&server).manifest(Pointer::Tag("1")).unwrap().is_some());
}

/// R8: a registry that repeats what it was sent does not get it into a message.
#[test]
fn r08_no_secret_in_messages() {
    let server = Server::start(None, |request| {
        let echo = format!("{} {BASIC}", request.header("authorization").unwrap_or_default());
        match request.header("authorization") {
            None if !request.is("GET", "/token") => {
                bearer(&format!("http://{}/token", request.header("host").unwrap()))
            }
            Some(BASIC) => Answer::new(200).body(r#"{"token":"CANARY-token"}"#),
            _ => {
                let warning = format!("299 - \"{echo}\"");
                let body = format!(r#"{{"errors":[{{"code":"X","message":"{echo}"}}]}}"#);
                Answer::new(400).header("Warning", warning).body(body)
            }
        }
    });
    let (notices, warnings) = collected();
    let client = Client::new(ClientOptions { notices, ..with_login(&server.host()) }).unwrap();
    let repository = client.repository(&server.host(), "app");
    let error = repository.manifest(Pointer::Tag("1")).unwrap_err();
    let message = text(&error);
    assert!(message.contains("400: X: Bearer *** Basic ***"), "{message}");
    let warnings = warnings.lock().unwrap().join("\n");
    assert!(warnings.contains("Bearer ***") && !warnings.contains("CANARY"), "{warnings}");
    let shown = format!("{client:?} {repository:?} {:?}", with_login("x"));
    assert!(!shown.contains("CANARY-password"), "{shown}");
}

/// R11: registries that lack what newer ones have.
#[test]
fn r11_older_registries() {
    // HEAD is not allowed.
    let server = Server::start(None, |request| match request.method.as_str() {
        "HEAD" => Answer::new(405),
        _ => Answer::new(200).body("{}"),
    });
    let digest = Digest::of("{}");
    let repository = repository(&server);
    assert_eq!(repository.manifest_digest(Pointer::Tag("1")).unwrap(), Some(digest));
    assert!(!repository.has_blob(digest).unwrap());
    // A tag that may not be moved, and leads to these bytes or to others.
    let immutable = |content: &'static str| {
        let server = Server::start(None, move |request| match request.method.as_str() {
            "PUT" => Answer::new(400)
                .body(r#"{"errors":[{"code":"TAG_INVALID","message":"ImageTagAlreadyExists"}]}"#),
            _ => Answer::new(200).body(content),
        });
        self::repository(&server).put_manifest(Pointer::Tag("1"), MANIFEST, b"{}")
    };
    assert!(immutable("{}").unwrap().existed);
    let error = immutable("[]").unwrap_err();
    assert!(text(&error).contains("400: TAG_INVALID: ImageTagAlreadyExists"), "{}", text(&error));
    // A manifest that is too large.
    let server = Server::start(None, |_| Answer::new(413));
    let error =
        self::repository(&server).put_manifest(Pointer::Tag("1"), MANIFEST, b"{}").unwrap_err();
    assert!(text(&error).contains("the manifest has 2 B, more than it takes"), "{}", text(&error));
}

/// R11: whatever a registry answers to a mount, the blob gets there.
#[test]
fn r11_mounts_that_fail() {
    for status in [201, 202, 400, 403, 404, 405] {
        let mut honest = Honest::default();
        let server = Server::start(None, move |request| match request.target.contains("mount=") {
            // 201 without doing it, 202 with a session.
            true if status != 202 => Answer::new(status),
            _ => honest.answer(request),
        });
        let blob = noise(1000);
        let content = blob.clone();
        let open = move |offset: u64| {
            Ok(Box::new(Cursor::new(content[offset as usize..].to_vec())) as Box<dyn Read>)
        };
        let (digest, size) = (Digest::of(&blob), 1000);
        let source = Source { digest, size, open: &open, mount_from: Some("base") };
        let sent = repository(&server).upload(&source, &|_| {}).unwrap();
        assert_eq!(sent, Uploaded::Sent { bytes: 1000 }, "{status}");
    }
}

/// R11: without the referrers API, the list is kept under a tag.
#[test]
fn r11_referrers_without_the_api() {
    let honest = Arc::new(Mutex::new(Honest::default()));
    let state = Arc::clone(&honest);
    let server = Server::start(None, move |request| match request.target.contains("/referrers/") {
        true => Answer::new(404),
        false => state.lock().unwrap().answer(request),
    });
    let repository = repository(&server);
    let subject = Digest::of("image");
    assert_eq!(repository.referrers(subject).unwrap(), []);
    let mut all = Vec::new();
    for name in ["one", "two"] {
        let referrer = Referrer {
            media_type: MANIFEST.into(),
            digest: Digest::of(name),
            size: name.len() as u64,
            artifact_type: Some("application/x".into()),
            annotations: [("a".to_owned(), name.to_owned())].into(),
        };
        repository.attach(subject, &referrer, name.as_bytes()).unwrap();
        // A second time changes nothing.
        repository.attach(subject, &referrer, name.as_bytes()).unwrap();
        all.push(referrer);
    }
    assert_eq!(repository.referrers(subject).unwrap(), all);
    let tag = format!("sha256-{}", subject.hex());
    assert_eq!(server.count("PUT", &format!("/v2/app/manifests/{tag}")), 2);
}

/// R11: an API that has failed is not one that is missing: the list under the tag stays.
#[test]
fn r11_a_failed_list_of_referrers_is_an_error() {
    let server = Server::start(None, |request| match request.target.contains("/referrers/") {
        true => Answer::new(503).header("Retry-After", "0"),
        false => Answer::new(404),
    });
    let error = repository(&server).referrers(Digest::of("image")).unwrap_err();
    assert!(text(&error).contains("503"), "{}", text(&error));
    assert_eq!(server.count("GET", "/v2/app/manifests/*"), 0);
    // A list without an end.
    let server = Server::start(None, |_| {
        let list = Answer::new(200).header("Content-Type", INDEX);
        list.header("Link", "<?again>; rel=next").body(r#"{"manifests":[]}"#)
    });
    let error = repository(&server).referrers(Digest::of("image")).unwrap_err();
    assert!(text(&error).contains("does not end"), "{}", text(&error));
    assert!(server.requests().len() <= 64, "{}", server.requests().len());
}

/// The referrers API, in pages, by a registry that keeps the list itself.
#[test]
fn referrers_with_the_api() {
    let entry = |name: &str| {
        let digest = Digest::of(name);
        format!(r#"{{"mediaType":"{MANIFEST}","digest":"{digest}","size":1}}"#)
    };
    let page = |entry: String| format!(r#"{{"schemaVersion":2,"manifests":[{entry}]}}"#);
    let (first, second) = (page(entry("one")), page(entry("two")));
    let server = Server::start(None, move |request| {
        let list = Answer::new(200).header("Content-Type", INDEX);
        match request.method.as_str() {
            "PUT" => Answer::new(201).header("OCI-Subject", Digest::of("image")),
            _ if request.target.contains("/manifests/") => Answer::new(200).body("one"),
            _ if request.target.contains("page=2") => list.body(second.clone()),
            _ if request.target.contains("/referrers/") => {
                list.header("Link", "<?page=2>; rel=\"next\"").body(first.clone())
            }
            _ => Answer::new(404),
        }
    });
    let repository = repository(&server);
    let referrers = repository.referrers(Digest::of("image")).unwrap();
    let digests: Vec<Digest> = referrers.iter().map(|referrer| referrer.digest).collect();
    assert_eq!(digests, [Digest::of("one"), Digest::of("two")]);
    assert!(repository.attach(Digest::of("image"), &referrers[0], b"one").is_ok());
    assert_eq!(server.count("PUT", "/v2/app/manifests/*"), 1);
}
