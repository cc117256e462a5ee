//! Instructions that only change the config. Where Docker has them, the answers are those of
//! dockerd 20.10 and its classic builder.

use super::*;

#[test]
fn values_are_dockers() {
    for (text, wanted) in [
        ("CMD", "2 cmd [\"/bin/sh\", \"-c\"]"),
        ("CMD []", "2 cmd []"),
        ("CMD [\"a\", \"b c\"]", "2 cmd [\"a\", \"b c\"]"),
        ("CMD ['a']", "2 cmd [\"/bin/sh\", \"-c\", \"['a']\"]"),
        ("CMD echo $X \\\n  b", "2 cmd [\"/bin/sh\", \"-c\", \"echo $X   b\"]"),
        ("cmd a  \"b\" ", "2 cmd [\"/bin/sh\", \"-c\", \"a  \\\"b\\\"\"]"),
        ("ENTRYPOINT", "2 entrypoint []"),
        ("ENTRYPOINT []", "2 entrypoint []"),
        ("ENTRYPOINT b", "2 entrypoint [\"/bin/sh\", \"-c\", \"b\"]"),
        (
            "SHELL [\"/bin/x\", \"-c\"]\nCMD a b",
            "2 shell [\"/bin/x\", \"-c\"]\n3 cmd [\"/bin/x\", \"-c\", \"a b\"]",
        ),
        (
            "EXPOSE 80 81/udp 90-92/TCP 100:200",
            "2 expose 80/tcp 81/udp 90/tcp 91/tcp 92/tcp 200/tcp",
        ),
        (
            "STOPSIGNAL SIGKILL\nSTOPSIGNAL kill\nSTOPSIGNAL 9",
            "2 stopsignal SIGKILL\n3 stopsignal kill\n4 stopsignal 9",
        ),
        ("VOLUME /a b [c", "2 volume [\"/a\", \"b\", \"[c\"]"),
        ("VOLUME [\"/a\",\"b c\"]", "2 volume [\"/a\", \"b c\"]"),
        ("USER x y\nUSER \"\"\nUSER $x", "2 user \"x y\"\n3 user \"\"\n4 user \"\""),
        ("MAINTAINER me and  you", "2 maintainer \"me and  you\""),
        (
            "WORKDIR a\nWORKDIR b/../c\nWORKDIR ./d/",
            "2 workdir /a\n3 workdir /a/c\n4 workdir /a/c/d",
        ),
        ("WORKDIR /a\nWORKDIR ../../b", "2 workdir /a\n3 workdir /b"),
        ("WORKDIR /a b\nWORKDIR \"/c\"", "2 workdir /a b\n3 workdir /c"),
        ("HEALTHCHECK none", "2 healthcheck none [0, 0, 0, 0] ms, 0 times"),
        ("HEALTHCHECK CMD x  y", "2 healthcheck \"x  y\" [0, 0, 0, 0] ms, 0 times"),
        (
            "HEALTHCHECK --interval=5s --timeout=1m30s --start-period=1h --start-interval=1ms \
            --retries=3 CMD [\"x\"]",
            "2 healthcheck [\"x\"] [5000, 90000, 3600000, 1] ms, 3 times",
        ),
        ("ANNOTATION a=b c=\"d e\" # why", "2 annotation a=\"b\" c=\"d e\""),
    ] {
        assert_eq!(steps(text), format!("{wanted}\n"), "{text}");
    }
}

#[test]
fn pairs_are_dockers() {
    for (text, wanted) in [
        ("ENV a b  c ", "2 env a=\"b  c\""),
        ("ENV a \"b\" 'c'", "2 env a=\"b c\""),
        (
            "ENV a=1 b=$a c=\"x y\" d='$a' e=x\\ y",
            "2 env a=\"1\" b=\"\" c=\"x y\" d=\"$a\" e=\"x y\"",
        ),
        (
            "ENV a=\\$b c=\"\\$d\" e='\\$f' g=$$ h=$* i=a$",
            "2 env a=\"$b\" c=\"$d\" e=\"\\\\$f\" g=\"\" h=\"\" i=\"a$\"",
        ),
        ("LABEL x y z", "2 label x=\"y z\""),
        ("LABEL \"a b\"=c d=\"\" e=", "2 label a b=\"c\" d=\"\" e=\"\""),
        ("LABEL a=b\\", "2 label a=\"b\""),
        ("LABEL a=b=c", "2 label a=\"b=c\""),
        ("LABEL a=b \\\n      c=d\\\n e=f", "2 label a=\"b\" c=\"d\" e=\"f\""),
    ] {
        assert_eq!(steps(text), format!("{wanted}\n"), "{text}");
    }
}

