//! Dockerfiles built by imgb and by Docker's classic builder, or by buildah where Docker lacks the
//! flag: both images must have the same files and the same configuration, except for the
//! differences that docs/buildfile.md lists.
//!
//! The cases are text: `conformance/classic/` has a file per instruction, `conformance/buildah.txt`
//! those for buildah. `## NAME` begins a case; its Dockerfile follows. Lines that begin with `#!`
//! come before the Dockerfile:
//!
//! - `#! ignore RULES` is the .dockerignore, with `|` for the end of a line.
//! - `#! args ARGS` are further arguments of both commands.
//! - `#! differs WORDS` says that the images differ, and which words of docs/buildfile.md say so.
//!
//! Signs stand for invisible characters: ␍ CR, ␉ tab, ␠ blank, ␋ vertical tab, ␌ form feed, ␜ byte
//! order mark. `conformance/context.sh` makes the context that all cases share.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use serde_json::Value;

use crate::{
    engines::{self, Docker},
    sandbox::{Outcome, Run, Sandbox, some_of},
};

/// One Dockerfile, with what its `#!` lines say.
struct Case {
    name: &'static str,
    ignore: Option<String>,
    args: String,
    differs: Option<&'static str>,
    text: String,
}

/// The signs that stand for invisible characters in a case.
const SIGNS: [(char, &str); 6] =
    [('␍', "\r"), ('␉', "\t"), ('␠', " "), ('␋', "\u{b}"), ('␌', "\u{c}"), ('␜', "\u{feff}")];

fn unveiled(text: &str) -> String {
    SIGNS.iter().fold(text.to_owned(), |text, (sign, meant)| text.replace(*sign, meant))
}

/// The text of a file of this repository. It is read when the test runs, so that a changed case
/// needs no new build.
fn text(path: &str) -> &'static str {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    Box::leak(fs_err::read_to_string(path).unwrap().into_boxed_str())
}

/// The cases of a file of `tests/it/conformance`, or of all files in a directory of it.
fn cases(path: &str) -> Vec<Case> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/conformance");
    let files = walkdir::WalkDir::new(root.join(path)).sort_by_file_name().into_iter();
    let files = files.map(Result::unwrap).filter(|entry| entry.file_type().is_file());
    let texts = files.map(|entry| text(entry.path().to_str().unwrap()));
    // The end of the file ends its last case, as `## ` ends the others: both without a line break.
    texts.flat_map(|text| text.trim_end_matches('\n').split("\n## ").skip(1)).map(case).collect()
}

fn case(text: &'static str) -> Case {
    let (name, mut text) = text.split_once('\n').unwrap();
    let mut case =
        Case { name, ignore: None, args: String::new(), differs: None, text: String::new() };
    while let Some((line, rest)) = text.strip_prefix("#! ").and_then(|text| text.split_once('\n')) {
        match line.split_once(' ').unwrap() {
            ("ignore", rules) => case.ignore = Some(unveiled(rules).replace('|', "\n") + "\n"),
            ("args", args) => case.args = args.into(),
            ("differs", why) => case.differs = Some(why),
            _ => panic!("{name}: {line}"),
        }
        text = rest;
    }
    case.text = unveiled(text);
    case
}

/// The context and the base image, and the directories in which cases are built.
struct Lab(Sandbox);

impl Lab {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/conformance/context.sh");
        sandbox.dir("ctx").tool("sh", script).cwd(sandbox.path("ctx")).run().ok();
        Self(sandbox)
    }

    /// Builds every case with imgb and with `other`, `workers` at a time. Returns both outcomes of
    /// each case, the other's first.
    fn build(
        &self,
        cases: &[Case],
        workers: usize,
        other: impl Fn(&Case, usize, PathBuf) -> Outcome + Sync,
    ) -> Vec<(Outcome, Outcome)> {
        let next = AtomicUsize::new(0);
        let work = || {
            let mut done = Vec::new();
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(case) = cases.get(at) else { return done };
                done.push((at, self.both(case, at, &other)));
            }
        };
        let mut all: BTreeMap<usize, (Outcome, Outcome)> = thread::scope(|scope| {
            let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
            workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
        });
        (0..cases.len()).map(|at| all.remove(&at).unwrap()).collect()
    }

    fn both(
        &self,
        case: &Case,
        at: usize,
        other: impl Fn(&Case, usize, PathBuf) -> Outcome,
    ) -> (Outcome, Outcome) {
        let dir = format!("c{at}");
        self.0.tool("cp", &format!("-a ctx {dir}")).run().ok();
        self.0.file(&format!("{dir}/Dockerfile"), &case.text);
        if let Some(rules) = &case.ignore {
            self.0.file(&format!("{dir}/.dockerignore"), rules);
        }
        let theirs = other(case, at, self.0.path(&dir));
        let base =
            format!("--build-arg BASE=docker-archive:{}", self.0.path("base-image.tar").display());
        // Many cases name programs that do not exist; whether the image starts is not tested here.
        let args = format!(
            "build {dir} -q --no-check -t i{at} -o docker-archive:i{at}.tar {base} {}",
            case.args
        );
        let ours = self.0.imgb(&args).run();
        fs_err::remove_dir_all(self.0.path(&dir)).unwrap();
        (theirs, ours)
    }

    /// The configuration and files of the images in `archives`, by tag.
    fn contents(&self, archives: &[String]) -> BTreeMap<String, Value> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/conformance/merge.py");
        let lines = self.0.tool("python3", script).args(&archives.join(" ")).run().ok().text();
        let value = |line| serde_json::from_str(line).unwrap();
        let tag =
            |value: &Value| value["tag"].as_str().unwrap().split(':').next().unwrap().to_owned();
        lines.lines().map(value).map(|value: Value| (tag(&value), value)).collect()
    }

    /// Compares the outcomes. `theirs` are archives with the other builder's images, whose tags are
    /// `prefix` and the number of the case.
    fn compare(
        &self,
        cases: &[Case],
        built: &[(Outcome, Outcome)],
        theirs: &[String],
        prefix: &str,
    ) {
        let theirs = self.contents(theirs);
        let succeeded = |at: &usize| built[*at].1.success();
        let archives: Vec<_> =
            (0..cases.len()).filter(succeeded).map(|at| format!("i{at}.tar")).collect();
        let ours = self.contents(&archives);
        let docs = text("docs/buildfile.md");
        let mut wrong = String::new();
        for (at, (case, (their, our))) in cases.iter().zip(built).enumerate() {
            let differences = match (their.success(), our.success()) {
                (false, false) => String::new(),
                (true, true) => {
                    differences(&theirs[&format!("{prefix}{at}")], &ours[&format!("i{at}")])
                }
                _ => format!("{}\n{}", their.show(), our.show()),
            };
            let told = case.differs.is_some_and(|why| docs.contains(why));
            if case.differs.is_some() == differences.is_empty() || (case.differs.is_some() && !told)
            {
                wrong += &format!("## {}\n{}{differences}\n", case.name, case.text);
            }
        }
        assert!(wrong.is_empty(), "not as marked, or not in docs/buildfile.md:\n{wrong}");
    }
}

