//! `imgb login` and `imgb logout`.

use std::{
    io::{self, BufRead as _, Read as _, Write as _},
    path::PathBuf,
};

use clap::Args;
use rustix::termios::{self, LocalModes, OptionalActions};

use super::{
    environment, failure::Failure, options::registry::RegistryArgs, terminal::print_message, values,
};
use crate::{
    error_kind::system_reason,
    registry::{Credential, Credentials, Secret},
};

/// Bytes of a password that are read.
const MAX_PASSWORD: u64 = 64 << 10;

/// Which registry is meant.
#[derive(Args, Debug)]
struct HostArgs {
    /// The registry; otherwise Docker Hub
    #[arg(
        value_name = "HOST[:PORT]",
        value_parser = values::registry_host,
        default_value = "docker.io"
    )]
    host: String,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    imgb login registry.example -u me --password-stdin <token\n\n\
    The registry is asked whether it takes the credentials. They are stored where docker and \
    podman find them, too: with the credential helper that docker's config.json names, or in that \
    file.")]
pub(super) struct LoginArgs {
    #[command(flatten)]
    named: HostArgs,

    /// The user; otherwise imgb asks for it
    #[arg(short, long, value_name = "USER")]
    username: Option<String>,

    /// Read the password from stdin; otherwise imgb asks for it
    #[arg(long, requires = "username")]
    password_stdin: bool,

    #[command(flatten)]
    registry: RegistryArgs,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  imgb logout registry.example")]
pub(super) struct LogoutArgs {
    #[command(flatten)]
    named: HostArgs,

    /// The file of stored credentials, instead of docker's
    #[arg(long, value_name = "FILE", help_heading = "Registry")]
    authfile: Option<PathBuf>,
}

pub(super) fn login(args: &LoginArgs) -> Result<(), Failure> {
    let host = &args.named.host;
    let file = file(args.registry.authfile.as_ref())?;
    let given = if args.username.is_none() { args.registry.credential()? } else { None };
    let credential = match given {
        Some(given) => given,
        None => asked(args)?,
    };
    let registries = args.registry.registries_with(host, credential.clone())?;
    let client = registries.client().map_err(Failure::registry)?;
    client.check_login(host).map_err(Failure::registry)?;
    let user = match &credential {
        Credential::Password { user, .. } => user.clone(),
        _ => String::new(),
    };
    let helper = Credentials::store(&file, host, &user, &credential).map_err(Failure::registry)?;
    let place = match helper {
        Some(helper) => format!("with docker-credential-{helper}"),
        None => format!("in {}", file.display()),
    };
    print_message(&format!("logged in to {host}; the credentials are stored {place}"));
    Ok(())
}

pub(super) fn logout(args: &LogoutArgs) -> Result<(), Failure> {
    let (host, file) = (&args.named.host, file(args.authfile.as_ref())?);
    match Credentials::erase(&file, host).map_err(Failure::registry)? {
        true => print_message(&format!("logged out of {host}")),
        false => print_message(&format!("there were no credentials for {host}")),
    }
    Ok(())
}

/// The file in which credentials are stored.
fn file(authfile: Option<&PathBuf>) -> Result<PathBuf, Failure> {
    let usual = || environment::credential_files(None).pop();
    authfile.cloned().or_else(usual).ok_or_else(|| {
        let failure = Failure::local("cannot store credentials: HOME is not set");
        failure.with_hint("name a file with `--authfile FILE`")
    })
}

/// The user's answers, or the password on stdin.
fn asked(args: &LoginArgs) -> Result<Credential, Failure> {
    let unreadable =
        |error: io::Error| Failure::local(format!("cannot read stdin: {}", system_reason(&error)));
    let mut stdin = io::stdin().lock();
    let is_terminal = termios::isatty(io::stdin());
    if !args.password_stdin && !is_terminal {
        let failure = Failure::usage("stdin is not a terminal to ask for a password");
        return Err(failure.with_hint("pipe it: `imgb login HOST -u USER --password-stdin <FILE`"));
    }
    let user = match &args.username {
        Some(user) => user.clone(),
        None => {
            prompt("user: ");
            let mut line = String::new();
            stdin.read_line(&mut line).map_err(unreadable)?;
            line.trim().to_owned()
        }
    };
    let mut password = String::new();
    if args.password_stdin {
        stdin.take(MAX_PASSWORD).read_to_string(&mut password).map_err(unreadable)?;
    } else {
        prompt("password: ");
        let before = termios::tcgetattr(io::stdin()).map_err(|errno| unreadable(errno.into()))?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        let set = |modes| termios::tcsetattr(io::stdin(), OptionalActions::Flush, modes);
        set(&silent).map_err(|errno| unreadable(errno.into()))?;
        let read = stdin.read_line(&mut password);
        let _ = set(&before);
        prompt("\n");
        read.map_err(unreadable)?;
    }
    let password = password.trim_end_matches(['\n', '\r']);
    if user.is_empty() || password.is_empty() {
        return Err(Failure::usage("a user and a password are needed"));
    }
    Ok(Credential::Password { user, password: Secret::new(password) })
}

/// Writes on the terminal, without a line break.
fn prompt(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}
