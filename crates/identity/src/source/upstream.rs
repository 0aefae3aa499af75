//! What every upstream can do: be visited by a person, and be asked for their groups again.

use std::collections::BTreeMap;

use async_trait::async_trait;
use kernel::{Error, Secret};
use url::Url;

use super::TeamSource;
use crate::{Refusal, RefusalCode, state::Login};

/// As long as an id may be (`OpenID` Connect Core 1.0, section 2).
const LONGEST_ID: usize = 255;

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
    /// Their session there, where it has a name.
    pub sid: Option<String>,
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
    /// The login of whoever has come from the upstream `source` at `now`, and what asks again; the log ended at
    /// `log_place` before the upstream was asked.
    ///
    /// Refuses an id that `OpenID` Connect Core 1.0, section 2, does not know: of a provider that says none, all
    /// people would be one.
    pub(crate) fn login(
        self,
        source: &str,
        now: jiff::Timestamp,
        log_place: i64,
    ) -> Result<(Login, Option<String>), Refusal> {
        if !is_id(&self.id) {
            return Err(Refusal::new(
                RefusalCode::AccessDenied,
                format!(
                    "`{source}` does not say who you are: an id has 1 to {LONGEST_ID} printable ASCII characters"
                ),
            ));
        }
        let login = Login {
            subject: format!("{source}:{}", self.id),
            name: called(&self.name),
            email: self.email,
            source: source.to_owned(),
            groups: self.groups,
            group_ids: self.group_ids,
            evaluated: now,
            log_place,
            at: now,
            logins: 0,
            upstream: None,
            browser: None,
            upstream_sid: self.sid,
        };
        Ok((login, self.token))
    }
}

/// Whether somebody may be called so at an upstream, so that they are told apart.
pub(crate) fn is_id(id: &str) -> bool {
    let printable = id.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    printable && (1..=LONGEST_ID).contains(&id.len())
}

/// What somebody is called, as an upstream says it: for one line.
pub(crate) fn called(name: &str) -> String {
    name.replace(char::is_control, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(id: &str) -> Result<Login, Refusal> {
        let arrival = Arrival {
            id: id.into(),
            name: "Ada\u{0}\n".into(),
            email: None,
            groups: vec![],
            group_ids: BTreeMap::new(),
            token: None,
            sid: None,
        };
        let login = arrival.login("acme", jiff::Timestamp::UNIX_EPOCH, 0)?;
        Ok(login.0)
    }

    #[test]
    fn whoever_an_upstream_does_not_tell_apart_is_nobody() {
        for id in ["", "ada\nX", "ada\u{0}", "adä", &"a".repeat(256)] {
            let Err(refusal) = login(id) else {
                panic!("{id:?} is taken");
            };
            assert_eq!(refusal.code, RefusalCode::AccessDenied, "{id:?}");
        }
        let ada = login(&"a".repeat(255)).unwrap();
        assert_eq!((ada.subject.len(), ada.name.as_str()), (260, "Ada"));
    }
}
