//! Messages of one kind are one message, with a count and the first names.

use std::collections::BTreeMap;

use super::terminal::print_message;
use crate::{
    check::Finding,
    plan::{Note, Severity},
};

/// How many others of a kind are named.
const NAMED: usize = 3;

/// A message for stderr.
#[derive(Clone, Debug)]
pub(super) struct Message {
    /// `warning` or `hint`.
    pub(super) label: String,
    /// The same for messages of one kind.
    pub(super) kind: String,
    /// What is said.
    pub(super) text: String,
    /// What it is about, where that differs among messages of one kind.
    pub(super) about: Option<String>,
    /// What to do about it.
    pub(super) hint: Option<String>,
}

impl From<&Note> for Message {
    fn from(note: &Note) -> Self {
        let label = match note.severity {
            Severity::Warning => "warning",
            Severity::Hint | Severity::Info => "hint",
        };
        Self {
            label: label.into(),
            kind: without(&note.text, note.about.as_deref()),
            text: note.text.clone(),
            about: note.about.clone(),
            hint: note.hint.clone(),
        }
    }
}

/// The part of `text` that messages of one kind share.
fn without(text: &str, about: Option<&str>) -> String {
    about.map_or_else(|| text.to_owned(), |about| text.replace(about, ""))
}

impl Message {
    /// A warning about `finding`; `prefix` stands before what is found.
    pub(super) fn warning(prefix: &str, finding: &Finding) -> Self {
        let about = finding.path().map(ToString::to_string);
        let text = format!("{prefix}{finding}");
        let kind = match (finding, finding.name(), &about) {
            (Finding::Link { .. }, ..) => finding.kind().into(),
            (_, Some(name), _) => format!("{} {name}", finding.kind()),
            (_, None, about) => without(&text, about.as_deref()),
        };
        Self { label: "warning".into(), kind, text, about, hint: None }
    }
}

/// Prints messages on stderr: each one if `verbose`, else the first of each kind and how many there
/// are like it.
pub(super) fn print(messages: impl IntoIterator<Item = Message>, verbose: bool) {
    for line in lines(messages, verbose) {
        print_message(&line);
    }
}

fn lines(messages: impl IntoIterator<Item = Message>, verbose: bool) -> Vec<String> {
    let mut groups: Vec<(Message, Vec<String>)> = Vec::new();
    let mut known: BTreeMap<(String, String), usize> = BTreeMap::new();
    for message in messages {
        let key = (message.label.clone(), message.kind.clone());
        match known.get(&key).filter(|_| !verbose && message.about.is_some()) {
            Some(&at) => groups[at].1.extend(message.about),
            None => {
                known.insert(key, groups.len());
                groups.push((message, Vec::new()));
            }
        }
    }
    let mut lines = Vec::new();
    for (message, others) in groups {
        lines.push(format!("{}: {}", message.label, message.text));
        if !others.is_empty() {
            let named: Vec<&str> = others.iter().take(NAMED).map(String::as_str).collect();
            let more = if others.len() > NAMED { ", … (-v prints all)" } else { "" };
            lines.push(format!("  and {} like it: {}{more}", others.len(), named.join(", ")));
        }
        lines.extend(message.hint.map(|hint| format!("  {hint}")));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(count: usize) -> Vec<Message> {
        let secret = |number| {
            let path = format!("/t/k{number}.key");
            let note = Note::warning(format!("`{path}` looks like a secret")).about(path);
            Message::from(&note.with_hint("leave it out"))
        };
        (1..=count).map(secret).collect()
    }

    #[test]
    fn one_kind_is_one_message() {
        let mut all = secrets(21);
        all.insert(3, Message::from(&Note::warning("something else".into())));
        let wanted = [
            "warning: `/t/k1.key` looks like a secret",
            "  and 20 like it: /t/k2.key, /t/k3.key, /t/k4.key, … (-v prints all)",
            "  leave it out",
            "warning: something else",
        ];
        assert_eq!(lines(all, false), wanted);
        assert_eq!(lines(secrets(2), false)[1..], ["  and 1 like it: /t/k2.key", "  leave it out"]);
        assert_eq!(lines(secrets(21), true).len(), 42);
    }
}
