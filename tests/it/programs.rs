//! The programs of programs.toml at real work: packed with defaults in an engine, and in an empty
//! root without one rule at a time.

use std::{
    any::Any,
    collections::{BTreeMap, BTreeSet},
    panic,
    sync::Mutex,
    thread,
};

use crate::{
    engines::{self, Docker, have},
    fixtures::sysroot,
    rules_root::Root,
    sandbox::{Outcome, Run, Sandbox, is_there, some_of},
};

/// A program of programs.toml, whose head describes the fields.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Program {
    name: String,
    pack: String,
    script: String,
    prints: Vec<String>,
    #[serde(default)]
    options: String,
    #[serde(default)]
    shows: Vec<String>,
    #[serde(default)]
    adds: Vec<String>,
    #[serde(default)]
    optional: bool,
    #[serde(default)]
    sysroot: String,
    #[serde(default)]
    bring: String,
    #[serde(default)]
    needs: Vec<String>,
}

#[derive(serde::Deserialize)]
struct File {
    program: Vec<Program>,
}

/// Programs that must be packed with defaults and work in an engine.
const AT_LEAST: usize = 40;

/// Rules that no program here shows, with the test that does, or the reason why none can.
const NOT_SHOWN_HERE: &[(&str, &str)] = &[
    ("unwinder", "rules_libc::unwinder"),
    ("shell", "rules_libc::a_shell_only_where_it_is_asked_for"),
    (
        "nss-modules",
        "glibc before 2.34, which Debian 12 has not; the unit tests of the rules have it",
    ),
    ("ca-certificates", "tls::clients_trust_the_sysroots_bundle"),
    ("node", "node 18 of Debian 12 has them built in; that of other versions reads them"),
    ("dlopen", "rules_libc::what_constants_name"),
    ("embedded-libraries", "rules_mentions::what_objects_in_an_archive_need"),
    (
        "own-programs",
        "ownership_limits::a_program_brings_the_programs_of_its_packages_that_it_starts",
    ),
    ("command-lines", "rules_mentions::a_command_line_among_the_constants_of_a_program"),
    ("dlopen-optional", "ownership::packages_say_which_mentions_are_meant"),
    ("recommended-files", "as own-files, for other packages; ownership::tests"),
    ("default-font", "desktop::text_is_drawn_with_a_font"),
    ("plugins", "rules_libc::what_constants_name"),
    ("data", "rules_libc::what_constants_name"),
    ("configuration", "rules_libc::what_constants_name"),
    ("spawn", "rules_libc::what_constants_name"),
    ("script-commands", "rules_directories::a_shell_script_brings_the_commands_that_it_names"),
    ("script-programs", "scripts::a_script_brings_what_it_executes_whatever_its_size"),
    ("mesa", "desktop::drivers_draw"),
    ("gtk", "desktop::gtk_has_input_methods"),
    ("qt-plugins", "desktop::qt_has_its_platform_and_what_is_asked_for"),
    ("time-zone-text", "programs of GCC 13 or newer; Debian 12 has 12"),
    ("gio-modules", "the files of the rule gio, which gsettings shows"),
    ("mime-descriptions", "desktop::types_of_files_have_names"),
    ("mime-types", "desktop::types_of_files_are_told_by_their_names"),
    ("krb5-plugins", "plugins for other ways to log in, which need a realm and its server"),
    ("selinux", "it needs a kernel with a policy"),
];

fn programs() -> Vec<Program> {
    let file: File = toml::from_str(include_str!("programs.toml")).unwrap();
    // The newest installed server: the paths of its programs contain its version.
    let newest = fs_err::read_dir("/usr/lib/postgresql").ok().and_then(|entries| {
        entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .max_by_key(|name| name.parse::<u32>().unwrap_or_default())
    });
    let newest = newest.unwrap_or_else(|| "15".into());
    let fill = |text: &str| text.replace("PGVERSION", &newest);
    file.program
        .into_iter()
        .map(|one| Program {
            pack: fill(&one.pack),
            script: fill(&one.script),
            bring: fill(&one.bring),
            ..one
        })
        .collect()
}

