//! Facts about a loader, read from its own file: its search directories, the value of `$LIB`, the
//! cache it opens.

use std::{cell::RefCell, collections::BTreeMap, sync::Arc};

use goblin::elf::header as eh;

use crate::elf::{Float, Machine};

/// The properties of a loader that matter for finding libraries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loader {
    /// Whose rules it follows.
    pub dialect: Dialect,
    /// The path by which it is opened: PT_INTERP, or for a library the usual path of its machine's
    /// loader.
    pub path: Arc<[u8]>,
    /// The machine whose objects it loads.
    pub machine: Machine,
    /// The directories that it searches last, in order, without trailing slashes.
    pub system_dirs: Vec<Arc<[u8]>>,
    /// The value of `$LIB` (glibc).
    pub lib: Arc<[u8]>,
    /// The value of `$PLATFORM` (glibc): AT_PLATFORM of the machine's oldest processor.
    pub platform: Arc<[u8]>,
    /// The file that tells it where libraries are: glibc's cache, musl's path file.
    pub config: Arc<[u8]>,
    /// Subdirectories of `glibc-hwcaps`, best first.
    pub hwcaps: Vec<Arc<[u8]>>,
    /// Whether it also searches `tls` and platform subdirectories (glibc before 2.37).
    pub legacy_hwcaps: bool,
    /// Whether it also skips objects for machines of the other byte order or the other ARM
    /// floating-point ABI, as with Debian's and Ubuntu's patch to `open_verify`.
    pub passes_foreign: bool,
}

/// The loaders of one view of files, each read once for all closures through this view, by
/// PT_INTERP and machine.
#[derive(Debug, Default)]
pub struct LoaderMemo(RefCell<BTreeMap<LoaderKey, Loader>>);

type LoaderKey = (Arc<[u8]>, Machine);

impl LoaderMemo {
    /// The loader at `path` for `machine`, if it was read.
    pub(super) fn get(&self, path: &Arc<[u8]>, machine: Machine) -> Option<Loader> {
        self.0.borrow().get(&(path.clone(), machine)).cloned()
    }

    /// Remembers a loader.
    pub(super) fn insert(&self, loader: Loader) {
        self.0.borrow_mut().insert((loader.path.clone(), loader.machine), loader);
    }
}

/// Whose rules a loader follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dialect {
    /// The GNU C library, and any loader that is not known to be another.
    Glibc,
    /// musl.
    Musl,
}

/// Defaults for a loader, used if its file does not contain the values.
struct Known {
    /// Its file name.
    name: &'static str,
    /// Library directory on distributions without multiarch directories: upstream's `slibdir`.
    slib: &'static str,
    /// Debian's multiarch triplet of the architecture.
    triplet: &'static str,
    /// AT_PLATFORM.
    platform: &'static str,
}

impl Loader {
    /// The facts about the loader at `path` for `machine`: from `bytes`, the contents of its file,
    /// as far as they are found there, otherwise the machine's defaults.
    pub fn new(path: &[u8], machine: Machine, bytes: Option<&[u8]>) -> Self {
        let name = path.rsplit(|&b| b == b'/').next().unwrap_or_default();
        let strings = Strings::of(bytes.unwrap_or_default());
        if name.starts_with(b"ld-musl-")
            || strings.find(|s| s.starts_with(b"%.*s/etc/ld-musl-")).is_some()
        {
            return Self::musl(path, machine, &strings);
        }
        let known = known(machine);
        let system_dirs =
            strings.directories().unwrap_or_else(|| usual_directories(&known, bytes.is_none()));
        let config = strings.find(|s| s.starts_with(b"/") && s.ends_with(b"/ld.so.cache"));
        Self {
            dialect: Dialect::Glibc,
            path: path.into(),
            machine,
            lib: strings.lib(&system_dirs).into(),
            platform: known.platform.as_bytes().into(),
            config: config.unwrap_or(b"/etc/ld.so.cache").into(),
            hwcaps: strings.hwcaps().unwrap_or_else(|| usual_hwcaps(machine)),
            legacy_hwcaps: strings.find(|s| s == b"tls").is_some(),
            // Only Debian and Ubuntu have directories of this form; not all their loaders name the
            // vendor.
            passes_foreign: system_dirs
                .iter()
                .any(|dir| dir.windows(10).any(|part| part == b"-linux-gnu")),
            system_dirs,
        }
    }

