//! What somebody knows: values that they were told or wrote, and that are still worth something.

use std::collections::BTreeMap;

use kernel::{Event, EventFilter, Key, NewEvent, Outcome, Result, Store};

use super::{Identity, automation::Told};
use crate::model::ServiceAccount;

/// What is told of a value by events.
struct Telling {
    /// That somebody knows it: was told it, or wrote it.
    told: &'static str,
    /// Which number it has, in this event and the next.
    number: &'static str,
    /// That it is worth nothing any more, where its number is lower.
    renewed: &'static str,
    /// That it has gone.
    gone: &'static str,
    /// That it was given up: what may be left of it is kept in mind, and called as `remnant` says.
    given_up: Option<&'static str>,
}

/// That somebody has seen to what was left of what was given up.
const LEFT_GONE: &str = "remnant.removed";

const WRITTEN: &str = "secret.written";

const TELLING: [Telling; 3] = [
    Telling {
        told: "secret.revealed",
        number: "version",
        renewed: WRITTEN,
        gone: "secret.deleted",
        given_up: None,
    },
    Telling {
        told: WRITTEN,
        number: "version",
        renewed: WRITTEN,
        gone: "secret.deleted",
        given_up: None,
    },
    Telling {
        told: "resource-instance.secret-revealed",
        number: "rotation",
        renewed: "resource-instance.credentials-retired",
        gone: "resource-instance.removed",
        given_up: Some("resource-instance.abandoned"),
    },
];

/// Below this name a team's secrets are keys of what deploys, `deploy-credentials/ENVIRONMENT/ACCOUNT`: a key of
/// before is kept no more, and still good.
const DEPLOY_CREDENTIALS: &str = "deploy-credentials/";

/// A value that somebody knows, and how it is told from the one that takes its place.
pub(super) struct Known {
    /// What is said of it.
    pub(super) told: Told,
    /// The newest version, or rotation, that they know.
    pub(super) number: u64,
    /// The service account, and those of its valid keys that they know, by id, where it is of what deploys.
    pub(super) keys: Option<(String, Vec<String>)>,
}

/// What has become of a value since somebody was told it.
enum Since {
    /// It is the present one.
    Nothing,
    /// Another has taken its place.
    Renewed,
    /// What it was of has gone.
    Gone,
}

/// Calls `each` with every event of a type that `subject` caused.
pub(super) async fn caused(
    store: &Store,
    kind: &str,
    subject: &str,
    mut each: impl FnMut(Event),
) -> Result<()> {
    let filter = EventFilter {
        actor: Some(subject.to_owned()),
        ..of_type(kind)
    };
    let mut after = 0;
    loop {
        let page = store.events(&filter, after, Store::MAX_EVENTS).await?;
        let Some(last) = page.last().map(|event| event.seq) else {
            return Ok(());
        };
        after = last;
        page.into_iter().for_each(&mut each);
    }
}

fn of_type(kind: &str) -> EventFilter {
    EventFilter {
        type_prefix: Some(format!("{}{kind}", NewEvent::PREFIX)),
        ..EventFilter::default()
    }
}

impl Identity {
    /// The values that somebody was told, or wrote, as far as they are still worth something.
    pub(super) async fn told(&self, subject: &str) -> Result<Vec<Told>> {
        let known = self.known(subject).await?;
        Ok(known.into_iter().map(|one| one.told).collect())
    }

    /// The same, each with what ends it.
    pub(super) async fn known(&self, subject: &str) -> Result<Vec<Known>> {
        let mut all: Vec<Known> = Vec::new();
        for telling in TELLING {
            let given_up = match telling.given_up {
                Some(kind) => GivenUp::all(&self.store, kind).await?,
                None => Vec::new(),
            };
            // Of each number the last: whoever read an earlier version after the newest knows both. What was given up
            // is not what is called the same now.
            let mut last = BTreeMap::new();
            caused(&self.store, telling.told, subject, |event| {
                if telling.tells(&event) {
                    let left = given_up_after(&given_up, &event).map(|one| one.seq);
                    let number = telling.number_of(&event);
                    last.insert((event.subject.clone(), left, number), event);
                }
            })
            .await?;
            for ((.., number), event) in last {
                let left = given_up_after(&given_up, &event);
                let key = left.map(GivenUp::key).or_else(|| event.subject_key());
                let Some(key) = key else {
                    continue;
                };
                let keys = keys_of(&self.store, &key, number).await?;
                let told = told_by(&event, key);
                let number = number.unwrap_or_default();
                let over = match &keys {
                    Some((_, valid)) => valid.is_empty(),
                    None => match telling.since(&self.store, &event, left).await? {
                        Since::Nothing => false,
                        Since::Renewed => !self.is_still_good(&told, number).await?,
                        Since::Gone => true,
                    },
                };
                if !over {
                    take_in(&mut all, told, number, keys);
                }
            }
        }
        Ok(all)
    }

    async fn is_still_good(&self, told: &Told, number: u64) -> Result<bool> {
        match self.rotations.get() {
            Some(rotations) => rotations.is_still_good(told, number).await,
            None => Ok(false),
        }
    }
}

/// Something that could not be removed, and was given up.
struct GivenUp {
    /// What it was.
    subject: String,
    /// When, in the order of events.
    seq: i64,
    /// What is kept in mind of it.
    remnant: String,
}

