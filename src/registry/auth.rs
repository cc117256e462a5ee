//! Authorization: a token or user and password, for the origin that asks and for no other.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use ureq::http::Method;

use super::{
    challenge::{self, Challenge},
    credentials::Credentials,
    error::{RegistryError, read_body, shown},
    http::{Fault, Http, Payload, Request, Response},
    notices::Notices,
    retry::{Failure, is_transient, retry_after},
    secret::{Credential, Secret, identity_pair},
    url::{Origin, Url, encode},
};

/// Bytes of a token server's answer.
const MAX_TOKEN: u64 = 1 << 20;
/// How long a token is valid if its server does not say so (distribution, "Token Authentication").
const DEFAULT_VALIDITY: u64 = 60;
/// A token is not used in its last seconds: a request takes time.
const MARGIN: Duration = Duration::from_secs(10);

/// What requests of one kind need: the scope of a token.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Access {
    pub(super) repository: String,
    pub(super) push: bool,
    /// The repository that a blob is mounted from.
    pub(super) from: Option<String>,
}

/// What has been found out about registries' authorization.
pub(super) struct Auth {
    credentials: Credentials,
    /// Hosts of token servers that may have credentials of registries on other sites.
    token_servers: BTreeSet<String>,
    known: Mutex<BTreeMap<(Origin, Option<Access>), Known>>,
    /// Texts that no message may show.
    secrets: Mutex<BTreeSet<String>>,
    notices: Notices,
}

struct Known {
    header: Secret,
    until: Option<Instant>,
}

/// Whose request was refused, and how it was made.
pub(super) struct Refused<'a> {
    /// What was asked for, for messages.
    pub(super) action: &'a str,
    pub(super) registry: &'a Url,
    /// Host and port as the user wrote them: what credentials are stored under.
    pub(super) name: &'a str,
    pub(super) access: &'a Access,
    /// The `Authorization` that was sent.
    pub(super) used: Option<&'a Secret>,
    pub(super) insecure: bool,
}

impl Auth {
    pub(super) fn new(
        credentials: Credentials,
        token_servers: BTreeSet<String>,
        notices: Notices,
    ) -> Self {
        let secrets = credentials.given_secrets();
        Self {
            credentials,
            token_servers,
            known: Mutex::default(),
            secrets: Mutex::new(secrets.into_iter().collect()),
            notices,
        }
    }

