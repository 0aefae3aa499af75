//! What upstreams have said of their people: remembered beyond their sessions, so that who has left a group
//! is told apart from who is not logged in.

use std::{collections::BTreeMap, time::Duration};

use kernel::{Caller, Change, Key, NewEvent, Record, Resource, Result, anew, lease::Fence};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Identity, sessions::fenced};
use crate::{
    PERSON,
    clock::after,
    model::Upstream,
    source::local::LOCAL,
    state::{Login, Person},
    view::PERSON_CHANGED,
};

/// How long what was said of somebody is remembered: longer than a tool is away. Whoever was in a group when
/// they were last heard of, and does not come back, is not known to have left it, and stays where they are.
const REMEMBERED: Duration = Duration::from_hours(180 * 24);
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
        if login.source == LOCAL {
            // Of the platform's own people it is known anyhow.
            return Ok(());
        }
        anew(|| async {
            let (version, before) = self.person_known(login).await?;
            let person = Person::of(login, before.as_ref());
            let mut change = Change::new();
            self.person_into(&mut change, version, before, person)
                .await?;
            if change.is_empty() {
                return Ok(());
            }
            self.store.commit(change).await.map(drop)
        })
        .await
    }

    /// Adds to `change` that an upstream does not let somebody in any more.
    pub(super) async fn person_refused(&self, change: &mut Change, login: &Login) -> Result<()> {
        if login.source == LOCAL {
            return Ok(());
        }
        let (version, before) = self.person_known(login).await?;
        // Of a session from before people were remembered it is all that is known.
        let known = before.clone().unwrap_or_else(|| Person::of(login, None));
        let person = known.refused(self.clock.now());
        self.person_into(change, version, before, person).await
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

    /// What is known of somebody, and the version of their record; 0 where there is none.
    async fn person_known(&self, login: &Login) -> Result<(i64, Option<Person>)> {
        let name = Person::name_of(&login.subject);
        let Some(record) = self.store.record::<Person>(&name).await? else {
            return Ok((0, None));
        };
        let known = Some(record.value).filter(|known| known.subject == login.subject);
        Ok((record.version, known))
    }

    /// Adds to `change` what is known of somebody from now on, over what was known `before`; nothing where that is
    /// no news.
    async fn person_into(
        &self,
        change: &mut Change,
        version: i64,
        before: Option<Person>,
        person: Person,
    ) -> Result<()> {
        let is_news = before
            .as_ref()
            .is_none_or(|before| !before.says_as(&person));
        let is_old = before
            .as_ref()
            .is_some_and(|before| after(before.heard, AGAIN) <= person.heard);
        if !is_news && !is_old {
            return Ok(());
        }
        let Some(upstream) = self.upstream_there(&person.source).await? else {
            // Its people were forgotten with it.
            return Ok(());
        };
        change.require(&upstream)?;
        let name = Person::name_of(&person.subject);
        if is_news {
            let caller = Caller::system("identity", Uuid::now_v7());
            change.event(person_changed(&name, &caller));
        }
        change.keep(&Record {
            version,
            ..Record::new(name, after(person.heard, REMEMBERED), person)
        })
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
