//! Builds ELF objects for any machine from scratch: headers, and one segment with a dynamic
//! section, its strings, symbols, versions and notes: everything that a loader reads before it runs
//! code. Every field can be set.

/// A description of an object to build.
#[derive(Clone, Debug)]
pub(crate) struct Elf {
    pub(crate) is_64: bool,
    pub(crate) big_endian: bool,
    pub(crate) machine: u16,
    pub(crate) flags: u32,
    /// ET_DYN, ET_EXEC, …
    pub(crate) kind: u16,
    pub(crate) interp: Option<Vec<u8>>,
    /// Entries of the dynamic section, in order.
    pub(crate) entries: Vec<(u64, Value)>,
    /// Needed versions: file, versions with their weakness.
    pub(crate) verneed: Vec<(String, Vec<(String, bool)>)>,
    /// Defined versions, the object's own name first.
    pub(crate) verdef: Vec<String>,
    /// Types of notes and their texts.
    pub(crate) notes: Vec<(u32, Vec<u8>)>,
    /// Dynamic symbols: name, and whether it is defined here.
    pub(crate) symbols: Vec<(String, bool)>,
}

/// The value of a dynamic section's entry.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// A string of the table.
    Text(Vec<u8>),
    /// A number.
    Number(u64),
}

pub(crate) const NEEDED: u64 = 1;
pub(crate) const SONAME: u64 = 14;
pub(crate) const RPATH: u64 = 15;
pub(crate) const RUNPATH: u64 = 29;
pub(crate) const FLAGS_1: u64 = 0x6fff_fffb;
pub(crate) const AUXILIARY: u64 = 0x7fff_fffd;
pub(crate) const FILTER: u64 = 0x7fff_ffff;
pub(crate) const NODEFLIB: u64 = 0x800;
pub(crate) const PIE: u64 = 0x0800_0000;

impl Elf {
    /// A library for x86-64.
    pub(crate) fn library() -> Self {
        Self {
            is_64: true,
            big_endian: false,
            machine: 62,
            flags: 0,
            kind: 3,
            interp: None,
            entries: Vec::new(),
            verneed: Vec::new(),
            verdef: Vec::new(),
            notes: Vec::new(),
            symbols: Vec::new(),
        }
    }

    /// A position-independent program for x86-64.
    pub(crate) fn program(interp: &str) -> Self {
        let program = Self { interp: Some(interp.into()), ..Self::library() };
        program.number(FLAGS_1, PIE)
    }

    /// The same object for another machine.
    pub(crate) fn on(self, machine: u16, is_64: bool, big_endian: bool, flags: u32) -> Self {
        Self { machine, is_64, big_endian, flags, ..self }
    }

    pub(crate) fn text(mut self, tag: u64, text: impl AsRef<[u8]>) -> Self {
        self.entries.push((tag, Value::Text(text.as_ref().to_vec())));
        self
    }

    pub(crate) fn number(mut self, tag: u64, number: u64) -> Self {
        self.entries.push((tag, Value::Number(number)));
        self
    }

    pub(crate) fn needed(self, name: impl AsRef<[u8]>) -> Self {
        self.text(NEEDED, name)
    }

    pub(crate) fn soname(self, name: impl AsRef<[u8]>) -> Self {
        self.text(SONAME, name)
    }

    pub(crate) fn rpath(self, path: impl AsRef<[u8]>) -> Self {
        self.text(RPATH, path)
    }

    pub(crate) fn runpath(self, path: impl AsRef<[u8]>) -> Self {
        self.text(RUNPATH, path)
    }

    /// A note of libraries that it may open.
    pub(crate) fn note(mut self, json: impl AsRef<[u8]>) -> Self {
        self.notes.push((0x407c_0c0a, json.as_ref().to_vec()));
        self
    }

    /// A note of the package that it was built in.
    pub(crate) fn package_note(mut self, json: impl AsRef<[u8]>) -> Self {
        self.notes.push((0xcafe_1a7e, json.as_ref().to_vec()));
        self
    }

    pub(crate) fn defines(mut self, versions: &[&str]) -> Self {
        self.verdef = versions.iter().map(ToString::to_string).collect();
        self
    }

    pub(crate) fn wants(mut self, file: &str, versions: &[(&str, bool)]) -> Self {
        let versions = versions.iter().map(|(name, weak)| ((*name).to_owned(), *weak)).collect();
        self.verneed.push((file.to_owned(), versions));
        self
    }