    /// The `Authorization` for a request to the registry, as far as it is known.
    pub(super) fn header(&self, registry: &Origin, access: &Access) -> Option<Secret> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, known| known.until.is_none_or(|until| Instant::now() < until));
        let wider = Access { push: true, ..access.clone() };
        let keys = [Some(access.clone()), Some(wider), None];
        keys.into_iter()
            .find_map(|key| known.get(&(registry.clone(), key)))
            .map(|known| known.header.clone())
    }

    /// Gets another `Authorization` after a 401 response.
    pub(super) fn answer(
        &self,
        http: &Http,
        refused: &Refused<'_>,
        response: &Response,
    ) -> Result<Secret, Failure> {
        let origin = refused.registry.origin();
        // Another thread may have had the same answer and a new token since.
        if let Some(header) = self.header(&origin, refused.access)
            && refused.used != Some(&header)
        {
            return Ok(header);
        }
        let unauthorized = |why: String| self.unauthorized(refused, why);
        let credential =
            self.credentials.find(refused.name, &refused.access.repository, &self.notices)?;
        if let Some(credential) = &credential {
            self.hide(credential.secrets());
        }
        let challenges = challenge::parse(response.all("www-authenticate"));
        let bearer = challenges.iter().find(|one| matches!(one, Challenge::Bearer { .. }));
        let (key, known) = match (bearer, credential) {
            (Some(_), Some(Credential::RegistryToken(token))) => {
                let header = Secret::new(format!("Bearer {}", token.reveal()));
                (None, Known { header, until: None })
            }
            (Some(Challenge::Bearer { realm, service, scopes }), credential) => {
                let realm = self.realm(refused, realm)?;
                let wanted = scopes_for(refused.access, scopes);
                let token = TokenRequest { realm, service: service.as_deref(), scopes: wanted };
                let known = self.token(http, refused, &token, credential.as_ref())?;
                (Some(refused.access.clone()), known)
            }
            (_, Some(credential)) if challenges.contains(&Challenge::Basic) => {
                let header = credential.basic().ok_or_else(|| {
                    unauthorized("it wants user and password, and a token is stored for it".into())
                })?;
                (None, Known { header, until: None })
            }
            (_, None) => return Err(unauthorized("it wants credentials".into()).into()),
            _ => return Err(unauthorized("it asks for an unknown kind of login".into()).into()),
        };
        let header = known.header.clone();
        if refused.used == Some(&header) {
            return Err(unauthorized("it does not accept the credentials".into()).into());
        }
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert((origin, key), known);
        Ok(header)
    }

    /// The error for a registry that does not accept what it was given.
    pub(super) fn unauthorized(&self, refused: &Refused<'_>, why: String) -> RegistryError {
        RegistryError::Unauthorized {
            action: refused.action.into(),
            host: refused.registry.authority(),
            why: self.redact(&why),
        }
    }

    /// The URL of the token server, if a client may be sent there.
    fn realm(&self, refused: &Refused<'_>, realm: &str) -> Result<Url, RegistryError> {
        let wrong = |why: String| RegistryError::Protocol {
            action: refused.action.into(),
            host: refused.registry.authority(),
            why,
        };
        let url = Url::parse(realm).ok_or_else(|| {
            wrong(format!("its token server is not a URL: `{}`", shown(&self.redact(realm))))
        })?;
        let may = refused.registry.may_lead_to(&url);
        may.map_err(|why| wrong(format!("its token server {} {why}", url.authority())))?;
        Ok(url)
    }

    /// Whether credentials for `registry` may be sent to the token server `realm`: to the registry
    /// itself, over TLS to the same site, and to servers that the user trusts.
    fn trusts(&self, registry: &Url, realm: &Url) -> bool {
        let listed =
            |name: &str| name.eq_ignore_ascii_case(realm.host()) || name == realm.authority();
        realm.origin() == registry.origin()
            || self.token_servers.iter().any(|name| listed(name))
            || (realm.is_https()
                && (same_site(registry.host(), realm.host()) || is_known_pair(registry, realm)))
    }

    fn token(
        &self,
        http: &Http,
        refused: &Refused<'_>,
        token: &TokenRequest<'_>,
        credential: Option<&Credential>,
    ) -> Result<Known, Failure> {
        let trusted = self.trusts(refused.registry, &token.realm);
        let given = credential.filter(|_| trusted);
        let mut response = None;
        if let Some(Credential::IdentityToken(identity)) = given {
            let answer = self.send(http, refused, &token.refresh(identity))?;
            // Token servers without POST: 404 of GCR, 401 of Artifactory (containerd,
            // docker/authorizer.go).
            response = (!matches!(answer.status, 401 | 404 | 405)).then_some(answer);
        }
        let response = match response {
            Some(response) => response,
            None => self.send(http, refused, &token.get(given))?,
        };
        let host = token.realm.authority();
        if !response.is_success() {
            let status = response.status;
            let after = retry_after(&response);
            let body = response.read(MAX_TOKEN).unwrap_or_default();
            let (_, message) = read_body(&body, &|text| self.redact(text));
            let withheld = match credential.is_some() && !trusted {
                true => {
                    " (it is on another site than the registry, so that the credentials were \
                         not sent there; trust it with --token-server)"
                }
                false => "",
            };
            let why = format!("its token server {host} answers {status}{message}{withheld}");
            let error = self.unauthorized(refused, why);
            return Err(match is_transient(status) {
                true => Failure::Transient { error, after },
                false => Failure::Final(error),
            });
        }
        let body = response.read(MAX_TOKEN).map_err(|fault| network(refused, &host, fault))?;
        let (token, validity) = parse_token(&body).ok_or_else(|| RegistryError::Protocol {
            action: refused.action.into(),
            host,
            why: "the token server's answer has no valid token".into(),
        })?;
        self.hide([token.clone()]);
        let until =
            Instant::now().checked_add(Duration::from_secs(validity).saturating_sub(MARGIN));
        Ok(Known { header: Secret::new(format!("Bearer {token}")), until })
    }

    fn send(
        &self,
        http: &Http,
        refused: &Refused<'_>,
        message: &TokenMessage,
    ) -> Result<Response, Failure> {
        let mut headers = vec![("Accept", "application/json".to_owned())];
        if let Some(basic) = &message.basic {
            headers.push(("Authorization", basic.reveal().to_owned()));
        }
        if message.form.is_some() {
            headers.push(("Content-Type", "application/x-www-form-urlencoded".into()));
        }
        let request = Request {
            method: if message.form.is_some() { Method::POST } else { Method::GET },
            url: message.url.clone(),
            headers,
            insecure: refused.insecure && message.url.host() == refused.registry.host(),
        };
        let payload = match &message.form {
            Some(form) => Payload::Bytes(form.reveal().as_bytes()),
            None => Payload::None,
        };
        let host = message.url.authority();
        http.send(&request, payload).map_err(|fault| network(refused, &host, fault))
    }

    fn hide(&self, secrets: impl IntoIterator<Item = String>) {
        let mut all = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend(secrets.into_iter().filter(|secret| secret.len() > 3));
    }

    /// `text` without any secret that this client has had: a server may repeat what it was sent.
    pub(super) fn redact(&self, text: &str) -> String {
        let all = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        // The longest first: one may be part of another.
        let mut secrets: Vec<&String> = all.iter().collect();
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), "***"))
    }
}

