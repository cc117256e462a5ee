//! Whole Buildfiles: what they become, as one line an instruction.

mod config;
mod errors;
mod files;
mod hostile;
mod variables;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::action::{Action, CopyFiles, CopyFrom, CopySource, Dest, Pack};
use super::evaluate::{Evaluation, Inherited, evaluate};
use super::fault::{Faults, Notice};
use super::healthcheck::Health;
use super::owner::{Owner, Principal};
use super::{Arguments, Base, Command, Recipe, outline, parse};

/// Reads and evaluates a text, with `inherited` as the base of its stage 0.
fn evaluate_on(
    text: &str,
    arguments: &Arguments,
    inherited: &Inherited,
) -> Result<(Recipe, Evaluation), Faults> {
    let recipe = parse("Buildfile", text.as_bytes())?;
    let outline = outline(&recipe, arguments)?;
    let bases = BTreeMap::from([(0, inherited.clone())]);
    let mut evaluation = evaluate(&recipe, arguments, &outline, &bases)?;
    let notices = recipe.notices.iter().chain(&outline.notices).cloned();
    evaluation.notices = notices.chain(evaluation.notices).collect();
    Ok((recipe, evaluation))
}

fn build_args(pairs: &[(&str, &str)]) -> Arguments {
    let build_args =
        pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    Arguments { build_args, ..Arguments::default() }
}

/// What a text becomes, as [`dump`] shows it.
#[track_caller]
fn run(text: &str) -> String {
    run_with(text, &Arguments::default())
}

#[track_caller]
fn run_with(text: &str, arguments: &Arguments) -> String {
    match evaluate_on(text, arguments, &Inherited::default()) {
        Ok((_, evaluation)) => dump(&evaluation),
        Err(faults) => panic!("{faults}"),
    }
}

/// The instructions after `FROM scratch`, as [`dump`] shows them.
#[track_caller]
fn steps(text: &str) -> String {
    let dump = run(&format!("FROM scratch\n{text}"));
    dump.strip_prefix("0: scratch\n").unwrap().to_string()
}

/// The faults of a text, as they are shown.
#[track_caller]
fn faults(text: &str) -> String {
    let faults = evaluate_on(text, &Arguments::default(), &Inherited::default())
        .map(|(_, evaluation)| dump(&evaluation));
    faults.expect_err("it should be refused").to_string()
}

/// The first line of each fault of what follows `FROM scratch`.
#[track_caller]
fn messages(text: &str) -> Vec<String> {
    let text = format!("FROM scratch\n{text}");
    match evaluate_on(&text, &Arguments::default(), &Inherited::default()) {
        Ok((_, evaluation)) => panic!("{}", dump(&evaluation)),
        Err(faults) => faults.faults.iter().map(|fault| fault.kind.to_string()).collect(),
    }
}

/// The notices of a text, without their places.
#[track_caller]
fn notices(text: &str, arguments: &Arguments) -> Vec<String> {
    match evaluate_on(text, arguments, &Inherited::default()) {
        Ok((_, evaluation)) => {
            evaluation.notices.iter().map(|Notice { kind, .. }| kind.to_string()).collect()
        }
        Err(faults) => panic!("{faults}"),
    }
}

/// One line a stage, and one an instruction.
fn dump(evaluation: &Evaluation) -> String {
    let mut out = String::new();
    for stage in &evaluation.stages {
        let base = match &stage.needed.base {
            Base::Scratch => "scratch".to_string(),
            Base::Stage(index) => format!("stage {index}"),
            Base::Image(name) => format!("image {name}"),
        };
        let platform = stage
            .needed
            .platform
            .as_ref()
            .map_or(String::new(), |platform| format!(" on {platform}"));
        let alias = stage.alias.as_ref().map_or(String::new(), |alias| format!(" as {alias}"));
        writeln!(out, "{}: {base}{platform}{alias}", stage.needed.index).unwrap();
        for step in &stage.steps {
            writeln!(out, "{} {}", step.line, show(&step.action)).unwrap();
        }
    }
    out
}

