//! A closure over a file system in memory, each of whose answers can be made to fail.

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
    io,
    sync::Arc,
};

use super::{Closure, Hwcaps, LoaderOptions, Root, closure};
use crate::{
    elf::{
        Absence, Answer, FileId, Found, FoundKind, HEADER_LEN, Header, Linkage, Lookup, Object,
        ObjectError, ReadFailure, Request,
    },
    path::ImagePath,
};

/// A file system whose question number `fails_at` has no answer.
#[derive(Default)]
struct Files {
    objects: BTreeMap<&'static str, Object>,
    texts: BTreeMap<&'static str, Vec<u8>>,
    questions: Cell<usize>,
    fails_at: Option<usize>,
}

impl Files {
    fn ask(&self) -> Result<(), ReadFailure> {
        let question = self.questions.get();
        self.questions.set(question + 1);
        match self.fails_at {
            Some(fails_at) if fails_at == question => {
                Err(ReadFailure { path: "disk".into(), source: io::Error::from_raw_os_error(5) })
            }
            _ => Ok(()),
        }
    }

    fn paths(&self) -> BTreeSet<&'static str> {
        self.objects.keys().chain(self.texts.keys()).copied().collect()
    }
}

impl Lookup for Files {
    fn find(&self, path: &[u8]) -> Result<Answer<Found>, ReadFailure> {
        self.ask()?;
        let Ok(real) = ImagePath::new(path) else { return Ok(Err(Absence::Missing)) };
        let number = self.paths().iter().position(|known| known.as_bytes() == real.as_bytes());
        let is_directory = self
            .paths()
            .iter()
            .any(|known| ImagePath::new(known).unwrap().ancestors().skip(1).any(|dir| dir == real));
        let kind = match number {
            Some(_) => FoundKind::File(1 << 20),
            None if is_directory => FoundKind::Directory,
            None => return Ok(Err(Absence::Missing)),
        };
        let id = FileId(0, number.unwrap_or(usize::MAX) as u64);
        let (links, dotdot_dirs) = (Vec::new(), Vec::new());
        Ok(Ok(Found { path: real, id, links, dotdot_dirs, kind }))
    }

    fn object(&self, found: &Found) -> Result<Result<Arc<Object>, ObjectError>, ReadFailure> {
        self.ask()?;
        let object = self.objects.get(&*found.path.to_string()).cloned();
        Ok(object.map(Arc::new).ok_or(ObjectError::NotElf))
    }

    fn read(&self, found: &Found, limit: usize) -> Result<Answer<Vec<u8>>, ReadFailure> {
        self.ask()?;
        let mut bytes = self.texts.get(&*found.path.to_string()).cloned().unwrap_or_default();
        bytes.truncate(limit);
        Ok(Ok(bytes))
    }

    fn list(&self, dir: &[u8]) -> Result<Answer<Vec<Vec<u8>>>, ReadFailure> {
        self.ask()?;
        let dir = ImagePath::new(dir).unwrap();
        let paths = self.paths().into_iter().map(|path| ImagePath::new(path).unwrap());
        let inside = paths.filter(|path| path.parent().as_ref() == Some(&dir));
        Ok(Ok(inside.map(|path| path.file_name().to_vec()).collect()))
    }
}

/// An object for x86-64 that needs `needed`.
fn object(interp: Option<&str>, runpath: Option<&str>, needed: &[&str]) -> Object {
    let mut head = vec![0; HEADER_LEN];
    head[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    head[16..24].copy_from_slice(&[3, 0, 62, 0, 1, 0, 0, 0]);
    head[54] = 56;
    let text = |text: &str| Arc::from(text.as_bytes());
    Object {
        header: Header::parse(&head).unwrap(),
        linkage: Linkage::Dynamic,
        interp: interp.map(text),
        requests: needed.iter().map(|name| (Request::Needed, text(name))).collect(),
        soname: None,
        rpath: None,
        runpath: runpath.map(text),
        flags_1: 0,
        verneed: Vec::new(),
        verdef: None,
        dlopen_notes: Vec::new(),
        extent: 0,
        misaligned: false,
    }
}

/// A program of glibc with a search path, a configuration and a library of each kind of place.
fn glibc() -> Files {
    const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";
    let many: Vec<String> = (0..20).map(|number| format!("libmany{number}.so")).collect();
    let many: Vec<&str> = many.iter().map(|name| &**name).collect();
    let mut app = object(Some(LOADER), Some("/own"), &["libown.so", "libconf.so", "libsys.so"]);
    app.dlopen_notes = vec![br#"[{"soname": ["libopened.so"]}]"#.to_vec()];
    Files {
        objects: BTreeMap::from([
            ("/app", app),
            (LOADER, object(None, None, &[])),
            ("/own/libown.so", object(None, None, &many)),
            ("/conf/libconf.so", object(None, None, &["libsys.so"])),
            ("/lib64/libsys.so", object(None, None, &[])),
            ("/lib64/glibc-hwcaps/x86-64-v3/libsys.so", object(None, None, &[])),
            ("/lib64/libopened.so", object(None, None, &[])),
            ("/lib64/libpre.so", object(None, None, &[])),
        ]),
        texts: BTreeMap::from([
            ("/etc/ld.so.conf", b"include /etc/ld.so.conf.d/*.conf\n".to_vec()),
            ("/etc/ld.so.conf.d/a.conf", b"/conf\n".to_vec()),
            ("/etc/ld.so.preload", b"libpre.so\n".to_vec()),
        ]),
        ..Files::default()
    }
}

/// A program of musl with a path file.
fn musl() -> Files {
    const LOADER: &str = "/lib/ld-musl-x86_64.so.1";
    let app = object(Some(LOADER), Some("/own"), &["libown.so", "libpath.so", "libcx.so"]);
    Files {
        objects: BTreeMap::from([
            ("/app", app),
            (LOADER, object(None, None, &[])),
            ("/own/libown.so", object(None, None, &["libgone.so"])),
            ("/path/libpath.so", object(None, None, &[])),
            ("/path/libcx.so", object(None, None, &[])),
        ]),
        texts: BTreeMap::from([("/etc/ld-musl-x86_64.path", b"/lib\n/path\n".to_vec())]),
        ..Files::default()
    }
}

fn closure_of(files: &Files) -> Result<Closure, ReadFailure> {
    let roots = ["/app", "/app"].map(|path| Root { path: ImagePath::new(path).unwrap() });
    let library_path = vec![b"/given".to_vec()];
    let options = LoaderOptions { hwcaps: Hwcaps::All, library_path, ..LoaderOptions::default() };
    closure(&roots, &options, files)
}

/// Whatever question has no answer, the result is an error and never a smaller closure.
#[test]
fn a_failed_read_is_never_taken_for_absence() {
    for (files, loads) in [(glibc as fn() -> Files, 4), (musl, 3)] {
        let whole = files();
        let wanted = closure_of(&whole).unwrap();
        assert_eq!(wanted.programs[0].loads.len(), loads, "{:#?}", wanted.programs[0]);
        let questions = whole.questions.get();
        assert!(questions > 20, "{questions}");
        for fails_at in 0..questions {
            let broken = Files { fails_at: Some(fails_at), ..files() };
            let failure = closure_of(&broken).expect_err(&format!("question {fails_at}"));
            assert_eq!(failure.to_string(), "cannot read `disk`");
        }
    }
}
