//! Every command of README.md, docs/ and Buildfile.example, run as a reader would run it.
//!
//! The blocks of a section (a heading of two `#`) run in turn in one new directory, so each section
//! is complete in itself. A block ```` ```sh ```` holds commands, one on each line, all of which
//! have to succeed. A block ```` ```console ```` holds `$ command` lines, each followed by what it
//! prints, where `...` stands for any lines and `[..]` for any text; it has to fail if and only if
//! that contains `error: `. After the language may stand
//!
//! - `not-run="REASON"`: the commands cannot run in a test,
//! - `needs="COMMAND…"`: they run only where these are installed,
//! - `engines="COMMAND…"`: likewise, and `tests/run` installs them.

use std::{
    collections::{BTreeMap, BTreeSet},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

use crate::{
    engines::{self, have, have_root},
    registry_server,
    sandbox::{Outcome, PATH, Run, Sandbox, is_there},
};

/// What a reader of a section is assumed to have: document, heading, and commands that make it.
const ASSUMED: &[(&str, &str, &str)] = &[
    ("README.md", "Set up", "imgb pack curl -o curl.tar"),
    (
        "README.md",
        "Use",
        r#"mkdir -p bin rootfs etc target/release
        cp /bin/busybox bin/
        imgb pack bash -q -o debian.tar -o rootfs:rootfs.tar
        xz rootfs.tar
        echo 'verbose=1' >etc/app.conf
        echo 'int main(void) { return 0; }' | gcc -o target/release/app -x c -
        cp target/release/app app
        imgb pack ./app -q -o a.tar
        imgb pack ./etc --platform linux/arm64 --no-check -q -o b.tar
        printf 'FROM scratch\nPACK ./app /usr/bin/app\nENTRYPOINT ["/usr/bin/app"]\n' >Buildfile"#,
    ),
    ("README.md", "Use in CI", r#"cargo init --quiet --name app --vcs none ."#),
    (
        "docs/recipes.md",
        "Python",
        r#"python3 - <<'EOF'
import zipfile
info = "hello-1.0.dist-info/"
with zipfile.ZipFile("hello-1.0-py3-none-any.whl", "w") as wheel:
    wheel.writestr("hello.py", "def main(): print('hello')\n")
    wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\nName: hello\nVersion: 1.0\n")
    wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel.writestr(info + "entry_points.txt", "[console_scripts]\nhello = hello:main\n")
    wheel.writestr(info + "RECORD", "")
EOF"#,
    ),
    ("docs/recipes.md", "A distribution's root", "imgb pack bash -q -o rootfs:root.tar"),
];

/// More blocks than this that are not run would mean that the documents are not tested.
const NOT_RUN_LIMIT: usize = 12;

/// A fenced block of commands.
#[derive(Debug, Default)]
struct Block {
    /// The line of the fence, from 1.
    line: usize,
    console: bool,
    not_run: Option<String>,
    needs: Vec<String>,
    engines: Vec<String>,
    text: String,
}

/// A section: its heading and its blocks.
#[derive(Debug, Default)]
struct Section {
    heading: String,
    blocks: Vec<Block>,
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    fs_err::read_to_string(repository().join(name)).unwrap()
}

/// README.md, everything in docs/, and Buildfile.example.
fn documents() -> Vec<String> {
    let docs = fs_err::read_dir(repository().join("docs")).unwrap();
    let docs = docs.map(|entry| format!("docs/{}", entry.unwrap().file_name().display()));
    let mut all: Vec<String> = docs.filter(|name| name.ends_with(".md")).collect();
    all.extend(["README.md", "Buildfile.example"].map(str::to_owned));
    all.sort();
    all
}

/// The value of `name="value"` in the words after a fence.
fn attribute(info: &str, name: &str) -> Option<String> {
    let (_, rest) = info.split_once(&format!("{name}=\""))?;
    Some(rest.split('"').next().unwrap_or_default().to_owned())
}

/// The words of such a value.
fn words(info: &str, name: &str) -> Vec<String> {
    attribute(info, name).unwrap_or_default().split_whitespace().map(str::to_owned).collect()
}

/// The sections of a document. The commands of a Buildfile are its comments that are indented by
/// four more blanks.
fn sections(name: &str, text: &str) -> Vec<Section> {
    if name == "Buildfile.example" {
        let lines = text.lines().filter_map(|line| line.strip_prefix("#     "));
        let text = lines.fold(String::new(), |all, line| all + line + "\n");
        let block = Block { line: 1, text, ..Block::default() };
        return vec![Section { heading: String::new(), blocks: vec![block] }];
    }
    let mut sections = vec![Section::default()];
    let mut open: Option<Option<Block>> = None;
    for (at, line) in text.lines().enumerate() {
        match (&mut open, line.strip_prefix("```")) {
            (Some(block), None) => {
                if let Some(block) = block {
                    block.text += &format!("{line}\n");
                }
            }
            (Some(_), Some(_)) => {
                sections.last_mut().unwrap().blocks.extend(open.take().flatten());
            }
            (None, Some(info)) => {
                let (language, info) = info.split_once(' ').unwrap_or((info, ""));
                open = Some(["sh", "console"].contains(&language).then(|| Block {
                    line: at + 1,
                    console: language == "console",
                    not_run: attribute(info, "not-run"),
                    needs: words(info, "needs"),
                    engines: words(info, "engines"),
                    text: String::new(),
                }));
            }
            (None, None) => {
                if let Some(heading) = line.strip_prefix("## ") {
                    sections.push(Section { heading: heading.to_owned(), blocks: Vec::new() });
                }
            }
        }
    }
    assert!(open.is_none(), "{name}: a fence is not closed");
    sections
}

/// The commands of a console block, each with what it prints.
fn session(text: &str) -> Vec<(String, String)> {
    let mut commands: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            commands.push((format!("{command}\n"), String::new()));
        } else {
            let (command, printed) = commands.last_mut().expect("`$ ` begins a console block");
            let continues = command.ends_with("\\\n") && printed.is_empty();
            let part = if continues { command } else { printed };
            *part += &format!("{line}\n");
        }
    }
    commands
}

