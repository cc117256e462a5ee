//! Whether credentials are right, before they are stored.

use ureq::http::Method;

use super::{
    client::Client,
    error::RegistryError,
    exchange::{Call, Content},
};

impl Client {
    /// Whether the registry `host` takes the credentials that are given or stored for it.
    ///
    /// # Errors
    /// If it does not take them, or cannot be asked.
    pub fn check_login(&self, host: &str) -> Result<(), RegistryError> {
        let repository = self.repository(host, "");
        let call = Call {
            action: "log in".into(),
            method: Method::GET,
            url: self.inner.base(host)?,
            access: repository.access(false),
            headers: Vec::new(),
            content: Content::None,
        };
        let response = repository.call(&call)?;
        repository.expect(&call, response, &[200]).map(|_| ())
    }
}
