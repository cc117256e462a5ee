//! What to do about an error, in terms of the command line.

use std::path::Path;

use crate::{
    build::Cause,
    image::{DEFAULT_PATH, as_registry_name},
    oci::ImageError,
    output::OutputError,
    pipeline::Error,
    plan::{PlanError, Remedy},
    registry::{RegistryError, TlsFault},
    source::{MisplacedDependency, SourceError},
};

/// What to do about an image that cannot be opened.
pub(super) fn image_hint(error: &ImageError) -> Option<String> {
    let hint = match error {
        ImageError::NotFound(name) => {
            let name = as_registry_name(name)?;
            return Some(format!("write `docker://{name}` to take it from a registry"));
        }
        ImageError::Registry(error) => return registry_hint(error),
        ImageError::SeveralImages { .. } => {
            "name one of them: IMAGE:TAG, IMAGE@sha256:DIGEST, or --platform"
        }
        ImageError::OtherPlatform { .. } => "leave --platform out",
        _ => return None,
    };
    Some(hint.into())
}

/// What to do about a registry.
pub(super) fn registry_hint(error: &RegistryError) -> Option<String> {
    match error {
        RegistryError::Unauthorized { host, .. } => {
            Some(format!("log in with `imgb login {host}`"))
        }
        RegistryError::Tls { host, fault, .. } => {
            let hint = match fault {
                TlsFault::Issuer => "name the certificate of its authority with `--ca-file FILE`",
                TlsFault::OfAuthority => {
                    "give the server a certificate that an authority has signed"
                }
                TlsFault::Name { .. } => "reach it by a name that its certificate is for",
                TlsFault::Expired(_) => "renew the certificate, or set this machine's clock",
                TlsFault::NotYet(_) => "set this machine's clock",
                TlsFault::NotTls | TlsFault::Other(_) => "check host and port",
            };
            Some(format!("{hint}, or trust the network with `--insecure {host}`"))
        }
        _ => None,
    }
}

fn output_hint(error: &OutputError) -> Option<String> {
    match error {
        OutputError::Registry(error) => registry_hint(error),
        OutputError::Taken { .. } => Some("leave `--immutable` out to move the tag".into()),
        _ => None,
    }
}

/// What to do about `error`.
pub(super) fn pipeline_hint(error: &Error) -> Option<String> {
    own_hint(error).or_else(|| RegistryError::inside(error).and_then(registry_hint))
}

fn own_hint(error: &Error) -> Option<String> {
    match error {
        Error::Build(error) => match error.cause() {
            Some(Cause::Plan(PlanError::Missing(all)))
                if all.iter().any(|missing| missing.remedy.is_some()) =>
            {
                all.iter().find_map(|missing| missing.remedy.as_ref()).map(remedy_hint)
            }
            Some(Cause::Plan(plan @ PlanError::Environment { .. })) => plan_hint(plan),
            Some(Cause::Image(image @ ImageError::Registry(_))) => image_hint(image),
            Some(Cause::Source(source @ SourceError::Shim { .. })) => source_hint(source),
            _ => error.hint(),
        },
        Error::Plan(error) => plan_hint(error),
        Error::Source(error) => source_hint(error),
        Error::Output(error) => output_hint(error),
        Error::Secrets(_) => {
            Some("leave them out with `--exclude`, or name each one as an input of its own".into())
        }
        Error::Reasons(_) => {
            Some("leave out `--attach reasons`: `imgb why` finds reasons again in the image".into())
        }
        _ => None,
    }
}

/// Directories of a running system that no image holds, as options.
const SYSTEM: &str = "--exclude /proc --exclude /sys --exclude /dev --exclude /run";

