//! Who visits, and what they may: asked of the API at each page, so that nothing here is older than a click.

use std::sync::Arc;

use client::{Client, WhoAmI};
use kernel::{
    Kind as _, Record,
    http::{AccessQuestion, AccessReview},
};
use secrets::model::TeamSecret;
use teams::model::Team;

use crate::{
    Portal,
    failure::Failure,
    session::{Session, SessionTokens, csrf},
};

/// Somebody who is logged in.
pub(crate) struct Visitor {
    /// Calls in their name.
    pub(crate) client: Client,
    /// Who they are to the platform.
    pub(crate) me: WhoAmI,
    /// What their forms carry.
    pub(crate) csrf: String,
    /// Whether they may make a team a customer.
    pub(crate) onboards: bool,
    /// Where they reach the platform.
    pub(crate) server: String,
}

impl Visitor {
    /// Whoever has the session with this cookie.
    pub(crate) async fn of(
        portal: Arc<Portal>,
        cookie: &str,
        session: Record<Session>,
    ) -> Result<Self, Failure> {
        let tokens = SessionTokens::new(portal.clone(), session);
        let client = portal.client()?.on_behalf(Arc::new(tokens));
        // One after the other: where a token has to be renewed, the first does it.
        let me = client.whoami().await?;
        let onboards = may(&client, vec![of_platform("team.create")]).await?;
        Ok(Self {
            client,
            me,
            csrf: csrf(cookie),
            onboards: onboards == [true],
            server: portal.settings.issuer.clone(),
        })
    }

    /// Which of these they may, in their order.
    pub(crate) async fn may<const N: usize>(
        &self,
        questions: [AccessQuestion; N],
    ) -> Result<[bool; N], Failure> {
        let answers = may(&self.client, questions.into()).await?;
        answers.try_into().map_err(|answers| {
            let reason = format!("{answers:?} to {N} questions");
            kernel::Error::internal("an access review has other answers than questions", reason)
                .into()
        })
    }
}

async fn may(client: &Client, questions: Vec<AccessQuestion>) -> Result<Vec<bool>, Failure> {
    let review = AccessReview { questions };
    let answered = client.access_review(&review).await?;
    Ok(answered.answers.iter().map(|one| one.allowed).collect())
}

/// To do this with teams as such.
pub(crate) fn of_platform(action: &str) -> AccessQuestion {
    AccessQuestion {
        action: action.into(),
        kind: Team::KIND.into(),
        ..AccessQuestion::default()
    }
}

/// To do this with a team.
pub(crate) fn of_team(action: &str, team: &str) -> AccessQuestion {
    AccessQuestion {
        name: team.into(),
        team: team.into(),
        ..of_platform(action)
    }
}

/// To do this with a secret of a team; with all of them where it has no name.
pub(crate) fn of_secret(action: &str, team: &str, name: &str) -> AccessQuestion {
    AccessQuestion {
        action: action.into(),
        kind: TeamSecret::KIND.into(),
        scope: team.into(),
        name: name.into(),
        team: team.into(),
        ..AccessQuestion::default()
    }
}
