//! Real programs of Debian, packed with defaults only, at real work in an empty root. Where a rule is what makes
//! them work, the same work fails with `--soft none`.

use crate::rules_root::Root;

/// A command and what it prints; `''` around an argument that has blanks.
type Step = (&'static str, &'static str);

/// Packs `input`, and runs `steps` in its root, one after the other.
#[track_caller]
fn works(input: &str, steps: &[Step]) -> Option<Root> {
    let needs = input.split_whitespace().next().filter(|name| !name.contains('/'));
    let root = Root::pack(&Vec::from_iter(needs), input)?;
    for (command, wanted) in steps {
        step(&root, command).ok().prints(wanted);
    }
    Some(root)
}

/// As [`works`]; without rules, the first step fails.
#[track_caller]
fn works_by_rules(input: &str, steps: &[Step]) -> Option<Root> {
    let root = works(input, steps)?;
    let bare = Root::pack(&[], &format!("{input} --soft none"))?;
    let (command, wanted) = steps.first().copied().unwrap_or_default();
    let outcome = step(&bare, command);
    let done = outcome.success() && outcome.text().contains(wanted);
    assert!(!done, "`{command}` works without rules: the test shows nothing");
    Some(root)
}

fn step(root: &Root, command: &str) -> crate::sandbox::Outcome {
    let words = split(command);
    let (program, args) = words.split_first().map_or(("", &[][..]), |(first, rest)| (&**first, rest));
    let run = root.run(program).env("LANG", "C.UTF-8").env("TERM", "xterm-256color");
    args.iter().fold(run, |run, arg| run.arg(arg)).run()
}

/// Words, with quotes as in a shell and nothing else of one.
fn split(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (index, part) in command.split('\'').enumerate() {
        if index % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(ToOwned::to_owned));
        }
    }
    words
}

#[test]
fn python() {
    let imports = "import ssl, sqlite3, ctypes, decimal, json, lzma, bz2, curses, readline, zoneinfo, socket, pwd, \
        tempfile, multiprocessing, hashlib";
    let checks = "print(sqlite3.connect(':memory:').execute('select 6*7').fetchall(), decimal.Decimal(1) / 4, \
        pwd.getpwuid(0).pw_name, zoneinfo.ZoneInfo('Europe/Berlin'), socket.getaddrinfo('localhost', 'http')[0][4])";
    let Some(root) = Root::pack(&["python3"], "python3") else { return };
    let run = |root: &Root| root.run("python3").arg("-c").arg(format!("{imports}\n{checks}")).run();
    run(&root).ok().prints("[(42,)] 0.25 root Europe/Berlin ('127.0.0.1', 80)");
    let Some(bare) = Root::pack(&["python3"], "python3 --soft none") else { return };
    assert!(!run(&bare).success());
}

#[test]
fn perl() {
    works_by_rules(
        "perl",
        &[
            (
                "perl -MPOSIX -MEncode -MList::Util=sum -MSocket -MData::Dumper -e 'print sum(40, 2), length encode(\"UTF-16\", \"x\"), getpwuid(0)'",
                "424rootx",
            ),
            (
                "perl -MFile::Temp -MStorable=dclone -MTime::Local -MIO::Socket -e 'print -e File::Temp->new->filename'",
                "1",
            ),
        ],
    );
}

#[test]
fn ruby() {
    works_by_rules(
        "ruby",
        &[(
            "ruby -rjson -ropenssl -rset -rtime -rtempfile -rsocket -ryaml -e 'puts JSON.generate([6*7]), [1].to_yaml, Tempfile.new.path, \"é\".encode(\"UTF-16LE\").bytesize'",
            "[42]",
        )],
    );
}

#[test]
fn node() {
    works(
        "node",
        &[(
            "node -e 'require(\"dns\").lookup(\"localhost\", (e, a) => console.log(e, require(\"os\").userInfo().username, 6*7))'",
            "null root 42",
        )],
    );
}

#[test]
fn java() {
    works_by_rules("java", &[("java -version", ""), ("java -XshowSettings:properties -version", "")]);
}

#[test]
fn php() {
    works(
        "php",
        &[("php -r 'echo json_encode([6*7]), date(\"Y\", 0), extension_loaded(\"sockets\");'", "[42]19701")],
    );
}

#[test]
fn lua() {
    works("lua5.4", &[("lua5.4 -e 'local n = os.tmpname() print(6*7, #n > 4)'", "42\ttrue")]);
}

#[test]
fn guile() {
    works_by_rules(
        "guile",
        &[("guile -c '(use-modules (srfi srfi-1) (ice-9 regex)) (display (fold + 0 (list 40 2)))'", "42")],
    );
}

