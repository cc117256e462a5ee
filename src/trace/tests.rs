use super::*;

fn access(path: &str, call: Call, found: bool) -> Access {
    Access { path: path.into(), call, found, by: "/bin/app".into() }
}

static NOTHING: Served =
    Served { interpreters: Vec::new(), withheld: BTreeMap::new(), listed: BTreeMap::new() };

fn observed(accesses: &[Access], watched: Watched) -> Observed<'_> {
    Observed { accesses, watched, served: &NOTHING }
}

fn paths(seen: &[TracedFile]) -> Vec<String> {
    seen.iter().map(|seen| String::from_utf8_lossy(&seen.path).into_owned()).collect()
}

const ACCESSES: [(&str, Call, bool); 9] = [
    ("/etc/app.conf", Call::Look, false),
    ("/etc/app.conf", Call::Open, false),
    ("/nowhere", Call::Open, false),
    ("/usr/share/app", Call::Look, false),
    ("/usr/lib/plugin.so", Call::Open, true),
    ("/bin/tool", Call::Execute, true),
    ("/etc/ld.so.cache", Call::Open, false),
    ("/proc/self/maps", Call::Open, true),
    ("/var/state", Call::Open, false),
];

fn report(watched: Watched) -> Report {
    let mut accesses: Vec<Access> =
        ACCESSES.iter().map(|(path, call, found)| access(path, *call, *found)).collect();
    accesses.push(access("/var/state", Call::Create, true));
    let sysroot = |path: &[u8]| match path {
        b"/usr/share/app" => Some((path.to_vec(), SysrootEntry::Directory)),
        b"/nowhere" => None,
        _ => Some((path.to_vec(), SysrootEntry::File(1))),
    };
    classify(observed(&accesses, watched), &sysroot, &|path| path == b"/bin/tool")
}

#[test]
fn in_an_image_what_was_not_found_and_is_on_the_system_is_missing() {
    let report = report(Watched::InImage);
    assert_eq!(paths(&report.missing), ["/etc/app.conf", "/usr/share/app", "/var/state"]);
    assert_eq!(report.missing[0].call, Call::Open, "the most that was done with it");
    assert_eq!(paths(&report.opened), ["/bin/tool", "/usr/lib/plugin.so"]);
}

#[test]
fn on_a_system_what_was_read_is_missing_unless_the_image_has_it() {
    let report = report(Watched::OnSystem);
    assert_eq!(paths(&report.missing), ["/usr/lib/plugin.so"]);
    assert_eq!(paths(&report.opened), ["/bin/tool", "/usr/lib/plugin.so"]);
}

#[test]
fn compiled_files_are_not_missing_where_the_image_has_their_sources() {
    let pyc = |name: &str| format!("/py/__pycache__/{name}.cpython-311.pyc");
    let accesses = ["x", "y"].map(|name| access(&pyc(name), Call::Open, false));
    let sysroot = |path: &[u8]| Some((path.to_vec(), SysrootEntry::File(1)));
    let report =
        classify(observed(&accesses, Watched::InImage), &sysroot, &|path| path == b"/py/x.py");
    assert_eq!(paths(&report.missing), [pyc("y")]);
}

/// The files that a program looks at decide what it does, but a program that lists a directory
/// looks at all of its entries.
#[test]
fn on_a_system_files_that_are_looked_at_count_unless_their_directory_is_listed() {
    let accesses = [
        access("/etc/app.conf", Call::Look, true),
        access("/data/", Call::Open, true),
        access("/data/one", Call::Look, true),
        access("/data/two", Call::Open, true),
        access("/py", Call::Open, true),
        access("/py/x.py", Call::Look, true),
        access("/py/y.py", Call::Look, true),
        access("/py/__pycache__/x.cpython-311.opt-1.pyc", Call::Open, true),
    ];
    let sysroot = |path: &[u8]| match path {
        b"/data/" | b"/py" => Some((path.to_vec(), SysrootEntry::Directory)),
        _ => Some((path.to_vec(), SysrootEntry::File(1))),
    };
    let report = classify(observed(&accesses, Watched::OnSystem), &sysroot, &|_| false);
    let wanted =
        ["/data/two", "/etc/app.conf", "/py/__pycache__/x.cpython-311.opt-1.pyc", "/py/x.py"];
    assert_eq!(paths(&report.missing), wanted);
    assert_eq!(paths(&report.opened), ["/data/two", "/py/__pycache__/x.cpython-311.opt-1.pyc"]);
}

