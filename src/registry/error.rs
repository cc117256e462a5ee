//! Why a registry did not do what it was asked for.

use std::{io, path::PathBuf};

use crate::{
    digest::Digest,
    error_kind::{ErrorKind, causes},
    path::escape,
};

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
    #[error("cannot {action} at {host}: TLS: {fault}")]
    Tls {
        /// What was asked for.
        action: String,
        /// Host and port.
        host: String,
        /// What is wrong.
        fault: TlsFault,
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

/// Why there is no connection by TLS.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsFault {
    /// No trusted authority has signed the certificate.
    #[error("its certificate is not signed by an authority that is trusted")]
    Issuer,
    /// The certificate is an authority's own, as `openssl req -x509` makes one.
    #[error("its certificate is that of an authority, and not of a server")]
    OfAuthority,
    /// The certificate is for other names.
    #[error("its certificate is not for {host}{}", only_for(presented))]
    Name {
        /// The host that was asked for.
        host: String,
        /// The names that the certificate is for.
        presented: Vec<String>,
    },
    /// The certificate is no longer valid.
    #[error("its certificate has expired{}", at(" on ", *.0))]
    Expired(Option<jiff::Timestamp>),
    /// The certificate is not valid yet.
    #[error("its certificate is not valid{} by this machine's clock", at(" before ", *.0))]
    NotYet(Option<jiff::Timestamp>),
    /// The server answers in another protocol.
    #[error("the server does not speak TLS")]
    NotTls,
    /// Something else, in rustls' words.
    #[error("{0}")]
    Other(String),
}

/// Names of a certificate that are shown.
const MAX_NAMES: usize = 4;

fn only_for(presented: &[String]) -> String {
    let shown: Vec<&str> = presented.iter().take(MAX_NAMES).map(String::as_str).collect();
    let more = if presented.len() > MAX_NAMES { ", …" } else { "" };
    if shown.is_empty() { String::new() } else { format!(", only for {}{more}", shown.join(", ")) }
}

fn at(word: &str, time: Option<jiff::Timestamp>) -> String {
    time.map(|time| format!("{word}{time}")).unwrap_or_default()
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
            // What is sent may come from another registry.
            Self::Source { source, .. } => {
                Self::inside(source).map_or(ErrorKind::Local, Self::kind)
            }
            Self::Sink { .. } => ErrorKind::Local,
            Self::File { .. } => ErrorKind::Input,
        }
    }

    /// The registry's error that an error of something else comes from, if it comes from one: of
    /// reading bytes that are fetched when they are needed, for instance.
    pub fn inside<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Self> {
        causes(error).filter_map(|cause| cause.downcast_ref()).last()
    }

    /// Whether the registry's answer has `code`.
    pub(super) fn has_code(&self, code: &str) -> bool {
        matches!(self, Self::Status { codes, .. } if codes.iter().any(|one| one == code))
    }
}

/// The codes and the message in the body of an answer that is not success (OCI
/// distribution-spec, "Error Codes"), without what `redact` takes out of them.
pub(super) fn read_body(body: &[u8], redact: &dyn Fn(&str) -> String) -> (Vec<String>, String) {
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
            // Redacted before it is shortened and escaped, which would disguise a secret.
            message += &format!(": {}", shown(&redact(&words.join(": "))));
        }
    }
    let codes = body.errors.into_iter().filter_map(|entry| entry.code).take(16);
    (codes.map(|code| redact(&code)).collect(), message)
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
        let read = |body: &[u8]| read_body(body, &str::to_owned);
        assert_eq!(read(body), wanted);
        for body in ["", "<html>", "{}", "[]", r#"{"errors":null}"#, r#"{"errors":[{}]}"#] {
            assert_eq!(read(body.as_bytes()).1, "", "{body}");
        }
        let long = format!(r#"{{"errors":[{{"code":"{}"}}]}}"#, "x".repeat(10_000));
        assert!(read(long.as_bytes()).1.len() < 400);
    }

    /// JSON spells a quote in another way than the secret has it.
    #[test]
    fn secrets_are_taken_out_of_what_the_body_means() {
        let redact = |text: &str| text.replace("CAN\"ARY", "***");
        let body = br#"{"errors":[{"code":"CAN\"ARY","message":"it was \u0043AN\"ARY"}]}"#;
        let wanted = (vec!["***".to_owned()], ": ***: it was ***".to_owned());
        assert_eq!(read_body(body, &redact), wanted);
        let at_the_end =
            format!(r#"{{"errors":[{{"message":"{}CAN\"ARY"}}]}}"#, "x".repeat(MAX_MESSAGE - 5));
        assert!(!read_body(at_the_end.as_bytes(), &redact).1.contains("CAN"));
    }
}