/// A command in front of the machine's own: crun where one of its demands is not met. It refuses a
/// machine that mounts both versions of cgroups, and limits devices with a program for the kernel,
/// whose memory only CAP_SYS_RESOURCE may lock.
const CRUN: &str = r#"#!/bin/sh
[ ! -e /sys/fs/cgroup/cgroup.controllers ] || exec /usr/bin/crun "$@"
exec unshare --mount sh -c '
    umount --recursive /sys/fs/cgroup
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
    exec /usr/bin/crun --cgroup-manager=disabled "$@"' crun "$@"
"#;

/// Runs sections, with engines that end with it.
#[derive(Default)]
struct Reader {
    docker: Option<engines::Docker>,
    podman: Option<engines::Podman>,
    containerd: Option<Arc<engines::Containerd>>,
    registry: Option<registry_server::Registry>,
}

impl Reader {
    /// With the engines that the commands of a document name. `None` if the test is to be skipped.
    fn new(sections: &[Section]) -> Option<Self> {
        let blocks = sections.iter().flat_map(|section| &section.blocks);
        let text: String = blocks
            .filter(|block| block.not_run.is_none())
            .map(|block| block.text.as_str())
            .collect();
        let names =
            |engine: &str| text.split(|c: char| !c.is_alphanumeric()).any(|word| word == engine);
        let mut reader = Self::default();
        if names("docker") {
            reader.docker = Some(engines::own_docker()?);
        }
        if names("podman") || names("buildah") {
            reader.podman = Some(engines::podman()?);
        }
        if names("ctr") {
            reader.containerd = Some(engines::containerd()?);
        }
        if names("REGISTRY") {
            reader.registry = Some(registry_server::registry()?);
        }
        have_root().then_some(reader)
    }

