//! What the image's own scripts name: files that its author put there, which no package owns, data
//! of packages, and the programs that take the place of a script.
//!
//! A `docker-entrypoint.sh` reads the files of a directory of its own, or starts a server with a
//! configuration. Directories that a package owns are left to the rules, which know what is meant.

use std::collections::BTreeSet;

use super::{commands::Started, subcommands::Subcommands};
use crate::{
    elf::{Lookup as _, ReadFailure, Sniffed, script, sniff},
    languages::{
        Languages, Variables,
        shell::{self, Names},
    },
    machine_files,
    path::ImagePath,
    plan::Include,
    process,
    tree::{Kind, Node},
    view::View,
};

/// Bytes of a script that are read.
const MAX_SCRIPT: usize = 256 << 10;
/// Scripts that are read.
const MAX_SCRIPTS: usize = 256;
/// Programs in directories that scripts name.
const MAX_PROGRAMS: usize = 4096;

/// Directories whose contents exist only while a system runs.
const TRANSIENT: [&[u8]; 5] = [b"proc", b"sys", b"dev", b"run", b"tmp"];
/// Directories of the system (hier(7)) in which the directories of applications are, with the
/// longest first.
const SHARED: [&str; 17] = [
    "/usr/local/share",
    "/usr/local/lib",
    "/usr/local/bin",
    "/usr/local",
    "/usr/src",
    "/usr/share",
    "/usr/lib",
    "/usr",
    "/var/lib",
    "/var/www",
    "/var",
    "/etc",
    "/home",
    "/root",
    "/opt",
    "/srv",
    "/",
];
/// Top-level directories that are no application's own.
const SYSTEM: [&[u8]; 10] =
    [b"bin", b"boot", b"gnu", b"lib", b"lib32", b"lib64", b"libx32", b"media", b"nix", b"sbin"];

/// Adds to `started` what its scripts name, and what the scripts name that come with it.
/// `of_image` and `view` show the image's files, `view` with its packages.
///
/// # Errors
/// [`ReadFailure`]
pub(super) fn follow(
    started: &mut Started,
    subcommands: &mut Subcommands<'_>,
    (of_image, view): (&View<'_>, &View<'_>),
    path_variable: &str,
) -> Result<(), ReadFailure> {
    for dir in std::mem::take(&mut started.directories) {
        if is_own(&dir, of_image, view)? {
            started.include.extend(Include::new(dir.as_bytes(), "the image's own directory"));
        }
    }
    applications(started, of_image, view)?;
    let mut left: Vec<ImagePath> = started.programs.keys().cloned().collect();
    let mut seen: BTreeSet<ImagePath> = left.iter().cloned().collect();
    let most = seen.len() + MAX_PROGRAMS;
    // A script may name a large directory by any number of links, and all that is in it.
    let mut walked: BTreeSet<ImagePath> = BTreeSet::new();
    let mut read = 0;
    while let Some(program) = left.pop() {
        let Some(text) = own_script(&program, of_image, view)? else { continue };
        read += 1;
        if read > MAX_SCRIPTS {
            break;
        }
        let option = format!("named by {}", crate::path::escape(program.as_bytes()));
        let mut variables = Variables::default();
        let names = shell::names(&text, &Languages::builtin().shell, &mut variables);
        for path in executed(&names, path_variable, of_image)? {
            if seen.len() < most && seen.insert(path.clone()) {
                started.programs.insert(path.clone(), option.clone());
                left.push(path);
            }
        }
        for line in text.split(|&byte| byte == b'\n') {
            let words: Vec<&[u8]> = line.split(u8::is_ascii_whitespace).collect();
            for (path, words) in subcommands.named_by(&words)? {
                started.programs.entry(path).or_insert_with(|| format!("{words} ({option})"));
            }
        }
        for dir in homes(&variables, of_image, view)? {
            started.include.extend(Include::named_by(dir.as_bytes(), program.clone()));
        }
        for path in paths(&text) {
            let Ok(resolved) = of_image.resolve(path.as_bytes())? else { continue };
            let is_data = of_image.own_file(&resolved.path).is_some()
                && !of_image.tree().get(&resolved.path).is_some_and(Node::is_executable);
            if !is_data && !is_own(&resolved.path, of_image, view)? {
                continue;
            }
            if let Ok(include) = Include::named_by(path.as_bytes(), program.clone()) {
                started.include.push(include);
            }
            if resolved.path.ancestors().any(|dir| walked.contains(&dir))
                || !walked.insert(resolved.path.clone())
            {
                continue;
            }
            let below = of_image.tree().below(&resolved.path);
            let scripts = below.filter(|(_, node)| node.is_executable()).map(|(path, _)| path);
            for script in scripts.chain([&resolved.path]) {
                let is_program =
                    of_image.tree().get(script).is_some_and(|node| node.is_executable());
                if is_program && seen.len() < most && seen.insert(script.clone()) {
                    started.programs.insert(script.clone(), option.clone());
                    left.push(script.clone());
                }
            }
        }
    }
    Ok(())
}

