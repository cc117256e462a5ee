//! Times of files: a pure function of their content, unless `SOURCE_DATE_EPOCH` is set.

use std::{
    collections::BTreeMap,
    os::unix::fs::MetadataExt as _,
    time::{Duration, SystemTime},
};

use imgb::timestamp::ContentTime;

use crate::{
    engines::have,
    image_spec::Layout,
    sandbox::{Run, Sandbox},
};

/// 1980-01-02, the time of what has no content.
const EARLIEST: i64 = 315_619_200;
/// 2014-01-10, later than the time of any content.
const END: i64 = EARLIEST + (1 << 30);

pub(crate) fn time_of(content: &[u8]) -> i64 {
    let mut time = ContentTime::default();
    time.update(content);
    time.finish().seconds()
}

/// The times of the members of a tar by name.
pub(crate) fn times_in(tar: &[u8]) -> BTreeMap<String, i64> {
    let mut archive = tar::Archive::new(tar);
    let entries = archive.entries().unwrap().map(Result::unwrap);
    let time = |entry: tar::Entry<'_, &[u8]>| {
        let name = entry.path().unwrap().display().to_string();
        (name, entry.header().mtime().unwrap() as i64)
    };
    entries.map(time).collect()
}

/// The times in the root file system that `imgb` makes.
pub(crate) fn packed(sandbox: &Sandbox, args: &str) -> BTreeMap<String, i64> {
    let run = sandbox.imgb(args).args("-q --no-check -o - --format rootfs");
    times_in(&run.run().ok().into_bytes())
}

/// A tree with every kind of file. `large` is several chunks long, and its header stands at the end
/// of one.
fn tree() -> Sandbox {
    let sandbox = Sandbox::new();
    let large: Vec<u8> = (0..9_000_000_u32).map(|i| (i * 31 / 7) as u8).collect();
    sandbox
        .file("tree/empty", "")
        .file("tree/one", "some text\n")
        .file("tree/deep/same", "some text\n")
        .file("tree/other", "same size\n")
        .file("tree/a", vec![b'x'; (512 << 10) - 4 * 512])
        .file("tree/large", large)
        .hard_link("tree/link", "tree/large")
        .symlink("tree/symlink", "one");
    sandbox
}

#[test]
fn equal_content_has_an_equal_time_and_other_content_another() {
    let sandbox = tree();
    let times = packed(&sandbox, "pack ./tree");
    for name in ["tree/empty", "tree/symlink", "tree/", "tree/deep/"] {
        assert_eq!(times[name], EARLIEST, "{name}");
    }
    for name in ["one", "deep/same", "other", "a", "large", "link"] {
        let content = sandbox.read(&format!("tree/{name}"));
        assert_eq!(times[&format!("tree/{name}")], time_of(&content), "{name}");
    }
    assert_ne!(times["tree/one"], times["tree/other"]);
    assert!(times.values().all(|time| (EARLIEST..END).contains(time)), "{times:?}");
}

/// Tarballs, also compressed ones, bring times of their own, and COPY takes files from a base.
#[test]
fn every_way_into_an_image_gives_the_same_times() {
    let sandbox = tree();
    let control = packed(&sandbox, "pack ./tree");
    sandbox.tool("tar", "-cf tree.tar --mtime=@1700000000 --format=gnu tree").run().ok();
    sandbox.tool("tar", "-czf tree.tgz --mtime=@1 --format=pax tree").run().ok();
    for input in ["./tree.tar", "./tree.tgz"] {
        assert_eq!(packed(&sandbox, &format!("pack {input}")), control, "{input}");
    }
    sandbox.file(
        "Buildfile",
        "FROM scratch AS one\nCOPY tree /tree\nFROM scratch AS two\nADD tree.tar /\n\
            FROM scratch AS three\nCOPY --from=one /tree /tree\n",
    );
    for target in ["one", "two", "three"] {
        assert_eq!(packed(&sandbox, &format!("build . --target {target}")), control, "{target}");
    }
    let set = sandbox.imgb("pack ./tree -q -o - --format rootfs").env("SOURCE_DATE_EPOCH", "77");
    let times = times_in(&set.run().ok().into_bytes());
    assert!(times.values().all(|time| *time == 77), "{times:?}");
}

/// The cache, several outputs and compressions make the times in different ways.
#[test]
fn layers_and_roots_have_the_same_times_however_they_are_made() {
    let sandbox = tree();
    let control = packed(&sandbox, "pack ./tree");
    for compression in ["none", "gzip:1", "zstd:1"] {
        for run in 0..3 {
            // Other inodes each time: the cache finds the layer by its content.
            sandbox.tool("cp", "-a tree copy").run().ok();
            let pack = sandbox.imgb("pack ./copy:/tree --cache cache -o oci:out -o rootfs:out.tar");
            pack.args("--no-check -q --compress").arg(compression).run().ok();
            fs_err::remove_dir_all(sandbox.path("copy")).unwrap();
            let what = format!("{compression} {run}");
            assert_eq!(times_in(&sandbox.read("out.tar")), control, "{what}");
            let layout = Layout::open(&sandbox.path("out"));
            let listed = Run::new("bsdtar").args("-tf").arg(&layout.layers()[0]).run().ok();
            assert_eq!(listed.text().lines().count(), control.len(), "{what}");
        }
        fs_err::remove_dir_all(sandbox.path("out")).unwrap();
    }
    sandbox.imgb("pack ./tree --no-check -q --compress none -o oci:plain").run().ok();
    let layer = fs_err::read(&Layout::open(&sandbox.path("plain")).layers()[0]).unwrap();
    assert_eq!(times_in(&layer), control);
}

