//! Score (`score.dev/v1b1`): a workload's description.
//!
//! <https://github.com/score-spec/spec>, schema at its head: `containers.*.before` included, files and
//! volumes by target or as a list. [`parse`] reads files, [`validate`] JSON; both by one table.

mod check;
mod model;
mod pattern;
pub mod placeholder;
pub mod quantity;
mod read;
mod relations;
mod schema;
mod suggest;
mod tree;
mod yaml;

pub use model::*;
pub use read::{Document, Source, parse, validate};
pub use yaml::Limits;
