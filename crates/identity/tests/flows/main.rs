//! Identity's promises, through its routes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod attempts;
mod code;
mod device;
mod keys;
mod refresh;
mod support;
mod tokens;
mod users;
