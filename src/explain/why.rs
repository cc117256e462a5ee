//! Why a path is in an image: the chains of reasons that lead to it, and what would go with it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{contents::hard_links, recorded::Recorded};
use crate::{
    path::ImagePath,
    plan::{Reason, Reasons},
    tree::{Node, Tree},
};

/// Steps that are looked at to find chains: there may be more chains than anyone can read.
const MAX_STEPS: usize = 200_000;

/// A reason of a path: found again in the image, or recorded by its build.
pub trait Edge: Clone {
    /// The path that leads to it; `None` at the start of a chain.
    fn cause(&self) -> Option<&ImagePath>;
    /// The name of its kind, as in JSON.
    fn kind(&self) -> &str;
    /// The name of the rule and what made it fire, if a rule did.
    fn rule(&self) -> Option<(&str, String)>;
}

impl Edge for Reason {
    fn cause(&self) -> Option<&ImagePath> {
        self.cause()
    }

    fn kind(&self) -> &str {
        self.kind()
    }

    fn rule(&self) -> Option<(&str, String)> {
        match self {
            Self::Rule(found) => Some((&found.rule, found.evidence.to_string())),
            _ => None,
        }
    }
}

impl Edge for Recorded {
    fn cause(&self) -> Option<&ImagePath> {
        self.cause()
    }

    fn kind(&self) -> &str {
        self.field("kind")
    }

    fn rule(&self) -> Option<(&str, String)> {
        let rule = (self.field("rule"), self.field("evidence").to_owned());
        (self.kind() == "rule").then_some(rule)
    }
}

/// Each path that is reached, with its reasons.
#[derive(Clone, Debug)]
pub struct Graph<R = Reason> {
    causes: BTreeMap<ImagePath, Vec<R>>,
}

impl<R> Default for Graph<R> {
    fn default() -> Self {
        Self { causes: BTreeMap::new() }
    }
}

/// A path on a chain and the reason that leads to it from the path before, which for the first is
/// what the image is for.
pub type Link<R = Reason> = (ImagePath, R);

/// The chains that lead to a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chains<R = Reason> {
    /// Each from a start to the path, shortest first. No chain visits a path twice.
    pub all: Vec<Vec<Link<R>>>,
    /// Whether there are more.
    pub are_more: bool,
}

impl Graph {
    /// The reasons of the paths of `reached`.
    pub fn new(reached: &Tree, reasons: &Reasons) -> Self {
        let causes = reached
            .iter()
            .map(|(path, _)| (path.clone(), reasons.causes(path).cloned().collect()))
            .collect();
        Self::with_root(causes, |path| Reason::Parent(path.clone()))
    }
}

impl Graph<Recorded> {
    /// The reasons that a build recorded.
    pub fn recorded(causes: BTreeMap<ImagePath, Vec<Recorded>>) -> Self {
        Self::with_root(causes, Recorded::parent)
    }
}

impl<R: Edge> Graph<R> {
    /// Those of `causes` that a start leads to, and a reason of the root, which is on the way to
    /// all of them and has no node.
    fn with_root(
        mut causes: BTreeMap<ImagePath, Vec<R>>,
        parent: impl Fn(&ImagePath) -> R,
    ) -> Self {
        let reached: BTreeSet<ImagePath> = reached(&causes, None).into_iter().cloned().collect();
        causes.retain(|path, _| reached.contains(path));
        for reasons in causes.values_mut() {
            reasons.retain(|one| one.cause().is_none_or(|cause| reached.contains(cause)));
        }
        let is_start = |reasons: &Vec<R>| reasons.iter().any(|one| one.cause().is_none());
        let start =
            causes.iter().find(|(_, reasons)| is_start(reasons)).map(|(path, _)| parent(path));
        let of_root = causes.entry(ImagePath::root()).or_default();
        if of_root.is_empty() {
            of_root.extend(start);
        }
        Self { causes }
    }

    /// Whether something leads to `path`.
    pub fn reaches(&self, path: &ImagePath) -> bool {
        !self.causes(path).is_empty()
    }

    /// The reasons of `path`, the first one first.
    pub fn causes(&self, path: &ImagePath) -> &[R] {
        self.causes.get(path).map_or(&[], Vec::as_slice)
    }

