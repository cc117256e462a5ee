//! Parsers of single option values, for clap.
//!
//! An error says what was expected; the option and the value are added where it is printed.

use std::{num::NonZeroUsize, path::PathBuf, time::Duration};

use crate::{
    image::{ImageName, ImageNameError, RegistryName, RegistryNameError},
    path::{
        ImagePath, PathError,
        glob::{Glob, GlobError},
    },
    plan::Include,
    recipe::{healthcheck::Health, parse_health},
    timestamp::Timestamp,
    tree::capability::{self, CapabilityError},
    uninterrupted,
};

/// A value that is malformed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ValueError {
    /// What was expected.
    #[error("{0}")]
    Expected(&'static str),
    #[error(transparent)]
    Path(#[from] PathError),
    #[error(transparent)]
    Capability(#[from] CapabilityError),
}

/// A number from 1 on.
pub(super) fn count(text: &str) -> Result<NonZeroUsize, ValueError> {
    text.parse().map_err(|_| ValueError::Expected("expected a number from 1 on"))
}

/// `NAME=VALUE`.
pub(super) fn pair(text: &str) -> Result<(String, String), ValueError> {
    let pair = text.split_once('=').filter(|(name, _)| !name.is_empty() && !text.contains('\0'));
    let (name, value) = pair.ok_or(ValueError::Expected("write NAME=VALUE"))?;
    Ok((name.into(), value.into()))
}

/// `NAME=VALUE` as one string.
pub(super) fn variable(text: &str) -> Result<String, ValueError> {
    pair(text).map(|_| text.into())
}

/// `NAME=VALUE` of `--build-arg`. The environment is not read.
pub(super) fn build_arg(text: &str) -> Result<(String, String), ValueError> {
    let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, value) = pair.ok_or(ValueError::Expected(
        "write NAME=VALUE; the environment is not read, so that a build is the same everywhere",
    ))?;
    Ok((name.into(), value.into()))
}

/// A time of RFC 3339, seconds since 1970, or `now`.
pub(super) fn time(text: &str) -> Result<Timestamp, ValueError> {
    let time = match text {
        "now" => now(),
        text => Timestamp::from_rfc3339(text).or_else(|| Timestamp::from_source_date_epoch(text)),
    };
    time.ok_or(ValueError::Expected("write 2026-01-31T12:00:00Z, seconds since 1970, or now"))
}

#[expect(clippy::disallowed_methods, reason = "the user asks for the clock")]
fn now() -> Option<Timestamp> {
    let elapsed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).ok()?;
    Timestamp::from_seconds(elapsed.as_secs().try_into().ok()?)
}

/// The words of a command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Words(pub(super) Vec<String>);

/// A JSON array of strings, or words by the shell's rules of quoting, without expansion.
pub(super) fn words(text: &str) -> Result<Words, ValueError> {
    let words = match text.trim_start().starts_with('[') {
        true => serde_json::from_str(text)
            .map_err(|_| ValueError::Expected("expected a JSON array of strings")),
        false => {
            shell_words::split(text).map_err(|_| ValueError::Expected("a quote is not closed"))
        }
    };
    words.map(Words)
}

/// A directory or volume of the image; relative paths start at the root.
pub(super) fn image_directory(text: &str) -> Result<String, ValueError> {
    Ok(ImagePath::new(text)?.to_string())
}

/// `USER[:GROUP]`, as names or numbers.
pub(super) fn user(text: &str) -> Result<String, ValueError> {
    let valid = |part: &str| {
        !part.is_empty() && !part.contains(|c: char| c.is_whitespace() || c == ':' || c == '/')
    };
    let (name, group) =
        text.split_once(':').map_or((text, None), |(name, group)| (name, Some(group)));
    if !valid(name) || !group.is_none_or(valid) {
        return Err(ValueError::Expected("write USER or USER:GROUP, as names or numbers"));
    }
    Ok(text.into())
}

/// `UID[:GID]`; the group is the user's number unless given.
pub(super) fn owner(text: &str) -> Result<(u32, u32), ValueError> {
    let (uid, gid) = text.split_once(':').unwrap_or((text, text));
    match (uid.parse(), gid.parse()) {
        (Ok(uid), Ok(gid)) => Ok((uid, gid)),
        _ => Err(ValueError::Expected("write UID or UID:GID, as numbers")),
    }
}

/// `FILE=CAPS`: the file, and the value of its `security.capability` attribute.
pub(super) fn file_capabilities(text: &str) -> Result<(ImagePath, Vec<u8>), ValueError> {
    let (file, names) = text
        .split_once('=')
        .ok_or(ValueError::Expected("write FILE=CAPS, such as /app=cap_net_raw+ep"))?;
    Ok((ImagePath::new(file)?, capability::parse(names)?))
}

/// A pattern of file names.
pub(super) fn glob(text: &str) -> Result<Glob, GlobError> {
    Glob::new(text.as_bytes())
}

