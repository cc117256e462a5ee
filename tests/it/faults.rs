//! A few of the faults and kills of tests/faults/run and tests/faults/kills, which try thousands.

use std::path::Path;

use crate::{
    engines::{have, have_root},
    fixtures::{X86_64, static_elf, static_elf_of},
    sandbox::{Outcome, Run, Sandbox},
};

fn script(name: &str) -> Run {
    let faults = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults");
    Run::new(faults.join(name)).arg("--imgb").arg(env!("CARGO_BIN_EXE_imgb"))
}

#[test]
fn a_call_that_fails_leaves_the_layout_whole() {
    if have(&["strace", "python3"]) {
        let run = script("run").args("--writes --most 1 --jobs 1 --only").arg("pack layout");
        run.run().ok().prints("0 violated something");
    }
}

#[test]
fn a_process_that_is_killed_leaves_outputs_whole() {
    if have(&["python3"]) {
        script("kills").arg("24").run().ok().prints("violations: 0");
    }
}

/// `imgb run` of an image whose program ends with 0, in which strace makes calls fail; `None` if
/// this machine cannot do that.
fn run_image() -> Option<impl Fn(&str) -> Outcome> {
    if !have(&["strace"]) || cfg!(not(target_arch = "x86_64")) {
        return None;
    }
    let sandbox = Sandbox::new();
    sandbox.program("app", static_elf(X86_64));
    sandbox.imgb("pack ./app --no-cache -o image.tar").run().ok();
    Some(move |options: &str| {
        let script = format!("exec strace -f -qq -o trace {options} \"$@\" < image.tar");
        sandbox.imgb("run image.tar").under(&["sh", "-c", &script, "sh"]).run()
    })
}

/// The kernel does not repeat it on network file systems and FUSE.
#[test]
fn an_interrupted_look_at_a_stream_is_repeated() {
    let Some(run) = run_image() else { return };
    for number in 2..8 {
        run(&format!("-e inject=fstat:error=EINTR:when={number}")).ok();
    }
}

/// 126 says that the program is at fault.
#[test]
fn a_program_that_lacks_memory_to_start_is_not_blamed() {
    let Some(run) = run_image() else { return };
    let starts = (10..40).filter(|number| {
        let outcome = run(&format!("-e inject=mmap:error=ENOMEM:when={number}"));
        assert_ne!(outcome.code(), Some(126), "{}", outcome.show());
        outcome.stderr().contains("cannot start `/app`: Cannot allocate memory")
    });
    assert!(starts.count() > 0);
}

/// execve(2) says EIO of programs and interpreters that are shorter than their headers claim.
#[test]
fn a_damaged_program_is_blamed() {
    let sandbox = Sandbox::new();
    if cfg!(not(target_arch = "x86_64")) {
        return;
    }
    // The only program header becomes a PT_INTERP, of what follows the headers or the end.
    let interpreter_at = |offset: u64| {
        let mut elf = static_elf_of(X86_64, b"/bin/ld\0");
        elf[64] = 3;
        elf[72..80].copy_from_slice(&offset.to_le_bytes());
        elf[96..104].copy_from_slice(&8_u64.to_le_bytes());
        elf
    };
    sandbox.file("Buildfile", "FROM scratch\nCOPY root /\nENTRYPOINT [\"/app\"]\n");
    sandbox.program("root/bin/ld", "");
    for offset in [1 << 20, 64 + 56] {
        sandbox.program("root/app", interpreter_at(offset));
        sandbox.imgb("build --no-check --no-cache . -o image.tar").run().ok();
        let run = sandbox.imgb("run image.tar").run();
        run.error(126, &["cannot start `/app`", "Input/output error"]);
        fs_err::remove_file(sandbox.path("image.tar")).unwrap();
    }
}

/// imgb's own first process needs some memory under the limit, too.
#[test]
fn a_limit_that_is_too_small_to_start_is_named() {
    let sandbox = Sandbox::new();
    sandbox.program("app", static_elf(X86_64));
    sandbox.imgb("pack ./app --no-cache -o image.tar").run().ok();
    let run = sandbox.imgb("run --memory 1M image.tar").run();
    let hint = "hint: `--memory` may be too small for the program to start";
    run.error(125, &["cannot start `/app`", "Cannot allocate memory", hint]);
}

/// What cannot be read is not taken for what is not there: a run as another user than wanted.
#[test]
fn a_run_needs_what_the_kernel_says() {
    let Some(run) = run_image().filter(|_| have_root()) else { return };
    for (file, wanted) in [
        ("/proc/self/uid_map", "find out which users there are"),
        ("/proc/self/gid_map", "find out which users there are"),
        ("/proc/self/status", "catch signals"),
    ] {
        let outcome = run(&format!("-P {file} -e inject=openat:error=EIO"));
        outcome.error(125, &[wanted, "Input/output error"]);
    }
}

/// It can be closed in a hardened container, and is broken where lxcfs has died.
#[test]
fn a_machine_that_does_not_tell_its_memory_is_not_guarded() {
    let Some(run) = run_image().filter(|_| have_root()) else { return };
    let warning = "warning: the machine's memory is not guarded: ";
    for (error, why) in [("EACCES", "Permission denied"), ("ENOTCONN", "not connected")] {
        let outcome = run(&format!("-P /proc/meminfo -e inject=openat:error={error}")).ok();
        let said: Vec<_> = outcome.stderr().lines().filter(|line| line.contains(why)).collect();
        assert!(said.len() == 1 && said[0].starts_with(warning), "{}", outcome.show());
    }
}

#[test]
fn a_run_that_gets_no_thread_says_so() {
    let Some(run) = run_image() else { return };
    let outcome = run("-e inject=clone3:error=EAGAIN");
    outcome.error(125, &["connect the standard streams", "Resource temporarily unavailable"]);
}

/// A security module may deny what the mode of a file allows.
#[test]
fn a_compiled_module_that_may_not_be_read_is_named() {
    if !have(&["strace"]) {
        return;
    }
    let sandbox = Sandbox::new();
    let compiled = "sys/usr/lib/__pycache__/m.cpython-311.pyc";
    sandbox.program("app", static_elf(X86_64)).file("sys/usr/lib/m.py", "x = 1\n");
    sandbox.file(compiled, b"\xa7\x0d\r\n\x03\0\0\0checksum");
    for (fault, is_there) in [("", true), ("-e inject=openat:error=EACCES", false)] {
        let script = format!("exec strace -f -qq -o trace -P {compiled} {fault} \"$@\"");
        let run = sandbox.imgb("plan ./app --all --sysroot sys --include /usr/lib/m.py");
        let outcome = run.under(&["sh", "-c", &script, "sh"]).run().ok();
        assert_eq!(outcome.text().contains("m.cpython-311.pyc "), is_there, "{}", outcome.show());
        assert_eq!(outcome.show().contains("permission denied"), !is_there, "{}", outcome.show());
    }
}
