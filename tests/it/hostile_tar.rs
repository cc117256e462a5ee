//! Hostile and odd tars, one test for each kind. The names start with numbers of a catalogue of
//! such cases: T for paths and links, S for structure and sizes.

use std::{io::Read as _, sync::Arc};

use imgb::{
    archive::{
        read::{self, Limits, Whiteouts},
        spool::{self, SpoolError, spool},
    },
    compress::{Compression, Encoder, Trailer},
    timestamp::Mtime,
};
use proptest::prelude::*;

use crate::raw_tar::{
    LINK, MAGIC, MODE, MTIME, RawTar, SIZE, SUM, UID, gives, put, read, read_with, record, refuses,
    refuses_bytes, sign, text,
};

#[test]
fn t01_names_that_climb_out() {
    for name in ["../x", "a/../../x", "a/b/../../../x", "/../x", ".."] {
        let wanted = format!("entry `{name}` at byte 512: the path leaves the root with `..`");
        refuses(RawTar::new().dir("ok").file(name, ""), &wanted);
    }
    gives(RawTar::new().file("a/../b", "1"), &["/b 1"]);
}

#[test]
fn t02_spellings_of_one_name() {
    for name in ["etc/x", "/etc/x", "//etc/x", "./etc//x", "etc/./x/."] {
        gives(RawTar::new().file(name, "1"), &["/etc/x 1"]);
    }
}

#[test]
fn t03_entries_below_links_land_inside() {
    gives(RawTar::new().symlink("a", "/tmp").file("a/x", "1"), &["/a -> /tmp", "/tmp/x 1"]);
    gives(
        RawTar::new().dir("usr/lib").symlink("lib", "usr/lib").file("lib/x.so", "1"),
        &["/lib -> usr/lib", "/usr/lib/", "/usr/lib/x.so 1"],
    );
    gives(
        RawTar::new().symlink("a", "../../../etc").file("a/passwd", "1"),
        &["/a -> ../../../etc", "/etc/passwd 1"],
    );
}

#[test]
fn t04_links_over_links() {
    gives(
        RawTar::new().symlink("cur", ".").symlink("par", "cur/..").file("par/x", "1"),
        &["/cur -> .", "/par -> cur/..", "/x 1"],
    );
    gives(
        RawTar::new()
            .dir("inner")
            .symlink("inner/go_up", "..")
            .symlink("inner/go_up/escape", "../victim")
            .file("inner/go_up/escape/f", "1"),
        &["/escape -> ../victim", "/inner/", "/inner/go_up -> ..", "/victim/f 1"],
    );
}

#[test]
fn t05_the_root_is_a_directory() {
    for name in [".", "/.", "/", "a/.."] {
        let wanted = format!("entry `{name}` at byte 0: the root can only be a directory");
        refuses(RawTar::new().symlink(name, "/etc"), &wanted);
        if name != "/" {
            refuses(RawTar::new().file(name, ""), &wanted);
        }
        gives(RawTar::new().dir(name).file("x", "1"), &["/x 1"]);
    }
    refuses(RawTar::new().symlink("", "/etc"), "at byte 0: an empty name");
    gives(RawTar::new().dir("").file("x", "1"), &["/x 1"]);
}

#[test]
fn t06_a_directory_replaces_a_link() {
    let tar = RawTar::new()
        .dir("t")
        .symlink("a", "t")
        .raw(b'5', b"a", b"", |h| put(h, MODE, b"0000700\0"));
    let contents = gives(tar, &["/a/", "/t/"]);
    assert_eq!(contents.replaced, 1);
    let modes: Vec<_> = contents.change.tree.iter().map(|(_, node)| node.meta.mode).collect();
    assert_eq!(modes, [0o700, 0o644], "the link's target keeps its mode");
}

#[test]
fn t07_a_file_replaces_a_link() {
    gives(RawTar::new().file("t", "1").symlink("a", "t").file("a", "2"), &["/a 2", "/t 1"]);
}

