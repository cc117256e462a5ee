//! docs/ci.md: the `imgb` lines of every job, under the restrictions that the page promises.

use std::path::Path;

use crate::{
    engines::{have, have_root},
    fixtures::{AARCH64, X86_64, static_elf},
    registry_server::{HTPASSWD, PASSWORD, USER},
    sandbox::{PATH, Sandbox},
};

/// Runs `$2` as user 65534 without capabilities, on a root that is read-only except for `$1`, in a
/// user namespace where no others can be made, with loopback as the only network.
const JAIL: &str = r#"
unshare --user sleep 300 &
keeper=$!
trap 'kill $keeper' EXIT
until [ "$(readlink /proc/$keeper/ns/user)" != "$(readlink /proc/self/ns/user)" ]; do
    sleep 0.05
done
echo "0 0 65536" >/proc/$keeper/uid_map
echo "0 0 65536" >/proc/$keeper/gid_map
nsenter --user --target $keeper --setuid 0 --setgid 0 unshare --mount --net bash -euc '
    echo 0 >/proc/sys/user/max_user_namespaces
    mount --make-rprivate /
    mount --bind "$1" "$1"
    mount -o remount,bind,ro /
    ip link set lo up
    exec setpriv --reuid 65534 --regid 65534 --clear-groups --no-new-privs --bounding-set -all \
        bash -euo pipefail "$2"' jail "$1" "$2"
"#;

/// What each job runs before its own lines: it starts the registry and checks the restrictions.
const PROLOGUE: &str = r#"
cd "$(dirname "$0")"
if unshare --user true 2>/dev/null || touch /imgb-was-here 2>/dev/null; then
    echo "nothing restricts this job" >&2
    exit 1
fi
printf '%s\n' 'HTPASSWD' >htpasswd
cat >config.yml <<END
version: 0.1
storage: {filesystem: {rootdirectory: $PWD/registry}}
http: {addr: "127.0.0.1:5000"}
auth: {htpasswd: {realm: test, path: $PWD/htpasswd}}
END
docker-registry serve config.yml >registry.log 2>&1 &
registry=$!
trap 'kill $registry' EXIT
for _ in $(seq 200); do
    (: </dev/tcp/127.0.0.1/5000) 2>/dev/null && break
    sleep 0.1
done
"#;

/// The sections of the page with their `imgb` lines, each with the lines that continue it.
fn jobs() -> Vec<(String, Vec<String>)> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/ci.md");
    let text = fs_err::read_to_string(page).unwrap();
    let (mut jobs, mut in_block) = (Vec::<(String, Vec<String>)>::new(), false);
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(title) = line.strip_prefix("## ") {
            jobs.push((title.to_owned(), Vec::new()));
        }
        in_block ^= line.starts_with("```");
        let trimmed = line.trim().trim_start_matches("- ");
        if let (Some((_, job)), true, true) =
            (jobs.last_mut(), in_block, trimmed.starts_with("imgb "))
        {
            let mut command = trimmed.to_owned();
            while let Some(start) = command.strip_suffix('\\') {
                command = format!("{start}{}", lines.next().unwrap().trim());
            }
            job.push(command);
        }
    }
    jobs
}

#[test]
fn every_job_works_without_any_privilege() {
    let tools = ["docker-registry", "unshare", "nsenter", "setpriv", "ip", "mount", "bash"];
    if !(have(&tools) && have_root()) {
        return;
    }
    let jobs = jobs();
    assert_eq!(jobs.len(), 5, "{jobs:?}");
    for (title, lines) in jobs {
        assert!(!lines.is_empty(), "{title}");
        let sandbox = Sandbox::new();
        sandbox
            .program("amd64", static_elf(X86_64))
            .program("arm64", static_elf(AARCH64))
            .program("app", static_elf(X86_64))
            .program("target/release/app", static_elf(X86_64))
            .file("Buildfile", "FROM scratch\nCOPY app /app\nENTRYPOINT [\"/app\"]\n");
        let mut script = PROLOGUE.replace("HTPASSWD", HTPASSWD);
        for line in &lines {
            script += &match line.contains("$ARCH") && !line.contains("index create") {
                true => format!(
                    "for ARCH in amd64 arm64; do cp $ARCH target/release/app; {line}; done\n"
                ),
                false => format!("{line}\n"),
            };
        }
        script += "imgb inspect \"docker://$IMAGE:$VERSION\" >/dev/null\n";
        sandbox.file("job", script).give_to_nobody();
        let path = format!("{}:/usr/sbin:/sbin:{PATH}", sandbox.programs().display());
        let work = sandbox.root();
        let run = sandbox.tool("timeout", "250 bash -euc").arg(JAIL).arg("jail");
        let run = run.arg(&work).arg(work.join("job")).env("PATH", path);
        let run = run.env("IMAGE", "127.0.0.1:5000/team/app").env("VERSION", "1.0");
        let run = run.env("TMPDIR", &work).env("DIGEST", work.join("digest")).env("HOME", &work);
        let run = run.env("IMGB_REGISTRY_USER", USER).env("IMGB_REGISTRY_PASSWORD", PASSWORD);
        let outcome = run.run();
        assert!(outcome.success(), "{title}: {}", outcome.show());
    }
}
