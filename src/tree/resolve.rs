//! Path resolution as the kernel does it in a root: component by component, every symbolic link
//! followed (path_resolution(7)). Pure: a closure says what stands at a path.

use std::{collections::BTreeSet, sync::Arc};

use super::{Kind, Node, Tree};
use crate::path::ImagePath;

/// Symbolic links in one resolution, as Linux limits them (`MAXSYMLINKS`).
pub const MAX_LINKS: usize = 40;

/// What stands at one path, its last component not followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A directory.
    Directory,
    /// A symbolic link and its literal target.
    Link(Arc<[u8]>),
    /// Anything else.
    Leaf,
}

impl From<&Node> for Step {
    fn from(node: &Node) -> Self {
        match &node.kind {
            Kind::Directory => Self::Directory,
            Kind::Symlink(target) => Self::Link(target[..].into()),
            Kind::File(_) | Kind::Special(_) => Self::Leaf,
        }
    }
}

/// Why a path cannot be resolved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// ENOENT: nothing stands at a component.
    #[error("no such file")]
    Missing,
    /// ENOTDIR: something else stands where a directory is needed.
    #[error("`{0}` is not a directory")]
    NotADirectory(ImagePath),
    /// ELOOP: more than [`MAX_LINKS`] links.
    #[error("too many symbolic links")]
    Loop,
    /// ENAMETOOLONG: the path or a link's target is too long, or a target is empty.
    #[error("the path is too long")]
    TooLong,
    /// The caller's budget of steps is used up.
    #[error("too many steps")]
    OutOfSteps,
}

/// Where a path leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The real path: no component of it is a link.
    pub path: ImagePath,
    /// Whether a directory stands there.
    pub is_directory: bool,
    /// The links crossed, in order, each once, by their real paths.
    pub links: Vec<ImagePath>,
    /// The directories that `..` left again: without them the path leads nowhere.
    pub dotdot_dirs: Vec<ImagePath>,
    links_followed: usize,
}

impl Resolved {
    /// The root, where every resolution starts.
    pub fn root() -> Self {
        Self::directory_at(ImagePath::root())
    }

    /// A directory at its real path.
    pub fn directory_at(path: ImagePath) -> Self {
        Self {
            path,
            is_directory: true,
            links: Vec::new(),
            dotdot_dirs: Vec::new(),
            links_followed: 0,
        }
    }

    /// The real path of a directory.
    ///
    /// # Errors
    /// [`ResolveError::NotADirectory`]
    pub fn directory(self) -> Result<ImagePath, ResolveError> {
        if self.is_directory { Ok(self.path) } else { Err(ResolveError::NotADirectory(self.path)) }
    }

    /// Continues from here along `path` as open(2) does: every link is followed, `..` goes to the
    /// real parent and stays in the root, absolute paths and targets start again at the root.
    /// `lstat` says what stands at a real path; its error is returned as it is.
    ///
    /// # Errors
    /// [`ResolveError`], and what `lstat` returns.
    pub fn follow<E: From<ResolveError>>(
        self,
        path: &[u8],
        lstat: &mut dyn FnMut(&ImagePath) -> Result<Step, E>,
    ) -> Result<Self, E> {
        // The lengths of paths and targets and the number of links bound the steps as well.
        self.follow_within(path, &mut u64::MAX.clone(), lstat)
    }

    /// As [`Resolved::follow`], but takes each component off `steps`, a budget that several
    /// resolutions may share: one step, and another for every 64 bytes of the path so far.
    ///
    /// # Errors
    /// As [`Resolved::follow`], and [`ResolveError::OutOfSteps`].
    pub fn follow_within<E: From<ResolveError>>(
        mut self,
        path: &[u8],
        steps: &mut u64,
        lstat: &mut dyn FnMut(&ImagePath) -> Result<Step, E>,
    ) -> Result<Self, E> {
        if path.len() > ImagePath::MAX {
            return Err(ResolveError::TooLong.into());
        }
        // Components still to go, the next one last. A link's target is put on top of what is left.
        // A trailing slash leaves an empty component, which requires a directory as `.` does.
        let mut left: Vec<Arc<[u8]>> = Vec::new();
        self.push(&mut left, path);
        while let Some(component) = left.pop() {
            let cost = 1 + self.path.as_bytes().len() as u64 / 64;
            *steps = steps.checked_sub(cost).ok_or(ResolveError::OutOfSteps)?;
            if !self.is_directory {
                return Err(ResolveError::NotADirectory(self.path).into());
            }
            match &*component {
                b"" | b"." => {}
                b".." => {
                    if let Some(parent) = self.path.parent() {
                        self.dotdot_dirs.push(std::mem::replace(&mut self.path, parent));
                    }
                }
                name => {
                    let next = self.path.child(name).map_err(|_| ResolveError::TooLong)?;
                    match lstat(&next)? {
                        Step::Link(target) => self.cross(next, &target, &mut left)?,
                        step => {
                            self.is_directory = step == Step::Directory;
                            self.path = next;
                        }
                    }
                }
            }
        }
        Ok(self)
    }