    fn musl(path: &[u8], machine: Machine, strings: &Strings<'_>) -> Self {
        // `%.*s/etc/ld-musl-ARCH.path`, the format string for the file's name, contains the
        // architecture.
        let format = strings.find(|s| s.starts_with(b"%.*s/etc/ld-musl-") && s.ends_with(b".path"));
        let name = path.rsplit(|&b| b == b'/').next().unwrap_or_default();
        let arch = name.strip_suffix(b".so.1").unwrap_or(name);
        let file = format.map_or_else(|| [b"/etc/", arch, b".path"].concat(), |f| f[4..].to_vec());
        let default =
            strings.find(|s| s.starts_with(b"/lib:/")).unwrap_or(b"/lib:/usr/local/lib:/usr/lib");
        Self {
            dialect: Dialect::Musl,
            path: path.into(),
            machine,
            system_dirs: default
                .split(|&b| b == b':')
                .filter(|d| !d.is_empty())
                .map(Arc::from)
                .collect(),
            lib: Arc::from(&b"lib"[..]),
            platform: Arc::from(&b""[..]),
            config: [prefix(path), &file].concat().into(),
            hwcaps: Vec::new(),
            legacy_hwcaps: false,
            passes_foreign: false,
        }
    }

    /// The subdirectories, besides `glibc-hwcaps`, that the loader searches before a directory
    /// itself on every processor of the machine.
    pub fn baseline_subdirs(&self) -> Vec<Arc<[u8]>> {
        let platform = String::from_utf8_lossy(&self.platform).into_owned();
        let names = match platform.as_str() {
            _ if !self.legacy_hwcaps => Vec::new(),
            // AT_PLATFORM and HWCAP_X86_64, which is always set, have the same name, and each adds
            // directories.
            "x86_64" => ["tls/x86_64/x86_64", "tls/x86_64", "tls", "x86_64/x86_64", "x86_64"]
                .map(str::to_owned)
                .to_vec(),
            // AT_PLATFORM differs between processors.
            "" | "i386" | "v7l" | "v5l" | "power8" | "z900" => vec!["tls".to_owned()],
            one => vec![format!("tls/{one}"), "tls".to_owned(), one.to_owned()],
        };
        names.iter().map(|name| name.as_bytes().into()).collect()
    }
}

/// A loader's path without its last two components: the prefix of musl's path file (`__dls3`,
/// `load_library`).
fn prefix(path: &[u8]) -> &[u8] {
    let mut slashes = path.iter().enumerate().rev().filter(|&(_, &b)| b == b'/').map(|(at, _)| at);
    match (path.first(), slashes.nth(1)) {
        (Some(b'/'), Some(at)) => &path[..at],
        _ => b"",
    }
}

