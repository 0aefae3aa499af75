//! Who is logged in, and where: everybody sees and ends their own logins, whoever operates the platform
//! everybody's.

use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;
use kernel::{
    Action, Caller, CallerKind, Change, Error, NewEvent, Outcome, Page, Query, Record, Result,
    Target, Transient, anew,
};
use serde::Serialize;
use serde_json::json;

use super::{
    Identity,
    sessions::{session_key, sessions_of},
};
use crate::{
    state::{
        AuthorizationCode, Browser, Decision, DeviceGrant, Login, Session, SessionUse,
        UpstreamGrant,
    },
    view::SESSION,
};

/// To see who is logged in.
const READ: Action = Action::see("session.read");
/// To log somebody out.
const END: Action = Action::act("session.end");

/// Why a session ended that somebody picked out.
const ENDED: &str = "ended by whoever may";

/// A person's login at one program.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PersonalSession {
    /// Its name: what its tokens have as `sid`, and events as `login:ID`.
    pub id: String,
    /// Whose.
    pub subject: String,
    /// What people call them.
    pub name: String,
    /// The program that logged them in.
    pub client: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub began: Timestamp,
    /// When its tokens were last renewed.
    #[schema(value_type = String, format = DateTime)]
    pub renewed: Timestamp,
    /// When it ends if it is not renewed.
    #[schema(value_type = String, format = DateTime)]
    pub ends: Timestamp,
    /// When automation last called with it, to the hour; none: not that anybody knows.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub automation: Option<Timestamp>,
}

/// How many logins were ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct EndedSessions {
    /// Logins of programs that were going on.
    pub ended: usize,
}

/// Logins of a person.
#[derive(Debug, Clone, Copy)]
pub(super) struct Whose<'a> {
    pub subject: &'a str,
    /// Those alone that came of this session at their upstream. One of which it is not known may have.
    pub upstream_sid: Option<&'a str>,
}

impl Whose<'_> {
    fn is(self, login: &Login) -> bool {
        let is_of = match (self.upstream_sid, login.upstream_sid.as_deref()) {
            (Some(asked), Some(known)) => asked == known,
            (None, _) | (_, None) => true,
        };
        login.subject == self.subject && is_of
    }
}

/// One session, or where no name is given all of a person's; of everybody's where no subject is.
fn session_target<'a>(subject: &'a str, id: &'a str) -> Target<'a> {
    Target {
        kind: SESSION,
        scope: subject,
        name: id,
        ..Target::default()
    }
}

/// Refuses what cannot be anybody's subject: `SOURCE:ID`.
pub(super) fn expect_subject(subject: &str) -> Result<()> {
    if subject.contains(':') {
        return Ok(());
    }
    Err(Error::invalid(format!("`{subject}` is nobody's subject"))
        .remedy(format!("name the source as well: `local:{subject}`")))
}

fn no_session(id: &str) -> Error {
    Error::not_found(format!("session `{id}`"))
        .remedy("`towpath session list` shows those that go on")
}

impl Identity {
    /// A page of the logins that go on: of `subject`, or where nobody is named all that the caller may see.
    pub async fn sessions(
        &self,
        caller: &Caller,
        subject: Option<&str>,
        query: &Query,
    ) -> Result<Page<PersonalSession>> {
        let subject = match subject {
            Some(subject) => {
                expect_subject(subject)?;
                let target = session_target(subject, "");
                self.guard.require(caller, READ, &target).await?;
                Some(subject)
            }
            None if self.guard.allows(caller, READ, &session_target("", "")) => None,
            None if caller.kind == CallerKind::Person => Some(caller.subject.as_str()),
            None => {
                let target = session_target("", "");
                self.guard.require(caller, READ, &target).await?;
                None
            }
        };
        let prefix = subject.map(sessions_of).unwrap_or_default();
        let limit = query.page_size();
        let mut items = Vec::new();
        let mut after = query.after.clone();
        loop {
            let from = after.take();
            let page = self
                .store
                .records_after::<Session>(&prefix, from.as_deref(), limit + 1)
                .await?;
            let is_last = page.len() <= limit;
            after = page.last().map(|record| record.name.clone());
            for session in self.shown(&prefix, from.as_deref(), page).await? {
                if subject.is_some_and(|subject| session.subject != subject) {
                    continue;
                }
                if items.len() == limit {
                    let next = items.last().map(|last: &PersonalSession| last.id.clone());
                    return Ok(Page { items, next });
                }
                items.push(session);
            }
            if is_last {
                return Ok(Page { items, next: None });
            }
        }
    }

    /// Ends one login, and with it what else its browser has let in. A token of it is refused from the next call
    /// on; where Kubernetes takes ID tokens, when that one has expired.
    pub async fn session_end_named(&self, caller: &Caller, id: &str) -> Result<()> {
        let found = self.store.record::<Session>(id).await?;
        let Some(session) = found.filter(|record| record.expires > self.clock.now()) else {
            // Whether it is there is told to whoever may end it alone.
            self.guard
                .require(caller, END, &session_target("", id))
                .await?;
            return Err(no_session(id));
        };
        let target = session_target(&session.value.login.subject, id);
        self.guard.require(caller, END, &target).await?;
        if anew(|| self.logout_once(caller, id, ENDED)).await? == 0 {
            return Err(no_session(id));
        }
        self.view.current().await
    }

