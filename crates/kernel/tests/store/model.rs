//! Random changes against a model: a map, and a list of events.

use std::collections::BTreeMap;

use kernel::{Change, Document, ErrorKind, EventFilter, Key, Query, Resource, Result, Store};
use proptest::{
    prelude::{Strategy, any, prop_oneof},
    test_runner::{Config, TestRunner},
};

use crate::support::{Database, Thing, thing};

on_both!(the_store_does_what_the_model_does);

/// What a step does to the thing of a number, as it was read `stale` writes ago.
#[derive(Debug, Clone)]
enum Step {
    Create(usize, i64),
    Spec(usize, i64, bool),
    Status(usize, u8, bool),
    Delete(usize, bool),
    Remove(usize, bool),
    Require(usize, bool),
}

const THINGS: usize = 3;

fn steps() -> impl Strategy<Value = Vec<Vec<Step>>> {
    // Seldom stale, so that most changes do something.
    let stale = || (0..8u8).prop_map(|n| n == 0);
    let one = || 0..THINGS;
    let step = prop_oneof![
        (one(), 0..3i64).prop_map(|(n, size)| Step::Create(n, size)),
        (one(), 0..3i64, stale()).prop_map(|(n, size, s)| Step::Spec(n, size, s)),
        (one(), 0..3u8, stale()).prop_map(|(n, phase, s)| Step::Status(n, phase, s)),
        (one(), stale()).prop_map(|(n, s)| Step::Delete(n, s)),
        (one(), any::<bool>()).prop_map(|(n, s)| Step::Remove(n, s)),
        (one(), stale()).prop_map(|(n, s)| Step::Require(n, s)),
    ];
    proptest::collection::vec(proptest::collection::vec(step, 1..4), 1..12)
}

#[derive(Debug, Clone, PartialEq)]
struct Row {
    uid: uuid::Uuid,
    size: i64,
    phase: String,
    revision: i64,
    generation: i64,
    deleting: bool,
}

#[derive(Clone, Default)]
struct Model {
    rows: BTreeMap<String, Row>,
    events: Vec<(String, String)>,
}

impl Model {
    /// Applies one change, all or nothing; gives whether it succeeds.
    fn apply(&mut self, steps: &[(Step, Resource<Thing>)]) -> Result<(), ErrorKind> {
        let before = self.rows.clone();
        let mut next = self.clone();
        for (step, resource) in steps {
            next.step(step, resource, &before)?;
        }
        *self = next;
        Ok(())
    }

    fn step(
        &mut self,
        step: &Step,
        resource: &Resource<Thing>,
        before: &BTreeMap<String, Row>,
    ) -> Result<(), ErrorKind> {
        let name = resource.meta.name.clone();
        let place = i64::try_from(self.events.len()).unwrap() + 1;
        if let Step::Create(..) = step {
            if self.rows.contains_key(&name) {
                return Err(ErrorKind::AlreadyExists);
            }
            let row = Row {
                uid: resource.meta.uid,
                size: resource.spec.size,
                phase: resource.status.phase.clone(),
                revision: place,
                generation: 1,
                deleting: false,
            };
            self.rows.insert(name.clone(), row);
            self.events.push(("created".into(), name));
            return Ok(());
        }
        let row = self.rows.get_mut(&name).ok_or(ErrorKind::Conflict)?;
        if matches!(step, Step::Delete(..)) && row.uid == resource.meta.uid && row.deleting {
            return Ok(());
        }
        // A row that this change made itself was read at revision 0.
        let read_at = before
            .get(&name)
            .filter(|before| before.uid == row.uid)
            .map_or(0, |row| row.revision);
        if row.uid != resource.meta.uid || resource.meta.revision != read_at {
            return Err(ErrorKind::Conflict);
        }
        let what = match step {
            Step::Spec(..) => {
                if row.size == resource.spec.size && row.phase == resource.status.phase {
                    return Ok(());
                }
                row.generation += i64::from(row.size != resource.spec.size);
                row.size = resource.spec.size;
                row.phase.clone_from(&resource.status.phase);
                "changed"
            }
            Step::Status(..) => {
                if row.phase == resource.status.phase {
                    return Ok(());
                }
                row.phase.clone_from(&resource.status.phase);
                "status-changed"
            }
            Step::Delete(..) => {
                row.deleting = true;
                "deleting"
            }
            Step::Remove(..) => {
                self.rows.remove(&name);
                self.events.push(("removed".into(), name));
                return Ok(());
            }
            _ => return Ok(()),
        };
        row.revision = place;
        self.events.push((what.into(), name));
        Ok(())
    }
}

