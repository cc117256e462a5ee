//! The failure of a command whose image cannot start.

use super::{
    advice::Language,
    failure::Failure,
    options::messages::Verbosity,
    warnings::{self, Message},
};
use crate::{
    check::{Finding, Report},
    error_kind::ErrorKind,
    image::{DEFAULT_PATH, Platform},
    languages::Languages,
    path::ImagePath,
    plan::{Plan, Reason},
    quantity,
    tree::Kind,
};

/// Refuses to write the image of `plan` if it cannot start, and says what would help.
pub(super) fn refuse(report: &Report, plan: &Plan, language: Language) -> Result<(), Failure> {
    if report.faults.is_empty() {
        return Ok(());
    }
    let fix = report.faults.iter().find_map(|fault| fix(fault, plan, language));
    let hint = match fix {
        Some(fix) => format!("{fix}; `--no-check` writes the image as it is"),
        None => "use `--no-check` to write it anyway".into(),
    };
    Err(cannot_start(report).with_hint(hint))
}

/// Prints what keeps the health check from running. The image starts without it.
pub(super) fn warn_of_health(
    report: &Report,
    plan: &Plan,
    language: Language,
    verbosity: &Verbosity,
) {
    let about_health = |finding: &&Finding| matches!(finding, Finding::Health(_));
    let health = report.warnings.iter().filter(about_health);
    if !verbosity.quiet {
        let message = |finding: &Finding| Message {
            hint: fix(finding, plan, language),
            ..Message::warning("", finding)
        };
        warnings::print(health.map(message), verbosity.verbose);
    }
}

/// What to do about a fault.
pub(super) fn fix(fault: &Finding, plan: &Plan, language: Language) -> Option<String> {
    match fault {
        Finding::Library { program: file, .. }
        | Finding::Loader { program: file, .. }
        | Finding::Interpreter { script: file, .. }
            if copied(file, plan).is_some() =>
        {
            let pack = pack_instead(copied(file, plan)?, file);
            Some(format!("COPY brings only the file: use {pack}, which brings what it needs"))
        }
        Finding::Interpreter { name, .. } => {
            let name = String::from_utf8_lossy(name);
            Some(add(name.rsplit('/').next().unwrap_or_default(), language))
        }
        Finding::Machine { machine, .. } => {
            let (architecture, variant) = machine.oci()?;
            let platform = Platform::linux(architecture, variant);
            Some(format!("use `--platform {platform}`, for which the program is made"))
        }
        Finding::Command { name, .. } if Languages::builtin().shell.login.contains(name) => {
            Some(match language {
                Language::Options => format!("add `{name}:{name}` as an input"),
                Language::Buildfile => format!("add `PACK {name}`"),
            })
        }
        Finding::Health(fault) => fix(fault, plan, language),
        Finding::Command { name, .. } if !name.contains('/') => Some(
            outside_path(name, plan)
                .map_or_else(|| add(name, language), |path| name_by_path(&path, language)),
        ),
        Finding::Part { program, .. } => Some(format!(
            "{program} finds its files only at the path where it is installed: pack it without a \
             destination"
        )),
        Finding::User(name) => Some(format!(
            "name the user by a number, such as 1000, or pack an /etc/passwd that has `{name}`"
        )),
        Finding::Group(name) => Some(format!(
            "name the group by a number, such as 1000, or pack an /etc/group that has `{name}`"
        )),
        _ => None,
    }
}

/// How the program `name` comes into the image.
fn add(name: &str, language: Language) -> String {
    match language {
        Language::Options => format!("add `{name}` as an input"),
        Language::Buildfile => format!("add `PACK {name}`"),
    }
}

/// A program with this name in the image, which is in no directory of its PATH.
fn outside_path(name: &str, plan: &Plan) -> Option<ImagePath> {
    let nodes = plan.layers.iter().flat_map(|layer| layer.tree.iter());
    let mut programs = nodes.filter(|(path, node)| {
        let is_program = node.is_executable() || matches!(node.kind, Kind::Symlink(_));
        is_program && path.file_name() == name.as_bytes()
    });
    programs.next().map(|(path, _)| path.clone())
}

fn name_by_path(path: &ImagePath, language: Language) -> String {
    let dir = path.parent().unwrap_or_else(ImagePath::root);
    let add = match language {
        Language::Options => format!("--env PATH={dir}:{DEFAULT_PATH}"),
        Language::Buildfile => format!("ENV PATH={dir}:{DEFAULT_PATH}"),
    };
    format!("{path} is in the image, outside its PATH: name it by this path, or add `{add}`")
}

/// The COPY instruction that brings a file.
fn copied<'a>(file: &ImagePath, plan: &'a Plan) -> Option<&'a str> {
    match plan.reasons.get(file) {
        Some(Reason::Instruction(instruction)) => {
            let text = instruction.text.trim_start();
            let word = text.split_whitespace().next()?;
            (word.eq_ignore_ascii_case("COPY") || word.eq_ignore_ascii_case("ADD")).then_some(text)
        }
        _ => None,
    }
}

/// The PACK instruction that brings `file`, one program, as `copy` does, or its name.
fn pack_instead(copy: &str, file: &ImagePath) -> String {
    let [_, source, dest] = copy.split_whitespace().collect::<Vec<_>>()[..] else {
        return "PACK".into();
    };
    let is_plain = dest.starts_with('/') && !source.starts_with("--") && !source.starts_with('[');
    let name = ImagePath::new([b"/", source.as_bytes()].concat());
    let (Ok(dest_path), Ok(name), true) = (ImagePath::new(dest), name, is_plain) else {
        return "PACK".into();
    };
    let below = match dest_path.is_root() {
        true => file.as_bytes(),
        false => file.as_bytes().strip_prefix(dest_path.as_bytes()).unwrap_or_default(),
    };
    // The source is a file, or else a directory whose content goes to the destination.
    if below.is_empty() || below.strip_prefix(b"/") == Some(name.file_name()) {
        return format!("`PACK {source} {dest}`");
    }
    let source = source.trim_end_matches('/');
    format!("`PACK {source}{} {file}`", String::from_utf8_lossy(below))
}

/// The faults of an image, and where each missing file was searched.
pub(super) fn cannot_start(report: &Report) -> Failure {
    let message = match &report.faults[..] {
        [one] => format!("the image cannot start: {one}"),
        all => format!("the image cannot start: {}", quantity::count(all.len(), "fault")),
    };
    let mut details = Vec::new();
    for fault in &report.faults {
        if report.faults.len() > 1 {
            details.push(fault.to_string());
        }
        if !fault.searched().is_empty() {
            details.push(format!("searched: {}", fault.searched().join(", ")));
        }
    }
    Failure::new(ErrorKind::Build, message).with_details(details)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pack_brings_the_file_that_copy_brought() {
        for (copy, file, wanted) in [
            ("COPY app /bin/app", "/bin/app", "`PACK app /bin/app`"),
            ("COPY app /bin/", "/bin/app", "`PACK app /bin/`"),
            ("COPY ./out/app /", "/app", "`PACK ./out/app /`"),
            ("COPY venv /venv", "/venv/bin/tool", "`PACK venv/bin/tool /venv/bin/tool`"),
            ("COPY out/ /opt/", "/opt/bin/tool", "`PACK out/bin/tool /opt/bin/tool`"),
            ("COPY --from=base /a /b", "/b", "PACK"),
            ("COPY app bin/app", "/srv/bin/app", "PACK"),
        ] {
            let file = ImagePath::new(file).unwrap();
            assert_eq!(pack_instead(copy, &file), wanted, "{copy}");
        }
    }
}
