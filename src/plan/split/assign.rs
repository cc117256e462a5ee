//! Which layer a component goes to.
//!
//! What images of different programs share has a layer. So has each large component. Of more of
//! these than there is room for, those have one whose size times the number of packages that
//! depend on them is greatest; both are compared by powers of two, so that an update seldom changes
//! the order. All others share layers, whose number does not depend on theirs: their size chooses
//! among them, then a hash of the name (Thaler and Ravishankar, rendezvous hashing). What is small
//! and no package's has the last layer.
//!
//! So a component that comes, goes or changes leaves all others where they are, unless there is no
//! room for all large ones: then it, or a large one that it depends on, takes the layer of another.

use std::cmp::Reverse;

use super::{
    common,
    components::{Component, Group},
    sizes::{LARGE, bounded, class, hash, mix},
};

/// How many layers there may be, and which components may have one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::plan) struct Limits {
    /// Layers at most; at least 3.
    pub(super) max: usize,
    /// Bytes from which a component may have a layer of its own.
    pub(super) large: u64,
}

/// The layers' names with their components, lowest first, and the number of the layer of each
/// component. What belongs to no component goes to the last layer.
pub(super) type Assigned = (Vec<(String, Vec<String>)>, Vec<usize>);

/// Bytes below which a component is one of the smallest.
const SMALLEST: u64 = 64 << 10;

/// The layers that several components share.
#[derive(Clone, Copy)]
struct Bins {
    system: usize,
    others: usize,
}

/// Where a component goes. The order is that of the layers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    /// The layer of what images share.
    Common,
    /// A layer of its own: a package of the system. What many depend on comes first, then what is
    /// large.
    System(Reverse<u32>, Reverse<u32>, String),
    /// One of the layers of small packages of the system.
    SystemBin(usize),
    /// A layer of its own: any other component. Packages come before files, then what is large.
    Other(Group, Reverse<u32>, String),
    /// One of the layers of other small packages, and of large files without room.
    OtherBin(usize),
    Last,
}

/// The layer of each of `components`.
pub(super) fn assign(components: &[Component], limits: Limits) -> Assigned {
    let places = places(components, limits);
    let mut used: Vec<&Place> = places.iter().chain([&Place::Last]).collect();
    used.sort_unstable();
    used.dedup();
    let mut layers: Vec<_> = used.iter().map(|place| (place.name(), Vec::new())).collect();
    let mut of = Vec::with_capacity(components.len());
    for (component, place) in components.iter().zip(&places) {
        let at = used.binary_search(&place).unwrap_or_default();
        if let Some((_, names)) = layers.get_mut(at) {
            names.push(component.name.clone());
        }
        of.push(at);
    }
    for (_, names) in &mut layers {
        names.sort_unstable();
        names.dedup();
    }
    (layers, of)
}

fn places(components: &[Component], limits: Limits) -> Vec<Place> {
    let has = |wanted: fn(&Component) -> bool| components.iter().any(wanted);
    // Three layers have no room for one of what images share.
    let is_any_common = has(|one| one.group == Group::Common);
    let (has_common, in_bins) = (is_any_common && limits.max > 3, is_any_common && limits.max <= 3);
    let has_system = has(|one| one.group == Group::System);
    let bins = Bins {
        system: match has_system || in_bins {
            true => (limits.max / 8).max(1),
            false => 0,
        },
        others: match has(|one| one.group == Group::Language || one.is_large_file()) {
            true if has_system => (limits.max * 5 / 16).max(1),
            true => (limits.max * 7 / 16).max(1),
            false => 0,
        },
    };
    let taken = usize::from(has_common) + bins.system + bins.others + 1;
    let room = limits.max.saturating_sub(taken);
    let mut large: Vec<usize> = (0..components.len())
        .filter(|at| {
            components.get(*at).is_some_and(|one| match one.group {
                Group::Common => false,
                Group::Files => one.is_large_file(),
                Group::System | Group::Language => one.bytes >= limits.large,
            })
        })
        .collect();
    large.sort_by_cached_key(|at| {
        components.get(*at).map(|one| (Reverse(one.weight()), hash(one.name.as_bytes())))
    });
    large.truncate(room);
    large.sort_unstable();
    let place = |(at, one): (usize, &Component)| match one.group {
        Group::Common if has_common => Place::Common,
        _ => one.place(large.binary_search(&at).is_ok(), bins),
    };
    components.iter().enumerate().map(place).collect()
}

impl Component {
    /// How much is gained by a layer of its own: by its size, and by how many images may share it.
    /// What many packages of one image depend on is in other images too.
    fn weight(&self) -> u32 {
        class(self.bytes) + class(self.dependents)
    }

    fn is_large_file(&self) -> bool {
        self.group == Group::Files && self.bytes >= LARGE
    }

    /// Which of `count` shared layers has it: the first has the smallest components, so that an
    /// update of one of these, which are many, moves little.
    fn bin(&self, count: usize) -> usize {
        let smallest = usize::from(count > 2);
        let small = (count.saturating_sub(smallest) / 3).max(1);
        let large = smallest + small;
        match self.bytes {
            _ if count < 2 => 0,
            ..SMALLEST if smallest > 0 => 0,
            ..LARGE => smallest + bin(&self.name, small),
            _ => large + bin(&self.name, count - large),
        }
    }

    fn place(&self, is_alone: bool, bins: Bins) -> Place {
        let size = Reverse(class(self.bytes));
        match self.group {
            Group::System if is_alone => {
                Place::System(Reverse(class(self.dependents)), size, self.name.clone())
            }
            Group::Common | Group::System => Place::SystemBin(self.bin(bins.system)),
            _ if is_alone => Place::Other(self.group, size, self.name.clone()),
            Group::Files if !self.is_large_file() => Place::Last,
            Group::Language | Group::Files => Place::OtherBin(self.bin(bins.others)),
        }
    }
}

impl Place {
    fn name(&self) -> String {
        match self {
            Self::System(_, _, name) | Self::Other(_, _, name) => bounded(&short(name)).into(),
            Self::Common => common::NAME.into(),
            Self::SystemBin(number) => format!("system {}", number + 1),
            Self::OtherBin(number) => format!("dependencies {}", number + 1),
            Self::Last => "inputs".into(),
        }
    }
}

/// The name of a component without the directories of its path.
fn short(name: &str) -> String {
    let file = name.rsplit('/').next().unwrap_or(name);
    match name.strip_prefix("files from /") {
        Some("") => "files".into(),
        Some(_) => format!("files from {file}"),
        None if name.starts_with('/') => file.into(),
        None => name.into(),
    }
}

/// The one of `count` bins that `name` goes to. With another number of bins, no more names move
/// than have to.
fn bin(name: &str, count: usize) -> usize {
    let of_name = hash(name.as_bytes());
    let weight = |bin: &usize| mix(of_name ^ mix(*bin as u64 + 1));
    (0..count).max_by_key(weight).unwrap_or_default()
}
