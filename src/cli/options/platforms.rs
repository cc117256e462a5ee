//! `--platform`: for which platforms images are made, and what belongs to one of them alone.

use std::path::PathBuf;

use crate::{
    cli::failure::Failure,
    image::{Destination, OutputFormat, Platform, Target},
    source::Request,
};

/// A value of `pack --platform`: platforms, or one of them and an input that only its image gets.
#[derive(Clone, Debug)]
pub(in crate::cli) struct PlatformArg {
    platforms: Vec<Platform>,
    input: Option<Request>,
}

impl PlatformArg {
    /// Parses `OS/ARCH[,OS/ARCH…]` and `OS/ARCH=SRC[:DEST]`.
    pub(in crate::cli) fn parse(text: &str) -> Result<Self, String> {
        let platform = |text: &str| text.parse::<Platform>().map_err(|error| error.to_string());
        let Some((name, input)) = text.split_once('=') else {
            let platforms = text.split(',').map(platform).collect::<Result<_, _>>()?;
            return Ok(Self { platforms, input: None });
        };
        let input = Request::parse(input).map_err(|error| error.to_string())?;
        Ok(Self { platforms: vec![platform(name)?], input: Some(input) })
    }

    /// The input.
    pub(in crate::cli) fn input(&self) -> Option<&Request> {
        self.input.as_ref()
    }
}

/// Each platform once, in the order in which they are named. `None` where none is: then the
/// programs decide.
pub(in crate::cli) fn wanted(args: &[PlatformArg]) -> Vec<Option<Platform>> {
    distinct(args.iter().flat_map(|arg| arg.platforms.iter().cloned()))
}

/// As [`wanted`], of platforms without inputs.
pub(in crate::cli) fn distinct(
    platforms: impl IntoIterator<Item = Platform>,
) -> Vec<Option<Platform>> {
    let mut all: Vec<Option<Platform>> = Vec::new();
    for platform in platforms.into_iter().map(Some) {
        if !all.contains(&platform) {
            all.push(platform);
        }
    }
    if all.is_empty() { vec![None] } else { all }
}

/// The inputs for `platform`: its own, then those that all get.
pub(in crate::cli) fn inputs_for(
    platform: Option<&Platform>,
    args: &[PlatformArg],
    shared: &[Request],
) -> Result<Vec<Request>, Failure> {
    let is_own = |arg: &&PlatformArg| arg.platforms.first() == platform;
    let own = args.iter().filter(is_own).filter_map(|arg| arg.input.clone());
    let all: Vec<Request> = own.chain(shared.iter().cloned()).collect();
    match platform.filter(|_| all.is_empty()) {
        None => Ok(all),
        Some(platform) => {
            let message = format!("nothing is named to pack for {platform}");
            let hint = format!(
                "name an input for all platforms, or `--platform {platform}=INPUT` for this one"
            );
            Err(Failure::usage(message).with_hint(hint))
        }
    }
}

/// A value of an option that may be for one platform: `[OS/ARCH=]DIR|IMAGE`.
#[derive(Clone, Debug)]
pub(in crate::cli) struct SysrootArg {
    platform: Option<Platform>,
    pub(in crate::cli) name: PathBuf,
}

impl SysrootArg {
    /// Parses a name, which a platform and `=` may precede.
    pub(in crate::cli) fn parse(text: &str) -> Result<Self, std::convert::Infallible> {
        let of_platform = text.split_once('=').and_then(|(platform, name)| {
            Some(Self { platform: Some(platform.parse().ok()?), name: name.into() })
        });
        Ok(of_platform.unwrap_or_else(|| Self { platform: None, name: text.into() }))
    }
}

