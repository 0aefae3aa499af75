//! The kinds of delivery: types, invariants, state tables. No I/O.

mod definition;
mod deployment;
mod environment;
mod graph;
mod instance;
mod remnant;
mod route;
mod workload;

pub use definition::*;
pub use deployment::*;
pub use environment::*;
pub use graph::*;
pub use instance::*;
pub use remnant::*;
pub use route::*;
pub use workload::*;
