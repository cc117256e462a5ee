//! Tars of many writers, as GNU tar and Docker take them, one test for each kind. Each test names
//! what the readers were seen to do.

use imgb::{
    archive::read::{Limits, Whiteouts},
    timestamp::{Mtime, Timestamp},
};
use serde_json::json;

use crate::{
    layouts::Layout,
    raw_tar::{
        LINK, MAGIC, MODE, MTIME, RawTar, SIZE, UID, gives, put, read, read_with, record, refuses,
        sign_signed, text,
    },
    sandbox::Sandbox,
};

/// Changes a header to GNU's format, with `prefix` in the place of the prefix.
fn gnu(prefix: &'static [u8]) -> impl Fn(&mut [u8; 512]) {
    move |header| {
        put(header, MAGIC, b"ustar  \0");
        put(header, 345..500, prefix);
    }
}

#[test]
fn a_size_where_no_content_follows_is_ignored() {
    // Go, GNU tar -x, bsdtar and Python go on after the header.
    for (kind, wanted) in [(b'1', "/x T (shared)"), (b'2', "/x -> t"), (b'5', "/x/")] {
        for size in ["00000000001", "00000001274"] {
            let link = |tar: RawTar| {
                tar.raw(kind, b"x", b"", |h| {
                    put(h, LINK, b"t");
                    put(h, SIZE, size.as_bytes());
                })
            };
            let t = if kind == b'1' { "/t T (shared)" } else { "/t T" };
            let tar = link(RawTar::new().file("t", "T")).file("after", "A");
            gives(tar, &["/after A", t, wanted]);
            let tar =
                link(RawTar::new().file("t", "T").pax(&[("size", b"700")])).file("after", "A");
            gives(tar, &["/after A", t, wanted]);
        }
    }
}

#[test]
fn the_last_of_repeated_records_and_headers_counts() {
    // Go, GNU tar, bsdtar and Python agree on records; Python takes the first of two headers.
    let records: &[(&str, &[u8])] =
        &[("path", b"one"), ("uid", b"1"), ("path", b"two"), ("uid", b"2")];
    let tree = gives(RawTar::new().pax(records).file("a", "1"), &["/two 1"]).change.tree;
    assert_eq!(tree.iter().next().unwrap().1.meta.uid, 2);
    gives(
        RawTar::new().pax(&[("path", b"one")]).pax(&[("path", b"two")]).file("a", "1"),
        &["/two 1"],
    );
    gives(RawTar::new().pax(&[("path", b"one")]).pax(&[("uid", b"2")]).file("a", "1"), &["/a 1"]);
    let long = |tar: RawTar, kind, name: &[u8]| tar.raw(kind, b"././@LongLink", name, |_| {});
    let twice = |kind| long(long(RawTar::new(), kind, b"one\0"), kind, b"two\0");
    gives(twice(b'L').file("a", "1"), &["/two 1"]);
    gives(twice(b'K').symlink("a", ""), &["/a -> two"]);
    gives(long(RawTar::new(), b'L', b"one\0\0\0").file("a", "1"), &["/one 1"]);
    // Both kinds may say the same.
    gives(long(RawTar::new().pax(&[("path", b"one")]), b'L', b"one\0").file("a", "1"), &["/one 1"]);
}

#[test]
fn nuls_after_records_are_for_tarballs_only() {
    // GNU tar and Python take them; Go, with which Docker reads layers, does not.
    let body = [record("path", b"one"), vec![0; 40]].concat();
    let tar = RawTar::new().raw(b'x', b"pax", &body, |_| {}).file("a", "1");
    gives(tar.clone(), &["/one 1"]);
    let error = read_with(&tar.end(), Whiteouts::Apply, Limits::default()).unwrap_err();
    assert_eq!(error, "in.tar: entry `pax` at byte 0: malformed PAX record");
}

