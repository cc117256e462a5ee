//! Asks the real loaders what they would load. They start no program: glibc's stops before that if
//! LD_TRACE_LOADED_OBJECTS is set, musl's has `--list`.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::Permissions,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{PermissionsExt as _, symlink},
    },
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
};

use imgb::{
    elf::{
        Closure, Cpu, Dialect, LoaderOptions, Lookup as _, Outcome, Program, SearchRule, Tag,
        closure,
    },
    path::ImagePath,
    source::HostRoot,
    view::View,
};
use tempfile::TempDir;

use crate::{
    elf_builder::Elf,
    sandbox::{PATH, is_root},
};

/// glibc's loader for x86-64.
pub(crate) const GLIBC: &str = "/lib64/ld-linux-x86-64.so.2";
/// musl's loader for x86-64.
pub(crate) const MUSL: &str = "/lib/ld-musl-x86_64.so.1";

/// What a loader says it loads.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Listing {
    /// Requested name and path of each object, in order.
    pub(crate) loads: Vec<(String, String)>,
    /// Names that were not found, tokens replaced, sorted: a missing filtee is listed where it
    /// would have been.
    pub(crate) missing: Vec<String>,
    /// Whether the loader stopped with an error.
    pub(crate) failed: bool,
}

/// The listing that the command prints.
pub(crate) fn trace(command: &mut Command) -> Listing {
    let output = command.env("LD_TRACE_LOADED_OBJECTS", "1").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    parse(&text.lines().collect::<Vec<&str>>(), output.status.success())
}

/// Parses lines `\tNAME => PATH (ADDRESS)`, `\tPATH (ADDRESS)` and `\tNAME => not found`.
fn parse(lines: &[&str], success: bool) -> Listing {
    let mut listing = Listing { failed: !success, ..Listing::default() };
    for line in lines.iter().filter_map(|line| line.strip_prefix('\t')) {
        // The vDSO that qemu provides has no name.
        if ["statically linked", "linux-vdso", "linux-gate", " (0x"]
            .iter()
            .any(|start| line.starts_with(start))
        {
            continue;
        }
        if let Some(name) = line.strip_suffix(" => not found") {
            listing.missing.push(name.to_owned());
            continue;
        }
        let (name, path) = line.split_once(" => ").unwrap_or(("", line));
        let path = path.rsplit_once(" (0x").map_or(path, |(path, _)| path);
        let name = if name.is_empty() { path } else { name };
        listing.loads.push((name.to_owned(), path.to_owned()));
    }
    listing.missing.sort();
    listing
}

/// imgb's closure of a program, in the same form.
pub(crate) fn ours(closure: &Closure, program: &Program) -> Listing {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut names = BTreeMap::new();
    for edge in &program.edges {
        if let Outcome::Found(file, rule) = &edge.outcome
            && !matches!(rule, SearchRule::Loaded(_))
        {
            let name =
                if edge.name.contains(&b'$') { &closure.files[*file].opened } else { &edge.name };
            names.entry(*file).or_insert_with(|| text(name));
        }
    }
    if let (Some(interpreter), Some(loader)) = (program.interpreter, program.loader) {
        names.insert(interpreter, text(&closure.loaders[loader].path));
    }
    let load = |&file: &usize| {
        let opened = text(&closure.files[file].opened);
        (names.get(&file).cloned().unwrap_or_else(|| opened.clone()), opened)
    };
    let missing = program.edges.iter().filter(|edge| edge.outcome == Outcome::Missing);
    let missing = missing.filter(|edge| matches!(edge.tag, Tag::Dynamic(_)));
    // A name with a token is a path, and was tried as one. musl does not replace tokens in names.
    let is_glibc =
        program.loader.is_some_and(|loader| closure.loaders[loader].dialect == Dialect::Glibc);
    let name = |edge: &imgb::elf::Edge| match edge.search_log.last() {
        Some(tried) if is_glibc && edge.name.contains(&b'$') => text(&tried.path),
        _ => text(&edge.name),
    };
    let mut missing: Vec<String> = missing.map(name).collect();
    missing.sort();
    Listing {
        loads: program.loads.iter().map(load).collect(),
        missing,
        failed: !program.faults.is_empty(),
    }
}

/// A path as a command argument.
pub(crate) fn arg(bytes: &[u8]) -> &OsStr {
    OsStr::from_bytes(bytes)
}

