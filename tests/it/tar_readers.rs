//! What imgb accepts, other readers list alike: GNU tar, Python's tarfile, and Go's archive/tar
//! where Go is installed. Thousands of generated tars with odd headers and damage, and the tars
//! that Go and Python bring for their own tests.

use std::{
    collections::BTreeMap,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{FileTypeExt as _, MetadataExt as _},
    },
    path::{Path, PathBuf},
};

use imgb::{
    archive::read::{self, Limits, Whiteouts},
    digest::Digest,
    path::ImagePath,
    source::content,
    tree::{Archive, Kind, Special, Tree},
};
use serde_json::Value;

use crate::{
    raw_tar::{MAGIC, MODE, RawTar, SIZE, UID, put, record, sign, sign_signed},
    sandbox::{Run, Sandbox, is_root},
};

/// A file as a reader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    kind: char,
    mode: u64,
    owner: (u64, u64),
    target: Vec<u8>,
    device: (u64, u64),
    /// Length and digest.
    content: (usize, Digest),
}

type Listing = BTreeMap<ImagePath, Seen>;

fn summary(content: &[u8]) -> (usize, Digest) {
    (content.len(), Digest::of(content))
}

/// xorshift64: the same numbers every time.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }

    fn one<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }
}

/// What `tree` holds.
fn of_tree(tree: &Tree) -> Listing {
    let seen = |(path, node): (&ImagePath, &imgb::tree::Node)| {
        let (mut target, mut device, mut content) = (Vec::new(), (0, 0), Vec::<u8>::new());
        let kind = match &node.kind {
            Kind::Directory => 'd',
            Kind::Symlink(to) => {
                target = to.to_vec();
                'l'
            }
            Kind::Special(Special::Fifo) => 'p',
            Kind::Special(special) => {
                let (Special::Character(major, minor) | Special::Block(major, minor)) = special
                else {
                    unreachable!()
                };
                device = (u64::from(*major), u64::from(*minor));
                if matches!(special, Special::Block(..)) { 'b' } else { 'c' }
            }
            Kind::File(file) => {
                content.resize(file.len as usize, 0);
                content::read_at(&file.content, file.len, 0, &mut content).unwrap();
                '-'
            }
        };
        let owner = (u64::from(node.meta.uid), u64::from(node.meta.gid));
        let mode = u64::from(node.meta.mode);
        let content = summary(&content);
        (path.clone(), Seen { kind, mode, owner, target, device, content })
    };
    tree.iter().map(seen).collect()
}

/// What a line of the helper programs says; the message if their reader refuses the tar.
fn of_line(line: &str) -> Result<Listing, String> {
    let entries: Value = serde_json::from_str(line).unwrap();
    let Some(entries) = entries.as_array() else { return Err(entries.to_string()) };
    let mut listing = Listing::new();
    for entry in entries {
        let bytes = |key: &str| {
            let hex = entry[key].as_str().unwrap();
            let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
            (0..hex.len()).step_by(2).map(byte).collect::<Vec<u8>>()
        };
        let number = |value: &Value| value.as_i64().unwrap() as u64;
        let path = ImagePath::new(bytes("name")).map_err(|error| error.to_string())?;
        let kind = match entry["kind"].as_str().unwrap() {
            "file" | "0" | "7" => '-',
            "1" => {
                let target = ImagePath::new(bytes("target")).map_err(|error| error.to_string())?;
                let seen = listing.get(&target).ok_or("a hard link to nothing")?.clone();
                listing.insert(path, seen);
                continue;
            }
            "2" => 'l',
            "3" => 'c',
            "4" => 'b',
            "5" => 'd',
            "6" => 'p',
            other => return Err(format!("a member of type {other}")),
        };
        let seen = Seen {
            kind,
            mode: number(&entry["mode"]),
            owner: (number(&entry["uid"]), number(&entry["gid"])),
            target: if kind == 'l' { bytes("target") } else { Vec::new() },
            device: (number(&entry["device"][0]), number(&entry["device"][1])),
            content: summary(&bytes("content")),
        };
        if !path.is_root() {
            listing.insert(path, seen);
        }
    }
    Ok(listing)
}