    /// The chains that lead to `path`, `limit` of them at most.
    pub fn chains(&self, path: &ImagePath, limit: usize) -> Chains<R> {
        let mut found = Chains { all: Vec::new(), are_more: false };
        // Chains from the path on, each to a path whose reasons have not been followed.
        let mut left: VecDeque<Vec<(&ImagePath, &R)>> = [Vec::new()].into();
        // Steps of the chains that were followed, and of those in `left`.
        let (mut steps, mut waiting) = (0, 0);
        while let Some(chain) = left.pop_front() {
            waiting -= chain.len();
            steps += chain.len();
            if !chain.is_empty() && (found.all.len() >= limit || steps > MAX_STEPS) {
                found.are_more = true;
                break;
            }
            let at = match chain.last() {
                Some((_, reason)) => reason.cause(),
                None => Some(path),
            };
            let Some(at) = at else {
                let owned = |(path, one): (&ImagePath, &R)| (path.clone(), one.clone());
                found.all.push(chain.into_iter().rev().map(owned).collect());
                continue;
            };
            let is_new = |cause: &ImagePath| cause != at && chain.iter().all(|it| it.0 != cause);
            for reason in self.causes(at).iter().filter(|it| it.cause().is_none_or(is_new)) {
                if waiting + chain.len() + 1 > MAX_STEPS {
                    found.are_more = true;
                    break;
                }
                waiting += chain.len() + 1;
                left.push_back([&chain[..], &[(at, reason)]].concat());
            }
        }
        found
    }

    /// The paths that only `path` and what is in it lead to, these included, in order: what would
    /// go if it were left out.
    pub fn only_through(&self, path: &ImagePath) -> BTreeSet<ImagePath> {
        let reached = reached(&self.causes, Some(path));
        let goes = self.causes.keys().filter(|of| !of.is_root() && !reached.contains(of));
        goes.cloned().collect()
    }
}

/// The paths that a start leads to, if `left_out` and what is in it are left out.
fn reached<'g, R: Edge>(
    causes: &'g BTreeMap<ImagePath, Vec<R>>,
    left_out: Option<&ImagePath>,
) -> BTreeSet<&'g ImagePath> {
    let mut needs: BTreeMap<&ImagePath, Vec<&ImagePath>> = BTreeMap::new();
    let mut reached: BTreeSet<&ImagePath> = BTreeSet::new();
    let mut left: Vec<&ImagePath> = Vec::new();
    let is_left = |of: &ImagePath| left_out.is_some_and(|dir| of.is_within(dir));
    for (of, reasons) in causes.iter().filter(|(of, _)| !is_left(of)) {
        for reason in reasons {
            match reason.cause() {
                Some(cause) => needs.entry(cause).or_default().push(of),
                None if reached.insert(of) => left.push(of),
                None => {}
            }
        }
    }
    while let Some(at) = left.pop() {
        for of in needs.get(at).into_iter().flatten() {
            if reached.insert(of) {
                left.push(of);
            }
        }
    }
    reached
}

/// The bytes that would go with the paths of `gone`. Content that has another name stays with it.
pub fn freed(tree: &Tree, gone: &BTreeSet<ImagePath>) -> u64 {
    let links = hard_links(tree);
    let first = |path| links.get(path).copied().unwrap_or(path);
    let kept = tree.iter().map(|(path, _)| path).filter(|path| !gone.contains(*path));
    let kept: BTreeSet<&ImagePath> = kept.map(first).collect();
    let gone: BTreeSet<&ImagePath> = gone.iter().map(first).collect();
    let files = gone.difference(&kept).filter_map(|path| tree.get(path)?.file());
    files.map(|file| file.len).sum()
}

