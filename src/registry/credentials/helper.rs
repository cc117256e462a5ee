//! docker's credential helpers: programs `docker-credential-NAME` that are asked on their standard
//! input. Their answers and their stderr may have secrets in them, and are never shown.

use std::{
    io::{self, Read as _, Write as _},
    os::unix::process::CommandExt as _,
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal};
use serde_json::{Value, json};

use crate::{
    error_kind::system_reason,
    registry::{
        error::{RegistryError, shown},
        secret::{Credential, Secret},
    },
};

/// How long a helper may take: it may ask its user.
pub(super) const TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes of an answer.
const MAX_ANSWER: u64 = 64 << 10;
/// What helpers say without a credential for a server (docker-credential-helpers,
/// credentials/error.go).
const NOT_FOUND: &str = "credentials not found in native keychain";
/// The user that marks an identity token.
const TOKEN_USER: &str = "<token>";

/// The credential that a helper has for a server; `None` if it has none.
pub(super) fn get(
    helper: &str,
    server: &str,
    timeout: Duration,
) -> Result<Option<Credential>, RegistryError> {
    let (success, answer) = run(helper, "get", server, timeout)?;
    if !success {
        return match String::from_utf8_lossy(&answer).trim() {
            NOT_FOUND => Ok(None),
            _ => Err(failed(helper, "it ends with an error for `get`")),
        };
    }
    let answer: Value = serde_json::from_slice(&answer)
        .map_err(|_| failed(helper, "its answer to `get` is not JSON"))?;
    let text = |key: &str| answer.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let Some(secret) = text("Secret") else { return Ok(None) };
    Ok(Some(match text("Username") {
        Some(TOKEN_USER) => Credential::IdentityToken(Secret::new(secret)),
        Some(user) => Credential::Password { user: user.into(), password: Secret::new(secret) },
        None => return Ok(None),
    }))
}

/// Stores a credential with a helper.
pub(super) fn store(
    helper: &str,
    server: &str,
    user: &str,
    credential: &Credential,
) -> Result<(), RegistryError> {
    let (user, secret) = match credential {
        Credential::Password { password, .. } => (user, password),
        Credential::IdentityToken(token) | Credential::RegistryToken(token) => (TOKEN_USER, token),
    };
    let input = json!({"ServerURL": server, "Username": user, "Secret": secret.reveal()});
    match run(helper, "store", &input.to_string(), TIMEOUT)? {
        (true, _) => Ok(()),
        (false, _) => Err(failed(helper, "it ends with an error for `store`")),
    }
}

/// Removes a server's credential from a helper.
pub(super) fn erase(helper: &str, server: &str) -> Result<(), RegistryError> {
    match run(helper, "erase", server, TIMEOUT)? {
        (false, answer) if String::from_utf8_lossy(&answer).trim() != NOT_FOUND => {
            Err(failed(helper, "it ends with an error for `erase`"))
        }
        _ => Ok(()),
    }
}

fn failed(helper: &str, why: &str) -> RegistryError {
    RegistryError::Helper { helper: shown(&format!("docker-credential-{helper}")), why: why.into() }
}

/// Runs a helper. Returns whether it was successful, and its standard output.
fn run(
    helper: &str,
    action: &str,
    input: &str,
    timeout: Duration,
) -> Result<(bool, Vec<u8>), RegistryError> {
    let of_name = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
    if helper.is_empty() || !helper.bytes().all(of_name) {
        return Err(failed(helper, "this is not the name of a helper"));
    }
    let mut command = Command::new(format!("docker-credential-{helper}"));
    talk(command.arg(action), helper, input, timeout)
}

/// Runs the command of a helper.
fn talk(
    command: &mut Command,
    helper: &str,
    input: &str,
    timeout: Duration,
) -> Result<(bool, Vec<u8>), RegistryError> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        // So that what it starts ends with it.
        .process_group(0)
        .spawn()
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => failed(
                helper,
                "it is not in PATH; install it, or remove it from the file of credentials",
            ),
            _ => failed(helper, &system_reason(&error)),
        })?;
    let begun = Instant::now();
    let answer = converse(&mut child, input, timeout);
    let is_whole = matches!(&answer, Ok(Some(answer)) if answer.len() as u64 <= MAX_ANSWER);
    let is_ended = is_whole && ends(&mut child, begun + timeout);
    // What it has started goes with it.
    kill(&child);
    let status = child.wait().map_err(|error| failed(helper, &system_reason(&error)))?;
    match answer.map_err(|error| failed(helper, &system_reason(&error)))? {
        Some(_) if !is_whole => Err(failed(helper, "its answer is too large")),
        Some(answer) if is_ended => Ok((status.success(), answer)),
        _ => Err(failed(helper, &format!("it takes longer than {} s", timeout.as_secs_f32()))),
    }
}

/// Whether a helper that has closed its output ends in time.
fn ends(child: &mut Child, until: Instant) -> bool {
    loop {
        match child.try_wait() {
            Ok(None) if Instant::now() < until => std::thread::sleep(Duration::from_millis(5)),
            Ok(status) => return status.is_some(),
            Err(_) => return false,
        }
    }
}

/// Gives `input` to the helper and reads its output; `None` if that takes too long.
fn converse(child: &mut Child, input: &str, timeout: Duration) -> io::Result<Option<Vec<u8>>> {
    let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Ok(None);
    };
    let input = input.to_owned();
    let (sender, receiver) = mpsc::channel();
    let work = move || {
        // A helper need not read its input.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        let mut answer = Vec::new();
        let _ = stdout.take(MAX_ANSWER + 1).read_to_end(&mut answer);
        let _ = sender.send(answer);
    };
    // The thread ends when the helper does, which `kill` sees to.
    std::thread::Builder::new().spawn(work)?;
    Ok(receiver.recv_timeout(timeout).ok())
}

fn kill(child: &Child) {
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _ = rustix::process::kill_process_group(pid, Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Talks to a shell script, with a limit of `timeout` milliseconds.
    fn script(text: &str, timeout: u64) -> Result<(bool, String), String> {
        let timeout = Duration::from_millis(timeout);
        let result = talk(Command::new("sh").args(["-c", text]), "x", "CANARY-input", timeout);
        let text = |answer: Vec<u8>| String::from_utf8(answer).unwrap();
        result.map(|(success, answer)| (success, text(answer))).map_err(|error| error.to_string())
    }

    #[test]
    fn helpers_are_asked_on_their_input() {
        assert_eq!(script("cat; exit 3", 60_000), Ok((false, "CANARY-input".into())));
        // One that does not read its input, nor closes its output before it ends.
        assert_eq!(script("echo x", 60_000), Ok((true, "x\n".into())));
    }

    /// R9: neither the helper nor what it has started holds imgb.
    #[test]
    fn helpers_that_hang_are_ended() {
        let begun = Instant::now();
        for text in ["sleep 1000", "sleep 1000 & echo x; exec >&-; sleep 1000", "sleep 1000 &"] {
            let error = script(text, 200).unwrap_err();
            assert!(error.contains("docker-credential-x failed: it takes longer"), "{error}");
        }
        assert!(begun.elapsed() < Duration::from_secs(300), "{:?}", begun.elapsed());
    }

    /// R9: one that prints without end is ended, also if it ignores that nothing reads it.
    #[test]
    fn helpers_that_flood_are_ended() {
        for text in ["yes CANARY", "trap '' PIPE; while :; do echo CANARY; done"] {
            let error = script(text, 600_000).unwrap_err();
            assert!(error.ends_with("its answer is too large"), "{error}");
        }
    }
}