/// What GNU tar unpacks into `dir`.
fn of_dir(dir: &Path) -> Listing {
    let mut listing = Listing::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(next) = dirs.pop() {
        for entry in fs_err::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let meta = fs_err::symlink_metadata(&path).unwrap();
            let (kind, mut target, mut content) = (meta.file_type(), Vec::new(), Vec::new());
            let letter = match () {
                () if kind.is_dir() => {
                    dirs.push(path.clone());
                    'd'
                }
                () if kind.is_symlink() => {
                    target = fs_err::read_link(&path).unwrap().into_os_string().as_bytes().to_vec();
                    'l'
                }
                () if kind.is_file() => {
                    content = fs_err::read(&path).unwrap();
                    '-'
                }
                () if kind.is_fifo() => 'p',
                () if kind.is_block_device() => 'b',
                () => 'c',
            };
            let device = match letter {
                'b' | 'c' => {
                    let device = meta.rdev();
                    (rustix::fs::major(device).into(), rustix::fs::minor(device).into())
                }
                _ => (0, 0),
            };
            let name = path.strip_prefix(dir).unwrap().as_os_str().as_bytes();
            listing.insert(
                ImagePath::new(name).unwrap(),
                Seen {
                    kind: letter,
                    mode: u64::from(meta.mode() & 0o7777),
                    owner: (meta.uid().into(), meta.gid().into()),
                    target,
                    device,
                    content: summary(&content),
                },
            );
        }
    }
    listing
}

/// One member with something odd, called `name`.
fn member(random: &mut Random, tar: RawTar, name: &str) -> RawTar {
    let body = "b".repeat(random.one(&[0, 1, 5, 511, 512, 513, 1500]));
    let long = format!("{name}{}", "/long".repeat(30));
    let key =
        random.one(&["path", "uid", "gid", "mtime", "comment", "SCHILY.xattr.user.a", "size"]);
    let value = match key {
        "path" => name.to_owned() + random.one(&["", "x", "/y", "//z", "\u{e9}"]),
        "size" => body.len().to_string(),
        _ => random.one(&["7", "0", "65535"]).to_owned(),
    };
    let kind = random.one(b"01234567\0SLx");
    match random.below(14) {
        0 => tar.pax(&[(key, value.as_bytes())]).file(name, &body),
        1 => tar.pax(&[(key, b"1"), (key, value.as_bytes())]).file(name, &body),
        2 => tar
            .raw(b'L', b"././@LongLink", &[long.as_bytes(), b"\0"].concat(), |_| {})
            .file(name, &body),
        3 => tar.raw(b'g', b"g", &record(key, value.as_bytes()), |_| {}).file(name, &body),
        4 => tar.raw(kind, name.as_bytes(), body.as_bytes(), |h| put(h, 157..257, b"first")),
        5 => tar.raw(kind, name.as_bytes(), b"", |h| {
            put(h, 157..257, b"first");
            put(h, SIZE, b"00000000700");
        }),
        6 => {
            let magic =
                random.one(&[&b"ustar\0xy"[..], b"ustar  \0", b"ustar\0\0\0", b"\0\0\0\0\0\0\0\0"]);
            let prefix = random.one(&[
                &b""[..],
                b"pre/fix",
                b"00000000001",
                b"\x80\0\0\0\0\0\0\0\0\0\0\x01",
            ]);
            tar.raw(b'0', name.as_bytes(), body.as_bytes(), |h| {
                put(h, MAGIC, magic);
                put(h, 345..500, prefix);
            })
        }
        7 => tar.raw(b'0', name.as_bytes(), body.as_bytes(), |h| {
            put(h, MODE, b"0104755\0");
            put(h, UID, b"\x80\0\0\0\0\x01\0\0");
        }),
        8 => tar.raw(b'0', &[name.as_bytes(), b"\xff"].concat(), body.as_bytes(), sign_signed),
        9 => tar.raw(random.one(b"05\0"), format!("{name}/").as_bytes(), b"", |_| {}),
        10..=12 => sparse_member(random, tar, name, &body),
        _ => tar.file(name, &body),
    }
}

/// A sparse file in one of three forms, with a hole before or after its data.
fn sparse_member(random: &mut Random, tar: RawTar, name: &str, body: &str) -> RawTar {
    match random.below(3) {
        0 => {
            let map = format!("0,{0},{1},0", body.len(), body.len() + 9);
            let size = (body.len() + 9).to_string();
            let records: &[(&str, &[u8])] = &[
                ("GNU.sparse.size", size.as_bytes()),
                ("GNU.sparse.numblocks", b"2"),
                ("GNU.sparse.name", name.as_bytes()),
                ("GNU.sparse.map", map.as_bytes()),
            ];
            tar.pax(records).file("GNUSparseFile.0/f", body)
        }
        1 => {
            let map = format!("2\n3\n{}\n{}\n0\n", body.len(), body.len() + 5);
            let mut stored = map.into_bytes();
            stored.resize(512, 0);
            stored.extend(body.as_bytes());
            let size = (body.len() + 5).to_string();
            let records: &[(&str, &[u8])] = &[
                ("GNU.sparse.major", b"1"),
                ("GNU.sparse.minor", b"0"),
                ("GNU.sparse.name", name.as_bytes()),
                ("GNU.sparse.realsize", size.as_bytes()),
            ];
            tar.pax(records).raw(b'0', b"GNUSparseFile.0/f", &stored, |_| {})
        }
        _ => tar.raw(b'S', name.as_bytes(), body.as_bytes(), |h| {
            put(h, MAGIC, b"ustar  \0");
            put(h, 386..398, b"00000000003\0");
            put(h, 398..410, format!("{:011o}\0", body.len()).as_bytes());
            put(h, 410..422, format!("{:011o}\0", body.len() + 4).as_bytes());
            put(h, 422..434, b"00000000000\0");
            put(h, 483..495, format!("{:011o}\0", body.len() + 4).as_bytes());
        }),
    }
}

