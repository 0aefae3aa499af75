//! What upstreams have said of their people: remembered beyond their sessions, so that who has left a group
//! is told apart from who is not logged in.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use kernel::{Caller, Change, Key, NewEvent, Record, Resource, Result, anew, lease::Fence};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    Identity,
    sessions::{as_session, fenced, regrouped},
};
use crate::{
    PERSON,
    clock::after,
    model::Upstream,
    source::{SourceError, local::LOCAL},
    state::{Login, Person, Session},
    view::PERSON_CHANGED,
};

/// How long what was said of somebody is remembered: longer than a tool is away. Whoever was in a group when
/// they were last heard of, and does not come back, is not known to have left it, and stays where they are.
const REMEMBERED: Duration = Duration::from_hours(180 * 24);
/// How old what an upstream has said of somebody gets before it is asked again: as a rule their own tokens are
/// renewed by then.
const ASKED: Duration = Duration::from_hours(1);
/// Of how many it is forgotten in one transaction what an upstream said: others write in between.
const FORGOTTEN: usize = 100;
/// What is said again is written again when it is so old.
const AGAIN: Duration = Duration::from_hours(24);

/// The groups of one of an upstream's people, those that they have left too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonGroups {
    /// The upstream.
    pub source: String,
    /// Their names.
    pub names: Vec<String>,
    /// The lasting ids of those that have one, by name.
    pub ids: BTreeMap<String, String>,
}

/// That something else is known of somebody, or nothing any more. Nobody's name, and no group: whoever keeps in
/// mind who is in which reads the record.
fn person_changed(name: &str, caller: &Caller) -> NewEvent {
    let key = Key {
        kind: PERSON.into(),
        scope: String::new(),
        name: name.into(),
    };
    NewEvent::caused(PERSON_CHANGED, key, "", caller, None, json!({}))
}

impl Identity {
    /// Remembers what an upstream has just said of somebody.
    pub(super) async fn person_heard(&self, login: &Login) -> Result<()> {
        self.person_is(login, |before| Person::of(login, before))
            .await
    }

    /// Remembers that an upstream does not let somebody in any more.
    pub(super) async fn person_refused(&self, login: &Login) -> Result<()> {
        let now = self.clock.now();
        self.person_is(login, |before| {
            // Of a session from before people were remembered it is all that is known.
            let known = before.cloned().unwrap_or_else(|| Person::of(login, None));
            known.refused(now)
        })
        .await
    }

    /// Forgets what an upstream that is being removed has said of its people, part by part, and takes the upstream
    /// away when none of them is left. Nothing where no removal was asked for.
    ///
    /// `fence` is that of a reconciler. Ends early with `stop`.
    pub async fn upstream_end(
        &self,
        name: &str,
        fence: Option<&Fence>,
        stop: &CancellationToken,
    ) -> Result<()> {
        let found = self.store.get::<Upstream>("", name).await?;
        let Some(upstream) = found.filter(Resource::is_deleting) else {
            return Ok(());
        };
        let caller = Caller::system("identity", Uuid::now_v7());
        let (mut after, mut found_some): (Option<String>, bool) = (None, false);
        while !stop.is_cancelled() {
            let people = self
                .store
                .records_after::<Person>("", after.as_deref(), FORGOTTEN)
                .await?;
            let is_last = people.len() < FORGOTTEN;
            after = people.last().map(|last| last.name.clone());
            let mut change = fenced(Change::new().by(&caller), fence);
            for person in people.iter().filter(|one| one.value.source == name) {
                found_some = true;
                change.take(person);
                change.event(person_changed(&person.name, &caller));
            }
            // A replica of an older version does not heed the removal, and writes down who logs in there behind
            // this: it is over when nobody was found from the first page to the last.
            let is_over = is_last && !found_some;
            if is_over {
                change.remove(&upstream)?;
            }
            if !change.is_empty() {
                self.store.commit(change).await?;
            }
            if is_over {
                break;
            }
            if is_last {
                (after, found_some) = (None, false);
            }
        }
        Ok(())
    }

