//! Scripts → their interpreters, which join the image.

use super::{Missing, Note, PlanError, PlanOptions, Reason, builder::ImageBuilder};
use crate::{
    elf::{
        self, Absence, Found, FoundKind, Lookup as _, ReadFailure, Sniffed,
        script::{self, Shebang},
    },
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

/// Takes the interpreter of each script, and what `env` looks for in `dirs`. `is_named` tells
/// whether the user named a script itself.
pub(super) fn take(
    scripts: &[(ImagePath, Shebang)],
    dirs: &[ImagePath],
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
                match result {
                    Ok((path, found)) => {
                        builder.take(&found, Reason::Interpreter(by.clone()))?;
                        match shebang_of(&found, builder)? {
                            Some(next) => asked.push((found.path, next)),
                            None => out.programs.push(path),
                        }
                    }
                    Err(_) if options.allows_missing(name) => {}
                    Err(searched) => out.not_found(name, &by, searched, is_named(script)),
                }
            }
        }
    }
    Ok(out)
}

impl Interpreters {
    fn not_found(&mut self, name: &[u8], by: &ImagePath, searched: Vec<String>, named: bool) {
        let missing = Missing { name: escape(name), by: by.clone(), searched, misplaced: None };
        if named {
            self.missing.push(missing);
        } else {
            let text = format!("no interpreter `{}` for the script {by}", missing.name);
            let note = Note::warning(text).about(by);
            self.notes.push(match name.ends_with(b"\r") {
                true => note.with_hint("the script has Windows line ends (CR LF)"),
                false => note,
            });
        }
    }
}

/// Where the kernel finds an interpreter. A relative path it takes from the working directory,
/// which an image does not fix.
fn by_kernel(name: &[u8], builder: &ImageBuilder<'_>) -> Result<Located, ReadFailure> {
    if name.starts_with(b"/") {
        find(name, &[], builder)
    } else {
        Ok(Err(vec!["the working directory, since the path is relative".into()]))
    }
}

/// The path by which a program is started and the file there, or the places that were searched.
pub(super) type Located = Result<(ImagePath, Found), Vec<String>>;

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
    let is_file = |found: &Found| matches!(found.kind, FoundKind::File(_));
    let mut searched = Vec::new();
    for path in candidates {
        match builder.view.find(path.as_bytes())? {
            Ok(found) if is_file(&found) => return Ok(Ok((path, found))),
            Err(absence @ Absence::Denied) => searched.push(format!("{path} ({absence})")),
            _ => searched.push(path.to_string()),
        }
    }
    Ok(Err(searched))
}

fn shebang_of(found: &Found, builder: &ImageBuilder<'_>) -> Result<Option<Shebang>, ReadFailure> {
    let Ok(front) = builder.view.read(found, script::FIRST_LINE)? else { return Ok(None) };
    Ok((elf::sniff(&front) == Sniffed::Script).then(|| script::shebang(&front)).flatten())
}
