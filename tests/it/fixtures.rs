//! The programs and trees that more than one test packs. Each test makes its own; the repository
//! contains no binary.

use crate::{
    engines::have,
    sandbox::{Run, Sandbox},
};

/// The `e_machine` of x86-64 and of AArch64 (ELF specification, "ELF Header").
pub(crate) const X86_64: u16 = 62;
pub(crate) const AARCH64: u16 = 183;

/// Makes `bin/` with Debian's static busybox and a symlink to it for each applet. Returns false if
/// the test has to be skipped.
pub(crate) fn busybox(sandbox: &Sandbox) -> bool {
    if !have(&["busybox"]) {
        return false;
    }
    sandbox.program("bin/busybox", fs_err::read("/bin/busybox").unwrap());
    let applets = Run::new("/bin/busybox").args("--list").run().ok().text();
    for applet in applets.lines().filter(|applet| *applet != "busybox") {
        sandbox.symlink(&format!("bin/{applet}"), "busybox");
    }
    true
}

/// Makes `sys/`, a sysroot with what `imgb pack` makes of `inputs`.
pub(crate) fn sysroot(sandbox: &Sandbox, inputs: &str) {
    sandbox.imgb(&format!("pack {inputs} -o rootfs:sys.tar")).run().ok();
    sandbox.dir("sys").tool("tar", "-xf sys.tar -C sys --no-same-owner").run().ok();
}

/// Makes `name`, a static C program that prints one line with its name and its arguments. Returns
/// false if the test has to be skipped.
pub(crate) fn hello(sandbox: &Sandbox, name: &str) -> bool {
    if !have(&["gcc"]) {
        return false;
    }
    let source = r#"
        #include <stdio.h>
        int main(int argc, char **argv) {
            printf("hello from %s", argv[0]);
            for (int i = 1; i < argc; i++) printf(" [%s]", argv[i]);
            puts("");
        }"#;
    sandbox.file("src/hello.c", source);
    sandbox.tool("gcc", "-static -O1 src/hello.c -o").arg(name).run().ok();
    sandbox.mode(name, 0o755);
    true
}

/// Makes `lib/libgone.so`, and `app`, which needs it but does not find it. Returns false if the
/// test has to be skipped.
pub(crate) fn program_without_its_library(sandbox: &Sandbox) -> bool {
    if !have(&["gcc"]) {
        return false;
    }
    sandbox.file("src/gone.c", "int gone(void) { return 0; }");
    sandbox.file("src/app.c", "int gone(void); int main(void) { return gone(); }");
    sandbox.dir("lib");
    sandbox
        .tool("gcc", "-shared -fPIC -Wl,-soname,libgone.so.1 -o lib/libgone.so src/gone.c")
        .run()
        .ok();
    sandbox.tool("gcc", "-o app src/app.c -Llib -lgone").run().ok();
    true
}

/// The smallest static ELF program of a machine: one header, one PT_LOAD, and x86-64 code that
/// exits with 0.
pub(crate) fn static_elf(machine: u16) -> Vec<u8> {
    static_elf_of(machine, &[0xb8, 60, 0, 0, 0, 0x31, 0xff, 0x0f, 0x05])
}

/// The same with other code.
pub(crate) fn static_elf_of(machine: u16, code: &[u8]) -> Vec<u8> {
    let len = 64 + 56 + code.len() as u64;
    let load_at = 0x40_0000_u64;
    let mut elf = b"\x7fELF\x02\x01\x01".to_vec();
    elf.resize(16, 0);
    elf.extend(2_u16.to_le_bytes()); // ET_EXEC
    elf.extend(machine.to_le_bytes());
    elf.extend(1_u32.to_le_bytes());
    for field in [load_at + 64 + 56, 64, 0] {
        elf.extend(u64::to_le_bytes(field)); // entry, program headers, section headers
    }
    elf.extend(0_u32.to_le_bytes());
    for field in [64, 56, 1, 64, 0, 0] {
        elf.extend(u16::to_le_bytes(field)); // sizes and counts of the headers
    }
    elf.extend(1_u32.to_le_bytes()); // PT_LOAD
    elf.extend(5_u32.to_le_bytes()); // readable, executable
    for field in [0, load_at, load_at, len, len, 0x1000] {
        elf.extend(u64::to_le_bytes(field));
    }
    elf.extend(code);
    elf
}

/// `len` incompressible bytes, the same every time.
pub(crate) fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        // xorshift64, Marsaglia 2003.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    std::iter::repeat_with(&mut next).flatten().take(len).collect()
}

/// One entry of a layer, as a reader lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Without slashes at either end.
    pub(crate) name: String,
    /// `f` file, `d` directory, `l` symlink, `h` hard link.
    pub(crate) kind: char,
    pub(crate) mode: u32,
    /// Bytes of a file; 0 for the others.
    pub(crate) size: u64,
    /// The target of a symlink or hard link, else empty.
    pub(crate) link: String,
}

/// Makes a directory `tree` with one of everything that a layer can hold, and returns what a layer
/// of it must list. It needs no privileges and is the same on every machine.
pub(crate) fn tree(sandbox: &Sandbox) -> Vec<Entry> {
    let long = format!("tree/{0}/{0}/{0}", "long-name-".repeat(9));
    let mut entries = Vec::new();
    let mut add = |name: &str, kind, mode, size: usize, link: &str| {
        let (name, link) = (name.to_owned(), link.to_owned());
        entries.push(Entry { name, kind, mode, size: size as u64, link });
    };
    let files: [(&str, Vec<u8>, u32); 8] = [
        ("tree/bin/static", static_elf(X86_64), 0o755),
        ("tree/bin/setuid", b"#!/bin/static\n".to_vec(), 0o4755),
        ("tree/a name with spaces", b"spaces\n".to_vec(), 0o644),
        ("tree/empty", Vec::new(), 0o644),
        ("tree/grüße", b"utf-8\n".to_vec(), 0o644),
        ("tree/one", b"linked\n".to_vec(), 0o644),
        ("tree/readonly", b"0444\n".to_vec(), 0o444),
        ("tree/noise", noise(100_000), 0o600),
    ];
    for dir in ["tree", "tree/bin", "tree/tmp", "tree/void", "tree/links"] {
        sandbox.dir(dir);
        add(dir, 'd', if dir == "tree/tmp" { 0o1777 } else { 0o755 }, 0, "");
    }
    sandbox.mode("tree/tmp", 0o1777);
    for (name, content, mode) in &files {
        sandbox.file(name, content).mode(name, *mode);
        add(name, 'f', *mode, content.len(), "");
    }
    sandbox.file(&long, "long\n");
    for dir in [&long[..95], &long[..186]] {
        add(dir, 'd', 0o755, 0, "");
    }
    add(&long, 'f', 0o644, 5, "");
    let links = [
        ("relative", "../one"),
        ("absolute", "/tree/one"),
        ("dangling", "nowhere"),
        ("up", "../../.."),
    ];
    for (name, target) in links {
        let name = format!("tree/links/{name}");
        sandbox.symlink(&name, target);
        add(&name, 'l', 0o777, 0, target);
    }
    sandbox.hard_link("tree/two", "tree/one");
    add("tree/two", 'h', 0o644, 0, "tree/one");
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    entries
}
