//! Scripts → their interpreters, which join the image.

use super::{Missing, Note, PlanError, PlanOptions, Reason, Remedy, builder::ImageBuilder, venv};
use crate::{
    elf::{
        self, Absence, Found, Lookup as _, ReadFailure, Sniffed,
        script::{self, Shebang},
    },
    image::DEFAULT_PATH,
    path::{ImagePath, escape},
};

/// Interpreters that may be scripts themselves, one above the other (`BINPRM` recursion in
/// `exec_binprm`).
const MAX_DEPTH: usize = 5;

/// What came of the scripts.
#[derive(Debug, Default)]
pub(super) struct Interpreters {
    /// ELF programs whose libraries are wanted, as they are named.
    pub(super) programs: Vec<ImagePath>,
    /// Interpreters of scripts that the user named.
    pub(super) missing: Vec<Missing>,
    /// Interpreters of scripts that a directory or tarball brought along.
    pub(super) notes: Vec<Note>,
}

/// Where programs are found when the image runs: the directories of its PATH, those in which
/// `command_dirs` look commands up in that order.
pub(super) fn path_dirs(options: &PlanOptions, command_dirs: &[ImagePath]) -> Vec<ImagePath> {
    let path = options.settings.variable("PATH");
    let path =
        path.as_deref().unwrap_or(DEFAULT_PATH).split(':').filter(|dir| dir.starts_with('/'));
    let path: Vec<ImagePath> = path.filter_map(|dir| ImagePath::new(dir).ok()).collect();
    let mut dirs = Vec::new();
    for dir in command_dirs.iter().filter(|dir| path.contains(dir)).chain(&path) {
        if !dirs.contains(dir) {
            dirs.push(dir.clone());
        }
    }
    dirs
}

/// Takes the interpreter of each script, and what `env` looks for in `dirs`, the image's PATH; what
/// only `command_dirs` have cannot be found in the image. `is_named` tells whether the user named a
/// script itself.
pub(super) fn take(
    scripts: &[(ImagePath, Shebang)],
    (dirs, command_dirs): (&[ImagePath], &[ImagePath]),
    builder: &mut ImageBuilder<'_>,
    is_named: &dyn Fn(&ImagePath) -> bool,
    options: &PlanOptions,
) -> Result<Interpreters, PlanError> {
    let mut out = Interpreters::default();
    for (script, line) in scripts {
        let mut asked = vec![(script.clone(), line.clone())];
        for _ in 0..MAX_DEPTH {
            let Some((by, line)) = asked.pop() else { break };
            let mut wanted = vec![(&line.interpreter, by_kernel(&line.interpreter, builder)?)];
            if let Some(name) = &line.command {
                wanted.push((name, find(name, dirs, builder)?));
            }
            for (name, result) in wanted {
                let environment = match &result {
                    Ok((path, _)) => venv::unpacked(path, builder)?,
                    Err(_) => None,
                };
                match (result, environment) {
                    (Ok(_), Some(dir)) => out.in_environment(script, dir, is_named(script))?,
                    (Ok((path, found)), None) => {
                        builder.take(&found, Reason::Interpreter(by.clone()))?;
                        match shebang_of(&found, builder)? {
                            Some(next) => asked.push((found.path, next)),
                            None => out.programs.push(path),
                        }
                    }
                    (Err(_), _) if options.allows_missing(name) => {}
                    (Err(searched), _) => {
                        let remedy = match searched.denied {
                            Some(path) => Some(Remedy::Denied(path.to_string())),
                            None => outside_path(name, command_dirs, builder)?,
                        };
                        let (name, by, searched) = (escape(name), by.clone(), searched.places);
                        out.not_found(Missing { name, by, searched, remedy }, is_named(script));
                    }
                }
            }
        }
    }
    Ok(out)
}

impl Interpreters {
    fn not_found(&mut self, missing: Missing, named: bool) {
        if named {
            self.missing.push(missing);
            return;
        }
        let Missing { name, by, remedy, .. } = &missing;
        let text = format!("no interpreter `{name}` for the script {by}");
        let text = match remedy {
            Some(Remedy::OutsidePath(dir)) => {
                format!("{text}: it is installed in {dir}, which is not in the image's PATH")
            }
            _ => text,
        };
        let note = Note::warning(text).about(by);
        self.notes.push(match name.ends_with("\\x0d") {
            true => note.with_hint("the script has Windows line ends (CR LF)"),
            false => note,
        });
    }

    /// A script whose interpreter is in the virtual environment `environment`, of which the image
    /// has nothing else.
    fn in_environment(
        &mut self,
        script: &ImagePath,
        environment: ImagePath,
        named: bool,
    ) -> Result<(), PlanError> {
        if named {
            return Err(PlanError::Environment { script: script.clone(), environment });
        }
        let text = format!(
            "{script} runs in the virtual environment {environment}, which is not in the image"
        );
        self.notes.push(Note::warning(text).about(script));
        Ok(())
    }
}

/// Where the kernel finds an interpreter. A relative path it takes from the working directory,
/// which an image does not fix.
fn by_kernel(name: &[u8], builder: &ImageBuilder<'_>) -> Result<Located, ReadFailure> {
    if name.starts_with(b"/") {
        find(name, &[], builder)
    } else {
        let places = vec!["the working directory, since the path is relative".into()];
        Ok(Err(Searched { places, denied: None }))
    }
}

/// The directory of `command_dirs` that has the command `name`.
fn outside_path(
    name: &[u8],
    command_dirs: &[ImagePath],
    builder: &ImageBuilder<'_>,
) -> Result<Option<Remedy>, ReadFailure> {
    if name.contains(&b'/') {
        return Ok(None);
    }
    let found = find(name, command_dirs, builder)?.ok();
    Ok(found.and_then(|(path, _)| path.parent()).map(Remedy::OutsidePath))
}

/// The path by which a program is started and the file there, or where it was looked for.
pub(super) type Located = Result<(ImagePath, Found), Searched>;

/// Places where a program is not.
#[derive(Debug, Default)]
pub(super) struct Searched {
    /// Each place, in order.
    places: Vec<String>,
    /// The first one that this user may not look at.
    denied: Option<ImagePath>,
}

/// Where an interpreter is, by its path or, for `env`'s command, in the first of `dirs` that has
/// it.
pub(super) fn find(
    name: &[u8],
    dirs: &[ImagePath],
    builder: &ImageBuilder<'_>,
) -> Result<Located, ReadFailure> {
    let candidates: Vec<ImagePath> = if name.contains(&b'/') {
        ImagePath::new(name).into_iter().collect()
    } else {
        dirs.iter().filter_map(|dir| dir.join(name).ok()).collect()
    };
    let mut searched = Searched::default();
    for path in candidates {
        match builder.view.find(path.as_bytes())? {
            Ok(found) if found.is_file() => return Ok(Ok((path, found))),
            Err(absence @ Absence::Denied) => {
                searched.places.push(format!("{path} ({absence})"));
                searched.denied.get_or_insert(path);
            }
            _ => searched.places.push(path.to_string()),
        }
    }
    Ok(Err(searched))
}

fn shebang_of(found: &Found, builder: &ImageBuilder<'_>) -> Result<Option<Shebang>, ReadFailure> {
    let Ok(front) = builder.view.read(found, script::FIRST_LINE)? else { return Ok(None) };
    Ok((elf::sniff(&front) == Sniffed::Script).then(|| script::shebang(&front)).flatten())
}
