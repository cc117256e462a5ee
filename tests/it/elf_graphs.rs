//! Random graphs of libraries: imgb finds what the real loader finds, edge by edge. Each difference
//! is printed with its seed; `IMGB_GRAPH=SEED` or `IMGB_GRAPH=FIRST-LAST` runs only these seeds.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use imgb::elf::{Closure, Hwcaps, LoaderOptions};

use crate::{
    elf_builder::{AUXILIARY, Elf, FILTER, FLAGS_1, NODEFLIB},
    elf_oracle::{self as oracle, GLIBC, Listing, MUSL, Rooted},
    engines::have,
};

/// A small generator of pseudo-random numbers (SplitMix64) that is the same on every machine.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    /// True in `percent` of cases.
    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

const SYSTEM: [&str; 4] =
    ["/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib", "/usr/lib"];
const DIRS: [&str; 9] =
    ["/d0", "/d1", "/d2", "/opt/app/lib", "/d3/sub", "/usr/local/lib", "/ln", "/lib", "/usr/lib"];
const NAMES: [&str; 9] = [
    "liba.so",
    "libb.so",
    "libc0.so.1",
    "libd.so.2",
    "libe.so",
    "libf.so.10",
    "libg.so",
    "libh.so.01",
    "plug.so",
];
const SUBDIRS: [&str; 9] = [
    "glibc-hwcaps/x86-64-v2",
    "glibc-hwcaps/x86-64-v3",
    "glibc-hwcaps/x86-64-v4",
    "glibc-hwcaps/x86-64-v9",
    "tls",
    "tls/x86_64",
    "haswell",
    "x86_64",
    "avx512_1",
];

/// One graph on disk.
struct Graph {
    root: Rooted,
    random: Random,
    musl: bool,
    places: Vec<String>,
}

impl Graph {
    fn new(seed: u64, musl: bool) -> Self {
        let root = Rooted::new(if musl { MUSL } else { GLIBC });
        Self { root, random: Random(seed), musl, places: Vec::new() }
    }

