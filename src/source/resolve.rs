//! Path resolution as the kernel does it in a root: physically, one component after the other.

use std::sync::Arc;

use crate::{elf::FindError, path::ImagePath};

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
    hops: usize,
}

impl Resolved {
    /// The root, from which every resolution starts.
    pub fn root() -> Self {
        Self {
            path: ImagePath::root(),
            is_directory: true,
            links: Vec::new(),
            dotdot_dirs: Vec::new(),
            hops: 0,
        }
    }

    /// Goes on from here along `path` as open(2) does: every link is followed, `..` goes to the
    /// real parent and stays in the root, absolute paths and targets start again at the root.
    /// `lstat` says what stands at a real path.
    ///
    /// # Errors
    /// [`FindError::Missing`] past a missing or non-directory component, [`FindError::Loop`] after
    /// [`MAX_LINKS`] links, and what `lstat` returns.
    pub fn follow(
        mut self,
        path: &[u8],
        lstat: &mut dyn FnMut(&ImagePath) -> Result<Step, FindError>,
    ) -> Result<Self, FindError> {
        if path.len() > ImagePath::MAX {
            return Err(FindError::Missing);
        }
        // Components still to go, the next one last. A link's target is put on top of what is left.
        // A trailing slash leaves an empty component, which wants a directory as `.` does.
        let mut left: Vec<Arc<[u8]>> = Vec::new();
        self.push(&mut left, path);
        while let Some(component) = left.pop() {
            if !self.is_directory {
                return Err(FindError::Missing);
            }
            match &*component {
                b"" | b"." => {}
                b".." => {
                    if let Some(parent) = self.path.parent() {
                        self.dotdot_dirs.push(std::mem::replace(&mut self.path, parent));
                    }
                }
                name => {
                    let next = self.path.join(name).map_err(|_| FindError::Missing)?;
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
    ) -> Result<(), FindError> {
        self.hops += 1;
        if self.hops > MAX_LINKS {
            return Err(FindError::Loop);
        }
        if target.is_empty() || target.len() > ImagePath::MAX {
            return Err(FindError::Missing);
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn resolve(tree: &[(&str, Step)], path: &str) -> Result<Resolved, FindError> {
        let tree: BTreeMap<ImagePath, Step> =
            tree.iter().map(|(path, step)| (ImagePath::new(path).unwrap(), step.clone())).collect();
        let mut lstat = |path: &ImagePath| tree.get(path).cloned().ok_or(FindError::Missing);
        Resolved::root().follow(path.as_bytes(), &mut lstat)
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
    fn what_open_refuses_is_missing() {
        let tree = [("/d", Step::Directory), ("/f", Step::Leaf), ("/dangling", link("gone"))];
        for path in ["/f/", "/f/.", "/f/..", "/f/x", "/gone", "/dangling", "/d/x"] {
            assert_eq!(resolve(&tree, path), Err(FindError::Missing), "{path}");
        }
        assert!(resolve(&tree, "//d/./").unwrap().is_directory);
    }

    #[test]
    fn forty_links_are_enough() {
        let mut tree = vec![("/l0".to_owned(), Step::Leaf)];
        tree.extend((1..=41).map(|i| (format!("/l{i}"), link(&format!("l{}", i - 1)))));
        let tree: Vec<_> = tree.iter().map(|(path, step)| (&**path, step.clone())).collect();
        assert_eq!(resolve(&tree, "/l40").unwrap().links.len(), 40);
        assert_eq!(resolve(&tree, "/l41"), Err(FindError::Loop));
        assert_eq!(resolve(&[("/a", link("b")), ("/b", link("a"))], "/a"), Err(FindError::Loop));
    }
}