#[test]
fn global_headers_with_times_and_owners_change_nothing() {
    // Go, and so Docker, applies no global header.
    for (key, value) in
        [("mtime", "77"), ("atime", "1"), ("uid", "5"), ("gid", "6"), ("uname", "u"), ("X.y", "z")]
    {
        let tar = RawTar::new().raw(b'g', b"g", &record(key, value.as_bytes()), |_| {});
        let tree = gives(tar.file("a", "1"), &["/a 1"]).change.tree;
        let meta = &tree.iter().next().unwrap().1.meta;
        assert_eq!((meta.uid, meta.gid, meta.mtime), (0, 0, Mtime::At(Timestamp::EPOCH)));
    }
    // What git archive writes for an empty commit.
    let comment = |tar: RawTar| tar.raw(b'g', b"g", &record("comment", b"c"), |_| {});
    gives(comment(RawTar::new()), &[]);
    gives(comment(RawTar::new().file("a", "1")), &["/a 1"]);
}

#[test]
fn the_prefix_counts_where_readers_take_it() {
    let with = |magic: &'static [u8], prefix: &'static [u8]| {
        RawTar::new().raw(b'0', b"app", b"1", |h| {
            put(h, MAGIC, magic);
            put(h, 345..500, prefix);
        })
    };
    // Go, GNU tar, bsdtar and Python take any version of ustar.
    for magic in [&b"ustar\x0000"[..], b"ustar\0  ", b"ustar\0\0\0", b"ustar\0xy"] {
        gives(with(magic, b"opt/hidden"), &["/opt/hidden/app 1"]);
    }
    let refused =
        "entry `app` at byte 0: readers disagree on the prefix of the name in this header";
    // Go takes a prefix in GNU's format if it is not a time; bsdtar in formats without a name.
    for magic in [&b"ustar  \0"[..], b"ustar  0", b"ustar \0\0", b"\0\0\0\0\0\0\0\0"] {
        refuses(with(magic, b"opt/hidden"), refused);
        refuses(with(magic, b"opt/\xff"), refused);
    }
    for times in
        [&b"00000000001\x0000000000002\0"[..], b"\x80\0\0\0\0\0\0\0\0\0\0\x01", &[0xff; 12]]
    {
        let tar = RawTar::new().raw(b'0', b"app", b"1", |h| {
            put(h, MAGIC, b"ustar  \0");
            put(h, 345..500, times);
        });
        gives(tar, &["/app 1"]);
    }
    gives(RawTar::new().raw(b'0', b"app", b"1", gnu(b"          1\0")), &["/app 1"]);
}

#[test]
fn the_prefix_of_star_ends_before_its_times() {
    let star = |prefix: &str, times: &'static [u8]| {
        let prefix = prefix.to_owned();
        RawTar::new().raw(b'0', b"f", b"1", move |h| {
            put(h, 345..500, prefix.as_bytes());
            put(h, 476..500, times);
            put(h, 508..512, b"tar\0");
        })
    };
    let times = b"00000000001 00000000002 ";
    gives(star("p", times), &["/p/f 1"]);
    let refused = "entry `f` at byte 0: readers disagree on the prefix of the name in this header";
    refuses(star("p", b"no time"), refused);
    // GNU tar, bsdtar and Python read 155 bytes.
    refuses(star(&"p/".repeat(66)[..131], times), refused);
}

#[test]
fn a_file_whose_name_ends_with_a_slash_is_refused() {
    // GNU tar and bsdtar make a directory, Docker a file.
    let wanted = "a file whose name ends with a slash, which some readers take for a directory";
    for kind in [b'0', b'7'] {
        for tar in [RawTar::new(), RawTar::new().pax(&[("path", b"d/")])] {
            let wanted = format!("entry `d/` at byte 0: {wanted}");
            refuses(tar.raw(kind, b"d/", b"", |_| {}), &wanted);
        }
    }
    gives(RawTar::new().raw(0, b"d/", b"", |_| {}), &["/d/"]);
    gives(RawTar::new().raw(b'2', b"d/", b"", |h| put(h, LINK, b"x")), &["/d -> x"]);
}

