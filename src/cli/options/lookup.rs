//! Where libraries are looked up, and what is added without being named.

use std::{
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};

use super::{
    platforms::{SysrootArg, sysroots},
    registry::RegistryArgs,
    runtime_deps::RuntimeDepsArgs,
};
use crate::{
    cli::{
        environment::{command_dirs, jobs, scratch, wanted_versions},
        failure::Failure,
        values,
    },
    image::Platform,
    path::glob::Glob,
    source::InputOptions,
    timestamp::Mtime,
};

/// Where libraries are looked up.
#[derive(Args, Debug)]
pub(in crate::cli) struct SysrootArgs {
    /// Where libraries, system files, bare names and absolute inputs are looked up: a directory,
    /// or an image as for --base. OS/ARCH=… is for one platform of several
    ///
    /// Files keep their path below it. Without this option, the sysroot is this machine's /, or a
    /// base that is an operating system.
    #[arg(
        long,
        value_name = "[OS/ARCH=]DIR|IMAGE",
        value_parser = SysrootArg::parse,
        help_heading = "Inputs"
    )]
    sysroot: Vec<SysrootArg>,

    /// A directory to search for libraries first, as LD_LIBRARY_PATH would (repeatable)
    ///
    /// An absolute DIR is a path in the sysroot. Libraries found only through it are listed in the
    /// image's own /etc/ld.so.cache, so that it starts without LD_LIBRARY_PATH.
    #[arg(
        long,
        value_name = "DIR",
        value_delimiter = ':',
        value_parser = values::library_dir,
        help_heading = "Inputs"
    )]
    library_path: Vec<PathBuf>,

    #[command(flatten)]
    pub(in crate::cli) registry: RegistryArgs,
}

impl SysrootArgs {
    /// The sysroot of each of `platforms`; `None` where none is named.
    pub(in crate::cli) fn of(
        &self,
        platforms: &[Option<Platform>],
    ) -> Result<Vec<Option<PathBuf>>, Failure> {
        sysroots(&self.sysroot, platforms)
    }

    /// The names of all sysroots.
    pub(in crate::cli) fn names(&self) -> impl Iterator<Item = &str> {
        self.sysroot.iter().filter_map(|sysroot| sysroot.name.to_str())
    }

    /// The directories of `--library-path`, without empty ones.
    pub(in crate::cli) fn library_path(&self) -> Vec<Vec<u8>> {
        self.library_path
            .iter()
            .map(|dir| dir.as_os_str().as_bytes().to_vec())
            .filter(|dir| !dir.is_empty())
            .collect()
    }
}

/// How files of the host are taken that only have to be found.
pub(in crate::cli) fn lookup_options(sysroot: Option<&Path>) -> InputOptions {
    InputOptions {
        exclude: Vec::new(),
        preserve_mode: false,
        owner: None,
        mtime: Mtime::OfContent,
        outputs: Default::default(),
        command_dirs: command_dirs(sysroot),
        versions: wanted_versions(sysroot),
        as_file: false,
        spool: scratch(),
        jobs: jobs(None),
    }
}

/// What an image says of the packages that its files come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum PackageMetadata {
    /// Nothing
    None,
    /// What the sysroot's package database says of the packages that own a file of the image
    Auto,
}

impl PackageMetadata {
    pub(in crate::cli) fn is_auto(self) -> bool {
        self == Self::Auto
    }
}

/// How `pack` and `build` find what the inputs need.
#[derive(Args, Debug)]
pub(in crate::cli) struct LookupArgs {
    #[command(flatten)]
    pub(in crate::cli) root: SysrootArgs,

    /// Continue if libraries with matching names are missing (repeatable)
    #[arg(long, value_name = "GLOB", value_parser = values::glob, help_heading = "Inputs")]
    pub(in crate::cli) allow_missing: Vec<Glob>,

    #[command(flatten)]
    pub(in crate::cli) runtime_deps: RuntimeDepsArgs,

    /// Fail if a directory brings files that look like secrets
    #[arg(long, help_heading = "Inputs")]
    pub(in crate::cli) deny_secrets: bool,

    /// What scanners get to know of the packages that files come from: which they are, their
    /// licences, and the distribution
    #[arg(long, value_enum, value_name = "WHICH", default_value = "auto", help_heading = "Inputs")]
    pub(in crate::cli) package_metadata: PackageMetadata,

    /// Keep every permission bit; otherwise a umask of 022 is applied
    #[arg(long, help_heading = "Inputs")]
    pub(in crate::cli) preserve_mode: bool,
}
