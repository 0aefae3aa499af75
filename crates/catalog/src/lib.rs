//! The catalog: what the platform offers developers to begin with.
//!
//! So far that is starter kits, golden paths to a working repository. The rooms are the house's own:
//! [`model`] (the kind), [`service`] (use cases), [`http`] (routes); beside them the renderer, which
//! makes a repository of a kit, and the kits that come with the platform (`kits/`). There is nothing to
//! reconcile: a kit makes files, and whoever asked keeps them. `docs/starter-kits.md` says how it is used.

// Tests may: a panic is how they fail.
#![warn(clippy::unwrap_used)]

pub mod api;
mod built_in;
pub mod http;
pub mod model;
mod render;
pub mod service;

pub use service::Catalog;
