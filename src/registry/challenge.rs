//! What a registry asks for before it answers: `WWW-Authenticate` (RFC 9110, section 11.6.1).

/// One challenge of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// A token from a token server.
    Bearer {
        /// The token server's URL.
        realm: String,
        /// What the token server calls the registry.
        service: Option<String>,
        /// The scopes that the request needs, as `repository:NAME:ACTIONS`.
        scopes: Vec<String>,
    },
    /// User and password.
    Basic,
}

/// Bytes of one header that are read.
const MAX_HEADER: usize = 16 << 10;

/// The challenges in the values of all `WWW-Authenticate` headers, in order. Unknown schemes and
/// what is malformed are left out.
pub(super) fn parse<'a>(headers: impl IntoIterator<Item = &'a str>) -> Vec<Challenge> {
    let short = headers.into_iter().filter(|header| header.len() <= MAX_HEADER);
    short.flat_map(|header| challenges(&items(header))).collect()
}

/// The comma-separated items of a header. Commas and backslashes in quotes are content.
fn items(header: &str) -> Vec<String> {
    let (mut items, mut item, mut quoted, mut escaped) = (Vec::new(), String::new(), false, false);
    for letter in header.chars() {
        match letter {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ',' if !quoted => {
                items.push(std::mem::take(&mut item));
                continue;
            }
            _ => {}
        }
        item.push(letter);
    }
    items.push(item);
    items.iter().map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect()
}

fn challenges(items: &[String]) -> Vec<Challenge> {
    let mut found = Vec::new();
    let mut current: Option<(String, Vec<(String, String)>)> = None;
    for item in items {
        let (scheme, parameter) = match item.split_once(char::is_whitespace) {
            Some((word, rest)) if !word.contains('=') => (Some(word), rest.trim()),
            _ if item.contains('=') => (None, item.as_str()),
            _ => (Some(item.as_str()), ""),
        };
        if let Some(scheme) = scheme {
            found.extend(current.take().and_then(challenge));
            current = Some((scheme.to_ascii_lowercase(), Vec::new()));
        }
        if let (Some((_, parameters)), Some((key, value))) =
            (&mut current, parameter.split_once('='))
        {
            parameters.push((key.trim().to_ascii_lowercase(), unquoted(value.trim())));
        }
    }
    found.extend(current.and_then(challenge));
    found
}

fn challenge((scheme, parameters): (String, Vec<(String, String)>)) -> Option<Challenge> {
    let value =
        |key: &str| parameters.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone());
    match scheme.as_str() {
        "basic" => Some(Challenge::Basic),
        "bearer" => Some(Challenge::Bearer {
            realm: value("realm")?,
            service: value("service"),
            scopes: value("scope")
                .map(|scopes| scopes.split_whitespace().map(str::to_owned).collect())
                .unwrap_or_default(),
        }),
        _ => None,
    }
}

fn unquoted(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"') else { return value.to_owned() };
    let mut out = String::new();
    let mut letters = inner.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => break,
            '\\' => out.extend(letters.next()),
            _ => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: Option<&str>, scopes: &[&str]) -> Challenge {
        Challenge::Bearer {
            realm: realm.into(),
            service: service.map(str::to_owned),
            scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
        }
    }

    #[test]
    fn reads_what_registries_send() {
        for (header, wanted) in [
            (
                "Bearer realm=\"https://auth.docker.io/token\",service=\"registry.docker.io\",\
                 scope=\"repository:a/b:pull,push\"",
                vec![bearer(
                    "https://auth.docker.io/token",
                    Some("registry.docker.io"),
                    &["repository:a/b:pull,push"],
                )],
            ),
            (r#"Basic realm="Registry Realm""#, vec![Challenge::Basic]),
            ("basic", vec![Challenge::Basic]),
            (
                r#"Basic realm="x", bearer realm=https://a/t , scope="a:b:c d:e:f""#,
                vec![Challenge::Basic, bearer("https://a/t", None, &["a:b:c", "d:e:f"])],
            ),
            (r#"Bearer realm="a\"b,c""#, vec![bearer("a\"b,c", None, &[])]),
            (r#"Negotiate, Bearer service="x""#, vec![]),
            (r#"Bearer realm="unclosed"#, vec![bearer("unclosed", None, &[])]),
            ("", vec![]),
            (",,=,\"", vec![]),
        ] {
            assert_eq!(parse([header]), wanted, "{header}");
        }
    }

    #[test]
    fn long_headers_are_ignored() {
        assert_eq!(parse([format!("Basic {}", "x".repeat(1 << 20)).as_str()]), []);
    }
}
