//! How registries are reached.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use super::cache;
use crate::{
    cli::{
        environment,
        failure::Failure,
        terminal::print_notice,
        values::{self, ValueError},
    },
    image::RegistryName,
    registry::{ClientOptions, Credential, Notices, Registries, Retry},
};

/// How registries are reached.
#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct RegistryArgs {
    /// Credentials for the registries that the command names; others see them in the list of
    /// processes, so prefer `imgb login`
    #[arg(
        long,
        value_name = "USER:PASSWORD",
        value_parser = credential,
        hide_possible_values = true,
        help_heading = "Registry"
    )]
    creds: Option<Credential>,

    /// The file of stored credentials, instead of docker's and podman's
    #[arg(long, value_name = "FILE", help_heading = "Registry")]
    pub(in crate::cli) authfile: Option<PathBuf>,

    /// A file of certificates to trust besides the system's, in PEM (repeatable)
    #[arg(long, value_name = "FILE", help_heading = "Registry")]
    ca_file: Vec<PathBuf>,

    /// A registry that may be reached without TLS or a trusted certificate (repeatable); this
    /// machine always may
    #[arg(long, value_name = "HOST[:PORT]", help_heading = "Registry")]
    insecure: Vec<String>,

    /// A token server that may have the credentials of registries on other sites (repeatable)
    #[arg(long, value_name = "HOST[:PORT]", help_heading = "Registry")]
    token_server: Vec<String>,

    /// How long failed requests to a registry are tried again
    #[arg(
        long,
        value_name = "TIME",
        value_parser = values::duration,
        default_value = "10m",
        help_heading = "Registry"
    )]
    retry_for: Duration,
}

/// `USER:PASSWORD`. The error does not repeat it.
fn credential(text: &str) -> Result<Credential, ValueError> {
    Credential::parse(text).ok_or(ValueError::Expected("write USER:PASSWORD"))
}

impl RegistryArgs {
    /// The registries, reached by these options and the environment. `--creds` is for those that
    /// `names` are in; other names are ignored.
    pub(in crate::cli) fn registries<'a>(
        &self,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Result<Registries, Failure> {
        let mut options = self.options();
        self.give_credential(&mut options, names)?;
        Ok(Registries::new(options))
    }

    /// The registries, with this credential for `host`.
    pub(in crate::cli) fn registries_with(
        &self,
        host: &str,
        credential: Credential,
    ) -> Result<Registries, Failure> {
        let mut options = self.options();
        options.credentials.give(host, credential);
        Ok(Registries::new(options))
    }

    /// The credential of `--creds` or the environment.
    pub(in crate::cli) fn credential(&self) -> Result<Option<Credential>, Failure> {
        match &self.creds {
            Some(creds) => Ok(Some(creds.clone())),
            None => environment::credential(),
        }
    }

    fn options(&self) -> ClientOptions {
        let mut options = environment::client_options(self.authfile.as_deref());
        options.ca_files.clone_from(&self.ca_file);
        options.insecure = self.insecure.iter().cloned().collect();
        options.token_servers = self.token_server.iter().cloned().collect();
        options.retry = Retry { total: self.retry_for, ..Retry::default() };
        options.notices = Notices::to(print_notice);
        options.sessions = cache::directory().map(|dir| dir.join("uploads"));
        options
    }

    fn give_credential<'a>(
        &self,
        options: &mut ClientOptions,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Result<(), Failure> {
        let Some(credential) = self.credential()? else { return Ok(()) };
        for name in names {
            let name = name.strip_prefix("docker://").map(str::parse::<RegistryName>);
            if let Some(Ok(name)) = name {
                options.credentials.give(&name.registry, credential.clone());
            }
        }
        Ok(())
    }
}