impl Program {
    /// Whether everything needed is installed. If something required is missing, the test fails or
    /// prints that it is skipped.
    fn is_there(&self) -> bool {
        let inputs =
            self.inputs().split_whitespace().map(|input| input.split(':').next().unwrap_or(input));
        let sources: Vec<&str> = inputs.chain(self.needs.iter().map(String::as_str)).collect();
        if self.optional { sources.iter().all(|source| is_there(source)) } else { have(&sources) }
    }

    /// What is packed from this machine.
    fn inputs(&self) -> &str {
        if self.bring.is_empty() { &self.pack } else { &self.bring }
    }

    fn args(&self, more: &str) -> String {
        format!("{} {} {more}", self.pack, self.options)
    }

    /// Makes the sysroot of the program, in `sys`, if it has one.
    fn system(&self) -> Option<Sandbox> {
        if self.sysroot.is_empty() {
            return None;
        }
        let sandbox = Sandbox::new();
        sysroot(&sandbox, self.inputs());
        Run::new("sh").arg("-euc").arg(&self.sysroot).cwd(sandbox.path("sys")).run().ok();
        Some(sandbox)
    }

    /// Whether it needs only defaults and the system of this machine.
    fn is_for_engines(&self) -> bool {
        self.adds.is_empty() && self.sysroot.is_empty()
    }

    /// Whether the script printed what it should.
    fn is_done(&self, outcome: &Outcome) -> bool {
        let text = outcome.text();
        let mut rest = &text[..];
        outcome.success()
            && self.prints.iter().all(|part| {
                let found = rest.split_once(&part[..]);
                rest = found.map_or("", |(_, after)| after);
                found.is_some()
            })
    }
}

/// A directory with a static busybox, which runs scripts where there is no shell.
fn driver() -> Option<Sandbox> {
    if !have(&["busybox"]) {
        return None;
    }
    let sandbox = Sandbox::new();
    let busybox =
        ["/usr/bin/busybox", "/bin/busybox"].iter().find_map(|path| fs_err::read(path).ok())?;
    sandbox.program("t/busybox", busybox).hard_link("t/sh", "t/busybox");
    Some(sandbox)
}

/// Runs `job` for each of `programs` on two threads, and fails with all its messages.
fn each(programs: &[Program], job: impl Fn(&Program) -> Vec<String> + Sync) {
    let queue = Mutex::new(programs.iter());
    let said = Mutex::new(Vec::new());
    let name = thread::current().name().unwrap_or("programs").to_owned();
    thread::scope(|scope| {
        for _ in 0..2 {
            let worker = || {
                while let Some(program) = { queue.lock().unwrap().next() } {
                    // A program that cannot even be packed must not hide the faults of the others.
                    let done = panic::catch_unwind(panic::AssertUnwindSafe(|| job(program)));
                    let faults = done.unwrap_or_else(|fault| {
                        vec![format!("{}: {}", program.name, text(&*fault))]
                    });
                    said.lock().unwrap().extend(faults);
                }
            };
            thread::Builder::new().name(name.clone()).spawn_scoped(scope, worker).unwrap();
        }
    });
    let said = said.into_inner().unwrap();
    assert!(said.is_empty(), "{} of {}:\n{}", said.len(), programs.len(), said.join("\n"));
}

/// The message of a panic.
fn text(fault: &(dyn Any + Send)) -> &str {
    let owned = fault.downcast_ref::<String>().map(String::as_str);
    owned.or_else(|| fault.downcast_ref::<&str>().copied()).unwrap_or("it panicked")
}

#[test]
fn one_that_panics_does_not_hide_the_others() {
    let programs = &programs()[..4];
    let all = panic::catch_unwind(|| {
        each(programs, |program| match &program.name[..] {
            "getent" => panic!("no image of {}", program.name),
            "date" => vec!["date: wrong".into()],
            _ => Vec::new(),
        });
    });
    let said = text(&*all.unwrap_err()).to_owned();
    assert!(
        said.contains("2 of 4")
            && said.contains("no image of getent")
            && said.contains("date: wrong"),
        "{said}"
    );
}

