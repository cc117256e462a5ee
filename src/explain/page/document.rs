//! The data of a page: one JSON document, in the form that the scripts read (`js/data.js`).

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    elf_graph,
    numbers::{Paths, Texts},
};
use crate::{
    elf::ReadFailure,
    explain::{
        contents::hard_links,
        inspection::{Inspection, Reached},
        reach::Reach,
        recorded::Recorded,
        why::{Edge, Graph},
    },
    image::Reference,
    path::{ImagePath, escape},
    plan::Reason,
    tree::{Kind, Node, Tree},
};

/// What the page says of an image whose whole file system is `merged`. It is part of a file that
/// people pass on, so nothing in it tells where the image was read.
pub(super) fn document(shown: &Inspection<'_>, merged: &Tree) -> Result<Value, ReadFailure> {
    let inspected = shown.json();
    let paths = Paths::new(merged);
    let mut texts = Texts::default();
    let entries = entries(shown, &paths, &mut texts);
    let mut part = Explained { shown, merged, paths: &paths, texts: &mut texts };
    let (reasons, elf) = match &shown.reach {
        Reached::Known(Reach::Found(resolved, graph), _) => {
            part.of(graph, &|reason: &Reason| resolved.text(reason))?
        }
        Reached::Known(Reach::Attached(_, graph), _) => {
            part.of(graph, &|reason: &Recorded| reason.text.clone())?
        }
        Reached::Unknown(_) => part.of(&Graph::<Reason>::default(), &|_| String::new())?,
    };
    let number = |path: &ImagePath| paths.number(path);
    let duplicates = shown.duplicates.iter().map(
        |one| json!({"size": one.size, "paths": one.paths.iter().map(number).collect::<Vec<_>>()}),
    );
    let unreached = shown.unreached().iter().map(|(path, size)| json!([number(path), size]));
    Ok(json!({
        "imgb": env!("CARGO_PKG_VERSION"),
        "image": {
            "title": title(shown),
            "names": inspected["names"],
            "platform": inspected["platform"],
            "platforms": inspected["platforms"],
            "digest": inspected["digest"],
            "image_id": inspected["image_id"],
        },
        "config": inspected["config"],
        "layers": inspected["layers"],
        "packages": inspected["packages"],
        "hidden": inspected["hidden"],
        "unresolved": inspected["unresolved"],
        "recorded": inspected["recorded"],
        "duplicates": duplicates.collect::<Vec<_>>(),
        "unreached": unreached.collect::<Vec<_>>(),
        "entries": entries,
        "reasons": reasons,
        "elf": elf,
        "texts": texts.all,
    }))
}

/// What the image is called: its first full name, or the start of its ID.
fn title(shown: &Inspection<'_>) -> String {
    let image = &shown.unpacked.image;
    let full = image.names.iter().filter(|name| name.contains('/'));
    let name = full.filter_map(|name| name.parse::<Reference>().ok()).next();
    let id = image.config_document.digest.to_string();
    let id = || id.chars().take("sha256:".len() + 12).collect();
    name.map_or_else(id, |name| name.familiar())
}

/// For each path, in order: the number of its parent (−1 for the root), its name, the number of the
/// text of its type, its size in bytes, its mode (−1 where the image does not say), user and group,
/// the numbers of its layer and package (−1 for none), and where it leads: the target of a symbolic
/// link, or the number of the first name of a file with several.
fn entries(shown: &Inspection<'_>, paths: &Paths<'_>, texts: &mut Texts) -> Vec<Value> {
    let links = hard_links(paths.tree);
    let mut packages: BTreeMap<&ImagePath, usize> = BTreeMap::new();
    for (number, package) in shown.packages.iter().enumerate() {
        for path in &package.files {
            packages.entry(path).or_insert(number);
        }
    }
    let layer_of = |path: &ImagePath| {
        let layer = shown.unpacked.layers.iter().rposition(|one| one.change.tree.contains(path));
        layer.map_or(-1, |layer| layer as i64)
    };
    let implied = Node::directory(0);
    let mut entry = |path: &ImagePath| {
        let parent = path.parent().map_or(-1, |parent| paths.number(&parent));
        let node = paths.tree.get(path);
        let mode = node.map_or(-1, |node| i64::from(node.meta.mode));
        let node = node.unwrap_or(&implied);
        let kind = texts.number(node.kind_name().into());
        let leads_to = match &node.kind {
            Kind::Symlink(target) => Value::from(escape(target)),
            _ => links.get(path).map(|first| paths.number(first)).into(),
        };
        let package = packages.get(path).map_or(-1, |number| *number as i64);
        let (name, size) = (escape(path.file_name()), node.file().map_or(0, |file| file.len));
        let (uid, gid) = (node.meta.uid, node.meta.gid);
        json!([parent, name, kind, size, mode, uid, gid, layer_of(path), package, leads_to])
    };
    paths.iter().map(|(path, _)| entry(path)).collect()
}

/// The parts of a page that reasons are in.
struct Explained<'a, 'p> {
    shown: &'a Inspection<'a>,
    merged: &'a Tree,
    paths: &'a Paths<'p>,
    texts: &'a mut Texts,
}

impl Explained<'_, '_> {
    /// The reasons, and the graph of ELF objects.
    fn of<R: Edge>(
        &mut self,
        graph: &Graph<R>,
        text: &dyn Fn(&R) -> String,
    ) -> Result<(Vec<Value>, Value), ReadFailure> {
        let reasons = self.reasons(graph, text);
        let config = &self.shown.unpacked.image.config;
        let elf = elf_graph::edges(self.merged, config, graph, self.paths, self.texts)?;
        Ok((reasons, elf))
    }

    /// For each path that something leads to: its number and its reasons, the first one first, each
    /// as the numbers of the text of its kind, of the path it points to (−1 for none) and of its
    /// own text.
    fn reasons<R: Edge>(&mut self, graph: &Graph<R>, text: &dyn Fn(&R) -> String) -> Vec<Value> {
        let mut all = Vec::new();
        for (path, number) in self.paths.iter().filter(|(path, _)| !path.is_root()) {
            let causes = graph.causes(path).iter().map(|reason| {
                let cause = reason.cause().map_or(-1, |cause| self.paths.number(cause));
                let kind = self.texts.number(reason.kind().into());
                json!([kind, cause, self.texts.number(text(reason))])
            });
            let causes: Vec<Value> = causes.collect();
            if !causes.is_empty() {
                all.push(json!([number, causes]));
            }
        }
        all
    }
}
