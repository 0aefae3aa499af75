//! The fleet: which clusters there are, what each is for, and how its API server is reached and known.
//!
//! The rooms are the house's own: [`model`] (the kind), [`service`] (use cases), [`http`] (routes). There is
//! nothing to reconcile: the platform keeps what operators say of a cluster, and does not call it. Clients,
//! `towpath kubeconfig` first, make of it what kubectl reads (`docs/clusters.md`).

// Tests may: a panic is how they fail.
#![warn(clippy::unwrap_used)]

pub mod api;
pub mod http;
pub mod model;
pub mod service;

pub use service::Fleet;
