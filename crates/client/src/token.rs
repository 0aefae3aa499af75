//! Where a client's bearer tokens come from.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use kernel::Secret;

use crate::{Error, Result};

/// Gives the token of each call: one that is renewed, and shared with other programs.
#[async_trait]
pub trait TokenSource: Send + Sync {
    /// The token to call with. `refused`: the one that the platform has just refused, so that another
    /// is needed. Whatever fails is the call's [`Error::Token`].
    async fn token(
        &self,
        refused: Option<&Secret>,
    ) -> Result<Secret, Box<dyn std::error::Error + Send + Sync>>;
}

/// A client's tokens.
#[derive(Clone)]
pub(crate) enum Token {
    /// Always the same, or none.
    Fixed(Option<Secret>),
    /// Asked for at each call.
    Source(Arc<dyn TokenSource>),
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl Token {
    pub(crate) async fn get(&self, refused: Option<&Secret>) -> Result<Option<Secret>> {
        match self {
            Self::Fixed(token) => Ok(token.clone()),
            Self::Source(source) => source.token(refused).await.map(Some).map_err(Error::Token),
        }
    }

    /// Whether there may be another than the one that was refused.
    pub(crate) fn renews(&self) -> bool {
        matches!(self, Self::Source(_))
    }
}
