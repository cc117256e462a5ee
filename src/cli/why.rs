//! `imgb why`.

use std::{collections::BTreeSet, fmt::Write as _};

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
    terminal::{print_data, print_json, print_message},
};
use crate::{
    digest::Digest,
    error_kind::ErrorKind,
    explain::{
        reach::{Attached, NO_PROGRAM, Reach},
        recorded::Recorded,
        script_line::{ScriptLine, Scripts},
        why::{Edge, Graph, Link, freed},
    },
    oci::UnpackedImage,
    path::ImagePath,
    pipeline,
    plan::Reason,
    quantity, suggest,
    tree::{Tree, resolve::destination},
};

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    imgb why myapp.tar /app\n  \
    imgb why --unreached myapp.tar\n  \
    imgb why --json myapp.tar /app | jq -r '.chains[0][].path'\n\n\
    The reasons are those that the build attached (`imgb pack --attach reasons`), or else they are \
    found again inside the image alone, as `imgb pack` finds them; nothing is executed. Exit code \
    1: nothing leads to the path.")]
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
    /// Paths and the reasons that lead to them.
    chains: Vec<Vec<Step>>,
    are_more: bool,
    needed: Vec<Shown>,
    /// What would go with it and with what is in it, and its bytes.
    goes: BTreeSet<ImagePath>,
    goes_size: u64,
    /// The artifact that has the reasons; `None` if they were found again.
    recorded: Option<Digest>,
}

/// A path of a chain, the reason that leads to it, and the line of a script that the reason is in.
type Step = (ImagePath, Shown, Option<ScriptLine>);

/// A reason, as text and as JSON.
#[derive(Clone)]
struct Shown {
    text: String,
    reason: Value,
}

/// Prints why the path is there; the exit code.
pub(super) fn why(args: &WhyArgs) -> Result<u8, Failure> {
    let unpacked = args.image.open_with_progress(false)?;
    let tree = unpacked.merged();
    let attached = args.reach.attached(&unpacked)?;
    let Some(path) = &args.path else {
        let reach = reach(args, attached, &unpacked, &tree)?;
        return list_unreached(args, &tree, &reach).map(|()| 0);
    };
    let real = destination(path, |path| tree.get(path)).map(|found| found.path);
    let real = real.ok().filter(|real| exists(&tree, real) && !tree.contains(path));
    let real = real.unwrap_or_else(|| path.clone());
    if !exists(&tree, &real) {
        let failure = Failure::new(ErrorKind::Input, format!("the image has no `{path}`"));
        return Err(match meant(&tree, path) {
            Some(meant) => failure.with_hint(format!("did you mean `{meant}`?")),
            None => failure,
        });
    }
    let attached = attached.filter(|(_, graph)| graph.reaches(&real));
    let answer = match reach(args, attached, &unpacked, &tree)? {
        Reach::Attached(digest, graph) => {
            let shown =
                |one: &Recorded| Shown { text: one.text.clone(), reason: one.reason.clone() };
            let answer = answer((path, real), &tree, &graph, &shown, args.chains)?;
            Answer { recorded: Some(digest), ..answer }
        }
        Reach::Found(resolved, graph) => {
            let shown = |one: &Reason| Shown {
                text: resolved.text(one),
                reason: one.json(&resolved.decision.inputs),
            };
            answer((path, real), &tree, &graph, &shown, args.chains)?
        }
    };
    let code = u8::from(answer.needed.is_empty());
    match args.json {
        true => print_json(as_json(&answer, &unpacked.image.name))?,
        false => print_data(&as_text(&answer, args.chains))?,
    }
    Ok(code)
}

/// What leads to the paths of the image: the reasons that are attached, or those found again.
fn reach(
    args: &WhyArgs,
    attached: Option<Attached>,
    unpacked: &UnpackedImage,
    tree: &Tree,
) -> Result<Reach, Failure> {
    let options = args.reach.options()?;
    let found = Reach::of(attached, tree, &unpacked.image.config, &options);
    found.map_err(pipeline::Error::from)?.ok_or_else(|| {
        let (message, hint) = NO_PROGRAM;
        Failure::new(ErrorKind::Build, message).with_hint(hint)
    })
}

fn answer<'a, R: Edge>(
    (path, real): (&'a ImagePath, ImagePath),
    tree: &Tree,
    graph: &Graph<R>,
    shown: &dyn Fn(&R) -> Shown,
    limit: usize,
) -> Result<Answer<'a>, Failure> {
    let mut goes = BTreeSet::new();
    if graph.reaches(&real) {
        goes = graph.only_through(&real);
        goes.extend(tree.below(&real).map(|(path, _)| path.clone()));
    }
    let chains = graph.chains(&real, limit);
    let mut scripts = Scripts::of(tree);
    let mut step = |(path, one): &Link<R>| {
        let line = scripts.line(path, one).map_err(pipeline::Error::from)?;
        Ok::<Step, Failure>((path.clone(), shown(one), line))
    };
    let all = chains.all.iter().map(|chain| chain.iter().map(&mut step).collect());
    let all: Vec<Vec<Step>> = all.collect::<Result<_, _>>()?;
    Ok(Answer {
        path,
        size: tree.get(&real).and_then(|node| node.file()).map_or(0, |file| file.len),
        chains: all,
        are_more: chains.are_more,
        needed: graph.causes(&real).iter().map(shown).collect(),
        goes_size: freed(tree, &goes),
        goes,
        real,
        recorded: None,
    })
}

/// Whether `tree` has `path`, or something below it.
fn exists(tree: &Tree, path: &ImagePath) -> bool {
    tree.contains(path) || tree.below(path).next().is_some()
}

