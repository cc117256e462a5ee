//! R8: credentials from each place that they may come from, planted and looked for: in what is
//! printed, in arguments, in images, in the cache, in temporary files.

use std::path::PathBuf;

use crate::{
    registry_honest::{Honest, noise},
    registry_script::{Answer, Server},
    sandbox::{Outcome, PATH, Run, Sandbox},
};

/// `CANARY-user:CANARY-password`, `CANARY-user:CANARY-wrong` in Base64, and what they begin with.
const PAIR: &str = "Q0FOQVJZLXVzZXI6Q0FOQVJZLXBhc3N3b3Jk";
const SECRETS: [&str; 4] = ["CANARY-password", "CANARY-wrong", "CANARY-token", "Q0FOQVJZLXVzZXI6"];

/// A registry with a token server, which takes the canaries and repeats in its errors what it was
/// sent. Bodies are cut at `cut` bytes.
fn registry(cut: Option<usize>) -> Server {
    let mut honest = Honest::default();
    Server::start(cut, move |request| {
        let sent = request.header("authorization").unwrap_or_default();
        let refusal = format!(r#"{{"errors":[{{"code":"DENIED","message":"{sent} is wrong"}}]}}"#);
        if request.is("GET", "/token") {
            return match sent == format!("Basic {PAIR}") {
                true => Answer::new(200).body(r#"{"token":"CANARY-token"}"#),
                false => Answer::new(401).body(refusal),
            };
        }
        if sent == "Bearer CANARY-token" {
            return honest.answer(request).header("Warning", format!("299 - \"{sent}\""));
        }
        let realm = format!("http://{}/token", request.header("host").unwrap());
        let challenge = format!("Bearer realm=\"{realm}\",service=\"CANARY-service\"");
        Answer::new(401).header("WWW-Authenticate", challenge).body(refusal)
    })
}

/// A credential helper that notes its own and imgb's arguments, and knows the canaries.
const HELPER: &str = "#!/bin/sh\n\
    cat /proc/$$/cmdline /proc/$PPID/cmdline >>\"$ARGUMENTS\"\n\
    cat >/dev/null\n\
    echo 'CANARY-password CANARY-token' >&2\n\
    test \"$1\" != get ||\n  \
    echo '{\"Username\":\"CANARY-user\",\"Secret\":\"CANARY-password\"}'\n";

/// Runs imgb with a home, a cache, a directory for temporary files and the helper of the sandbox.
fn imgb(sandbox: &Sandbox, args: &str) -> Run {
    let path = format!("{}:{PATH}", sandbox.path("bin").display());
    let run = sandbox.imgb(args).env("PATH", path).env("HOME", sandbox.path("home"));
    let run = run.env("ARGUMENTS", sandbox.path("arguments"));
    run.env("XDG_CACHE_HOME", sandbox.path("cache")).env("TMPDIR", sandbox.path("tmp"))
}

fn files(dir: PathBuf) -> Vec<PathBuf> {
    let entries = walkdir::WalkDir::new(dir).into_iter().map(Result::unwrap);
    entries.filter(|one| one.file_type().is_file()).map(walkdir::DirEntry::into_path).collect()
}

fn has(bytes: &[u8], secret: &str) -> bool {
    bytes.windows(secret.len()).any(|window| window == secret.as_bytes())
}

/// Asserts that no output and no file of the sandbox, except those where secrets are stored, has
/// a secret in it.
fn look(sandbox: &Sandbox, outcomes: &[Outcome]) {
    for outcome in outcomes {
        let shown = outcome.show();
        // What is shown has the command line, which names none of them.
        assert!(!SECRETS.iter().any(|secret| shown.contains(secret)), "{shown}");
    }
    let stores = ["home/.docker/config.json", "bin/docker-credential-canary", "password"];
    let stores = stores.map(|path| sandbox.path(path));
    for file in files(sandbox.root()).iter().filter(|file| !stores.contains(file)) {
        let bytes = fs_err::read(file).unwrap();
        for secret in SECRETS {
            assert!(!has(&bytes, secret), "{secret} is in {}", file.display());
        }
    }
}

#[test]
fn r08_no_credential_is_where_it_does_not_belong() {
    let sandbox = Sandbox::new();
    sandbox.file("data/noise", noise(9 << 20)).dir("tmp").dir("cache");
    sandbox.program("bin/docker-credential-canary", HELPER);
    let (server, cut) = (registry(None), registry(Some(4 << 20)));
    let (host, cut_host) = (server.host(), cut.host());
    let config = |text: String| {
        sandbox.file("home/.docker/config.json", text).mode("home/.docker/config.json", 0o600);
    };
    let pack = |output: &str| format!("pack data:/data --no-check --compress none -v {output}");
    let mut outcomes = Vec::new();

    // In docker's file, for a push, its caches, and all kinds of files beside it.
    config(format!("{{\"auths\":{{\"{host}\":{{\"auth\":\"{PAIR}\"}}}}}}"));
    let all = format!(
        "--json -o docker://{host}/app:1 -o a.tar -o oci:layout:1 -o rootfs:root.tar \
         --cache-to docker://{host}/app --cache-from docker://{host}/app"
    );
    outcomes.push(imgb(&sandbox, &pack(&all)).run().ok());
    // With a helper, for an upload that breaks off and is noted, and one that succeeds.
    config(format!("{{\"credHelpers\":{{\"{host}\":\"canary\",\"{cut_host}\":\"canary\"}}}}"));
    let broken = format!("push a.tar {cut_host}/app:1 --retry-for 0.001s");
    outcomes.push(imgb(&sandbox, &broken).run().exits(6));
    assert!(!sandbox.names("cache/imgb/uploads").is_empty(), "the upload was not noted");
    outcomes.push(imgb(&sandbox, &format!("pull {host}/app:1 -o b.tar --json")).run().ok());
    let arguments = sandbox.read("arguments");
    assert!(has(&arguments, "docker-credential-canary\0get"), "the helper was not asked");
    assert!(has(&arguments, "b.tar\0"), "imgb's arguments were not noted");
    // From stdin into the helper.
    sandbox.file("password", "CANARY-password\n");
    let under = ["sh", "-c", "exec \"$@\" <password", "sh"];
    let login = format!("login {host} -u CANARY-user --password-stdin");
    outcomes.push(imgb(&sandbox, &login).under(&under).run().ok());
    assert!(has(&sandbox.read("arguments"), "docker-credential-canary\0store"));
    // In the environment, right and wrong.
    config("{}".into());
    let inspect = |password: &str| {
        let run = imgb(&sandbox, &format!("inspect docker://{host}/app:1 --json"));
        run.env("IMGB_REGISTRY_USER", "CANARY-user").env("IMGB_REGISTRY_PASSWORD", password).run()
    };
    outcomes.push(inspect("CANARY-password").ok());
    let refused = inspect("CANARY-wrong").exits(6);
    assert!(refused.stderr().contains("Basic *** is wrong"), "{}", refused.show());
    outcomes.push(refused);

    let warned = outcomes.iter().any(|one| one.stderr().contains("warning: 127.0.0.1:"));
    assert!(warned, "the registry's warning was not shown");
    look(&sandbox, &outcomes);
    for request in server.requests().iter().chain(&cut.requests()) {
        let (target, body) = (&request.target, &request.body);
        assert!(!SECRETS.iter().any(|secret| target.contains(secret) || has(body, secret)));
    }
}
