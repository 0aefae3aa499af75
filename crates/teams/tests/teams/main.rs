//! Teams through their HTTP API, by the policy that ships with the platform.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

#[macro_use]
mod both;
mod support;

mod at_once;
mod conditions;
mod leads;
mod measured;
mod measured_again;
mod measured_away;
mod measured_for;
mod membership;
mod names;
mod onboarding;
mod reconciled;
mod renamed;
mod rights;
mod slow;
mod synced;
mod tools;
mod tools_of_teams;
