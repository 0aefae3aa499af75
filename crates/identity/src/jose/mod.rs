//! Signed tokens: the keys, the claims, and what verifies them.

pub(crate) mod claims;
pub(crate) mod provider;
pub(crate) mod signing;

pub use claims::{AccessClaims, IdClaims};
