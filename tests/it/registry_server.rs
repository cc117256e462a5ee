//! Debian's docker-registry on a free port of loopback, ended by the guard of its process.

use std::path::PathBuf;

use crate::engines::{Daemon, have};

/// The user and the password of a registry with a login.
pub(crate) const USER: &str = "imgb";
pub(crate) const PASSWORD: &str = "CANARY-registry-password";
/// `htpasswd -nbB -C 4` of these.
pub(crate) const HTPASSWD: &str =
    "imgb:$2y$04$bH2PT30am1V99jf6I07z/uqgVzzEdk6pmM21EPOZwVQG.mNxQhgca";

/// What a registry asks of its clients.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Demands {
    /// User and password, for everything.
    pub(crate) login: bool,
    /// TLS, with a certificate of [`Registry::ca_file`] for `127.0.0.1` and `localhost`.
    pub(crate) tls: bool,
}

/// A registry with its own, empty store. Drop ends it and removes the store.
pub(crate) struct Registry {
    daemon: Daemon,
    port: u16,
}

/// An open registry, or nothing if the test has to be skipped.
pub(crate) fn registry() -> Option<Registry> {
    demanding(Demands::default())
}

/// A registry that asks for `demands`, or nothing if the test has to be skipped.
pub(crate) fn demanding(demands: Demands) -> Option<Registry> {
    let tools: &[&str] =
        if demands.tls { &["docker-registry", "openssl"] } else { &["docker-registry"] };
    have(tools).then(|| Registry::start(demands))
}

impl Registry {
    fn start(demands: Demands) -> Self {
        let mut config = "version: 0.1\\nlog:\\n  accesslog:\\n    disabled: false\\n\
            storage:\\n  filesystem:\\n    rootdirectory: DIR/data\\n\
            http:\\n  addr: 127.0.0.1:0\\n"
            .to_owned();
        if demands.tls {
            config += "  tls:\\n    certificate: DIR/server.pem\\n    key: DIR/server.key\\n";
        }
        if demands.login {
            config += "auth:\\n  htpasswd:\\n    realm: test\\n    path: DIR/htpasswd\\n";
        }
        let certificates = if demands.tls { CERTIFICATES } else { "" };
        let script = format!(
            "{certificates} printf '%s\\n' '{HTPASSWD}' >DIR/htpasswd && \
             printf '{config}' >DIR/config.yml && exec docker-registry serve DIR/config.yml"
        );
        let port = |dir: &std::path::Path| {
            let log = fs_err::read_to_string(dir.join("log")).unwrap_or_default();
            let (_, rest) = log.split_once("listening on 127.0.0.1:")?;
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            digits.parse::<u16>().ok()
        };
        let daemon = Daemon::start(&["sh", "-c", &script], |dir| port(dir).is_some());
        let port = port(&daemon.dir).unwrap();
        Self { daemon, port }
    }

    /// Host and port, as an image's name has them.
    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The certificate that has signed the registry's own, in PEM.
    pub(crate) fn ca_file(&self) -> PathBuf {
        self.daemon.dir.join("ca.pem")
    }

    /// The requests so far, each as `METHOD PATH STATUS`. A path has no query.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.log().into_iter().map(|(request, _)| request).collect()
    }

    /// The bytes of blobs that the registry has sent so far, as its own log counts them.
    pub(crate) fn sent_of_blobs(&self) -> u64 {
        let is_blob = |request: &str| request.starts_with("GET ") && request.contains("/blobs/");
        self.log().iter().filter(|(request, _)| is_blob(request)).map(|(_, size)| size).sum()
    }

    /// The requests so far, and the bytes of each answer's body.
    fn log(&self) -> Vec<(String, u64)> {
        let log = fs_err::read_to_string(self.daemon.dir.join("log")).unwrap();
        let requests = log.lines().filter_map(|line| {
            // The common log format of Apache: HOST - - [TIME] "METHOD PATH HTTP/1.1" STATUS SIZE.
            let mut quoted = line.strip_prefix("127.0.0.1 - ")?.split('"').skip(1);
            let mut words = quoted.next()?.split(' ');
            let (method, target) = (words.next()?, words.next()?);
            let path = target.split('?').next()?;
            let mut numbers = quoted.next()?.split_whitespace();
            let (status, size) = (numbers.next()?, numbers.next()?.parse().unwrap_or(0));
            Some((format!("{method} {path} {status}"), size))
        });
        requests.collect()
    }
}

/// A certificate authority and a certificate of it for this machine.
const CERTIFICATES: &str = "cd DIR && \
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
        -subj /CN=imgb-test-ca -keyout ca.key -out ca.pem && \
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
        -subj /CN=localhost -keyout server.key -out server.csr && \
    printf 'subjectAltName=IP:127.0.0.1,DNS:localhost\\n' >san && \
    openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \
        -extfile san -out server.pem && ";
