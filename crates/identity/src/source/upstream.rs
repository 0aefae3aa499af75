//! What every upstream can do: be visited by a person, and be asked for their groups again.

use std::collections::BTreeMap;

use async_trait::async_trait;
use kernel::{Error, Secret};
use url::Url;

use super::TeamSource;
use crate::{Refusal, RefusalCode, state::Login};

/// An organization's own provider.
#[async_trait]
pub(crate) trait UpstreamSource: TeamSource {
    /// Where the person goes to log in.
    async fn visit(&self, visit: &Visit) -> Result<Url, Error>;

    /// Who has come back with `code`.
    async fn arrived(&self, visit: &Visit, code: Secret) -> Result<Arrival, ArrivalError>;
}

/// What ties a person who comes back to one who was sent.
pub(crate) struct Visit {
    /// Comes back with the person.
    pub state: String,
    /// Comes back in the ID token.
    pub nonce: String,
    /// PKCE: only we can use the code.
    pub verifier: String,
    /// Where the person comes back to.
    pub redirect_uri: String,
}

/// Somebody who has logged in upstream.
pub(crate) struct Arrival {
    /// Never used again for anybody else, there.
    pub id: String,
    pub name: String,
    pub email: Option<String>,
    pub groups: Vec<String>,
    pub group_ids: BTreeMap<String, String>,
    /// What asks for the groups again.
    pub token: Option<String>,
}

/// Why nobody has.
pub(crate) enum ArrivalError {
    /// The upstream says no, or what it says does not hold.
    Refused(String),
    /// The upstream could not be asked.
    Away(Error),
}

impl From<Error> for ArrivalError {
    fn from(error: Error) -> Self {
        Self::Away(error)
    }
}

impl From<ArrivalError> for Refusal {
    fn from(error: ArrivalError) -> Self {
        match error {
            ArrivalError::Refused(why) => Self::new(RefusalCode::AccessDenied, why),
            ArrivalError::Away(error) => error.into(),
        }
    }
}

impl Arrival {
    /// The login of whoever has come from the upstream `source` at `now`, and what asks again.
    pub(crate) fn login(self, source: &str, now: jiff::Timestamp) -> (Login, Option<String>) {
        let login = Login {
            subject: format!("{source}:{}", self.id),
            name: self.name,
            email: self.email,
            source: source.to_owned(),
            groups: self.groups,
            group_ids: self.group_ids,
            evaluated: now,
            at: now,
            logins: 0,
            upstream: None,
            browser: None,
        };
        (login, self.token)
    }
}
