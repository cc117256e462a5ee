//! `--sysroot`: directories and images give the same image, whatever machine imgb runs on.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use crate::{
    elf_builder::Elf,
    fixtures::noise,
    registry_honest::Honest,
    registry_script::{Answer, Server},
    registry_server::registry,
    sandbox::{Sandbox, is_root, record_lack},
};

const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";

fn elf(sandbox: &Sandbox, path: &str, elf: &Elf) {
    sandbox.program(&format!("root{path}"), elf.build());
}

/// `root`, a system whose program `/opt/tools/tool` needs a library and lists of packages, and the
/// same files as the images `sys.tar` and `layout`.
fn system() -> Sandbox {
    let sandbox = Sandbox::new();
    elf(&sandbox, LOADER, &Elf::library().soname("ld-linux-x86-64.so.2"));
    elf(&sandbox, "/usr/lib64/libown.so.1.2", &Elf::library().soname("libown.so.1"));
    elf(&sandbox, "/opt/tools/tool", &Elf::program(LOADER).needed("libown.so.1"));
    sandbox.symlink("root/usr/lib64/libown.so.1", "libown.so.1.2");
    sandbox.file("root/etc/os-release", "ID=own\nVERSION_ID=1\n");
    sandbox.file("root/etc/motd", "of the sysroot\n");
    sandbox.file("root/srv/data/one", "1").file("root/srv/data/two", "2");
    let status = "Package: own\nStatus: install ok installed\nVersion: 1.2\nArchitecture: amd64\n";
    sandbox.file("root/var/lib/dpkg/status", status);
    let list = "/.\n/usr\n/usr/lib64\n/usr/lib64/libown.so.1.2\n/usr/lib64/libown.so.1\n";
    sandbox.file("root/var/lib/dpkg/info/own.list", list);
    let outputs = "-o sys.tar -o oci:layout:1 -o rootfs:files.tar";
    let env = "--env PATH=/opt/tools:/usr/bin";
    sandbox.imgb(&format!("pack root/:/ {env} -q --no-check --no-deps {outputs}")).run().ok();
    sandbox.program("app", Elf::program(LOADER).needed("libown.so.1").build());
    sandbox
}

/// The forms of the same sysroot.
const FORMS: [&str; 6] =
    ["root", "sys.tar", "docker-archive:sys.tar", "oci:layout:1", "layout:1", "rootfs:files.tar"];

#[test]
fn a_directory_and_an_image_of_it_give_the_same_image() {
    let sandbox = system();
    for input in
        ["./app", "/opt/tools/tool", "/srv/data", "/srv/data/", "/etc/motd", "/etc/motd:/m"]
    {
        let digest = |form: &str| {
            let pack = format!("pack {input} --sysroot {form} --no-check -q -o out.tar");
            sandbox.imgb(&pack).run().ok().digest()
        };
        let wanted = digest("root");
        for form in FORMS {
            assert_eq!(digest(form), wanted, "{input} from {form}");
        }
    }
    let paths = sandbox.imgb("plan ./app --all --sysroot sys.tar").run().ok();
    for path in ["/usr/lib64/libown.so.1.2 ", "/var/lib/dpkg/status.d/own "] {
        assert!(paths.text().contains(path), "{}", paths.show());
    }
    assert!(!paths.text().contains("/etc/motd"), "{}", paths.show());
}

#[test]
fn bare_names_are_found_by_the_images_own_path() {
    let sandbox = system();
    sandbox.imgb("plan tool --all --sysroot sys.tar").run().ok().prints("/opt/tools/tool ");
    sandbox.imgb("deps tool --list --sysroot oci:layout").run().ok().prints("/libown.so.1\n");
    // A directory has no PATH, and this machine's is not asked.
    sandbox.imgb("plan tool --sysroot root").run().error(3, &["tool"]);
    // A host's file is not looked for in the sysroot, and what the sysroot lacks is not the host's.
    sandbox.imgb("plan sh --sysroot sys.tar").run().error(3, &["`sh`"]);
    sandbox.imgb("plan /opt/tools/toll --sysroot sys.tar").run().error(3, &["/opt/tools/toll"]);
}

#[test]
fn pack_in_a_buildfile_takes_an_image_as_sysroot() {
    let sandbox = system();
    sandbox.program("ctx/app", Elf::program(LOADER).needed("libown.so.1").build());
    let build = |sysroot: &str, options: &str| {
        let recipe = format!("FROM scratch\nPACK {sysroot} ./app tool /bin/\nCMD [\"/bin/app\"]\n");
        sandbox.file("ctx/Buildfile", recipe);
        sandbox.imgb(&format!("build ctx {options} --no-check -q -o out.tar")).run()
    };
    let wanted = build("--sysroot=../sys.tar", "").ok().digest();
    // The history names the instruction.
    assert_ne!(build("", "--sysroot sys.tar").ok().digest(), wanted);
    assert_eq!(build("--sysroot=../sys.tar", "--sysroot root").ok().digest(), wanted);
    build("--sysroot=../gone", "").error(3, &["gone"]);
    build("--sysroot=../root", "").error(3, &["`tool`"]);
}