    fn cross(
        &mut self,
        link: ImagePath,
        target: &[u8],
        left: &mut Vec<Arc<[u8]>>,
    ) -> Result<(), ResolveError> {
        self.links_followed += 1;
        if self.links_followed > MAX_LINKS {
            return Err(ResolveError::Loop);
        }
        if target.is_empty() || target.len() > ImagePath::MAX {
            return Err(ResolveError::TooLong);
        }
        if !self.links.contains(&link) {
            self.links.push(link);
        }
        self.push(left, target);
        Ok(())
    }

    fn push(&mut self, left: &mut Vec<Arc<[u8]>>, path: &[u8]) {
        if path.starts_with(b"/") {
            self.path = ImagePath::root();
            self.is_directory = true;
        }
        left.extend(path.split(|&b| b == b'/').rev().map(Arc::from));
    }
}

impl Tree {
    /// What stands at a real path. A directory without a node exists where something below it does,
    /// as engines make it.
    ///
    /// # Errors
    /// [`ResolveError::Missing`]
    pub fn step(&self, path: &ImagePath) -> Result<Step, ResolveError> {
        match self.get(path) {
            Some(node) => Ok(Step::from(node)),
            None if path.is_root() || self.below(path).next().is_some() => Ok(Step::Directory),
            None => Err(ResolveError::Missing),
        }
    }

    /// Where `path` leads with the tree as the root, as open(2) finds it.
    ///
    /// # Errors
    /// [`ResolveError`]
    pub fn resolve(&self, path: &[u8]) -> Result<Resolved, ResolveError> {
        Resolved::root().follow(path, &mut |path: &ImagePath| self.step(path))
    }

    /// The real path of what `path` leads to, and its node; `None` for a directory without one.
    ///
    /// # Errors
    /// [`ResolveError`]
    pub fn find(&self, path: &[u8]) -> Result<(ImagePath, Option<&Node>), ResolveError> {
        let path = self.resolve(path)?.path;
        let node = self.get(&path);
        Ok((path, node))
    }

    /// Directories that only paths below them imply.
    pub fn implied(&self) -> BTreeSet<ImagePath> {
        let mut implied = BTreeSet::new();
        for (path, _) in self {
            let mut dir = path.parent();
            while let Some(parent) = dir.filter(|dir| !dir.is_root() && !self.contains(dir)) {
                dir = parent.parent();
                if !implied.insert(parent) {
                    break;
                }
            }
        }
        implied
    }
}