    async fn person_is(
        &self,
        login: &Login,
        now: impl Fn(Option<&Person>) -> Person,
    ) -> Result<()> {
        if login.source == LOCAL {
            // Of the platform's own people it is known anyhow.
            return Ok(());
        }
        let name = Person::name_of(&login.subject);
        anew(|| async {
            let before = self.store.record::<Person>(&name).await?;
            let version = before.as_ref().map_or(0, |before| before.version);
            let before = before
                .map(|before| before.value)
                .filter(|before| before.subject == login.subject);
            let person = now(before.as_ref());
            let is_news = before
                .as_ref()
                .is_none_or(|before| !before.says_as(&person));
            let is_old = before
                .as_ref()
                .is_some_and(|before| after(before.heard, AGAIN) <= person.heard);
            if !is_news && !is_old {
                return Ok(());
            }
            let Some(upstream) = self.upstream_there(&login.source).await? else {
                // Its people were forgotten with it.
                return Ok(());
            };
            let caller = Caller::system("identity", Uuid::now_v7());
            let mut change = Change::new().by(&caller);
            change.require(&upstream)?;
            if is_news {
                change.event(person_changed(&name, &caller));
            }
            change.keep(&Record {
                version,
                ..Record::new(name.as_str(), after(person.heard, REMEMBERED), person)
            })?;
            self.store.commit(change).await.map(drop)
        })
        .await
    }

    /// Asks upstreams for the groups of those of their people who are logged in and were last asked for an hour
    /// ago: whoever has left and does not come back is known to have left while their login lasts, and what has
    /// changed for somebody is known although they do nothing. An upstream that is away is asked another time.
    ///
    /// `fence` is that of a reconciler. Ends early with `stop`.
    pub async fn people_ask(&self, fence: Option<&Fence>, stop: &CancellationToken) -> Result<()> {
        let mut away = BTreeSet::new();
        for record in self.store.records::<Session>("").await? {
            let (login, now) = (&record.value.login, self.clock.now());
            let is_due = record.expires > now && after(login.evaluated, ASKED) <= now;
            let is_asked = record.value.refreshable && login.source != LOCAL;
            if stop.is_cancelled() {
                return Ok(());
            }
            if !is_due || !is_asked || away.contains(&login.source) {
                continue;
            }
            match self.membership(login).await {
                Ok(login) => self.person_said(&record, login, fence).await?,
                Err(SourceError::Gone(_)) => {
                    self.person_refused(login).await?;
                    self.session_refused(&record, fence).await?;
                }
                // It is said at the next refresh, to whom it concerns.
                Err(SourceError::Unasked(_)) => {}
                Err(SourceError::Away(error)) => {
                    tracing::warn!(source = login.source, chain = error.chain(), "an upstream");
                    away.insert(login.source.clone());
                }
            }
        }
        Ok(())
    }

    /// Writes down what a source says of somebody who is logged in.
    async fn person_said(
        &self,
        asked: &Record<Session>,
        login: Login,
        fence: Option<&Fence>,
    ) -> Result<()> {
        anew(|| async {
            // Whoever has refreshed it meanwhile knows better.
            let now = self.store.record::<Session>(&asked.name).await?;
            let Some(mut record) = now.filter(|now| now.version == asked.version) else {
                return Ok(());
            };
            let was = std::mem::replace(&mut record.value.login, login.clone());
            let caller = as_session(&record);
            let mut change = fenced(Change::new().by(&caller), fence);
            change.keep(&record)?;
            if (&was.groups, &was.group_ids) != (&login.groups, &login.group_ids) {
                change.event(regrouped(&record.name, &caller));
            }
            self.store.commit(change).await.map(drop)
        })
        .await?;
        self.person_heard(&login).await
    }

    /// The groups that somebody of an upstream is in or has left: of whoever an event of the kind
    /// [`PERSON`] is about. None where nothing is known of them any more.
    pub async fn person_groups(&self, name: &str) -> Result<Option<PersonGroups>> {
        let Some(person) = self.store.record::<Person>(name).await? else {
            return Ok(None);
        };
        if self.upstream_there(&person.value.source).await?.is_none() {
            return Ok(None);
        }
        let Person {
            source,
            groups,
            left,
            ..
        } = person.value;
        let all: BTreeMap<_, _> = left.into_iter().chain(groups).collect();
        Ok(Some(PersonGroups {
            source,
            names: all.keys().cloned().collect(),
            ids: all
                .into_iter()
                .filter_map(|(name, id)| Some((name, id?)))
                .collect(),
        }))
    }
}