/// The files and links of `tree` that are not `reached`, each with the bytes that would go with
/// it, largest first. Content that has another name goes with the last name only: it counts once,
/// at its first name, and not at all if one of its names is reached.
pub fn unreached(tree: &Tree, reached: impl Fn(&ImagePath) -> bool) -> Vec<(ImagePath, u64)> {
    let links = hard_links(tree);
    let first = |path| links.get(path).copied().unwrap_or(path);
    let kept: BTreeSet<&ImagePath> =
        tree.iter().filter(|(path, _)| reached(path)).map(|(path, _)| first(path)).collect();
    let goes = |path, node: &Node| match first(path) == path && !kept.contains(path) {
        true => node.file().map_or(0, |file| file.len),
        false => 0,
    };
    let mut found: Vec<(ImagePath, u64)> = tree
        .iter()
        .filter(|(path, node)| !node.is_directory() && !reached(path))
        .map(|(path, node)| (path.clone(), goes(path, node)))
        .collect();
    found.sort_by(|(a, a_len), (b, b_len)| b_len.cmp(a_len).then_with(|| a.cmp(b)));
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Kind;

    fn path(text: &str) -> ImagePath {
        ImagePath::new(text).unwrap()
    }

    /// `/app` starts, `/other` too; both lead to `/lib`, which leads to `/deep`; `/a` and `/b` lead
    /// to each other.
    fn graph() -> (Tree, Graph) {
        let mut reasons = Reasons::new();
        let mut tree = Tree::new();
        let mut add = |of: &str, reason: Reason| {
            tree.insert(path(of), Node::inline(0o644, of.as_bytes()));
            reasons.add(path(of), reason);
        };
        add("/app", Reason::Listed(0));
        add("/other", Reason::Listed(1));
        add("/lib", Reason::Loader(path("/app")));
        add("/lib", Reason::Loader(path("/mid")));
        add("/mid", Reason::Loader(path("/other")));
        add("/deep", Reason::Loader(path("/lib")));
        add("/deep", Reason::Loader(path("/deep")));
        add("/a", Reason::Loader(path("/b")));
        add("/b", Reason::Loader(path("/a")));
        add("/a", Reason::Loader(path("/mid")));
        let graph = Graph::new(&tree, &reasons);
        (tree, graph)
    }

    #[test]
    fn all_chains_are_found_and_the_shortest_comes_first() {
        let (_, graph) = graph();
        let chains = |of: &str, limit| {
            let found = graph.chains(&path(of), limit);
            let text = |chain: &Vec<Link>| {
                chain.iter().map(|(path, _)| path.to_string()).collect::<Vec<_>>().join(" ")
            };
            (found.all.iter().map(text).collect::<Vec<_>>(), found.are_more)
        };
        let both = vec!["/app /lib /deep".to_owned(), "/other /mid /lib /deep".to_owned()];
        assert_eq!(chains("/deep", 10), (both, false));
        assert_eq!(chains("/deep", 1), (vec!["/app /lib /deep".to_owned()], true));
        assert_eq!(chains("/b", 10), (vec!["/other /mid /a /b".to_owned()], false));
        assert_eq!(chains("/nothing", 10), (Vec::new(), false));
    }

    /// Reasons that anybody wrote may lead in circles, and to paths that are not there.
    #[test]
    fn what_no_start_leads_to_is_not_reached() {
        let mut reasons = Reasons::new();
        let mut tree = Tree::new();
        for (of, by) in [("/app", None), ("/a", Some("/b")), ("/b", Some("/a")), ("/c", Some("/x"))]
        {
            tree.insert(path(of), Node::inline(0o644, *b"1"));
            let reason = by.map_or(Reason::Listed(0), |by| Reason::Loader(path(by)));
            reasons.add(path(of), reason);
        }
        reasons.add(path("/app"), Reason::Loader(path("/a")));
        let graph = Graph::new(&tree, &reasons);
        let reached: Vec<_> = graph.causes.keys().map(ToString::to_string).collect();
        assert_eq!(reached, ["/", "/app"]);
        assert_eq!(graph.causes(&path("/app")), [Reason::Listed(0)]);
        assert_eq!(unreached(&tree, |path| graph.reaches(path)).len(), 3);
    }

    #[test]
    fn content_with_another_name_stays() {
        let mut shared = Node::inline(0o644, *b"12345");
        if let Kind::File(file) = &mut shared.kind {
            file.shared = true;
        }
        let one = Node::inline(0o644, *b"123");
        let all = [("/a", shared.clone()), ("/b", shared), ("/c", one)];
        let tree = Tree::from_iter(all.map(|(name, node)| (path(name), node)));
        for (gone, bytes) in [(&["/a", "/c"][..], 3), (&["/a", "/b", "/c"], 8), (&["/x"], 0)] {
            let gone = gone.iter().map(|name| path(name)).collect();
            assert_eq!(freed(&tree, &gone), bytes, "{gone:?}");
        }
    }

    #[test]
    fn what_goes_is_what_nothing_else_leads_to() {
        let (tree, graph) = graph();
        let goes = |of: &str| {
            let all = graph.only_through(&path(of)).into_iter();
            all.map(|path| path.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(goes("/app"), ["/app"]);
        assert_eq!(goes("/lib"), ["/deep", "/lib"]);
        assert_eq!(goes("/other"), ["/a", "/b", "/mid", "/other"]);
        assert_eq!(goes("/").len(), tree.len());
        let reached = Tree::from_iter([(path("/app"), Node::directory(0o755))]);
        let left = unreached(&tree, |path| reached.contains(path));
        let left: Vec<_> = left.iter().map(|(path, len)| (path.to_string(), *len)).collect();
        assert_eq!(left[..2], [("/other".to_owned(), 6), ("/deep".to_owned(), 5)]);
    }
    #[test]
    fn content_goes_with_the_last_of_its_names() {
        let shared = || {
            let mut node = Node::inline(0o644, *b"12345");
            if let Kind::File(file) = &mut node.kind {
                file.shared = true;
            }
            node
        };
        let (kept, gone) = (shared(), shared());
        let tree = Tree::from_iter([
            (path("/a"), kept.clone()),
            (path("/b"), kept),
            (path("/c"), gone.clone()),
            (path("/d"), gone),
        ]);
        let reached = Tree::from_iter([(path("/b"), Node::directory(0o755))]);
        let left = unreached(&tree, |path| reached.contains(path));
        let left: Vec<_> = left.iter().map(|(path, len)| (path.to_string(), *len)).collect();
        assert_eq!(left, [("/c".into(), 5), ("/a".into(), 0), ("/d".into(), 0)]);
    }
}
