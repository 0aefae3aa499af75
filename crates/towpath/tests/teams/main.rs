//! Teams on a whole platform: onboarded, within their quotas, in step, and gone.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

#[path = "../browser/mod.rs"]
mod browser;
mod command_line;
mod declared;
mod departure;
mod documents;
mod ending;
mod lifecycle;
mod members;
#[path = "../person/mod.rs"]
mod person;
mod quotas;
mod roles;
#[path = "../site/mod.rs"]
mod site;
mod tools;
