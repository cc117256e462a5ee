//! The keywords of JSON Schema (draft 7) that the schemas in `tests/it/schemas` have. One that is
//! not known here fails the test, so that nothing is passed over.

use std::{collections::BTreeMap, path::Path};

use serde_json::Value;

/// Keywords that only describe, or belong to another one. A format is a description, unless a
/// validator is told otherwise.
const PASSED: [&str; 15] = [
    "$comment",
    "$id",
    "$schema",
    "additionalItems",
    "additionalProperties",
    "default",
    "definitions",
    "deprecated",
    "description",
    "examples",
    "format",
    "if",
    "meta:enum",
    "properties",
    "title",
];

/// Schemas that refer to each other by the names of their files.
struct Schemas(BTreeMap<String, Value>);

/// What is wrong with `value` by the schema in the file `name`: each with its place.
pub(crate) fn faults(name: &str, value: &Value) -> Vec<String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/schemas");
    let entries = fs_err::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let schema = |path: std::path::PathBuf| {
        let name = path.file_name()?.to_str()?.to_owned();
        let is_schema = name.ends_with(".json");
        is_schema.then(|| (name, serde_json::from_slice(&fs_err::read(path).unwrap()).unwrap()))
    };
    let schemas = Schemas(entries.filter_map(schema).collect());
    let mut found = Vec::new();
    schemas.check((name, &schemas.0[name]), value, "$", &mut found);
    found
}

impl Schemas {
    fn check(
        &self,
        (file, schema): (&str, &Value),
        value: &Value,
        at: &str,
        out: &mut Vec<String>,
    ) {
        let Some(fields) = schema.as_object() else {
            if *schema == false {
                out.push(format!("{at}: nothing may be here"));
            }
            return;
        };
        if let Some(target) = fields.get("$ref") {
            return self.check(self.target(file, target.as_str().unwrap()), value, at, out);
        }
        self.check_fields((file, schema), value, at, out);
        for (keyword, one) in fields {
            match keyword.as_str() {
                "items" => {
                    for (number, item) in value.as_array().into_iter().flatten().enumerate() {
                        // A list has a schema for each of the first items.
                        let own = one.as_array().map(|all| all.get(number));
                        let own = own.unwrap_or(Some(one)).or(schema.get("additionalItems"));
                        let own = own.unwrap_or(&Value::Bool(true));
                        self.check((file, own), item, &format!("{at}[{number}]"), out);
                    }
                }
                "oneOf" | "anyOf" | "allOf" => {
                    let all = one.as_array().unwrap();
                    let fit = all.iter().filter(|one| self.fits((file, one), value)).count();
                    let is_right = match keyword.as_str() {
                        "oneOf" => fit == 1,
                        "anyOf" => fit > 0,
                        _ => fit == all.len(),
                    };
                    if !is_right {
                        out.push(format!("{at}: {keyword}: {fit} of {} fit", all.len()));
                    }
                }
                "then" if self.fits((file, &schema["if"]), value) => {
                    self.check((file, one), value, at, out);
                }
                "then" => {}
                keyword if PASSED.contains(&keyword) => {}
                keyword if !is_right(keyword, one, value) => {
                    out.push(format!("{at}: {keyword}: {one}"));
                }
                _ => {}
            }
        }
    }

    fn check_fields(
        &self,
        (file, schema): (&str, &Value),
        value: &Value,
        at: &str,
        out: &mut Vec<String>,
    ) {
        for (name, field) in value.as_object().into_iter().flatten() {
            let known = schema["properties"].get(name);
            if let Some(schema) = known.or(schema.get("additionalProperties")) {
                self.check((file, schema), field, &format!("{at}.{name}"), out);
            }
        }
    }

    fn fits(&self, schema: (&str, &Value), value: &Value) -> bool {
        let mut found = Vec::new();
        self.check(schema, value, "", &mut found);
        found.is_empty()
    }

    /// `#/definitions/x` of `file`, or of the file before the sign.
    fn target<'s>(&'s self, file: &'s str, target: &'s str) -> (&'s str, &'s Value) {
        let (other, pointer) = target.split_once('#').unwrap_or((target, ""));
        let file = if other.is_empty() { file } else { other };
        (file, self.0[file].pointer(pointer).unwrap())
    }
}

/// Whether `value` is as a keyword without schemas in it says. One for another type says nothing.
fn is_right(keyword: &str, wanted: &Value, value: &Value) -> bool {
    let limit = || wanted.as_f64().unwrap();
    let (list, text) = (value.as_array(), value.as_str());
    let len = |text: &str| text.chars().count() as f64;
    match keyword {
        "type" => match wanted.as_array() {
            Some(all) => all.iter().any(|wanted| is_of(value, wanted)),
            None => is_of(value, wanted),
        },
        "required" => value.as_object().is_none_or(|fields| {
            wanted
                .as_array()
                .unwrap()
                .iter()
                .all(|name| fields.contains_key(name.as_str().unwrap()))
        }),
        "enum" => wanted.as_array().unwrap().contains(value),
        "const" => wanted == value,
        "pattern" => text.is_none_or(|text| matches(wanted.as_str().unwrap(), text)),
        "minimum" => value.as_f64().is_none_or(|number| number >= limit()),
        "maximum" => value.as_f64().is_none_or(|number| number <= limit()),
        "minItems" => list.is_none_or(|list| list.len() as f64 >= limit()),
        "maxItems" => list.is_none_or(|list| list.len() as f64 <= limit()),
        "minLength" => text.is_none_or(|text| len(text) >= limit()),
        "maxLength" => text.is_none_or(|text| len(text) <= limit()),
        "uniqueItems" => list.is_none_or(|list| {
            let texts: std::collections::BTreeSet<_> = list.iter().map(Value::to_string).collect();
            *wanted == false || texts.len() == list.len()
        }),
        other => panic!("the keyword {other} is not known"),
    }
}

fn is_of(value: &Value, kind: &Value) -> bool {
    match kind.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "number" => value.is_number(),
        "integer" => value.is_u64() || value.is_i64(),
        other => panic!("the type {other} is not known"),
    }
}

fn matches(pattern: &str, text: &str) -> bool {
    let is_hex = |text: &str| text.chars().all(|char| char.is_ascii_hexdigit());
    if pattern.starts_with("^([a-fA-F0-9]{32}|") {
        return [32, 40, 64, 96, 128].contains(&text.len()) && is_hex(text);
    }
    if pattern.starts_with("^urn:uuid:[0-9a-f]{8}-") {
        let id = text.strip_prefix("urn:uuid:").unwrap_or_default();
        let is_lower = id == id.to_lowercase() && is_hex(&id.replace('-', ""));
        return is_lower && id.split('-').map(str::len).eq([8, 4, 4, 4, 12]);
    }
    panic!("the pattern {pattern} is not known");
}
