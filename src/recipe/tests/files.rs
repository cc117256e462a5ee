//! Instructions that make files.

use super::*;

#[test]
fn copies() {
    for (text, wanted) in [
        ("COPY a b/ /c/", "copy \"a\" \"b/\" to /c (dir)"),
        ("COPY a .", "copy \"a\" to / (dir)"),
        ("COPY a b ./", "copy \"a\" \"b\" to / (dir)"),
        ("COPY a /../x", "copy \"a\" to /x"),
        ("COPY a \"\"", "copy \"a\" to / (dir)"),
        ("COPY [\"s p\", \"/d d\"]", "copy \"s p\" to /d d"),
        ("COPY \\$x s?p *.[ch] /d/", "copy \"$x\" \"s?p\" \"*.[ch]\" to /d (dir)"),
        ("COPY /a //b", "copy \"/a\" to /b"),
        ("COPY --chown=1 --chmod=0644 a /", "copy \"a\" to / (dir) owner=1 mode=Bits(420)"),
        ("COPY --chown=u:g a /", "copy \"a\" to / (dir) owner=<u>:<g>"),
        ("COPY --chown= --link a /", "copy \"a\" to / (dir)"),
        (
            "COPY --exclude=*.md --exclude=\"x y\" --parents a/./b /",
            "copy \"a/./b\" to / (dir) exclude=[\"*.md\", \"x y\"] parents",
        ),
        ("COPY --from=busybox:1 a /", "copy \"a\" to / (dir) from image busybox:1"),
        ("COPY --from=busybox ../a /", "copy \"../a\" to / (dir) from image busybox"),
        ("COPY -- --a /", "copy \"--a\" to / (dir)"),
        ("ADD a.tar.gz /", "add \"a.tar.gz\" to / (dir)"),
        ("ADD --unpack=false a.tar.gz /", "copy \"a.tar.gz\" to / (dir)"),
        ("ADD --chmod=u+x,go-w a /b", "add \"a\" to /b mode="),
    ] {
        let steps = steps(text);
        assert!(steps.starts_with(&format!("2 {wanted}")), "{text}: {steps}");
    }
}

#[test]
fn destinations_are_under_the_working_directory() {
    assert_eq!(
        steps(
            "WORKDIR /w\nCOPY a b/c\nCOPY a ..\nCOPY a /x\nMKDIR d\nSYMLINK ../x y\n\
            CAP z cap_chown+ep"
        ),
        "2 workdir /w\n3 copy \"a\" to /w/b/c\n4 copy \"a\" to /\n5 copy \"a\" to /x\n\
        6 mkdir [`/w/d`]\n\
         7 symlink /w/y -> ../x\n8 cap /w/z cap_chown+ep\n"
    );
}

#[test]
fn here_documents_are_files() {
    let text = "ARG v=1\nCOPY <<A <<-\"B\" c /d/\n$v '$v' \\$v\nA\n\t# $v\n\t\tx\n\tB\n\
    COPY <<E /e\nE\nLABEL a=b";
    assert_eq!(
        steps(text),
        "2 arg v=\"1\"\n3 copy <<A \"1 '1' $v\\n\" <<B \"# $v\\nx\\n\" \"c\" to /d (dir)\n\
         9 copy <<E \"\" to /e\n11 label a=\"b\"\n"
    );
    assert_eq!(steps("COPY [\"<<A\", \"/d\"]"), "2 copy \"<<A\" to /d\n");
}