#[test]
fn nul_bytes_and_blanks_in_keys_are_refused() {
    // Go refuses NULs; GNU tar skips blanks.
    for body in [
        &b"11 pa\0th=a\n"[..],
        b"11 path\0=a\n",
        b"25 SCHILY.xattr.user\0a=b\n",
        b"14 comm\0ent=c\n",
        b"11  path=a\n",
        b"12 uname=\0a\n",
    ] {
        let tar = RawTar::new().raw(b'x', b"pax", body, |_| {}).file("a", "");
        refuses(tar, "entry `pax` at byte 0: malformed PAX record");
    }
    gives(RawTar::new().pax(&[("comment", b"a\0b")]).file("a", "1"), &["/a 1"]);
}

#[test]
fn a_signed_checksum_is_one_in_the_first_header_too() {
    let tar = RawTar::new().raw(b'0', b"\xff\xfe", b"1", sign_signed).file("b", "2");
    gives(tar, &["/b 2", "/\\xff\\xfe 1"]);
}

#[test]
fn numbers_that_go_refuses_are_refused() {
    let tar = RawTar::new().raw(b'0', b"a", b"1", |h| put(h, 329..337, b"xx"));
    refuses(tar, "entry `a` at byte 0: the device is not a number in range");
    for (field, what) in [(UID, "owner"), (MODE, "mode"), (MTIME, "time")] {
        // Also where PAX records replace it, and in extension headers.
        let junk = |h: &mut [u8; 512]| put(h, field.clone(), b"x");
        let pax = RawTar::new().pax(&[("uid", b"1"), ("mtime", b"1")]);
        let wanted = format!("entry `a` at byte 0: the {what} is not a number in range");
        refuses(pax.raw(b'0', b"a", b"", junk), &wanted);
        let wanted = format!("entry `pax` at byte 0: the {what} is not a number in range");
        refuses(RawTar::new().raw(b'x', b"pax", b"9 uid=1\n", junk).file("a", ""), &wanted);
    }
    // Before POSIX, there was no field for it.
    let old = RawTar::new().raw(b'3', b"a", b"", |h| h[MAGIC].fill(0));
    gives(old, &["/a Character(0, 0)"]);
    gives(RawTar::new().raw(b'0', b"a", b"1", |h| put(h, UID, b"   5 \0\0")), &["/a 1"]);
}

#[test]
fn layers_end_as_go_reads_them() {
    let layer = |tar: &[u8]| {
        let read = read_with(tar, Whiteouts::Apply, Limits::default());
        read.map(|contents| text(&contents.change.tree))
    };
    let members = RawTar::new().file("a", "1").file("b", "2").0;
    let ends = |zeros: usize| layer(&[&members[..], &vec![0; zeros]].concat());
    for zeros in [0, 512, 1024, 1030, 10_000] {
        assert_eq!(ends(zeros).unwrap(), ["/a 1", "/b 2"], "{zeros}");
    }
    for zeros in [1, 511, 513, 1023] {
        assert!(ends(zeros).unwrap_err().ends_with("the archive is cut short"), "{zeros}");
        assert!(read(&[&members[..], &vec![0; zeros]].concat()).is_ok());
    }
    assert_eq!(layer(&members[..members.len() - 511]).unwrap(), ["/a 1", "/b 2"]);
    assert!(layer(&members[..members.len() - 512]).is_err());
    assert!(layer(b"").unwrap().is_empty());
}

