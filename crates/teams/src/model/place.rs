//! Which team has which place at a tool.

use std::collections::BTreeSet;

use kernel::Kind;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// That a place at a tool is one team's, so that it is not another's as well. Scope: the platform; name:
/// [`IntegrationPlace::name_of`] its address, which makes the store refuse a second one. It follows from
/// what the team's [`super::IntegrationState`]s hold, and is written in one transaction with them.
#[derive(Debug)]
pub enum IntegrationPlace {}

impl Kind for IntegrationPlace {
    const KIND: &'static str = "IntegrationPlace";
    type Spec = PlaceSpec;
    type Status = ();
}

impl IntegrationPlace {
    /// What the place at this address is called: addresses are longer than names, and have other letters.
    pub fn name_of(at: &str) -> String {
        kernel::bytes::hex(&Sha256::digest(at))
    }
}

/// Whose a place is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlaceSpec {
    /// Its address, as [`super::Holding`] says it.
    pub at: String,
    /// The team.
    pub team: String,
    /// The integrations by which the team holds it: more than one while one takes over from another.
    pub by: BTreeSet<String>,
}
