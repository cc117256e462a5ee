//! Modes in `--chmod` and `--mode`: octal bits, or symbolic changes as in chmod(1).

/// A mode, or a way to change one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// All twelve bits.
    Bits(u32),
    /// Applied one after the other.
    Changes(Vec<Change>),
}

/// One change, such as `go-w`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The bits that it affects: 0o4700 for `u`, 0o2070 for `g`, 0o1007 for `o`; all for none of
    /// them.
    who: u32,
    operator: Operator,
    permissions: Permissions,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Add,
    Remove,
    Set,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Permissions {
    /// Bits for everyone, and whether `X` was among them.
    Bits { bits: u32, search: bool },
    /// As this class (a shift: 6, 3 or 0) has them.
    Copy(u32),
}

impl Mode {
    /// Reads `0644`, `u+x` or `u=rwX,go=rX`. Without `u`, `g`, `o` or `a`, a change applies to all,
    /// whatever the umask is.
    pub fn parse(text: &str) -> Option<Self> {
        if text.starts_with(|char: char| char.is_ascii_digit()) {
            let octal = text.len() <= 6 && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
            let bits = u32::from_str_radix(text, 8).ok().filter(|&bits| octal && bits <= 0o7777)?;
            return Some(Self::Bits(bits));
        }
        let mut changes = Vec::new();
        for clause in text.split(',') {
            let operators = clause.find(['+', '-', '=']).unwrap_or(clause.len());
            let (who, mut rest) = clause.split_at(operators);
            let who = classes(who)?;
            if rest.is_empty() {
                return None;
            }
            while let Some(operator) = rest.chars().next() {
                let operator = match operator {
                    '+' => Operator::Add,
                    '-' => Operator::Remove,
                    _ => Operator::Set,
                };
                let end = rest[1..].find(['+', '-', '=']).map_or(rest.len(), |at| at + 1);
                changes.push(Change { who, operator, permissions: permissions(&rest[1..end])? });
                rest = &rest[end..];
            }
        }
        Some(Self::Changes(changes))
    }

    /// The new mode of a file that had `mode` (twelve bits).
    pub fn apply(&self, mode: u32, is_dir: bool) -> u32 {
        match self {
            Self::Bits(bits) => *bits,
            Self::Changes(changes) => {
                changes.iter().fold(mode, |mode, change| change.apply(mode, is_dir))
            }
        }
    }
}

impl Change {
    fn apply(self, mode: u32, is_dir: bool) -> u32 {
        let bits = match self.permissions {
            Permissions::Bits { bits, search } if search && (is_dir || mode & 0o111 != 0) => {
                bits | 0o111
            }
            Permissions::Bits { bits, .. } => bits,
            Permissions::Copy(shift) => ((mode >> shift) & 7) * 0o111,
        };
        let bits = bits & self.who;
        match self.operator {
            Operator::Add => mode | bits,
            Operator::Remove => mode & !bits,
            // As in GNU chmod, a directory keeps its set-id bits unless they are named.
            Operator::Set if is_dir => (mode & !(self.who & !0o6000)) | bits,
            Operator::Set => (mode & !self.who) | bits,
        }
    }
}

fn classes(who: &str) -> Option<u32> {
    let bits = who.chars().try_fold(0, |bits, char| {
        Some(
            bits | match char {
                'u' => 0o4700,
                'g' => 0o2070,
                'o' => 0o1007,
                'a' => 0o7777,
                _ => return None,
            },
        )
    })?;
    Some(if bits == 0 { 0o7777 } else { bits })
}

fn permissions(text: &str) -> Option<Permissions> {
    match text {
        "u" => return Some(Permissions::Copy(6)),
        "g" => return Some(Permissions::Copy(3)),
        "o" => return Some(Permissions::Copy(0)),
        _ => {}
    }
    let (mut bits, mut search) = (0, false);
    for char in text.chars() {
        match char {
            'r' => bits |= 0o444,
            'w' => bits |= 0o222,
            'x' => bits |= 0o111,
            's' => bits |= 0o6000,
            't' => bits |= 0o1000,
            'X' => search = true,
            _ => return None,
        }
    }
    Some(Permissions::Bits { bits, search })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_as_chmod_does() {
        for (text, file, dir) in [
            ("0644", 0o644, 0o644),
            ("7777", 0o7777, 0o7777),
            ("0", 0, 0),
            ("u+x", 0o744, 0o755),
            ("+x", 0o755, 0o755),
            ("a-r", 0o200, 0o311),
            ("u=rwX,go=rX", 0o644, 0o755),
            ("go=", 0o600, 0o700),
            ("g=u", 0o664, 0o775),
            ("u=,g+w-r", 0o024, 0o035),
            ("+t", 0o1644, 0o1755),
            ("ug+s", 0o6644, 0o6755),
            ("o+s", 0o644, 0o755),
            ("u+X", 0o644, 0o755),
            ("=", 0, 0),
        ] {
            let mode = Mode::parse(text).unwrap();
            assert_eq!((mode.apply(0o644, false), mode.apply(0o755, true)), (file, dir), "{text}");
        }
    }

    #[test]
    fn refuses_what_chmod_does() {
        for text in [
            "", "8", "0o644", "10000", "00000644", "q+r", "u", "u+q", ",", "u+x,", "rwx", "-1",
            "0644 ",
        ] {
            assert_eq!(Mode::parse(text), None, "{text}");
        }
    }
}