/// What a token is asked for with.
struct TokenRequest<'a> {
    realm: Url,
    service: Option<&'a str>,
    scopes: Vec<String>,
}

/// A request to a token server.
struct TokenMessage {
    url: Url,
    basic: Option<Secret>,
    form: Option<Secret>,
}

impl TokenRequest<'_> {
    /// One `scope` parameter for each scope. No redirect is followed.
    fn get(&self, credential: Option<&Credential>) -> TokenMessage {
        let mut url = self.realm.clone();
        if let Some(service) = self.service {
            url = url.with_query("service", service);
        }
        for scope in &self.scopes {
            url = url.with_query("scope", scope);
        }
        let basic = match credential {
            Some(Credential::IdentityToken(token)) => {
                Some(Secret::new(format!("Basic {}", identity_pair(token))))
            }
            credential => credential.and_then(Credential::basic),
        };
        TokenMessage { url, basic, form: None }
    }

    /// An identity token is exchanged (distribution, "OAuth2 token authentication").
    fn refresh(&self, token: &Secret) -> TokenMessage {
        let mut form = format!(
            "grant_type=refresh_token&client_id=imgb&refresh_token={}",
            encode(token.reveal())
        );
        if let Some(service) = self.service {
            form += &format!("&service={}", encode(service));
        }
        if !self.scopes.is_empty() {
            form += &format!("&scope={}", encode(&self.scopes.join(" ")));
        }
        TokenMessage { url: self.realm.clone(), basic: None, form: Some(Secret::new(form)) }
    }
}

/// The scopes for a request: those of the challenge first, since some servers read only the first.
fn scopes_for(access: &Access, challenged: &[String]) -> Vec<String> {
    let actions = if access.push { "pull,push" } else { "pull" };
    let own = format!("repository:{}:{actions}", access.repository);
    let from = access.from.as_ref().map(|from| format!("repository:{from}:pull"));
    let mut scopes: Vec<String> = challenged.iter().take(8).cloned().collect();
    let covered = |scopes: &[String], repository: &str| {
        let prefix = format!("repository:{repository}:");
        scopes.iter().any(|scope| scope.starts_with(&prefix))
    };
    if !access.repository.is_empty() && !covered(&scopes, &access.repository) {
        scopes.push(own);
    }
    scopes.extend(from.filter(|from| !scopes.contains(from)));
    scopes
}