#[test]
fn packs() {
    for (text, wanted) in [
        ("PACK ./app", "pack [\"./app\"]"),
        ("PACK ./app /usr/bin/app     # the program", "pack [\"./app\"] to /usr/bin/app"),
        ("PACK curl jq strace", "pack [\"curl\", \"jq\", \"strace\"]"),
        ("PACK a b bin/", "pack [\"a\", \"b\"] to /bin (dir)"),
        ("PACK /bin/a", "pack [\"/bin/a\"]"),
        ("PACK \"a b\" 'c d/'", "pack [\"a b\"] to /c d (dir)"),
        (
            "PACK --soft=all --library-path=lib --library-path=/l --sysroot=/s a",
            "pack [\"a\"] library-path=[\"lib\", \"/l\"] soft=All sysroot=\"/s\"",
        ),
        (
            "MKDIR --mode=1777 --chown=0:5 /a b/c # tmp",
            "mkdir [`/a`, `/b/c`] mode=Bits(1023) owner=0:5",
        ),
        ("SYMLINK /usr/bin/app /app", "symlink /app -> /usr/bin/app"),
        ("CAP /app cap_net_bind_service+ep", "cap /app cap_net_bind_service+ep"),
    ] {
        assert_eq!(steps(text), format!("2 {wanted}\n"), "{text}");
    }
}

#[test]
fn refuses() {
    for (text, wanted) in [
        ("COPY a", "COPY needs at least one source, and a destination"),
        ("COPY", "COPY needs at least one source, and a destination"),
        ("COPY []", "COPY needs at least one source, and a destination"),
        ("COPY a b c", "COPY with several sources needs a destination that ends in `/`"),
        ("COPY \"a b\" /", "the quote \" is not closed"),
        ("COPY ../a /", "`../a` is outside the context"),
        ("COPY a/../../b /", "`a/../../b` is outside the context"),
        ("COPY http://x/y /", "COPY from a URL is not supported: `http://x/y`"),
        ("ADD https://x/y /", "ADD from a URL is not supported: `https://x/y`"),
        ("ADD git@x:y /", "ADD from a URL is not supported: `git@x:y`"),
        (
            "ADD --checksum=sha256:0 a /",
            "`--checksum` is for downloaded sources, which imgb does not support",
        ),
        ("ADD --from=x a /", "ADD has no flag `--from`"),
        ("COPY --foo=1 a /", "COPY has no flag `--foo`"),
        ("COPY --chown a /", "`--chown` needs a value: `--chown=...`"),
        ("COPY --chown=1 --chown=2 a /", "`--chown` is given twice"),
        ("COPY --link=maybe a /", "`--link` is true or false, not `maybe`"),
        ("COPY --chown=1:2:3 a /", "`1:2:3` is not an owner"),
        ("COPY --chmod=9 a /", "`9` is not a mode"),
        ("COPY --from=$x a /", "`--from` takes no variables"),
        ("COPY --from=9 a /", "there is no stage 9: stages are numbered from 0 to 0"),
        ("COPY --from=0 a /", "stage `0` is defined later in the file"),
        (
            "COPY --exclude=[ a /",
            "the pattern `[` cannot be read: a `[...]` class in it is malformed",
        ),
        ("COPY a[ /", "the pattern `a[` cannot be read: a `[...]` class in it is malformed"),
        ("COPY a <<E\nE", "COPY cannot take a here-document as its destination"),
        ("COPY <<E /\nE x", "the here-document `E` has no end: no line is just `E`"),
        ("COPY <<'E /\nE", "the name of the here-document is malformed"),
        ("PACK", "PACK needs a program"),
        ("PACK # none", "PACK needs a program"),
        ("PACK /a /b /c", "PACK with several sources needs a destination that ends in `/`"),
        ("PACK --soft=some a", "`some` is not one of none, auto and all"),
        ("PACK \"\"", "the program is empty"),
        ("MKDIR", "MKDIR needs a directory"),
        ("MKDIR \"\"", "the path is empty"),
        ("SYMLINK a", "SYMLINK needs a target and the path of the link"),
        ("SYMLINK a b c", "SYMLINK needs a target and the path of the link"),
        ("SYMLINK \"\" b", "the target is empty"),
        ("CAP /a", "CAP needs a file and its capabilities"),
        ("CAP /a \"\"", "the capability is empty"),
    ] {
        assert_eq!(messages(text)[0], wanted, "{text}");
    }
    let long = "x".repeat(256);
    assert_eq!(
        messages(&format!("MKDIR {long}")),
        [format!(
            "`{long}` cannot be a path in the image: the path or one of its components is too long"
        )]
    );
}