/// Where the base is an operating system, a library of this machine would belong to another.
#[test]
fn a_base_that_is_a_system_is_the_sysroot() {
    let sandbox = system();
    sandbox.imgb("pack ./app --base sys.tar --no-check -q -o over.tar").run().ok();
    sandbox.imgb("plan tool --all --base sys.tar").run().ok().prints("0 paths");
    sandbox.program("other", Elf::program(LOADER).needed("libc.so.6").build());
    let refused = sandbox.imgb("pack ./other --base sys.tar -q -o x.tar").run();
    refused.error(1, &["libc.so.6", "--sysroot /"]);
    sandbox.file("ctx/Buildfile", "FROM ../sys.tar\nPACK tool\nPACK --sysroot=/ true\n");
    sandbox.imgb("build ctx --no-check -q -o x.tar").run().ok();
    sandbox.file("ctx/Buildfile", "FROM ../sys.tar\nPACK true\n");
    sandbox.imgb("build ctx --no-check -q -o x.tar").run().error(3, &["`true`"]);
    // Files alone are not a system.
    sandbox.imgb("pack /srv/data --sysroot sys.tar --no-check -q -o data.tar").run().ok();
    sandbox.imgb("plan true --base data.tar").run().ok();
}

#[test]
fn a_sysroot_that_does_not_exist_is_an_error() {
    let sandbox = system();
    for name in ["./gone", "oci:gone", "docker-archive:gone.tar", "rootfs:gone.tar"] {
        let run = sandbox.imgb(&format!("plan ./app --sysroot {name}")).run();
        run.error(3, &["--sysroot", "gone"]);
    }
    sandbox.file("text", "no image");
    sandbox.imgb("plan ./app --sysroot text").run().error(4, &["--sysroot text"]);
}

/// What was used of a layer is in the cache: the layer is read again only for something else, and
/// whatever is wrong with the cache changes no image.
#[test]
fn the_second_time_only_what_is_needed_is_read() {
    let sandbox = system();
    sandbox.file("root/srv/large", noise(300_000));
    sandbox.imgb("pack root/:/ -q --no-check --no-deps -o oci:large:1").run().ok();
    let pack = |input: &str| {
        let options = "--sysroot oci:large:1 --cache cache --no-check -q -o out.tar";
        sandbox.imgb(&format!("pack {input} {options}")).run()
    };
    let wanted = pack("./app").ok().digest();
    let blobs = |dir: &str| {
        let names = sandbox.names(dir).into_iter().map(|name| format!("{dir}/{name}"));
        names.collect::<Vec<_>>()
    };
    let layer = blobs("large/blobs/sha256");
    let layer = layer.iter().max_by_key(|blob| sandbox.read(blob).len()).unwrap();
    let content = sandbox.read(layer);
    sandbox.file(layer, vec![0; content.len()]);
    assert_eq!(pack("./app").ok().digest(), wanted);
    let run = pack("/srv/large");
    assert!(!run.success() && run.stderr().contains("digest"), "{}", run.show());
    sandbox.file(layer, &content);
    pack("/srv/large").ok();
    for blob in blobs("cache/blobs") {
        let mut bytes = sandbox.read(&blob);
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        sandbox.file(&blob, bytes);
    }
    assert_eq!(pack("./app").ok().digest(), wanted);
}

/// Every command that looks files up in an image reads its layers once, and remembers what it used,
/// also where it fails.
#[test]
fn a_registry_sends_the_layers_of_a_sysroot_once() {
    let Some(registry) = registry() else { return };
    let sandbox = system();
    sandbox.file("root/srv/large", noise(300_000));
    let image = format!("docker://{}/sys:1", registry.host());
    sandbox.imgb(&format!("pack root/:/ -q --no-check --no-deps -o {image}")).run().ok();
    let recipe = format!("FROM {image}\nPACK ./app /bin/\n");
    sandbox.program("ctx/app", sandbox.read("app")).file("ctx/Buildfile", recipe);
    sandbox.file("log", "1 openat(AT_FDCWD, \"/etc/motd\", O_RDONLY) = 3\n");
    sandbox.program("lacks", Elf::program(LOADER).needed("libgone.so").build());
    let commands = [
        (0, format!("pack ./app --sysroot {image} --no-check -q -o out.tar")),
        (0, format!("pack ./app --sysroot {image} --dry-run")),
        (0, format!("plan ./app --sysroot {image}")),
        (0, format!("plan ./app --base {image}")),
        (0, format!("plan ./other:/x --base {image} --sysroot /")),
        (0, format!("pack ./app --base {image} --dry-run")),
        (0, "build ctx --dry-run".to_owned()),
        (0, "plan --file ctx/Buildfile ctx".to_owned()),
        (0, format!("deps ./app --sysroot {image}")),
        (0, format!("trace --from-strace log --sysroot {image}")),
        (0, format!("slim {image} --program /opt/tools/tool --dry-run")),
        (1, format!("pack ./lacks --sysroot {image} -q -o out.tar")),
        (1, format!("deps ./lacks --sysroot {image}")),
    ];
    sandbox.file("other", "x");
    for (number, (code, command)) in commands.iter().enumerate() {
        let sent = || {
            let before = registry.sent_of_blobs();
            sandbox.imgb(&format!("{command} --cache cache{number}")).run().exits(*code);
            registry.sent_of_blobs() - before
        };
        let (first, second) = (sent(), sent());
        assert!(first > 300_000 && second < first / 100, "{command}: {first}, {second}");
    }
    // One command uses what another has read.
    let before = registry.sent_of_blobs();
    sandbox.imgb(&format!("deps ./app --sysroot {image} --cache cache0")).run().ok();
    assert!(registry.sent_of_blobs() - before < 3000);
}

