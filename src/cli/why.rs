//! `imgb why`.

use std::fmt::Write as _;

use clap::Args;
use serde_json::{Value, json};

use super::{
    failure::Failure,
    options::{
        image::ImageArgs,
        reach::{ReachArgs, image_path},
    },
    printable::printable,
    size,
    terminal::{print_data, print_json},
};
use crate::{
    error_kind::ErrorKind,
    explain::{
        resolve::{Resolved, resolve},
        why::{Chains, Graph, Link, unreached},
    },
    path::ImagePath,
    pipeline,
    plan::Reason,
    quantity,
    tree::{Tree, resolve::destination},
};

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    imgb why myapp.tar /app\n  \
    imgb why --unreached myapp.tar\n  \
    imgb why --json myapp.tar /app | jq -r '.chains[0][].path'\n\n\
    Everything is found again inside the image alone, as `imgb pack` finds it; nothing is \
    executed. Exit code 1: nothing leads to the path.")]
pub(super) struct WhyArgs {
    #[command(flatten)]
    image: ImageArgs,

    /// A path in the image
    #[arg(value_name = "PATH", required_unless_present = "unreached", value_parser = image_path)]
    path: Option<ImagePath>,

    /// List the files that nothing leads to, the largest first
    #[arg(long, conflicts_with = "path")]
    unreached: bool,

    #[command(flatten)]
    reach: ReachArgs,

    /// How many chains are shown
    #[arg(long, value_name = "N", default_value_t = 20)]
    chains: usize,

    /// Print JSON on stdout
    #[arg(long)]
    json: bool,
}

impl WhyArgs {
    /// Whether stdout is for JSON.
    pub(super) fn prints_json(&self) -> bool {
        self.json
    }
}

/// What is shown of a path.
struct Answer<'a> {
    path: &'a ImagePath,
    /// Without links.
    real: ImagePath,
    size: u64,
    chains: Chains,
    needed: Vec<&'a Reason>,
    /// What would go with it, and its bytes.
    goes: Vec<ImagePath>,
    goes_size: u64,
}

/// Prints why the path is there; the exit code.
pub(super) fn why(args: &WhyArgs) -> Result<u8, Failure> {
    let unpacked = args.image.open_with_progress(false)?;
    let tree = unpacked.merged();
    let options = args.reach.options()?;
    let config = &unpacked.image.config;
    let resolved = resolve(&tree, config, &options).map_err(pipeline::Error::from)?;
    if resolved.starts.is_empty() && args.reach.from.is_empty() {
        let failure = Failure::new(ErrorKind::Build, "the image starts no program that it has");
        return Err(failure.with_hint("--from PATH names what it is for"));
    }
    let reached = resolved.reached();
    let Some(path) = &args.path else {
        return list_unreached(args, &tree, &reached).map(|()| 0);
    };
    let real = destination(path, |path| tree.get(path)).map(|found| found.path);
    let real = real.ok().filter(|real| exists(&tree, real) && !tree.contains(path));
    let real = real.unwrap_or_else(|| path.clone());
    if !exists(&tree, &real) {
        return Err(Failure::new(ErrorKind::Input, format!("the image has no `{path}`")));
    }
    let graph = Graph::new(&reached, &resolved.decision.reasons);
    let goes: Vec<ImagePath> = match graph.reaches(&real) {
        true => graph.only_through(&real).into_iter().collect(),
        false => Vec::new(),
    };
    let len = |path: &ImagePath| tree.get(path).and_then(|node| node.file()).map_or(0, |f| f.len);
    let answer = Answer {
        path,
        size: len(&real),
        chains: graph.chains(&real, args.chains),
        needed: graph.causes(&real).iter().collect(),
        goes_size: goes.iter().map(len).sum(),
        goes,
        real,
    };
    let code = u8::from(answer.needed.is_empty());
    match args.json {
        true => print_json(as_json(&answer, &resolved, &unpacked.image.name))?,
        false => print_data(&as_text(&answer, &resolved))?,
    }
    Ok(code)
}

/// Whether `tree` has `path`, or something below it.
fn exists(tree: &Tree, path: &ImagePath) -> bool {
    tree.contains(path) || tree.below(path).next().is_some()
}

fn list_unreached(args: &WhyArgs, tree: &Tree, reached: &Tree) -> Result<(), Failure> {
    let found = unreached(tree, reached);
    let total: u64 = found.iter().map(|(_, len)| len).sum();
    if args.json {
        let files: Vec<Value> = found
            .iter()
            .map(|(path, len)| json!({"path": path.to_string(), "size": len}))
            .collect();
        return print_json(json!({"unreached": files, "size": total}));
    }
    let mut text = String::new();
    for (path, len) in &found {
        let _ = writeln!(text, "{:>9}  {path}", size::format(*len));
    }
    let count = quantity::count(found.len(), "path");
    let _ = writeln!(text, "{count} that nothing leads to, {}", size::format(total));
    print_data(&text)
}

fn as_text(answer: &Answer<'_>, resolved: &Resolved) -> String {
    let mut text = answer.path.to_string();
    if answer.real != *answer.path {
        let _ = write!(text, " → {}", answer.real);
    }
    let _ = writeln!(text, "  {}", size::format(answer.size));
    if answer.needed.is_empty() {
        text.push_str("nothing that the image starts leads to it\n");
        return text;
    }
    let chains = &answer.chains;
    let more = if chains.are_more { " or more (--chains N shows more)" } else { "" };
    let _ = writeln!(text, "{}{more}:", quantity::count(chains.all.len(), "chain"));
    for (number, chain) in (1..).zip(&chains.all) {
        for (at, (path, why)) in chain.iter().enumerate() {
            let mark = if at == 0 { format!("{number:>3}. ") } else { "     ".into() };
            let why = printable(&resolved.text(why));
            let _ = writeln!(text, "{mark}{path}  {why}");
        }
    }
    if answer.needed.len() > 1 {
        let _ = writeln!(text, "all that leads to it directly:");
        for why in &answer.needed {
            let _ = writeln!(text, "     {}", printable(&resolved.text(why)));
        }
    }
    let (count, size) =
        (quantity::count(answer.goes.len(), "path"), size::format(answer.goes_size));
    let _ = writeln!(text, "without it, {count} would go: {size}");
    for path in answer.goes.iter().filter(|path| **path != answer.real).take(10) {
        let _ = writeln!(text, "     {path}");
    }
    if answer.goes.len() > 11 {
        let _ = writeln!(text, "     and {} more: --json lists all", answer.goes.len() - 11);
    }
    text
}

fn as_json(answer: &Answer<'_>, resolved: &Resolved, image: &str) -> Value {
    let why = |one: &Reason| {
        let mut value = one.json(&resolved.decision.inputs);
        value["text"] = resolved.text(one).into();
        value
    };
    let step = |(path, one): &Link| json!({"path": path.to_string(), "reason": why(one)});
    let chain = |chain: &Vec<Link>| chain.iter().map(step).collect::<Vec<_>>();
    json!({
        "image": image,
        "path": answer.path.to_string(),
        "real": answer.real.to_string(),
        "size": answer.size,
        "reached": !answer.needed.is_empty(),
        "chains": answer.chains.all.iter().map(chain).collect::<Vec<_>>(),
        "more_chains": answer.chains.are_more,
        "reasons": answer.needed.iter().map(|one| why(one)).collect::<Vec<_>>(),
        "goes": {
            "paths": answer.goes.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "size": answer.goes_size,
        },
    })
}
