//! The standard streams of a program that `imgb run` starts: files, pipes, sockets, and their ends.

use crate::{
    engines::have,
    run_attacks::shell,
    sandbox::{Outcome, Sandbox},
};

/// Runs a line of bash in which `$RUN LINE` runs a line of the image's shell.
fn bash(sandbox: &Sandbox, line: &str) -> Option<Outcome> {
    let run = "../imgb run sh.tar -- -c";
    have(&["bash"]).then(|| sandbox.tool("bash", "-c").env("RUN", run).arg(line).run())
}

#[test]
fn a_file_is_read_as_far_as_the_program_reads_it() {
    let Some(sandbox) = shell() else { return };
    let lines: String = (0..30_000).map(|number| format!("line {number}\n")).collect();
    sandbox.file("in", &lines);
    let Some(all) = bash(&sandbox, "$RUN 'cat' <in | cmp - in && $RUN 'wc -l' <in") else { return };
    all.ok().prints_only("30000\n");
    // What it does not read is left for the next reader, as in any loop of a script.
    let script = "{ $RUN 'read x; echo $x'; $RUN 'true'; head -1; } <in";
    bash(&sandbox, script).unwrap().ok().prints_only("line 0\nline 1\n");
    bash(&sandbox, "{ read x; $RUN 'wc -l'; } <in").unwrap().ok().prints_only("29999\n");
    let script = "n=0; while read -r x; do $RUN : || exit 1; n=$((n+1)); done < <(head -3 in); \
        echo $n; while read -r x; do $RUN :; n=$((n+1)); done <<<$'a\\nb'; echo $n";
    bash(&sandbox, script).unwrap().ok().prints_only("3\n5\n");
}

#[test]
fn output_of_any_kind_is_complete_and_in_order() {
    let Some(sandbox) = shell() else { return };
    let line = "for i in 1 2 3 4 5 6 7 8 9; do echo o$i; echo e$i >&2; done";
    let script = format!("$RUN '{line}' >both 2>&1; tr -d '\\n' <both");
    let wanted: String = (1..10).map(|number| format!("o{number}e{number}")).collect();
    let Some(run) = bash(&sandbox, &script) else { return };
    run.ok().prints_only(&wanted);
    let script = "$RUN 'head -c 50000000 /dev/zero' >big; stat -c %s big; $RUN 'echo more' >>big; \
        stat -c %s big";
    bash(&sandbox, script).unwrap().ok().prints_only("50000000\n50000005\n");
    // Through a named pipe and a socket.
    bash(&sandbox, "mkfifo f; $RUN 'echo through' >f & cat f; wait $!")
        .unwrap()
        .ok()
        .prints_only("through\n");
    let socket = r#"
import socket, subprocess, sys
ours, theirs = socket.socketpair()
ours.sendall(b"ping\n")
ours.shutdown(socket.SHUT_WR)
child = subprocess.Popen(sys.argv[1:], stdin=theirs, stdout=theirs)
theirs.close()
print(ours.makefile().read(), child.wait())
"#;
    if have(&["python3"]) {
        let line = "read x; echo got $x; readlink /proc/self/fd/0 /proc/self/fd/1 | grep -c socket";
        let run = sandbox.tool("python3", "-c").arg(socket).arg("../imgb");
        let run = ["run", "sh.tar", "--", "-c", line].iter().fold(run, |run, word| run.arg(word));
        run.run().ok().prints_only("got ping\n0\n 1\n");
    }
}

/// As `/dev/stdout`, whoever has made the pipe or file and whoever the program runs as.
#[test]
fn a_program_opens_its_streams_again() {
    let Some(sandbox) = shell() else { return };
    sandbox.file("in", "input\n");
    let line = "cat /dev/stdin >/dev/stdout; echo more >>/dev/stdout; echo error >/dev/stderr";
    let scripts = [
        format!("$RUN '{line}' <in 2>&1 | cat"),
        format!("$RUN '{line}' <in >out 2>&1; cat out"),
        format!("$RUN '{line}' <in >out 2>err; cat out err"),
        format!("{{ $RUN '{line}' <in 2>&1 >&3 | cat >err; }} 3>&1 | cat; cat err"),
        // Nothing is read ahead of the program.
        "{ echo $(seq 9); seq 9; } | { $RUN 'echo input >/dev/stdout'; read x; $RUN 'echo more'; \
            tail -1 | sed s/9/error/; }"
            .into(),
    ];
    let wanted = "input\nmore\nerror\n";
    for script in &scripts {
        let Some(run) = bash(&sandbox, script) else { return };
        run.ok().prints_only(wanted);
    }
    sandbox.give_to_nobody();
    for script in &scripts {
        let run = sandbox.tool("bash", "-c").env("RUN", "../imgb run sh.tar -- -c").arg(script);
        run.nobody().run().ok().prints_only(wanted);
    }
    let traced = sandbox.imgb("trace sh.tar -- -c").arg("echo error >/dev/stderr").run();
    assert!(traced.stderr().contains("error\n"), "{}", traced.show());
}

#[test]
fn the_end_of_a_stream_is_the_programs() {
    let Some(sandbox) = shell() else { return };
    // No reader is left: SIGPIPE, whatever is in between.
    let script = "$RUN 'yes' | head -1; echo ${PIPESTATUS[0]}";
    let Some(run) = bash(&sandbox, script) else { return };
    run.ok().prints_only("y\n141\n");
    let script = "mkfifo f; $RUN 'yes' >f & head -1 f; wait $!; echo $?";
    bash(&sandbox, script).unwrap().ok().prints_only("y\n141\n");
    // An output that cannot be written is an error.
    let run = bash(&sandbox, "$RUN 'echo x' >/dev/full").unwrap();
    run.error(125, &["standard streams", "No space left"]);
    bash(&sandbox, "$RUN 'cat; echo end' </dev/null").unwrap().ok().prints_only("end\n");
    bash(&sandbox, "$RUN 'echo end' <&-").unwrap().ok().prints_only("end\n");
    // The program does not wait for an input that never ends, nor imgb.
    bash(&sandbox, "mkfifo g; sleep 900 >g & $RUN 'echo end' <g; kill $!")
        .unwrap()
        .ok()
        .prints_only("end\n");
    // Nor, after a timeout, for a reader that does not read.
    // On a busy machine it may take long until the program has filled the pipes.
    let is_lost = [1, 20, 200].into_iter().any(|seconds| {
        let script = format!(
            "rm -f h; mkfifo h; sleep 900 <h & ../imgb run --timeout {seconds}s sh.tar -- -c yes \
             >h; echo $?; kill $! && echo waiting"
        );
        let run = bash(&sandbox, &script).unwrap().ok().prints_only("124\nwaiting\n");
        run.stderr().contains("the end of the program's output is lost")
    });
    assert!(is_lost);
}