    pub(crate) fn symbol(mut self, name: &str, defined: bool) -> Self {
        self.symbols.push((name.to_owned(), defined));
        self
    }

    /// The object's bytes.
    pub(crate) fn build(&self) -> Vec<u8> {
        Build { elf: self, out: Vec::new(), strings: vec![0] }.build()
    }
}

struct Build<'a> {
    elf: &'a Elf,
    out: Vec<u8>,
    strings: Vec<u8>,
}

impl Build<'_> {
    fn build(mut self) -> Vec<u8> {
        let elf = self.elf;
        let (ehdr, phdr, count) = if elf.is_64 { (64, 56, 6) } else { (52, 32, 6) };
        self.out.resize(ehdr + count * phdr, 0);
        let interp = self.section(|build| {
            build.out.extend(elf.interp.iter().flatten());
            build.out.extend(elf.interp.iter().map(|_| 0));
        });
        let notes = self.section(Self::notes);
        let symbols = self.section(Self::symbols);
        let hash = self.section(Self::hash);
        let verneed = self.section(Self::verneed);
        let verdef = self.section(Self::verdef);
        let entries = self.entries(symbols.0, hash.0, verneed.0, verdef.0);
        let dynamic = self.section(|build| {
            for (tag, value) in entries {
                build.word(tag);
                build.word(value);
            }
        });
        let len = self.out.len() as u64;
        let headers = std::mem::take(&mut self.out);
        let present =
            |kind: u32, of: (u64, u64)| if of.1 > 0 { (kind, of.0, of.1) } else { (0, 0, 0) };
        self.header(ehdr, phdr, count);
        let table = (phdr * count) as u64;
        // PT_PHDR comes first: it tells the loader where the program was mapped.
        let phdrs = if elf.interp.is_some() { (6, ehdr as u64, table) } else { (0, 0, 0) };
        let segments = [
            phdrs,
            present(3, interp),
            (1, 0, len),
            (2, dynamic.0, dynamic.1),
            present(4, notes),
            (0x6474_e551, 0, 0),
        ];
        for (kind, offset, size) in segments {
            self.segment(kind, offset, size);
        }
        let mut out = std::mem::take(&mut self.out);
        out.extend_from_slice(&headers[out.len()..]);
        out
    }

    /// The dynamic section: the requested entries, and the addresses of the tables.
    fn entries(&mut self, symbols: u64, hash: u64, verneed: u64, verdef: u64) -> Vec<(u64, u64)> {
        let elf = self.elf;
        let mut entries: Vec<(u64, u64)> = Vec::new();
        for (tag, value) in &elf.entries {
            let value = match value {
                Value::Text(text) => self.string(text),
                Value::Number(number) => *number,
            };
            entries.push((*tag, value));
        }
        let strings = self.section(|build| build.out.extend(build.strings.clone()));
        entries.extend([
            (5, strings.0),
            (10, strings.1),
            (6, symbols),
            (11, if elf.is_64 { 24 } else { 16 }),
        ]);
        entries.push((4, hash));
        if !elf.verneed.is_empty() {
            entries.extend([(0x6fff_fffe, verneed), (0x6fff_ffff, elf.verneed.len() as u64)]);
        }
        if !elf.verdef.is_empty() {
            entries.extend([(0x6fff_fffc, verdef), (0x6fff_fffd, elf.verdef.len() as u64)]);
        }
        entries.push((0, 0));
        entries
    }

    /// Writes a part, aligned; its offset and size.
    fn section(&mut self, write: impl FnOnce(&mut Self)) -> (u64, u64) {
        self.out.resize(self.out.len().next_multiple_of(8), 0);
        let start = self.out.len();
        write(self);
        (start as u64, (self.out.len() - start) as u64)
    }

    fn header(&mut self, ehdr: usize, phdr: usize, count: usize) {
        let elf = self.elf;
        let class = if elf.is_64 { 2 } else { 1 };
        let order = if elf.big_endian { 2 } else { 1 };
        self.out.extend([0x7f, b'E', b'L', b'F', class, order, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        self.half(elf.kind);
        self.half(elf.machine);
        self.quad(1);
        self.word(0);
        self.word(ehdr as u64);
        self.word(0);
        self.quad(elf.flags);
        for half in [ehdr, phdr, count, 0, 0, 0] {
            self.half(half as u16);
        }
    }

    fn segment(&mut self, kind: u32, offset: u64, size: u64) {
        let (flags, align) = (6, if kind == 1 { 0x1000 } else { 4 });
        self.quad(kind);
        if self.elf.is_64 {
            self.quad(flags);
        }
        for word in [offset, offset, offset, size, size] {
            self.word(word);
        }
        if !self.elf.is_64 {
            self.quad(flags);
        }
        self.word(align);
    }

    fn notes(&mut self) {
        for (kind, text) in &self.elf.notes {
            self.quad(4);
            self.quad(text.len() as u32 + 1);
            self.quad(*kind);
            self.out.extend(b"FDO\0");
            self.out.extend(text);
            self.out.push(0);
            self.out.resize(self.out.len().next_multiple_of(4), 0);
        }
    }

    fn symbols(&mut self) {
        self.symbol(0, false);
        for (name, defined) in &self.elf.symbols {
            let name = self.string(name.as_bytes());
            self.symbol(name, *defined);
        }
    }

    fn symbol(&mut self, name: u64, defined: bool) {
        // STB_GLOBAL, STT_FUNC; nothing for the null symbol.
        let info = if name == 0 { 0 } else { 0x12 };
        self.quad(name as u32);
        if self.elf.is_64 {
            self.out.extend([info, 0]);
            self.half(u16::from(defined));
            self.word(u64::from(defined));
            self.word(0);
        } else {
            self.word(u64::from(defined));
            self.word(0);
            self.out.extend([info, 0]);
            self.half(u16::from(defined));
        }
    }

    /// DT_HASH with one bucket that chains all symbols.
    fn hash(&mut self) {
        let count = self.elf.symbols.len() as u32;
        for word in [1, count + 1, u32::from(count > 0), 0] {
            self.quad(word);
        }
        for index in 1..=count {
            self.quad(if index < count { index + 1 } else { 0 });
        }
    }

    fn verneed(&mut self) {
        let count = self.elf.verneed.len();
        for (at, (file, versions)) in self.elf.verneed.iter().enumerate() {
            let file = self.string(file.as_bytes()) as u32;
            let size = 16 + 16 * versions.len() as u32;
            self.half(1);
            self.half(versions.len() as u16);
            for word in [file, 16, if at + 1 < count { size } else { 0 }] {
                self.quad(word);
            }
            for (index, (version, weak)) in versions.iter().enumerate() {
                let name = self.string(version.as_bytes()) as u32;
                self.quad(elf_hash(version));
                self.half(if *weak { 2 } else { 0 });
                self.half(2 + index as u16);
                self.quad(name);
                self.quad(if index + 1 < versions.len() { 16 } else { 0 });
            }
        }
    }

    fn verdef(&mut self) {
        let count = self.elf.verdef.len();
        for (at, name) in self.elf.verdef.iter().enumerate() {
            let text = self.string(name.as_bytes()) as u32;
            for half in [1, u16::from(at == 0), at as u16 + 1, 1] {
                self.half(half);
            }
            for word in [elf_hash(name), 20, if at + 1 < count { 28 } else { 0 }, text, 0] {
                self.quad(word);
            }
        }
    }

    fn string(&mut self, text: &[u8]) -> u64 {
        let offset = self.strings.len() as u64;
        self.strings.extend(text);
        self.strings.push(0);
        offset
    }

    fn half(&mut self, value: u16) {
        self.out.extend(if self.elf.big_endian {
            value.to_be_bytes()
        } else {
            value.to_le_bytes()
        });
    }

    fn quad(&mut self, value: u32) {
        self.out.extend(if self.elf.big_endian {
            value.to_be_bytes()
        } else {
            value.to_le_bytes()
        });
    }

    /// A field as wide as the class.
    fn word(&mut self, value: u64) {
        if !self.elf.is_64 {
            self.quad(value as u32);
            return;
        }
        self.out.extend(if self.elf.big_endian {
            value.to_be_bytes()
        } else {
            value.to_le_bytes()
        });
    }
}

/// The System V ABI's hash of a name.
fn elf_hash(name: &str) -> u32 {
    name.bytes().fold(0, |hash: u32, byte| {
        let hash = (hash << 4).wrapping_add(byte.into());
        let high = hash & 0xf000_0000;
        (hash ^ (high >> 24)) & !high
    })
}
