//! Owners in `--chown`.

/// The owner of copied files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The part before the colon.
    pub user: Principal,
    /// The part after the colon; the user's group if `None`.
    pub group: Option<Principal>,
}

/// A user or a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// An id.
    Id(u32),
    /// By a name in the image's `/etc/passwd` or `/etc/group`.
    Name(String),
}

impl Owner {
    /// Reads `USER` or `USER:GROUP`; neither may be empty.
    pub fn parse(text: &str) -> Option<Self> {
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(Principal::parse(group)?)),
            None => (text, None),
        };
        Some(Self { user: Principal::parse(user)?, group })
    }
}

impl Principal {
    fn parse(text: &str) -> Option<Self> {
        let number = text.bytes().all(|byte| byte.is_ascii_digit());
        match text {
            "" => None,
            _ if text.contains([':', '/', '\n', '\0']) => None,
            // The largest id is not valid: for chown(2) it means "leave unchanged".
            _ if number => text.parse().ok().filter(|&id| id != u32::MAX).map(Self::Id),
            _ => Some(Self::Name(text.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_owners() {
        let name = |text: &str| Principal::Name(text.into());
        assert_eq!(Owner::parse("5"), Some(Owner { user: Principal::Id(5), group: None }));
        assert_eq!(
            Owner::parse("a:7"),
            Some(Owner { user: name("a"), group: Some(Principal::Id(7)) })
        );
        for text in ["", ":", "a:", ":a", "a:b:c", "4294967295", "9999999999", "a/b"] {
            assert_eq!(Owner::parse(text), None, "{text}");
        }
    }
}
