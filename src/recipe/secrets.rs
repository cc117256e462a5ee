//! Variables that probably hold secrets.

/// Whether a variable of this name probably holds a secret: `API_KEY` and `token` do, `PUBLIC_KEY`
/// and `PASSWORD_FILE` do not. The words are those of BuildKit's rule `SecretsUsedInArgOrEnv`.
pub(super) fn names_secret(name: &str) -> bool {
    const SECRET: &[&str] = &[
        "apikey",
        "auth",
        "credential",
        "credentials",
        "key",
        "password",
        "pword",
        "passwd",
        "secret",
        "token",
    ];
    const HARMLESS: &[&str] = &["public", "file", "version"];
    let lower = name.to_ascii_lowercase();
    let any = |list: &[&str]| lower.split('_').any(|part| list.contains(&part));
    any(SECRET) && !any(HARMLESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suspects_secrets() {
        for name in ["API_KEY", "token", "GITHUB_TOKEN", "secret_message", "DB_PASSWORD", "AUTH"] {
            assert!(names_secret(name), "{name}");
        }
        for name in ["KEYBOARD", "PUBLIC_KEY", "PASSWORD_FILE", "AUTHOR", "TOKEN_VERSION", "A"] {
            assert!(!names_secret(name), "{name}");
        }
    }
}
