//! Webhooks, from the subscription to the receiver.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod api;
mod behind;
mod dead_letters;
mod delivery;
mod reach;
mod receiver;
mod replicas;
mod support;
