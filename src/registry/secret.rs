//! Values that no message, log or argument list may show.

use std::fmt;

use base64::{Engine as _, prelude::BASE64_STANDARD};

use super::url::encode;

/// A password or token. It cannot be displayed; debugging shows asterisks.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a text as secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for a header or the standard input of a helper.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What a user proves who they are with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// User and password, for the registry itself (Basic) or for its token server.
    Password {
        /// The user's name.
        user: String,
        /// The password or personal access token.
        password: Secret,
    },
    /// A refresh token for the token server: docker's `identitytoken`.
    IdentityToken(Secret),
    /// A token for the registry itself: docker's `registrytoken`.
    RegistryToken(Secret),
}

impl Credential {
    /// Parses `USER:PASSWORD`, as `--creds` has it. The password may contain colons.
    pub fn parse(text: &str) -> Option<Self> {
        let (user, password) = text.split_once(':')?;
        if user.is_empty() || password.is_empty() {
            return None;
        }
        Some(Self::Password { user: user.into(), password: Secret::new(password) })
    }

    /// The value of `Authorization` for the Basic scheme (RFC 7617).
    pub(super) fn basic(&self) -> Option<Secret> {
        match self {
            Self::Password { user, password } => {
                let pair = BASE64_STANDARD.encode(format!("{user}:{}", password.reveal()));
                Some(Secret(format!("Basic {pair}")))
            }
            Self::IdentityToken(_) | Self::RegistryToken(_) => None,
        }
    }

    /// All texts that must not appear in a message.
    pub(super) fn secrets(&self) -> Vec<String> {
        match self {
            Self::Password { password, .. } => {
                let pair = self.basic().map(|basic| basic.0.replace("Basic ", ""));
                pair.into_iter().chain([password.0.clone()]).collect()
            }
            // A server may repeat it as it was sent: in a form, or as a password.
            Self::IdentityToken(token) => {
                vec![token.0.clone(), encode(&token.0), identity_pair(token)]
            }
            Self::RegistryToken(token) => vec![token.0.clone()],
        }
    }
}

/// An identity token as user and password, for token servers that know no other way.
pub(super) fn identity_pair(token: &Secret) -> String {
    BASE64_STANDARD.encode(format!("<token>:{}", token.reveal()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debugging_shows_no_secret() {
        let credential = Credential::parse("me:CANARY:x").unwrap();
        let token = Credential::IdentityToken(Secret::new("CANARY"));
        assert!(!format!("{credential:?} {token:?}").contains("CANARY"));
        assert_eq!(credential.basic().unwrap().reveal(), "Basic bWU6Q0FOQVJZOng=");
        assert_eq!(credential.secrets(), ["bWU6Q0FOQVJZOng=", "CANARY:x"]);
        assert_eq!(Credential::parse("me"), None);
        assert_eq!(Credential::parse(":x"), None);
    }
}
