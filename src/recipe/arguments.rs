//! What the command line says about a Buildfile.

use std::collections::{BTreeMap, BTreeSet};

use super::fault::{Notice, NoticeKind};
use super::{Instruction, Recipe};

/// Build arguments that need no ARG: they are for RUN.
const PROXIES: [&str; 5] = ["http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy"];

/// The command line's part in an evaluation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arguments {
    /// `--build-arg`, by name.
    pub build_args: BTreeMap<String, String>,
    /// `--target`: a stage by name or number; the last one if `None`.
    pub target: Option<String>,
    /// Names of `--build-context`, in lower case. A stage of such a name is replaced by what the
    /// name stands for.
    pub contexts: BTreeSet<String>,
    /// Values of `TARGETPLATFORM`, `TARGETARCH` and so on, which ARG may declare.
    pub platform_args: BTreeMap<String, String>,
}

impl Arguments {
    /// Notices about the build arguments that no ARG of `recipe` declares.
    pub(super) fn unused(&self, recipe: &Recipe) -> Vec<Notice> {
        let steps = recipe.stages.iter().flat_map(|stage| &stage.steps);
        let in_stages = steps.flat_map(|step| match &step.kind {
            Instruction::Arg(arguments) => arguments.as_slice(),
            _ => &[],
        });
        let all = recipe.global_args.iter().chain(in_stages);
        let declared: BTreeSet<&str> = all.map(|argument| argument.name.text.as_str()).collect();
        let unused = self.build_args.keys().filter(|name| {
            !declared.contains(name.as_str())
                && !PROXIES.contains(&name.to_ascii_lowercase().as_str())
        });
        let notice = |name: &String| Notice {
            span: None,
            kind: NoticeKind::UnusedArgument { name: name.clone() },
        };
        unused.map(notice).collect()
    }
}