/// A program that asks for a file and then makes it would have read it.
#[test]
fn what_a_program_makes_is_missing_only_if_it_asked_for_it_before() {
    let accesses = [
        access("/a", Call::Open, false),
        access("/a", Call::Create, true),
        access("/b", Call::Create, true),
        access("/b", Call::Open, false),
    ];
    let sysroot = |path: &[u8]| Some((path.to_vec(), SysrootEntry::File(1)));
    let report = classify(observed(&accesses, Watched::InImage), &sysroot, &|_| false);
    assert_eq!(paths(&report.missing), ["/a"]);
}

#[test]
fn a_path_stays_as_it_was_asked_for_and_tells_what_it_leads_to() {
    let asked = "/opt//x/./q/../libh.so";
    let sysroot = |_: &[u8]| Some((b"/opt/x/libh.so.1.0".to_vec(), SysrootEntry::File(1)));
    let accesses = [access(asked, Call::Open, false)];
    let report = classify(observed(&accesses, Watched::InImage), &sysroot, &|_| false);
    assert_eq!(paths(&report.missing), ["/opt/x/q/../libh.so"]);
    assert_eq!(report.missing[0].leads_to.as_deref(), Some(&b"/opt/x/libh.so.1.0"[..]));
}

#[test]
fn the_files_of_a_listed_directory_are_missing_unless_the_program_chose_some() {
    let names = |names: &[&str]| names.iter().map(|name| (name.as_bytes().to_vec(), 5)).collect();
    let listed = [
        ("/opt/plugins", names(&["a.so", "b.so"])),
        ("/opt/modules", names(&["x", "y"])),
        ("/usr/share", names(&["z"])),
    ];
    let listed = listed.map(|(dir, names)| (dir.as_bytes().to_vec(), names)).into();
    let served = Served { listed, ..Served::default() };
    let accesses = [
        access("/opt/plugins", Call::List, false),
        access("/opt/modules", Call::List, false),
        access("/opt/modules/x", Call::Open, false),
    ];
    let sysroot = |path: &[u8]| match path {
        b"/opt/modules/x" => Some((path.to_vec(), SysrootEntry::File(5))),
        _ => Some((path.to_vec(), SysrootEntry::Directory)),
    };
    let observed = Observed { served: &served, ..observed(&accesses, Watched::InImage) };
    let report = classify(observed, &sysroot, &|path| path == b"/opt/modules");
    let wanted = ["/opt/modules/x", "/opt/plugins", "/opt/plugins/a.so", "/opt/plugins/b.so"];
    assert_eq!(paths(&report.missing), wanted);
    let of_plugin = (report.missing[2].call, &*report.missing[2].by);
    assert_eq!(of_plugin, (Call::List, "/bin/app"));
}

#[test]
fn what_belongs_in_no_image_is_told_apart() {
    let withheld = [
        (b"/etc/shadow".to_vec(), Withheld::Personal),
        (b"/etc/app.conf".to_vec(), Withheld::Private),
    ];
    let served = Served { withheld: withheld.into(), ..Served::default() };
    let accesses = ["/etc/shadow", "/etc/app.conf"].map(|path| access(path, Call::Open, false));
    let sysroot = |path: &[u8]| Some((path.to_vec(), SysrootEntry::File(1)));
    let observed = Observed { served: &served, ..observed(&accesses, Watched::InImage) };
    let report = classify(observed, &sysroot, &|_| false);
    assert_eq!(paths(&report.confidential), ["/etc/shadow"]);
    assert_eq!(paths(&report.missing), ["/etc/app.conf"]);
    assert_eq!(report.missing[0].withheld, Some(Withheld::Private));
}
