//! A temporary directory, and commands that run in it without the caller's environment.

use std::{
    ffi::{OsStr, OsString},
    fmt::Write as _,
    fs::File,
    io::Write as _,
    os::unix::fs::{PermissionsExt, chown, symlink},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;

/// Where commands are looked up: Debian's own before additional ones of the machine.
pub(crate) const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/bin";

/// Debian's user `nobody` and group `nogroup`, which own nothing.
pub(crate) const NOBODY: u32 = 65534;

/// No command of these tests takes this many seconds: the limit turns a hang into a failure.
const LIMIT: &str = "900";

/// A directory that drop removes. Every path passed to its methods is relative to it.
pub(crate) struct Sandbox {
    dir: TempDir,
}

impl Sandbox {
    /// An empty sandbox, which every user may enter.
    pub(crate) fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("imgb-it-").tempdir().unwrap();
        let sandbox = Self { dir };
        fs_err::create_dir(sandbox.root()).unwrap();
        for dir in [sandbox.dir.path().to_owned(), sandbox.root()] {
            fs_err::set_permissions(dir, PermissionsExt::from_mode(0o755)).unwrap();
        }
        // A link next to the work directory: `nobody` may be unable to enter the build directory.
        let binary = Path::new(env!("CARGO_BIN_EXE_imgb"));
        let link = sandbox.dir.path().join("imgb");
        if fs_err::hard_link(binary, &link).is_err() {
            fs_err::copy(binary, &link).unwrap();
        }
        sandbox
    }

    /// The host path of `path`.
    pub(crate) fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.root().join(path)
    }

    /// The directory in which commands run and files are created.
    pub(crate) fn root(&self) -> PathBuf {
        self.dir.path().join("work")
    }

    /// A directory with the built `imgb`, for `PATH`.
    pub(crate) fn programs(&self) -> &Path {
        self.dir.path()
    }

    /// Makes a file of mode 0644, whatever the umask, and its parents.
    pub(crate) fn file(&self, path: &str, content: impl AsRef<[u8]>) -> &Self {
        self.parents(path);
        fs_err::write(self.path(path), content).unwrap();
        self.mode(path, 0o644)
    }

    /// Makes a file of mode 0755, and its parents.
    pub(crate) fn program(&self, path: &str, content: impl AsRef<[u8]>) -> &Self {
        self.file(path, content).mode(path, 0o755)
    }

    /// Makes a directory of mode 0755, and its parents.
    pub(crate) fn dir(&self, path: &str) -> &Self {
        fs_err::create_dir_all(self.path(path)).unwrap();
        self.mode(path, 0o755)
    }

    /// Makes the symlink `path` with the text `target`, and its parents.
    pub(crate) fn symlink(&self, path: &str, target: &str) -> &Self {
        self.parents(path);
        symlink(target, self.path(path)).unwrap();
        self
    }

    /// Makes `path` a second name of the file `of`.
    pub(crate) fn hard_link(&self, path: &str, of: &str) -> &Self {
        self.parents(path);
        fs_err::hard_link(self.path(of), self.path(path)).unwrap();
        self
    }

    /// Sets the mode of a file or directory.
    pub(crate) fn mode(&self, path: &str, mode: u32) -> &Self {
        fs_err::set_permissions(self.path(path), PermissionsExt::from_mode(mode)).unwrap();
        self
    }

    /// Makes `nobody` the owner of the whole work directory, so that a command with [`Run::nobody`]
    /// may write there. Does nothing unless the tests run as root.
    pub(crate) fn give_to_nobody(&self) -> &Self {
        if is_root() {
            let mut todo = vec![self.root()];
            while let Some(path) = todo.pop() {
                if path.is_symlink() {
                    continue;
                }
                let mode = fs_err::metadata(&path).unwrap().permissions();
                chown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
                // A change of owner clears setuid and setgid.
                fs_err::set_permissions(&path, mode).unwrap();
                if path.is_dir() {
                    todo.extend(fs_err::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
                }
            }
        }
        self
    }

    /// The names in a directory, sorted.
    pub(crate) fn names(&self, dir: &str) -> Vec<String> {
        let entries = fs_err::read_dir(self.path(dir)).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    /// The bytes of a file.
    pub(crate) fn read(&self, path: &str) -> Vec<u8> {
        fs_err::read(self.path(path)).unwrap()
    }

    /// The built `imgb`, to be run in the work directory.
    pub(crate) fn imgb(&self, args: &str) -> Run {
        Run::new(self.dir.path().join("imgb")).args(args).cwd(self.root())
    }

    /// Another command, to be run in the work directory.
    pub(crate) fn tool(&self, program: &str, args: &str) -> Run {
        Run::new(program).args(args).cwd(self.root())
    }

    fn parents(&self, path: &str) {
        let parents: Vec<&Path> = Path::new(path).ancestors().skip(1).collect();
        for parent in parents.iter().rev().filter(|parent| !parent.as_os_str().is_empty()) {
            if !self.path(parent).exists() {
                self.dir(parent.to_str().unwrap());
            }
        }
    }
}

/// Whether the tests run as root.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether a command, or a file if the name has a slash, exists.
pub(crate) fn is_there(tool: &str) -> bool {
    PATH.split(':').any(|dir| Path::new(dir).join(tool).is_file())
}

/// Records a tool that a test lacks in the file that `tests/run` names, which then installs it.
pub(crate) fn record_lack(tool: &str) {
    if let Some(file) = std::env::var_os("IMGB_LACKED") {
        let mut file = fs_err::OpenOptions::new().append(true).open(PathBuf::from(file)).unwrap();
        file.write_all(format!("{tool}\n").as_bytes()).unwrap();
    }
}

/// A command to run. Its environment holds `PATH` and the added variables; its standard input is
/// empty.
pub(crate) struct Run {
    program: OsString,
    args: Vec<OsString>,
    under: Vec<OsString>,
    env: Vec<(String, OsString)>,
    cwd: PathBuf,
    umask: Option<u32>,
    nobody: bool,
    stdout: Option<File>,
}

impl Run {
    /// `program`, looked up in [`PATH`] if it is a bare name, in the root directory.
    pub(crate) fn new(program: impl Into<OsString>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            under: Vec::new(),
            env: vec![("PATH".into(), PATH.into())],
            cwd: "/".into(),
            umask: None,
            nobody: false,
            stdout: None,
        }
    }

    /// Adds the words of `args`, split at white space.
    pub(crate) fn args(mut self, args: &str) -> Self {
        self.args.extend(args.split_whitespace().map(OsString::from));
        self
    }

    /// Adds one argument unchanged.
    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Sets a variable.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.env.retain(|(other, _)| other != name);
        self.env.push((name.into(), value.as_ref().to_owned()));
        self
    }

    /// Sets several variables.
    pub(crate) fn environment(self, all: &[(&'static str, String)]) -> Self {
        all.iter().fold(self, |run, (name, value)| run.env(name, value))
    }

    /// Sets the working directory.
    pub(crate) fn cwd(mut self, dir: impl Into<PathBuf>) -> Self {
        self.cwd = dir.into();
        self
    }

    /// Sets the umask; the default is the caller's.
    pub(crate) fn umask(mut self, mask: u32) -> Self {
        self.umask = Some(mask);
        self
    }

    /// Runs as uid and gid 65534, without other groups, if the tests run as root.
    pub(crate) fn nobody(mut self) -> Self {
        self.nobody = is_root();
        self
    }

    /// Runs under another command, whose words come first: `strace`, `unshare`, `chroot`.
    pub(crate) fn under(mut self, words: &[&str]) -> Self {
        self.under = words.iter().map(OsString::from).collect();
        self
    }

    /// Redirects standard output to a file; the outcome then has none.
    pub(crate) fn stdout(mut self, file: File) -> Self {
        self.stdout = Some(file);
        self
    }

    /// Runs the command and waits for its end.
    pub(crate) fn run(self) -> Outcome {
        let tools: Vec<String> = self
            .under
            .first()
            .into_iter()
            .chain([&self.program])
            .map(|tool| tool.to_string_lossy().into_owned())
            .collect();
        let mut words: Vec<OsString> =
            ["timeout", "--kill-after=10", LIMIT].map(OsString::from).to_vec();
        if let Some(mask) = self.umask {
            words.extend(["sh", "-c", r#"umask "$0" && exec "$@""#].map(OsString::from));
            words.push(format!("{mask:04o}").into());
        }
        words.extend(self.under);
        words.push(self.program);
        words.extend(self.args);
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .env_clear()
            .envs(self.env)
            .current_dir(&self.cwd)
            .stdin(Stdio::null());
        if self.nobody {
            // Without explicit groups, the standard library drops root's groups before it changes
            // the user.
            command.gid(NOBODY).uid(NOBODY);
        }
        if let Some(file) = self.stdout {
            command.stdout(file);
        }
        let output = command.stderr(Stdio::piped()).output().unwrap();
        if output.status.code() == Some(127) {
            tools.iter().filter(|tool| !is_there(tool)).for_each(|tool| record_lack(tool));
        }
        let line =
            words.iter().skip(3).map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
        Outcome {
            line,
            code: output.status.code(),
            stdout: output.stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// How a command ended. Every failed check prints all of it.
pub(crate) struct Outcome {
    line: String,
    code: Option<i32>,
    stdout: Vec<u8>,
    stderr: String,
}

impl Outcome {
    /// Asserts that the command succeeded.
    pub(crate) fn ok(self) -> Self {
        self.exits(0)
    }

    /// Asserts that the command ended with `code`.
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "wrong exit code\n{}", self.show());
        self
    }

    /// Asserts that the command failed with `code` and one `error:` that contains all of `parts`,
    /// and printed no data.
    pub(crate) fn error(self, code: i32, parts: &[&str]) -> Self {
        let it = self.exits(code);
        let errors = it.stderr.lines().filter(|line| line.starts_with("error: ")).count();
        assert_eq!(errors, 1, "there should be one `error:` line\n{}", it.show());
        for part in parts {
            let said = it.stderr.to_lowercase().contains(&part.to_lowercase());
            assert!(said, "the message should say {part:?}\n{}", it.show());
        }
        for noise in ["panicked", "RUST_BACKTRACE", "Os {", "stack backtrace"] {
            assert!(!it.stderr.contains(noise), "the message holds {noise:?}\n{}", it.show());
        }
        assert!(it.stdout.is_empty(), "a failure prints no data\n{}", it.show());
        it
    }

    /// Whether the exit code is 0.
    pub(crate) fn success(&self) -> bool {
        self.code == Some(0)
    }

    /// The exit code; `None` after a signal.
    pub(crate) fn code(&self) -> Option<i32> {
        self.code
    }

    /// Asserts that standard output contains `part`.
    pub(crate) fn prints(self, part: &str) -> Self {
        assert!(self.text().contains(part), "standard output should say {part:?}\n{}", self.show());
        self
    }

    /// Asserts that standard output is exactly `text`.
    pub(crate) fn prints_only(self, text: &str) -> Self {
        assert_eq!(self.text(), text, "wrong standard output\n{}", self.show());
        self
    }

    /// Standard error.
    pub(crate) fn stderr(&self) -> &str {
        &self.stderr
    }

    /// Standard output as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard output as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", self.show()))
    }

    /// Standard output as bytes.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.stdout
    }

    /// The image's digest: the only thing that `pack` prints if its output is a file.
    pub(crate) fn digest(&self) -> String {
        let text = self.text();
        let hex = text
            .strip_prefix("sha256:")
            .and_then(|rest| rest.strip_suffix('\n'))
            .unwrap_or_default();
        let valid = hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        assert!(valid, "standard output should be one digest\n{}", self.show());
        text.trim_end().to_owned()
    }

    /// Everything about it, for a failed check.
    pub(crate) fn show(&self) -> String {
        let mut text = format!("$ {}\nexit code: {:?}\n", self.line, self.code);
        for (name, content) in [("stdout", &self.text()), ("stderr", &self.stderr)] {
            let short: String = content.chars().take(8000).collect();
            write!(text, "--- {name}\n{short}\n").unwrap();
        }
        text
    }
}

/// Every fourth of `cases`; all of them if `IMGB_ALL_CASES` is set, as each night. For tests that
/// would take most of the suite's time.
pub(crate) fn some_of<T>(cases: Vec<T>) -> Vec<T> {
    let step = if std::env::var_os("IMGB_ALL_CASES").is_some() { 1 } else { 4 };
    cases.into_iter().step_by(step).collect()
}
