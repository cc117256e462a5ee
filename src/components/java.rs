//! Java archives: `pom.properties` of Maven, `MANIFEST.MF`, and archives in them (Spring Boot).

use std::io;

use super::{Component, Ecosystem, MAX_COMPONENTS};
use crate::{
    elf::ReadAt,
    embedded::{self, Member},
};

/// Bytes of a manifest or a list of properties.
const MAX_TEXT: u64 = 1 << 20;
/// Bytes of an archive in another.
const MAX_NESTED: u64 = 128 << 20;
/// Bytes of all archives in one.
const MAX_ALL_NESTED: u64 = 1 << 30;

/// Whether a file of this name is a Java archive.
pub fn is_archive(name: &[u8]) -> bool {
    [&b".jar"[..], b".war", b".ear"].iter().any(|ending| name.ends_with(ending))
}

/// What an archive of `len` bytes, a file called `name`, says of itself and of the archives in it.
///
/// # Errors
/// Those of `read_at`.
pub fn parse(name: &str, len: u64, read_at: ReadAt<'_>) -> io::Result<Vec<Component>> {
    let (mut found, mut left) = (Vec::new(), MAX_ALL_NESTED);
    archive(name, len, read_at, &mut found, 0, &mut left)?;
    Ok(found)
}

fn archive(
    name: &str,
    len: u64,
    read_at: ReadAt<'_>,
    found: &mut Vec<Component>,
    depth: usize,
    left: &mut u64,
) -> io::Result<()> {
    let members = embedded::members(len, read_at)?;
    let before = found.len();
    for member in &members {
        if found.len() >= MAX_COMPONENTS {
            return Ok(());
        }
        if is_properties(&member.name)
            && let Some(text) = member.read(MAX_TEXT, read_at)?
        {
            found.extend(properties(&text));
        }
    }
    if found.len() == before {
        let manifest = members.iter().find(|member| member.name == b"META-INF/MANIFEST.MF");
        let text = manifest.map(|member| member.read(MAX_TEXT, read_at)).transpose()?.flatten();
        found.extend(of_manifest(name, &text.unwrap_or_default()));
    }
    let is_nested = |member: &&Member| is_archive(&member.name) && depth < 2;
    for member in members.iter().filter(is_nested) {
        if member.cost() > *left || found.len() >= MAX_COMPONENTS {
            continue;
        }
        *left -= member.cost();
        let Some(bytes) = member.read(MAX_NESTED, read_at)? else { continue };
        let file = member.name.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
        let file = String::from_utf8_lossy(file);
        let mut read_at = |offset: u64, out: &mut [u8]| {
            let rest = usize::try_from(offset).ok().and_then(|at| bytes.get(at..)).unwrap_or(&[]);
            let count = rest.len().min(out.len());
            out[..count].copy_from_slice(&rest[..count]);
            Ok(count)
        };
        archive(&file, bytes.len() as u64, &mut read_at, found, depth + 1, left)?;
    }
    Ok(())
}

fn is_properties(name: &[u8]) -> bool {
    name.starts_with(b"META-INF/maven/") && name.ends_with(b"/pom.properties")
}

/// The artifact that `pom.properties` names.
fn properties(text: &[u8]) -> Option<Component> {
    let text = String::from_utf8_lossy(text);
    let value = |name: &str| {
        let mut pairs = text.lines().filter_map(|line| line.split_once('='));
        pairs.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_owned())
    };
    let component = Component::new(Ecosystem::Maven, value("artifactId")?, value("version")?)?;
    Some(Component { namespace: value("groupId").filter(|group| !group.is_empty()), ..component })
}

/// What a manifest says, completed with the name of the file: `NAME-VERSION.jar`.
fn of_manifest(file: &str, manifest: &[u8]) -> Option<Component> {
    let text = String::from_utf8_lossy(manifest).replace("\r\n", "\n");
    // A line that begins with a blank continues the one before it.
    let text = text.replace("\n ", "");
    let value = |name: &str| {
        let main = text.lines().take_while(|line| !line.is_empty());
        let mut pairs = main.filter_map(|line| line.split_once(": "));
        let value = pairs.find(|(key, _)| key.eq_ignore_ascii_case(name))?.1.trim();
        (!value.is_empty()).then(|| value.to_owned())
    };
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    let dash = stem
        .match_indices('-')
        .find(|(at, _)| stem.as_bytes().get(at + 1).is_some_and(u8::is_ascii_digit));
    let of_file = match dash {
        Some((at, _)) => (&stem[..at], Some(stem[at + 1..].to_owned())),
        None => (stem, None),
    };
    let versions = ["Implementation-Version", "Bundle-Version", "Specification-Version"];
    let version = of_file.1.or_else(|| versions.into_iter().find_map(value));
    let mut component = Component::new(Ecosystem::Maven, of_file.0, version.unwrap_or_default())?;
    component.namespace = value("Implementation-Vendor-Id");
    component.add_licences(value("Bundle-License").filter(|licence| !licence.contains("://")));
    Some(component)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_and_manifests_name_artifacts() {
        let one = properties(b"#comment\nversion=1.2\ngroupId=org.a\nartifactId=b\n").unwrap();
        assert_eq!(one.purl(), "pkg:maven/org.a/b@1.2");
        let purl = |file: &str, text: &str| of_manifest(file, text.as_bytes()).unwrap().purl();
        assert_eq!(purl("commons-io-2.11.0.jar", ""), "pkg:maven/commons-io@2.11.0");
        let manifest = "Implementation-Version: 4.\r\n 5\r\nBundle-License: MIT\r\n\r\nName: x\r\n";
        assert_eq!(purl("junit4.jar", manifest), "pkg:maven/junit4@4.5");
        assert_eq!(purl("a.jar", "Implementation-Vendor-Id: org.x\n"), "pkg:maven/org.x/a");
        assert_eq!(properties(b"artifactId=b\n"), None);
    }

    #[test]
    fn a_file_that_is_no_archive_says_only_its_name() {
        let found = parse("x-1.jar", 3, &mut |_, out| {
            out.fill(0);
            Ok(out.len().min(3))
        });
        assert_eq!(found.unwrap().len(), 1);
    }
}
