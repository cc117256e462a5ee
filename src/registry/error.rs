//! Why a registry did not do what it was asked for.

use std::{io, path::PathBuf};

use crate::{digest::Digest, error_kind::ErrorKind, path::escape};

/// Letters of a server's message that are shown.
const MAX_MESSAGE: usize = 300;

/// An error of a registry, of the network, or of the credentials for it. No text has a credential
/// or the query of a URL in it.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The name of a host is malformed.
    #[error("`{0}` is not the host of a registry")]
    Host(String),
    /// No connection, or it broke, after all attempts.
    #[error("cannot {action} at {host}: {why}")]
    Network {
        /// What was asked for.
        action: String,
        /// Host and port.
        host: String,
        /// What the system or the protocol says.
        why: String,
    },
    /// The certificate is not trusted, or TLS failed.
    #[error("cannot {action} at {host}: TLS: {why}")]
    Tls {
        /// What was asked for.
        action: String,
        /// Host and port.
        host: String,
        /// What rustls says.
        why: String,
    },
    /// The registry wants other credentials, or some at all.
    #[error("cannot {action} at {host}: {why}")]
    Unauthorized {
        /// What was asked for.
        action: String,
        /// Host and port.
        host: String,
        /// Which credentials were used, and what the registry says.
        why: String,
    },
    /// The registry answered with a status that is not success.
    #[error("cannot {action} at {host}: {status}{message}")]
    Status {
        /// What was asked for.
        action: String,
        /// Host and port.
        host: String,
        /// The HTTP status.
        status: u16,
        /// The codes in the answer, such as `MANIFEST_UNKNOWN`.
        codes: Vec<String>,
        /// `: ` and the registry's message; empty if there is none.
        message: String,
    },
    /// An answer breaks the protocol, exceeds a limit, or leads somewhere a client must not go.
    #[error("cannot {action} at {host}: {why}")]
    Protocol {
        /// What was asked for.
        action: String,
        /// Host and port.
        host: String,
        /// What is wrong with the answer.
        why: String,
    },
    /// Content is not what its digest and size say.
    #[error("{host} sent wrong content for {digest}: {why}")]
    Mismatch {
        /// Host and port.
        host: String,
        /// The digest that was asked for.
        digest: Digest,
        /// The difference.
        why: String,
    },
    /// The bytes to be sent cannot be read.
    #[error("cannot read the blob {digest}, which is sent to {host}")]
    Source {
        /// Host and port.
        host: String,
        /// The blob.
        digest: Digest,
        /// The system's error.
        source: io::Error,
    },
    /// The bytes that were received cannot be written.
    #[error("cannot store the blob {digest}, which {host} sent")]
    Sink {
        /// Host and port.
        host: String,
        /// The blob.
        digest: Digest,
        /// The system's error.
        source: io::Error,
    },
    /// A file of credentials or certificates cannot be read, or is malformed.
    #[error("{path}: {why}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A credential helper failed.
    #[error("the credential helper {helper} failed: {why}")]
    Helper {
        /// The name of the program.
        helper: String,
        /// What is wrong.
        why: String,
    },
    /// A setting, such as a proxy of the environment, is malformed.
    #[error("{0}")]
    Setting(String),
}

impl RegistryError {
    /// What kind of error it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Host(_) | Self::Setting(_) => ErrorKind::Usage,
            Self::Network { .. }
            | Self::Tls { .. }
            | Self::Unauthorized { .. }
            | Self::Status { .. }
            | Self::Protocol { .. }
            | Self::Helper { .. } => ErrorKind::Registry,
            Self::Mismatch { .. } => ErrorKind::Digest,
            Self::Source { .. } | Self::Sink { .. } => ErrorKind::Local,
            Self::File { .. } => ErrorKind::Input,
        }
    }

    /// Whether the registry's answer has `code`.
    pub(super) fn has_code(&self, code: &str) -> bool {
        matches!(self, Self::Status { codes, .. } if codes.iter().any(|one| one == code))
    }
}

/// The codes and the message in the body of an answer that is not success (OCI
/// distribution-spec, "Error Codes").
pub(super) fn read_body(body: &[u8]) -> (Vec<String>, String) {
    #[derive(serde::Deserialize)]
    struct Body {
        #[serde(default)]
        errors: Vec<Entry>,
    }
    #[derive(serde::Deserialize)]
    struct Entry {
        #[serde(default)]
        code: Option<String>,
        #[serde(default)]
        message: Option<String>,
    }
    let Ok(body) = serde_json::from_slice::<Body>(body) else { return (Vec::new(), String::new()) };
    let mut message = String::new();
    for entry in body.errors.iter().take(3) {
        let (code, text) = (entry.code.as_deref(), entry.message.as_deref());
        let words: Vec<&str> =
            code.into_iter().chain(text).filter(|word| !word.is_empty()).collect();
        if !words.is_empty() {
            message += &format!(": {}", shown(&words.join(": ")));
        }
    }
    let codes = body.errors.into_iter().filter_map(|entry| entry.code).take(16).collect();
    (codes, message)
}

/// A server's text as part of a message: one line, printable, short.
pub(super) fn shown(text: &str) -> String {
    let short: String = text.chars().take(MAX_MESSAGE).collect();
    escape(short.trim().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_servers_are_short_and_printable() {
        let body = br#"{"errors":[{"code":"DENIED","message":"no\u001b[2J","detail":{"x":1}}]}"#;
        let wanted = (vec!["DENIED".to_owned()], ": DENIED: no\\x1b[2J".to_owned());
        assert_eq!(read_body(body), wanted);
        for body in ["", "<html>", "{}", "[]", r#"{"errors":null}"#, r#"{"errors":[{}]}"#] {
            assert_eq!(read_body(body.as_bytes()).1, "", "{body}");
        }
        let long = format!(r#"{{"errors":[{{"code":"{}"}}]}}"#, "x".repeat(10_000));
        assert!(read_body(long.as_bytes()).1.len() < 400);
    }
}
