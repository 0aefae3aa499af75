//! Events to those who subscribe: signed webhooks, and NATS JetStream where it is configured.
//!
//! The rooms are the house's own: [`model`] (kinds), [`service`] (use cases), [`http`] (routes); beside
//! them [`deliver`], which passes events on. What it does is no reconciliation, for an event is passed
//! on once more only where it is not known whether it arrived: it reads the log from a cursor, under a
//! lease of its own. `docs/subscriptions.md` says how it is used.

// Tests may: a panic is how they fail.
#![warn(clippy::unwrap_used)]

pub mod api;
pub mod deliver;
pub mod http;
pub mod model;
pub mod outlet;
pub mod pattern;
pub mod port;
pub mod service;
pub mod settings;
pub mod sign;

pub use deliver::Deliveries;
pub use outlet::NatsOutlet;
pub use service::Subscriptions;
pub use settings::Settings;
