//! The driver's promises: nothing is missed, no key runs beside itself, one replica at a time.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

mod replicas;
mod work;
