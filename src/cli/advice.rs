//! The warning about an image that names no program to start, with the command or the instructions
//! that would name one.

use crate::{
    elf::ReadFailure,
    path::ImagePath,
    pipeline,
    plan::{self, Note, Plan, Start},
};

/// How the user says what an image starts.
#[derive(Clone, Copy, Debug)]
pub(super) enum Language {
    /// By options of the command that runs.
    Options,
    /// By instructions of a Buildfile.
    Buildfile,
}

/// Adds the warning to `plan` if its image names no program.
pub(super) fn advise(plan: &mut Plan, language: Language) -> Result<(), pipeline::Error> {
    let start = plan::start(plan).map_err(|failure: ReadFailure| pipeline::Error::from(failure))?;
    let Some(start) = start else { return Ok(()) };
    let text = format!("the image names no program to start{}", reason(&start));
    let note = Note::warning(text);
    plan.notes.push(match language {
        Language::Options => with_options(note, &start, std::env::args_os().skip(1)),
        Language::Buildfile => with_instructions(note, &start),
    });
    Ok(())
}

/// What the image has instead.
fn reason(start: &Start) -> String {
    match start {
        Start::Programs(programs) => {
            let names: Vec<_> = programs.iter().map(|path| format!("`{path}`")).collect();
            format!(": it has {}", names.join(", "))
        }
        Start::Interpreted { file, kind, .. } => {
            format!(": `{file}` is started by `{}`", kind.program)
        }
        Start::NotExecutable { file, .. } => format!(": no user may execute `{file}`"),
        Start::Empty(file) => format!(": `{file}` is empty"),
        Start::Nothing => String::new(),
    }
}

/// `note` with the user's own command line, `args` after the program's name, as it should be.
fn with_options(note: Note, start: &Start, args: impl Iterator<Item = std::ffi::OsString>) -> Note {
    let args: Vec<String> = args.map(|arg| arg.to_string_lossy().into_owned()).collect();
    let line = |before: &[String], after: &[String]| {
        let (command, rest) = args.split_at(args.len().min(1));
        // What follows `--` is not an option.
        let (first, last) = match rest.iter().any(|arg| arg == "--") {
            true => (after, &[][..]),
            false => (&[][..], after),
        };
        let words = command.iter().chain(first).chain(before).chain(rest).chain(last);
        format!("imgb {}", shell_words::join(words))
    };
    match start {
        Start::Programs(programs) => {
            let first = entrypoint_option(&programs.first().map(text).unwrap_or_default());
            note.with_hint(format!("choose one: {}", line(&[], &first)))
        }
        Start::Interpreted { file, kind, add, entrypoint } => {
            let mut options = Vec::new();
            for variable in kind.variables(file) {
                options.extend(["--env".into(), variable]);
            }
            if let Some(entrypoint) = entrypoint {
                options.extend(entrypoint_option(entrypoint));
            }
            options.extend(["--cmd".into(), shell_words::join(kind.arguments(file))]);
            let inputs: &[String] = match add {
                true => std::slice::from_ref(&kind.program),
                false => &[],
            };
            note.with_hint(line(inputs, &options))
        }
        Start::NotExecutable { input, .. } => {
            let input = shell_words::quote(input);
            note.with_hint(format!("chmod +x {input} && {}", line(&[], &[])))
        }
        Start::Empty(_) | Start::Nothing => {
            note.with_hint("name one with `--entrypoint`, unless the image is only data")
        }
    }
}