/// A tar with a few members, an end of some kind, and perhaps damage.
fn generate(random: &mut Random) -> Vec<u8> {
    let mut tar = RawTar::new().file("first", "1");
    for number in 0..1 + random.below(3) {
        tar = member(random, tar, &format!("m{number}"));
    }
    let mut bytes = tar.file("last", "2").0;
    for _ in 0..random.one(&[0, 0, 0, 1, 2, 3]) {
        let at = random.below(bytes.len());
        bytes[at] = random.one(b"\0 0157/LxgS\x80\xffaus");
        let header = bytes[at / 512 * 512..][..512].first_chunk_mut().unwrap();
        if header[257..262] == *b"ustar" {
            sign(header);
        }
    }
    bytes.resize(bytes.len() + random.one(&[0, 512, 1024, 1024, 10240]), 0);
    bytes
}

/// What imgb reads from the tar at `path` as a layer; `None` if it refuses that, or if the order of
/// entries decides what stands at a path.
fn ours(path: &Path) -> Option<Listing> {
    let file = fs_err::File::open(path).unwrap().into_file();
    let archive = Archive::new("in.tar", file);
    let contents = read::read(&archive.into(), Whiteouts::Apply, Limits::default()).ok()?;
    let change = contents.change;
    let whiteouts = change.whiteouts.len() + change.opaque.len();
    let listing = of_tree(&change.tree);
    let links = || listing.iter().filter(|(_, seen)| seen.kind == 'l').map(|(path, _)| path);
    let crosses =
        listing.keys().any(|path| links().any(|link| path != link && path.is_within(link)));
    (contents.replaced + whiteouts == 0 && !crosses).then_some(listing)
}

/// What a reader makes of a tar that imgb takes.
type Theirs = Result<Listing, String>;

/// The lines that `program` prints for the tars at `paths`.
fn lines(program: Run, paths: &[PathBuf]) -> Vec<Theirs> {
    let run = paths.iter().fold(program, |run, path| run.arg(path)).run().ok();
    run.text().lines().map(of_line).collect()
}

fn python(paths: &[PathBuf]) -> Vec<Theirs> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/tar_readers.py");
    lines(Run::new("/usr/bin/python3").arg(script), paths)
}

/// `None` where Go is not installed.
fn go(sandbox: &Sandbox, paths: &[PathBuf]) -> Option<Vec<Theirs>> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if !Run::new("sh").args("-c").arg("command -v go").env("PATH", &path).run().success() {
        return None;
    }
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/tar_readers.go");
    let build = sandbox.tool("sh", "-c").arg("go build -o list list.go").env("PATH", path);
    fs_err::copy(source, sandbox.path("list.go")).unwrap();
    build.env("GOCACHE", sandbox.path("cache")).env("GOTOOLCHAIN", "local").run().ok();
    Some(lines(Run::new(sandbox.path("list")), paths))
}

fn gnu(sandbox: &Sandbox, path: &Path) -> Theirs {
    let dir = sandbox.path("x");
    let _ = fs_err::remove_dir_all(&dir);
    fs_err::create_dir(&dir).unwrap();
    let run = sandbox.tool("tar", "-x --numeric-owner --same-owner -p --warning=no-all -C x -f");
    let run = run.arg(path).run();
    if run.success() { Ok(of_dir(&dir)) } else { Err(run.stderr().to_owned()) }
}

/// What readers are known to do to a tar, apart from imgb and Go.
struct Known {
    /// GNU tar and Python apply the owners of a global header.
    global: bool,
    /// Python takes the times in GNU's header for a prefix.
    times: bool,
    /// Python takes the first of two extension headers of one kind.
    twice: bool,
}

