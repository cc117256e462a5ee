//! What `imgb slim` keeps of a server: what its configuration, its entrypoint script and the
//! packages in the image tell.

use crate::{engines::have, fixtures::sysroot, sandbox::Sandbox};

const ENTRYPOINT: &str = "#!/usr/bin/dash
set -e
export SERVER_HOME=/usr/share/zz-home RUNTIME=/usr/lib/zz-runtime SHARED=/usr/share/zz-shared
if [ \"$1\" = -v ]; then set -- server \"$@\"; fi
cat /usr/share/keys/root.key
exec \"$@\"
";

const SERVER: &str = "#!/usr/bin/dash
id -u
cat /etc/server/server.cf
";

const CONFIGURATION: &str = "# pages /opt/unused
root /var/www/html
pages \"/opt/pages\"
setup = /usr/share/zz-tools/setup.sh
data /vol/data
";

/// Packages: the name, its fields, and its paths below the root.
const PACKAGES: &[(&str, &str, &[&str])] = &[
    (
        "system",
        "Essential: yes",
        &["usr/bin/dash", "usr/bin/cat", "usr/bin/id", "usr/bin/sort", "usr/bin/shell"],
    ),
    (
        "server",
        "Depends: nothing",
        &[
            "usr/sbin/server",
            "usr/lib/zz-feeds/server-feed",
            "usr/share/zz-tools/setup.sh",
            "etc/server/server.cf",
            "var/www/html",
        ],
    ),
    ("keys", "Depends: nothing", &["usr/share/keys/root.key", "usr/share/zz-shared/one"]),
    (
        "home",
        "Depends: nothing",
        &["usr/share/zz-home/lib/code", "usr/share/zz-home/conf", "etc/zz-home/settings"],
    ),
    (
        "runtime",
        "Depends: nothing",
        &["usr/lib/zz-runtime/bin/tool", "usr/lib/zz-runtime/data", "usr/share/zz-shared/two"],
    ),
    ("other", "Depends: nothing", &["usr/lib/zz-others/server-other"]),
];

/// Files in the directories that variables of the entrypoint name.
const HOMES: [&str; 5] = [
    "usr/share/zz-home/lib/code",
    "etc/zz-home/settings",
    "usr/lib/zz-runtime/data",
    "usr/share/zz-shared/one",
    "usr/share/zz-shared/two",
];

/// `app.tar`: the packages, and an entrypoint with the command `command`.
fn image(command: &str) -> Option<Sandbox> {
    if !have(&["dash", "cat", "id", "sort"]) {
        return None;
    }
    let sandbox = Sandbox::new();
    sysroot(
        &sandbox,
        "dash cat id sort --soft none --package-metadata none --entrypoint /x --no-check",
    );
    sandbox.program("sys/entry.sh", ENTRYPOINT).program("sys/usr/sbin/server", SERVER);
    sandbox.program("sys/usr/lib/zz-feeds/server-feed", "#!/usr/bin/dash\n");
    sandbox.program("sys/usr/lib/zz-others/server-other", "#!/usr/bin/dash\n");
    sandbox.program("sys/usr/share/zz-tools/setup.sh", "#!/usr/bin/sort\n");
    sandbox.file("sys/etc/server/server.cf", CONFIGURATION);
    sandbox.file("sys/usr/share/keys/root.key", "key\n").file("sys/var/www/html/index", "x");
    sandbox.file("sys/opt/pages/one", "x").file("sys/opt/unused/two", "x");
    sandbox.file("sys/vol/data/base", "x");
    for path in HOMES {
        sandbox.file(&format!("sys/{path}"), "x");
    }
    sandbox.tool("cp", "sys/usr/bin/dash sys/usr/bin/shell").run().ok();
    sandbox.dir("sys/bin").symlink("sys/bin/sh", "../usr/bin/shell");
    sandbox.symlink("sys/usr/share/zz-home/conf", "/etc/zz-home");
    sandbox.dir("sys/usr/lib/zz-runtime/bin");
    sandbox.tool("cp", "sys/usr/bin/id sys/usr/lib/zz-runtime/bin/tool").run().ok();
    sandbox.file("sys/etc/passwd", "root:x:0:0::/:/bin/sh\napp:x:100:101::/:/bin/sh\n");
    sandbox.file("sys/etc/shadow", "root:*:1::::::\napp:*:1::::::\n").mode("sys/etc/shadow", 0o640);
    sandbox.file("sys/usr/share/twins/one", "0123456789");
    sandbox.tool("ln", "sys/usr/share/twins/one sys/usr/share/twins/two").run().ok();
    let mut status = String::new();
    for (name, fields, paths) in PACKAGES {
        status += &format!(
            "Package: {name}\nStatus: install ok installed\nArchitecture: amd64\n{fields}\n\n"
        );
        let mut list = String::new();
        for path in *paths {
            let parents = path.match_indices('/').map(|(at, _)| &path[..at]);
            list.extend(parents.chain([*path]).map(|path| format!("/{path}\n")));
        }
        sandbox.file(&format!("sys/var/lib/dpkg/info/{name}.list"), list);
    }
    sandbox.file("sys/var/lib/dpkg/status", status);
    let recipe = format!(
        "FROM scratch\nCOPY sys/ /\nENV PATH=/usr/sbin:/usr/bin\nVOLUME /vol/data\n\
         ENTRYPOINT [\"/entry.sh\"]\nCMD {command}\n"
    );
    sandbox.file("Buildfile", recipe);
    sandbox.imgb("build . -q -o app.tar").run().ok();
    Some(sandbox)
}

/// The paths that are left, and what `slim` says.
fn slim(sandbox: &Sandbox, options: &str) -> (Vec<String>, String) {
    let command = format!("slim app.tar {options} -o slim.tar -o rootfs:slim-root.tar");
    let said = sandbox.imgb(&command).run().ok().stderr().to_owned();
    let text = sandbox.tool("tar", "-tf slim-root.tar").run().ok().text();
    (text.lines().map(|path| path.trim_end_matches('/').to_owned()).collect(), said)
}

#[track_caller]
fn check(found: &[String], kept: &[&str], gone: &[&str]) {
    for path in kept {
        assert!(found.iter().any(|found| found == path), "{path} is not in {found:?}");
    }
    for path in gone {
        assert!(!found.iter().any(|found| found == path), "{path} is in {found:?}");
    }
}

#[test]
fn what_configuration_names_is_kept() {
    let Some(sandbox) = image("[\"server\"]") else { return };
    let (found, _) = slim(&sandbox, "");
    check(
        &found,
        &[
            "etc/server/server.cf",
            "var/www/html/index",
            "opt/pages/one",
            "usr/share/zz-tools/setup.sh",
            // The interpreter of this script, and what the server may run it with.
            "usr/bin/sort",
            "usr/bin/shell",
            "bin/sh",
        ],
        &["opt/unused/two", "vol/data/base"],
    );
}

#[test]
fn an_entrypoint_script_names_the_server_and_data_of_packages() {
    let Some(sandbox) = image("[\"-v\"]") else { return };
    let (found, _) = slim(&sandbox, "");
    check(&found, &["usr/sbin/server", "usr/share/keys/root.key", "usr/bin/id"], &[]);
    let run = |image: &str| sandbox.imgb(&format!("run {image}")).run().ok().text();
    assert_eq!(run("app.tar"), format!("key\n0\n{CONFIGURATION}"));
    assert_eq!(run("slim.tar"), run("app.tar"));
}

/// One package, or those of one source, have the directory; compiled programs have rules.
#[test]
fn a_directory_that_a_variable_of_the_entrypoint_names_is_kept() {
    let Some(sandbox) = image("[\"server\"]") else { return };
    check(&slim(&sandbox, "").0, &HOMES[..2], &HOMES[2..]);
}

#[test]
fn a_subcommand_is_a_program_of_the_same_package() {
    let subcommands = ["usr/lib/zz-feeds/server-feed", "usr/lib/zz-others/server-other"];
    let Some(sandbox) = image("[\"server\", \"-x\", \"feed\", \"other\"]") else { return };
    check(&slim(&sandbox, "").0, &subcommands[..1], &subcommands[1..]);
    let Some(sandbox) = image("[\"/usr/bin/dash\", \"-c\", \"exec server feed\"]") else { return };
    check(&slim(&sandbox, "").0, &subcommands[..1], &subcommands[1..]);
    let Some(sandbox) = image("[\"server\"]") else { return };
    check(&slim(&sandbox, "").0, &[], &subcommands);
}

#[test]
fn rules_apply_to_commands_that_each_system_has() {
    let Some(sandbox) = image("[\"server\"]") else { return };
    let rules = "[[rule]]\nname = 'accounts'\ndescription = ''\nlevel = 'auto'\n\
        limit = 15\nwhen = [{ programs = ['id'] }]\nfiles = ['/usr/share/twins']\n\
        make = [{ path = '/etc/shadow', text = '{shadow}', mode = 0o640 }]\n";
    sandbox.file("rules.toml", rules);
    let (found, said) = slim(&sandbox, "--rules rules.toml");
    // Hard links count once.
    check(&found, &["usr/share/twins/one", "usr/share/twins/two"], &[]);
    assert!(!said.contains("left out for its size"), "{said}");
    // The accounts are the image's.
    let shadow = sandbox.tool("tar", "-xOf slim-root.tar etc/shadow").run().ok().text();
    assert_eq!(shadow, "root:*:1::::::\napp:*:1::::::\n");
}
