//! Rego decisions: what the company requires, evaluated at the point of change.
//!
//! [`RegoVerifier`] implements [`delivery::Verifier`] over the package `towpath.deploy`. Every policy
//! adds to two sets, `deny` and `warn`, of `{rule, message, remedy}`; the deployment may go on where
//! `deny` is empty. [`RegoAuthorizer`] implements [`kernel::Authorizer`] over the package `towpath.authz`:
//! who may do what. Whatever goes wrong on the way to an answer allows nothing: a deployment is refused, and
//! of who may do what it is said that it is undecided.

// Tests may: a panic is how they fail.
#![warn(clippy::unwrap_used)]

mod authorizer;
mod bundle;
mod findings;
mod verifier;

pub use authorizer::RegoAuthorizer;
pub use bundle::{Bundle, Module};
pub use verifier::{RegoVerifier, TIME_LIMIT};