/// Sets the time of everything below `dir`.
fn touch(sandbox: &Sandbox, dir: &str, seconds: u64) {
    for name in sandbox.names(dir) {
        let path = sandbox.path(dir).join(name);
        if fs_err::symlink_metadata(&path).unwrap().is_file() {
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            fs_err::File::options().append(true).open(path).unwrap().set_modified(time).unwrap();
        }
    }
}

/// A server answers "not modified" where its validators, time and length, are those of before.
#[test]
fn a_server_sends_a_page_that_changed() {
    let sandbox = Sandbox::new();
    if !have(&["nginx", "curl"]) {
        return;
    }
    sandbox.dir("root").file(
        "nginx.conf",
        "user root; daemon off; pid nginx.pid; error_log error.log; events {}\n\
            http {\n access_log off;\n\
            client_body_temp_path t; proxy_temp_path t; fastcgi_temp_path t; uwsgi_temp_path t;\n\
            scgi_temp_path t;\n server { listen unix:nginx.sock; root site; }\n}\n",
    );
    let deploy = |text: &str| {
        sandbox.file("pages/page", text);
        touch(&sandbox, "pages", 1_700_000_000);
        sandbox.imgb("pack ./pages/page:/index.html -q --no-check -o rootfs:site.tar").run().ok();
        sandbox.dir("site").tool("tar", "-xf site.tar -C site").run().ok();
    };
    deploy("one\n");
    let prefix = format!("-e error.log -p {}/ -c nginx.conf", sandbox.root().display());
    let program = std::process::Command::new("/usr/sbin/nginx")
        .args(prefix.split(' '))
        .current_dir(sandbox.root())
        .spawn()
        .unwrap();
    struct Server(std::process::Child);
    impl Drop for Server {
        fn drop(&mut self) {
            let id = rustix::process::Pid::from_child(&self.0);
            let _ = rustix::process::kill_process(id, rustix::process::Signal::QUIT);
            let _ = self.0.wait();
        }
    }
    let _server = Server(program);
    for _ in 0..6000 {
        if sandbox.path("nginx.sock").exists() {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let get = |etag: &str| {
        let run = sandbox.tool("curl", "-s -i --retry 50 --retry-all-errors --retry-delay 1");
        let run = run.args("--unix-socket nginx.sock http://localhost/index.html -H");
        run.arg(format!("If-None-Match: {etag}")).run().ok().text()
    };
    let first = get("\"none\"");
    assert!(first.starts_with("HTTP/1.1 200") && first.ends_with("one\n"), "{first}");
    let etag = first.lines().find_map(|line| line.strip_prefix("ETag: ")).unwrap().trim();
    assert!(get(etag).starts_with("HTTP/1.1 304"), "{first}");
    deploy("two\n");
    let second = get(etag);
    assert!(second.starts_with("HTTP/1.1 200") && second.ends_with("two\n"), "{second}");
}

/// ZIP archives begin with 1980, and some programs take time 0 for a missing file.
#[test]
fn archivers_and_old_programs_accept_the_times() {
    let sandbox = tree();
    if !have(&["python3", "gcc"]) {
        return;
    }
    sandbox.imgb("pack ./tree -q --no-check -o rootfs:root.tar").run().ok();
    sandbox.dir("root").tool("tar", "-xf root.tar -C root").run().ok();
    let script = "import os, zipfile\nz = zipfile.ZipFile('root.zip', 'w')\n\
        for top, dirs, files in os.walk('root'):\n for n in files + dirs:\n  \
        z.write(os.path.join(top, n))\nprint(len(z.namelist()))\n";
    for zone in ["UTC", "Pacific/Honolulu", "Pacific/Kiritimati"] {
        let run = Run::new("python3").args("-c").arg(script).cwd(sandbox.root());
        run.env("TZ", zone).run().ok().prints_only("10\n");
    }
    sandbox.file(
        "src/exists.c",
        "#include <stdio.h>\n#include <sys/stat.h>\nint main(int argc, char **argv) {\n\
            struct stat s = {0};\nfor (int i = 1; i < argc; i++) { stat(argv[i], &s);\n\
            if (!s.st_mtime) { puts(argv[i]); return 1; } }\nreturn 0; }\n",
    );
    sandbox.tool("gcc", "-o exists src/exists.c").run().ok();
    let names = ["empty", "one", "deep", "large"].map(|name| format!("root/tree/{name}"));
    sandbox.tool("./exists", &names.join(" ")).run().ok();
}

/// Only the content counts, not the times on the host.
#[test]
fn times_on_the_host_have_no_influence() {
    let sandbox = tree();
    let digest = || sandbox.imgb("pack ./tree -q --no-check -o out.tar").run().ok().digest();
    let control = digest();
    for seconds in [0, 1, 1_700_000_000, 4_000_000_000] {
        touch(&sandbox, "tree", seconds);
        assert_eq!(sandbox.path("tree/one").metadata().unwrap().mtime(), seconds as i64);
        assert_eq!(digest(), control, "{seconds}");
    }
}