fn known(machine: Machine) -> Known {
    let of = |name, slib, triplet, platform| Known { name, slib, triplet, platform };
    match (machine.arch, machine.is_64, machine.big_endian) {
        (eh::EM_X86_64, true, _) => {
            of("ld-linux-x86-64.so.2", "lib64", "x86_64-linux-gnu", "x86_64")
        }
        (eh::EM_X86_64, false, _) => {
            of("ld-linux-x32.so.2", "libx32", "x86_64-linux-gnux32", "x86_64")
        }
        (eh::EM_386, ..) => of("ld-linux.so.2", "lib", "i386-linux-gnu", "i386"),
        (eh::EM_AARCH64, _, false) => {
            of("ld-linux-aarch64.so.1", "lib64", "aarch64-linux-gnu", "aarch64")
        }
        (eh::EM_AARCH64, _, true) => {
            of("ld-linux-aarch64_be.so.1", "lib64", "aarch64_be-linux-gnu", "aarch64_be")
        }
        (eh::EM_ARM, ..) if machine.arm_float() == Some(Float::Hard) => {
            of("ld-linux-armhf.so.3", "lib", "arm-linux-gnueabihf", "v7l")
        }
        (eh::EM_ARM, ..) => of("ld-linux.so.3", "lib", "arm-linux-gnueabi", "v5l"),
        (eh::EM_PPC64, _, false) => of("ld64.so.2", "lib64", "powerpc64le-linux-gnu", "power8"),
        (eh::EM_PPC64, _, true) if machine.flags & 3 == 2 => {
            of("ld64.so.2", "lib64", "powerpc64-linux-gnu", "")
        }
        (eh::EM_PPC64, _, true) => of("ld64.so.1", "lib64", "powerpc64-linux-gnu", ""),
        (eh::EM_S390, true, _) => of("ld64.so.1", "lib64", "s390x-linux-gnu", "z900"),
        (eh::EM_S390, false, _) => of("ld.so.1", "lib", "s390-linux-gnu", ""),
        (eh::EM_RISCV, true, _) => {
            of("ld-linux-riscv64-lp64d.so.1", "lib64/lp64d", "riscv64-linux-gnu", "")
        }
        (eh::EM_LOONGARCH, ..) => {
            of("ld-linux-loongarch-lp64d.so.1", "lib64", "loongarch64-linux-gnu", "loongarch")
        }
        (eh::EM_MIPS, true, false) => of("ld.so.1", "lib64", "mips64el-linux-gnuabi64", ""),
        (eh::EM_MIPS, true, true) => of("ld.so.1", "lib64", "mips64-linux-gnuabi64", ""),
        (eh::EM_MIPS, false, false) => of("ld.so.1", "lib", "mipsel-linux-gnu", ""),
        (eh::EM_SPARCV9, ..) => of("ld-linux.so.2", "lib64", "sparc64-linux-gnu", ""),
        _ => of("ld.so.1", "lib", "", ""),
    }
}

/// Whether a loader's file name is one of glibc's or musl's.
pub(super) fn has_known_name(path: &[u8]) -> bool {
    let name = path.rsplit(|&b| b == b'/').next().unwrap_or_default();
    [&b"ld-linux"[..], b"ld-musl-", b"ld64.so.", b"ld.so.", b"ld-2."]
        .iter()
        .any(|known| name.starts_with(known))
}

/// The usual paths of a machine's loaders, glibc's first.
pub fn usual_paths(machine: Machine, dialect: Dialect) -> Vec<Vec<u8>> {
    let known = known(machine);
    if dialect == Dialect::Musl {
        return musl_arch(machine)
            .map(|arch| format!("/lib/ld-musl-{arch}.so.1").into_bytes())
            .into_iter()
            .collect();
    }
    // On riscv64, the library directory is below the loader's directory.
    let dirs = ["lib", known.slib.split('/').next().unwrap_or("lib"), known.slib];
    let mut paths: Vec<Vec<u8>> = Vec::new();
    for dir in dirs.iter().rev() {
        let path = format!("/{dir}/{}", known.name).into_bytes();
        if !paths.contains(&path) {
            paths.push(path);
        }
    }
    paths
}

/// musl's name of a machine (`LDSO_ARCH` in its `arch/*/reloc.h`).
fn musl_arch(machine: Machine) -> Option<&'static str> {
    Some(match (machine.arch, machine.is_64, machine.big_endian) {
        (eh::EM_X86_64, true, _) => "x86_64",
        (eh::EM_X86_64, false, _) => "x32",
        (eh::EM_386, ..) => "i386",
        (eh::EM_AARCH64, _, false) => "aarch64",
        (eh::EM_AARCH64, _, true) => "aarch64_be",
        (eh::EM_ARM, _, false) if machine.arm_float() == Some(Float::Hard) => "armhf",
        (eh::EM_ARM, _, false) => "arm",
        (eh::EM_PPC64, _, false) => "powerpc64le",
        (eh::EM_PPC64, _, true) => "powerpc64",
        (eh::EM_PPC, ..) => "powerpc",
        (eh::EM_S390, true, _) => "s390x",
        (eh::EM_RISCV, true, _) => "riscv64",
        (eh::EM_RISCV, false, _) => "riscv32",
        (eh::EM_LOONGARCH, ..) => "loongarch64",
        (eh::EM_MIPS, true, false) => "mips64el",
        (eh::EM_MIPS, true, true) => "mips64",
        (eh::EM_MIPS, false, false) => "mipsel",
        (eh::EM_MIPS, false, true) => "mips",
        _ => return None,
    })
}

