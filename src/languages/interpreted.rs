//! Files that are not programs, and the command that starts them.

use serde::Deserialize;

use super::Languages;
use crate::path::ImagePath;

/// A kind of file that an interpreter starts. In [`Interpreted::arguments`] and
/// [`Interpreted::variables`], `{file}` is the file's path in the image and `{stem}` its name up to
/// the first `-` or `.`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Interpreted {
    /// The interpreter's command.
    pub program: String,
    /// Endings of file names.
    pub endings: Vec<String>,
    /// What tells the kind of a file with another name.
    pub magic: Option<Magic>,
    /// Names of the files that start a project, the usual ones first.
    #[serde(default)]
    pub main: Vec<String>,
    /// What the interpreter gets.
    pub arguments: Vec<String>,
    /// Variables that it needs, `NAME=VALUE`.
    #[serde(default)]
    pub variables: Vec<String>,
}

/// Bytes near the start of a file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Magic {
    /// Where they stand, in bytes.
    pub offset: usize,
    /// The bytes.
    pub text: String,
}

impl Languages {
    /// What starts the file at `path` that begins with `head`: by its name, or else by its content.
    pub fn interpreted(&self, path: &ImagePath, head: &[u8]) -> Option<&Interpreted> {
        let by_name = self.interpreted.iter().find(|kind| kind.has_ending(path));
        by_name.or_else(|| {
            self.interpreted.iter().find(|kind| {
                let magic = kind.magic.as_ref();
                magic.is_some_and(|magic| {
                    head.get(magic.offset..).is_some_and(|at| at.starts_with(magic.text.as_bytes()))
                })
            })
        })
    }
}

impl Interpreted {
    /// Whether a file has one of the endings.
    pub fn has_ending(&self, path: &ImagePath) -> bool {
        self.endings.iter().any(|ending| path.file_name().ends_with(ending.as_bytes()))
    }

    /// The arguments that start the file at `path`.
    pub fn arguments(&self, path: &ImagePath) -> Vec<String> {
        self.arguments.iter().map(|argument| expand(argument, path)).collect()
    }

    /// The variables that the file at `path` needs.
    pub fn variables(&self, path: &ImagePath) -> Vec<String> {
        self.variables.iter().map(|variable| expand(variable, path)).collect()
    }
}

fn expand(text: &str, path: &ImagePath) -> String {
    let name = String::from_utf8_lossy(path.file_name()).into_owned();
    let stem = name.split(['-', '.']).next().unwrap_or_default();
    text.replace("{file}", &String::from_utf8_lossy(path.as_bytes())).replace("{stem}", stem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, head: &[u8], wanted: Option<&str>) {
        let path = ImagePath::new(path).unwrap();
        let kind = Languages::builtin().interpreted(&path, head);
        let command = kind.map(|kind| {
            let words = [kind.variables(&path), vec![kind.program.clone()], kind.arguments(&path)];
            words.concat().join(" ")
        });
        assert_eq!(command.as_deref(), wanted, "{path}");
    }

    #[test]
    fn what_starts_a_file() {
        check("/app.jar", b"", Some("java -jar /app.jar"));
        check("/srv/server.mjs", b"", Some("node /srv/server.mjs"));
        check(
            "/my_app-1.0-py3-none-any.whl",
            b"PK",
            Some(
                "PYTHONPATH=/my_app-1.0-py3-none-any.whl \
            python3 -m my_app",
            ),
        );
        let jar = [&b"PK\x03\x04"[..], &[0; 26], b"META-INF/MANIFEST.MF"].concat();
        check("/app", &jar, Some("java -jar /app"));
        check("/app", b"text", None);
        check("/jar", b"", None);
    }
}