#[test]
fn t08_hard_links_stay_inside_and_point_back() {
    let missing = |name: &str, target: &str, at: u32| {
        format!(
            "entry `{name}` at byte {at}: the hard link's target `{target}` is not an earlier file \
                in the archive"
        )
    };
    refuses(RawTar::new().hard_link("h", "/etc/passwd"), &missing("h", "/etc/passwd", 0));
    refuses(RawTar::new().hard_link("h", "late").file("late", ""), &missing("h", "late", 0));
    refuses(RawTar::new().dir("d").hard_link("h", "d"), &missing("h", "d", 512));
    refuses(RawTar::new().hard_link("h", "/"), &missing("h", "/", 0));
    refuses(RawTar::new().hard_link("h", ""), &missing("h", "", 0));
    refuses(
        RawTar::new().hard_link("h", "../x"),
        "entry `h` at byte 0: the path leaves the root with `..`",
    );
    gives(
        RawTar::new()
            .dir("d")
            .file("d/f", "1")
            .symlink("s", "/d")
            .symlink("t", "s")
            .hard_link("h", "t/f"),
        &["/d/", "/d/f 1 (shared)", "/h 1 (shared)", "/s -> /d", "/t -> s"],
    );
    gives(RawTar::new().file("a", "1").hard_link("./a", "a"), &["/a 1 (shared)"]);
}

#[test]
fn t09_hard_links_to_links_and_over_links() {
    gives(
        RawTar::new().symlink("s", "/etc/passwd").hard_link("h", "s"),
        &["/h -> /etc/passwd", "/s -> /etc/passwd"],
    );
    gives(
        RawTar::new().file("a", "1").hard_link("b", "a").file("b", "2"),
        &["/a 1 (shared)", "/b 2"],
    );
    // The attributes are those of the inode, whatever the header of the link says.
    let tar = RawTar::new().file("a", "1").raw(b'1', b"b", b"", |h| {
        put(h, LINK, b"a");
        put(h, MODE, b"0007777\0");
    });
    let tree = gives(tar, &["/a 1 (shared)", "/b 1 (shared)"]).change.tree;
    assert!(tree.iter().all(|(_, node)| node.meta.mode == 0o644));
}

#[test]
fn t10_links_in_circles_and_without_end() {
    let wanted = |name: &str, at: u32| {
        format!("entry `{name}` at byte {at}: too many levels of symbolic links")
    };
    refuses(
        RawTar::new().symlink("a", "b").symlink("b", "a").file("a/x", ""),
        &wanted("a/x", 1024),
    );
    refuses(RawTar::new().symlink("a", "a").file("a/x", ""), &wanted("a/x", 512));
    let chain = |links: u32| {
        (1..links).fold(RawTar::new().symlink("0", "/"), |tar, n| {
            tar.symlink(&n.to_string(), &(n - 1).to_string())
        })
    };
    assert!(read(&chain(40).file("39/x", "1").end()).is_ok());
    refuses(chain(41).file("40/x", ""), &wanted("40/x", 41 * 512));

    // Work is bounded by the number of entries: 39 links, each through hundreds of directories.
    let deep = "d/".repeat(700);
    let mut tar = RawTar::new().symlink("0", "/");
    for n in 1..39 {
        let target = format!("{deep}{}{}", "../".repeat(700), n - 1);
        tar = tar.pax(&[("linkpath", target.as_bytes())]).symlink(&n.to_string(), "");
    }
    let tar = (0..1000).fold(tar, |tar, n| tar.file(&format!("38/f{n}"), ""));
    let error = read(&tar.end()).unwrap_err();
    assert!(error.ends_with(": too many directories and links to follow"), "{error}");
}

#[test]
fn t11_names_too_long() {
    let with = |name: String| RawTar::new().pax(&[("path", name.as_bytes())]).file("short", "1");
    let fits = [
        "x".repeat(255),
        format!("{}y", "x/".repeat(2046)),
        format!("{}/y", vec!["x".repeat(250); 16].join("/")),
    ];
    for name in fits {
        assert_eq!(read(&with(name.clone()).end()).unwrap().change.tree.len(), 1, "{name}");
    }
    for name in [
        "x".repeat(256),
        format!("{}y", "x/".repeat(2047)),
        format!("{}y", "x/".repeat(10_000)),
        vec!["x".repeat(250); 17].join("/"),
    ] {
        let wanted =
            format!("entry `{name}` at byte 0: the path or one of its components is too long");
        refuses(with(name), &wanted);
    }
    // Many deep paths: memory for parents without entries is limited too.
    let tar = (0..1000).fold(RawTar::new(), |tar, n| {
        tar.pax(&[("path", format!("{n}/{}f", "x/".repeat(2000)).as_bytes())]).file("f", "")
    });
    let limits = Limits { paths: 1 << 24, ..Limits::default() };
    let error = read_with(&tar.end(), Whiteouts::Refuse, limits).unwrap_err();
    assert!(error.ends_with(": too many paths"), "{error}");
}

