//! Lists in JSON that are kept up to a limit. What follows is read over: a list may take many times
//! the memory of its text.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, SeqAccess, Visitor},
};

use super::MAX_COMPONENTS;

/// The first [`MAX_COMPONENTS`] items of a list, for `deserialize_with`.
///
/// # Errors
/// If it is not a list, or one of these items is of another type.
pub(super) fn list<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    deserializer.deserialize_seq(First(PhantomData))
}

struct First<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for First<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<T>, A::Error> {
        let mut kept = Vec::new();
        while kept.len() < MAX_COMPONENTS {
            match items.next_element()? {
                Some(item) => kept.push(item),
                None => return Ok(kept),
            }
        }
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(kept)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    thread_local! {
        static MADE: Cell<usize> = const { Cell::new(0) };
    }

    /// An item that counts how many of it are made.
    #[derive(Debug)]
    struct Counted;

    impl<'de> Deserialize<'de> for Counted {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            MADE.set(MADE.get() + 1);
            u8::deserialize(deserializer).map(|_| Self)
        }
    }

    #[test]
    fn no_item_is_made_that_is_not_kept() {
        let json = format!("[{}1]", "1,".repeat(MAX_COMPONENTS + 10));
        let kept: Vec<Counted> = list(&mut serde_json::Deserializer::from_str(&json)).unwrap();
        assert_eq!((kept.len(), MADE.get()), (MAX_COMPONENTS, MAX_COMPONENTS));
        for wrong in ["{}", "[1", "[\"x\"]", "null"] {
            let mut json = serde_json::Deserializer::from_str(wrong);
            list::<_, Counted>(&mut json).unwrap_err();
        }
    }
}
