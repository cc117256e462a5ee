//! Which file an engine executes for the name of a program.

use crate::{
    elf::{Found, Lookup as _, ReadFailure},
    path::escape,
    tree::Node,
    view::View,
};

/// The path by which a program is opened and the file that it leads to, or the paths that were
/// searched.
pub type Located = Result<(Vec<u8>, Found), Vec<String>>;

/// Finds the program `name` for a process whose working directory is `workdir` and whose PATH is
/// `path`. A name with a slash is a path, absolute or below `workdir`, to a file of any kind.
/// Otherwise the first regular file in PATH that has an execute bit and is in the image is taken;
/// other than in execvp(3), relative directories in PATH are skipped.
///
/// # Errors
/// [`ReadFailure`]
pub fn locate(
    view: &View<'_>,
    name: &[u8],
    workdir: &str,
    path: &str,
) -> Result<Located, ReadFailure> {
    let candidates: Vec<Vec<u8>> = match (name.first(), name.contains(&b'/')) {
        (Some(b'/'), _) => vec![name.to_vec()],
        (_, true) => vec![[workdir.as_bytes(), b"/", name].concat()],
        _ => {
            let dirs = path.split(':').filter(|dir| dir.starts_with('/'));
            dirs.map(|dir| [dir.as_bytes(), b"/", name].concat()).collect()
        }
    };
    let is_path = name.contains(&b'/');
    let executable = |found: &Found| view.tree().get(&found.path).is_some_and(Node::is_executable);
    for candidate in &candidates {
        if let Ok(found) = view.find(candidate)?
            && (is_path || executable(&found))
        {
            return Ok(Ok((candidate.clone(), found)));
        }
    }
    Ok(Err(candidates.iter().map(|candidate| escape(candidate)).collect()))
}
