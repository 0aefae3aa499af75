//! Whether somebody who has logged in still may, and with which groups: asked of their source before
//! each token.

use std::time::Duration;

use super::{Identity, tokens::issuable};
use crate::{
    clock::after,
    refusal::{Refusal, RefusalCode},
    source::{SourceError, TeamSource as _, local::LOCAL, upstream::called},
    state::Login,
};

impl Identity {
    /// Whether a session may go on although its source cannot be asked.
    pub(super) fn outage(&self, login: &Login, error: kernel::Error) -> Result<(), Refusal> {
        let until = after(login.evaluated, self.settings.lifetimes.upstream_grace);
        if self.clock.now() < until {
            tracing::warn!(
                source = login.source,
                chain = error.chain(),
                "a session goes on without its source"
            );
            return Ok(());
        }
        Err(Refusal {
            cause: Some(error),
            retry_after: Some(Duration::from_secs(30)),
            ..Refusal::new(
                RefusalCode::TemporarilyUnavailable,
                format!(
                    "`{}` cannot be asked which teams you are in, and was last asked at {}: try \
                     again when it is back; you need not log in anew",
                    login.source, login.evaluated
                ),
            )
        })
    }

    /// Somebody who logged in a moment ago, with their groups as they are now.
    pub(super) async fn logged_in_still(&self, login: Login) -> Result<Login, Refusal> {
        match self.membership(&login).await {
            Ok(login) => Ok(login),
            Err(SourceError::Gone(why) | SourceError::Unasked(why)) => Err(Refusal::grant(why)),
            Err(SourceError::Away(error)) => {
                self.outage(&login, error)?;
                Ok(login)
            }
        }
    }

    /// The same login with its groups, and what its person is called, as they are now.
    pub(super) async fn membership(&self, login: &Login) -> Result<Login, SourceError> {
        // Who left nothing to ask with is as they were when they logged in.
        let log_place = match login.upstream {
            Some(_) => self.store.head().await.map_err(SourceError::Away)?,
            None => login.log_place,
        };
        let membership = match login.source.as_str() {
            LOCAL => self.local.groups(login, None).await?,
            _ => self.upstream_membership(login).await?,
        };
        let name = membership.name.as_deref().map(called);
        Ok(Login {
            name: name.unwrap_or_else(|| login.name.clone()),
            groups: issuable(membership.groups),
            group_ids: membership.group_ids,
            evaluated: self.clock.now(),
            log_place,
            ..login.clone()
        })
    }
}
