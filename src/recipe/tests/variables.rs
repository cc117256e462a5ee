//! Stages, and which variable holds what where.

use super::*;

#[test]
fn env_goes_before_arg() {
    for text in ["ENV A=b\nARG A=c\nLABEL x=$A", "ARG A=c\nENV A=b\nLABEL x=$A"] {
        assert!(steps(text).ends_with("label x=\"b\"\n"), "{text}");
    }
    assert!(steps("ENV A=1\nENV A=2 B=$A\nLABEL x=$A$B").ends_with("label x=\"21\"\n"));
}

#[test]
fn arguments_hold_from_their_line_on() {
    assert!(
        steps("LABEL x=$A\nARG A=1\nLABEL x=$A")
            .contains("2 label x=\"\"\n3 arg A=\"1\"\n4 label x=\"1\"")
    );
    // What one line sets it does not see, as in Docker; before FROM it does.
    assert!(steps("ARG a=1 b=$a\nARG a\nLABEL x=$b$a").ends_with("label x=\"1\"\n"));
    assert!(run("ARG a=1 b=$a\nFROM scratch\nARG b\nLABEL x=$b").ends_with("label x=\"1\"\n"));
}

#[test]
fn global_arguments_are_named_again() {
    let text =
        "ARG a=scratch\nARG b=$a\nFROM $b\nLABEL x=$a\nARG a\nARG b=2\nARG c=$b\nLABEL x=$a$b$c";
    assert_eq!(
        run(text),
        "0: scratch\n4 label x=\"\"\n5 arg a=\"scratch\"\n6 arg b=\"2\"\n7 arg c=\"2\"\n\
        8 label x=\"scratch22\"\n"
    );
    assert!(
        run("ARG a\nFROM ${a:-scratch}\nARG a\nLABEL x=$a").ends_with("3 arg a\n4 label x=\"\"\n")
    );
    assert!(
        run_with("ARG a=1\nFROM scratch\nARG a\nLABEL x=$a", &build_args(&[("a", "2")]))
            .ends_with("x=\"2\"\n")
    );
}

#[test]
fn the_command_line_sets_only_what_is_declared() {
    let text = "FROM scratch\nARG a=1\nARG b\nLABEL x=$a$b$c";
    let arguments = build_args(&[("a", "A"), ("b", "B"), ("c", "C"), ("HTTP_PROXY", "p")]);
    assert!(run_with(text, &arguments).ends_with("label x=\"AB\"\n"));
    assert_eq!(
        notices(text, &arguments),
        [
            "build argument `c` is not used: no ARG declares it",
            "variable `c` is not set and expands to nothing"
        ]
    );
}

#[test]
fn platform_arguments_are_declared_too() {
    let platform_args = BTreeMap::from([("TARGETARCH".to_string(), "arm64".to_string())]);
    let arguments = Arguments { platform_args, ..Arguments::default() };
    let text = "FROM --platform=linux/$TARGETARCH x-$TARGETARCH\nLABEL a=$TARGETARCH\n\
    ARG TARGETARCH\nLABEL b=$TARGETARCH";
    assert_eq!(
        run_with(text, &arguments),
        "0: image x-arm64 on linux/arm64\n2 label a=\"\"\n3 arg TARGETARCH=\"arm64\"\n\
        4 label b=\"arm64\"\n"
    );
}

#[test]
fn nothing_is_taken_from_the_host() {
    assert!(std::env::var_os("PATH").is_some());
    assert!(
        steps("LABEL x=$PATH y=$HOME")
            .ends_with(&format!("x={:?} y=\"\"\n", crate::image::DEFAULT_PATH))
    );
}

#[test]
fn a_base_image_gives_its_variables() {
    let inherited = Inherited {
        env: [("PATH", "/bin"), ("A", "base")]
            .map(|(name, value)| (name.into(), value.into()))
            .into(),
        workdir: Some(crate::path::ImagePath::new("/srv").unwrap()),
        shell: vec!["/bin/x".into(), "-e".into()],
    };
    let text =
        "FROM img\nARG A=arg\nENV PATH=$PATH:/opt B=$A\nWORKDIR w\nCMD c\nFROM scratch\nLABEL x=$A";
    let (_, evaluation) = evaluate_on(
        text,
        &Arguments { target: Some("0".into()), ..Arguments::default() },
        &inherited,
    )
    .unwrap();
    assert_eq!(
        dump(&evaluation),
        "0: image img\n2 arg A=\"arg\"\n3 env PATH=\"/bin:/opt\" B=\"base\"\n4 workdir /srv/w\n\
         5 cmd [\"/bin/x\", \"-e\", \"c\"]\n"
    );
    assert_eq!(
        evaluation.notices.iter().map(|notice| notice.kind.to_string()).collect::<Vec<_>>(),
        ["the first WORKDIR is relative, so it depends on the base image"]
    );
}