    fn dir(&mut self) -> &'static str {
        let dirs: &[&str] = if self.random.chance(25) { &SYSTEM } else { &DIRS };
        self.random.pick::<&str>(dirs)
    }

    /// A name by which a library may be requested.
    fn name(&mut self) -> String {
        match self.random.below(40) {
            0 => "libnone.so".to_owned(),
            1 => format!("{}/{}", self.dir(), self.random.pick(&NAMES)),
            2 => format!("$ORIGIN/{}", self.random.pick(&NAMES)),
            3 => format!("${{ORIGIN}}/../d1/{}", self.random.pick(&NAMES)),
            4 => format!("d1/{}", self.random.pick(&NAMES)),
            5 if self.musl => {
                (*self.random.pick(&["libm.so.6", "libc.so", "libdl.so.2", "libcrypt.so.1"]))
                    .to_owned()
            }
            5 => "ld-linux-x86-64.so.2".to_owned(),
            6 => "lib$LIB.so".to_owned(),
            _ => (*self.random.pick(&NAMES)).to_owned(),
        }
    }

    fn path(&mut self) -> String {
        let count = self.random.below(4);
        let mut elements: Vec<String> = Vec::new();
        for _ in 0..=count {
            let dir = self.dir();
            elements.push(match self.random.below(26) {
                0 => "$ORIGIN".to_owned(),
                1 => "$ORIGIN/../lib".to_owned(),
                2 => "${ORIGIN}/../d1".to_owned(),
                3 => "/usr/$LIB".to_owned(),
                4 => "/d0/$PLATFORM".to_owned(),
                5 => "/$FOO".to_owned(),
                6 => "/$ORIGINAL".to_owned(),
                7 => String::new(),
                8 => "d1".to_owned(),
                9 => format!("{dir}//"),
                10 => format!("{dir}/../d2"),
                11 => "/nowhere".to_owned(),
                12 => format!("/{dir}"),
                13 => "/d0/liba.so".to_owned(),
                _ => dir.to_owned(),
            });
        }
        elements.join(":")
    }

    /// A library or, with an interpreter, a program.
    fn object(&mut self, name: &str, mut elf: Elf) -> Elf {
        let mut requests = 0..self.random.below(4);
        if elf.interp.is_some() {
            requests = 0..1 + self.random.below(4);
        }
        for _ in requests {
            let wanted = self.name();
            elf = match self.random.below(30) {
                // The filtees of a program come before it, where the listing has not started yet.
                0 if elf.interp.is_none() => elf.text(AUXILIARY, wanted),
                1 if elf.interp.is_none() => elf.text(FILTER, wanted),
                _ => elf.needed(wanted),
            };
        }
        elf = match self.random.below(10) {
            0..6 => elf.soname(name),
            6 | 7 => elf,
            8 => {
                let other = *self.random.pick(&NAMES);
                elf.soname(other)
            }
            _ => elf.soname("libalias.so"),
        };
        if self.random.chance(30) {
            let path = self.path();
            elf = elf.rpath(path);
        }
        if self.random.chance(30) {
            let path = self.path();
            elf = elf.runpath(path);
        }
        if self.random.chance(6) {
            elf = elf.number(FLAGS_1, NODEFLIB);
        }
        elf
    }

    /// Puts something called `name` into `dir`.
    fn place(&mut self, dir: &str, name: &str) {
        let path = format!("{dir}/{name}");
        if self.root.path(&path).symlink_metadata().is_ok() {
            return;
        }
        // What stops the loader is rare, because it hides everything else.
        match self.random.below(150) {
            0..9 if !self.musl => {
                self.root.elf(&path, &Elf::library().on(3, false, false, 0));
            }
            9..16 if !self.musl => {
                self.root.elf(&path, &Elf::library().on(183, true, false, 0));
            }
            16..24 => {
                let target = match self.places.is_empty() {
                    true => "gone".to_owned(),
                    false => self.random.pick(&self.places).clone(),
                };
                self.root.link(&path, &target);
            }
            24..27 => {
                self.root.link(&path, "gone");
            }
            27 => {
                self.root.link(&path, name);
            }
            28 => {
                let script =
                    "/* GNU ld script */ INPUT(AS_NEEDED(libc.so.6)) and more to be long enough";
                self.root.file(&path, script);
            }
            29 => {
                self.root.file(&path, "\x7fELF");
            }
            30 if !self.musl => {
                self.root.elf(&path, &Elf::library().on(62, true, true, 0));
            }
            31 => fs_err::create_dir_all(self.root.path(&path)).unwrap(),
            32 => {
                self.root.elf(&path, &Elf::program(GLIBC));
            }
            33..40 if !self.places.is_empty() => {
                let other = self.random.pick(&self.places).clone();
                if self.root.path(&other).metadata().is_ok_and(|meta| meta.is_file()) {
                    fs_err::create_dir_all(self.root.path(dir)).unwrap();
                    fs_err::hard_link(self.root.path(&other), self.root.path(&path)).unwrap();
                }
            }
            _ => {
                let elf = self.object(name, Elf::library());
                self.root.elf(&path, &elf);
            }
        }
        self.places.push(path);
    }

    /// Makes directories, libraries, programs and configuration. Returns the programs.
    fn fill(&mut self) -> Vec<&'static str> {
        if self.random.chance(50) && !self.musl {
            fs_err::create_dir_all(self.root.path("/usr/lib")).unwrap();
            self.root.link("/lib", "usr/lib");
        }
        for dir in DIRS.iter().filter(|dir| **dir != "/ln") {
            if self.random.chance(85) {
                fs_err::create_dir_all(self.root.path(dir)).unwrap();
            }
        }
        self.root.link("/ln", if self.random.chance(50) { "/d1" } else { "d3/sub" });
        let names = 3 + self.random.below(NAMES.len() - 3);
        for name in NAMES.iter().take(names) {
            for _ in 0..=self.random.below(3) {
                let dir = self.dir();
                if dir == "/ln" {
                    continue;
                }
                self.place(dir, name);
                if self.random.chance(12) && !self.musl {
                    let sub = format!("{dir}/{}", self.random.pick(&SUBDIRS));
                    self.place(&sub, name);
                }
            }
        }
        self.programs()
    }

    fn programs(&mut self) -> Vec<&'static str> {
        let interp = if self.musl { MUSL } else { GLIBC };
        let mut programs = Vec::new();
        for path in ["/bin/p", "/opt/app/bin/p"] {
            let elf = self.object("p", Elf::program(interp));
            self.root.elf(path, &elf);
            programs.push(path);
        }
        // musl's loader is run explicitly, and does not know the program's real path.
        if !self.musl {
            self.root.link("/alias/bin/p", "../../opt/app/bin/p");
            programs.push("/alias/bin/p");
        }
        programs
    }

    /// Makes a cache or musl's path file, and sometimes the environment and the preload file.
    fn configure(&mut self) -> (Vec<String>, LoaderOptions) {
        let mut options =
            LoaderOptions { hwcaps: Hwcaps::Cpu(oracle::this_cpu()), ..LoaderOptions::default() };
        let mut environment = Vec::new();
        if self.random.chance(25) {
            let dirs = [self.dir(), self.dir()];
            environment.push(format!("LD_LIBRARY_PATH={}", dirs.join(":")));
            options.library_path = dirs.iter().map(|dir| dir.as_bytes().to_vec()).collect();
        }
        if self.random.chance(10) {
            let name = *self.random.pick(&NAMES);
            environment.push(format!("LD_PRELOAD={name}"));
            options.preload = vec![name.as_bytes().to_vec()];
        }
        if self.musl {
            if self.random.chance(40) {
                let dirs = [self.dir(), self.dir(), "/lib"];
                self.root.file(
                    "/etc/ld-musl-x86_64.path",
                    dirs.join(if self.random.chance(50) { ":" } else { "\n" }),
                );
            }
            return (environment, options);
        }
        if self.random.chance(50) {
            let conf: String =
                (0..self.random.below(4)).map(|_| format!("{}\n", self.dir())).collect();
            self.root.file("/etc/ld.so.conf", conf);
            self.root.ldconfig(if self.random.chance(50) { &["-X"] } else { &[] });
        }
        if self.random.chance(6) {
            let name = *self.random.pick(&NAMES);
            self.root.file("/etc/ld.so.preload", format!("# a comment\n{name}:libnone.so\n"));
        }
        (environment, options)
    }
}

