//! The store's promises, each kept on SQLite and on Postgres.

#[macro_use]
mod support;

mod documents;
mod events;
mod files;
mod leases;
mod lists;
mod model;
mod replicas;
mod secrets;
