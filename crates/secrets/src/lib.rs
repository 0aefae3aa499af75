//! A team's secrets: what its programs need and nobody should see.
//!
//! Values are behind the port [`SecretStore`], with two implementations: [`Sealed`], in the platform's
//! own store, and (later) others. The rooms are the house's own: [`model`] (names, references,
//! what is known of a secret), [`service`] (use cases), [`http`] (routes). `docs/secrets.md` says how
//! it is used.

// Tests may: a panic is how they fail.
#![warn(clippy::unwrap_used)]

pub mod api;
pub mod http;
pub mod model;
mod sealed;
pub mod service;
mod store;

pub use sealed::Sealed;
pub use service::Secrets;
pub use store::{SecretStore, Value, Write};