/// This machine's processor as its glibc sees it: `--list-diagnostics` names the platform, `--help`
/// the levels, and LD_DEBUG shows which legacy subdirectories are tried.
pub(crate) fn this_cpu() -> Cpu {
    static CPU: OnceLock<Cpu> = OnceLock::new();
    CPU.get_or_init(ask_cpu).clone()
}

fn ask_cpu() -> Cpu {
    let run = |args: &[&str]| Command::new(GLIBC).args(args).output().unwrap().stdout;
    let help = String::from_utf8_lossy(&run(&["--help"])).into_owned();
    let supported = help.lines().filter(|line| line.contains("(supported, searched)"));
    let levels = supported.filter_map(|line| line.split_whitespace().next());
    let diagnostics = String::from_utf8_lossy(&run(&["--list-diagnostics"])).into_owned();
    let platform =
        diagnostics.lines().find_map(|line| line.strip_prefix("dl_platform=\"")?.strip_suffix('"'));
    Cpu {
        levels: levels.map(|level| level.as_bytes().to_vec()).collect(),
        legacy: legacy_subdirs(),
        platform: platform.map(|platform| platform.as_bytes().to_vec()),
    }
}

fn legacy_subdirs() -> Vec<Vec<u8>> {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new("/bin/true");
    let output =
        command.env("LD_DEBUG", "libs").env("LD_LIBRARY_PATH", dir.path()).output().unwrap();
    let prefix = format!("{}/", dir.path().display());
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let path = text.lines().find_map(|line| line.split_once("search path=").map(|(_, path)| path));
    let path = path.and_then(|path| path.split_whitespace().next()).unwrap_or_default();
    let subdirs = path.split(':').filter_map(|dir| dir.strip_prefix(&prefix));
    subdirs
        .filter(|sub| !sub.starts_with("glibc-hwcaps/"))
        .map(|sub| sub.as_bytes().to_vec())
        .collect()
}

/// Puts the programs that [`ask`] runs into a root.
pub(crate) fn prepare(root: &Path) {
    lend(Path::new("/bin/busybox"), root);
    fs_err::create_dir_all(root.join(".oracle/empty")).unwrap();
}

/// Puts a static program of the machine into a root, as `/.oracle/NAME`. All roots share it by hard
/// links where the file systems allow that.
pub(crate) fn lend(program: &Path, root: &Path) {
    fs_err::create_dir_all(root.join(".oracle")).unwrap();
    let to = root.join(".oracle").join(program.file_name().unwrap());
    if !to.exists() && fs_err::hard_link(program, &to).is_err() {
        fs_err::copy(program, to).unwrap();
    }
}

/// A command in a root, without `/proc`: mounting it needs a namespace, and waiting for its end may
/// take half a second.
fn inside(root: &Path) -> Command {
    let mut command = Command::new("timeout");
    command.arg("60");
    if !is_root() {
        command.args(["unshare", "-Ur"]);
    }
    command.arg("chroot").arg(root).env_clear().env("PATH", PATH);
    command
}

/// The listing of each command, run in a root, and everything that was printed. One shell in the
/// root runs all commands, because starting processes takes most of the time.
pub(crate) fn ask(
    root: &Path,
    commands: &[String],
    environment: &[String],
) -> Vec<(Listing, String)> {
    let environment = environment.join(" ");
    let one = |command: &String| format!("{environment} {command}; echo \"=$?\";");
    let script: String = commands.iter().map(one).collect();
    let script = format!("exec 2>&1; ulimit -t 3; cd /.oracle/empty; {script}");
    // A process that another thread starts may keep a new file open for a moment.
    let ask = || inside(root).args(["/.oracle/busybox", "sh", "-c", &script]).output().unwrap();
    let is_busy = |output: &Output| output.stdout.windows(14).any(|part| part == b"Text file busy");
    let output = (0..10).map(|_| ask()).find(|output| !is_busy(output)).unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut answers = Vec::new();
    let mut lines = Vec::new();
    for line in text.lines() {
        match line.strip_prefix('=') {
            Some(status) => {
                answers.push((parse(&lines, status == "0"), lines.join("\n")));
                lines.clear();
            }
            None => lines.push(line),
        }
    }
    assert_eq!(answers.len(), commands.len(), "{output:?}");
    answers
}

