//! A team's secrets: what its programs need and nobody should see.
//!
//! Values are behind the port [`SecretStore`], with two implementations: [`Sealed`], in the platform's
//! own store, and [`Vault`]. The rooms are the house's own: [`model`] (names, references, what is known of
//! a secret), [`service`] (use cases), [`http`] (routes), [`reconcile`] (keys of deploy credentials); beside them what has references in it,
//! [`env_file`] and [`template`]. `docs/secrets.md` says how it is used.

// Tests may: a panic is how they fail.
#![warn(clippy::unwrap_used)]

pub mod api;
pub mod env_file;
pub mod http;
pub mod model;
pub mod reconcile;
mod sealed;
pub mod service;
mod store;
pub mod template;
mod vault;

pub use reconcile::{DeployCredentials, DeployKeys, DrawnKey};
pub use sealed::Sealed;
pub use service::Secrets;
pub use store::{SecretStore, Value, Write};
pub use vault::{Login, Transit, Vault, VaultConfig};