impl Known {
    fn of(tar: &[u8]) -> Self {
        let kinds: Vec<u8> = tar
            .chunks_exact(512)
            .filter(|block| block[257..].starts_with(b"ustar"))
            .map(|block| block[156])
            .collect();
        let times =
            tar.chunks_exact(512).any(|block| block[257..265] == *b"ustar  \0" && block[345] != 0);
        let twice = kinds.windows(2).any(|pair| pair[0] == pair[1] && b"xLK".contains(&pair[0]));
        Self { global: kinds.contains(&b'g'), times, twice }
    }
}

/// How `theirs` differs from `ours`, which stands for the parents of entries without nodes.
fn difference(ours: &Listing, theirs: &Theirs) -> Option<String> {
    let theirs = match theirs {
        Ok(theirs) => theirs,
        Err(error) => return Some(format!("refused: {error}")),
    };
    for (path, seen) in ours {
        // A link has no mode of its own.
        let mut wanted = theirs.get(path).cloned();
        if let Some(wanted) = wanted.as_mut().filter(|wanted| wanted.kind == 'l') {
            wanted.mode = seen.mode;
        }
        if wanted.as_ref() != Some(seen) {
            return Some(format!("{path}: {seen:?}, not {wanted:?}"));
        }
    }
    let more = theirs.iter().find(|(path, seen)| seen.kind != 'd' && !ours.contains_key(*path));
    more.map(|(path, _)| format!("{path} is not there"))
}

/// How other readers differ from imgb about the tars that it takes.
fn compare(sandbox: &Sandbox, accepted: &[(PathBuf, Listing)]) -> Vec<String> {
    let paths: Vec<PathBuf> = accepted.iter().map(|(path, _)| path.clone()).collect();
    let (by_python, by_go) = (python(&paths), go(sandbox, &paths));
    let mut differences = Vec::new();
    for (number, (path, listing)) in accepted.iter().enumerate() {
        let known = Known::of(&fs_err::read(path).unwrap());
        let mut compare = |reader: &str, theirs: &Theirs| {
            let mut theirs = theirs.clone();
            if let (Ok(theirs), true, true) = (&mut theirs, known.global, reader != "Go") {
                for (path, seen) in theirs {
                    seen.owner = listing.get(path).map_or(seen.owner, |ours| ours.owner);
                }
            }
            if let Some(difference) = difference(listing, &theirs) {
                differences.push(format!("{}: {reader}: {difference}", path.display()));
            }
        };
        if !known.times && !known.twice {
            compare("Python", &by_python[number]);
        }
        if is_root() {
            compare("GNU tar", &gnu(sandbox, path));
        }
        if let Some(by_go) = &by_go {
            compare("Go", &by_go[number]);
        }
    }
    differences
}

#[test]
fn readers_list_alike_what_imgb_accepts() {
    let sandbox = Sandbox::new();
    let mut random = Random(0x1234_5678_9abc_def1);
    let mut accepted = Vec::new();
    // More for a longer run.
    let total = std::env::var("IMGB_TARS").map_or(600, |total| total.parse().unwrap());
    for number in 0..total {
        let path = sandbox.path(format!("{number}.tar"));
        fs_err::write(&path, generate(&mut random)).unwrap();
        match ours(&path) {
            Some(listing) => accepted.push((path, listing)),
            None => fs_err::remove_file(path).unwrap(),
        }
    }
    assert!(accepted.len() > total / 5, "{} of {total}", accepted.len());
    let differences: Vec<_> =
        accepted.chunks(500).flat_map(|part| compare(&sandbox, part)).collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// The tars that Go and Python are tested with, where they are installed.
#[test]
fn readers_list_alike_the_tars_of_their_own_tests() {
    let sandbox = Sandbox::new();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let find = "for dir in $(go env GOROOT 2>/dev/null)/src/archive/tar/testdata \
        $(python3 -c 'import sys; print(sys.prefix)')/lib/python3*/test; do
            find $dir -name '*.tar' -size -1000k 2>/dev/null || :; done";
    let found = Run::new("sh").args("-c").arg(find).env("PATH", path).run().ok().text();
    // Python reads 512 bytes too many or too few of a file that is all data or all hole; the last
    // one lacks its padding, which GNU tar requires.
    let odd = ["pax-nil-sparse-data.tar", "pax-nil-sparse-hole.tar", "sparse-formats.tar"];
    let paths = found.lines().filter(|path| !odd.iter().any(|odd| path.ends_with(odd)));
    let accepted: Vec<_> =
        paths.filter_map(|path| Some((path.into(), ours(Path::new(path))?))).collect();
    let differences = compare(&sandbox, &accepted);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
