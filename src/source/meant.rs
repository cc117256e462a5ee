//! Guesses which input was meant by one that does not exist.

use std::path::Path;

use super::{InputOptions, Sysroot, list_directory};
use crate::suggest::closest;

/// The input that was probably meant by `text`, whose source does not exist: a relative
/// destination made absolute, or the command or file whose name differs in a letter or two. What
/// cannot be read suggests nothing.
pub(super) fn input(text: &str, sysroot: Sysroot<'_>, options: &InputOptions) -> Option<String> {
    if let Some((source, dest)) = text.rsplit_once(':')
        && !dest.is_empty()
        && Path::new(source).exists()
    {
        return Some(format!("{source}:/{dest}"));
    }
    let path = Path::new(text);
    let (dir, name) = (path.parent()?, path.file_name()?.to_str()?);
    let here = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    let names = list_directory(here).unwrap_or_default().into_iter();
    let names: Vec<String> = names.filter_map(|name| name.into_string().ok()).collect();
    match closest(name, names.iter().map(String::as_str)) {
        Some(near) if dir.as_os_str().is_empty() => Some(format!("./{near}")),
        Some(near) => Some(dir.join(near).display().to_string()),
        None if text.contains('/') => None,
        None => command(text, sysroot, options),
    }
}

/// The command of the sysroot that `name` is probably a misspelling of.
pub fn command(name: &str, sysroot: Sysroot<'_>, options: &InputOptions) -> Option<String> {
    let dirs = options.command_dirs.iter();
    let found =
        dirs.filter_map(|dir| sysroot.list(&sysroot.resolve(dir.as_bytes()).ok()?.ok()?.path).ok());
    let names: Vec<String> =
        found.flatten().flatten().filter_map(|name| String::from_utf8(name).ok()).collect();
    closest(name, names.iter().map(String::as_str)).map(str::to_owned)
}