/// A directory to search for libraries. Relative ones are the host's and are made absolute: what a
/// loader searches never depends on where imgb was started.
pub(super) fn library_dir(text: &str) -> Result<PathBuf, std::convert::Infallible> {
    Ok(std::path::absolute(text).unwrap_or_else(|_| text.into()))
}

/// The name of a local image.
pub(super) fn image_name(text: &str) -> Result<ImageName, ImageNameError> {
    ImageName::parse(text, |path| uninterrupted::symlink_metadata(path).is_ok())
}

/// The name of an image in a registry; `docker://` may stand before it.
pub(super) fn registry_name(text: &str) -> Result<RegistryName, RegistryNameError> {
    text.strip_prefix("docker://").unwrap_or(text).parse()
}

/// The host of a registry, as the names of images have it.
pub(super) fn registry_host(text: &str) -> Result<String, ValueError> {
    let text = text.strip_prefix("docker://").unwrap_or(text);
    let host = text.strip_prefix("https://").unwrap_or(text).trim_end_matches('/');
    let name = format!("{host}/x").parse::<RegistryName>();
    match name {
        Ok(name)
            if name.repository == "x" || name.registry == "docker.io" && host.contains('.') =>
        {
            Ok(name.registry)
        }
        _ => Err(ValueError::Expected("write the host of a registry, such as ghcr.io")),
    }
}

/// A media type (RFC 6838, 4.2) of something that is not an image.
pub(super) fn media_type(text: &str) -> Result<String, ValueError> {
    let is_name = |name: &str| {
        (1..=127).contains(&name.len())
            && name.starts_with(|first: char| first.is_ascii_alphanumeric())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "!#$&-^_.+".contains(c))
    };
    if !text.split_once('/').is_some_and(|(kind, name)| is_name(kind) && is_name(name)) {
        return Err(ValueError::Expected("write a media type, such as application/spdx+json"));
    }
    let of_image = ["application/vnd.oci.image.", "application/vnd.docker."];
    match of_image.iter().any(|start| text.starts_with(start)) {
        true => Err(ValueError::Expected("it is the type of a part of an image")),
        false => Ok(text.into()),
    }
}

/// A duration: seconds, or a number with `s`, `m` or `h`.
pub(super) fn duration(text: &str) -> Result<Duration, ValueError> {
    const WRONG: ValueError = ValueError::Expected("write seconds, such as 10, 0.5s, 2m or 1h");
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text.get(digits.len()..) {
        Some("" | "s") => 1.0,
        Some("m") => 60.0,
        Some("h") => 3600.0,
        _ => return Err(WRONG),
    };
    let count = digits.parse::<f64>().ok().filter(|count| *count > 0.0).ok_or(WRONG)?;
    Duration::try_from_secs_f64(count * unit).map_err(|_| WRONG)
}

/// A health check, as HEALTHCHECK in a Buildfile has it.
pub(super) fn health(text: &str) -> Result<Health, String> {
    parse_health(text)
}

/// A path in the image.
pub(super) fn include(text: &str) -> Result<Include, PathError> {
    Include::new(text, "--include")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_shell_words_or_json() {
        let read = |text| words(text).map(|Words(words)| words);
        assert_eq!(read("/app 'a b'").unwrap(), ["/app", "a b"]);
        assert_eq!(read(r#"["-x", ""]"#).unwrap(), ["-x", ""]);
        assert!(read("'a").is_err() && read("[1]").is_err());
    }

    #[test]
    fn durations() {
        for (text, wanted) in [("10", 10_000), ("0.5s", 500), ("2m", 120_000)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(wanted)), "{text}");
        }
        assert!(["", "0", "-1", "1d", "nan", "1e400"].iter().all(|text| duration(text).is_err()));
    }

    #[test]
    fn normal_forms() {
        assert_eq!(image_directory("srv/./x/").unwrap(), "/srv/x");
        assert_eq!(owner("1"), Ok((1, 1)));
        assert_eq!(owner("1:2"), Ok((1, 2)));
        assert_eq!(pair("A=b=c").unwrap(), ("A".into(), "b=c".into()));
    }

    #[test]
    fn malformed_values() {
        assert!(pair("A").is_err() && pair("=A").is_err() && pair("A=\0").is_err());
        assert!(user("a:b:c").is_err() && user("").is_err());
        assert!(image_directory("/../x").is_err());
        assert!(owner("root").is_err());
        assert_eq!(count("0").unwrap_err().to_string(), "expected a number from 1 on");
        assert!(media_type("text/x+json").is_ok());
        for text in
            ["json", "a/b/c", "/x", "a/", "a/b c", "application/vnd.oci.image.config.v1+json"]
        {
            assert!(media_type(text).is_err(), "{text}");
        }
        assert!(file_capabilities("/app").is_err());
    }
}