    /// Ends all logins of a person, in browsers too, and what they have begun and not finished. They may log in
    /// again: whoever is to stay out is disabled or removed where they are kept.
    pub async fn sessions_end_of(&self, caller: &Caller, subject: &str) -> Result<EndedSessions> {
        expect_subject(subject)?;
        let target = session_target(subject, "");
        self.guard.require(caller, END, &target).await?;
        let ended = anew(|| self.sessions_end_of_once(caller, subject)).await?;
        self.view.current().await?;
        Ok(EndedSessions { ended })
    }

    async fn sessions_end_of_once(&self, caller: &Caller, subject: &str) -> Result<usize> {
        let mut change = Change::new().by(caller);
        let all = Whose {
            subject,
            upstream_sid: None,
        };
        let ended = self.logins_end(&mut change, caller, all, ENDED).await?;
        // Told where there was none, too: somebody has asked for it.
        change.event(NewEvent::caused(
            "session.all-ended",
            session_key(subject),
            "",
            caller,
            Some(Outcome::Pass),
            json!({ "ended": ended }),
        ));
        self.store.commit(change).await?;
        Ok(ended)
    }

    /// Ends these logins within `change`, in browsers too, and what they have begun and not finished. Answers how
    /// many sessions that ends.
    pub(super) async fn logins_end(
        &self,
        change: &mut Change,
        caller: &Caller,
        whose: Whose<'_>,
        reason: &str,
    ) -> Result<usize> {
        let mut grants = BTreeSet::new();
        // Before their sessions: one that begins meanwhile is written over its browser. With the browser end codes
        // and devices that it let in and that have not asked yet.
        for record in self.store.records::<Browser>("").await? {
            if whose.is(&record.value.login) {
                grants.extend(record.value.login.upstream.clone());
                change.take(&record);
            }
        }
        // A replica of an older version, beside which this one may run for a while, does not look at the browser:
        // it lets in whoever has one of these.
        self.take_all_of::<DeviceGrant>(change, whose, |grant| match &grant.decision {
            Decision::Approved(login) => Some(login),
            Decision::Pending | Decision::Denied => None,
        })
        .await?;
        self.take_all_of::<AuthorizationCode>(change, whose, |code| Some(&code.login))
            .await?;
        let mut ended = 0;
        let prefix = sessions_of(whose.subject);
        for record in self.store.records::<Session>(&prefix).await? {
            if whose.is(&record.value.login) {
                // Nothing is left that would ask the upstream again.
                grants.extend(record.value.login.upstream.clone());
                self.session_end(change, caller, &record, reason)?;
                ended += 1;
            }
        }
        for name in grants {
            if let Some(grant) = self.store.record::<UpstreamGrant>(&name).await? {
                change.take(&grant);
            }
        }
        Ok(ended)
    }

    /// Takes within `change` all records of a sort that are of these logins, and whose names do not say whose each
    /// is: `login` does. No more of them are in memory than on a page.
    async fn take_all_of<T: Transient>(
        &self,
        change: &mut Change,
        whose: Whose<'_>,
        login: fn(&T) -> Option<&Login>,
    ) -> Result<()> {
        let mut after: Option<String> = None;
        loop {
            let page = self
                .store
                .records_after::<T>("", after.as_deref(), Query::MAX_LIMIT)
                .await?;
            for record in &page {
                if login(&record.value).is_some_and(|login| whose.is(login)) {
                    change.take(record);
                }
            }
            if page.len() < Query::MAX_LIMIT {
                return Ok(());
            }
            after = page.last().map(|last| last.name.clone());
        }
    }

    /// The sessions whose names begin so, by person.
    pub(super) async fn personal_sessions(&self, prefix: &str) -> Result<Vec<PersonalSession>> {
        let sessions = self.store.records::<Session>(prefix).await?;
        let mut items = self.shown(prefix, None, sessions).await?;
        items.sort_by(|one, other| (&one.subject, one.began).cmp(&(&other.subject, other.began)));
        Ok(items)
    }

    /// Sessions as they are shown, without those that are over: all whose names begin with `prefix` and come
    /// after `from`, up to the last of these.
    async fn shown(
        &self,
        prefix: &str,
        from: Option<&str>,
        sessions: Vec<Record<Session>>,
    ) -> Result<Vec<PersonalSession>> {
        let now = self.clock.now();
        let used = self.used(prefix, from, &sessions).await?;
        let sessions = sessions.into_iter().filter(|record| record.expires > now);
        let shown = sessions.map(|record| PersonalSession {
            automation: used.get(&record.name).copied(),
            id: record.name,
            subject: record.value.login.subject,
            name: record.value.login.name,
            client: record.value.client_id,
            began: record.value.created,
            renewed: record.value.last_used,
            ends: record.expires,
        });
        Ok(shown.collect())
    }

    /// When automation last called with these sessions, by name.
    async fn used(
        &self,
        prefix: &str,
        from: Option<&str>,
        sessions: &[Record<Session>],
    ) -> Result<HashMap<String, Timestamp>> {
        let mut used = HashMap::new();
        let Some(last) = sessions.last() else {
            return Ok(used);
        };
        let limit = sessions.len().min(Query::MAX_LIMIT);
        let mut from = from.map(str::to_owned);
        loop {
            let page = self
                .store
                .records_after::<SessionUse>(prefix, from.as_deref(), limit)
                .await?;
            let is_rest = page.len() < limit;
            for record in page {
                if record.name > last.name {
                    return Ok(used);
                }
                from = Some(record.name.clone());
                used.insert(record.name, record.value.automation);
            }
            if is_rest {
                return Ok(used);
            }
        }
    }
}
