//! All inputs as one tree over what lies below them, links followed.

use super::{Overlay, PlanError, Reason, Reasons};
use crate::{
    elf::{LookupError, ReadFailure},
    path::ImagePath,
    source::{Input, InputKind, content},
    tree::{FileNode, Kind, Node, ResolveError, Tree},
};

/// The files of all inputs.
#[derive(Debug)]
pub(super) struct Merged {
    /// Their files, by real path.
    pub(super) tree: Tree,
    /// Which input brought each path.
    pub(super) reasons: Reasons,
    /// What each input is; a file has the real path that it got.
    pub(super) kinds: Vec<InputKind>,
    /// How each input was written.
    pub(super) names: Vec<String>,
}

/// Lays the inputs over each other and over `below`. An input adds below the directories of `below`
/// and of earlier inputs, through their links too. It replaces files of `below`.
///
/// # Errors
/// [`PlanError::Conflict`] where two inputs disagree about a path, [`PlanError::LinkLoop`],
/// [`PlanError::Destination`] where a file of `below` stands in the way.
pub(super) fn merge(mut inputs: Vec<Input>, below: &Tree) -> Result<Merged, PlanError> {
    let names: Vec<String> = inputs.iter().map(|input| input.name.clone()).collect();
    // The files of one walk agree with each other, and none is placed through a link.
    if below.is_empty()
        && let [Input { tree, kind, .. }] = &mut inputs[..]
        && matches!(kind, InputKind::Directory | InputKind::File(_))
    {
        let (tree, kinds) = (std::mem::take(tree), vec![kind.clone()]);
        return Ok(Merged { tree, reasons: Reasons::all(Reason::Listed(0)), kinds, names });
    }
    let reasons = match inputs.len() {
        _ if !below.is_empty() => Reasons::all(Reason::Base),
        1 => Reasons::all(Reason::Listed(0)),
        _ => Reasons::new(),
    };
    let mut merger = Merger { overlay: Overlay::new(below), reasons, names };
    let (mut kinds, mut shortcuts) = (Vec::new(), Vec::new());
    for (number, Input { tree, mut kind, shortcut, .. }) in inputs.into_iter().enumerate() {
        shortcuts.extend(shortcut.map(|(path, link)| (number, path, link)));
        merger.overlay.forget_parent();
        for (path, node) in tree {
            let place = merger.add(number, &path, node)?;
            if kind == InputKind::File(path) {
                kind = InputKind::File(place);
            }
        }
        kinds.push(kind);
    }
    for (number, path, link) in shortcuts {
        merger.add_shortcut(number, &path, link);
    }
    let Merger { overlay, reasons, names } = merger;
    Ok(Merged { tree: overlay.into_changes(), reasons, kinds, names })
}

struct Merger<'a> {
    overlay: Overlay<'a>,
    reasons: Reasons,
    names: Vec<String>,
}