/// A root directory with a loader, which can be asked about programs.
pub(crate) struct Rooted {
    dir: TempDir,
}

impl Rooted {
    /// A root with `loader`, and with `busybox`, which runs the loader inside.
    pub(crate) fn new(loader: &str) -> Self {
        let rooted = Self { dir: tempfile::tempdir().unwrap() };
        rooted.host(loader, loader);
        prepare(rooted.root());
        rooted
    }

    /// An empty root.
    pub(crate) fn empty() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    /// Where `path` is on the host.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path.trim_start_matches('/'))
    }

    fn parents(&self, path: &str) -> PathBuf {
        let path = self.path(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    /// A copy of a file of the host. Programs are not opened for writing here: nothing must run
    /// while they are.
    pub(crate) fn host(&self, from: &str, to: &str) {
        fs_err::copy(from, self.parents(to)).unwrap();
    }

    pub(crate) fn file(&self, path: &str, bytes: impl AsRef<[u8]>) -> &Self {
        let path = self.parents(path);
        fs_err::write(&path, bytes).unwrap();
        fs_err::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
        self
    }

    pub(crate) fn elf(&self, path: &str, elf: &Elf) -> &Self {
        self.file(path, elf.build())
    }

    pub(crate) fn link(&self, path: &str, target: &str) -> &Self {
        symlink(target, self.parents(path)).unwrap();
        self
    }

    /// Makes a cache of the root's configuration, as its administrator would.
    pub(crate) fn ldconfig(&self, options: &[&str]) {
        fs_err::create_dir_all(self.path("/etc")).unwrap();
        let output = Command::new("/sbin/ldconfig")
            .args(options)
            .arg("-r")
            .arg(self.dir.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    /// The loader's listing of each program, started in an empty directory of the root with
    /// `environment` (`NAME=value`), and everything that was printed. LD_ORIGIN_PATH tells the
    /// loader where the program is, because `/proc/self/exe` is missing.
    pub(crate) fn glibc(
        &self,
        programs: &[&str],
        environment: &[String],
    ) -> Vec<(Listing, String)> {
        let origin = |program: &&str| {
            let root = HostRoot::new(self.dir.path()).unwrap();
            let found = View::of_sysroot(&root).find(program.as_bytes()).unwrap().unwrap();
            found.path.parent().unwrap().to_string()
        };
        let variable = |program: &&str| {
            format!("LD_TRACE_LOADED_OBJECTS=1 LD_ORIGIN_PATH={}", origin(program))
        };
        let commands = programs.iter().map(|program| format!("{} {program}", variable(program)));
        ask(self.dir.path(), &commands.collect::<Vec<_>>(), environment)
    }

    /// As [`Rooted::glibc`], in a namespace with `/proc`.
    pub(crate) fn glibc_with_proc(&self, program: &str) -> Listing {
        fs_err::create_dir_all(self.path("/proc")).unwrap();
        let mut command = Command::new("bwrap");
        command
            .env_clear()
            .env("PATH", PATH)
            .args(["--unshare-user", "--bind"])
            .arg(self.dir.path())
            .arg("/");
        command.args(["--proc", "/proc", "--setenv", "LD_TRACE_LOADED_OBJECTS", "1", program]);
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        parse(&text.lines().collect::<Vec<&str>>(), output.status.success())
    }

    /// The loader's listing of each file that is passed to it: libraries, and everything for musl.
    pub(crate) fn through(
        &self,
        loader: &str,
        programs: &[&str],
        environment: &[String],
    ) -> Vec<(Listing, String)> {
        let commands = programs.iter().map(|program| format!("{loader} --list {program}"));
        ask(self.dir.path(), &commands.collect::<Vec<_>>(), environment)
    }

    /// imgb's closure of `programs`.
    pub(crate) fn closure(&self, programs: &[&str], options: &LoaderOptions) -> Closure {
        let roots: Vec<_> = programs
            .iter()
            .map(|path| imgb::elf::Root { path: ImagePath::new(path).unwrap() })
            .collect();
        let root = HostRoot::new(self.dir.path()).unwrap();
        closure(&roots, options, &View::of_sysroot(&root)).unwrap()
    }

    /// The path of the root on the host.
    pub(crate) fn root(&self) -> &Path {
        self.dir.path()
    }
}
