//! Sparse files: the four forms that GNU tar writes and the one of libarchive, as tarballs, as
//! layers, and in archives; and maps that lie.

use imgb::{archive::read::Limits, digest::Digest};

use crate::{
    raw_tar::{MAGIC, RawTar, gives, put, read, read_with, refuses},
    sandbox::Sandbox,
};

/// A megabyte with three small regions of data, and a file that is all hole.
const FILES: &str = "truncate -s 1000000 f; printf one | dd of=f conv=notrunc status=none
    printf two | dd of=f bs=1 seek=500000 conv=notrunc status=none
    printf end | dd of=f bs=1 seek=999997 conv=notrunc status=none
    truncate -s 70000 hole; sha256sum f hole >sums";

/// Commands that write `f` and `hole` as sparse members.
const WRITERS: [&str; 5] = [
    "tar -S --format=gnu -cf",
    "tar -S --format=posix --sparse-version=0.0 -cf",
    "tar -S --format=posix --sparse-version=0.1 -cf",
    "tar -S --format=posix --sparse-version=1.0 -cf",
    "bsdtar -cf",
];

/// The archive of one image with the layer `layer`, written by `writer`.
fn image(sandbox: &Sandbox, layer: &str, writer: &str) {
    let diff_id = Digest::of(sandbox.read(layer));
    let rootfs = format!(r#"{{"type":"layers","diff_ids":["{diff_id}"]}}"#);
    let config =
        format!(r#"{{"architecture":"amd64","os":"linux","config":{{}},"rootfs":{rootfs}}}"#);
    let manifest = format!(r#"[{{"Config":"c.json","RepoTags":["a:1"],"Layers":["{layer}"]}}]"#);
    sandbox.file("c.json", config).file("manifest.json", manifest);
    let script = format!("{writer} image.tar c.json manifest.json {layer}");
    sandbox.tool("sh", "-ec").arg(script).run().ok();
}

/// Asserts that `out.tar` holds the two files.
#[track_caller]
fn holds_both(sandbox: &Sandbox) {
    let check = "mkdir x; tar -xf out.tar -C x; cd x; sha256sum -c --quiet ../sums; cd ..; rm -r x";
    sandbox.tool("sh", "-ec").arg(check).run().ok();
}

#[test]
fn every_form_is_read_as_tarball_and_layer() {
    let sandbox = Sandbox::new();
    sandbox.tool("sh", "-ec").arg(FILES).run().ok();
    for writer in WRITERS {
        let script = format!("{writer} s.tar f hole; test $(stat -c %s s.tar) -lt 100000");
        sandbox.tool("sh", "-ec").arg(script).run().ok();
        sandbox.imgb("pack s.tar --no-check -o rootfs:out.tar").run().ok();
        holds_both(&sandbox);
        sandbox.file("Buildfile", "FROM rootfs:s.tar\n");
        sandbox.imgb("build . --no-check -o rootfs:out.tar").run().ok();
        holds_both(&sandbox);
        image(&sandbox, "s.tar", "tar -cf");
        sandbox.file(
            "Buildfile",
            "FROM docker-archive:image.tar\nCOPY --from=docker-archive:image.tar /f /g\n",
        );
        sandbox.imgb("build . --no-check -o rootfs:out.tar").run().ok();
        holds_both(&sandbox);
    }
}

#[test]
fn archives_may_store_layers_as_sparse_files() {
    let sandbox = Sandbox::new();
    sandbox.tool("sh", "-ec").arg(FILES).run().ok();
    let script = "tar -cf l.tar f hole; cp --sparse=always l.tar t; mv t l.tar";
    sandbox.tool("sh", "-ec").arg(script).run().ok();
    for writer in WRITERS {
        image(&sandbox, "l.tar", writer);
        sandbox.tool("sh", "-ec").arg("test $(stat -c %s image.tar) -lt 200000").run().ok();
        sandbox.file("Buildfile", "FROM image.tar\n");
        sandbox.imgb("build . --no-check -o rootfs:out.tar").run().ok();
        holds_both(&sandbox);
    }
}

/// A member in GNU's own format: entries of the header, whether more follow, the length of the
/// file, and what follows the header.
fn old(entries: &[(&str, &str)], more: bool, real: &str, size: usize, body: &[u8]) -> RawTar {
    let tar = RawTar::new().raw(b'S', b"a", b"", |h| {
        put(h, MAGIC, b"ustar  \0");
        put(h, 124..136, format!("{size:011o}\0").as_bytes());
        for (number, (offset, len)) in entries.iter().enumerate() {
            let at = 386 + 24 * number;
            put(h, at..at + 12, offset.as_bytes());
            put(h, at + 12..at + 24, len.as_bytes());
        }
        h[482] = u8::from(more);
        put(h, 483..495, real.as_bytes());
    });
    tar.block(body)
}

/// A member with a map in PAX records, version 0.1.
fn mapped(map: &str, entries: &str, size: &str, body: &str) -> RawTar {
    RawTar::new()
        .pax(&[
            ("GNU.sparse.size", size.as_bytes()),
            ("GNU.sparse.numblocks", entries.as_bytes()),
            ("GNU.sparse.name", b"a"),
            ("GNU.sparse.map", map.as_bytes()),
        ])
        .file("GNUSparseFile.7/a", body)
}

/// A member with the map in its content, version 1.0.
fn in_content(size: &str, map: &str, data: &str) -> RawTar {
    let mut body = map.as_bytes().to_vec();
    body.resize(body.len().next_multiple_of(512), 0);
    body.extend(data.as_bytes());
    RawTar::new()
        .pax(&[
            ("GNU.sparse.major", b"1"),
            ("GNU.sparse.minor", b"0"),
            ("GNU.sparse.name", b"a"),
            ("GNU.sparse.realsize", size.as_bytes()),
        ])
        .raw(b'0', b"GNUSparseFile.7/a", &body, |_| {})
}

#[test]
fn holes_are_zeros() {
    let wanted = "/a \0\0ab\0c\0";
    gives(old(&[("2", "2"), ("5", "1"), ("7", "0")], false, "7", 3, b"abc"), &[wanted]);
    gives(mapped("2,2,5,1,7,0", "3", "7", "abc").file("b", "1"), &[wanted, "/b 1"]);
    gives(in_content("7", "3\n2\n2\n5\n1\n7\n0\n", "abc").file("b", "1"), &[wanted, "/b 1"]);
    gives(mapped("3,0", "1", "3", ""), &["/a \0\0\0"]);
    gives(in_content("0", "0\n", ""), &["/a "]);
    // A map that goes on in two blocks.
    let entry = |at: usize| format!("{at:011o}\0{:011o}\0", 1);
    let block = |from: usize, more: u8| {
        let mut block: Vec<u8> = (0..21).flat_map(|n| entry(2 * (from + n)).into_bytes()).collect();
        block.push(more);
        block.resize(512, 0);
        block
    };
    let body = [block(1, 1), block(22, 0), vec![b'x'; 43]].concat();
    let tar = old(&[("0", "1")], true, "200", 43, &body).file("b", "1");
    let wanted = format!("/a {}{}", "x\0".repeat(43), "\0".repeat(128 - 86));
    gives(tar, &[&wanted, "/b 1"]);
}

#[test]
fn maps_that_lie_are_refused() {
    let wanted = "entry `a` at byte 0: the map of the sparse file is malformed: its regions must \
        be in order, end inside the file, and take all of the content";
    let in_records = wanted.replace("`a`", "`pax`");
    for map in [
        "2,2,3,1",                // an overlap
        "5,2,0,1",                // out of order
        "6,3",                    // past the end
        "9223372036854775807,3",  // a sum that overflows
        "18446744073709551615,3", // no number
        "0,2",                    // less than the content
        "0,4",                    // more than the content
        "-1,3",
        "0,x",
        "0",
        "0,,3",
        "", // no map
    ] {
        let entries = (map.split(',').count() / 2).to_string();
        let is_list = map.split(',').all(|number| number.parse::<i64>().is_ok_and(|n| n >= 0));
        let wanted = if is_list || map.is_empty() { wanted } else { &in_records };
        refuses(mapped(map, &entries, "7", "abc"), wanted);
    }
    refuses(mapped("0,3", "2", "7", "abc"), wanted);
    refuses(old(&[("0", "3"), ("2", "0")], false, "7", 3, b"abc"), wanted);
    refuses(old(&[("0", "3")], false, "2", 3, b"abc"), wanted);
    refuses(old(&[("0", "3")], false, "-7", 3, b"abc"), wanted);
    // GNU tar ends the map at the length that is missing, Go goes on.
    refuses(old(&[("0", "3"), ("4", "\0"), ("5", "2")], false, "7", 5, b"abcde"), wanted);
    // Go takes a member without map and version as it is stored, and one of two sizes.
    refuses(mapped("", "0", "7", ""), wanted);
    let two_sizes = [
        ("GNU.sparse.size", &b"7"[..]),
        ("GNU.sparse.realsize", b"8"),
        ("GNU.sparse.numblocks", b"1"),
        ("GNU.sparse.map", b"0,3"),
    ];
    refuses(RawTar::new().pax(&two_sizes).file("a", "abc"), wanted);
    for map in ["1\n0\n3", "2\n0\n3\n", "1\n0\n4\n", "x\n", "", "1\n0\n-3\n"] {
        let _ = read(&in_content("7", map, "abc").end()).unwrap_err();
    }
}

#[test]
fn sparse_files_are_bounded() {
    // 8 EiB of zeros, and more regions than anyone needs.
    let most = i64::MAX.to_string();
    let error = read(&mapped("0,3", "1", &most, "abc").end()).unwrap_err();
    assert!(error.ends_with("too many bytes without data in sparse files"), "{error}");
    let error = read(&in_content("7", "9999999\n", "").end()).unwrap_err();
    assert!(error.ends_with("too many regions in a sparse file"), "{error}");
    let limits = Limits { regions: 3, ..Limits::default() };
    let two = |tar: RawTar| RawTar(tar.0.repeat(2));
    let error = read_with(
        &two(mapped("0,1,2,1", "2", "9", "ab")).end(),
        imgb::archive::read::Whiteouts::Refuse,
        limits,
    );
    assert!(error.unwrap_err().ends_with("too many regions in sparse files"));
}

#[test]
fn other_forms_are_refused() {
    let wanted = "only the sparse files of GNU tar and libarchive are supported";
    let star = RawTar::new().raw(b'S', b"a", b"", |_| {});
    refuses(star, &format!("entry `a` at byte 0: {wanted}"));
    let star = RawTar::new().pax(&[("SCHILY.realsize", b"7")]).file("a", "");
    refuses(star, &format!("entry `pax` at byte 0: {wanted}"));
    let next = RawTar::new().pax(&[
        ("GNU.sparse.major", b"2"),
        ("GNU.sparse.minor", b"0"),
        ("GNU.sparse.size", b"1"),
    ]);
    refuses(next.file("a", ""), &format!("entry `a` at byte 0: {wanted}"));
    // Only a regular file has holes.
    let link = RawTar::new().pax(&[("GNU.sparse.size", b"7"), ("GNU.sparse.numblocks", b"0")]);
    let error = read(&link.symlink("a", "b").end()).unwrap_err();
    assert!(error.contains("the map of the sparse file is malformed"), "{error}");
}
