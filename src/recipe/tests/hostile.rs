//! Text that no one wrote in good faith: an error with a place, never a panic, never much time or
//! memory.

use super::super::MAX_TEXT;
use super::super::fault::FaultKind;
use super::*;

/// Kind, line and column of the first fault.
fn first(bytes: &[u8]) -> (FaultKind, usize, usize) {
    let faults = parse("Buildfile", bytes).unwrap_err();
    let place = faults.source.position(faults.faults[0].span.start);
    (faults.faults[0].kind.clone(), place.line, place.column)
}

#[test]
fn bytes_that_are_no_text() {
    assert_eq!(first(b"FROM scratch\nLABEL a=\xff\xfe\n"), (FaultKind::NotUtf8, 2, 9));
    assert_eq!(first(b"FROM scratch\n# \0\n"), (FaultKind::Nul, 2, 3));
    assert_eq!(first(b"\xff\xfeF\0R\0"), (FaultKind::NotUtf8, 1, 1));
    assert!(parse("Buildfile", b"\xef\xbb\xbfFROM scratch\r\nLABEL a=b\r\n").is_ok());
}

#[test]
fn files_that_are_too_long() {
    let text = "#".repeat(MAX_TEXT + 1);
    let size = text.len();
    assert_eq!(first(text.as_bytes()), (FaultKind::TooLong { size, max: MAX_TEXT }, 1, 1));
    assert_eq!(first(&text.as_bytes()[1..]).0, FaultKind::NoStage);
}

/// As long as is allowed, made of one piece.
fn filled(head: &str, piece: &str) -> String {
    let count = (MAX_TEXT - head.len()) / piece.len();
    head.to_string() + &piece.repeat(count)
}

#[test]
fn long_lines_and_many_lines() {
    for (head, piece) in [
        ("FROM scratch\nLABEL a=", "x"),
        ("FROM scratch\nCMD ", "["),
        ("FROM scratch\nLABEL a=", "\\"),
        ("FROM scratch\nENV ", "A=$A "),
        ("FROM scratch\nENV A=a\n", "ENV A=$A$A\n"),
        ("FROM scratch\nENV a=b", "\\\n"),
        ("FROM scratch\nLABEL a=", "${a:-"),
        ("FROM scratch\nLABEL a=", "\"$a"),
        ("FROM scratch\nCOPY ", "<<A "),
        ("FROM scratch\n", "COPY <<A /\nA\n"),
        ("FROM scratch\n", "EXPOSE 1-65535\n"),
        ("FROM scratch\n", "FOO\n"),
        ("FROM scratch\n", "ARG SECRET\n"),
        ("FROM scratch\nENV A=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n", "ENV B=${A##*x*x*x*x*y}\n"),
        ("", "FROM a\n"),
        ("", "FROM scratch AS a\n"),
        ("", "\u{feff}"),
        ("", "\n"),
        ("", "# escape=\\\n"),
        ("FROM scratch\nCOPY a\\\n", "*/"),
        ("FROM scratch\n", "LABEL a=$b\n"),
        ("FROM scratch\n\u{1b}[31m", "\u{7}"),
    ] {
        let text = filled(head, piece);
        let shown = match evaluate_on(&text, &Arguments::default(), &Inherited::default()) {
            Ok((recipe, evaluation)) => {
                let notices =
                    evaluation.notices.iter().take(50).map(|notice| notice.show(&recipe.source));
                notices.collect::<Vec<_>>().join("\n")
            }
            Err(faults) => faults.to_string(),
        };
        assert!(shown.len() < 100_000, "{head:?} {piece:?}: {} bytes", shown.len());
        assert!(!shown.contains(['\u{1b}', '\u{7}']), "{head:?} {piece:?}");
    }
}

