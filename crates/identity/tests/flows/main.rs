//! Identity's promises, through its routes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod accounts;
mod asked;
mod attempts;
mod automation;
mod clients;
mod code;
mod device;
mod directory;
mod endings;
mod exchange;
mod foreign;
mod keys;
mod overtaken;
mod pages;
mod refresh;
mod replicas;
mod servers;
mod sessions;
mod support;
mod tokens;
mod upstream;
mod users;
