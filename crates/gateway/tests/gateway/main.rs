//! The gateway's behaviour, over real sockets.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

mod admission;
mod limits;
mod message;
mod routing;
mod streaming;
mod support;
mod takeover;
mod tcp;
