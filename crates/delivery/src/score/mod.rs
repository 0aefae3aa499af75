//! Score (`score.dev/v1b1`): a workload's description.
//!
//! <https://github.com/score-spec/spec>, schema at its head: `containers.*.before` included, files and
//! volumes by target or as a list. [`load`], [`examine`] and [`parse`] read files, [`validate`] JSON, by one
//! table; [`declare_volumes`] adds what volumes name and nobody declares; [`deployable`] says what is missing for a
//! deployment; [`release`] resolves placeholders.

#![allow(
    clippy::result_large_err,
    reason = "a problem is the end of the way, and boxing each would be in the way of reading"
)]

mod check;
mod deployable;
mod digest;
mod draft;
mod files;
mod model;
mod overrides;
mod pattern;
pub mod placeholder;
pub mod quantity;
mod read;
mod references;
mod relations;
mod release;
mod rest;
mod scalar;
mod schema;
pub(crate) mod suggest;
mod tree;
mod volumes;
mod yaml;

pub use deployable::{advice, deployable};
pub use draft::Draft;
pub use files::inline_sources;
pub use model::*;
pub use overrides::{Input, examine, load};
pub use read::{Document, Examined, Places, Source, parse, validate};
pub use references::{OutputReference, output_references};
pub use release::{FIXED_PORT, Lookup, metadata_at, output_at, release};
pub use rest::Rest;
pub use volumes::declare_volumes;
pub use yaml::Limits;