/// Upstream's two directories; if the loader's file is missing too, preceded by Debian's.
fn usual_directories(known: &Known, unknown: bool) -> Vec<Arc<[u8]>> {
    let mut dirs = Vec::new();
    if unknown && !known.triplet.is_empty() {
        dirs.extend([format!("/lib/{}", known.triplet), format!("/usr/lib/{}", known.triplet)]);
    }
    dirs.extend([format!("/{}", known.slib), format!("/usr/{}", known.slib)]);
    if unknown && known.slib != "lib" {
        dirs.extend(["/lib".to_owned(), "/usr/lib".to_owned()]);
    }
    dirs.iter().map(|dir| dir.as_bytes().into()).collect()
}

/// glibc-hwcaps subdirectories by machine (`sysdeps/*/dl-hwcaps-subdirs.c`), best first.
fn usual_hwcaps(machine: Machine) -> Vec<Arc<[u8]>> {
    let names: &[&str] = match (machine.arch, machine.is_64) {
        (eh::EM_X86_64, true) => &["x86-64-v4", "x86-64-v3", "x86-64-v2"],
        (eh::EM_PPC64, _) if !machine.big_endian => &["power10", "power9"],
        (eh::EM_S390, true) => &["z17", "z16", "z15", "z14", "z13"],
        _ => &[],
    };
    names.iter().map(|name| name.as_bytes().into()).collect()
}

/// The NUL-terminated strings of a file. Linkers merge common suffixes, so a string may also be the
/// end of another.
struct Strings<'a>(Vec<&'a [u8]>);

impl<'a> Strings<'a> {
    /// Runs of printable characters that end in a NUL, in order.
    fn of(bytes: &'a [u8]) -> Self {
        let runs = bytes.split(|&b| b == 0);
        Self(
            runs.filter_map(|run| {
                let start =
                    run.iter().rposition(|&b| !(0x20..0x7f).contains(&b)).map_or(0, |at| at + 1);
                run.get(start..).filter(|text| !text.is_empty())
            })
            .collect(),
        )
    }

