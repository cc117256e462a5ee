//! Stored credentials: files of docker and podman, helpers, and what is wrong with them.

use std::{os::unix::fs::PermissionsExt, process::Command, time::Duration};

use imgb::registry::{Client, ClientOptions, Credential, Credentials, Pointer, RegistryError};

use crate::{
    registry_honest::collected,
    registry_script::{Answer, Server},
    sandbox::Sandbox,
};

/// `CANARY-user:CANARY-password` in Base64.
const PAIR: &str = "Q0FOQVJZLXVzZXI6Q0FOQVJZLXBhc3N3b3Jk";

/// A registry that takes the canaries.
fn server() -> Server {
    let basic = format!("Basic {PAIR}");
    Server::start(None, move |request| match request.header("authorization") {
        Some(value) if value == basic => Answer::new(200).body("{}"),
        _ => Answer::new(401).header("WWW-Authenticate", "Basic realm=\"x\""),
    })
}

fn ask(server: &Server, credentials: Credentials) -> Result<(), RegistryError> {
    let client = Client::new(ClientOptions { credentials, ..ClientOptions::default() }).unwrap();
    client.repository(&server.host(), "team/app").manifest(Pointer::Tag("1")).map(|_| ())
}

fn message(error: RegistryError) -> String {
    let text = format!("{error} {error:?}");
    assert!(!text.contains("CANARY") && !text.contains(PAIR), "{text}");
    error.to_string()
}

#[test]
fn a_login_is_stored_used_and_removed() {
    let (server, dir) = (server(), tempfile::tempdir().unwrap());
    let file = dir.path().join("new/config.json");
    let credential = Credential::parse("CANARY-user:CANARY-password").unwrap();
    let stored = || Credentials::stored_in(vec![dir.path().join("missing"), file.clone()]);
    assert!(message(ask(&server, stored()).unwrap_err()).contains("it wants credentials"));
    assert_eq!(
        Credentials::store(&file, &server.host(), "CANARY-user", &credential).unwrap(),
        None
    );
    let mode = fs_err::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    ask(&server, stored()).unwrap();

    let (notices, warnings) = collected();
    let logged_in = || {
        let options =
            ClientOptions { credentials: stored(), notices: notices.clone(), ..Default::default() };
        Client::new(options).unwrap()
    };
    logged_in().check_login(&server.host()).unwrap();
    assert_eq!(*warnings.lock().unwrap(), [""; 0]);
    fs_err::set_permissions(&file, PermissionsExt::from_mode(0o666)).unwrap();
    logged_in().repository(&server.host(), "app").manifest(Pointer::Tag("1")).unwrap();
    let warnings = warnings.lock().unwrap().join("\n");
    assert!(warnings.contains("can be written by other users"), "{warnings}");

    assert!(Credentials::erase(&file, &server.host()).unwrap());
    assert!(!Credentials::erase(&file, &server.host()).unwrap());
    assert!(ask(&server, stored()).is_err());
}

#[test]
fn files_that_are_wrong() {
    let (server, dir) = (server(), tempfile::tempdir().unwrap());
    let host = server.host();
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for (content, wanted) in [
        ("{\"auths\": \"CANARY".to_owned(), "it is not a JSON object"),
        ("[]".into(), "it is not a JSON object"),
        (deep, "it is not a JSON object"),
        (format!("{{\"auths\":{{\"{host}\":{{\"auth\":\"CANARY!\"}}}}}}"), "is not Base64"),
        (format!("{{\"auths\":{{\"{host}\":{{\"auth\":\"Q0FOQVJZ\"}}}}}}"), "is not Base64"),
        ("x".repeat(2 << 20), "it is too large"),
    ] {
        let file = dir.path().join("config.json");
        fs_err::write(&file, content).unwrap();
        let error = ask(&server, Credentials::stored_in(vec![file])).unwrap_err();
        let text = message(error);
        assert!(text.contains("config.json: ") && text.contains(wanted), "{text}");
    }
    for content in ["", "{}", "{\"auths\": 7}", "{\"auths\":{\"a\":7},\"credsStore\":\"\"}"] {
        let file = dir.path().join("config.json");
        fs_err::write(&file, content).unwrap();
        let text = message(ask(&server, Credentials::stored_in(vec![file])).unwrap_err());
        assert!(text.contains("it wants credentials"), "{content}: {text}");
    }
    // A FIFO does not block.
    let fifo = dir.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    for file in [fifo, dir.path().to_owned()] {
        let text = message(ask(&server, Credentials::stored_in(vec![file])).unwrap_err());
        assert!(text.contains("it is not a regular file"), "{text}");
    }
}

#[test]
fn helpers_that_are_wrong() {
    let (server, dir) = (server(), tempfile::tempdir().unwrap());
    let file = dir.path().join("config.json");
    for (helper, wanted) in [
        ("../../x", "this is not the name of a helper"),
        ("A", "this is not the name of a helper"),
        ("x y", "this is not the name of a helper"),
        ("imgb-missing", "docker-credential-imgb-missing failed: it is not in PATH"),
    ] {
        fs_err::write(&file, format!("{{\"credsStore\": \"{helper}\"}}")).unwrap();
        let mut credentials = Credentials::stored_in(vec![file.clone()]);
        credentials.set_helper_timeout(Duration::from_secs(5));
        let text = message(ask(&server, credentials).unwrap_err());
        assert!(text.contains(wanted), "{text}");
    }
}

/// R9: what a helper prints, or says on stderr, is not shown.
#[test]
fn r09_helpers_that_print_no_json() {
    let (server, sandbox) = (server(), Sandbox::new());
    let host = server.host();
    let config = format!("{{\"credHelpers\":{{\"{host}\":\"odd\"}}}}");
    sandbox.file("home/.docker/config.json", config);
    let pull = || {
        let path = format!("{}:{}", sandbox.path("bin").display(), env!("PATH"));
        let run = sandbox.imgb(&format!("pull {host}/app:1 -o a.tar")).env("PATH", path);
        run.env("HOME", sandbox.path("home")).run()
    };
    for (prints, wanted) in [
        ("echo CANARY-password", "its answer to `get` is not JSON"),
        ("echo '{\"Username\":\"CANARY-user\",'", "its answer to `get` is not JSON"),
        (":", "its answer to `get` is not JSON"),
        ("echo '\\377\\376'", "its answer to `get` is not JSON"),
        ("echo CANARY-password; exit 1", "it ends with an error for `get`"),
    ] {
        let script = format!("#!/bin/sh\ncat >/dev/null\necho CANARY-stderr >&2\n{prints}\n");
        sandbox.program("bin/docker-credential-odd", script);
        let outcome = pull().error(6, &["docker-credential-odd failed", wanted]);
        assert!(!outcome.show().contains("CANARY"), "{}", outcome.show());
    }
    // JSON without a secret is no credential, which this registry does not take.
    for prints in ["echo null", "echo '[]'", "echo '{\"Username\":\"CANARY-user\"}'"] {
        let script = format!("#!/bin/sh\ncat >/dev/null\n{prints}\n");
        sandbox.program("bin/docker-credential-odd", script);
        let outcome = pull().error(6, &["imgb login"]);
        assert!(!outcome.show().contains("CANARY"), "{}", outcome.show());
    }
}
