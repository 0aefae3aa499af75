//! Deployments from plan to end, by the reconcilers, with a provisioner and an engine that do what a
//! test wants.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod abandon;
mod beneath;
mod defaults;
mod ending;
mod fakes;
mod hosts;
mod labels;
mod lifecycle;
mod mistakes;
mod pins;
mod quota;
mod roles;
mod room;
mod superseded;
mod whose;