    /// Variables with which the clients find these engines.
    fn environment(&self) -> Vec<(&'static str, String)> {
        let mut all: Vec<(&'static str, String)> =
            self.docker.iter().flat_map(engines::Docker::environment).collect();
        all.extend(self.podman.iter().flat_map(engines::Podman::environment));
        all.extend(self.containerd.iter().flat_map(|containerd| containerd.environment()));
        all.extend(self.registry.iter().map(|registry| ("REGISTRY", registry.host())));
        all
    }

    fn bash(&self, sandbox: &Sandbox, script: &str) -> Outcome {
        let home = sandbox.path(".home");
        let real_home = std::env::home_dir().unwrap_or_default();
        let of = |name: &str, dir: &str| {
            std::env::var_os(name).map_or_else(|| real_home.join(dir), PathBuf::from)
        };
        let cargo = of("CARGO_HOME", ".cargo");
        let path =
            format!("{}:{PATH}:{}", sandbox.programs().display(), cargo.join("bin").display());
        let run = Run::new("bash")
            .args("-e -u -o pipefail -c")
            .arg(script)
            .cwd(sandbox.root())
            .env("PATH", path)
            .env("HOME", home)
            .env("CARGO_HOME", cargo)
            .env("RUSTUP_HOME", of("RUSTUP_HOME", ".rustup"))
            .env("LC_ALL", "C.UTF-8");
        self.environment().iter().fold(run, |run, (name, value)| run.env(name, value)).run()
    }

    /// Runs the blocks of a section, and returns what is wrong.
    #[expect(clippy::print_stderr, reason = "a skipped block must be seen")]
    fn read(&self, name: &str, section: &Section) -> Vec<String> {
        let sandbox = Sandbox::new();
        sandbox.dir(".home");
        let crun = sandbox.programs().join("crun");
        fs_err::write(&crun, CRUN).unwrap();
        fs_err::set_permissions(crun, PermissionsExt::from_mode(0o755)).unwrap();
        let assumed = ASSUMED
            .iter()
            .filter(|(document, heading, _)| *document == name && *heading == section.heading);
        for (_, _, script) in assumed {
            self.bash(&sandbox, script).ok();
        }
        if name == "Buildfile.example" {
            sandbox.file(name, read(name));
        }
        let mut faults = Vec::new();
        for block in &section.blocks {
            let absent: Vec<&str> =
                block.needs.iter().map(String::as_str).filter(|tool| !is_there(tool)).collect();
            let engines: Vec<&str> = block.engines.iter().map(String::as_str).collect();
            if !have(&engines) {
                break;
            }
            if !absent.is_empty() {
                eprintln!("{name}:{}: not run: no {}", block.line, absent.join(", "));
            } else if block.not_run.is_none() {
                faults.extend(
                    self.fault(&sandbox, block)
                        .map(|fault| format!("{name}:{}: {fault}", block.line)),
                );
            }
            if !faults.is_empty() {
                break;
            }
        }
        faults
    }

    fn fault(&self, sandbox: &Sandbox, block: &Block) -> Option<String> {
        if !block.console {
            let outcome = self.bash(sandbox, &format!("set -x\n{}", block.text));
            return (!outcome.success()).then(|| outcome.show());
        }
        session(&block.text).iter().find_map(|(command, printed)| {
            let run = || self.bash(sandbox, &format!("{{ {command} }} 2>&1"));
            // Docker and ctr sometimes lose what a container prints that ends at once.
            let prints = printed.lines().any(|line| line != "...");
            let is_lost = |outcome: &Outcome| outcome.success() && outcome.text().is_empty();
            let outcome = (0..3).map(|_| run()).find(|outcome| !(prints && is_lost(outcome)));
            let outcome = outcome.unwrap_or_else(run);
            // Of this machine: systemd-nspawn where /run is on a disk, docker without forwarding.
            const SAID: [&str; 2] =
                ["Attempted to remove disk file system", "WARNING: IPv4 forwarding is disabled."];
            let is_own = |line: &&str| !SAID.iter().any(|start| line.starts_with(start));
            let actual: String = outcome.text().split_inclusive('\n').filter(is_own).collect();
            let same = snapbox::Assert::new().try_eq(None, actual.into(), printed.into());
            let wrong = same.err().map(|difference| difference.to_string());
            let failed = (outcome.success() == printed.contains("error: ")).then(String::new);
            wrong.or(failed).map(|why| format!("{}{why}", outcome.show()))
        })
    }
}

/// Reads a document as its user would.
fn follow(name: &str) {
    let sections = sections(name, &read(name));
    let Some(reader) = Reader::new(&sections) else { return };
    let mut faults = Vec::new();
    for two in sections.chunks(2) {
        thread::scope(|scope| {
            let reader = &reader;
            let start = |section| {
                let thread = thread::Builder::new().name(format!("commands of {name}"));
                thread.spawn_scoped(scope, move || reader.read(name, section)).unwrap()
            };
            let running: Vec<_> = two.iter().map(start).collect();
            faults.extend(running.into_iter().flat_map(|one| one.join().unwrap()));
        });
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Documents with tests of their own, which run side by side.
const ALONE: [&str; 4] = ["Buildfile.example", "README.md", "docs/recipes.md", "docs/engines.md"];

#[test]
fn the_example_of_a_buildfile() {
    follow(ALONE[0]);
}

#[test]
fn the_readme() {
    follow(ALONE[1]);
}

#[test]
fn the_recipes() {
    follow(ALONE[2]);
}

#[test]
fn the_commands_for_each_engine() {
    follow(ALONE[3]);
}

#[test]
fn the_other_documents() {
    for name in documents().iter().filter(|name| !ALONE.contains(&name.as_str())) {
        follow(name);
    }
}

#[test]
fn few_blocks_are_not_run() {
    let mut not_run = Vec::new();
    for name in documents() {
        for block in sections(&name, &read(&name)).iter().flat_map(|section| &section.blocks) {
            if let Some(reason) = &block.not_run {
                assert!(reason.len() > 5, "{name}:{}: why is it not run?", block.line);
                not_run.push(format!("{name}:{}: {reason}", block.line));
                continue;
            }
            // Bash goes on if the first of two such commands fails, or if a negated one succeeds.
            let joined =
                block.text.lines().find(|line| line.contains(" && ") || line.starts_with("! "));
            assert_eq!(joined, None, "{name}:{}: one command on a line", block.line);
        }
    }
    assert!(not_run.len() <= NOT_RUN_LIMIT, "{}", not_run.join("\n"));
}

/// Commands of `imgb` in the text of a document: in code spans, and in blocks that are fenced or
/// indented.
fn mentioned(text: &str) -> BTreeSet<String> {
    let spans = text.split('`').skip(1).step_by(2);
    let mut fenced = false;
    let lines = text.lines().filter(|line| {
        fenced ^= line.starts_with("```");
        fenced || line.starts_with("    ") || line.starts_with("#     ")
    });
    let all = spans.chain(lines).map(|one| {
        let one = one.trim_start_matches(['#', '$', ' ']);
        one.split_whitespace().collect::<Vec<_>>().join(" ")
    });
    all.filter(|one| one.starts_with("imgb ")).collect()
}

#[test]
fn documents_name_only_subcommands_and_options_that_exist() {
    let sandbox = Sandbox::new();
    let mut help: BTreeMap<String, String> = BTreeMap::new();
    let mut unknown = Vec::new();
    for name in documents().into_iter().chain(["CHANGELOG.md".into(), "SECURITY.md".into()]) {
        for command in mentioned(&read(&name)) {
            let line = command.split(" #").next().unwrap();
            let mut words = line.split(' ').skip(1).take_while(|word| !["--", "|"].contains(word));
            let Some(first) = words.next() else { continue };
            if first.starts_with(|c: char| !c.is_ascii_lowercase()) {
                continue;
            }
            let help = help.entry(first.to_owned()).or_insert_with(|| {
                let outcome = sandbox.imgb(first).args("--help").run();
                if outcome.success() { outcome.text() } else { String::new() }
            });
            let known = |word: &str| {
                let option = word.split('=').next().unwrap().trim_matches(['[', ']']);
                !option.starts_with("--") || help.contains(option)
            };
            if help.is_empty() || !words.all(known) {
                unknown.push(format!("{name}: {command}"));
            }
        }
    }
    assert!(unknown.is_empty(), "{}", unknown.join("\n"));
    assert!(help.len() > 8, "{help:?}");
}

#[test]
fn a_command_that_fails_or_prints_something_else_is_a_fault() {
    let one = "```sh\ntrue\nfalse\ntrue\n```\n";
    let two = "```console\n$ echo a; \\\n  echo b\na\n...\n\
        $ echo error: 1 >&2; false\nerror: [..]\n$ echo [x]\n[..]\n```\n\
        ```console\n$ echo a\nb\n```\n";
    let three = "```sh not-run=\"why\"\nfalse\n```\n```text\nfalse\n```\n\
        ```sh needs=\"no-such-command\"\nfalse\n```\n";
    let text = format!("{one}## Two\n{two}## Three\n{three}");
    let sections = sections("test.md", &text);
    let Some(reader) = Reader::new(&sections) else { return };
    let faults: Vec<String> =
        sections.iter().flat_map(|section| reader.read("test.md", section)).collect();
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert!(faults[0].starts_with("test.md:1: ") && faults[0].contains("+ false"), "{faults:?}");
    assert!(faults[1].starts_with("test.md:17: "), "{faults:?}");
}
