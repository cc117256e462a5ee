//! Configurations, field by field.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::Field;
use crate::image::Config;

/// Objects whose names are data: each entry counts, whatever its value.
const MAPS: [&str; 3] = ["config.ExposedPorts", "config.Labels", "config.Volumes"];

/// The list of variables, each of which is a field of its own.
const ENVIRONMENT: &str = "config.Env";

/// The fields in which two configurations differ. A missing field is the same as an empty one. The
/// layers, which have their own comparison, are left out.
pub(super) fn compare(a: &Config, b: &Config) -> Vec<Field> {
    let mut fields = Vec::new();
    let (mut a, mut b) = (a.original.clone(), b.original.clone());
    a.remove("rootfs");
    b.remove("rootfs");
    objects("", &a, &b, false, &mut fields);
    fields
}

/// The fields in which two documents differ. Everything counts.
pub(super) fn exactly(a: &Value, b: &Value) -> Vec<Field> {
    let mut fields = Vec::new();
    values("", a, b, true, &mut fields);
    fields
}

fn objects(
    at: &str,
    a: &Map<String, Value>,
    b: &Map<String, Value>,
    exact: bool,
    fields: &mut Vec<Field>,
) {
    let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    for name in names {
        let path = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
        match (a.get(name), b.get(name)) {
            (Some(a), Some(b)) => values(&path, a, b, exact, fields),
            (a, b) => {
                let (a, b) = (a.cloned().unwrap_or_default(), b.cloned().unwrap_or_default());
                match exact {
                    true => fields.push(Field::new(path, a, b)),
                    false => values(&path, &a, &b, exact, fields),
                }
            }
        }
    }
}

fn values(at: &str, a: &Value, b: &Value, exact: bool, fields: &mut Vec<Field>) {
    let (exact, nothing) = (exact || MAPS.contains(&at), Map::new());
    if a == b || !exact && is_empty(a) && is_empty(b) {
        return;
    }
    let object = |value: &'_ Value| match value {
        Value::Object(object) => Some(object.clone()),
        Value::Null if !at.is_empty() => Some(nothing.clone()),
        _ => None,
    };
    if let (Some(a), Some(b)) = (object(a), object(b)) {
        return objects(at, &a, &b, exact, fields);
    }
    if at == ENVIRONMENT {
        return variables(a, b, fields);
    }
    let is_list_of_objects =
        |value: &Value| value.as_array().is_some_and(|all| all.iter().any(Value::is_object));
    if is_list_of_objects(a) || is_list_of_objects(b) {
        let items = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let (a, b) = (items(a), items(b));
        for index in 0..a.len().max(b.len()) {
            let item = |list: &[Value]| list.get(index).cloned().unwrap_or_default();
            values(&format!("{at}[{index}]"), &item(&a), &item(&b), exact, fields);
        }
        return;
    }
    fields.push(Field::new(at, a.clone(), b.clone()));
}

/// Whether a field with this value is the same as no field.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    }
}

/// Compares two lists of `NAME=VALUE`: by name, and in their order if nothing else differs.
fn variables(a: &Value, b: &Value, fields: &mut Vec<Field>) {
    let list = |value: &Value| -> Vec<String> {
        let items = value.as_array().into_iter().flatten();
        items.map(|item| item.as_str().unwrap_or_default().to_owned()).collect()
    };
    let (list_a, list_b) = (list(a), list(b));
    let by_name = |list: &[String]| -> BTreeMap<String, Value> {
        let pair = |entry: &String| match entry.split_once('=') {
            Some((name, value)) => (name.to_owned(), value.into()),
            None => (entry.clone(), entry.clone().into()),
        };
        list.iter().map(pair).collect()
    };
    let before = fields.len();
    let (names_a, names_b) = (by_name(&list_a), by_name(&list_b));
    let names: BTreeSet<&String> = names_a.keys().chain(names_b.keys()).collect();
    for name in names {
        let (a, b) = (names_a.get(name), names_b.get(name));
        if a != b {
            let value = |value: Option<&Value>| value.cloned().unwrap_or_default();
            fields.push(Field::new(format!("{ENVIRONMENT}.{name}"), value(a), value(b)));
        }
    }
    if fields.len() == before {
        fields.push(Field::new(ENVIRONMENT, list_a, list_b));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::image::Platform;

    fn names(a: Value, b: Value) -> Vec<String> {
        let parse = |value| Config::parse(value, &Platform::linux("amd64", None)).unwrap();
        compare(&parse(a), &parse(b)).iter().map(Field::text).collect()
    }

    #[test]
    fn each_field_is_named_once() {
        let a = json!({"created": "2020-01-01T00:00:00Z", "config": {
            "Env": ["A=1", "B=2", "C"], "Labels": {"x": "1", "y": ""}, "Volumes": {"/v": {}},
            "Entrypoint": ["/a", "-x"], "User": "", "Healthcheck": {"Test": ["NONE"]}},
            "history": [{"created_by": "one"}, {"created_by": "two"}]});
        let b = json!({"created": "2020-01-01T00:00:01Z", "config": {
            "Env": ["A=2", "B=2", "D=4"], "Labels": {"x": "2"}, "Volumes": {"/w": {}},
            "Entrypoint": ["-x", "/a"], "Tty": false,
            "Healthcheck": {"Test": ["NONE"], "Retries": 3}},
            "history": [{"created_by": "one"}, {"created_by": "2"}, {"created_by": "3"}]});
        let wanted = [
            "config.Entrypoint: [\"/a\",\"-x\"] → [\"-x\",\"/a\"]",
            "config.Env.A: 1 → 2",
            "config.Env.C: C → (none)",
            "config.Env.D: (none) → 4",
            "config.Healthcheck.Retries: (none) → 3",
            "config.Labels.x: 1 → 2",
            "config.Labels.y: \"\" → (none)",
            "config.Volumes./v: {} → (none)",
            "config.Volumes./w: (none) → {}",
            "created: 2020-01-01T00:00:00Z → 2020-01-01T00:00:01Z",
            "history[1].created_by: two → 2",
            "history[2].created_by: (none) → 3",
        ];
        assert_eq!(names(a, b), wanted);
    }

    #[test]
    fn what_says_nothing_does_not_differ() {
        let nothing = json!({"config": null});
        let empty = json!({"config": {"Env": [], "User": "", "Tty": false, "Labels": {},
            "Healthcheck": {"Interval": 0}}, "history": []});
        assert!(names(nothing, empty).is_empty());
        let order = |env: Value| json!({"config": {"Env": env}});
        let order = names(order(json!(["A=1", "B=2"])), order(json!(["B=2", "A=1"])));
        assert_eq!(order, ["config.Env: [\"A=1\",\"B=2\"] → [\"B=2\",\"A=1\"]"]);
    }
}
