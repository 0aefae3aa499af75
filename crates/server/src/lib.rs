//! Configuration, wiring, start and stop. The only crate that constructs adapters, and the one that
//! keeps every task handle.

// Tests may: a panic is how they fail.
#![warn(clippy::unwrap_used)]

mod actions;
mod adapters;
mod apart;
mod api;
mod buckets;
mod callers;
mod config;
mod declared;
mod departures;
mod deploy_accounts;
mod documents;
mod http;
mod keys;
mod kinds;
mod lead;
mod machine;
mod metrics;
mod parts;
mod patience;
mod rekey;
mod routing;
mod run;
mod team_ports;
mod turning;

pub use adapters::{running_servers, shim_main};
pub use buckets::buckets_elsewhere;
pub use config::{Config, HostsFile, S3Endpoint, Servers};
pub use http::document as openapi;
pub use identity::Lifetimes;
pub use provisioners::RunningServer;
pub use run::{Running, start};

/// The claim of tokens that lists groups where nothing else is configured.
pub const TEAMS_CLAIM: &str = identity::Settings::TEAMS_CLAIM;
