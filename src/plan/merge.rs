//! All inputs as one tree, links followed so that nothing lands behind one unseen.

use super::{PlanError, Reason, Reasons};
use crate::{
    elf::{LookupError, ReadFailure},
    path::{ImagePath, PathError},
    source::{Input, InputKind, content},
    tree::{FileNode, Kind, Node, ResolveError, Tree, resolve::destination},
};

/// The inputs' trees over each other, and which input brought each path. A later input may add
/// below an earlier one's directories, through its links too. A single input's tree is taken out of
/// it.
///
/// # Errors
/// [`PlanError::Conflict`] where two inputs disagree about a path, [`PlanError::LinkLoop`].
pub(super) fn merge(inputs: &mut [Input]) -> Result<(Tree, Reasons), PlanError> {
    // What one walk has found disagrees with nothing, and no part of it lies behind a link of
    // another's.
    if let [Input { tree, kind: InputKind::Directory | InputKind::File(_), .. }] = inputs {
        return Ok((std::mem::take(tree), Reasons::all(Reason::Listed(0))));
    }
    let inputs = &*inputs;
    let mut merged = Merged { tree: Tree::new(), reasons: Reasons::new(), inputs, parent: None };
    for (number, input) in inputs.iter().enumerate() {
        merged.parent = None;
        for (path, node) in &input.tree {
            merged.add(number, path, node)?;
        }
    }
    Ok((merged.tree, merged.reasons))
}

struct Merged<'a> {
    tree: Tree,
    reasons: Reasons,
    inputs: &'a [Input],
    /// The last parent and where it really is: entries come directory by directory.
    parent: Option<(ImagePath, ImagePath)>,
}

impl Merged<'_> {
    fn add(&mut self, number: usize, path: &ImagePath, node: &Node) -> Result<(), PlanError> {
        let place = self.place(number, path)?;
        match self.tree.get(&place) {
            None => {
                self.tree.insert(place.clone(), node.clone());
                self.reasons.insert(place, Reason::Listed(number));
                Ok(())
            }
            Some(old) if self.agree(&place, old, node)? => Ok(()),
            Some(_) => Err(self.conflict(number, place)),
        }
    }

    /// Where an input's path really goes: through the links that are already there.
    fn place(&mut self, number: usize, path: &ImagePath) -> Result<ImagePath, PlanError> {
        let Some(parent) = path.parent() else { return Ok(path.clone()) };
        let real = match &self.parent {
            Some((known, real)) if *known == parent => real.clone(),
            _ => {
                let real = resolve(&self.tree, &parent).map_err(|error| match error {
                    ResolveError::NotADirectory(at) => self.conflict(number, at),
                    ResolveError::TooLong => {
                        PlanError::Path { path: path.clone(), source: PathError::TooLong }
                    }
                    _ => PlanError::LinkLoop(path.clone()),
                })?;
                self.parent = Some((parent, real.clone()));
                real
            }
        };
        real.join(path.file_name()).map_err(|source| PlanError::Path { path: path.clone(), source })
    }

    /// Whether the second file at a path changes nothing.
    fn agree(&self, place: &ImagePath, old: &Node, new: &Node) -> Result<bool, ReadFailure> {
        Ok(match (&old.kind, &new.kind) {
            (Kind::Directory, Kind::Directory) => true,
            (Kind::Symlink(_), Kind::Directory) => {
                let real = resolve(&self.tree, place).ok();
                real.is_some_and(|real| self.tree.get(&real).is_none_or(Node::is_directory))
            }
            (Kind::File(a), Kind::File(b)) => {
                old.meta == new.meta && a.len == b.len && same_bytes(a, b)?
            }
            _ => old == new,
        })
    }

    fn conflict(&self, number: usize, path: ImagePath) -> PlanError {
        let name = |number: usize| {
            self.inputs.get(number).map_or_else(String::new, |input| input.name.clone())
        };
        let first = match self.reasons.get(&path) {
            Some(Reason::Listed(first)) => name(*first),
            _ => String::new(),
        };
        PlanError::Conflict { path, first, second: name(number) }
    }
}