/// The programs that a script executes in its own place.
fn executed(
    names: &Names,
    path_variable: &str,
    of_image: &View<'_>,
) -> Result<Vec<ImagePath>, ReadFailure> {
    let mut found = Vec::new();
    for name in &names.executed {
        let located = process::locate(of_image, name, "/", path_variable)?;
        let Ok((path, real)) = located else { continue };
        let is_program = of_image.tree().get(&real.path).is_some_and(Node::is_executable);
        found.extend(ImagePath::new(path).ok().filter(|_| is_program));
    }
    Ok(found)
}

/// The directories that a script's variables tell programs to read (`CATALINA_HOME`), and those
/// that links in them lead to (`conf -> /etc/tomcat10`), each of the packages of one source. One
/// with compiled programs is left to the rules for these, and so are directories for state, which
/// programs write.
fn homes(
    variables: &Variables,
    of_image: &View<'_>,
    view: &View<'_>,
) -> Result<BTreeSet<ImagePath>, ReadFailure> {
    let Some(database) = view.packages()? else { return Ok(BTreeSet::new()) };
    let is_home = |path: &[u8]| -> Result<Option<ImagePath>, ReadFailure> {
        let Ok(resolved) = of_image.resolve(path)? else { return Ok(None) };
        let dir = resolved.path;
        let is_home = resolved.is_directory
            && !is_shared(&dir)
            && !machine_files::is_state(dir.as_bytes())
            && database.is_of_one_source(&dir)
            && !has_compiled_programs(&dir, of_image)?;
        Ok(is_home.then_some(dir))
    };
    let mut found = BTreeSet::new();
    for value in variables.values_of_all().iter().filter(|value| value.starts_with(b"/")) {
        let Some(dir) = is_home(value)? else { continue };
        let below = of_image.tree().below(&dir);
        let links = below.filter(|(_, node)| matches!(node.kind, Kind::Symlink(_)));
        for (link, _) in links.take(MAX_PROGRAMS) {
            found.extend(is_home(link.as_bytes())?);
        }
        found.insert(dir);
    }
    Ok(found)
}

