//! A strict JSON parser for OCI documents. It refuses documents that two readers would understand
//! differently, since these can hide an image.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::image::shape::{Shape, conform};

/// Parses `bytes` as a document of the given shape.
///
/// # Errors
/// The text says what is wrong and where.
pub(super) fn document(bytes: &[u8], shape: &Shape) -> Result<Value, String> {
    conform(parse(bytes)?, shape).map_err(|error| error.to_string())
}

/// Parses `bytes` as JSON: UTF-8 without a byte order mark, nothing after the value, at most 128
/// levels deep, and no name twice in one object (OCI image-spec, considerations.md).
///
/// # Errors
/// The text says what is wrong and where.
pub(super) fn parse(bytes: &[u8]) -> Result<Value, String> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    // serde_json itself stops at 128 levels.
    let value = Strict.deserialize(&mut deserializer).map_err(|error| error.to_string())?;
    deserializer.end().map_err(|error| error.to_string())?;
    Ok(value)
}

/// Reads a value and refuses duplicate names.
struct Strict;

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
        while let Some(item) = items.next_element_seed(Self)? {
            out.push(item);
        }
        Ok(Value::Array(out))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut out = Map::new();
        while let Some(name) = fields.next_key::<String>()? {
            if out.contains_key(&name) {
                let name =
                    crate::path::escape(name.chars().take(100).collect::<String>().as_bytes());
                return Err(A::Error::custom(format_args!(
                    "the name `{name}` occurs twice in one object"
                )));
            }
            let value = fields.next_value_seed(Self)?;
            out.insert(name, value);
        }
        Ok(Value::Object(out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_readers_read_differently() {
        for text in [
            r#"{"a":1,"a":1}"#,
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
    fn reads_every_kind_of_value() {
        let text =
            r#"{"a":{"A":"1","a":"2"},"n":[1,-1,0.5,null,true,false,18446744073709551615,""]}"#;
        let value = parse(text.as_bytes()).unwrap();
        assert_eq!(value, serde_json::from_str::<Value>(text).unwrap());
    }

    #[test]
    fn two_spellings_of_a_field_are_refused() {
        let shape = Shape::Object(&[("mediaType", Shape::Text)]);
        let text = br#"{"mediaType":"a","MediaType":"b"}"#;
        let why = document(text, &shape).unwrap_err();
        assert_eq!(why, "`mediaType` is given twice, in two spellings");
    }
}
