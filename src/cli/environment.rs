//! What commands take from the process: environment variables, the machine, the working directory.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

use super::failure::Failure;
use crate::{
    image::{DEFAULT_PATH, Platform},
    languages::Languages,
    path::ImagePath,
    registry::{ClientOptions, Credential, Credentials, Proxies, Secret},
    timestamp::{Mtime, Timestamp},
};

/// An environment variable; `None` if it is unset or empty.
pub(super) fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// The directory for temporary files.
pub(super) fn scratch() -> PathBuf {
    variable("TMPDIR").map_or_else(|| "/tmp".into(), PathBuf::from)
}

/// Files in which systems keep the certificates that they trust: of Debian and Alpine, Fedora,
/// openSUSE, and those of other systems that Go's `crypto/x509` reads.
const SYSTEM_CERTIFICATES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// How registries are reached by the environment: proxies, certificates and stored credentials.
/// Credentials are in `authfile`, or else where docker and podman store them.
pub(super) fn client_options(authfile: Option<&Path>) -> ClientOptions {
    let text = |name: &str| variable(name)?.into_string().ok();
    let own = variable("SSL_CERT_FILE").map(PathBuf::from);
    ClientOptions {
        credentials: Credentials::stored_in(credential_files(authfile)),
        system_ca_files: match own {
            Some(file) => vec![file],
            None => SYSTEM_CERTIFICATES.map(PathBuf::from).to_vec(),
        },
        proxies: Proxies::from_variables(&text),
        ..ClientOptions::default()
    }
}

/// The files of stored credentials: `authfile`, or those of docker and podman.
pub(super) fn credential_files(authfile: Option<&Path>) -> Vec<PathBuf> {
    match authfile {
        Some(file) => vec![file.to_owned()],
        None => Credentials::usual_files(&|name| variable(name).map(PathBuf::from)),
    }
}

/// The credential in `IMGB_REGISTRY_USER` and `IMGB_REGISTRY_PASSWORD`, if both are set.
pub(super) fn credential() -> Result<Option<Credential>, Failure> {
    let text = |name: &str| {
        let value = variable(name).map(OsString::into_string).transpose();
        value.map_err(|_| Failure::usage(format!("{name} is not UTF-8")))
    };
    let pair = text("IMGB_REGISTRY_USER")?.zip(text("IMGB_REGISTRY_PASSWORD")?);
    Ok(pair.map(|(user, password)| Credential::Password { user, password: Secret::new(password) }))
}

/// The directory that imgb was started in.
pub(super) fn working_directory() -> Result<PathBuf, Failure> {
    std::env::current_dir()
        .map_err(|error| Failure::local(format!("cannot read the working directory: {error}")))
}

/// The time of files in the image: `SOURCE_DATE_EPOCH`, or each file's own.
pub(super) fn mtime() -> Result<Mtime, Failure> {
    let Some(text) = variable("SOURCE_DATE_EPOCH") else { return Ok(Mtime::OfContent) };
    let text = text.to_string_lossy();
    Timestamp::from_source_date_epoch(&text).map(Mtime::At).ok_or_else(|| {
        let digits = text.trim().trim_start_matches(['-', '+']);
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let why = match is_number {
            true => "is not in the years 0 to 9999",
            false => "is not a number of seconds",
        };
        Failure::usage(format!("SOURCE_DATE_EPOCH `{text}` {why}"))
    })
}

/// The platform that imgb itself was built for.
pub(super) fn machine() -> Platform {
    std::env::consts::ARCH.parse().unwrap_or_else(|_| Platform::linux("amd64", None))
}

/// `wanted` threads, or one for each processor that this process may use.
pub(super) fn jobs(wanted: Option<NonZeroUsize>) -> NonZeroUsize {
    wanted.or_else(|| std::thread::available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN)
}

/// Whether the sysroot is this machine, unless a base is.
fn is_machine(sysroot: Option<&Path>) -> bool {
    sysroot.is_none_or(|sysroot| sysroot == Path::new("/"))
}

/// Where bare command names are looked up in a directory: the caller's PATH if the sysroot is `/`,
/// then [`DEFAULT_PATH`].
pub(super) fn command_dirs(sysroot: Option<&Path>) -> Vec<ImagePath> {
    let own = variable("PATH").filter(|_| is_machine(sysroot)).unwrap_or_default();
    let own = own.to_string_lossy();
    let absolute = own.split(':').chain(DEFAULT_PATH.split(':')).filter(|dir| dir.starts_with('/'));
    absolute.filter_map(|dir| ImagePath::new(dir).ok()).collect()
}

/// The versions that the caller's environment asks version managers for, if the sysroot is `/`.
pub(super) fn wanted_versions(sysroot: Option<&Path>) -> BTreeMap<String, String> {
    let managers = Languages::builtin().manager.iter().filter(|_| is_machine(sysroot));
    let set = |name: &String| Some((name.clone(), variable(name)?.into_string().ok()?));
    managers.filter_map(|manager| set(manager.variable.as_ref()?)).collect()
}
