//! Identity: who calls, and by what right.
//!
//! Towpath is an OpenID provider for its own users, and a go-between to where they really are. The
//! rooms are the house's own: [`model`] (kinds), [`service`] (use cases), [`http`] (routes and pages),
//! [`reconcile`] (the rotation of keys);
//! beside them [`Verifier`], which makes a [`kernel::Caller`] of an access token, [`source`], which
//! knows people's groups, and [`settings`]. `docs/identity.md` says how it is used.

// Tests may: a panic is how they fail.
#![warn(clippy::unwrap_used)]

mod changes;
pub mod clock;
pub mod http;
mod jose;
mod logins;
pub mod model;
mod outbound;
mod people;
pub mod reconcile;
mod refusal;
pub mod service;
pub mod settings;
pub mod source;
mod state;
mod verify;
mod view;
mod withdrawn;

/// The kind of the subjects of events that tell that an upstream says something else of one of its people than
/// before: [`Identity::person_groups`] says whom it concerns.
pub const PERSON: &str = "Person";

pub use clock::Clock;
pub use jose::{AccessClaims, IdClaims};
pub use refusal::{Refusal, RefusalCode};
pub use service::Identity;
pub use settings::{Lifetimes, Settings};
pub use verify::{Either, Verified, Verifier};