/// The token and its validity in seconds.
fn parse_token(body: &[u8]) -> Option<(String, u64)> {
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    let token = ["token", "access_token"]
        .iter()
        .find_map(|key| body.get(key)?.as_str().filter(|token| !token.is_empty()))?;
    let is_valid = token.bytes().all(|b| b.is_ascii_graphic());
    let validity = body.get("expires_in").and_then(serde_json::Value::as_u64);
    is_valid.then(|| (token.to_owned(), validity.unwrap_or(DEFAULT_VALIDITY).max(DEFAULT_VALIDITY)))
}

/// Whether two hosts belong to one owner, as far as their names show: `registry.gitlab.com` and
/// `gitlab.com`. The names share all labels except one; two at least, or three where the last two
/// look like a public suffix (`co.uk`).
fn same_site(one: &str, other: &str) -> bool {
    if one == other {
        return true;
    }
    if [one, other].iter().any(|host| host.parse::<std::net::IpAddr>().is_ok()) {
        return false;
    }
    let (one, other): (Vec<&str>, Vec<&str>) =
        (one.split('.').collect(), other.split('.').collect());
    let shared = one.iter().rev().zip(other.iter().rev()).take_while(|(a, b)| a == b).count();
    let suffix: Vec<&str> = one.iter().rev().take(2).copied().collect();
    let is_public = suffix.len() == 2 && suffix[0].len() == 2 && suffix[1].len() <= 3;
    shared >= if is_public { 3 } else { 2 } && one.len().max(other.len()) - shared <= 1
}

/// Registries whose token server is on another site, by their own documentation.
fn is_known_pair(registry: &Url, realm: &Url) -> bool {
    const PAIRS: [(&str, &str); 2] =
        [("dhi.io", "auth.docker.io"), ("registry.digitalocean.com", "api.digitalocean.com")];
    PAIRS.contains(&(registry.host(), realm.host()))
}

/// The failure of a request to the token server.
fn network(refused: &Refused<'_>, host: &str, fault: Fault) -> Failure {
    let (action, host) = (refused.action.to_owned(), host.to_owned());
    match fault {
        Fault::Network(why) => {
            Failure::Transient { error: RegistryError::Network { action, host, why }, after: None }
        }
        Fault::Unreachable(why) => RegistryError::Network { action, host, why }.into(),
        Fault::Tls(fault) => RegistryError::Tls { action, host, fault }.into(),
        Fault::Protocol(why) => RegistryError::Protocol { action, host, why }.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sites() {
        for (one, other, wanted) in [
            ("ghcr.io", "ghcr.io", true),
            ("registry-1.docker.io", "auth.docker.io", true),
            ("registry.gitlab.com", "gitlab.com", true),
            ("registry.example.com", "gitlab.example.com", true),
            ("registry.example.com", "evil.com", false),
            ("a.co.uk", "b.co.uk", false),
            ("registry.a.co.uk", "auth.a.co.uk", true),
            ("127.0.0.1", "127.0.0.2", false),
            ("10.0.0.1", "9.0.0.1", false),
            ("localhost", "evil", false),
            ("example.com", "evil.com", false),
            ("example.com", "example.com.evil.com", false),
        ] {
            assert_eq!(same_site(one, other), wanted, "{one} {other}");
        }
    }

    #[test]
    fn scopes() {
        let access = Access { repository: "a/b".into(), push: true, from: Some("base".into()) };
        assert_eq!(scopes_for(&access, &[]), ["repository:a/b:pull,push", "repository:base:pull"]);
        let challenged = ["repository:a/b:push,pull".to_owned()];
        let scopes = scopes_for(&access, &challenged);
        assert_eq!(scopes, ["repository:a/b:push,pull", "repository:base:pull"]);
    }

    #[test]
    fn tokens() {
        let parse = |text: &str| parse_token(text.as_bytes());
        assert_eq!(parse(r#"{"token":"x","expires_in":300}"#), Some(("x".into(), 300)));
        assert_eq!(parse(r#"{"access_token":"y","expires_in":5}"#), Some(("y".into(), 60)));
        for text in ["", "{}", r#"{"token":""}"#, r#"{"token":"a\r\nX: y"}"#, r#"{"token":7}"#] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
