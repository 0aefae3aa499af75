//! Score (`score.dev/v1b1`): a workload's description.
//!
//! <https://github.com/score-spec/spec>, schema at its head: `containers.*.before` included, files and
//! volumes by target or as a list. [`parse`] reads files, [`validate`] JSON; both by one table.

mod check;
mod deployable;
mod digest;
mod model;
mod pattern;
pub mod placeholder;
pub mod quantity;
mod read;
mod relations;
mod release;
mod schema;
mod suggest;
mod tree;
mod yaml;

pub use deployable::{advice, deployable};
pub use model::*;
pub use read::{Document, Source, parse, validate};
pub use release::{FIXED_PORT, Lookup, metadata_at, output_at, release};
pub use yaml::Limits;