    fn find(&self, mut is: impl FnMut(&[u8]) -> bool) -> Option<&'a [u8]> {
        self.0.iter().copied().find(|text| is(text))
    }

    /// `system_dirs` of `elf/dl-load.c`: the first run of two or more strings `/…/`.
    fn directories(&self) -> Option<Vec<Arc<[u8]>>> {
        let is_dir =
            |text: &&[u8]| text.len() > 2 && text.starts_with(b"/") && text.ends_with(b"/");
        let run = self.0.chunk_by(|a, b| is_dir(a) && is_dir(b)).find(|run| run.len() > 1)?;
        Some(run.iter().map(|dir| Arc::from(&dir[..dir.len() - 1])).collect())
    }

    /// `DL_DST_LIB`: the longest suffix of the first system directory that occurs as a string.
    fn lib(&self, system_dirs: &[Arc<[u8]>]) -> Vec<u8> {
        let first: &[u8] = system_dirs.first().map_or(b"/lib", |dir| dir);
        let mut tail = first.get(1..).unwrap_or_default();
        loop {
            if self.0.contains(&tail) {
                return tail.to_vec();
            }
            match tail.iter().position(|&b| b == b'/') {
                Some(slash) => tail = tail.get(slash + 1..).unwrap_or_default(),
                None => break,
            }
        }
        match first.strip_prefix(b"/usr/").or(first.strip_prefix(b"/")) {
            Some(rest) if first.iter().filter(|&&b| b == b'/').count() <= 2 => rest.to_vec(),
            _ => first.rsplit(|&b| b == b'/').next().unwrap_or(b"lib").to_vec(),
        }
    }

    /// `_dl_hwcaps_subdirs`: names joined by colons.
    fn hwcaps(&self) -> Option<Vec<Arc<[u8]>>> {
        let is_level = |name: &[u8]| {
            let number = |rest: &[u8]| !rest.is_empty() && rest.iter().all(u8::is_ascii_digit);
            [&b"x86-64-v"[..], b"power", b"z"]
                .iter()
                .any(|p| name.strip_prefix(*p).is_some_and(number))
        };
        let list =
            self.find(|text| text.contains(&b':') && text.split(|&b| b == b':').all(is_level))?;
        Some(list.split(|&b| b == b':').map(Arc::from).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const X86_64: Machine =
        Machine { arch: eh::EM_X86_64, is_64: true, big_endian: false, flags: 0 };

    fn texts(of: &[Arc<[u8]>]) -> Vec<String> {
        of.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect()
    }

    #[test]
    fn debians_loader_tells_its_directories() {
        let rodata =
            b"\x01/lib/x86_64-linux-gnu/\0/usr/lib/x86_64-linux-gnu/\0/lib/\0/usr/lib/\0\0\0tls\0\
            lib/x86_64-linux-gnu\0/etc/ld.so.cache\0x86-64-v4:x86-64-v3:x86-64-v2\0";
        let loader = Loader::new(b"/lib64/ld-linux-x86-64.so.2", X86_64, Some(rodata));
        assert_eq!(
            texts(&loader.system_dirs),
            ["/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib", "/usr/lib"]
        );
        assert_eq!(&*loader.lib, b"lib/x86_64-linux-gnu");
        assert_eq!(texts(&loader.hwcaps), ["x86-64-v4", "x86-64-v3", "x86-64-v2"]);
        assert!(loader.legacy_hwcaps);
    }

    #[test]
    fn a_store_path_is_a_directory_too() {
        let rodata = b"/nix/store/x-glibc/lib/\0/nix/store/x-glibc/lib64/\0lib\0\
            /nix/store/x-glibc/etc/ld.so.cache\0";
        let loader =
            Loader::new(b"/nix/store/x-glibc/lib/ld-linux-x86-64.so.2", X86_64, Some(rodata));
        assert_eq!(
            texts(&loader.system_dirs),
            ["/nix/store/x-glibc/lib", "/nix/store/x-glibc/lib64"]
        );
        assert_eq!(&*loader.lib, b"lib");
        assert_eq!(&*loader.config, b"/nix/store/x-glibc/etc/ld.so.cache");
        assert!(!loader.legacy_hwcaps);
    }

    #[test]
    fn musl_keeps_its_path_file_by_its_prefix() {
        let loader = Loader::new(b"/opt/x/lib/ld-musl-x86_64.so.1", X86_64, None);
        assert_eq!(&*loader.config, b"/opt/x/etc/ld-musl-x86_64.path");
        assert_eq!(texts(&loader.system_dirs), ["/lib", "/usr/local/lib", "/usr/lib"]);
        assert_eq!(
            &*Loader::new(b"/lib/ld-musl-x86_64.so.1", X86_64, None).config,
            b"/etc/ld-musl-x86_64.path"
        );
    }

    #[test]
    fn without_the_file_the_usual_is_taken() {
        let loader = Loader::new(b"/lib64/ld-linux-x86-64.so.2", X86_64, None);
        assert_eq!(texts(&loader.system_dirs)[0], "/lib/x86_64-linux-gnu");
        assert_eq!(usual_paths(X86_64, Dialect::Glibc)[0], b"/lib64/ld-linux-x86-64.so.2");
    }
}