fn show(action: &Action) -> String {
    let pairs = |pairs: &[(String, String)]| {
        let pairs = pairs.iter().map(|(name, value)| format!("{name}={value:?}"));
        pairs.collect::<Vec<_>>().join(" ")
    };
    match action {
        Action::Annotation(list) => format!("annotation {}", pairs(list)),
        Action::Arg(list) => {
            let list = list.iter().map(|(name, value)| match value {
                Some(value) => format!("{name}={value:?}"),
                None => name.clone(),
            });
            format!("arg {}", list.collect::<Vec<_>>().join(" "))
        }
        Action::Cap { file, capabilities } => format!("cap {file} {capabilities}"),
        Action::Cmd(words) => format!("cmd {words:?}"),
        Action::Copy(copy) => show_copy(copy),
        Action::Entrypoint(words) => format!("entrypoint {words:?}"),
        Action::Env(list) => format!("env {}", pairs(list)),
        Action::Expose(ports) => {
            let ports: Vec<String> = ports.iter().flat_map(|ports| ports.keys()).collect();
            format!("expose {}", ports.join(" "))
        }
        Action::Healthcheck(health) => show_health(health),
        Action::Label(list) => format!("label {}", pairs(list)),
        Action::Maintainer(name) => format!("maintainer {name:?}"),
        Action::Mkdir(mkdir) => {
            let (mode, owner) = (option("mode", &mkdir.mode), show_owner(&mkdir.owner));
            format!("mkdir {:?}{mode}{owner}", mkdir.dirs)
        }
        Action::Pack(pack) => show_pack(pack),
        Action::Shell(words) => format!("shell {words:?}"),
        Action::StopSignal(signal) => format!("stopsignal {signal}"),
        Action::Symlink { target, link } => format!("symlink {link} -> {target}"),
        Action::User(user) => format!("user {user:?}"),
        Action::Volume(list) => format!("volume {list:?}"),
        Action::Workdir(path) => format!("workdir {path}"),
    }
}

fn option<T: std::fmt::Debug>(name: &str, value: &Option<T>) -> String {
    value.as_ref().map_or(String::new(), |value| format!(" {name}={value:?}"))
}

fn show_owner(owner: &Option<Owner>) -> String {
    let principal = |principal: &Principal| match principal {
        Principal::Id(id) => id.to_string(),
        Principal::Name(name) => format!("<{name}>"),
    };
    let Some(Owner { user, group }) = owner else { return String::new() };
    let group = group.as_ref().map_or(String::new(), |group| format!(":{}", principal(group)));
    format!(" owner={}{group}", principal(user))
}

fn show_dest(dest: &Dest) -> String {
    format!("{}{}", dest.path, if dest.is_dir { " (dir)" } else { "" })
}

fn show_copy(copy: &CopyFiles) -> String {
    let sources = copy.sources.iter().map(|source| match source {
        CopySource::Path(path) => format!("{path:?}"),
        CopySource::Inline { name, content } => format!("<<{name} {content:?}"),
    });
    let mut out = format!(
        "{} {}",
        if copy.unpack { "add" } else { "copy" },
        sources.collect::<Vec<_>>().join(" ")
    );
    write!(out, " to {}", show_dest(&copy.dest)).unwrap();
    match &copy.from {
        CopyFrom::Context => {}
        CopyFrom::Stage(index) => write!(out, " from stage {index}").unwrap(),
        CopyFrom::Image(name) => write!(out, " from image {name}").unwrap(),
    }
    out += &show_owner(&copy.owner);
    out += &option("mode", &copy.mode);
    if !copy.exclude.is_empty() {
        write!(out, " exclude={:?}", copy.exclude).unwrap();
    }
    out + if copy.parents { " parents" } else { "" }
}

fn show_pack(pack: &Pack) -> String {
    let mut out = format!("pack {:?}", pack.programs);
    if let Some(dest) = &pack.dest {
        write!(out, " to {}", show_dest(dest)).unwrap();
    }
    if !pack.library_path.is_empty() {
        write!(out, " library-path={:?}", pack.library_path).unwrap();
    }
    out + &option("soft", &pack.soft) + &option("sysroot", &pack.sysroot)
}

fn show_health(health: &Health) -> String {
    let command = match &health.command {
        None => "none".to_string(),
        Some(Command::Exec(words)) => format!("{words:?}"),
        Some(Command::Shell(text)) => format!("{text:?}"),
    };
    let Health { interval, timeout, start_period, start_interval, retries, .. } = health;
    let times = [interval, timeout, start_period, start_interval].map(|time| time / 1_000_000);
    format!("healthcheck {command} {times:?} ms, {retries} times")
}
