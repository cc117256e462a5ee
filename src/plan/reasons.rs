//! The graph of reasons: for each path, every edge that leads to it.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
};

use super::Reason;
use crate::path::ImagePath;

/// Every reason of every path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reasons {
    by_path: BTreeMap<ImagePath, Causes>,
    /// The first reason of all paths that are not in the map: most images of a directory hold
    /// little else.
    of_others: Option<Reason>,
    /// Whether the first reason of a path in the map is another than `of_others`.
    has_others: bool,
}

/// The reasons of one path, each once.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Causes {
    first: Reason,
    /// In the order of their types, so that each is found quickly among many.
    further: BTreeSet<Reason>,
}

impl Causes {
    fn new(first: Reason) -> Self {
        Self { first, further: BTreeSet::new() }
    }

    fn add(&mut self, reason: Reason) {
        if reason != self.first {
            self.further.insert(reason);
        }
    }

    fn iter(&self) -> impl Iterator<Item = &Reason> {
        std::iter::once(&self.first).chain(&self.further)
    }
}

impl Reasons {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// `reason` for every path to which none is [added](Reasons::add).
    pub fn all(reason: Reason) -> Self {
        Self { of_others: Some(reason), ..Self::default() }
    }

    /// Adds a reason of `path`: its first, if it has none of its own yet.
    pub fn add(&mut self, path: ImagePath, reason: Reason) {
        match self.by_path.get_mut(&path) {
            Some(causes) => causes.add(reason),
            None => self.start(path, reason),
        }
    }

    /// Adds a further reason of `path`. If it has none of its own yet, the first is the one of all
    /// paths.
    pub fn add_further(&mut self, path: &ImagePath, reason: Reason) {
        if let Some(causes) = self.by_path.get_mut(path) {
            causes.add(reason);
        } else if let Some(first) = self.of_others.clone() {
            let mut causes = Causes::new(first);
            causes.add(reason);
            self.by_path.insert(path.clone(), causes);
        } else {
            self.start(path.clone(), reason);
        }
    }

    /// Makes `reason` the first of `path`; those that it has become further ones. A path without
    /// one of its own is new: the reason of all paths is not one of its reasons.
    pub fn put_first(&mut self, path: &ImagePath, reason: Reason) {
        match self.by_path.get_mut(path) {
            Some(causes) if causes.first != reason => {
                causes.further.remove(&reason);
                let old = std::mem::replace(&mut causes.first, reason);
                causes.further.insert(old);
                self.has_others = true;
            }
            Some(_) => {}
            None => self.start(path.clone(), reason),
        }
    }

    /// Makes `reason` the only one of `path`, which gets other content, and forgets the reasons of
    /// what lay below it.
    pub fn replace(&mut self, path: &ImagePath, reason: Reason) {
        let prefix = [path.as_bytes(), b"/"].concat();
        let below: Vec<_> = self
            .by_path
            .range::<[u8], _>((Bound::Excluded(&prefix[..]), Bound::Unbounded))
            .map(|(path, _)| path)
            .take_while(|path| path.as_bytes().starts_with(&prefix))
            .cloned()
            .collect();
        for path in below {
            self.by_path.remove(&path);
        }
        self.start(path.clone(), reason);
    }

    fn start(&mut self, path: ImagePath, reason: Reason) {
        self.has_others |= self.of_others.as_ref() != Some(&reason);
        self.by_path.insert(path, Causes::new(reason));
    }

    /// The first reason of `path`.
    pub fn get(&self, path: &ImagePath) -> Option<&Reason> {
        self.by_path.get(path).map(|causes| &causes.first).or(self.of_others.as_ref())
    }

    /// Every reason of `path`, the first one first.
    pub fn causes(&self, path: &ImagePath) -> impl Iterator<Item = &Reason> {
        let own = self.by_path.get(path);
        let other = self.of_others.as_ref().filter(|_| own.is_none());
        own.into_iter().flat_map(Causes::iter).chain(other)
    }