/// Whether there are programs in `bin` or `sbin` below `dir` that are not scripts.
fn has_compiled_programs(dir: &ImagePath, of_image: &View<'_>) -> Result<bool, ReadFailure> {
    for (path, node) in of_image.tree().below(dir).filter(|(_, node)| node.is_executable()) {
        let parent = path.parent().unwrap_or_else(ImagePath::root);
        if !node.is_directory()
            && matches!(parent.file_name(), b"bin" | b"sbin")
            && let Ok(found) = of_image.find(path.as_bytes())?
            && let Ok(head) = of_image.read(&found, script::FIRST_LINE)?
            && sniff(&head) == Sniffed::Elf
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The text of a script that no package owns.
fn own_script(
    program: &ImagePath,
    of_image: &View<'_>,
    view: &View<'_>,
) -> Result<Option<Vec<u8>>, ReadFailure> {
    let Ok(found) = of_image.find(program.as_bytes())? else { return Ok(None) };
    if is_packaged(&found.path, view)? {
        return Ok(None);
    }
    let Ok(text) = of_image.read(&found, MAX_SCRIPT)? else { return Ok(None) };
    let is_script = sniff(&text) == Sniffed::Script && script::shebang(&text).is_some();
    Ok(is_script.then_some(text))
}

/// Adds the directories of applications outside of the system's own ones, in which programs and
/// arguments are: `/app` for `/app/bin/server`, `/opt/app` for `/opt/app/main.js`.
fn applications(
    started: &mut Started,
    of_image: &View<'_>,
    view: &View<'_>,
) -> Result<(), ReadFailure> {
    let named = started.include.iter().filter_map(|include| ImagePath::new(include.path()).ok());
    let mut dirs = BTreeSet::new();
    for path in named.chain(started.programs.keys().cloned()) {
        let Ok(resolved) = of_image.resolve(path.as_bytes())? else { continue };
        let application = |dir: &ImagePath| {
            let parent = dir.parent().unwrap_or_else(ImagePath::root);
            [&b"/"[..], b"/opt", b"/srv", b"/usr/src"].contains(&parent.as_bytes())
        };
        let above = resolved.path.ancestors().filter(application);
        dirs.extend(above.filter(|dir| dir.as_bytes() != resolved.path.as_bytes()));
    }
    for dir in dirs {
        if is_own(&dir, of_image, view)? {
            started.include.extend(Include::new(dir.as_bytes(), "the application's directory"));
        }
    }
    Ok(())
}

/// Whether the author of the image put the file or directory at a real path there.
pub(super) fn is_own(
    path: &ImagePath,
    of_image: &View<'_>,
    view: &View<'_>,
) -> Result<bool, ReadFailure> {
    let top = path.components().next().unwrap_or_default();
    let is_file = of_image.own_file(path).is_some();
    let is_system = is_shared(path) || SYSTEM.contains(&top);
    let fits = is_file || !is_system;
    Ok(fits && !TRANSIENT.contains(&top) && !is_packaged(path, view)?)
}

/// Whether a directory is one in which those of applications are.
pub(super) fn is_shared(path: &ImagePath) -> bool {
    SHARED.iter().any(|dir| path.as_bytes() == dir.as_bytes())
}

fn is_packaged(path: &ImagePath, view: &View<'_>) -> Result<bool, ReadFailure> {
    Ok(view.packages()?.is_some_and(|database| !database.owners(path).is_empty()))
}

/// The absolute paths in a text, without duplicates.
pub(super) fn paths(text: &[u8]) -> BTreeSet<ImagePath> {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-+@".contains(byte);
    // `${DIR:-/opt/app}` begins a path, `${DIR}/app` does not.
    let continues = |byte: &u8| *byte == b'}' || (*byte != b'-' && is_part(byte));
    let mut found = BTreeSet::new();
    let mut rest = text;
    while let Some(start) = rest.iter().position(|&byte| byte == b'/') {
        let begins = start == 0 || rest.get(start - 1).is_none_or(|byte| !continues(byte));
        let word = rest.get(start..).unwrap_or_default();
        let end = word.iter().position(|byte| !is_part(byte)).unwrap_or(word.len());
        let (word, after) = word.split_at(end.max(1).min(word.len()));
        let whole = !after.first().is_some_and(|byte| b"*$?[{".contains(byte));
        if let (true, Ok(path)) = (begins && whole, ImagePath::new(word)) {
            found.insert(path);
        } else if let (true, Some(slash)) = (begins, word.iter().rposition(|&byte| byte == b'/')) {
            // `/docker-entrypoint.d/*.sh`: the directory.
            let dir = word.get(..slash).unwrap_or_default();
            found.extend(ImagePath::new(dir).ok());
        }
        rest = after;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absolute_paths_of_a_text() {
        let text = b"#!/bin/sh\nfor f in /init.d/*.sh \"/a b\" x/y $D/z; do . \"$f\"; done\n\
            exec /srv/app --conf=/srv/app.conf -- ${V:-/opt/v}/bin\n";
        let found: Vec<String> = paths(text).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["/a", "/bin/sh", "/init.d", "/opt/v", "/srv/app", "/srv/app.conf"]);
    }
}