fn describe(
    graph: &Graph,
    ours: &Listing,
    theirs: &Listing,
    stderr: &str,
    closure: &Closure,
    at: usize,
) -> String {
    let program = &closure.programs[at];
    let faults: Vec<String> = program.faults.iter().map(ToString::to_string).collect();
    let one = Closure { programs: vec![program.clone()], ..closure.clone() };
    let tree = imgb::elf::render::tree(&one);
    format!(
        "ours {ours:?}\nreal {theirs:?}\nfaults {faults:?}\nstderr {stderr}\n{tree}\nkept {}\n",
        graph.root.root().display()
    )
}

/// The seeds to run: those given, or the first `count`.
fn seeds(count: u64) -> Vec<u64> {
    let Ok(given) = std::env::var("IMGB_GRAPH") else { return (0..count).collect() };
    let (first, last) = given.split_once('-').unwrap_or((&given, &given));
    (first.parse().unwrap()..=last.parse().unwrap()).collect()
}

fn run(seed: u64, musl: bool) -> Result<usize, String> {
    let mut graph = Graph::new(seed, musl);
    let programs = graph.fill();
    let (environment, options) = graph.configure();
    let closure = graph.root.closure(&programs, &options);
    let answers = match musl {
        true => graph.root.through(MUSL, &programs, &environment),
        false => graph.root.glibc(&programs, &environment),
    };
    for (at, (program, (mut theirs, stderr))) in programs.iter().zip(answers).enumerate() {
        let mut ours = oracle::ours(&closure, &closure.programs[at]);
        if musl {
            normalise_musl(&mut ours, &mut theirs, &stderr);
        }
        if ours.failed || theirs.failed {
            // A loader that stops does not report the rest.
            ours = Listing { failed: ours.failed, ..Listing::default() };
            theirs = Listing { failed: theirs.failed, ..Listing::default() };
        }
        if ours != theirs {
            let text = describe(&graph, &ours, &theirs, &stderr, &closure, at);
            if std::env::var_os("IMGB_GRAPH").is_some() {
                std::mem::forget(graph);
            }
            return Err(format!("seed {seed}, {program}\n{text}"));
        }
    }
    Ok(programs.len())
}

/// musl prints what it finds in a format of its own, and names on stderr what it does not find.
fn normalise_musl(ours: &mut Listing, theirs: &mut Listing, stderr: &str) {
    let errors = stderr
        .lines()
        .filter_map(|line| line.strip_prefix("Error loading shared library ")?.split_once(": "));
    let (mut missing, mut broken) = (Vec::new(), 0);
    for (name, why) in errors {
        match why.starts_with("No such file") || why.starts_with("Symbolic link loop") {
            true => missing.push(name.to_owned()),
            false => broken += 1,
        }
    }
    theirs.failed = broken > 0 || theirs.failed && missing.is_empty();
    theirs.missing = missing;
    theirs.missing.sort();
    theirs.loads.retain(|(_, path)| path != MUSL);
    ours.loads.retain(|(_, path)| path != MUSL);
}

fn check(count: u64, musl: bool) {
    // Half of the time is spent waiting for processes, hence more threads than processors.
    let next = AtomicUsize::new(0);
    let seeds = seeds(count);
    let work = || {
        let mine = std::iter::from_fn(|| seeds.get(next.fetch_add(1, Ordering::Relaxed)));
        mine.map(|&seed| run(seed, musl)).collect::<Vec<_>>()
    };
    let results: Vec<Result<usize, String>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let differing: Vec<&String> =
        results.iter().filter_map(|result| result.as_ref().err()).collect();
    let shown: Vec<&str> = differing.iter().take(3).map(|text| &***text).collect();
    assert!(
        differing.is_empty(),
        "{} of {count} graphs differ\n{}",
        differing.len(),
        shown.join("\n\n")
    );
}

#[test]
fn two_thousand_graphs_agree_with_glibc() {
    if have(&["busybox", "chroot", "ldconfig"]) {
        check(2000, false);
    }
}

#[test]
fn five_hundred_graphs_agree_with_musl() {
    if have(&["busybox", "chroot", "musl-gcc"]) {
        check(500, true);
    }
}
