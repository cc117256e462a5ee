//! Names of directories in which many programs have files. Data only, with the lookups in it.

/// The directories that make up the hierarchy of a system.
const HIERARCHY: &[&[u8]] =
    &[b"usr", b"local", b"share", b"lib", b"lib32", b"lib64", b"libexec", b"etc", b"opt", b"var"];

/// Further directories that many packages have.
const COMMON: &[&[u8]] = &[
    b"bin",
    b"sbin",
    b"data",
    b"plugins",
    b"modules",
    b"include",
    b"src",
    b"doc",
    b"docs",
    b"man",
    b"tmp",
    b"run",
    b"cache",
    b"log",
    b"conf",
    b"config",
    b"conf.d",
    b"common",
    b"misc",
    b"test",
    b"tests",
    b"examples",
    b"scripts",
    b"tools",
    b"utils",
    b"html",
    b"images",
    b"icons",
    b"fonts",
    b"locale",
    b"games",
    b"X11",
    b"xml",
    b"mime",
    b"systemd",
    b"system",
    b"init.d",
    b"default",
    b"python3",
    b"perl5",
    b"dist-packages",
    b"root",
    b"home",
    b"dev",
    b"proc",
    b"sys",
    b"en",
    b"C",
];

/// Whether `name` is that of a directory in which every program may have files: `lib`, or that of
/// a target's libraries (`x86_64-linux-gnu`).
pub fn is_hierarchy(name: &[u8]) -> bool {
    HIERARCHY.contains(&name) || memchr::memmem::find(name, b"-linux-").is_some()
}

/// Whether many packages have directories of this name.
pub fn is_common(name: &[u8]) -> bool {
    is_hierarchy(name) || COMMON.contains(&name)
}