#[test]
fn t12_a_file_where_a_directory_is_needed() {
    refuses(
        RawTar::new().file("a", "").file("a/b", ""),
        "entry `a/b` at byte 512: /a is not a directory",
    );
    refuses(
        RawTar::new().file("f", "").symlink("a", "f").file("a/b", ""),
        "entry `a/b` at byte 1024: /f is not a directory",
    );
    // What has the name of a directory replaces it with everything in it, as in Docker.
    let full = RawTar::new().dir("a").file("a/b", "1").file("a-b", "1");
    assert_eq!(gives(full.clone().file("a", "2"), &["/a 2", "/a-b 1"]).replaced, 2);
    gives(
        full.dir("e").symlink("a", "e").file("a/x", "3"),
        &["/a -> e", "/a-b 1", "/e/", "/e/x 3"],
    );
    gives(RawTar::new().file("a/b/c", "1").file("a", "2"), &["/a 2"]);
    gives(
        RawTar::new().file("a/b/c", "1").file("a", "2").dir("a").file("a/b/d", "3"),
        &["/a/", "/a/b/d 3"],
    );
    gives(RawTar::new().dir("a").file("a-b", "1").file("a", "2"), &["/a 2", "/a-b 1"]);
}

#[test]
fn t13_the_last_of_one_name_counts() {
    let contents =
        gives(RawTar::new().file("a", "1").file("./a", "2").symlink("/a", "3"), &["/a -> 3"]);
    assert_eq!(contents.replaced, 2);
    assert_eq!(gives(RawTar::new().file("a", "1").file("b", "1"), &["/a 1", "/b 1"]).replaced, 0);
    gives(RawTar::new().file("d/a", "1").dir("d"), &["/d/", "/d/a 1"]);
}

#[test]
fn t14_devices_and_unknown_kinds() {
    let device = |tar: RawTar, kind, name: &str| {
        tar.raw(kind, name.as_bytes(), b"", |header| {
            put(header, 329..337, b"0000001\0");
            put(header, 337..345, b"0000003\0");
        })
    };
    let tar = device(device(device(RawTar::new(), b'3', "c"), b'4', "b"), b'6', "p");
    gives(tar, &["/b Block(1, 3)", "/c Character(1, 3)", "/p Fifo"]);
    for kind in [b'Z', b'8', b'9', b'A', b's', 0xff] {
        let wanted = format!(
            "entry `x` at byte 0: members of type {:?} are not supported",
            char::from(kind)
        );
        refuses(RawTar::new().raw(kind, b"x", b"", |_| {}), &wanted);
    }
}

#[test]
fn t15_modes_are_kept() {
    for (field, wanted) in
        [(b"0007777\0", 0o7777), (b"0000000\0", 0), (b"0100644\0", 0o644), (b"0040755\0", 0o755)]
    {
        let tar = RawTar::new().raw(b'0', b"a", b"", |h| put(h, MODE, field));
        let tree = gives(tar, &["/a "]).change.tree;
        assert_eq!(tree.iter().next().unwrap().1.meta.mode, wanted);
    }
    refuses(
        RawTar::new().raw(b'0', b"a", b"", |h| put(h, MODE, b"0000648\0")),
        "entry `a` at byte 0: the mode is not a number in range",
    );
}