/// `note` with the instructions that a Buildfile lacks.
fn with_instructions(note: Note, start: &Start) -> Note {
    let entrypoint =
        |words: &[String]| format!("ENTRYPOINT {}", serde_json::Value::from(words.to_vec()));
    let hint = match start {
        Start::Programs(programs) => {
            let first = programs.first().map(text).unwrap_or_default();
            format!("choose one: {}", entrypoint(&[first]))
        }
        Start::Interpreted { file, kind, add, entrypoint: named } => {
            let pack = add.then(|| format!("PACK {}", kind.program));
            let variables = kind.variables(file);
            let variables = variables.iter().map(|variable| format!("ENV {variable}"));
            let program = named.clone().unwrap_or_else(|| kind.program.clone());
            let start = entrypoint(&[vec![program], kind.arguments(file)].concat());
            let lines: Vec<_> = pack.into_iter().chain(variables).chain([start]).collect();
            format!("add: {}", lines.join(", "))
        }
        Start::NotExecutable { file, .. } => {
            format!("add: COPY --chmod=755, {}", entrypoint(&[text(file)]))
        }
        Start::Empty(_) | Start::Nothing => {
            "add an ENTRYPOINT, unless the image is only data".into()
        }
    };
    note.with_hint(hint)
}

/// The option that makes one word the entrypoint. Its value is split as a shell would split it.
fn entrypoint_option(word: &str) -> [String; 2] {
    ["--entrypoint".into(), shell_words::quote(word).into_owned()]
}

/// A path as the configuration names it, which is not how messages show it.
fn text(path: &ImagePath) -> String {
    String::from_utf8_lossy(path.as_bytes()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> ImagePath {
        ImagePath::new(text).unwrap()
    }

    #[track_caller]
    fn check(start: &Start, args: &str, options: &str, instructions: &str) {
        let note = || Note::warning(String::new());
        let words = shell_words::split(args).unwrap().into_iter().map(Into::into);
        assert_eq!(with_options(note(), start, words).hint.as_deref(), Some(options));
        assert_eq!(with_instructions(note(), start).hint.as_deref(), Some(instructions));
    }

    #[test]
    fn the_users_own_command_as_it_should_be() {
        let programs = Start::Programs(vec![path("/usr/bin/curl"), path("/usr/bin/ls")]);
        check(
            &programs,
            "pack curl ls -o 'o 1.tar'",
            "choose one: imgb pack curl ls -o 'o 1.tar' --entrypoint /usr/bin/curl",
            "choose one: ENTRYPOINT [\"/usr/bin/curl\"]",
        );
        check(
            &programs,
            "pack -o o.tar -- curl ls",
            "choose one: imgb pack --entrypoint /usr/bin/curl -o o.tar -- curl ls",
            "choose one: ENTRYPOINT [\"/usr/bin/curl\"]",
        );
        let odd = Start::Programs(vec![path("/d/a\\b 'c\"")]);
        check(
            &odd,
            "pack ./d",
            r#"choose one: imgb pack ./d --entrypoint ''\''/d/a\b '\''\'\'''\''c"'\'''"#,
            r#"choose one: ENTRYPOINT ["/d/a\\b 'c\""]"#,
        );
        let script = Start::NotExecutable { file: path("/a b.sh"), input: "./a b.sh".into() };
        check(
            &script,
            "pack './a b.sh'",
            "chmod +x './a b.sh' && imgb pack './a b.sh'",
            "add: COPY --chmod=755, ENTRYPOINT [\"/a b.sh\"]",
        );
        check(
            &Start::Nothing,
            "pack x",
            "name one with `--entrypoint`, unless the image is only data",
            "add an ENTRYPOINT, unless the image is only data",
        );
    }

    #[test]
    fn an_interpreter_is_added_once() {
        let (file, languages) = (path("/app.jar"), crate::languages::Languages::builtin());
        let kind = languages.interpreted(&file, b"").unwrap();
        let start = Start::Interpreted { file: file.clone(), kind, add: true, entrypoint: None };
        check(
            &start,
            "pack ./app.jar -o o.tar",
            "imgb pack java ./app.jar -o o.tar --cmd '-jar /app.jar'",
            "add: PACK java, ENTRYPOINT [\"java\",\"-jar\",\"/app.jar\"]",
        );
        let entrypoint = Some("/usr/bin/java".into());
        let start = Start::Interpreted { file, kind, add: false, entrypoint };
        check(
            &start,
            "pack java ls ./app.jar",
            "imgb pack java ls ./app.jar --entrypoint /usr/bin/java --cmd '-jar /app.jar'",
            "add: ENTRYPOINT [\"/usr/bin/java\",\"-jar\",\"/app.jar\"]",
        );
    }
}
