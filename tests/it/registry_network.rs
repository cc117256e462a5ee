//! Registries behind proxies, with wrong certificates, or not there at all: what is sent to whom,
//! and what messages say.

use std::{
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    sync::{Arc, Mutex},
    thread,
};

use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

use crate::{
    engines::have,
    registry_script::{Answer, Server},
    sandbox::Sandbox,
};

/// Reads the head of a request or response.
fn head(stream: &mut impl Read) -> Option<String> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    String::from_utf8(head).ok()
}

/// Answers each connection to a free port with `answer`, in a thread of its own; the port.
fn listen(answer: impl Fn(TcpStream) + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, answer) = (listener.local_addr().unwrap().port(), Arc::new(answer));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = Arc::clone(&answer);
            thread::spawn(move || answer(stream));
        }
    });
    port
}

/// Puts TLS before `server`, for requests without a body; the port.
fn tls(dir: PathBuf, name: &str, server: &Server) -> u16 {
    let certificate =
        CertificateDer::from_pem_file(dir.join(format!("{name}.pem"))).unwrap().into_owned();
    let key = PrivateKeyDer::from_pem_file(dir.join("key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.unwrap().with_no_client_auth();
    let config = Arc::new(config.with_single_cert(vec![certificate], key).unwrap());
    let behind = server.host();
    listen(move |stream| {
        let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
        let mut stream = StreamOwned::new(connection, stream);
        let Some(request) = head(&mut stream) else { return };
        let mut plain = TcpStream::connect(&behind).unwrap();
        plain.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        plain.read_to_end(&mut answer).unwrap();
        let _ = stream.write_all(&answer);
        stream.conn.send_close_notify();
        let _ = stream.flush();
    })
}

/// What `openssl ca` needs.
const AUTHORITY: &str = "[ca]\ndefault_ca = own\n[own]\nnew_certs_dir = .\ndatabase = issued\n\
    rand_serial = yes\nunique_subject = no\ndefault_md = sha256\npolicy = any\n\
    [any]\ncommonName = supplied\n";

/// Makes `ca.pem` and, signed by it, `NAME.pem` for each of `certificates`: a name, its
/// `subjectAltName`, and the year in which it expires.
fn certificates(sandbox: &Sandbox, certificates: &[(&str, &str, u32)]) {
    let openssl = |args: &str| sandbox.tool("openssl", args).run().ok();
    let new = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(&format!("req -x509 {new} -days 2 -subj /CN=imgb-test -keyout ca.key -out ca.pem"));
    openssl(&format!("req {new} -subj /CN=x -keyout key -out request"));
    sandbox.file("authority", AUTHORITY).file("issued", "");
    for (name, alternative, year) in certificates {
        sandbox.file("names", format!("subjectAltName={alternative}\n"));
        let sign = "ca -batch -config authority -cert ca.pem -keyfile ca.key -extfile names";
        let valid = format!("-startdate 20200101000000Z -enddate {year}0201000000Z");
        openssl(&format!("{sign} {valid} -notext -in request -out {name}.pem"));
    }
}

/// R10: the message says what is wrong with a certificate, and what to do.
#[test]
fn r10_certificates_that_are_wrong() {
    if !have(&["openssl"]) {
        return;
    }
    let (sandbox, server) = (Sandbox::new(), Server::start(None, |_| Answer::new(404)));
    let own = "IP:127.0.0.1";
    certificates(
        &sandbox,
        &[
            ("expired", own, 2021),
            ("other", "DNS:a.example,DNS:b.example", 2048),
            ("good", own, 2048),
        ],
    );
    // A certificate that has signed itself.
    let selfmade = "req -x509 -key key -days 2 -subj /CN=127.0.0.1 -out own.pem";
    sandbox.tool("openssl", selfmade).run().ok();
    let pull = |certificate: &str, args: &str| {
        let port = tls(sandbox.root(), certificate, &server);
        let pull = format!("pull 127.0.0.1:{port}/app:1 -o a.tar {args}");
        (sandbox.imgb(&pull).run(), port)
    };
    for (certificate, args, wrong, hint) in [
        (
            "expired",
            "--ca-file ca.pem",
            "its certificate has expired on 2021-02-01",
            "renew the certificate",
        ),
        (
            "other",
            "--ca-file ca.pem",
            "its certificate is not for 127.0.0.1, only for a.example, b.example",
            "by a name that its certificate is for",
        ),
        ("good", "", "not signed by an authority that is trusted", "--ca-file"),
        ("own", "--ca-file own.pem", "is that of an authority", "that an authority has signed"),
    ] {
        let (run, port) = pull(certificate, args);
        let insecure = format!("--insecure 127.0.0.1:{port}");
        run.error(6, &["TLS: ", wrong, hint, &insecure]);
    }
    assert!(server.requests().is_empty(), "{:?}", server.requests());
    let (run, _) = pull("good", "--ca-file ca.pem");
    run.error(3, &["image with the tag `1`"]);
    let (run, _) = pull("expired", "--insecure 127.0.0.1");
    run.error(3, &["image with the tag `1`"]);
}

/// A proxy that records the heads of its requests, and connects whoever asks for any host to
/// `port`.
fn proxy(port: u16) -> (u16, Arc<Mutex<Vec<String>>>) {
    let heads = Arc::new(Mutex::new(Vec::new()));
    let recorded = Arc::clone(&heads);
    let proxy = listen(move |mut stream| {
        let Some(request) = head(&mut stream) else { return };
        recorded.lock().unwrap().push(request.clone());
        if !request.starts_with("CONNECT ") {
            let _ = stream.write_all(b"HTTP/1.1 405 x\r\nContent-Length: 0\r\n\r\n");
            return;
        }
        let there = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.write_all(b"HTTP/1.1 200 x\r\n\r\n").unwrap();
        let (mut up, mut down) = (there.try_clone().unwrap(), stream.try_clone().unwrap());
        let upward = thread::spawn(move || {
            let _ = io::copy(&mut stream, &mut up);
            let _ = up.shutdown(std::net::Shutdown::Write);
        });
        let _ = io::copy(&mut &there, &mut down);
        let _ = down.shutdown(std::net::Shutdown::Both);
        upward.join().unwrap();
    });
    (proxy, heads)
}

#[test]
fn registries_are_reached_through_the_proxy_of_the_environment() {
    if !have(&["openssl"]) {
        return;
    }
    let (sandbox, server) = (Sandbox::new(), Server::start(None, |_| Answer::new(404)));
    certificates(&sandbox, &[("good", "DNS:registry.invalid", 2048)]);
    let (port, heads) = proxy(tls(sandbox.root(), "good", &server));
    let pull = |args: &str| {
        let pull = format!("pull {args}:1 -o a.tar --ca-file ca.pem --retry-for 1s");
        let url = format!("http://CANARY-user:CANARY-password@127.0.0.1:{port}");
        sandbox.imgb(&pull).env("HTTPS_PROXY", url)
    };
    let run = pull("registry.invalid/app").run().error(3, &["image with the tag `1`"]);
    assert!(!run.show().contains("CANARY"), "{}", run.show());
    {
        let heads = heads.lock().unwrap();
        let basic = "Proxy-Authorization: Basic Q0FOQVJZLXVzZXI6Q0FOQVJZLXBhc3N3b3Jk";
        assert!(!heads.is_empty());
        for head in &*heads {
            assert!(head.starts_with("CONNECT registry.invalid:443 "), "{head}");
            assert!(head.contains(basic), "{head}");
        }
    }
    // The proxy's credential is not for the registry.
    let requests = server.requests();
    assert!(requests.iter().any(|request| request.is("GET", "/v2/app/manifests/1")));
    assert!(requests.iter().all(|request| request.header("proxy-authorization").is_none()));

    let count = || heads.lock().unwrap().len();
    let before = count();
    // The lookup fails, with or without a name server.
    let no_host = "at registry.invalid: ";
    pull("registry.invalid/app").env("NO_PROXY", ".invalid").run().error(6, &[no_host, "name"]);
    // This machine is never reached through a proxy.
    pull(&format!("{}/app", server.host())).run().error(3, &["image with the tag `1`"]);
    assert_eq!(count(), before);
    // Without TLS there is no other way through a proxy than with it.
    let insecure = pull("registry.invalid:5000/app").args("--insecure registry.invalid:5000");
    insecure.run().error(3, &["image with the tag `1`"]);
    assert!(heads.lock().unwrap().last().unwrap().starts_with("CONNECT registry.invalid:5000 "));
}

#[test]
fn a_proxy_that_fails_is_named() {
    let sandbox = Sandbox::new();
    let refuses = listen(|mut stream| {
        let _ = head(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 407 x\r\nContent-Length: 0\r\n\r\n");
    });
    let pull = |proxy: &str| {
        let pull = "pull registry.invalid/app:1 -o a.tar --retry-for 1s";
        sandbox.imgb(pull).env("HTTPS_PROXY", proxy).run()
    };
    let of_environment = "(through the proxy of the environment)";
    pull(&format!("http://127.0.0.1:{refuses}")).error(6, &["407", of_environment]);
    // A port at which nothing listens, and a protocol other than HTTP.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let free = listener.local_addr().unwrap();
    drop(listener);
    for scheme in ["http://", "", "socks5h://"] {
        let url = format!("{scheme}{free}");
        pull(&url).error(6, &["Connection refused", of_environment]);
    }
    pull("ftp://127.0.0.1:1").error(6, &["is not a URL of a proxy"]);
}

/// R2: hosts that do not exist and ports at which nothing listens; a wait is told.
#[test]
fn r02_registries_that_are_not_there() {
    let sandbox = Sandbox::new();
    let pull = |name: &str| sandbox.imgb(&format!("pull {name}:1 -o a.tar --retry-for 1s")).run();
    pull("registry.invalid/app")
        .error(6, &["read the manifest app:1 at registry.invalid: ", "name"]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let free = listener.local_addr().unwrap();
    drop(listener);
    pull(&format!("{free}/app")).error(6, &[&format!("at {free}: Connection refused")]);
    let mut left = 1;
    let server = Server::start(None, move |_| {
        left -= 1;
        Answer::new(if left < 0 { 404 } else { 503 }).header("Retry-After", 1)
    });
    let name = format!("{}/app:1", server.host());
    for quiet in ["", "-q"] {
        let run = sandbox.imgb(&format!("pull {name} -o a.tar {quiet}")).run();
        let run = run.error(3, &["image with the tag `1`"]);
        let told = run.stderr().contains("warning: cannot read the manifest app:1 at 127.0.0.1:")
            && run.stderr().contains("503; imgb tries again, in 1 s");
        assert_eq!(told, quiet.is_empty(), "{}", run.show());
        if quiet.is_empty() {
            assert_eq!(server.requests().len(), 2);
        }
    }
}
