//! Running the program with an installed runtime instead of imgb's own sandbox.

use std::{ffi::OsString, fmt, io, process::Command, str::FromStr};

use serde_json::{Value, json};

use super::{
    RunError, RunOptions, connect, finish,
    interrupt::Interrupt,
    namespaces,
    private_dir::PrivateDir,
    spec::RunSpec,
    supervise::{Supervision, supervise},
    unsupervised,
};

/// What runs the program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Runtime {
    /// imgb itself.
    #[default]
    Own,
    /// crun(1).
    Crun,
    /// runc.
    Runc,
    /// podman(1), with the image's copy as `--rootfs`.
    Podman,
}

impl FromStr for Runtime {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "own" => Ok(Self::Own),
            "crun" => Ok(Self::Crun),
            "runc" => Ok(Self::Runc),
            "podman" => Ok(Self::Podman),
            _ => Err(format!("`{text}` is not a runtime: own, crun, runc or podman")),
        }
    }
}

impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Own => "own",
            Self::Crun => "crun",
            Self::Runc => "runc",
            Self::Podman => "podman",
        })
    }
}

/// Runs the program of the image's copy in `private`. Returns its exit code.
pub(super) fn run(
    (private, interrupt): (&PrivateDir, &Interrupt),
    spec: &RunSpec,
    options: &RunOptions,
) -> Result<u8, RunError> {
    let system = |source| RunError::System { action: "start the runtime", source };
    let mut command = match options.runtime {
        Runtime::Podman => podman(spec),
        runtime => {
            let config = private.path().join("config.json");
            let text = bundle(spec, namespaces::unprivileged_owner().map_err(system)?).to_string();
            fs_err::write(&config, text).map_err(system)?;
            let name = private.path().file_name().unwrap_or_default().to_owned();
            let mut command = Command::new(runtime.to_string());
            // The default directory for its state belongs to root.
            command.arg("--root").arg(private.path().join("state"));
            command.arg("run").arg("--bundle").arg(private.path()).arg(name);
            command
        }
    };
    let streams = connect(&mut command, None, false)?;
    let how =
        Supervision { leads_session: false, with_descendants: false, timeout: options.timeout };
    let ended = supervise(command, how, interrupt).map_err(|why| {
        unsupervised(why, |source| match source.kind() {
            io::ErrorKind::NotFound => RunError::NoRuntime(options.runtime),
            _ => system(source),
        })
    })?;
    finish(streams, ended)
}

fn podman(spec: &RunSpec) -> Command {
    let mut command = Command::new("podman");
    command.args([
        "run",
        "--rm",
        "--interactive",
        "--network=none",
        // podman's default limits are higher than root may set without CAP_SYS_RESOURCE.
        "--ulimit=host",
        "--cap-drop=all",
        "--security-opt=no-new-privileges",
    ]);
    for (name, value) in &spec.env {
        let mut pair = OsString::from("--env=");
        pair.push(name);
        pair.push("=");
        pair.push(value);
        command.arg(pair);
    }
    command.arg("--workdir").arg(&spec.workdir).arg(format!("--user={}:{}", spec.uid, spec.gid));
    command.arg(format!("--pids-limit={}", spec.processes));
    if let Some(memory) = spec.memory {
        command.arg(format!("--memory={memory}"));
    }
    if spec.read_only {
        command.arg("--read-only");
    }
    command.arg("--rootfs").arg(&spec.root).arg(&spec.program).args(spec.args.iter().skip(1));
    command
}

/// The runtime's configuration (OCI runtime-spec, config.md), for a program that runs as `owner`
/// or else as the caller.
fn bundle(spec: &RunSpec, owner: Option<(u32, u32)>) -> Value {
    let (uid, gid) = owner.unwrap_or_else(|| {
        (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
    });
    let text = |text: &OsString| text.to_string_lossy().into_owned();
    let args: Vec<_> =
        std::iter::once(&spec.program).chain(spec.args.iter().skip(1)).map(text).collect();
    let env: Vec<_> =
        spec.env.iter().map(|(name, value)| format!("{}={}", text(name), text(value))).collect();
    let mount = |at: &str, kind: &str, options: &[&str]| {
        json!({
            "destination": at,
            "type": kind,
            "source": kind,
            "options": options,
        })
    };
    let namespaces =
        ["pid", "ipc", "uts", "mount", "network", "user"].map(|kind| json!({"type": kind}));
    let map =
        |inside: u32, outside: u32| json!([{"containerID": inside, "hostID": outside, "size": 1}]);
    let mut resources = json!({});
    if let Some(memory) = spec.memory {
        resources = json!({"memory": {"limit": memory}, "pids": {"limit": spec.processes}});
    }
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": false,
            "user": {"uid": spec.uid, "gid": spec.gid},
            "args": args,
            "env": env,
            "cwd": text(&spec.workdir),
            "noNewPrivileges": true,
        },
        "root": {"path": "root", "readonly": spec.read_only},
        "hostname": "imgb",
        "mounts": [
            mount("/proc", "proc", &["nosuid", "noexec", "nodev"]),
            mount("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
            mount("/dev/shm", "tmpfs", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
        ],
        "linux": {
            "namespaces": namespaces,
            "uidMappings": map(spec.uid, uid),
            "gidMappings": map(spec.gid, gid),
            "resources": resources,
        },
    })
}
