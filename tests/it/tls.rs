//! Certificates: clients are packed from a sysroot whose bundle has the test's own CA, and connect
//! to a server with a certificate of that CA in another container.

use crate::{
    engines::{self, Docker, have},
    fixtures::sysroot,
    sandbox::{Outcome, Sandbox},
};

/// A CA, and a certificate for `localhost` that it has signed.
fn authority(sandbox: &Sandbox) {
    sandbox.file("ext", "subjectAltName=DNS:localhost\n");
    let openssl = |args: &str| sandbox.tool("openssl", args).run().ok();
    openssl(
        "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -subj /CN=imgb-test-ca -days \
            2",
    );
    openssl("req -newkey rsa:2048 -nodes -keyout key -out request -subj /CN=localhost");
    openssl(
        "x509 -req -in request -CA ca.crt -CAkey ca.key -CAcreateserial -extfile ext -days 2 -out \
            certificate",
    );
}

/// A container that drop removes.
struct Server<'d>(&'d Docker);

const SERVER: &str = "imgb-tls-server";

impl<'d> Server<'d> {
    fn start(docker: &'d Docker, sandbox: &Sandbox) -> Self {
        let inputs = "openssl certificate:/certificate key:/key";
        sandbox.imgb(&format!("pack {inputs} -t tls/server:test -o server.tar")).run().ok();
        docker.load(&sandbox.path("server.tar"));
        let run =
            docker.cli("run --detach --network=none --name").arg(SERVER).arg("tls/server:test");
        run.args("s_server -accept 4433 -cert /certificate -key /key -www").run().ok();
        Self(docker)
    }
}

impl Drop for Server<'_> {
    fn drop(&mut self) {
        self.0.cli("rm --force").arg(SERVER).run();
    }
}

fn client(docker: &Docker, sandbox: &Sandbox, program: &str, pack: &str, args: &[&str]) -> Outcome {
    let tag = format!("tls/{program}:test");
    sandbox.imgb(&format!("pack {program} --sysroot sys {pack} -t {tag} -o client.tar")).run().ok();
    docker.load(&sandbox.path("client.tar"));
    let run = docker.cli("run --rm --network").arg(format!("container:{SERVER}")).arg(tag);
    args.iter().fold(run, |run, arg| run.arg(arg)).run()
}

#[test]
fn clients_trust_the_sysroots_bundle() {
    let Some(docker) = engines::docker() else { return };
    if !have(&["openssl", "curl", "wget", "python3", "tar"]) {
        return;
    }
    let sandbox = Sandbox::new();
    authority(&sandbox);
    sysroot(&sandbox, "curl wget python3");
    sandbox.file("sys/etc/ssl/certs/ca-certificates.crt", sandbox.read("ca.crt"));
    let _server = Server::start(&docker, &sandbox);

    let url = "https://localhost:4433/";
    let curl = ["-sS", "--retry", "30", "--retry-connrefused", "--retry-delay", "1", url];
    client(&docker, &sandbox, "curl", "", &curl).ok().prints("Ciphers supported");
    client(&docker, &sandbox, "wget", "", &["-qO-", url]).ok().prints("Ciphers supported");
    let fetch = format!("import urllib.request; print(urllib.request.urlopen('{url}').read())");
    client(&docker, &sandbox, "python3", "", &["-c", &fetch]).ok().prints("Ciphers supported");

    let refused =
        client(&docker, &sandbox, "curl", "--without ca-certificates --without openssl", &curl);
    assert!(!refused.success(), "it trusts without certificates: {}", refused.show());
    let refused = client(
        &docker,
        &sandbox,
        "wget",
        "--without ca-certificates --without openssl",
        &["-qO-", url],
    );
    assert!(!refused.success(), "it trusts without certificates: {}", refused.show());
    // The machine's own bundle does not contain this CA.
    sandbox.imgb("pack curl -t tls/host:test -o client.tar").run().ok();
    docker.load(&sandbox.path("client.tar"));
    let host =
        docker.cli("run --rm --network").arg(format!("container:{SERVER}")).arg("tls/host:test");
    let refused = curl.iter().fold(host, |run, arg| run.arg(arg)).run();
    assert!(!refused.success() && refused.stderr().contains("certificate"), "{}", refused.show());
}
