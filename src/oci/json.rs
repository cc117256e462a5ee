//! A strict JSON parser for OCI documents. It refuses documents that two readers would understand
//! differently, since these can hide an image.

use std::{cell::RefCell, fmt, rc::Rc};

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Fields whose value is a map with names that the user chose. In these maps `Version` and
/// `version` are different names.
const FREE_MAPS: [&str; 5] = ["annotations", "Labels", "ExposedPorts", "Volumes", "Env"];

/// Parses `bytes` as JSON: UTF-8 without a byte order mark, nothing after the value, at most 128
/// levels deep, and no name twice in one object (OCI image-spec, considerations.md). Names of
/// fields are compared without regard to case, since Go's decoder takes `MediaType` for
/// `mediaType`.
///
/// # Errors
/// The text says what is wrong and where.
pub(super) fn parse(bytes: &[u8]) -> Result<Value, String> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    // serde_json itself stops at 128 levels.
    let path = Rc::new(RefCell::new(Vec::new()));
    let value =
        Strict { path }.deserialize(&mut deserializer).map_err(|error| error.to_string())?;
    deserializer.end().map_err(|error| error.to_string())?;
    Ok(value)
}

/// Reads a value and refuses duplicate names.
struct Strict {
    /// The names of the fields that enclose the value, outermost first.
    path: Rc<RefCell<Vec<String>>>,
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut out = Vec::new();
        while let Some(item) = items.next_element_seed(Self { path: Rc::clone(&self.path) })? {
            out.push(item);
        }
        Ok(Value::Array(out))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let free = self.path.borrow().last().is_some_and(|field| FREE_MAPS.contains(&&**field));
        let mut out = Map::new();
        let mut folded = std::collections::BTreeSet::new();
        while let Some(name) = fields.next_key::<String>()? {
            let key = if free { name.clone() } else { name.to_lowercase() };
            if !folded.insert(key) {
                let name =
                    crate::path::escape(name.chars().take(100).collect::<String>().as_bytes());
                return Err(A::Error::custom(format_args!(
                    "the name `{name}` occurs twice in one object"
                )));
            }
            self.path.borrow_mut().push(name.clone());
            let value = fields.next_value_seed(Self { path: Rc::clone(&self.path) })?;
            self.path.borrow_mut().pop();
            out.insert(name, value);
        }
        Ok(Value::Object(out))
    }
}

/// The fields of a document. Fields named in `known` must have exactly that spelling.
///
/// # Errors
/// If `value` is not an object; otherwise as [`check_case`].
pub(super) fn fields<'a>(
    value: &'a Value,
    known: &[&str],
) -> Result<&'a Map<String, Value>, String> {
    let fields = value.as_object().ok_or("not a JSON object")?;
    check_case(fields, known)?;
    Ok(fields)
}

/// Checks that fields named in `known` have exactly that spelling: a reader that ignores case would
/// otherwise see fields that this one does not.
///
/// # Errors
/// If there is a known field in another case.
pub(super) fn check_case(fields: &Map<String, Value>, known: &[&str]) -> Result<(), String> {
    let wrong = |name: &&String| {
        known.iter().any(|known| known.eq_ignore_ascii_case(name) && known != *name)
    };
    match fields.keys().find(wrong) {
        Some(name) => Err(format!("the field `{name}` has the wrong case")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_readers_read_differently() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"x":{"mediaType":"a","MediaType":"b"}}"#,
            r#"{"a":[{"b":1,"b":2}]}"#,
            "\u{feff}{}",
            "{} x",
            r#"{"a":1e400}"#,
            r#"{"a":"\ud800"}"#,
            "",
            "{",
        ] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(parse(&[&b"["[..]; 100_000].concat()).is_err());
        assert!(parse(b"{\"a\":\"\xff\"}").is_err());
    }

    #[test]
    fn case_matters_in_free_maps() {
        let text =
            r#"{"config":{"Labels":{"Version":"1","version":"2"}},"n":[1,-1,0.5,null,true]}"#;
        let value = parse(text.as_bytes()).unwrap();
        assert_eq!(value, serde_json::from_str::<Value>(text).unwrap());
        assert!(parse(br#"{"Labels":{"a":1,"a":2}}"#).is_err());
        assert!(fields(&serde_json::json!({"Layers": []}), &["layers"]).is_err());
    }
}
