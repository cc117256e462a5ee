//! The names of fields that a comparison can leave out.

use crate::{
    archive::read::raw,
    image::{
        fields::{CONFIG, MANIFEST},
        shape::Shape,
    },
};

/// Parts of a comparison.
const PARTS: [&str; 3] = ["layers", "packages", "reasons"];
/// Fields of files.
const OF_FILES: [&str; 11] = [
    "type",
    "mode",
    "uid",
    "gid",
    "mtime",
    "capability",
    "size",
    "content",
    "target",
    "device",
    "hard link",
];
/// Fields of bytes, which a strict comparison looks at.
const OF_BYTES: [&str; 16] = [
    "bytes",
    "bytes of content",
    "compression",
    "extension headers",
    "first byte that differs",
    "gzip extra flags",
    "gzip file name",
    "gzip flags",
    "gzip system",
    "gzip time",
    "member",
    "order",
    "zeros at the end",
    "zstd checksum",
    "zstd window descriptor",
    "record",
];
/// What names of extended attributes begin with (xattr(7)).
const NAMESPACES: [&str; 4] = ["security.", "system.", "trusted.", "user."];

/// Whether `name` can be that of a field that differs.
pub fn is_known(name: &str) -> bool {
    let of_tar = || raw::FIELDS.iter().any(|(known, _)| *known == name);
    PARTS.contains(&name)
        || OF_FILES.contains(&name)
        || OF_BYTES.contains(&name)
        || of_tar()
        || ["record ", "content at byte "].iter().any(|start| name.starts_with(start))
        || NAMESPACES.iter().any(|start| name.starts_with(start))
        || has(&CONFIG, name)
        || has(&MANIFEST, name)
}

/// The names that are most useful, in order: parts, fields of files, and of the configuration.
pub fn known() -> Vec<String> {
    let mut names: Vec<String> = PARTS.iter().chain(&OF_FILES).map(ToString::to_string).collect();
    let Shape::Object(fields) = &CONFIG else { return names };
    for (name, shape) in *fields {
        match shape {
            Shape::Object(inner) if *name == "config" => {
                names.extend(inner.iter().map(|(inner, _)| format!("{name}.{inner}")));
            }
            _ => names.push((*name).to_owned()),
        }
    }
    names
}

/// Whether a document of this shape may have the field `name`, such as `config.Labels.a` or
/// `history[1].created`.
fn has(shape: &Shape, name: &str) -> bool {
    let Shape::Object(fields) = shape else { return false };
    fields.iter().any(|(field, inner)| match name.strip_prefix(field) {
        Some("") => true,
        Some(rest) => match (inner, rest.strip_prefix('.')) {
            // Lists of variables have a field for each.
            (Shape::Map(_) | Shape::Any | Shape::List(_), _) => rest.starts_with(['.', '[']),
            (_, Some(rest)) => has(inner, rest),
            (_, None) => false,
        },
        None => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_known_by_their_whole_names() {
        for name in [
            "mtime",
            "hard link",
            "record SCHILY.xattr.user.a",
            "user.a",
            "reasons",
            "created",
            "config",
            "config.Env",
            "config.Env.PATH",
            "config.Labels.a.b",
            "config.Healthcheck.Retries",
            "history",
            "history[1].created_by",
            "os.version",
            "layers[0].digest",
            "magic",
        ] {
            assert!(is_known(name), "{name}");
        }
        for name in
            ["", "create", "Mtime", "config.Lables", "config.", "configEnv", "created.x", "xattr"]
        {
            assert!(!is_known(name), "{name}");
        }
        assert!(known().iter().all(|name| is_known(name)));
    }
}