#[test]
fn doubling_ends_at_the_limit() {
    let doubling = "FROM scratch\nENV A=ab\n".to_string() + &"ENV A=$A$A\n".repeat(40);
    let faults = evaluate_on(&doubling, &Arguments::default(), &Inherited::default()).unwrap_err();
    assert_eq!(faults.faults[0].kind, FaultKind::TooLarge);
    let wide = "FROM scratch\nARG A\n".to_string() + &"ENV B=$A\nENV C=$A\n".repeat(30);
    let faults =
        evaluate_on(&wide, &build_args(&[("A", &"x".repeat(1 << 20))]), &Inherited::default())
            .unwrap_err();
    assert_eq!(faults.faults[0].kind, FaultKind::TooLarge);
}

/// A generator of numbers that needs no crate: xorshift64*.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let drawn = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(drawn).unwrap() % sides
    }
}

const SEEDS: &[&str] = &[
    include_str!("../../../Buildfile.example"),
    "# escape=`\nARG a=b\nFROM --platform=$X scratch AS c\nCOPY --from=c <<-'E' \"x y\" \
    /d/\n\tf\nE\nENV g h `\n # i\n\n j\n",
    "FROM x\nENV A=${B:-${C#*/}} D=${E//f\\/g/h} I='j k' L=\"m\\\"n\"\nEXPOSE 1-2/udp ${P}\n\
    HEALTHCHECK --retries=3 CMD [\"a\"]\n",
    "FROM a\nPACK --soft=all a b /c/ # d\nMKDIR --mode=u+x /e\nSYMLINK f g\nCAP h i\n\
    ONBUILD RUN <<E\nE\nSHELL [\"j\", \"k\"]\n",
];

/// Bytes that mean something somewhere.
const PIECES: &[&[u8]] = &[
    b"\\",
    b"\n",
    b"\r\n",
    b"\"",
    b"'",
    b"$",
    b"${",
    b"}",
    b"[",
    b"]",
    b"<<",
    b"<<-",
    b"=",
    b"#",
    b"--",
    b" ",
    b"\t",
    b"`",
    b":",
    b"/",
    b"*",
    b"\xff",
    b"\0",
    b"\xef\xbb\xbf",
    b"FROM ",
    b"COPY ",
    b"..",
    b"%",
    b"\xc2\xa0",
    b"-",
    b"0",
];

#[test]
fn survives_mutations() {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let arguments = build_args(&[("a", "1"), ("E", "x/y")]);
    let (mut accepted, mut refused) = (0, 0);
    for round in 0..6000 {
        let mut bytes = SEEDS[dice.roll(SEEDS.len())].as_bytes().to_vec();
        for _ in 0..=dice.roll(4) {
            let at = dice.roll(bytes.len() + 1);
            let piece = PIECES[dice.roll(PIECES.len())];
            match dice.roll(4) {
                0 => drop(bytes.splice(at..at, piece.iter().copied())),
                1 => bytes.truncate(at.max(1)),
                2 => drop(bytes.drain(at..(at + dice.roll(20)).min(bytes.len()))),
                _ => {
                    let end = (at + piece.len()).min(bytes.len());
                    bytes.splice(at..end, piece.iter().copied());
                }
            }
        }
        let result = match std::str::from_utf8(&bytes) {
            Ok(text) => evaluate_on(text, &arguments, &Inherited::default()).map(drop),
            Err(_) => parse("Buildfile", &bytes).map(drop),
        };
        let Err(faults) = result else {
            accepted += 1;
            continue;
        };
        refused += 1;
        let text = &faults.source.text;
        for fault in &faults.faults {
            let inside = fault.span.start <= fault.span.end && fault.span.end <= text.len();
            assert!(
                inside && text.is_char_boundary(fault.span.start),
                "round {round}: {fault:?} in {text:?}"
            );
        }
        assert!(faults.to_string().contains("--> Buildfile:"), "round {round}");
    }
    assert!(accepted > 300 && refused > 300, "{accepted} accepted, {refused} refused");
}
