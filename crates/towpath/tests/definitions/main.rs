//! Resource definitions on a whole platform: which is chosen and why, what follows when one changes,
//! and what people are told when something is wrong with one.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod changing;
mod desk;
mod making;
mod matching;
mod shields;
#[path = "../site/mod.rs"]
mod site;
mod unread;