#[test]
fn t16_owners_have_32_bits() {
    let field = |bytes: &[u8]| RawTar::new().raw(b'0', b"a", b"", |h| put(h, UID, bytes));
    let pax = |value: &str| RawTar::new().pax(&[("uid", value.as_bytes())]).file("a", "");
    let uid = |tar: RawTar| gives(tar, &["/a "]).change.tree.iter().next().unwrap().1.meta.uid;
    assert_eq!(uid(field(b"")), 0);
    assert_eq!(uid(field(b"\x80\0\0\0\xb2\xd0\x5e\0")), 3_000_000_000);
    assert_eq!(uid(pax("4294967295")), u32::MAX);
    for field in [&b"\xff\xff\xff\xff\xff\xff\xff\xff"[..], b"\x80\0\0\x01\0\0\0\0", b"-000001\0"] {
        let tar = RawTar::new().raw(b'0', b"a", b"", |h| put(h, UID, field));
        refuses(tar, "entry `a` at byte 0: the owner is not a number in range");
    }
    for value in ["4294967296", "-1", "0x0", " 1", ""] {
        refuses(pax(value), "entry `pax` at byte 0: malformed PAX record");
    }
}

#[test]
fn t17_only_capabilities_of_the_attributes() {
    let tar = RawTar::new()
        .pax(&[
            ("SCHILY.xattr.security.capability", b"caps"),
            ("SCHILY.xattr.security.selinux", b"x"),
            ("SCHILY.xattr.trusted.overlay.opaque", b"y"),
            ("SCHILY.xattr.user.overlay.whiteout", b"y"),
        ])
        .file("a", "");
    let contents = gives(tar, &["/a "]);
    assert_eq!(contents.dropped_attributes, 3);
    let attributes = contents.change.tree.iter().next().unwrap().1.meta.xattrs.clone().unwrap();
    assert_eq!(*attributes, [(b"security.capability".to_vec(), b"caps".to_vec())].into());
}

#[test]
fn t18_times() {
    let pax = |value: &str| RawTar::new().pax(&[("mtime", value.as_bytes())]).file("a", "");
    let field = |bytes: &[u8]| RawTar::new().raw(b'0', b"a", b"", |h| put(h, MTIME, bytes));
    let time = |tar: RawTar| {
        let mtime = gives(tar, &["/a "]).change.tree.iter().next().unwrap().1.meta.mtime;
        let Mtime::At(time) = mtime else { panic!("{mtime:?}") };
        time.seconds()
    };
    assert_eq!(time(pax("1.9999999999999999999")), 1);
    assert_eq!(time(pax("-1.5")), -2);
    assert_eq!(time(field(&[0xff; 12])), -1);
    for value in ["1000000000000000000", "nan", "1e3", "", &"9".repeat(400), "inf", "1.5.5"] {
        let error = read(&pax(value).end()).unwrap_err();
        assert!(error.starts_with("in.tar: entry `"), "{error}");
    }
    refuses(field(b"\x80\0\0\0\x7f"), "entry `a` at byte 0: the time is not a number in range");
}

#[test]
fn t19_names_are_bytes() {
    gives(
        RawTar::new().file("A", "1").file("a", "2").raw(b'0', b"\xff\xfe\x1b\\:\n", b"3", |_| {}),
        &["/A 1", "/a 2", "/\\xff\\xfe\\x1b\\\\:\\x0a 3"],
    );
    refuses(
        RawTar::new().raw(b'0', b"../\x1b[31m\xff\n", b"", |_| {}),
        "entry `../\\x1b[31m\\xff\\x0a` at byte 0: the path leaves the root with `..`",
    );
    refuses(
        RawTar::new().pax(&[("path", b"a\0b")]).file("x", ""),
        "entry `pax` at byte 0: malformed PAX record",
    );
    refuses(
        RawTar::new().raw(b'L', b"long", b"a\0b\0", |_| {}).file("x", ""),
        "entry `long` at byte 0: a NUL byte in a name",
    );
    // Bytes after the NUL of a field are ignored.
    gives(RawTar::new().raw(b'0', b"a\0b", b"1", |_| {}), &["/a 1"]);
}