impl GivenUp {
    /// All that were, in their order: there are few.
    async fn all(store: &Store, kind: &str) -> Result<Vec<Self>> {
        let (filter, mut after, mut all) = (of_type(kind), 0, Vec::new());
        loop {
            let page = store.events(&filter, after, Store::MAX_EVENTS).await?;
            let Some(last) = page.last().map(|event| event.seq) else {
                return Ok(all);
            };
            after = last;
            all.extend(page.into_iter().filter_map(|event| {
                let remnant = event.data["remnant"].as_str()?.to_owned();
                Some(Self {
                    subject: event.subject,
                    seq: event.seq,
                    remnant,
                })
            }));
        }
    }

    fn key(&self) -> Key {
        Key {
            kind: "Remnant".into(),
            scope: String::new(),
            name: self.remnant.clone(),
        }
    }
}

/// How what `event` tells of was given up later, where it was.
fn given_up_after<'a>(all: &'a [GivenUp], event: &Event) -> Option<&'a GivenUp> {
    all.iter()
        .find(|one| one.subject == event.subject && one.seq > event.seq)
}

/// What happened to `subject` after `seq`. What failed has changed nothing.
async fn later(store: &Store, seq: i64, kind: &str, subject: &str) -> Result<Vec<Event>> {
    let filter = EventFilter {
        subject: Some(subject.to_owned()),
        ..of_type(kind)
    };
    let mut found = store.events(&filter, seq, Store::MAX_EVENTS).await?;
    // The filter lets through what is below it, too.
    found.retain(|one| one.subject == subject && one.outcome != Some(Outcome::Fail));
    Ok(found)
}

fn told_by(event: &Event, Key { kind, scope, name }: Key) -> Told {
    Told {
        kind,
        scope,
        name,
        team: event.team.clone(),
        at: event.time,
    }
}

/// One that they know by several events is told once: at the later time, by the newest number.
fn take_in(all: &mut Vec<Known>, told: Told, number: u64, keys: Option<(String, Vec<String>)>) {
    let same = |known: &&mut Known| {
        let it = &known.told;
        (&it.kind, &it.scope, &it.name) == (&told.kind, &told.scope, &told.name)
    };
    let Some(known) = all.iter_mut().find(same) else {
        all.push(Known { told, number, keys });
        return;
    };
    known.told.at = known.told.at.max(told.at);
    known.number = known.number.max(number);
    if let (Some((_, valid)), Some((_, more))) = (&mut known.keys, keys) {
        valid.extend(more);
        valid.sort();
        valid.dedup();
    }
}

/// Of a secret that is the key of what deploys: the account, and which of its valid keys that version held.
/// None of any other.
async fn keys_of(
    store: &Store,
    key: &Key,
    version: Option<u64>,
) -> Result<Option<(String, Vec<String>)>> {
    let path = key.name.strip_prefix(DEPLOY_CREDENTIALS);
    let is_secret = key.kind == "TeamSecret";
    let Some((_, account)) = path
        .and_then(|path| path.rsplit_once('/'))
        .filter(|_| is_secret)
    else {
        return Ok(None);
    };
    let found = store.get::<ServiceAccount>(&key.scope, account).await?;
    let valid = found.map(|found| found.status.keys).unwrap_or_default();
    if valid.is_empty() {
        return Ok(Some((account.to_owned(), Vec::new())));
    }
    let credential = Key {
        kind: "DeployCredential".into(),
        scope: key.scope.clone(),
        name: account.to_owned(),
    };
    let filter = EventFilter {
        subject: Some(credential.to_string()),
        ..of_type("deploy-credential.rotated")
    };
    let drawn = store.events(&filter, 0, Store::MAX_EVENTS).await?;
    let ids = drawn
        .iter()
        .filter(|event| event.data["version"].as_u64() == version)
        .filter_map(|event| event.data["key"].as_str())
        .filter(|id| valid.iter().any(|key| key.id == *id))
        .map(str::to_owned);
    Ok(Some((account.to_owned(), ids.collect())))
}

impl Telling {
    /// Whether whoever caused `event` knows the value by it: not where the platform drew it, nor where it was not
    /// written.
    fn tells(&self, event: &Event) -> bool {
        let by_hand = event.data["origin"] == "written" && event.outcome == Some(Outcome::Pass);
        self.told != WRITTEN || by_hand
    }

    fn number_of(&self, event: &Event) -> Option<u64> {
        event.data[self.number].as_u64()
    }

    /// What has become since of what `event` tells of; where that was `given_up` later, of what is left of it.
    async fn since(
        &self,
        store: &Store,
        event: &Event,
        given_up: Option<&GivenUp>,
    ) -> Result<Since> {
        // What happened after it was given up happened to another of its name.
        let until = given_up.map_or(i64::MAX, |one| one.seq);
        let mut gone = later(store, event.seq, self.gone, &event.subject).await?;
        gone.retain(|one| one.seq < until);
        if let Some(given_up) = given_up {
            let remnant = given_up.key().to_string();
            gone.extend(later(store, event.seq, LEFT_GONE, &remnant).await?);
        }
        if !gone.is_empty() {
            return Ok(Since::Gone);
        }
        let told = self.number_of(event);
        let mut renewed = later(store, event.seq, self.renewed, &event.subject).await?;
        if given_up.is_some() {
            // Whether a rotation ended it nobody can be asked any more: it was said at the time.
            renewed.retain(|one| one.seq < until && one.data["ended"] != false);
        }
        Ok(if renewed.iter().any(|one| self.number_of(one) > told) {
            Since::Renewed
        } else {
            Since::Nothing
        })
    }
}
