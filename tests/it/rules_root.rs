//! A packed program, unpacked into an empty root and run there.

use crate::{
    engines::have,
    sandbox::{Outcome, Run, Sandbox, is_root},
};

/// The commands that tests of rules need in addition to the programs that they pack.
const TOOLS: &[&str] = &["bwrap", "tar"];

/// A root file system with the output of one `imgb pack`, and nothing else.
pub(crate) struct Root {
    sandbox: Sandbox,
    /// The standard error of `pack`.
    pub(crate) said: String,
}

impl Root {
    /// Packs `args` and unpacks the result. `None` if a command of `needs` is missing: the test
    /// must return.
    pub(crate) fn pack(needs: &[&str], args: &str) -> Option<Self> {
        Self::pack_in(Sandbox::new(), needs, args)
    }

    /// As [`Root::pack`], with the files of `sandbox`.
    pub(crate) fn pack_in(sandbox: Sandbox, needs: &[&str], args: &str) -> Option<Self> {
        if !have(TOOLS) || !have(needs) {
            return None;
        }
        sandbox.dir("root");
        let packed = sandbox.imgb(&format!("pack -v {args} -o rootfs:fs.tar")).run().ok();
        sandbox.tool("tar", "-xf fs.tar -C root --no-same-owner").run().ok();
        let said = packed.stderr().to_owned();
        Some(Self { sandbox, said })
    }

    /// A command in the root, as its user root, with the host's network, a `/dev` and `/proc` of
    /// its own, and nothing else.
    pub(crate) fn run(&self, program: &str) -> Run {
        self.run_as(0, program)
    }

    /// As [`Root::run`], with another user and group.
    pub(crate) fn run_as(&self, id: u32, program: &str) -> Run {
        self.run_with(id, program, &[])
    }

    /// As [`Root::run_as`], with further options of bubblewrap.
    pub(crate) fn run_with(&self, id: u32, program: &str, more: &[&str]) -> Run {
        let (root, id) = (self.sandbox.path("root"), id.to_string());
        let root = root.to_str().unwrap_or_default();
        let mounts =
            ["bwrap", "--bind", root, "/", "--dev", "/dev", "--proc", "/proc", "--chdir", "/"];
        let mapped = ["--unshare-user", "--uid", &id, "--gid", &id];
        let own = ["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--die-with-parent"];
        // The user root of a namespace cannot change to other users.
        let privileged = ["--cap-add", "ALL"];
        let user = if id == "0" && is_root() { &privileged[..] } else { &mapped[..] };
        Run::new(program).under(&[&mounts[..], user, &own[..], more].concat()).env("HOME", "/root")
    }

    /// The uid or gid of an account of the root.
    pub(crate) fn id_of(&self, user: &str) -> Option<u32> {
        let passwd = self.text("etc/passwd");
        let mut fields =
            passwd.lines().find(|line| line.split(':').next() == Some(user))?.split(':');
        fields.nth(2)?.parse().ok()
    }

    /// The directory of the root on the host.
    pub(crate) fn dir(&self) -> std::path::PathBuf {
        self.sandbox.path("root")
    }

    /// Whether the root has `path`.
    pub(crate) fn has(&self, path: &str) -> bool {
        fs_err::symlink_metadata(self.sandbox.path("root").join(path.trim_start_matches('/')))
            .is_ok()
    }

    /// A file of the root as text.
    pub(crate) fn text(&self, path: &str) -> String {
        String::from_utf8_lossy(&self.sandbox.read(&format!("root/{path}"))).into_owned()
    }
}

/// Packs `args` without rules, where the command that `run` makes must fail, and with defaults,
/// where it must succeed. Returns the outcome, or nothing if a command of `needs` is missing.
pub(crate) fn flips(needs: &[&str], args: &str, run: &dyn Fn(&Root) -> Run) -> Option<Outcome> {
    let bare = Root::pack(needs, &format!("{args} --soft none"))?;
    let without = run(&bare).run();
    assert!(!without.success(), "{args}: works without rules, so that the test shows nothing");
    let root = Root::pack(needs, args)?;
    Some(run(&root).run().ok())
}
