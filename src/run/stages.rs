//! The stages of a run, each a process that imgb starts itself by a hidden command.

use std::{
    ffi::OsStr,
    io::{self, Read as _, Write as _},
    os::unix::process::CommandExt as _,
    path::Path,
    process::Command,
};

use super::{
    RUNNER, gate, init, namespaces,
    serving_channel::Requests,
    signals::{self, Catcher, CaughtSignals},
    spec::RunSpec,
    stage_error::{StageError, trying},
    tracer::Tracer,
};

/// The stage that is process 1 of the PID namespace.
const INIT: &str = "init";

/// Bytes of the file that the stages read.
const MAX_SPEC: u64 = 16 << 20;

/// Runs one stage: `namespaces` and then `init`, or to watch a command of the host `watch` and then
/// `command`. `file` is the JSON of a `RunSpec`. Returns the exit code; errors are printed to
/// stderr.
pub fn run_stage(stage: &OsStr, file: &Path) -> u8 {
    let done = read_spec(file).and_then(|spec| match stage.as_encoded_bytes() {
        b"namespaces" => namespaces::enter(&spec).and_then(|()| start_stage(&spec, file, INIT)),
        b"watch" => start_stage(&spec, file, "command"),
        b"command" => become_command(&spec, file),
        _ => init::run(&spec, file),
    });
    match done {
        Ok(code) => code,
        Err(error) => {
            let why = error.source.to_string();
            let why = why.split(" (os error").next().unwrap_or_default();
            let _ = writeln!(io::stderr(), "error: {error}: {why}");
            if let Some(hint) = error.hint() {
                let _ = writeln!(io::stderr(), "\nhint: {hint}");
            }
            error.exit_code
        }
    }
}

fn read_spec(file: &Path) -> Result<RunSpec, StageError> {
    let mut text = Vec::new();
    let file = fs_err::File::open(file).map_err(trying("read the runner's file"))?;
    file.take(MAX_SPEC).read_to_end(&mut text).map_err(trying("read the runner's file"))?;
    serde_json::from_slice(&text)
        .map_err(|error| trying("read the runner's file")(io::Error::from(error)))
}

/// Starts the next stage, traces it if the spec asks for that, and waits for it to end.
fn start_stage(spec: &RunSpec, file: &Path, stage: &str) -> Result<u8, StageError> {
    signals::die_with_parent().map_err(trying("prepare the runner"))?;
    let catcher = if spec.session { Catcher::StageOfSession } else { Catcher::StageInGroup };
    let mut caught = CaughtSignals::new(catcher).map_err(trying("catch signals"))?;
    let tracing = match &spec.watch {
        Some(out) => {
            let server = spec.serving.as_ref().map(Requests::open).transpose();
            let server = server.map_err(trying("prepare the watch"))?;
            Some((Tracer::new(Path::new(out), server)?, gate::Gate::close(file)?))
        }
        None => None,
    };
    let mut command = Command::new("/proc/self/exe");
    command.arg0("imgb").arg(RUNNER).arg(stage).arg(file);
    if stage == INIT {
        signals::hold_back().map_err(trying("catch signals"))?;
    }
    let child = command.spawn();
    if stage == INIT {
        signals::release().map_err(trying("catch signals"))?;
    }
    let child = child.map_err(trying(format!("start the stage `{stage}`")))?;
    let pid = signals::pid(&child).map_err(trying("start the next stage"))?;
    // The child catches them, holds them back or ends: if its group got them too, they count once.
    let early = caught.pending();
    caught.send_early(pid, early).map_err(trying("catch signals"))?;
    let status = match tracing {
        None => caught.wait(pid).map_err(trying("wait for the program"))?,
        Some((tracer, gate)) => tracer.follow(pid, gate, &mut caught)?,
    };
    Ok(signals::exit_code(status))
}

/// Replaces this process by a command of the host, as soon as it is traced.
fn become_command(spec: &RunSpec, file: &Path) -> Result<u8, StageError> {
    gate::wait_until_open(file)?;
    let mut command = Command::new(&spec.program);
    command.args(spec.args.iter().skip(1)).env_clear();
    command.envs(spec.env.iter().map(|(name, value)| (name, value))).current_dir(&spec.workdir);
    Err(init::cannot_start(spec, command.exec()))
}