#[test]
fn programs_work_in_an_engine() {
    let (Some(docker), Some(driver)) = (engines::docker(), driver()) else { return };
    let programs: Vec<Program> =
        programs().into_iter().filter(|one| one.is_for_engines() && one.is_there()).collect();
    if std::env::var_os("IMGB_REQUIRE_ENGINES").is_some_and(|value| value == "1") {
        assert!(programs.len() >= AT_LEAST, "{} programs", programs.len());
    }
    each(&programs, |program| {
        let outcome = in_docker(program, &docker, &driver);
        if program.is_done(&outcome) {
            Vec::new()
        } else {
            vec![format!("{}: {}", program.name, outcome.show())]
        }
    });
}

fn in_docker(program: &Program, docker: &Docker, driver: &Sandbox) -> Outcome {
    let sandbox = Sandbox::new();
    let tag = format!("programs/{}:test", program.name);
    let packed = sandbox.imgb("pack").args(&program.args(&format!("-t {tag} -o image.tar"))).run();
    if !packed.success() {
        return packed;
    }
    docker.load(&sandbox.path("image.tar"));
    let mount = format!("{}:/.t:ro", driver.path("t").display());
    let run =
        docker.cli("run --rm --network=none --entrypoint /.t/busybox -v").arg(mount).arg(&tag);
    let outcome = run.args("sh -euc").arg(&program.script).run();
    docker.cli("rmi --force").arg(&tag).run();
    outcome
}

fn in_root(program: &Program, driver: &Sandbox, more: &str) -> Option<Outcome> {
    let root = Root::pack(&[], &program.args(more))?;
    let id = match program.options.split_once("--user ") {
        Some((_, user)) => root.id_of(user)?,
        None => 0,
    };
    Some(script(&root, id, &program.script, driver).run())
}

fn script(root: &Root, id: u32, text: &str, driver: &Sandbox) -> Run {
    root.run_with(
        id,
        "/.t/busybox",
        &["--unshare-net", "--ro-bind", driver.path("t").to_str().unwrap(), "/.t"],
    )
    .args("sh -euc")
    .arg(text)
}

#[test]
fn programs_fail_without_their_rule() {
    let Some(driver) = driver() else { return };
    let shows = |program: &Program| {
        !(program.shows.is_empty() && program.adds.is_empty()) && program.is_there()
    };
    let programs = some_of(programs().into_iter().filter(shows).collect::<Vec<Program>>());
    each(&programs, |program| {
        let mut faults = Vec::new();
        let system = program.system();
        let from =
            system.as_ref().map(|system| format!("--sysroot {} ", system.path("sys").display()));
        let mut check = |more: &str, wanted: bool| {
            let more = format!("{}{more}", from.as_deref().unwrap_or_default());
            let Some(outcome) = in_root(program, &driver, &more) else { return };
            if program.is_done(&outcome) != wanted {
                let what = if wanted { "fails" } else { "works" };
                faults.push(format!("{} {what} with `{more}`: {}", program.name, outcome.show()));
            }
        };
        let all: String = program.adds.iter().map(|rule| format!(" --with {rule}")).collect();
        check(all.trim(), true);
        for rule in &program.shows {
            // Of some, the proof knows already that they do not start.
            check(format!("{all} --without {rule} --no-check").trim(), false);
        }
        for rule in &program.adds {
            let others: String = program
                .adds
                .iter()
                .filter(|other| *other != rule)
                .map(|rule| format!(" --with {rule}"))
                .collect();
            check(others.trim(), false);
        }
        faults
    });
}

#[test]
fn each_rule_is_shown_or_has_a_reason() {
    let listed = Sandbox::new().imgb("rules --json").run().ok().text();
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    let rules = listed["rules"].as_array().unwrap();
    let rules: BTreeSet<&str> = rules.iter().filter_map(|rule| rule["name"].as_str()).collect();
    let programs = programs();
    let mut by: BTreeMap<&str, &str> = NOT_SHOWN_HERE.iter().copied().collect();
    for program in &programs {
        for rule in program.shows.iter().chain(&program.adds) {
            assert!(rules.contains(&rule[..]), "{}: no rule {rule}", program.name);
            by.insert(rule, &program.name);
        }
    }
    let missing: Vec<_> = rules.iter().filter(|rule| !by.contains_key(**rule)).collect();
    assert!(missing.is_empty(), "no program shows {missing:?}, and no reason is given");
    let unknown: Vec<_> = by.keys().filter(|rule| !rules.contains(**rule)).collect();
    assert!(unknown.is_empty(), "no such rules: {unknown:?}");
}
