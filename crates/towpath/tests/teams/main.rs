//! Teams on a whole platform: onboarded, within their quotas, in step, and gone.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod command_line;
mod declared;
mod documents;
mod ending;
mod lifecycle;
mod quotas;
mod roles;
#[path = "../site/mod.rs"]
mod site;
mod tools;
