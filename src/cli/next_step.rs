//! Where an output is, and the command that hands it to an engine under all of its names.

use std::path::Path;

use crate::image::{Destination, OutputFormat, Reference, Target};

/// What was written to `target`, and a command that loads it. `is_zstd` is whether it has layers in
/// zstd. `None` for registries and engines, where the image is in use.
pub(super) fn text(target: &Target, names: &[Reference], is_zstd: bool) -> Option<String> {
    let path = match &target.destination {
        Destination::Path(path) => path,
        Destination::Stdout => return Some("wrote the image to stdout".into()),
        Destination::Registry(_) | Destination::Engine(_) => return None,
    };
    let wrote = format!("wrote {}", path.display());
    let Some((verb, command)) = command(target, path, names, is_zstd) else { return Some(wrote) };
    let all = names.iter().map(Reference::familiar).collect::<Vec<_>>().join(", ");
    let loads_all = command.starts_with("docker load") || command.starts_with("podman load");
    let loaded = if loads_all { format!("   ({all})") } else { String::new() };
    Some(format!("{wrote}; {verb} it with: {command}{loaded}"))
}

/// A verb and the command. `None` for what no command can name.
fn command(
    target: &Target,
    path: &Path,
    names: &[Reference],
    is_zstd: bool,
) -> Option<(&'static str, String)> {
    let path = argument(path)?;
    let (first, others) = names.split_first()?;
    let each = |command: &dyn Fn(&Reference) -> String| {
        others.iter().map(|other| format!(" && {}", command(other))).collect::<String>()
    };
    let podman_tag = || each(&|other| format!("podman tag {first} {other}"));
    let docker_tag =
        || each(&|other| format!("docker tag {} {}", first.familiar(), other.familiar()));
    match target.format {
        OutputFormat::Archive | OutputFormat::DockerArchive => {
            Some(("load", format!("docker load -i {path}")))
        }
        OutputFormat::OciArchive if others.is_empty() => {
            Some(("load", format!("podman load -i {path}")))
        }
        // An archive of several names is several images to podman, and one of them has to be
        // chosen, by its tag.
        OutputFormat::OciArchive => {
            let reference = in_transport(&path, &first.tag)?;
            Some(("load", format!("podman pull oci-archive:{reference}{}", podman_tag())))
        }
        // skopeo writes no zstd to the docker daemon.
        OutputFormat::OciLayout if is_zstd => {
            let from = in_transport(&path, &first.tag)?;
            let to = format!("containers-storage:{first}");
            Some(("copy", format!("skopeo copy oci:{from} {to}{}", podman_tag())))
        }
        OutputFormat::OciLayout => {
            let from = in_transport(&path, &first.tag)?;
            let to = format!("docker-daemon:{}", first.familiar());
            Some(("copy", format!("skopeo copy oci:{from} {to}{}", docker_tag())))
        }
        OutputFormat::Registry => None,
        OutputFormat::Rootfs => {
            let name = first.familiar();
            Some(("import", format!("docker import {path} {name}{}", docker_tag())))
        }
    }
}

/// `PATH:TAG` after a transport, where the path ends at the first colon (containers-transports(5)).
fn in_transport(path: &str, tag: &str) -> Option<String> {
    (!path.contains(':')).then(|| format!("{path}:{tag}"))
}

/// `path` as an argument in a shell; `None` if it is not UTF-8.
fn argument(path: &Path) -> Option<String> {
    let text = path.to_str()?.trim_end_matches('/');
    let text = if text.starts_with('-') { format!("./{text}") } else { text.to_owned() };
    Some(shell_words::quote(&text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(output: &str, names: &[&str], is_zstd: bool, wanted: &str) {
        let target = Target::parse(output, None, |_| false).unwrap();
        let names: Vec<Reference> = names.iter().map(|name| name.parse().unwrap()).collect();
        assert_eq!(text(&target, &names, is_zstd).unwrap(), wanted);
    }

    #[test]
    fn every_name_is_in_the_hint() {
        let both = &["app:1", "r.example/a:2"][..];
        let wanted = "wrote a.tar; load it with: docker load -i a.tar   (app:1, r.example/a:2)";
        check("a.tar", both, false, wanted);
        check(
            "oci-archive:a.tar",
            both,
            false,
            "wrote a.tar; load it with: podman pull oci-archive:a.tar:1 && podman tag \
             docker.io/library/app:1 r.example/a:2",
        );
        check(
            "d/",
            both,
            false,
            "wrote d/; copy it with: skopeo copy oci:d:1 docker-daemon:app:1 && docker tag app:1 \
             r.example/a:2",
        );
        check(
            "rootfs:r.tar",
            &["app"],
            true,
            "wrote r.tar; import it with: docker import r.tar app:latest",
        );
        check(
            "oci:d",
            &["app"],
            true,
            "wrote d; copy it with: skopeo copy oci:d:latest \
             containers-storage:docker.io/library/app:latest",
        );
    }

    #[test]
    fn paths_are_words_of_the_shell() {
        let wanted = "wrote a b.tar; load it with: docker load -i 'a b.tar'   (app:latest)";
        check("a b.tar", &["app"], false, wanted);
        let wanted = "wrote -x; load it with: docker load -i ./-x   (app:latest)";
        check("docker-archive:-x", &["app"], false, wanted);
        check("a:b/", &["app"], false, "wrote a:b/");
        check("-", &["app"], false, "wrote the image to stdout");
    }
}