/// Whether two files of one length hold the same bytes. A file that this user may not read is the
/// same as no other.
fn same_bytes(a: &FileNode, b: &FileNode) -> Result<bool, ReadFailure> {
    const CHUNK: u64 = 1 << 16;
    if a.content == b.content {
        return Ok(true);
    }
    let mut buffers = (vec![0; CHUNK as usize], vec![0; CHUNK as usize]);
    for chunk in 0..a.len.div_ceil(CHUNK) {
        let at = chunk * CHUNK;
        let len = (a.len - at).min(CHUNK) as usize;
        let (one, two) = (&mut buffers.0[..len], &mut buffers.1[..len]);
        let read = content::read_at(&a.content, a.len, at, one)
            .and_then(|()| content::read_at(&b.content, b.len, at, two));
        let is_read = LookupError::split(read.map_err(LookupError::from))?.is_ok();
        if !is_read || one != two {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Where the directory `path` really is in `tree`, every link followed; what is not there is taken
/// to be what it says.
pub(super) fn resolve(tree: &Tree, path: &ImagePath) -> Result<ImagePath, ResolveError> {
    destination(path, |path| tree.get(path))?.directory()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> ImagePath {
        ImagePath::new(text).unwrap()
    }

    fn input(name: &str, nodes: &[(&str, Node)]) -> Input {
        let tree = nodes.iter().map(|(p, node)| (path(p), node.clone())).collect();
        Input { name: name.into(), tree, kind: InputKind::Directory }
    }

    #[track_caller]
    fn check(inputs: impl Into<Vec<Input>>, wanted: &str) {
        let text = match merge(&mut inputs.into()) {
            Ok((tree, _)) => tree.iter().map(|(p, _)| format!("{p}\n")).collect(),
            Err(error) => error.to_string(),
        };
        assert_eq!(text, wanted);
    }

    #[test]
    fn later_inputs_add_below_earlier_ones() {
        let a =
            input("a", &[("opt", Node::directory(0o755)), ("opt/x", Node::inline(0o644, *b"x"))]);
        let b =
            input("b", &[("opt", Node::directory(0o700)), ("opt/y", Node::inline(0o644, *b"y"))]);
        check([a, b], "/opt\n/opt/x\n/opt/y\n");
    }

    #[test]
    fn later_inputs_follow_the_links_of_earlier_ones() {
        let root = input(
            "root",
            &[("lib", Node::symlink(*b"usr/lib")), ("usr/lib", Node::directory(0o755))],
        );
        let lib =
            input("lib", &[("lib", Node::directory(0o755)), ("lib/x", Node::inline(0o644, *b"x"))]);
        check([root, lib], "/lib\n/usr/lib\n/usr/lib/x\n");
    }

    #[test]
    fn disagreement_names_both() {
        let a = input("./a", &[("x", Node::inline(0o644, *b"1"))]);
        let b = input("./b", &[("x", Node::inline(0o644, *b"2"))]);
        let below = input("./c", &[("x/y", Node::inline(0o644, *b"3"))]);
        check([a, b], "`./a` and `./b` disagree about `/x`");
        check(
            [input("./a", &[("x", Node::inline(0o644, *b"1"))]), below],
            "`./a` and `./c` disagree about `/x`",
        );
    }

    #[test]
    fn equal_files_agree() {
        let a = || input("a", &[("x", Node::inline(0o644, *b"1")), ("l", Node::symlink(*b"x"))]);
        check([a(), a()], "/l\n/x\n");
    }

    #[test]
    fn links_that_lead_in_circles_end() {
        let a = input("a", &[("a", Node::symlink(*b"b")), ("b", Node::symlink(*b"a"))]);
        let b = input("b", &[("a/x", Node::inline(0o644, *b""))]);
        check([a, b], "`/a/x` goes through too many symbolic links");
    }
}
