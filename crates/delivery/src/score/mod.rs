//! Score (`score.dev/v1b1`): a workload's description.
//!
//! <https://github.com/score-spec/spec>, schema at its head: `containers.*.before` included.

mod model;
pub mod placeholder;
pub mod quantity;

pub use model::*;