/// Where a file that is written to `path` goes among the nodes that `get` returns: every link is
/// followed inside the root, and a component without a node counts as a directory that will be
/// made. Any kind of file may stand at the end.
///
/// # Errors
/// [`ResolveError`]
pub fn destination<'a>(
    path: &ImagePath,
    get: impl Fn(&ImagePath) -> Option<&'a Node>,
) -> Result<Resolved, ResolveError> {
    let mut lstat = |path: &ImagePath| Ok(get(path).map_or(Step::Directory, Step::from));
    Resolved::root().follow(path.as_bytes(), &mut lstat)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn path(text: &str) -> ImagePath {
        ImagePath::new(text).unwrap()
    }

    fn resolve_within(
        tree: &[(&str, Step)],
        at: &str,
        steps: u64,
    ) -> Result<Resolved, ResolveError> {
        let tree: BTreeMap<ImagePath, Step> =
            tree.iter().map(|(at, step)| (path(at), step.clone())).collect();
        let mut lstat = |path: &ImagePath| tree.get(path).cloned().ok_or(ResolveError::Missing);
        Resolved::root().follow_within(at.as_bytes(), &mut steps.clone(), &mut lstat)
    }

    fn resolve(tree: &[(&str, Step)], at: &str) -> Result<Resolved, ResolveError> {
        resolve_within(tree, at, u64::MAX)
    }

    fn link(target: &str) -> Step {
        Step::Link(target.as_bytes().into())
    }

    fn names(paths: &[ImagePath]) -> Vec<String> {
        paths.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn parents_are_physical_and_links_stay_in_the_root() {
        let tree = [
            ("/usr", Step::Directory),
            ("/usr/lib", Step::Directory),
            ("/usr/foo", Step::Leaf),
            ("/lib", link("/../usr/lib")),
            ("/up", link("../../../lib/../foo")),
        ];
        let found = resolve(&tree, "/lib/../foo").unwrap();
        assert_eq!(found.path.to_string(), "/usr/foo");
        assert_eq!(names(&found.links), ["/lib"]);
        assert_eq!(names(&found.dotdot_dirs), ["/usr/lib"]);
        assert_eq!(names(&resolve(&tree, "up").unwrap().links), ["/up", "/lib"]);
    }

    #[test]
    fn what_open_refuses_is_an_error() {
        let tree = [("/d", Step::Directory), ("/f", Step::Leaf), ("/dangling", link("gone"))];
        for at in ["/gone", "/dangling", "/d/x"] {
            assert_eq!(resolve(&tree, at), Err(ResolveError::Missing), "{at}");
        }
        for at in ["/f/", "/f/.", "/f/..", "/f/x"] {
            let fault = ResolveError::NotADirectory(path("/f"));
            assert_eq!(resolve(&tree, at), Err(fault), "{at}");
        }
        let too_long = "a/".repeat(ImagePath::MAX);
        assert_eq!(resolve(&tree, &too_long), Err(ResolveError::TooLong));
        assert!(resolve(&tree, "//d/./").unwrap().is_directory);
    }

    #[test]
    fn forty_links_are_enough() {
        let mut tree = vec![("/l0".to_owned(), Step::Leaf)];
        tree.extend((1..=41).map(|i| (format!("/l{i}"), link(&format!("l{}", i - 1)))));
        let tree: Vec<_> = tree.iter().map(|(path, step)| (&**path, step.clone())).collect();
        assert_eq!(resolve(&tree, "/l40").unwrap().links.len(), 40);
        let too_many = Err(ResolveError::Loop);
        assert_eq!(resolve(&tree, "/l41"), too_many);
        assert_eq!(resolve(&[("/a", link("b")), ("/b", link("a"))], "/a"), too_many);
    }

    #[test]
    fn each_component_takes_one_step() {
        let tree = [("/d", Step::Directory), ("/d/up", link("../d/./x")), ("/d/x", Step::Leaf)];
        // The empty component before the first slash, d, up, then those of the link's target.
        assert!(resolve_within(&tree, "/d/up", 7).is_ok());
        let fault = Err(ResolveError::OutOfSteps);
        assert_eq!(resolve_within(&tree, "/d/up", 6), fault);
    }

    #[test]
    fn a_path_implies_its_parents() {
        let tree: Tree = [
            (path("usr/lib/libx.so"), Node::inline(0o644, *b"x")),
            (path("lib"), Node::symlink(*b"usr/lib")),
        ]
        .into_iter()
        .collect();
        let (real, node) = tree.find(b"/lib/libx.so").unwrap();
        assert!(real == path("usr/lib/libx.so") && node.unwrap().file().is_some());
        assert_eq!(tree.find(b"/lib"), Ok((path("usr/lib"), None)));
        assert_eq!(tree.find(b"/usr/bin"), Err(ResolveError::Missing));
        let implied: Vec<_> = tree.implied().into_iter().collect();
        assert_eq!(implied, [path("usr"), path("usr/lib")]);
    }

    #[test]
    fn a_destination_may_be_missing() {
        let tree: Tree = [
            (path("lib"), Node::symlink(*b"usr/lib")),
            (path("f"), Node::inline(0o644, *b"")),
            (path("out"), Node::symlink(*b"../new/dir")),
        ]
        .into_iter()
        .collect();
        let to = |at: &str| destination(&path(at), |at| tree.get(at));
        assert_eq!(to("/lib/a/b").unwrap().path, path("usr/lib/a/b"));
        assert_eq!(to("/out").unwrap().path, path("new/dir"));
        assert!(!to("/f").unwrap().is_directory);
        assert_eq!(to("/f").unwrap().directory(), Err(ResolveError::NotADirectory(path("f"))));
        assert!(matches!(tree.resolve(b"/lib/a"), Err(ResolveError::Missing)));
        assert_eq!(to("/f/x"), Err(ResolveError::NotADirectory(path("f"))));
    }
}
