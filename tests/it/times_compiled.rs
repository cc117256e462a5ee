//! Compiled modules of Python: a source gets the time that its compiled module records, if that is
//! valid, and those of the system come along with their sources.

use std::time::{Duration, SystemTime};

use crate::{
    engines::have,
    fixtures::{X86_64, static_elf},
    sandbox::{Run, Sandbox},
    times::{packed, time_of, times_in},
};

const TIME: i64 = 1_700_000_000;

/// A directory `app` with two modules and their compiled forms. The time of `stale.py` is another
/// than its compiled form records.
fn app() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.file("app/fresh.py", "x = 1\n").file("app/stale.py", "x = 2\n");
    touch(&sandbox, "app/fresh.py", TIME);
    touch(&sandbox, "app/stale.py", TIME);
    compile(&sandbox, "");
    touch(&sandbox, "app/stale.py", TIME + 1);
    sandbox
}

fn compile(sandbox: &Sandbox, options: &str) {
    let run = Run::new("/usr/bin/python3").args("-m compileall -q").args(options);
    run.arg("app").cwd(sandbox.root()).env("SOURCE_DATE_EPOCH", "").run().ok();
}

fn touch(sandbox: &Sandbox, path: &str, seconds: i64) {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds as u64);
    let file = fs_err::File::options().append(true).open(sandbox.path(path)).unwrap();
    file.into_parts().0.set_modified(time).unwrap();
}

#[test]
fn a_source_has_the_time_that_a_valid_compiled_module_records() {
    if !have(&["/usr/bin/python3"]) {
        return;
    }
    let sandbox = app();
    let stale = time_of(b"x = 2\n");
    sandbox.tool("tar", "-cf app.tar app").run().ok();
    sandbox.file(
        "Buildfile",
        "FROM scratch AS one\nCOPY app /app\nFROM scratch AS two\nCOPY --from=one /app /app\n\
            FROM scratch AS three\nADD app.tar /\nFROM rootfs:app.tar AS four\n",
    );
    let ways = ["pack ./app", "pack ./app.tar"].map(str::to_owned);
    let stages = ["one", "two", "three", "four"].map(|name| format!("build . --target {name}"));
    for way in ways.iter().chain(&stages) {
        let times = packed(&sandbox, way);
        assert_eq!((times["app/fresh.py"], times["app/stale.py"]), (TIME, stale), "{way}");
        let set = sandbox.imgb(way).args("-q --no-check -o - --format rootfs");
        let set = times_in(&set.env("SOURCE_DATE_EPOCH", "77").run().ok().into_bytes());
        assert!(set.values().all(|time| *time == 77), "{way}: {set:?}");
    }
    // A module that records a hash is valid at any time.
    fs_err::remove_dir_all(sandbox.path("app/__pycache__")).unwrap();
    compile(&sandbox, "--invalidation-mode=checked-hash");
    assert_eq!(packed(&sandbox, "pack ./app")["app/fresh.py"], time_of(b"x = 1\n"));
}

/// The modules of the system's Python, as it sees them in the image.
#[test]
fn python_compiles_nothing_that_is_compiled_on_the_host() {
    let Some(version) = system_python().filter(|_| have(&["/usr/bin/python3"])) else { return };
    let sandbox = Sandbox::new();
    sandbox.imgb("pack /usr/bin/python3 -q -o image.tar").run().ok();
    let script = format!(
        "import os, sys, json, sqlite3, asyncio\n\
            for m in list(sys.modules.values()):\n  \
            c = getattr(m, '__cached__', None)\n  \
            if c and m.__file__.endswith('.py') and not os.path.exists(c): print('none', c)\n\
            print('compiled', '/usr/lib/{version}/json/__init__.py' == json.__file__)\n"
    );
    let run = sandbox.imgb("run image.tar -- -v -c").arg(&script).run().ok();
    assert!(
        run.text().ends_with("compiled True\n") && !run.text().contains("none"),
        "{}",
        run.show()
    );
    let log = run.stderr();
    assert!(
        log.contains("json/__pycache__/__init__.cpython") && log.contains(" matches "),
        "{log}"
    );
    assert!(!log.contains("# wrote") && !log.contains("stale for"), "{log}");
    sandbox.imgb("plan /usr/bin/python3").run().ok().prints("  compiled forms of other paths\n");
    let list = |run: Run| {
        let names = times_in(&run.args("-q -o - --format rootfs").run().ok().into_bytes());
        names.into_keys().filter(|name| name.ends_with(".pyc")).count()
    };
    assert!(list(sandbox.imgb("pack /usr/bin/python3")) > 100);
    // They would be void, or are not wanted.
    let set = sandbox.imgb("pack /usr/bin/python3").env("SOURCE_DATE_EPOCH", "77");
    assert_eq!(list(set), 0);
    assert_eq!(list(sandbox.imgb("pack /usr/bin/python3 --exclude *.pyc")), 0);
    assert_eq!(list(sandbox.imgb("pack /usr/bin/python3 --exclude __pycache__")), 0);
}

/// `python3.11`, if the system's Python has compiled modules.
fn system_python() -> Option<String> {
    let real = fs_err::canonicalize("/usr/bin/python3").ok()?;
    let name = real.file_name()?.to_str()?.to_owned();
    let cache = format!("/usr/lib/{name}/json/__pycache__");
    std::path::Path::new(&cache).exists().then_some(name)
}

/// What a link leads to is not checked, and would not come along.
#[test]
fn a_compiled_module_that_is_a_link_stays() {
    let sandbox = Sandbox::new();
    sandbox.program("app", static_elf(X86_64)).file("sys/usr/lib/m.py", "x = 1\n");
    sandbox.file("sys/usr/lib/real.pyc", b"\xa7\x0d\r\n\x03\0\0\0checksum");
    sandbox.dir("sys/usr/lib/__pycache__");
    sandbox.symlink("sys/usr/lib/__pycache__/m.cpython-311.pyc", "../real.pyc");
    let plan = sandbox.imgb("plan ./app --all --sysroot sys --include /usr/lib/m.py").run().ok();
    assert!(plan.text().contains("/m.py ") && !plan.text().contains(".pyc"), "{}", plan.show());
}
