//! Score (`score.dev/v1b1`): a workload's description.
//!
//! <https://github.com/score-spec/spec>, schema at its head: `containers.*.before` included.

mod model;

pub use model::*;
