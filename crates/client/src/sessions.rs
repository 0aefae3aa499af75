//! Who is logged in.

use delivery::api::ListQuery;
use kernel::Page;
use reqwest::Method;
use serde::{Deserialize, Serialize};

use crate::{Client, PersonalSession, Result};

/// How many logins were ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedSessions {
    /// Logins of programs that were going on.
    pub ended: usize,
}

impl Client {
    /// `GET identity/sessions`: of `subject`, or all that the caller may see.
    pub async fn sessions(
        &self,
        subject: Option<&str>,
        query: &ListQuery,
    ) -> Result<Page<PersonalSession>> {
        self.call(Method::GET, &["identity", "sessions"])
            .query(query)
            .query(&[("subject", subject)])
            .read()
            .await
    }

    /// `DELETE identity/sessions/{id}`: it ends, and what else its browser has let in.
    pub async fn end_session(&self, id: &str) -> Result<()> {
        self.call(Method::DELETE, &["identity", "sessions", id])
            .done()
            .await
    }

    /// `DELETE identity/sessions`: all logins of a person end, in browsers too.
    pub async fn end_sessions(&self, subject: &str) -> Result<EndedSessions> {
        self.call(Method::DELETE, &["identity", "sessions"])
            .query(&[("subject", subject)])
            .read()
            .await
    }
}