/// What differs between two images, one line each.
fn differences(theirs: &Value, ours: &Value) -> String {
    let mut out = String::new();
    for part in ["config", "files"] {
        let (theirs, ours) = (theirs[part].as_object().unwrap(), ours[part].as_object().unwrap());
        let names: std::collections::BTreeSet<_> = theirs.keys().chain(ours.keys()).collect();
        for name in names {
            let (theirs, ours) = (theirs.get(name), ours.get(name));
            if theirs != ours {
                out += &format!("  {name}: {theirs:?}, ours {ours:?}\n");
            }
        }
    }
    out
}

/// Imports the base into dockerd and exports it for imgb, so that both start from the same image.
fn base_image(lab: &Lab, docker: &Docker) {
    docker.cli("import").arg(lab.0.path("base.tar")).arg("imgb-conf-base").run().ok();
    docker.cli("save imgb-conf-base -o").arg(lab.0.path("base-image.tar")).run().ok();
}

/// What dockerd says when it has lost a layer or an image that it made a moment ago. The build is
/// repeated once.
const LOST: &[&str] = &["unable to find image", "layer does not exist"];

#[test]
fn dockers_classic_builder_makes_the_same_images() {
    let Some(docker) = engines::docker() else { return };
    let lab = Lab::new();
    base_image(&lab, &docker);
    let cases = cases("classic");
    assert!(cases.len() >= 549, "{}", cases.len());
    let cases = some_of(cases);
    // dockerd loses layers if two builds make the same content at once ("unable to find image"), so
    // it builds one case at a time.
    let turn = Mutex::new(());
    let built = lab.build(&cases, 2, |case, at, context| {
        let _turn = turn.lock();
        let args =
            format!("build -q -t imgb-conf{at} --build-arg BASE=imgb-conf-base {}", case.args);
        let build = || docker.cli(&args).env("DOCKER_BUILDKIT", "0").arg(&context).run();
        let lost = |outcome: &Outcome| LOST.iter().any(|fault| outcome.stderr().contains(fault));
        let first = build();
        if lost(&first) { build() } else { first }
    });
    let names: Vec<_> = (0..cases.len())
        .filter(|&at| built[at].0.success())
        .map(|at| format!("imgb-conf{at}"))
        .collect();
    docker.cli("save -o").arg(lab.0.path("all.tar")).args(&names.join(" ")).run().ok();
    lab.compare(&cases, &built, &["all.tar".into()], "imgb-conf");
    docker.cli("rmi --force").args(&names.join(" ")).run().ok();
}

#[test]
fn buildah_makes_the_same_images_where_docker_has_no_such_flag() {
    if !(engines::have(&["buildah"]) && engines::have_root()) {
        return;
    }
    let lab = Lab::new();
    let cases = cases("buildah.txt");
    let state = |name: &str| lab.0.path(name).display().to_string();
    let buildah = |args: &str| {
        let global =
            format!("--storage-driver vfs --root {} --runroot {}", state("root"), state("run"));
        Run::new("buildah").env("HOME", lab.0.root()).args(&global).args(args)
    };
    // One at a time: buildah's store has one lock.
    let built = lab.build(&cases, 1, |case, at, context| {
        let args = format!("bud -q --identity-label=false -t t{at} {}", case.args);
        let built = buildah(&args).arg(context).run();
        match built.success() {
            true => buildah(&format!(
                "push -q t{at} docker-archive:{}:t{at}",
                state(&format!("t{at}.tar"))
            ))
            .run(),
            false => built,
        }
    });
    let archives: Vec<_> = (0..cases.len())
        .filter(|&at| built[at].0.success())
        .map(|at| format!("t{at}.tar"))
        .collect();
    lab.compare(&cases, &built, &archives, "t");
}
