//! The text of errors, as a user reads it.

use super::*;

#[test]
fn shows_all_faults_with_their_lines() {
    let text = "FROM scratch AS a b\n\
                COPPY x /\n\
                ENV A=1 \\\n    B=${A \\\n    C=2\n\
                RUN make\n\
                COPY --form=x a /\n\
                EXPOSE 80 70000\n\
                RUN <<EOF\n  FROM nothing\nEOF\n\
                HEALTHCHECK --interval=5 CMD x\n";
    assert_eq!(
        faults(text),
        "\
FROM needs an image, optionally with `AS` and a name
 --> Buildfile:1:14
  |
1 | FROM scratch AS a b
  |              ^^

unknown instruction `COPPY`
 --> Buildfile:2:1
  |
2 | COPPY x /
  | ^^^^^
hint: did you mean `COPY`?

`${` has no `}`
 --> Buildfile:4:7
  |
4 |     B=${A \\
  |       ^^^
hint: a word ends at the first space outside quotes

RUN is not supported: imgb executes nothing while it builds
 --> Buildfile:6:1
  |
6 | RUN make
  | ^^^
hint: create the files before the build and COPY them, or pack a program with everything it \
needs: `PACK curl`; for a base with packages, `ADD rootfs.tar.xz /`

COPY has no flag `--form`
 --> Buildfile:7:6
  |
7 | COPY --form=x a /
  |      ^^^^^^^^
hint: did you mean `--from`?

`70000` is not a port: a port is a number from 1 to 65535
 --> Buildfile:8:11
  |
8 | EXPOSE 80 70000
  |           ^^^^^
hint: write 80, 80/udp or 8000-8010

RUN is not supported: imgb executes nothing while it builds
 --> Buildfile:9:1
  |
9 | RUN <<EOF
  | ^^^

`5` is not a duration: its unit is missing
  --> Buildfile:12:24
   |
12 | HEALTHCHECK --interval=5 CMD x
   |                        ^
hint: write 30s, 1m30s or 500ms"
    );
}

/// Message, line and column, marked text and hint of the one fault of a text.
#[track_caller]
fn one(text: &str) -> (String, String, String, Option<String>) {
    let faults = evaluate_on(text, &Arguments::default(), &Inherited::default()).unwrap_err();
    let [fault] = &faults.faults[..] else { panic!("{faults}") };
    let place = faults.source.position(fault.span.start);
    let marked = faults.source.text[fault.span.start..fault.span.end].to_string();
    (fault.kind.to_string(), format!("{}:{}", place.line, place.column), marked, fault.kind.hint())
}

#[test]
fn marks_the_very_word() {
    for (text, place, marked) in [
        ("FROM scratch\nLABEL a=b c=\"d", "2:13", "\"d"),
        ("FROM scratch\nLABEL a=é$x${y:=z}", "2:12", "${y:=z}"),
        ("FROM scratch\nLABEL \\\n # comment\n  a=b \\\n  c='d", "5:5", "'d"),
        ("FROM scratch\nCOPY --chown=\"a b:c:d\" x /", "2:6", "--chown=\"a b:c:d\""),
        ("FROM scratch\nCOPY --chmod=99 x /", "2:14", "99"),
        ("FROM scratch\nCOPY <<E /e\nx\n ${y\nE", "4:2", "${y\n"),
        ("FROM scratch\nCOPY <<E /e\nx\n", "2:6", "<<E"),
        ("FROM scratch\n\tADD http://a/b /", "2:6", "http://a/b"),
        ("FROM scratch\nCOPY [\"a\", \"b\", \"c\"]", "2:6", "[\"a\", \"b\", \"c\"]"),
        ("\u{feff}FROM", "1:2", "FROM"),
        ("FROM scratch AS 1", "1:17", "1"),
        ("FROM scratch\r\nFOO\r\n", "2:1", "FOO"),
    ] {
        let (_, at, text, _) = one(text);
        assert_eq!((at.as_str(), text.as_str()), (place, marked));
    }
}

#[test]
fn hints_say_what_to_do() {
    for (text, message, hint) in [
        (
            "LABEL a=b",
            "LABEL comes before the first FROM",
            "only ARG may come before it; start with `FROM scratch`",
        ),
        ("", "there is no FROM, so there is nothing to build", "start with `FROM scratch`"),
        (
            "# nothing\nARG a=b",
            "there is no FROM, so there is nothing to build",
            "start with `FROM scratch`",
        ),
        (
            "FROM scratch # base",
            "FROM needs an image, optionally with `AS` and a name",
            "`#` starts a comment only at the start of a line",
        ),
        ("FROM scratch\n// note", "unknown instruction `//`", "a comment starts with `#`"),
        ("FROM scratch\nSymlnk a b", "unknown instruction `Symlnk`", "did you mean `SYMLINK`?"),
        (
            "FROM scratch\nONBUILD COPY <<E /\nE\n",
            "ONBUILD is not supported",
            "write the instructions in the Buildfile that starts from this image",
        ),
        ("FROM scratch\nSTOPSIGNAL SIGTREM", "`SIGTREM` is not a signal", "did you mean `TERM`?"),
        (
            "# escape=x\nFROM scratch",
            "`x` cannot be the escape character",
            "use `\\` or a backtick",
        ),
        (
            "FROM scratch AS a\nCOPY --from=$a b /",
            "`--from` takes no variables",
            "add a stage `FROM $VARIABLE AS name`, with the ARG before the first FROM, and copy \
            from that stage",
        ),
        (
            "FROM scratch\nCOPY --from=b c /\nFROM scratch AS b",
            "stage `b` is defined later in the file",
            "stages are built in order: move it before this one",
        ),
    ] {
        let (found, _, _, found_hint) = one(text);
        assert_eq!((found.as_str(), found_hint.as_deref()), (message, Some(hint)), "{text}");
    }
}

#[test]
fn refuses_what_depends_on_values() {
    for (text, message) in [
        ("FROM --platform=$a scratch", "the platform is empty"),
        ("ARG a\nFROM $a", "the name of the base image is empty"),
        ("FROM scratch\nLABEL x=\"${a:?set a}\"", "variable `a`: set a"),
        (
            "FROM scratch\nARG a=x\nEXPOSE $a",
            "`x` is not a port: a port is a number from 1 to 65535",
        ),
        ("FROM scratch\nARG a=../b\nCOPY $a /", "`../b` is outside the context"),
        ("# escape=\\\n# escape=\\\nFROM scratch", "the parser directive `escape` is given twice"),
    ] {
        assert_eq!(one(text).0, message, "{text}");
    }
}

#[test]
fn the_target_is_found_or_guessed() {
    let target = |name: &str| {
        let arguments = Arguments { target: Some(name.into()), ..Arguments::default() };
        let faults =
            evaluate_on("FROM scratch AS builder", &arguments, &Inherited::default()).unwrap_err();
        (faults.faults[0].kind.to_string(), faults.faults[0].kind.hint())
    };
    assert_eq!(
        target("bulider"),
        ("there is no stage `bulider` to build".into(), Some("did you mean `builder`?".into()))
    );
    assert_eq!(target("1"), ("there is no stage `1` to build".into(), None));
}

#[test]
fn many_faults_are_counted() {
    let shown = faults(&"FOO\n".repeat(60));
    assert_eq!(shown.matches("unknown instruction").count(), 50);
    assert!(shown.ends_with("\n\nand 10 more"));
}

#[test]
fn notices_show_their_place() {
    let (recipe, evaluation) =
        evaluate_on("FROM scratch\nARG TOKEN", &Arguments::default(), &Inherited::default())
            .unwrap();
    assert_eq!(
        evaluation.notices[0].show(&recipe.source),
        "ARG `TOKEN` looks like a secret, and anyone who has the image can read it\n --> \
        Buildfile:2:5\n  |\n2 | ARG TOKEN\n  |     ^^^^^"
    );
}
