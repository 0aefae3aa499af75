//! Where people are, and which groups they are in: one trait, whoever knows.

pub(crate) mod github;
mod hasher;
pub(crate) mod local;
pub(crate) mod oidc;
pub(crate) mod upstream;

use std::collections::BTreeMap;

use async_trait::async_trait;
use kernel::{Error, Secret};

use crate::state::Login;

/// Knows the groups of people.
#[async_trait]
pub trait TeamSource: Send + Sync {
    /// The groups of somebody who has logged in by this source, as they are now. Names that begin with
    /// `system:` are taken out by the caller.
    ///
    /// `token` is what an upstream gave for asking again.
    async fn groups(
        &self,
        login: &Login,
        token: Option<&Secret>,
    ) -> Result<Membership, SourceError>;
}

/// What a source says of somebody.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Membership {
    /// What they are called now; none where the source says that at a login alone.
    pub name: Option<String>,
    /// Their groups.
    pub groups: Vec<String>,
    /// The lasting ids of those of them that have one there, by name.
    pub group_ids: BTreeMap<String, String>,
    /// What asks the next time, where it is no longer what asked this time.
    pub upstream_token: Option<Secret>,
}

/// Why a source does not say.
#[derive(Debug)]
pub enum SourceError {
    /// Whoever it was may not log in any more: says why.
    Gone(String),
    /// It says nothing of whoever it was until they log in again, and that is nobody's failure: says why.
    Unasked(String),
    /// The source could not be asked: neither good nor bad news.
    Away(Error),
}

impl SourceError {
    /// Why, for whoever it was.
    pub(crate) fn reason(&self) -> &str {
        match self {
            Self::Gone(why) | Self::Unasked(why) => why,
            Self::Away(error) => &error.message,
        }
    }
}