#[test]
fn gawk() {
    works("gawk", &[("gawk 'BEGIN { print strftime(\"%Y\", 0), 6 * 7 }'", "1970 42")]);
}

#[test]
fn git() {
    works(
        "git",
        &[
            ("git init -q /tmp/a", ""),
            ("git -C /tmp/a -c user.name=x -c user.email=x@example.org commit -q --allow-empty -m first", ""),
            ("git clone -q file:///tmp/a /tmp/b", ""),
            ("git -C /tmp/b log --oneline", "first"),
        ],
    );
    let Some(bare) = Root::pack(&["git"], "git --soft none") else { return };
    fs_err::create_dir(bare.dir().join("tmp")).unwrap();
    step(&bare, "git init -q /tmp/a").ok();
    assert!(!step(&bare, "git clone -q file:///tmp/a /tmp/b").success(), "a clone works without rules");
}

#[test]
fn openssl() {
    works_by_rules(
        "openssl",
        &[
            ("openssl req -x509 -newkey rsa:2048 -nodes -keyout /tmp/key -subj /CN=x -out /tmp/cert", ""),
            ("openssl x509 -in /tmp/cert -noout -subject", "CN = x"),
            ("openssl dgst -provider legacy -provider default -md4 /tmp/cert", "MD4"),
        ],
    );
}

#[test]
fn tools_that_only_need_their_libraries() {
    works(
        "ssh-keygen",
        &[("ssh-keygen -q -t ed25519 -N '' -f /tmp/key", ""), ("ssh-keygen -l -f /tmp/key.pub", "ED25519")],
    );
    works("jq", &[("jq -n '6*7'", "42")]);
    works("sqlite3", &[("sqlite3 :memory: 'select 6*7, sqrt(4)'", "42|2.0")]);
    works("xz", &[("xz --version", "liblzma")]);
    works("curl", &[("curl -s -o /tmp/x file:///etc/passwd", ""), ("curl --version", "https")]);
    works("redis-cli", &[("redis-cli --version", "redis-cli")]);
}

#[test]
fn terminals_and_files() {
    works_by_rules("tput", &[("tput colors", "256")]);
    works_by_rules("file", &[("file -b /usr/bin/file", "ELF 64-bit")]);
}

#[test]
fn imagemagick() {
    works_by_rules(
        "convert",
        &[
            ("convert -size 8x8 xc:red /tmp/a.png", ""),
            ("convert /tmp/a.png /tmp/a.jpg", ""),
            ("convert /tmp/a.jpg info:", "JPEG 8x8"),
        ],
    );
}

#[test]
fn ffmpeg() {
    works(
        "ffmpeg",
        &[
            ("ffmpeg -v error -f lavfi -i testsrc=d=0.2:s=32x32 /tmp/a.mp4", ""),
            ("ffmpeg -v error -i /tmp/a.mp4 -f null -", ""),
        ],
    );
}

#[test]
fn gdb() {
    works_by_rules("gdb", &[("gdb --batch -ex 'python print(6*7)'", "42")]);
}

#[test]
fn gstreamer() {
    works_by_rules("gst-inspect-1.0", &[("gst-inspect-1.0 coreelements", "core elements")]);
}

#[test]
fn psql() {
    works_by_rules("psql", &[("psql --version", "psql (PostgreSQL)")]);
}

#[test]
fn initdb() {
    let Some(dir) = newest("/usr/lib/postgresql") else { return };
    let bin = format!("{dir}/bin/initdb");
    let Some(root) = Root::pack(&[], &format!("{bin}:{bin} --user postgres")) else { return };
    let uid = root
        .text("etc/passwd")
        .lines()
        .find_map(|line| line.strip_prefix("postgres:x:")?.split(':').next()?.parse().ok());
    let uid = uid.unwrap_or(1000);
    fs_err::create_dir(root.dir().join("data")).unwrap();
    fs_err::set_permissions(root.dir().join("data"), std::os::unix::fs::PermissionsExt::from_mode(0o777))
        .unwrap();
    root.run_as(uid, &bin).args("-D /data/db --no-sync --locale=C.UTF-8").run().ok().prints("Success");
}

/// The last directory below `dir`.
fn newest(dir: &str) -> Option<String> {
    let entries = fs_err::read_dir(dir).ok()?;
    entries.filter_map(|entry| entry.ok()?.path().to_str().map(ToOwned::to_owned)).max()
}

#[test]
fn redis() {
    let Some(root) = works("redis-server", &[("redis-server --version", "Redis server")]) else { return };
    let config = root
        .run("redis-server")
        .args("--port 0 --unixsocket /tmp/redis.sock --save 1 1 --dir /nowhere")
        .run();
    assert!(
        config.text().contains("/nowhere") || config.stderr().contains("/nowhere"),
        "it reads its options"
    );
}
