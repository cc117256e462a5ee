//! An image → the plan of a smaller one, which holds what the first one's programs need.
//!
//! What its programs need is found as for `imgb why`; files keep their metadata.

mod error;

use std::collections::BTreeMap;

use crate::{
    digest::Digest,
    image::{Config, History, ImageName},
    needs::{self, Needs, Purpose},
    oci,
    path::glob::Glob,
    plan::{self, Include, Note, Plan, PlanOptions, PlannedLayer},
    source::InputOptions,
    tree::{Kind, Node, Tree},
    view::View,
};

pub use error::SlimError;

/// What is made smaller, and how.
#[derive(Debug)]
pub struct SlimRequest {
    /// The image.
    pub image: ImageName,
    /// How it is opened.
    pub open: oci::OpenOptions,
    /// Names or paths of programs to keep besides those that the image starts.
    pub programs: Vec<String>,
    /// Paths to keep, or patterns of them.
    pub include: Vec<String>,
    /// How files become nodes.
    pub source: InputOptions,
    /// How the plan is made. Its settings replace those of the image.
    pub plan: PlanOptions,
}

/// The plan of the smaller image.
#[derive(Debug)]
pub struct Slimmed {
    /// The plan.
    pub plan: Plan,
    /// What identifies the image that it was made of.
    pub image: Digest,
    /// What the image held.
    pub before: Extent,
    /// What is left of it.
    pub after: Extent,
    /// The packages that have files in the image and none in the plan, by name.
    pub removed_packages: Vec<String>,
}

/// How much an image holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Files that are not directories.
    pub files: usize,
    /// Their bytes, those of hard links once.
    pub bytes: u64,
    /// Packages that have a file.
    pub packages: usize,
}

/// Reads the image and plans the smaller one.
///
/// # Errors
/// [`SlimError`]
pub fn slim(request: &SlimRequest) -> Result<Slimmed, SlimError> {
    let image = oci::open(&request.image, &request.open)?.unpack_pieces()?;
    let digest = image.image.digest();
    let mut files = image.merged();
    files.add_parents(|path| plan::parent(path, request.source.mtime));
    let mut slimmed = of_files(&files, (&image.image.config, digest), request)?;
    request.plan.settings.apply(&mut slimmed.plan.config);
    let named = |text| Note::warning(format!("{}: {text}", image.image.name));
    slimmed.plan.notes.extend(image.notes().into_iter().map(named));
    Ok(slimmed)
}

/// Plans the smaller image of `files`, which hold their parents. The history calls the image by
/// its `digest`: a path would be this machine's.
fn of_files(
    files: &Tree,
    (config, digest): (&Config, Digest),
    request: &SlimRequest,
) -> Result<Slimmed, SlimError> {
    let view = View::of_sysroot(files);
    let more: Vec<_> =
        request.programs.iter().map(|name| (name.clone(), "--program".to_owned())).collect();
    let purpose = Purpose::of(files, config, &more)?;
    if let Some(name) = purpose.missing.iter().chain(&purpose.unknown).next() {
        return Err(SlimError::Missing(name.clone()));
    }
    if purpose.is_empty() {
        return Err(SlimError::NoProgram);
    }
    let mut include = matching(files, &request.include)?;
    include.extend(request.plan.include.iter().cloned());
    let options = PlanOptions { include, ..request.plan.clone() };
    let source = &request.source;
    let needs = purpose.needs(files, config, source, &options)?;
    let Needs { mut tree, decision, packages: kept } = needs;
    keep_metadata(&mut tree, files, source);
    let after = extent(&tree, kept.len());
    let layers = plan::split_files(tree, files, request.plan.layers, source.mtime)?;
    let mut config = config.clone();
    config.add_variables(&decision.variables);
    config.original.remove("history");
    config.history = layers.iter().map(|layer| step(layer, digest)).collect();
    let plan = Plan {
        layers,
        config,
        reasons: decision.reasons,
        inputs: decision.inputs,
        named: decision.named,
        notes: decision.notes,
        base: Tree::new(),
    };
    let all = needs::packages(files, &view)?;
    let removed_packages = match view.packages()? {
        Some(database) => {
            let gone = all.iter().filter(|id| !kept.contains(id));
            gone.filter_map(|id| Some(database.package(*id)?.name.to_string())).collect()
        }
        None => Vec::new(),
    };
    let before = extent(files, all.len());
    Ok(Slimmed { plan, image: digest, before, after, removed_packages })
}

fn step(layer: &PlannedLayer, digest: Digest) -> History {
    let created_by = match &*layer.name {
        "all" => format!("imgb slim {digest}"),
        name => format!("imgb slim {digest} ({name})"),
    };
    History { created_by, empty_layer: false }
}

/// The paths that `patterns` match, or name.
fn matching(files: &Tree, patterns: &[String]) -> Result<Vec<Include>, SlimError> {
    let mut found = Vec::new();
    for pattern in patterns {
        let option = "--include";
        if !crate::path::glob::has_wildcard(pattern.as_bytes()) {
            found.push(Include::new(pattern.as_bytes(), option)?);
            continue;
        }
        let glob = Glob::new(pattern.trim_start_matches('/').as_bytes());
        let glob = glob.map_err(|why| SlimError::Pattern { pattern: pattern.clone(), why })?;
        let before = found.len();
        for (path, _) in files.iter().filter(|(path, _)| glob.matches(path.relative())) {
            found.push(Include::new(path.as_bytes(), option)?);
        }
        if found.len() == before {
            return Err(SlimError::NoMatch(pattern.clone()));
        }
    }
    Ok(found)
}

fn extent(tree: &Tree, packages: usize) -> Extent {
    let mut inodes = BTreeMap::new();
    let mut files = 0;
    for (_, node) in tree.iter().filter(|(_, node)| !node.is_directory()) {
        files += 1;
        if let Some(file) = node.file() {
            inodes.insert(file.content.identity(), file.len);
        }
    }
    Extent { files, bytes: inodes.values().sum(), packages }
}

/// Gives what comes from `files` the metadata that it has there.
fn keep_metadata(tree: &mut Tree, files: &Tree, source: &InputOptions) {
    tree.add_parents(|path| match files.get(path).filter(|node| node.is_directory()) {
        Some(node) => node.clone(),
        None => plan::parent(path, source.mtime),
    });
    for (path, node) in tree.iter_mut() {
        if let Some(own) = files.get(path).filter(|own| is_same(own, node)) {
            node.meta = own.meta.clone();
        }
    }
}

fn is_same(one: &Node, other: &Node) -> bool {
    match (&one.kind, &other.kind) {
        (Kind::File(one), Kind::File(other)) => one.content.identity() == other.content.identity(),
        (one, other) => one == other,
    }
}