#[test]
fn t20_whiteouts() {
    let layer = |tar: RawTar| read_with(&tar.end(), Whiteouts::Apply, Limits::default());
    for name in [".wh.", ".wh..", ".wh...", "d/.wh...", "d/.wh.", ".wh.a/b", "d/.wh.a/.wh.b"] {
        let error = layer(RawTar::new().file(name, "")).unwrap_err();
        let wanted = "no image can hold a file whose name begins with `.wh.`";
        assert_eq!(error, format!("in.tar: entry `{name}` at byte 0: {wanted}"));
    }
    let change = layer(
        RawTar::new()
            .dir("d")
            .file("d/.wh..wh..opq", "")
            .file(".wh..wh..opq", "")
            .file("d/.wh.gone", "")
            .file("d/gone", "new")
            .symlink("s", "d")
            .file("s/.wh.through", "")
            .file(".wh.s", "")
            .file(".wh..wh.aufs", "")
            .file(".wh..wh.plnk/1.2", ""),
    )
    .unwrap()
    .change;
    assert_eq!(text(&change.tree), ["/d/", "/d/gone new", "/s -> d"]);
    let paths = |paths: std::collections::BTreeSet<imgb::path::ImagePath>| {
        paths.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(paths(change.whiteouts), ["/d/gone", "/d/through", "/s"]);
    assert_eq!(paths(change.opaque), ["/", "/d"]);
}

#[test]
fn t21_no_whiteouts_in_tarballs() {
    for name in [".wh.x", "d/.wh.x", ".wh..wh..opq", ".wh.d/x"] {
        let wanted = format!(
            "entry `{name}` at byte 0: no image can hold a file whose name begins with `.wh.`"
        );
        refuses(RawTar::new().file(name, ""), &wanted);
    }
}

/// A body that is itself a member: a reader that uses another size sees it.
fn smuggled() -> Vec<u8> {
    RawTar::new().file("inner", &"i".repeat(600)).0
}

#[test]
fn s01_s02_the_pax_size_counts() {
    let body = smuggled();
    for size in [0, 16, 512] {
        let tar = RawTar::new()
            .pax(&[("size", body.len().to_string().as_bytes())])
            .raw(b'0', b"outer", &body, |h| put(h, SIZE, format!("{size:011o}").as_bytes()))
            .file("after", "1");
        let tree = read(&tar.end()).unwrap().change.tree;
        let sizes: Vec<_> =
            tree.iter().map(|(p, node)| (p.to_string(), node.file().unwrap().len)).collect();
        assert_eq!(sizes, [("/after".into(), 1), ("/outer".into(), body.len() as u64)]);
    }
}

#[test]
fn s03_the_pax_size_is_the_members() {
    let body = smuggled();
    let tar = RawTar::new()
        .pax(&[("size", body.len().to_string().as_bytes())])
        .raw(b'L', b"long", b"name\0", |_| {})
        .raw(b'0', b"outer", &body, |h| put(h, SIZE, b"00000000000"));
    let tree = read(&tar.end()).unwrap().change.tree;
    assert_eq!(tree.iter().map(|(path, _)| path.to_string()).collect::<Vec<_>>(), ["/name"]);
}

#[test]
fn s04_malformed_extension_headers() {
    let x = |body: &[u8]| RawTar::new().raw(b'x', b"pax", body, |_| {}).file("a", "");
    for body in [
        &b"9 path=ab"[..],
        b"99 path=a\n",
        b"8 path=a\n",
        b"path=a\n",
        b"8 path=\n",
        b"9 size=x\n",
        b"9 path=a\n\0\0\x01",
        b"18446744073709551616 path=a\n",
    ] {
        refuses(x(body), "entry `pax` at byte 0: malformed PAX record");
    }
    let twice = "two extension headers disagree on the name of one entry";
    let long = |tar: RawTar, kind| tar.raw(kind, b"long", b"name\0", |_| {});
    refuses(
        long(RawTar::new().pax(&[("path", b"p")]), b'L').file("a", ""),
        &format!("entry `a` at byte 0: {twice}"),
    );
    refuses(
        long(RawTar::new().pax(&[("linkpath", b"p")]), b'K').symlink("a", ""),
        &format!("entry `a` at byte 0: {twice}"),
    );
    let comment = |tar: RawTar| tar.raw(b'g', b"g", &record("comment", b"c"), |_| {});
    refuses(
        comment(long(RawTar::new(), b'L')).file("a", ""),
        "entry `g` at byte 0: an extension header without an entry after it",
    );
    for tar in [RawTar::new().pax(&[("path", b"p")]), long(RawTar::new(), b'L')] {
        refuses(tar, "at byte 0: an extension header without an entry after it");
    }
    // Well-formed headers, alone and together.
    gives(long(long(RawTar::new(), b'K'), b'L').symlink("a", "b"), &["/name -> name"]);
    gives(long(RawTar::new().pax(&[("uid", b"1")]), b'L').file("a", "1"), &["/name 1"]);
    gives(
        RawTar::new()
            .raw(b'g', b"pax_global_header", &record("comment", b"commit"), |_| {})
            .file("a", "1"),
        &["/a 1"],
    );
    for (key, value) in [("path", "b"), ("linkpath", "b"), ("size", "1"), ("GNU.sparse.size", "1")]
    {
        refuses(
            RawTar::new()
                .raw(b'g', b"global", &record(key, value.as_bytes()), |_| {})
                .file("a", ""),
            "entry `global` at byte 0: global PAX headers with paths, sizes or capabilities are \
                not supported",
        );
    }
}

#[test]
fn s05_content_where_there_can_be_none() {
    // Readers go on after the header, whatever its size. So content is in the place of a header.
    let long = "x".repeat(600);
    for kind in [b'1', b'2', b'3', b'4', b'5', b'6'] {
        let tar =
            RawTar::new().file("t", "").raw(kind, b"a", long.as_bytes(), |h| put(h, LINK, b"t"));
        refuses(tar, "at byte 1024: this is not a tar header: its checksum is wrong");
    }
    // Readers disagree on a directory that only its name makes one.
    let wanted = "entry `d/` at byte 0: only a regular file may have content";
    refuses(RawTar::new().raw(0, b"d/", b"1", |_| {}), wanted);
}

#[test]
fn s06_sizes_out_of_range() {
    let field = |bytes: &[u8]| {
        RawTar::new().raw(b'0', b"a", b"", |h| {
            h[SIZE].fill(0);
            put(h, SIZE, bytes);
        })
    };
    let number = "entry `a` at byte 0: the size is not a number in range";
    let short = "entry `a` at byte 0: the archive is cut short";
    refuses(field(&[0xff; 12]), number);
    refuses(field(b"\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), number);
    refuses(field(b"\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff"), number);
    refuses(field(b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff"), short);
    refuses(field(b"-0000000001"), number);
    refuses(field(b"0000000000x"), number);
    refuses(field(b"77777777777"), short);
    refuses(RawTar::new().pax(&[("size", b"18446744073709551615")]).file("a", ""), short);
    refuses(RawTar::new().pax(&[("size", b"18446744073709551104")]).file("a", ""), short);
}

#[test]
fn s08_extension_headers_are_bounded() {
    let large = vec![b'c'; (1 << 20) + 1];
    for kind in [b'x', b'g', b'L', b'K'] {
        let tar = RawTar::new().raw(kind, b"big", &large, |_| {}).file("a", "");
        refuses(tar, "entry `big` at byte 0: too many bytes in an extension header");
    }
    // The length is checked before memory is allocated.
    let lie = RawTar::new().raw(b'x', b"big", b"", |h| put(h, SIZE, b"00004000000")).end();
    refuses_bytes(&lie, "entry `big` at byte 0: the archive is cut short");
    let comments =
        (0..30).fold(RawTar::new(), |tar, _| tar.raw(b'g', b"g", &record("comment", b""), |_| {}));
    let limits = Limits { headers: 30, ..Limits::default() };
    let error = read_with(&comments.file("a", "").end(), Whiteouts::Refuse, limits).unwrap_err();
    assert!(error.ends_with(": too many headers"), "{error}");
}

#[test]
fn s09_cut_and_continued() {
    let tar = RawTar::new()
        .pax(&[("path", b"long")])
        .file("a", &"1".repeat(700))
        .dir("d")
        .symlink("s", "d");
    let members = tar.0.len();
    let whole = tar.clone().end();
    // The padding of the last member and the zero blocks may be missing, but no data. So a tar may
    // be cut between members, and nothing shows it.
    for len in 0..whole.len() {
        let found = match len {
            2236..=2560 => vec!["/long"],
            3072 => vec!["/d", "/long"],
            _ if len >= members => vec!["/d", "/long", "/s"],
            _ => vec![],
        };
        match read(&whole[..len]) {
            Ok(contents) => {
                let paths = contents.change.tree.iter().map(|(path, _)| path.to_string());
                assert_eq!(paths.collect::<Vec<_>>(), found, "{len}");
            }
            Err(error) => assert!(found.is_empty(), "{len}: {error}"),
        }
    }
    let after = format!("at byte {members}: data after the end of the archive");
    let again = format!("{after}: another tar archive");
    refuses_bytes(&[&tar.0[..], &[0; 512], &whole[..]].concat(), &again);
    refuses_bytes(&[&whole[..], &whole[..]].concat(), &again);
    refuses_bytes(&[&whole[..], b"x"].concat(), &format!("{after}: text"));
    refuses_bytes(&[&whole[..], &[0x80; 99]].concat(), &format!("{after}: binary data"));
    assert!(read(&[&whole[..], &[0; 20_000]].concat()).is_ok());
    refuses_bytes(b"", "at byte 0: the archive is cut short");
}

#[test]
fn s10_sums_and_old_formats() {
    refuses(
        RawTar::new().raw(b'0', b"a", b"", |h| put(h, SUM, b"0000000\0")),
        "at byte 0: this is not a tar header: its checksum is wrong",
    );
    refuses_bytes(&[b'x'; 2048], "at byte 0: this is not a tar header: its checksum is wrong");
    let signed = RawTar::new().raw(b'0', b"\xff\xfe", b"1", |h| {
        h[SUM].fill(b' ');
        let sum: i32 = h.iter().map(|&byte| i32::from(byte as i8)).sum();
        put(h, SUM, format!("{sum:06o}\0 ").as_bytes());
    });
    gives(signed, &["/\\xff\\xfe 1"]);
    let v7 = |tar: RawTar, name: &str, body: &str| {
        tar.raw(0, name.as_bytes(), body.as_bytes(), |h| h[MAGIC].fill(0))
    };
    gives(v7(v7(RawTar::new(), "d/", ""), "f", "1"), &["/d/", "/f 1"]);
    // star's prefix is 131 bytes long, followed by times.
    let star = RawTar::new().raw(b'0', b"f", b"1", |h| {
        put(h, 345..476, b"p");
        put(h, 476..488, b"00000000001 ");
        put(h, 508..512, b"tar\0");
    });
    gives(star, &["/p/f 1"]);
    // GNU's header has other fields in place of the prefix.
    let gnu = RawTar::new().raw(b'0', b"f", b"1", |h| {
        put(h, MAGIC, b"ustar  \0");
        put(h, 345..357, b"00000000001\0");
    });
    gives(gnu, &["/f 1"]);
    gives(RawTar::new().raw(b'7', b"contiguous", b"1", |_| {}), &["/contiguous 1"]);
    for kind in *b"DMNVX" {
        let wanted = format!(
            "entry `a` at byte 0: members of type {:?} are not supported",
            char::from(kind)
        );
        refuses(RawTar::new().raw(kind, b"a", b"", |h| put(h, MAGIC, b"ustar  \0")), &wanted);
    }
}

/// `data` as imgb compresses it.
pub(crate) fn compressed_with(compression: Compression, data: &[u8]) -> Vec<u8> {
    let frame_len = compression.frame_len(data.len() as u64);
    let mut encoder = Encoder::new(compression, frame_len).unwrap();
    let mut trailer = Trailer::new(compression);
    let (mut stream, mut out) = (trailer.header().to_vec(), Vec::new());
    for chunk in data.chunks(frame_len) {
        trailer.push(&encoder.encode(chunk, &mut out).unwrap());
        stream.extend_from_slice(&out);
    }
    [stream, trailer.finish().unwrap()].concat()
}

/// `data` in each compression format that can be written here.
fn compressed(data: &[u8]) -> Vec<Vec<u8>> {
    let with = |compression| compressed_with(compression, data);
    let mut bzip2 = bzip2::read::BzEncoder::new(data, bzip2::Compression::fast());
    let mut out = Vec::new();
    bzip2.read_to_end(&mut out).unwrap();
    vec![with(Compression::Gzip(1)), with(Compression::Zstd(1)), out]
}

#[test]
fn s11_bombs() {
    let dir = tempfile::tempdir().unwrap();
    for stream in compressed(&vec![0; 4 << 20]) {
        let limits = spool::Limits { bytes: 1 << 20, ..Default::default() };
        let error = spool("bomb", &stream[..], dir.path(), limits).unwrap_err();
        assert_eq!(error.to_string(), "bomb: more than 1048576 bytes when uncompressed");
        let limits = spool::Limits { ratio: 10, ratio_from: 1000, ..Default::default() };
        assert!(matches!(
            spool("bomb", &stream[..], dir.path(), limits),
            Err(SpoolError::Large { .. })
        ));
        assert!(spool("bomb", &stream[..], dir.path(), spool::Limits::default()).is_ok());
    }
    // Uncompressed ones too: the input may be an endless pipe.
    let limits = spool::Limits { bytes: 1 << 20, ..Default::default() };
    assert!(matches!(
        spool("zeros", std::io::repeat(0), dir.path(), limits),
        Err(SpoolError::Large { .. })
    ));
    assert_eq!(fs_err::read_dir(dir.path()).unwrap().count(), 0, "nothing is left behind");
}

#[test]
fn s12_streams_with_trailing_data() {
    let dir = tempfile::tempdir().unwrap();
    let tar = RawTar::new().file("a", "1").end();
    for stream in compressed(&tar) {
        let spool = |stream: &[u8]| spool("s", stream, dir.path(), spool::Limits::default());
        let whole = Arc::new(spool(&stream).unwrap());
        let contents = read::read(&whole, Whiteouts::Refuse, Limits::default()).unwrap();
        assert_eq!(text(&contents.change.tree), ["/a 1"]);
        for damaged in [&stream[..stream.len() - 1], &[&stream[..], b"garbage"].concat()[..]] {
            let error = spool(damaged).unwrap_err();
            assert!(error.to_string().starts_with("s: damaged "), "{error}");
        }
    }
}

#[test]
fn s13_compressed_twice_is_not_an_archive() {
    let dir = tempfile::tempdir().unwrap();
    let tar = RawTar::new().file("a", "1").end();
    for once in compressed(&tar) {
        for twice in compressed(&once) {
            let archive =
                Arc::new(spool("s", &twice[..], dir.path(), spool::Limits::default()).unwrap());
            assert!(read::read(&archive, Whiteouts::Refuse, Limits::default()).is_err());
        }
    }
}

#[test]
fn a_plain_file_is_read_where_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let tar = RawTar::new().file("a", "1").end();
    for (stream, stays) in [(tar.clone(), true), (compressed(&tar).remove(0), false)] {
        let path = dir.path().join("in.tar");
        fs_err::write(&path, &stream).unwrap();
        let file = fs_err::File::open(&path).unwrap().into_file();
        let archive =
            Arc::new(spool::open("in.tar", file, dir.path(), spool::Limits::default()).unwrap());
        let contents = read::read(&archive, Whiteouts::Refuse, Limits::default()).unwrap();
        assert_eq!(text(&contents.change.tree), ["/a 1"]);
        let same = std::os::unix::fs::MetadataExt::ino(&archive.file.metadata().unwrap())
            == std::os::unix::fs::MetadataExt::ino(&fs_err::metadata(&path).unwrap());
        assert_eq!(same, stays);
    }
}

/// A tar with a bit of everything, to be damaged.
fn everything() -> Vec<u8> {
    RawTar::new()
        .dir("d")
        .file("d/f", &"1".repeat(1000))
        .symlink("s", "d")
        .hard_link("h", "d/f")
        .pax(&[
            ("path", b"s/pax"),
            ("mtime", b"1.5"),
            ("SCHILY.xattr.security.capability", b"caps"),
        ])
        .file("x", "2")
        .raw(b'L', b"long", b"d/long\0", |_| {})
        .raw(b'3', b"x", b"", |_| {})
        .end()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Any bytes anywhere, with checksums corrected so that the damage is reached: the reader
    /// answers, and no name leads outside.
    #[test]
    fn damage_is_refused_or_harmless(
        pokes in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..8),
    ) {
        let mut tar = everything();
        for (at, with) in pokes {
            let at = at % tar.len();
            tar[at] = with;
            let header = tar[at / 512 * 512..][..512].first_chunk_mut().unwrap();
            if header[MAGIC].starts_with(b"ustar") {
                sign(header);
            }
        }
        for whiteouts in [Whiteouts::Refuse, Whiteouts::Apply] {
            if let Ok(contents) = read_with(&tar, whiteouts, Limits::default()) {
                text(&contents.change.tree);
            }
        }
    }
}
