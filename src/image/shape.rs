//! The shape of a JSON document: its fields and the kind of value in each.
//!
//! Engines decode documents with Go's encoding/json, which takes `entrypoint` for `Entrypoint`, and
//! refuses a value of another kind. [`conform`] does both to a document before it is used.

use serde_json::{Map, Value};

use crate::timestamp::Timestamp;

/// The kind of a value. `null` is of every kind, as in Go.
#[derive(Debug)]
pub(crate) enum Shape {
    /// Any value.
    Any,
    /// A string.
    Text,
    /// A string that is a time of RFC 3339.
    Time,
    /// `true` or `false`.
    Bool,
    /// A whole number of 64 bits.
    Integer,
    /// A list of values of one kind.
    List(&'static Shape),
    /// An object whose names the user chose, and values of one kind.
    Map(&'static Shape),
    /// An object with these fields. Others are kept as they are.
    Object(&'static [(&'static str, Shape)]),
}

/// Why a document does not have its shape.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// A value of another kind.
    #[error("{} is {found}, not {expected}", field(.path))]
    Kind {
        /// Where the value is, such as `config.Env`; empty for the document itself.
        path: String,
        /// The kind of the value.
        found: &'static str,
        /// What the field holds.
        expected: &'static str,
    },
    /// Two spellings of one field: readers would take different values.
    #[error("{} is given twice, in two spellings", field(.path))]
    Twice {
        /// Where the field is, in its proper spelling.
        path: String,
    },
}

fn field(path: &str) -> String {
    if path.is_empty() { "the document".into() } else { format!("`{path}`") }
}

/// Gives the fields of `value` that `shape` names their proper spelling, and checks their kinds.
///
/// # Errors
/// [`ShapeError`]: the first field that differs.
pub(crate) fn conform(value: Value, shape: &Shape) -> Result<Value, ShapeError> {
    conform_at(value, shape, &mut String::new())
}

fn conform_at(value: Value, shape: &Shape, path: &mut String) -> Result<Value, ShapeError> {
    match (shape, value) {
        (Shape::Any, value) => Ok(value),
        (_, Value::Null) => Ok(Value::Null),
        (Shape::Text, value @ Value::String(_)) | (Shape::Bool, value @ Value::Bool(_)) => {
            Ok(value)
        }
        (Shape::Time, Value::String(text)) if Timestamp::from_rfc3339(&text).is_some() => {
            Ok(text.into())
        }
        (Shape::Integer, value) if value.is_i64() || value.is_u64() => Ok(value),
        (Shape::List(item), Value::Array(items)) => {
            let items = items.into_iter().enumerate();
            let items = items.map(|(at, value)| below(path, &format!("[{at}]"), value, item));
            items.collect::<Result<Vec<_>, _>>().map(Value::Array)
        }
        (Shape::Map(item), Value::Object(fields)) => {
            let fields = fields.into_iter().map(|(name, value)| {
                let step = format!(".{}", crate::path::escape(name.as_bytes()));
                Ok((name, below(path, &step, value, item)?))
            });
            fields.collect::<Result<Map<_, _>, _>>().map(Value::Object)
        }
        (Shape::Object(known), Value::Object(fields)) => object(fields, known, path),
        (shape, value) => {
            let (found, expected) = (kind(&value), shape.name());
            Err(ShapeError::Kind { path: path.clone(), found, expected })
        }
    }
}

/// Conforms a value one step below `path`.
fn below(path: &mut String, step: &str, value: Value, shape: &Shape) -> Result<Value, ShapeError> {
    let len = path.len();
    path.push_str(if len == 0 { step.trim_start_matches('.') } else { step });
    let value = conform_at(value, shape, path)?;
    path.truncate(len);
    Ok(value)
}

fn object(
    fields: Map<String, Value>,
    known: &'static [(&'static str, Shape)],
    path: &mut String,
) -> Result<Value, ShapeError> {
    let mut out = Map::new();
    for (name, value) in fields {
        let Some((proper, shape)) = known.iter().find(|(known, _)| is_same(known, &name)) else {
            out.insert(name, value);
            continue;
        };
        let value = below(path, &format!(".{proper}"), value, shape)?;
        if out.insert((*proper).to_owned(), value).is_some() {
            let separator = if path.is_empty() { "" } else { "." };
            return Err(ShapeError::Twice { path: format!("{path}{separator}{proper}") });
        }
    }
    Ok(Value::Object(out))
}

/// Whether Go's encoding/json takes `name` for the field `known` (`foldName`, fold.go). Two letters
/// outside of ASCII have an ASCII letter as their other case.
fn is_same(known: &str, name: &str) -> bool {
    let fold = |char: char| match char {
        'ſ' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    };
    known.chars().map(fold).eq(name.chars().map(fold))
}

/// What a value is, for messages.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

impl Shape {
    /// What a field of this shape holds, for messages.
    fn name(&self) -> &'static str {
        match self {
            Self::Any => "a value",
            Self::Text => "a string",
            Self::Time => "a time of RFC 3339",
            Self::Bool => "`true` or `false`",
            Self::Integer => "a whole number",
            Self::List(Self::Text) => "a list of strings",
            Self::List(_) => "a list",
            Self::Map(_) | Self::Object(_) => "an object",
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SHAPE: Shape = Shape::Object(&[
        ("Env", Shape::List(&Shape::Text)),
        ("Labels", Shape::Map(&Shape::Text)),
        ("StopTimeout", Shape::Integer),
        ("created", Shape::Time),
        ("config", Shape::Object(&[("Tasks", Shape::Map(&Shape::Object(&[])))])),
    ]);

    #[test]
    fn fields_get_their_proper_spelling_and_user_names_keep_theirs() {
        let value = json!({
            "env": ["A=1"], "lABELS": {"env": "x", "Env": "y"}, "other": {"ENV": 1},
            "Config": {"ta\u{17f}\u{212a}s": {"80": {}}}, "CREATED": "0001-01-01T00:00:00Z",
        });
        let wanted = json!({
            "Env": ["A=1"], "Labels": {"env": "x", "Env": "y"}, "other": {"ENV": 1},
            "config": {"Tasks": {"80": {}}}, "created": "0001-01-01T00:00:00Z",
        });
        assert_eq!(conform(value, &SHAPE).unwrap(), wanted);
        let nothing = json!({"Env": null, "Labels": {"a": null}, "config": null});
        assert_eq!(conform(nothing.clone(), &SHAPE).unwrap(), nothing);
    }

    #[test]
    fn a_value_of_another_kind_is_named() {
        for (value, wanted) in [
            (json!([]), "the document is a list, not an object"),
            (json!({"env": {}}), "`Env` is an object, not a list of strings"),
            (json!({"Env": ["a", 1]}), "`Env[1]` is a number, not a string"),
            (json!({"Labels": {"a\n": []}}), "`Labels.a\\x0a` is a list, not a string"),
            (json!({"StopTimeout": 1.5}), "`StopTimeout` is a number, not a whole number"),
            (json!({"created": ""}), "`created` is a string, not a time of RFC 3339"),
            (json!({"config": {"tasks": []}}), "`config.Tasks` is a list, not an object"),
            (json!({"Env": [], "env": []}), "`Env` is given twice, in two spellings"),
            (
                json!({"config": {"tasks": {}, "TASKS": {}}}),
                "`config.Tasks` is given twice, in two spellings",
            ),
        ] {
            assert_eq!(conform(value, &SHAPE).unwrap_err().to_string(), wanted);
        }
    }
}
