//! Identity's promises, through its routes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod accounts;
mod asked;
mod at_once;
mod attempts;
mod automation;
mod backchannel;
mod clients;
mod code;
mod device;
mod directory;
mod endings;
mod exchange;
mod foreign;
mod issuers;
mod keys;
mod openid;
mod overtaken;
mod pages;
mod recheck;
mod refresh;
mod replicas;
mod returns;
mod servers;
mod sessions;
mod support;
mod tokens;
mod upstream;
mod users;