    /// The first reason of each of `paths`, which come in order: faster than to ask for each.
    pub fn of<'a, T>(
        &'a self,
        paths: impl Iterator<Item = (ImagePath, T)> + 'a,
    ) -> impl Iterator<Item = (ImagePath, T, Option<&'a Reason>)> + 'a {
        let mut known = self.by_path.iter().peekable();
        paths.map(move |(path, value)| {
            while known.next_if(|(other, _)| **other < path).is_some() {}
            let own = known.peek().filter(|(other, _)| **other == path);
            let own = own.map(|(_, causes)| &causes.first);
            (path, value, own.or(self.of_others.as_ref()))
        })
    }

    /// The first reason of all paths, if it is the same for all.
    pub fn only(&self) -> Option<&Reason> {
        self.of_others.as_ref().filter(|_| !self.has_others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Generated;

    const GENERATED: Reason = Reason::Generated(Generated::WorkingDirectory);

    fn path(text: &str) -> ImagePath {
        ImagePath::new(text).unwrap()
    }

    #[test]
    fn one_by_one_and_in_order_say_the_same() {
        let mut reasons = Reasons::all(Reason::Listed(0));
        assert_eq!(reasons.only(), Some(&Reason::Listed(0)));
        reasons.add(path("/b"), GENERATED);
        reasons.add(path("/c"), Reason::Loader(path("/a")));
        assert_eq!(reasons.only(), None);
        let none = Reasons::new();
        for reasons in [&reasons, &none] {
            let paths = ["/a", "/b", "/b/x", "/d"].map(path);
            let of = reasons.of(paths.iter().map(|path| (path.clone(), ())));
            let of: Vec<_> = of.map(|(path, (), reason)| (path, reason.cloned())).collect();
            let one_by_one = paths.map(|path| (path.clone(), reasons.get(&path).cloned()));
            assert_eq!(of, one_by_one);
        }
        assert_eq!(reasons.get(&path("/d")), Some(&Reason::Listed(0)));
        assert_eq!(none.get(&path("/d")), None);
    }

    #[test]
    fn every_reason_is_kept_once() {
        let (a, b) = (Reason::Loader(path("/a")), Reason::Loader(path("/b")));
        let mut reasons = Reasons::all(Reason::Listed(0));
        for reason in [&b, &a, &b] {
            reasons.add_further(&path("/own"), reason.clone());
            reasons.add(path("/added"), reason.clone());
        }
        let causes =
            |reasons: &Reasons, of: &str| reasons.causes(&path(of)).cloned().collect::<Vec<_>>();
        assert_eq!(causes(&reasons, "/own"), [Reason::Listed(0), a.clone(), b.clone()]);
        assert_eq!(causes(&reasons, "/added"), [b.clone(), a.clone()]);
        assert_eq!(causes(&reasons, "/other"), [Reason::Listed(0)]);
        reasons.put_first(&path("/added"), GENERATED);
        assert_eq!(causes(&reasons, "/added"), [GENERATED, a, b]);
    }

    #[test]
    fn other_content_has_no_reason_of_what_it_replaces() {
        let mut reasons = Reasons::new();
        for at in ["/d", "/d/x", "/d/x/y", "/d-x", "/e"] {
            reasons.add(path(at), Reason::Listed(0));
            reasons.add_further(&path(at), GENERATED);
        }
        reasons.replace(&path("/d"), Reason::Base);
        let causes = |at: &str| reasons.causes(&path(at)).cloned().collect::<Vec<_>>();
        assert_eq!(causes("/d"), [Reason::Base]);
        assert_eq!((causes("/d/x").len(), causes("/d/x/y").len()), (0, 0));
        assert_eq!((causes("/d-x").len(), causes("/e").len()), (2, 2));
    }

    #[test]
    fn further_reasons_leave_the_first_the_same_for_all() {
        let mut reasons = Reasons::all(Reason::Listed(0));
        reasons.add_further(&path("/own"), Reason::Loader(path("/a")));
        assert_eq!(reasons.only(), Some(&Reason::Listed(0)));
    }

    #[test]
    fn a_reason_is_small() {
        assert!(size_of::<Reason>() <= 24 && size_of::<Causes>() <= 48);
    }
}
