//! Calls that the system may refuse where nobody expects it: those that name or look at a file,
//! which a signal may interrupt on network file systems and FUSE (EINTR, signal(7)), and the start
//! of a thread. The kernel does not repeat the first, and the standard library panics at the
//! second.

use crate::floors::sources;

/// Functions of `rustix::fs` that may end with EINTR, except those whose callers look at each
/// result themselves (`copy_file_range`).
const INTERRUPTIBLE: [&str; 38] = [
    "chmod",
    "chmodat",
    "chown",
    "chownat",
    "fallocate",
    "fchmod",
    "fchown",
    "fdatasync",
    "flock",
    "fstat",
    "fstatfs",
    "fstatvfs",
    "fsync",
    "ftruncate",
    "futimens",
    "getxattr",
    "lgetxattr",
    "link",
    "linkat",
    "lstat",
    "mkdir",
    "mkdirat",
    "mknodat",
    "open",
    "openat",
    "openat2",
    "readlink",
    "readlinkat",
    "rename",
    "renameat",
    "rmdir",
    "stat",
    "statat",
    "statvfs",
    "symlinkat",
    "unlink",
    "unlinkat",
    "utimensat",
];

/// What repeats the closure that it is given.
const REPEATING: [&str; 2] = ["retry_on_intr", "uninterrupted"];

/// Whether the call at the end of `before` is made by a closure that is repeated: one that is an
/// argument of [`REPEATING`], or has a name that is.
fn is_repeated(before: &str, whole: &str) -> bool {
    let (mut depth, mut is_own_statement) = (0, true);
    for (at, c) in before.char_indices().rev() {
        let (outside, inside) = (before[..at].trim_end(), &before[at + c.len_utf8()..]);
        match c {
            ')' | '}' | ']' => depth += 1,
            '(' | '{' | '[' if depth > 0 => depth -= 1,
            '(' if REPEATING.iter().any(|name| outside.ends_with(name)) => return true,
            ';' | '{' if depth == 0 => {
                if is_own_statement && is_repeated_by_name(inside, whole) {
                    return true;
                }
                // The body of a closure belongs to the statement that the closure is in.
                if c == '{' && !outside.ends_with('|') {
                    return false;
                }
                is_own_statement = c == '{';
            }
            _ => {}
        }
    }
    false
}

/// Whether `statement` gives a closure a name, and `whole` has it repeated.
fn is_repeated_by_name(statement: &str, whole: &str) -> bool {
    let binding = statement.trim_start().strip_prefix("let ");
    binding.and_then(|binding| binding.split_once('=')).is_some_and(|(name, value)| {
        let takes = |repeat: &&str| whole.contains(&format!("{repeat}({})", name.trim()));
        value.trim_start().starts_with('|') && REPEATING.iter().any(takes)
    })
}

/// Calls in `code` that an interruption would make fail, with their lines.
fn not_repeated(code: &str) -> Vec<(usize, &str)> {
    let calls = code.match_indices("rustix::fs::").filter_map(|(at, prefix)| {
        let (name, _) = code[at + prefix.len()..].split_once('(')?;
        let is_call = INTERRUPTIBLE.contains(&name) && !is_repeated(&code[..at], code);
        is_call.then(|| (1 + code[..at].lines().count() - 1, name))
    });
    calls.collect()
}

#[test]
fn interrupted_calls_are_repeated() {
    let code =
        "fn f() { retry_on_intr(|| rustix::fs::stat(a))?; let b = || { c; rustix::fs::open(b) };
                retry_on_intr(b); uninterrupted(|| { let d = 1; g(rustix::fs::mkdir(d, e)) }); }";
    assert_eq!(not_repeated(code), []);
    for code in [
        "fn f() { let a = rustix::fs::stat(a)?; retry_on_intr(|| b); }",
        "fn f() { let a = || rustix::fs::stat(b); a()?; }",
        "fn f() { retry_on_intr(|| a); rustix::fs::stat(a) }",
    ] {
        assert_eq!(not_repeated(code), [(1, "stat")], "{code}");
    }
    let mut found = Vec::new();
    for source in sources() {
        for (line, name) in not_repeated(&source.code) {
            found.push(format!("{}:{line}: {name}", source.path.display()));
        }
    }
    assert!(found.is_empty(), "not repeated after EINTR:\n{}", found.join("\n"));
}

#[test]
fn a_refused_thread_is_no_panic() {
    for source in sources() {
        for call in ["thread::spawn(", "scope.spawn("] {
            assert!(!source.code.contains(call), "{}: {call}", source.path.display());
        }
    }
}
