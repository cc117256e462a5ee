//! No file is read twice, except for the times of large files, and large layers are the same for
//! any number of threads.

use serde_json::Value;

use crate::sandbox::Sandbox;

/// Bytes that compress a little, made without a random generator whose version could change.
fn sample(len: u32, seed: u32) -> Vec<u8> {
    (0..len).map(|i| ((i ^ seed).wrapping_mul(2_654_435_761) >> (11 + i % 13)) as u8 & 63).collect()
}

/// A context that becomes several layers: a large file, many small ones, links.
fn inputs() -> (Sandbox, u64) {
    let sandbox = Sandbox::new();
    let mut total = 0;
    let mut file = |path: &str, len: u32| {
        sandbox.file(path, sample(len, len));
        total += u64::from(len);
    };
    file("tree/one/large", 9_000_001);
    file("tree/one/empty", 0);
    (0..300).for_each(|number| file(&format!("tree/two/d{}/f{number}", number % 7), 4000 + number));
    file("tree/three/one", 1_000_000);
    sandbox.hard_link("tree/two/also", "tree/two/d0/f0").symlink("tree/two/link", "d0/f0");
    sandbox
        .file("tree/Buildfile", "FROM scratch\nCOPY one /one\nCOPY two /two\nCOPY three /one\n")
        .dir("out");
    (sandbox, total)
}

/// Writes an archive and a root file system and reads each file once, with one layer or several.
/// The root equals the one written alone, to a pipe.
#[test]
fn two_outputs_read_each_file_once() {
    for command in ["build tree", "pack ./tree --no-deps", "pack ./tree/two ./tree/one --no-deps"] {
        let (sandbox, total) = inputs();
        for (compression, epoch) in [("none", "1"), ("gzip:1", ""), ("gzip:1", "1"), ("zstd:1", "")]
        {
            let root = sandbox.imgb(&format!("{command} -q -o - --format rootfs"));
            let root = root.env("SOURCE_DATE_EPOCH", epoch).run().ok().into_bytes();
            let run = sandbox.imgb(&format!(
                "{command} --no-cache -o out/a.tar -o rootfs:out/b.tar -o rootfs:out/c.tar"
            ));
            let run = run.args("--timing --json --compress").arg(compression);
            let run = run.env("SOURCE_DATE_EPOCH", epoch).run().ok();
            let json: Value = serde_json::from_str(&run.text()).unwrap();
            // imgb also reads its own copy of the root.
            let read = json["timing"]["bytes_read"].as_u64().unwrap() - root.len() as u64;
            let limit = if epoch.is_empty() { 2 * total } else { total } + total / 2;
            assert!(read < limit, "{command} {compression}: {read} bytes read of {total}");
            assert!(sandbox.read("out/b.tar") == root, "{command} {compression}");
            assert!(sandbox.read("out/c.tar") == root, "{command} {compression}: the copy");
        }
    }
}

/// Cached layers have not been read, but the root needs their content.
#[test]
fn a_root_of_cached_layers_is_whole() {
    let (sandbox, _) = inputs();
    let root = sandbox.imgb("build tree -q -o - --format rootfs").run().ok().into_bytes();
    for _ in 0..3 {
        sandbox.imgb("build tree -q --cache out/cache -o out/a.tar -o rootfs:out/b.tar").run().ok();
        assert!(sandbox.read("out/b.tar") == root);
    }
}

/// Large enough that threads take several chunks at a time first, and single ones at the end.
#[test]
fn a_large_layer_is_the_same_for_any_number_of_threads() {
    let sandbox = Sandbox::new();
    sandbox.file("tree/large", sample(37_000_000, 1)).dir("out");
    for compression in ["none", "gzip:1", "zstd:1"] {
        let pack = |jobs: &str| {
            let run = sandbox.imgb("pack ./tree --no-deps --no-cache -q -o out/a.tar --compress");
            run.arg(compression).arg("--jobs").arg(jobs).run().ok().digest()
        };
        let control = pack("1");
        for jobs in ["2", "4", "7", "16"] {
            assert_eq!(pack(jobs), control, "{compression} --jobs {jobs}");
        }
    }
}