/// The path of `tree` that is probably meant: one with the same name elsewhere, or with a similar
/// name in the same directory.
fn meant(tree: &Tree, path: &ImagePath) -> Option<ImagePath> {
    let mut paths = tree.iter().map(|(path, _)| path);
    if let Some(same) = paths.find(|other| other.file_name() == path.file_name()) {
        return Some(same.clone());
    }
    let dir = path.parent()?;
    let names: BTreeSet<String> = tree
        .below(&dir)
        .filter(|(other, _)| other.parent_bytes() == path.parent_bytes())
        .map(|(other, _)| String::from_utf8_lossy(other.file_name()).into_owned())
        .collect();
    let name = String::from_utf8_lossy(path.file_name());
    dir.child(suggest::closest(&name, names.iter().map(String::as_str))?.as_bytes()).ok()
}

fn list_unreached(args: &WhyArgs, tree: &Tree, reach: &Reach) -> Result<(), Failure> {
    let found = reach.unreached(tree);
    let total: u64 = found.iter().map(|(_, len)| len).sum();
    if args.json {
        let files: Vec<Value> = found
            .iter()
            .map(|(path, len)| json!({"path": path.to_string(), "size": len}))
            .collect();
        let recorded = reach.recorded().map(|digest| digest.to_string());
        return print_json(json!({"recorded": recorded, "unreached": files, "size": total}));
    }
    let mut text = String::new();
    for (path, len) in &found {
        let _ = writeln!(text, "{:>9}  {path}", size::format(*len));
    }
    let count = quantity::count(found.len(), "path");
    let _ = writeln!(text, "{count} that nothing leads to, {}", size::format(total));
    if let Some(digest) = reach.recorded() {
        let source = format!("by the reasons that are attached ({digest})");
        print_message(&format!("note: {source}; --resolve finds them again"));
    }
    print_data(&text)
}

/// What is said of further chains, where `limit` of them were asked for.
fn more(answer: &Answer<'_>, limit: usize) -> &'static str {
    match answer.are_more {
        false => "",
        true if answer.chains.len() >= limit => " or more (--chains N shows more)",
        true => " or more, which take too many steps to show",
    }
}

/// A line of a script, as it may be printed.
fn one_line(text: &str) -> String {
    printable(&text.replace('\t', " "))
}

fn as_text(answer: &Answer<'_>, limit: usize) -> String {
    let mut text = answer.path.to_string();
    if answer.real != *answer.path {
        let _ = write!(text, " → {}", answer.real);
    }
    let _ = writeln!(text, "  {}", size::format(answer.size));
    if answer.needed.is_empty() {
        text.push_str("nothing that the image starts leads to it\n");
        return text;
    }
    let more = more(answer, limit);
    let source = match answer.recorded {
        Some(digest) => format!("by the reasons that are attached ({digest})"),
        None => "found again in the image".into(),
    };
    let _ = writeln!(text, "{}{more}, {source}:", quantity::count(answer.chains.len(), "chain"));
    for (number, chain) in (1..).zip(&answer.chains) {
        for (at, (path, why, line)) in chain.iter().enumerate() {
            let mark = if at == 0 { format!("{number:>3}. ") } else { "     ".into() };
            let _ = write!(text, "{mark}{path}  {}", printable(&why.text));
            let _ = match line {
                Some(line) => writeln!(text, " (line {}: {})", line.number, one_line(&line.text)),
                None => writeln!(text),
            };
        }
    }
    if answer.needed.len() > 1 {
        let _ = writeln!(text, "all that leads to it directly:");
        for why in &answer.needed {
            let _ = writeln!(text, "     {}", printable(&why.text));
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

fn as_json(answer: &Answer<'_>, image: &str) -> Value {
    let why = |one: &Shown| {
        let mut value = one.reason.clone();
        if let Value::Object(fields) = &mut value {
            fields.insert("text".into(), one.text.clone().into());
        }
        value
    };
    let script = |line: &ScriptLine| json!({"line": line.number, "text": line.text});
    let step = |(path, one, line): &Step| {
        let script = line.as_ref().map(script);
        json!({"path": path.to_string(), "reason": why(one), "script": script})
    };
    let chain = |chain: &Vec<_>| chain.iter().map(step).collect::<Vec<_>>();
    json!({
        "image": image,
        "path": answer.path.to_string(),
        "real": answer.real.to_string(),
        "size": answer.size,
        "recorded": answer.recorded.map(|digest| digest.to_string()),
        "reached": !answer.needed.is_empty(),
        "chains": answer.chains.iter().map(chain).collect::<Vec<_>>(),
        "more_chains": answer.are_more,
        "reasons": answer.needed.iter().map(why).collect::<Vec<_>>(),
        "goes": {
            "paths": answer.goes.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "size": answer.goes_size,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_chains_are_offered_only_where_the_limit_hides_them() {
        let path = ImagePath::root();
        let answer = |chains, are_more| Answer {
            path: &path,
            real: path.clone(),
            size: 0,
            chains: vec![Vec::new(); chains],
            are_more,
            needed: Vec::new(),
            goes: BTreeSet::new(),
            goes_size: 0,
            recorded: None,
        };
        assert_eq!(more(&answer(2, false), 2), "");
        assert_eq!(more(&answer(2, true), 2), " or more (--chains N shows more)");
        assert_eq!(more(&answer(0, true), 2), " or more, which take too many steps to show");
    }

    #[test]
    fn lines_of_scripts_are_printed_as_they_are() {
        assert_eq!(one_line("grep\t'a\\.b' \u{1b}"), "grep 'a\\.b' \\x1b");
    }
}
