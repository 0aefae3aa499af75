//! Resource definitions at work: which one meets a need ([`Catalogue`]), why ([`Explanation`]), and
//! the graph of everything that a deployment needs ([`graph::build`]). Pure functions.

mod catalogue;
mod check;
mod classes;
mod difference;
pub mod document;
mod explain;
pub mod graph;
mod outputs;
mod params;
mod shape;
mod unread;

pub use catalogue::{Catalogue, Context, Revision};
pub use check::check;
pub use classes::unnamed_classes;
pub(crate) use difference::places;
pub use difference::{RevisionChange, difference};
pub use document::{Applicable, defaults};
pub use explain::{Candidate, Explanation, Judged};
pub use outputs::{Asked, Given, unknown_outputs};
pub use params::as_written;
pub use shape::stands_alone;
pub use unread::{Unread, unread_params};
