//! The embedded gateway: HTTP hosts and paths, and plain TCP ports, to workloads.
//!
//! It knows nothing of workloads, environments or the store. Its one input is a [`RoutingTable`],
//! handed over through a [`tokio::sync::watch`] channel: whoever sends a new table switches every
//! request that starts from then on, at once and all together. Requests that are under way finish
//! where they began, so a new release takes over without a failed request as long as the old one is
//! stopped after the switch.
//!
//! What may be assumed of it:
//! - Bodies stream both ways with backpressure; nothing is buffered whole.
//! - A request is sent again only when its backend cannot have acted on it, or when acting twice is
//!   harmless: see [`Gateway`].
//! - A target may have an [`Admission`]: then a workload of the platform is let in only where that
//!   names its environment. [`Callers`] says whose workload holds the other end of a connection: once
//!   for each connection, and only where a target asks. What is let in is decided for each request.
//! - A backend sees one well-formed HTTP/1.1 request for each request of a client, whatever bytes
//!   the client sent: framing is made anew, hop-by-hop fields end here, and what a client claims in
//!   `X-Forwarded-*` is replaced by what the gateway saw.

// Tests may: a panic is how they fail.
#![warn(clippy::unwrap_used)]

mod admission;
mod body;
mod head;
mod http;
mod limits;
mod pool;
mod proxy;
mod server;
mod slots;
mod table;
pub mod tcp;
mod upgrade;

pub use admission::{Admission, Callers, Unknown};
pub use limits::Limits;
pub use server::{Gateway, GatewayHandle};
pub use table::{Absence, RouteError, RoutingTable, Target};