fn source_hint(error: &SourceError) -> Option<String> {
    let is_of_system =
        |path: &Path| ["/proc", "/sys", "/dev", "/run"].iter().any(|dir| path.starts_with(dir));
    let hint = match error {
        SourceError::Unreadable { path, .. } if is_of_system(path) => {
            return Some(format!("leave out what belongs to the running system: `{SYSTEM}`"));
        }
        SourceError::NoRegularFiles { entries, .. }
            if entries.iter().any(|(path, _)| is_of_system(path)) =>
        {
            return Some(format!("leave out what belongs to the running system: `{SYSTEM}`"));
        }
        SourceError::NoRegularFiles { .. } => "leave them out with `--exclude GLOB`",
        SourceError::WhiteoutName { .. } => "rename it, or leave it out with `--exclude '.wh.*'`",
        SourceError::NotFound { meant: Some(meant), .. } => {
            return Some(format!("did you mean `{meant}`?"));
        }
        SourceError::Shim { which: Some(which), .. } => {
            return Some(format!("name the program itself, as in `imgb pack \"$({which})\"`"));
        }
        SourceError::Shim { .. } => {
            "take the program from a package of the distribution or from its own release"
        }
        SourceError::NotFound { .. } => {
            "check the spelling; inputs are files, directories, tarballs or commands"
        }
        _ => return None,
    };
    Some(hint.into())
}

fn plan_hint(error: &PlanError) -> Option<String> {
    if let Some(hint) = error.line_end_hint() {
        return Some(hint);
    }
    let hint = match error {
        PlanError::Conflict { .. } => {
            "move one of them with `SRC:DEST`, or leave one out with `--exclude`"
        }
        PlanError::MixedPlatforms(_) => {
            "build one image for each platform, or use `--platform` to keep the others as data"
        }
        PlanError::Environment { script, environment } => {
            let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
            let name = text(environment.file_name());
            let input = format!("{}:/{name}", text(environment.as_bytes()));
            let program = format!("/{name}/bin/{}", text(script.file_name()));
            return Some(format!("pack the whole environment: `{}`", pack(&input, &program)));
        }
        PlanError::Missing(all) => {
            if let Some(remedy) = all.iter().find_map(|missing| missing.remedy.as_ref()) {
                return Some(remedy_hint(remedy));
            }
            "add its directory with `--library-path DIR`, pack it with an input, or continue \
             without it with `--allow-missing NAME`"
        }
        _ => return None,
    };
    Some(hint.into())
}

/// The command that packs `input` and starts `program` of the image.
fn pack(input: &str, program: &str) -> String {
    // The value of the option is split as a shell would split it.
    let program = shell_words::quote(program);
    shell_words::join(["imgb", "pack", input, "--entrypoint", &program])
}

/// What helps with a missing file.
fn remedy_hint(remedy: &Remedy) -> String {
    match remedy {
        Remedy::Denied(path) => format!("run imgb as a user who may read {path}"),
        Remedy::Misplaced(misplaced) => misplaced_hint(misplaced),
        Remedy::OutsidePath(dir) => {
            let text = format!("it is installed in {dir}, which is not in the image's PATH");
            // What is in a version manager's directory is not the program itself.
            match dir.file_name() {
                b"shims" => text,
                _ => format!("{text}: add `--env PATH={dir}:{DEFAULT_PATH}`"),
            }
        }
        Remedy::Sysroot(dir) => {
            format!("{dir} has it: look everything up there with `--sysroot {dir}`")
        }
        Remedy::NotInBase => "files are taken from the base alone, which is an operating system: \
            `--sysroot /` takes them from this machine"
            .into(),
    }
}

/// A program was packed without the directory that its library is found in.
fn misplaced_hint(misplaced: &MisplacedDependency) -> String {
    let file = misplaced.file.display();
    match &misplaced.tree {
        Some(tree) => format!(
            "`{file}` is next to the program here, but not in the image: pack the directory that \
             holds both, `{}`",
            pack(
                &format!("{}:/opt/app", tree.display()),
                &format!("/opt/app/{}", misplaced.program.display())
            )
        ),
        None => format!(
            "the program's `$ORIGIN` leads to `{file}` here: pack it too, at the same place \
             relative to the program"
        ),
    }
}