/// A layer is asked for again when a file is needed that the cache does not have: then the registry
/// may be gone, or have other bytes.
#[test]
fn a_registry_that_fails_later_has_its_own_exit_codes() {
    let (sandbox, state) = (system(), Arc::new(AtomicU8::new(0)));
    sandbox.file("root/srv/large", noise(300_000)).file("root/srv/other", noise(300_001));
    let (mut honest, now) = (Honest::default(), Arc::clone(&state));
    let server = Server::start(None, move |request| {
        let answer = honest.answer(request);
        let is_layer = request.is("GET", "/v2/app/blobs/*") && answer.body.len() > 300_000;
        match now.load(Ordering::Relaxed) {
            1 if is_layer => Answer::new(503),
            2 if is_layer => Answer { body: vec![0; answer.body.len()], ..answer },
            _ => answer,
        }
    });
    let image = format!("docker://{}/app:1", server.host());
    sandbox.imgb(&format!("pack root/:/ -q --no-check --no-deps -o {image}")).run().ok();
    let imgb = |command: &str| {
        let options = "--cache cache --retry-for 0.001s -q";
        sandbox.imgb(&format!("{command} {options}")).run()
    };
    let pack = |input: &str| imgb(&format!("pack {input} --sysroot {image} --no-check -o out.tar"));
    pack("./app").ok();
    state.store(1, Ordering::Relaxed);
    pack("./app").ok();
    pack("/srv/large").error(6, &["503"]);
    pack("./app /srv/large /srv/other").error(6, &["503"]);
    let recipe = format!("FROM {image}\nFROM scratch\nCOPY --from=0 /srv/large /\n");
    sandbox.file("ctx/Buildfile", recipe);
    imgb("build ctx -o out.tar").error(6, &["503"]);
    imgb(&format!("slim {image} --program /opt/tools/tool --include /srv/large -o out.tar"))
        .error(6, &["503"]);
    state.store(2, Ordering::Relaxed);
    pack("/srv/large").error(7, &["digest"]);
    state.store(0, Ordering::Relaxed);
    pack("/srv/large").ok();
}

/// An archive of an older docker does not name its blobs: nothing tells which of them the pieces in
/// the cache are of.
#[test]
fn a_base_without_digests_of_its_blobs_may_be_compressed_again() {
    let sandbox = system();
    let digest = |how: &str| {
        let save = "pack root/:/ -q --no-check --no-deps -o docker-archive:saved.tar --force";
        sandbox.imgb(&format!("{save} --compress {how}")).run().ok();
        let pack = "pack ./app --base docker-archive:saved.tar --no-check --cache cache -q";
        sandbox.imgb(&format!("{pack} -o out.tar -o rootfs:root.tar")).run().ok();
        sandbox.tool("sha256sum", "root.tar").run().ok().text()
    };
    assert_eq!(digest("none"), digest("gzip"));
}

/// The same program and the same sysroot, on two machines that have nothing else in common.
#[test]
fn the_digest_does_not_depend_on_the_machine() {
    if !is_root() {
        return record_lack("root");
    }
    let sandbox = system();
    // Other tests link to the binary itself.
    sandbox.program("copy", fs_err::read(env!("CARGO_BIN_EXE_imgb")).unwrap());
    sandbox.imgb("pack ./copy:/imgb --soft none -q -o rootfs:imgb.tar").run().ok();
    let digest = |host: &str, os: &str, passwd: &str| {
        sandbox.dir(&format!("{host}/tmp"));
        sandbox.tool("tar", &format!("-xf imgb.tar -C {host}")).run().ok();
        sandbox.file(&format!("{host}/etc/os-release"), os);
        sandbox.file(&format!("{host}/etc/passwd"), passwd);
        sandbox.program(&format!("{host}/usr/lib64/libown.so.1"), "another library");
        for name in ["app", "sys.tar"] {
            sandbox.file(&format!("{host}/{name}"), sandbox.read(name));
            sandbox.mode(&format!("{host}/{name}"), 0o755);
        }
        let args = "/imgb pack ./app --user daemon --sysroot sys.tar --no-check -q -o out.tar";
        sandbox.tool("chroot", &format!("{host} {args}")).run().ok().digest()
    };
    let one = digest("one", "ID=debian\nVERSION_ID=12\n", "daemon:x:1:1::/:/bin/sh\n");
    let other = digest("other", "ID=alpine\n", "daemon:x:77:78::/home:/bin/ash\n");
    assert_eq!(one, other);
}
