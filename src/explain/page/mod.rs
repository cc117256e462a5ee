//! An image as one page of HTML that needs nothing else: `imgb inspect --html`.
//!
//! The page is a template with a style sheet, d3 (`vendor`), the scripts of `js` and the data of
//! the image. Its Content-Security-Policy allows exactly these scripts and styles, by their
//! SHA-256, and no request: whatever a name in an image contains, it stays text.

mod document;
mod elf_graph;
mod numbers;

use std::borrow::Cow;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::Value;

use super::inspection::Inspection;
use crate::{digest::Digest, elf::ReadFailure, tree::Tree};

const TEMPLATE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const D3: &str = include_str!("vendor/d3.js");
const D3_LICENCE: &str = include_str!("vendor/LICENSE");

/// The scripts, which share one scope, in the order in which they use each other.
const SCRIPTS: [&str; 10] = [
    include_str!("js/data.js"),
    include_str!("js/dom.js"),
    include_str!("js/colours.js"),
    include_str!("js/chains.js"),
    include_str!("js/details.js"),
    include_str!("js/treemap.js"),
    include_str!("js/map.js"),
    include_str!("js/files.js"),
    include_str!("js/graph.js"),
    include_str!("js/main.js"),
];

/// The page of an image. The same image gives the same bytes.
///
/// # Errors
/// [`ReadFailure`] if a file of the image cannot be read.
pub fn page(shown: &Inspection<'_>, merged: &Tree) -> Result<String, ReadFailure> {
    let document = document::document(shown, merged)?;
    let script = format!("(() => {{\n\"use strict\";\n{}}})();\n", SCRIPTS.concat());
    let policy = format!(
        "default-src 'none'; script-src {} {}; style-src {}; img-src data:; \
         base-uri 'none'; form-action 'none'",
        hash(D3),
        hash(&script),
        hash(STYLE)
    );
    let title = document["image"]["title"].as_str().unwrap_or_default().to_owned();
    let data = in_script(&document);
    Ok(fill(|name| match name {
        "policy" => policy.as_str().into(),
        "title" => escaped(&title).into(),
        "style" => STYLE.into(),
        "licence" => D3_LICENCE.into(),
        "d3" => D3.into(),
        "script" => script.as_str().into(),
        "data" => data.as_str().into(),
        _ => "".into(),
    }))
}

/// The template with a text in place of each `{{name}}`. Texts are not looked into.
fn fill<'a>(text: impl Fn(&str) -> Cow<'a, str>) -> String {
    let mut pieces = TEMPLATE.split("{{");
    let mut page = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (name, rest) = piece.split_once("}}").unwrap_or_default();
        page.push_str(&text(name));
        page.push_str(rest);
    }
    page
}

/// A source expression of the policy: the only text that may be run, or be a style.
fn hash(text: &str) -> String {
    format!("'sha256-{}'", BASE64_STANDARD.encode(Digest::of(text).bytes()))
}

/// JSON as it may be in a script element: nothing in it ends the element, or opens a comment.
fn in_script(value: &Value) -> String {
    value.to_string().replace('<', "\\u003c")
}

/// Text as it may be in an element.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_cannot_end_the_element_they_are_in() {
        let name = "</script><!--<img onerror=alert(1)>&";
        let text = in_script(&json!({ "name": name }));
        assert!(!text.contains('<'), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["name"], name);
        assert_eq!(escaped("</title>&"), "&lt;/title&gt;&amp;");
    }

    #[test]
    fn the_template_has_a_place_for_each_text_once() {
        let filled = fill(|name| format!("[{name}]{{{{style}}}}").into());
        for name in ["policy", "title", "style", "licence", "d3", "script", "data"] {
            let text = format!("[{name}]{{{{style}}}}");
            assert_eq!(filled.matches(&text).count(), 1, "{name}");
        }
        assert_eq!(filled.matches('[').count(), 7 + TEMPLATE.matches('[').count());
    }

    #[test]
    fn every_kind_of_reason_has_a_colour() {
        let source = include_str!("../../plan/reason.rs");
        let names = source.split("pub fn kind(&self)").nth(1).unwrap().split("\n    }\n");
        let kinds: Vec<&str> =
            names.take(1).flat_map(|body| body.split('"').skip(1).step_by(2)).collect();
        assert!(kinds.len() > 10, "{kinds:?}");
        let colours = include_str!("js/colours.js");
        for kind in kinds {
            assert!(colours.contains(&format!("\"{kind}\"")), "{kind}");
        }
    }

    #[test]
    fn no_script_ends_its_element() {
        for text in SCRIPTS.iter().chain(&[D3, STYLE]) {
            let text = text.to_lowercase();
            assert!(!text.contains("</script") && !text.contains("</style"));
            assert!(!text.contains("<!--"));
        }
    }
}