impl Merger<'_> {
    /// Adds a node of an input, and returns its real path.
    fn add(&mut self, number: usize, path: &ImagePath, node: Node) -> Result<ImagePath, PlanError> {
        let place = self.place(number, path)?;
        let has_descendants =
            !node.is_directory() && self.overlay.changes().below(&place).next().is_some();
        if self.agree(&place, &node)? {
            if self.overlay.changes().contains(&place) {
                self.reasons.add_further(&place, Reason::Listed(number));
            }
            return Ok(place);
        }
        if has_descendants || self.overlay.changes().contains(&place) {
            return Err(self.conflict(number, place));
        }
        self.overlay.put(place.clone(), node);
        self.note(place.clone(), number);
        Ok(place)
    }

    /// Notes that the input `number` brings `path`.
    fn note(&mut self, path: ImagePath, number: usize) {
        if self.reasons.only() != Some(&Reason::Listed(number)) {
            self.reasons.add(path, Reason::Listed(number));
        }
    }

    /// Adds a link unless something is at its path or in its way.
    fn add_shortcut(&mut self, number: usize, path: &ImagePath, link: Node) {
        self.overlay.forget_parent();
        let Ok(place) = self.overlay.place(path) else { return };
        let has_descendants = self.overlay.changes().below(&place).next().is_some();
        if self.overlay.get(&place).is_none() && !has_descendants {
            self.overlay.put(place.clone(), link);
            self.note(place, number);
        }
    }

    /// Where an input's path really goes: through the links that are already there.
    fn place(&mut self, number: usize, path: &ImagePath) -> Result<ImagePath, PlanError> {
        self.overlay.place(path).map_err(|error| match error {
            ResolveError::NotADirectory(at) if self.overlay.changes().contains(&at) => {
                self.conflict(number, at)
            }
            why => PlanError::destination(path, why),
        })
    }

    /// Whether an input's node changes nothing: another input's is equal to it, or it is a
    /// directory where a link leads to one.
    fn agree(&self, place: &ImagePath, new: &Node) -> Result<bool, ReadFailure> {
        let changed = self.overlay.changes().get(place);
        let Some(old) = changed.or_else(|| self.overlay.get(place)) else { return Ok(false) };
        Ok(match (&old.kind, &new.kind) {
            (Kind::Symlink(_), Kind::Directory) => {
                let real = self.overlay.resolve(place).ok();
                real.is_some_and(|real| self.overlay.get(&real).is_none_or(Node::is_directory))
            }
            // A file of an image below is replaced, whatever it holds.
            _ if changed.is_none() => false,
            (Kind::Directory, Kind::Directory) => true,
            (Kind::File(a), Kind::File(b)) => {
                old.meta == new.meta && a.len == b.len && same_bytes(a, b)?
            }
            _ => old == new,
        })
    }

    fn conflict(&self, number: usize, path: ImagePath) -> PlanError {
        let name = |number: usize| self.names.get(number).cloned().unwrap_or_default();
        let changes = self.overlay.changes();
        let below = changes.below(&path).next().filter(|_| !changes.contains(&path));
        let first = match self.reasons.get(below.map_or(&path, |(below, _)| below)) {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> ImagePath {
        ImagePath::new(text).unwrap()
    }

    fn input(name: &str, nodes: &[(&str, Node)]) -> Input {
        let tree = nodes.iter().map(|(p, node)| (path(p), node.clone())).collect();
        Input::new(name, tree, InputKind::Directory)
    }

    #[track_caller]
    fn check(inputs: impl Into<Vec<Input>>, wanted: &str) {
        let text = match merge(inputs.into(), &Tree::new()) {
            Ok(merged) => merged.tree.iter().map(|(p, _)| format!("{p}\n")).collect(),
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
    fn a_file_and_what_lies_below_it_disagree() {
        let deep = || input("./a", &[("x/y", Node::inline(0o644, *b"1"))]);
        let file = || input("./b", &[("x", Node::inline(0o644, *b"2"))]);
        check([deep(), file()], "`./a` and `./b` disagree about `/x`");
        let below = Tree::from_iter([(path("a"), Node::symlink(*b"b"))]);
        let both = input(
            "r:/",
            &[
                ("a", Node::directory(0o755)),
                ("a/x", Node::inline(0o644, *b"1")),
                ("b", Node::inline(0o644, *b"2")),
            ],
        );
        let error = merge(vec![both], &below).unwrap_err().to_string();
        assert_eq!(error, "`r:/` and `r:/` disagree about `/b`");
    }

    #[test]
    fn paths_of_the_image_below_come_from_it() {
        let below = Tree::from_iter([(path("old"), Node::inline(0o644, *b"1"))]);
        let one = input("a", &[("new", Node::inline(0o644, *b"2"))]);
        let merged = merge(vec![one], &below).unwrap();
        let causes = |at: &str| merged.reasons.causes(&path(at)).cloned().collect::<Vec<_>>();
        assert_eq!(causes("/old"), [Reason::Base]);
        assert_eq!(causes("/new"), [Reason::Listed(0)]);
    }

    #[test]
    fn equal_files_agree() {
        let a = || input("a", &[("x", Node::inline(0o644, *b"1")), ("l", Node::symlink(*b"x"))]);
        check([a(), a()], "/l\n/x\n");
    }

    #[test]
    fn shortcuts_give_way_to_everything_else() {
        let command = |name: &str, program: &str, shortcut: &str| Input {
            shortcut: Some((path(shortcut), Node::symlink(program.as_bytes()))),
            ..Input::new(name, Tree::new(), InputKind::Command(path(program)))
        };
        let data = input("data", &[("b", Node::inline(0o644, *b""))]);
        let inputs = vec![
            command("/bin/a", "/bin/a", "/a"),
            command("/sbin/a", "/sbin/a", "/a"),
            command("/bin/b", "/bin/b", "/b"),
            command("/bin/c", "/bin/c", "/c"),
            data,
        ];
        let below = Tree::from_iter([(path("c"), Node::inline(0o644, *b""))]);
        let tree = merge(inputs, &below).unwrap().tree;
        assert_eq!(tree.get(&path("a")), Some(&Node::symlink(*b"/bin/a")));
        assert!(tree.get(&path("b")).unwrap().file().is_some());
        assert_eq!(tree.len(), 2);
    }

    #[test]
    fn links_that_lead_in_circles_end() {
        let a = input("a", &[("a", Node::symlink(*b"b")), ("b", Node::symlink(*b"a"))]);
        let b = input("b", &[("a/x", Node::inline(0o644, *b""))]);
        check([a, b], "`/a/x` goes through too many symbolic links");
    }
}