/// The sysroot of each of `platforms`: its own, or else the one for all.
pub(in crate::cli) fn sysroots(
    args: &[SysrootArg],
    platforms: &[Option<Platform>],
) -> Result<Vec<Option<PathBuf>>, Failure> {
    for (at, arg) in args.iter().enumerate() {
        if arg.platform.is_some() && !platforms.contains(&arg.platform) {
            let platform = arg.platform.as_ref().map(ToString::to_string).unwrap_or_default();
            let message = format!("--sysroot is for {platform}, and no image is made for that");
            let hint = format!("add `--platform {platform}`");
            return Err(Failure::usage(message).with_hint(hint));
        }
        if args.iter().take(at).any(|other| other.platform == arg.platform) {
            let message = "--sysroot is given more than once for the same image";
            let hint = "`--sysroot OS/ARCH=…` is for one platform alone";
            return Err(Failure::usage(message).with_hint(hint));
        }
    }
    let of = |platform: &Option<Platform>| args.iter().find(|arg| arg.platform == *platform);
    let name = |platform| of(platform).or_else(|| of(&None)).map(|arg| arg.name.clone());
    Ok(platforms.iter().map(name).collect())
}

/// Refuses outputs that have room for one image only, where there are several.
pub(in crate::cli) fn refuse_single(targets: &[Target], images: usize) -> Result<(), Failure> {
    let is_single = |target: &&Target| {
        matches!(target.format, OutputFormat::DockerArchive | OutputFormat::Rootfs)
    };
    let Some(target) = targets.iter().find(is_single).filter(|_| images > 1) else {
        return Ok(());
    };
    let name = match &target.destination {
        Destination::Path(path) => format!("`{}`", path.display()),
        Destination::Stdout => "stdout".into(),
        Destination::Registry(name) => format!("`docker://{name}`"),
        Destination::Engine(image) => format!("`{image}`"),
    };
    let what = match target.format {
        OutputFormat::Rootfs => "a root file system",
        _ => "a docker-archive",
    };
    let message = format!("{name} is {what}, which holds the image of one platform");
    Err(Failure::usage(message).with_hint("write an archive or an OCI layout, which hold several"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(platforms: &[Option<Platform>]) -> Vec<String> {
        let text = |platform: &Option<Platform>| platform.as_ref().map(ToString::to_string);
        platforms.iter().map(|platform| text(platform).unwrap_or_default()).collect()
    }

    #[test]
    fn platforms_are_named_alone_in_lists_and_with_inputs() {
        let parse = |text| PlatformArg::parse(text).unwrap();
        let args = [parse("amd64=./a:/app"), parse("linux/arm64,arm/v7"), parse("linux/amd64=b")];
        let platforms = wanted(&args);
        assert_eq!(texts(&platforms), ["linux/amd64", "linux/arm64", "linux/arm/v7"]);
        assert_eq!(texts(&wanted(&[])), [""]);
        let shared = [Request::parse("etc:/etc").unwrap()];
        let inputs = |at: usize| {
            let all = inputs_for(platforms[at].as_ref(), &args, &shared).unwrap();
            all.into_iter().map(|request| request.text).collect::<Vec<_>>()
        };
        assert_eq!(inputs(0), ["./a:/app", "b", "etc:/etc"]);
        assert_eq!(inputs(1), ["etc:/etc"]);
        assert!(inputs_for(platforms[1].as_ref(), &args, &[]).is_err());
        for text in ["", "linux/amd64,", "beos/amd64", "amd64=", "x=./a"] {
            assert!(PlatformArg::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_sysroot_is_for_one_platform_or_for_all() {
        let args = |texts: &[&str]| {
            texts.iter().map(|text| SysrootArg::parse(text).unwrap()).collect::<Vec<_>>()
        };
        let platforms = distinct(["amd64", "arm64"].map(|text| text.parse().unwrap()));
        let found = |texts: &[&str]| {
            sysroots(&args(texts), &platforms)
                .map(|all| all.into_iter().map(Option::unwrap_or_default).collect::<Vec<_>>())
        };
        assert_eq!(found(&[]).unwrap(), [PathBuf::new(), PathBuf::new()]);
        assert_eq!(found(&["/x", "linux/arm64=a=b"]).unwrap(), ["/x", "a=b"].map(PathBuf::from));
        assert_eq!(found(&["x=y"]).unwrap(), ["x=y", "x=y"].map(PathBuf::from));
        assert!(found(&["/x", "/y"]).is_err() && found(&["s390x=/x"]).is_err());
    }
}
