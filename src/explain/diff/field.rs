//! One field in which two things differ.

use serde_json::{Value, json};

/// A field and its values on both sides.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// The name; that of a field inside others has dots.
    pub name: String,
    /// The value in the first; null where it has none.
    pub a: Value,
    /// The value in the second.
    pub b: Value,
}

impl Field {
    pub(super) fn new(name: impl Into<String>, a: impl Into<Value>, b: impl Into<Value>) -> Self {
        Self { name: name.into(), a: a.into(), b: b.into() }
    }

    /// The field, if its values differ.
    pub(super) fn differing<T: Into<Value> + PartialEq>(name: &str, a: T, b: T) -> Option<Self> {
        (a != b).then(|| Self::new(name, a, b))
    }

    /// An object with `field`, `a` and `b`.
    pub fn json(&self) -> Value {
        json!({"field": self.name, "a": self.a, "b": self.b})
    }

    /// `name: a → b`; text without quotes.
    pub fn text(&self) -> String {
        format!("{}: {} → {}", self.name, shown(&self.a), shown(&self.b))
    }
}

/// A value as people read it.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "(none)".into(),
        Value::String(text) if text.is_empty() => "\"\"".into(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
