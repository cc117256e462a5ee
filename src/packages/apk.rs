//! apk's database of Alpine: `installed`, with one paragraph for each package (apk(5)).

use super::{
    Database, Dependency, Format, Links, Listing, MAX_PACKAGES, MAX_TEXT, Package, PackageId,
    Strength, spelling::Spelling, stanza::paragraphs,
};
use crate::path::ImagePath;

/// Where the database may be, the place of older versions first.
pub const FILES: [&str; 2] = ["/lib/apk/db/installed", "/usr/lib/apk/db/installed"];

/// The database that `text`, the file at `path`, is. `links` are the links to directories in the
/// root.
pub fn parse(text: &[u8], path: ImagePath, links: Links) -> Database {
    let installed = paragraphs(text).filter_map(package);
    let mut len = 0;
    let installed = installed.take(MAX_PACKAGES).take_while(|(_, list)| {
        len += list.text_len();
        len <= MAX_TEXT
    });
    let mut packages: Vec<_> = installed.collect();
    packages.sort_by_cached_key(|(package, _)| package.name.clone());
    packages.dedup_by(|(a, _), (b, _)| a.name == b.name);
    let (packages, lists): (Vec<_>, Vec<_>) = packages.into_iter().unzip();
    let lists = (0..).map(PackageId).zip(lists);
    Database::new((Format::Apk, path), packages, lists, Spelling::new(links, b""))
}

/// Lines of a letter, a colon and a value.
fn lines(paragraph: &[u8]) -> impl Iterator<Item = (u8, &[u8], &[u8])> {
    paragraph.split(|&b| b == b'\n').filter_map(|line| match line {
        [letter, b':', value @ ..] => Some((*letter, value, line)),
        _ => None,
    })
}

fn package(paragraph: &[u8]) -> Option<(Package, Listing)> {
    let (mut package, mut list) = (Package::default(), Listing::default());
    let mut dir: &[u8] = b"";
    let mut text = Vec::new();
    for (letter, value, line) in lines(paragraph) {
        let string = || String::from_utf8_lossy(value).into();
        match letter {
            b'P' => package.name = string(),
            b'V' => package.version = string(),
            b'A' => package.architecture = string(),
            b'o' => package.source = string(),
            b'L' => package.licence = Some(string()),
            b'D' => package.dependencies.extend(depends(value, Strength::Depends)),
            // It is installed where all of these are.
            b'i' => package.dependencies.extend(depends(value, Strength::Enhances)),
            b'p' => package.provides = names(value).collect(),
            b'F' => {
                dir = value;
                list.push(&[dir]);
            }
            b'R' if dir.is_empty() => list.push(&[value]),
            b'R' => list.push(&[dir, b"/", value]),
            _ => {}
        }
        text.extend_from_slice(line);
        text.push(b'\n');
    }
    if package.source.is_empty() {
        package.source = package.name.clone();
    }
    package.source_version = package.version.clone();
    package.text = text.into();
    (!package.name.is_empty()).then_some((package, list))
}

fn depends(value: &[u8], strength: Strength) -> impl Iterator<Item = Dependency> {
    names(value).map(move |name| Dependency { alternatives: vec![name], strength })
}

/// Names of packages, libraries (`so:libc.so.6`), commands (`cmd:sh`) and paths, without versions.
/// A conflict (`!name`) is not a dependency.
fn names(value: &[u8]) -> impl Iterator<Item = Box<str>> {
    value.split(u8::is_ascii_whitespace).filter_map(|word| {
        let end = word.iter().position(|b| matches!(b, b'<' | b'>' | b'=' | b'~' | b'@'));
        let name = std::str::from_utf8(word.get(..end.unwrap_or(word.len()))?).ok()?;
        (!name.is_empty() && !name.starts_with('!')).then(|| name.into())
    })
}

/// The paragraph of `package` with those of its files that `has`, and their directories.
pub fn paragraph(package: &Package, has: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let mut out = Vec::new();
    let (mut dir, mut pending): (&[u8], Vec<&[u8]>) = (b"", Vec::new());
    // What comes next belongs to a file that is there.
    let mut is_kept = true;
    for (letter, value, line) in lines(&package.text) {
        match letter {
            b'F' => {
                (dir, pending) = (value, vec![line]);
                is_kept = false;
            }
            b'M' => pending.push(line),
            b'R' => is_kept = has(&[dir, b"/", value].concat()),
            _ => {}
        }
        if is_kept && letter != b'M' {
            for line in pending.drain(..).chain([line]) {
                out.extend_from_slice(line);
                out.push(b'\n');
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A part of the database of Alpine 3.23.
    const INSTALLED: &[u8] = b"\
C:Q18TR4AbuWsapA0X+CI3w/T/AqRyU=
P:busybox
V:1.37.0-r30
A:x86_64
o:busybox
D:so:libc.musl-x86_64.so.1 !uutils>=1
p:cmd:busybox=1.37.0-r30
F:bin
R:busybox
a:0:0:755
Z:Q1bVNnTgbZWFYpY7u7CkGGfMEvpmw=
F:etc
M:0:0:700
R:securetty
Z:Q1mB95Hq2NUTZ599RDiSsj9w5FrOU=
F:usr

C:Q1G2xQQm08BlbpxaVnpaWWAcf0MHo=
P:musl
V:1.2.5-r23
A:x86_64
p:so:libc.musl-x86_64.so.1=1
F:lib
R:ld-musl-x86_64.so.1
";

    #[test]
    fn packages_have_files_dependencies_and_what_they_provide() {
        let database = parse(INSTALLED, ImagePath::root(), Vec::new());
        let owner = |path: &str| {
            let owners = database.owners(&ImagePath::new(path).unwrap());
            owners.iter().map(|id| database.package(*id).unwrap().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(owner("/bin/busybox"), ["busybox 1.37.0-r30"]);
        assert_eq!(owner("/lib/ld-musl-x86_64.so.1"), ["musl 1.2.5-r23"]);
        assert_eq!(owner("/usr"), ["busybox 1.37.0-r30"]);
        let busybox = database.package(PackageId(0)).unwrap();
        let [needs] = &busybox.dependencies[..] else { panic!("one dependency") };
        let found: Vec<_> = database.find(&needs.alternatives[0]).collect();
        assert_eq!((found, needs.strength), (vec![PackageId(1)], Strength::Depends));
        assert_eq!(database.find("cmd:busybox").next(), Some(PackageId(0)));
    }

    #[test]
    fn a_paragraph_keeps_the_files_that_are_there() {
        let database = parse(INSTALLED, ImagePath::root(), Vec::new());
        let busybox = database.package(PackageId(0)).unwrap();
        let text = |has: &str| String::from_utf8(paragraph(busybox, |at| at == has.as_bytes()));
        let head = "C:Q18TR4AbuWsapA0X+CI3w/T/AqRyU=\nP:busybox\nV:1.37.0-r30\nA:x86_64\n\
            o:busybox\nD:so:libc.musl-x86_64.so.1 !uutils>=1\np:cmd:busybox=1.37.0-r30\n";
        let files = "F:bin\nR:busybox\na:0:0:755\nZ:Q1bVNnTgbZWFYpY7u7CkGGfMEvpmw=\n";
        assert_eq!(text("bin/busybox").unwrap(), format!("{head}{files}"));
        let files = "F:etc\nM:0:0:700\nR:securetty\nZ:Q1mB95Hq2NUTZ599RDiSsj9w5FrOU=\n";
        assert_eq!(text("etc/securetty").unwrap(), format!("{head}{files}"));
    }
}