/// What tools write, through the command: no zero blocks, and NULs after a compressed stream.
#[test]
fn tarballs_from_pipes_are_taken() {
    let sandbox = Sandbox::new();
    sandbox.file("g", "hi\n");
    let script = "tar -b1 -cf - g | head -c -1024 >cut.tar
        tar -c g | (gzip -n; head -c 4096 /dev/zero) >n.tar.gz
        tar -c g | (bzip2; head -c 4096 /dev/zero) >n.tar.bz2
        tar -c g | (xz; head -c 4096 /dev/zero) >n.tar.xz
        tar -c g | (zstd -q; head -c 4096 /dev/zero) >n.tar.zst
        tar -c g | (gzip -n; echo more) >more.tar.gz";
    sandbox.tool("sh", "-ec").arg(script).run().ok();
    for name in ["cut.tar", "n.tar.gz", "n.tar.bz2", "n.tar.xz"] {
        sandbox.imgb("pack --no-check -o rootfs:o.tar").arg(name).run().ok();
        sandbox.tool("tar", "-xOf o.tar g").run().ok().prints_only("hi\n");
    }
    for (name, what) in [
        ("n.tar.zst", "NUL bytes after the end of the zstd stream"),
        ("more.tar.gz", "text after the end of the gzip stream"),
    ] {
        sandbox.imgb("pack --no-check -o image.tar").arg(name).run().error(4, &[name, what]);
    }
}

/// Go's decoders, with which podman, skopeo and umoci read layers, refuse NULs after a stream.
#[test]
fn no_nul_bytes_follow_a_layer() {
    for (tool, taken) in [("gzip -n", false), ("bzip2", false), ("xz", true)] {
        let layout = Layout::new();
        let zeros = "head -c 1024 /dev/zero";
        for (tail, taken) in [("true", true), (zeros, taken)] {
            let script = format!("{zeros} | ({tool}; {tail}) >layer");
            layout.sandbox.tool("sh", "-ec").arg(script).run().ok();
            let mut manifest = layout.manifest(&layout.config().to_string());
            let layer = layout.sandbox.read("layer");
            let blob = layout.blob("application/vnd.oci.image.layer.v1.tar+gzip", &layer);
            manifest["layers"] = json!([blob]);
            layout.index(&[layout.add(&manifest.to_string())]);
            let run = layout.sandbox.imgb("check l").run();
            if taken {
                run.ok();
            } else {
                run.error(4, &["layer sha256:", "NUL bytes after the end of the"]);
            }
        }
    }
}

/// A damaged tarball is never packed as a file by accident.
#[test]
fn what_looks_like_a_tarball_must_be_one() {
    let sandbox = Sandbox::new();
    sandbox.file("g", "hi\n").file("empty.tgz", "").file("app", "#!/bin/sh\n");
    let script = "tar czf as.tar.gz g; head -c 60 as.tar.gz >cut.tar.gz
        tar cf bit.bin g; printf G | dd of=bit.bin conv=notrunc status=none
        echo text | gzip >text.gz; tar cf good.tar g";
    sandbox.tool("sh", "-ec").arg(script).run().ok();
    for name in ["cut.tar.gz", "bit.bin", "empty.tgz"] {
        let advice = ["cannot be read as a tarball", "--as-file", name];
        sandbox
            .imgb("pack --no-check -o image.tar")
            .arg(format!("./{name}"))
            .run()
            .error(4, &advice);
        sandbox.imgb("pack --no-check --as-file -o rootfs:o.tar").arg(name).run().ok();
        sandbox.tool("tar", "-tf o.tar").run().ok().prints_only(&format!("{name}\n"));
        sandbox.imgb("pack --no-check -o rootfs:o.tar").arg(format!("{name}:/x")).run().ok();
        sandbox.tool("tar", "-tf o.tar").run().ok().prints_only("x\n");
        sandbox.file("Buildfile", format!("FROM scratch\nADD {name} /d/\n"));
        sandbox.imgb("build . --no-check -o rootfs:o.tar").run().error(4, &advice);
        sandbox.file("Buildfile", format!("FROM scratch\nCOPY {name} /\n"));
        sandbox.imgb("build . --no-check -o rootfs:o.tar").run().ok();
    }
    sandbox.imgb("pack --no-check -o rootfs:o.tar ./text.gz ./app").run().ok();
    sandbox.imgb("pack --no-check --as-file -o rootfs:o.tar good.tar").run().ok();
    sandbox.tool("tar", "-tf o.tar").run().ok().prints_only("good.tar\n");
}
