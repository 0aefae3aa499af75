//! Webhooks, from the subscription to the receiver.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod api;
mod at_once;
mod behind;
mod consumer;
mod dead_letters;
mod delivery;
mod owners;
mod reach;
mod receiver;
mod replicas;
mod shares;
mod support;
mod undecided;