#[test]
fn a_stage_goes_on_where_its_base_ended() {
    let text = "FROM scratch AS One\nARG q=5\nENV A=1\nWORKDIR /w\nSHELL [\"s\"]\n\
                FROM one\nLABEL x=$A$q\nWORKDIR v\nCMD c";
    assert!(
        run(text).ends_with("1: stage 0\n7 label x=\"15\"\n8 workdir /w/v\n9 cmd [\"s\", \"c\"]\n"),
        "{}",
        run(text)
    );
    let apart = "FROM scratch\nENV A=1\nFROM scratch\nLABEL x=$A";
    assert_eq!(run(apart), "1: scratch\n4 label x=\"\"\n");
}

#[test]
fn only_what_the_target_needs_is_built() {
    let text = "FROM a AS a\nFROM b AS b\nFROM scratch AS c\nCOPY --from=A x /\nFROM c AS d\n\
    COPY --from=0 y /\n\
                COPY --from=img z /\nFROM b AS e";
    let to = |target: &str| {
        let arguments = Arguments { target: Some(target.into()), ..Arguments::default() };
        let dump = run_with(text, &arguments);
        dump.lines()
            .filter(|line| line.contains(": "))
            .map(|line| line[..1].to_string())
            .collect::<Vec<_>>()
            .join("")
    };
    assert_eq!(to("a"), "0");
    assert_eq!(to("D"), "023");
    assert_eq!(to("e"), "14");
    assert_eq!(to("2"), "02");
    assert_eq!(run(text), "1: image b as b\n4: stage 1 as e\n");
}

#[test]
fn the_later_stage_of_a_name_counts() {
    let text = "FROM a AS x\nFROM b AS x\nFROM x";
    assert_eq!(run(text), "1: image b as x\n2: stage 1\n");
    assert_eq!(
        notices(text, &Arguments::default()),
        ["the stage name `x` is used twice; the later one counts"]
    );
}

#[test]
fn tells_what_is_odd() {
    for (text, wanted) in [
        (
            "# syntax=docker/dockerfile:1\nFROM scratch",
            "the directive `syntax=docker/dockerfile:1` is ignored: imgb reads the file itself",
        ),
        ("#check=skip=all\nFROM scratch", "the directive `check=skip=all` is ignored"),
        (
            "FROM scratch\nENV a \\\n\n b",
            "an empty line inside an instruction; Docker plans to refuse these",
        ),
        ("FROM scratch\nENV a=b \\", "the last line ends with a continuation, but no line follows"),
        (
            "FROM scratch\nLABEL a b",
            "LABEL with a space instead of `=` is deprecated: write name=value",
        ),
        (
            "FROM scratch\nMAINTAINER m",
            "MAINTAINER is deprecated: write LABEL org.opencontainers.image.authors=...",
        ),
        (
            "FROM scratch\nCMD [a, b]",
            "this looks like a JSON array but is not one, so it is taken as a shell command",
        ),
        (
            "FROM scratch\nCOPY a --chown=1 /",
            "`--chown=1` is taken as a file: flags come before the first file",
        ),
        (
            "FROM scratch\nCOPY a # b/",
            "`#` is taken as a file: a comment starts only at the start of a line",
        ),
        (
            "FROM scratch\nARG DB_PASSWORD",
            "ARG `DB_PASSWORD` looks like a secret, and anyone who has the image can read it",
        ),
        (
            "FROM scratch\nENV API_KEY=x",
            "ENV `API_KEY` looks like a secret, and anyone who has the image can read it",
        ),
        (
            "FROM scratch\nENV version=1\nLABEL a=$verison",
            "variable `verison` is not set and expands to nothing; did you mean `version`?",
        ),
    ] {
        let found = notices(text, &Arguments::default());
        assert_eq!(found.first().map(String::as_str), Some(wanted), "{text}");
    }
    assert_eq!(
        notices("FROM scratch\nARG a\nLABEL x=$a y=${b:-}\nPACK a # b", &Arguments::default()),
        [""; 0]
    );
}

#[test]
fn directives_end_at_the_first_line_that_is_none() {
    assert_eq!(
        run("\u{feff}#  ESCAPE = ` \nFROM scratch\nLABEL a=`\nb").lines().last(),
        Some("3 label a=\"b\"")
    );
    for text in [
        "\n# escape=`\nFROM scratch\nLABEL a=b`\nLABEL c=d",
        "# x\n# escape=`\nFROM scratch\nLABEL a=b`\nLABEL c=d",
    ] {
        assert!(run(text).contains("label a=\"b`\""), "{text}");
    }
}