#[test]
fn the_escape_directive_holds_for_words_and_lines() {
    let text = "# escape=`\nFROM scratch\nLABEL a=b\\c d=`$x e=\"f`\"\" `\n  g=h\n";
    assert_eq!(run(text), "0: scratch\n3 label a=\"b\\\\c\" d=\"$x\" e=\"f\\\"\" g=\"h\"\n");
}

#[test]
fn refuses_values_that_docker_refuses() {
    for (text, wanted) in [
        ("EXPOSE 80/foo", "`80/foo` is not a port: the protocol is tcp, udp or sctp"),
        ("EXPOSE 70000", "`70000` is not a port: a port is a number from 1 to 65535"),
        ("EXPOSE 0", "`0` is not a port: a port is a number from 1 to 65535"),
        ("EXPOSE 10-8", "`10-8` is not a port: the range runs backwards"),
        ("EXPOSE", "EXPOSE needs a port"),
        ("STOPSIGNAL 0", "`0` is not a signal"),
        ("STOPSIGNAL SIGFOO", "`SIGFOO` is not a signal"),
        ("VOLUME []", "VOLUME needs a path"),
        ("VOLUME [\"\"]", "the volume is empty"),
        ("WORKDIR", "WORKDIR needs a directory"),
        ("WORKDIR $x", "the path is empty"),
        ("USER", "USER needs a user"),
        ("CMD [1]", "the JSON array may contain only strings"),
        ("SHELL []", "SHELL takes only a JSON array"),
        ("SHELL /bin/sh", "SHELL takes only a JSON array"),
        ("HEALTHCHECK", "HEALTHCHECK needs CMD and a command, or NONE"),
        ("HEALTHCHECK CMD", "HEALTHCHECK needs a command after CMD"),
        ("HEALTHCHECK CMD []", "HEALTHCHECK needs a command after CMD"),
        ("HEALTHCHECK NONE x", "HEALTHCHECK needs nothing after NONE"),
        ("HEALTHCHECK FOO x", "unknown health check `FOO`"),
        (
            "HEALTHCHECK --interval=5ns CMD x",
            "`5ns` is not a duration: the minimum is one millisecond",
        ),
        ("HEALTHCHECK --interval=-5s CMD x", "`-5s` is not a duration"),
        ("HEALTHCHECK --interval=5 CMD x", "`5` is not a duration: its unit is missing"),
        ("HEALTHCHECK --retries=-1 CMD x", "`-1` is not a number from 0 to 2147483647"),
        ("ENV", "ENV needs name=value"),
        ("ENV a", "ENV needs a name and a value"),
        ("ENV =x", "ENV has an empty name"),
        ("ENV $x=y", "ENV has an empty name"),
        ("LABEL a", "LABEL needs a name and a value"),
        ("LABEL a=b # c", "`#` has no `=`"),
        ("LABEL a=\"b", "the quote \" is not closed"),
        ("LABEL --x=y a=b", "LABEL has no flag `--x`"),
        ("ARG", "ARG needs a name"),
        ("ARG \"a=b c\"", "`\"a` cannot be the name of an argument"),
        ("ARG a $b=c", "`$b` cannot be the name of an argument"),
        ("ARG =x", "ARG has an empty name"),
        ("ANNOTATION a", "`a` has no `=`"),
    ] {
        assert_eq!(messages(text)[0], wanted, "{text}");
    }
}

#[test]
fn the_example_has_every_instruction() {
    let text = include_str!("../../../Buildfile.example");
    let recipe = parse("Buildfile.example", text.as_bytes()).unwrap();
    let steps = recipe.stages.iter().flat_map(|stage| &stage.steps);
    let mut used: Vec<&str> = steps
        .map(|step| step.kind.name())
        .chain(["FROM", "MAINTAINER", "ONBUILD", "RUN"])
        .collect();
    used.sort_unstable();
    used.dedup();
    assert_eq!(used, super::super::flags::INSTRUCTIONS);
    assert!(notices(text, &build_args(&[("VERSION", "2")])).is_empty());
    assert!(run(text).contains("copy <<EOF \"1.0\\n\" to /etc/hello/version"), "{}", run(text));
}
