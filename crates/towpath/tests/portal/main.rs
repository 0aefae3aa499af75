//! The portal on a whole platform, by browsers: what people do there, what others try, and what it withstands.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod attacks;
#[path = "../browser/mod.rs"]
mod browser;
mod chromium;
mod forms;
#[path = "../person/mod.rs"]
mod person;
mod secrets;
mod sessions;
#[path = "../site/mod.rs"]
mod site;
mod world;
