//! Go's build information (`runtime/debug.BuildInfo`, `internal/buildinfo`).

use super::{Component, Ecosystem, MAX_COMPONENTS};

/// Where the strings begin.
const STRINGS: usize = 32;
/// The bit of the flags that says so.
const INLINE: u8 = 2;
/// Bytes that the linker puts before and after the list of modules.
const SENTINEL: usize = 16;

/// The modules of a program, the standard library first. `info` begins with the magic, and has the
/// strings in it: [`crate::elf::claims`] writes those of Go before 1.18 so.
pub fn parse(info: &[u8]) -> Vec<Component> {
    read(info).unwrap_or_default()
}

fn read(info: &[u8]) -> Option<Vec<Component>> {
    if info.get(15)? & INLINE == 0 {
        return None;
    }
    let (version, rest) = string(info.get(STRINGS..)?)?;
    let version = std::str::from_utf8(version).ok()?;
    let version = version.strip_prefix("go").unwrap_or(version);
    let mut all: Vec<Component> =
        Component::new(Ecosystem::Golang, "stdlib", version).into_iter().collect();
    let modules = string(rest).map_or(&b""[..], |(modules, _)| modules);
    let inner = modules.len().checked_sub(SENTINEL).and_then(|end| modules.get(SENTINEL..end));
    let text = inner
        .filter(|inner| inner.ends_with(b"\n"))
        .and_then(|text| std::str::from_utf8(text).ok());
    let mut has_module = false;
    let mut main = None;
    for line in text.unwrap_or_default().lines() {
        let mut words = line.split('\t');
        let (kind, path) = (words.next()?, words.next().unwrap_or_default());
        let version = words.next().unwrap_or_default();
        match kind {
            "path" => main = module(path, ""),
            "mod" => {
                has_module = true;
                all.extend(module(path, version));
            }
            "dep" => all.extend(module(path, version)),
            // What the module before is replaced with.
            "=>" => {
                all.pop();
                all.extend(module(path, version));
            }
            _ => {}
        }
        if all.len() >= MAX_COMPONENTS {
            break;
        }
    }
    // Built without modules, as distributions do, a program has only the path of its package.
    all.extend(main.filter(|_| !has_module));
    Some(all)
}

fn module(path: &str, version: &str) -> Option<Component> {
    let (namespace, name) = match path.rsplit_once('/') {
        Some((namespace, name)) => (Some(namespace.to_owned()), name),
        None => (None, path),
    };
    let version = if version == "(devel)" { "" } else { version };
    let component = Component::new(Ecosystem::Golang, name, version)?;
    Some(Component { namespace, ..component })
}

/// A string after its length, a varint, and the rest.
fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut len: usize = 0;
    for (number, byte) in bytes.iter().take(5).enumerate() {
        len |= usize::from(byte & 0x7f) << (7 * number);
        if byte & 0x80 == 0 {
            return bytes.get(number + 1..)?.split_at_checked(len);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Build information as Go 1.18 and later write it.
    fn info(version: &str, modules: &str) -> Vec<u8> {
        let mut out = b"\xff Go buildinf:\x08\x02".to_vec();
        out.resize(STRINGS, 0);
        let modules = [&[1; SENTINEL], modules.as_bytes(), &[2; SENTINEL]].concat();
        for text in [version.as_bytes(), &modules] {
            let mut len = text.len();
            while len >= 0x80 {
                out.push(len as u8 | 0x80);
                len >>= 7;
            }
            out.push(len as u8);
            out.extend(text);
        }
        out
    }

    #[test]
    fn modules_and_what_replaces_them() {
        let modules = "path\tcommand-line-arguments\nmod\texample.com/app\t(devel)\t\n\
            dep\tgithub.com/a/b\tv1.2.3\th1:x=\ndep\told\tv1\n=>\tgithub.com/c/new\tv2\th1:y=\n\
            build\t-compiler=gc\n";
        let purls: Vec<_> = parse(&info("go1.19.8", modules)).iter().map(Component::purl).collect();
        let wanted = [
            "pkg:golang/stdlib@1.19.8",
            "pkg:golang/example.com/app",
            "pkg:golang/github.com/a/b@v1.2.3",
            "pkg:golang/github.com/c/new@v2",
        ];
        assert_eq!(purls, wanted);
        let without =
            parse(&info("go1.19.8", "path\texample.com/app/cmd/app\nbuild\t-trimpath=true\n"));
        assert_eq!(without[1].purl(), "pkg:golang/example.com/app/cmd/app");
        assert_eq!(without.len(), 2);
    }

    #[test]
    fn what_is_cut_short_is_not_read_beyond_its_end() {
        let whole = info("go1.20", "dep\ta\tv1\n");
        for end in 0..whole.len() {
            assert!(parse(&whole[..end]).len() <= 1);
        }
        assert_eq!(parse(&whole).len(), 2);
        let mut pointers = whole;
        pointers[15] = 0;
        assert!(parse(&pointers).is_empty());
    }
}
