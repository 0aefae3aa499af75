//! Identity's promises, through its routes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod accounts;
mod attempts;
mod clients;
mod code;
mod device;
mod exchange;
mod keys;
mod refresh;
mod replicas;
mod servers;
mod support;
mod tokens;
mod upstream;
mod users;
