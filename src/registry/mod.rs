//! A client of registries (OCI distribution-spec 1.1): manifests, blobs and referrers, both ways.
//!
//! Every byte that is read is verified against its digest and size. Requests that fail for a while
//! are tried again; bodies are read again from their source. A credential is sent to the registry
//! that it is stored for, to that registry's token server on the same site, and nowhere else.
//! docs/registry.md says what users may rely on.
//!
//! The HTTP of it is ureq's with rustls: blocking, one thread for each transfer. Redirects, retries
//! and authorization are decided here, where what they may do depends on the registry.

mod auth;
mod blob;
mod challenge;
mod client;
mod credentials;
mod error;
mod exchange;
mod http;
mod login;
mod manifest;
mod notices;
mod pace;
mod parallel;
mod proxy;
mod referrers;
mod retry;
mod secret;
mod shared;
mod upload;
mod url;

pub use blob::BlobReader;
pub use client::{Client, ClientOptions, Repository};
pub use credentials::Credentials;
pub use error::{RegistryError, TlsFault};
pub use http::Timeouts;
pub use manifest::{Document, Pointer, Published};
pub use notices::Notices;
pub use parallel::each;
pub use proxy::Proxies;
pub use referrers::Referrer;
pub use retry::Retry;
pub use secret::{Credential, Secret};
pub use shared::Registries;
pub use upload::{Source, Uploaded};