/// What a caller has read, now and one write before.
#[derive(Default)]
struct Seen {
    now: Option<Resource<Thing>>,
    before: Option<Resource<Thing>>,
}

fn number(step: &Step) -> (usize, bool) {
    match step {
        Step::Create(n, _) => (*n, false),
        Step::Spec(n, _, stale)
        | Step::Status(n, _, stale)
        | Step::Delete(n, stale)
        | Step::Remove(n, stale)
        | Step::Require(n, stale) => (*n, *stale),
    }
}

fn put(change: &mut Change, step: &Step, resource: &Resource<Thing>) -> Result<()> {
    match step {
        Step::Create(..) => change.create(resource),
        Step::Spec(..) => change.spec(resource),
        Step::Status(..) => change.status(resource),
        Step::Delete(..) => change.delete(resource),
        Step::Remove(..) => change.remove(resource),
        Step::Require(..) => change.require(resource),
    }
}

/// What the step writes: the thing as its caller has it.
fn subject(step: &Step, scope: &str, seen: &[Seen]) -> Resource<Thing> {
    let (n, stale) = number(step);
    let read = if stale { &seen[n].before } else { &seen[n].now };
    let mut resource = read
        .clone()
        .unwrap_or_else(|| thing(scope, &n.to_string(), 0));
    match step {
        Step::Create(n, size) => resource = thing(scope, &n.to_string(), *size),
        Step::Spec(_, size, _) => resource.spec.size = *size,
        Step::Status(_, phase, _) => resource.status.phase = phase.to_string(),
        _ => {}
    }
    resource
}

async fn check(store: &Store, scope: &str, changes: Vec<Vec<Step>>) {
    let mut model = Model::default();
    let mut seen: Vec<Seen> = (0..THINGS).map(|_| Seen::default()).collect();
    let start = store.head().await.unwrap();
    for steps in changes {
        let mut change = Change::new();
        let mut subjects = vec![];
        for step in steps {
            let subject = subject(&step, scope, &seen);
            put(&mut change, &step, &subject).unwrap();
            subjects.push((step, subject));
        }
        for (_, subject) in &mut subjects {
            // The model counts its events from 1.
            if subject.meta.revision > 0 {
                subject.meta.revision -= start;
            }
        }
        let expected = model.apply(&subjects);
        let outcome = store.commit(change).await;
        assert_eq!(outcome.map(drop).map_err(|error| error.kind), expected);
        for (n, seen) in seen.iter_mut().enumerate() {
            let now = store.get::<Thing>(scope, &n.to_string()).await.unwrap();
            let row = now.as_ref().map(|now| row(now, start));
            assert_eq!(row.as_ref(), model.rows.get(&n.to_string()));
            let revision = |r: &Option<Resource<Thing>>| r.as_ref().map(|r| r.meta.revision);
            if revision(&now) != revision(&seen.now) {
                seen.before = seen.now.take();
                seen.now = now;
            }
        }
    }
    let events = store
        .events(&EventFilter::default(), start, 1000)
        .await
        .unwrap();
    let told: Vec<_> = events
        .iter()
        .map(|event| {
            let what = event.kind.rsplit('.').next().unwrap().to_owned();
            (what, event.subject_key().unwrap().name)
        })
        .collect();
    assert_eq!(told, model.events);
    let places: Vec<i64> = events.iter().map(|event| event.seq - start).collect();
    assert_eq!(places, (1..).take(places.len()).collect::<Vec<_>>());
    let listed: Vec<Document> = store
        .documents("Thing", &Query::scope(scope))
        .await
        .unwrap()
        .items;
    assert!(
        listed
            .iter()
            .map(Document::key)
            .map(name)
            .eq(model.rows.into_keys())
    );
}

fn name(key: Key) -> String {
    key.name
}

fn row(resource: &Resource<Thing>, start: i64) -> Row {
    Row {
        uid: resource.meta.uid,
        size: resource.spec.size,
        phase: resource.status.phase.clone(),
        revision: resource.meta.revision - start,
        generation: resource.meta.generation,
        deleting: resource.meta.deleting.is_some(),
    }
}

async fn the_store_does_what_the_model_does(database: &Database) {
    let store = database.open().await;
    let runtime = tokio::runtime::Handle::current();
    tokio::task::block_in_place(|| {
        let mut runner = TestRunner::new(Config {
            cases: 60,
            failure_persistence: None,
            ..Config::default()
        });
        let number = std::cell::Cell::new(0);
        let outcome = runner.run(&steps(), |changes| {
            number.set(number.get() + 1);
            let scope = format!("env-{}", number.get());
            runtime.block_on(check(&store, &scope, changes));
            Ok(())
        });
        outcome.unwrap();
    });
}
