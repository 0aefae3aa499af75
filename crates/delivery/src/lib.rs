//! Delivery: from a workload's description to a running, reachable, healing service.
//!
//! The walk of a deployment is in `docs/architecture.md`; the rooms are the house's own:
//! [`model`] (kinds), [`score`] (the workload's description), [`definition`] (matching and graph),
//! [`plan`], [`service`] (use cases), [`http`] (routes), [`reconcile`] (level-triggered work), and
//! the ports that the edge implements: [`Engine`], [`Provisioner`] and [`Verifier`].

// Tests may: a panic is how they fail.
#![warn(clippy::unwrap_used)]

pub mod api;
pub mod definition;
pub mod documents;
pub mod ending;
pub mod engine;
pub mod http;
pub mod model;
pub mod plan;
pub mod provisioner;
pub mod reconcile;
pub mod score;
pub mod service;
pub mod verify;

pub use engine::Engine;
pub use provisioner::Provisioner;
pub use verify::Verifier;
