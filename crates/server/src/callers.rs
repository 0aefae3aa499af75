//! Whose workload calls the gateway, as the engines know it; and what it was refused, in the log of events.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use delivery::Engine;
use gateway::{Admission, Callers, Unknown};
use kernel::{Caller, Change, Key, NewEvent, Outcome, Result, Store};
use serde_json::json;
use teams::model::Namespace;
use tokio::{
    sync::{Notify, Semaphore},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Whose name the events bear.
const PART: &str = "gateway";

/// The event of a caller that was refused.
const REFUSED: &str = "namespace.ingress-refused";

/// What a caller is refused again within this time is counted, and told with the next event: a flood of
/// requests is none of events.
const QUIET: Duration = Duration::from_mins(10);

/// How often it is looked whether a count is to be told.
const LOOK: Duration = Duration::from_mins(1);

/// Connections whose holders are looked for at once: each reads much of `/proc`.
const AT_ONCE: usize = 4;

/// The engines, as the gateway asks them.
pub(crate) struct Workloads {
    engines: Vec<Arc<dyn Engine>>,
    turns: Semaphore,
    refusals: Arc<Refusals>,
}

impl Workloads {
    pub(crate) fn new(engines: Vec<Arc<dyn Engine>>, refusals: Arc<Refusals>) -> Self {
        Self {
            engines,
            turns: Semaphore::new(AT_ONCE),
            refusals,
        }
    }
}

#[async_trait]
impl Callers for Workloads {
    /// One engine that knows is enough; where none does, and one could not find out, nobody can tell.
    async fn environment_of(
        &self,
        peer: SocketAddr,
        here: SocketAddr,
    ) -> std::result::Result<Option<String>, Unknown> {
        let turn = self.turns.acquire().await;
        let _turn = turn.map_err(|error| Unknown(error.to_string()))?;
        let mut unknown = None;
        for engine in &self.engines {
            match engine.environment_of(peer, here).await {
                Ok(None) => {}
                Ok(found) => return Ok(found),
                Err(error) => unknown = Some(Unknown(error.message)),
            }
        }
        unknown.map_or(Ok(None), Err)
    }

    fn refused(&self, from: std::result::Result<&str, &Unknown>, admission: &Admission) {
        self.refusals.count(from, admission);
    }
}

/// Who was refused, and where.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Pair {
    /// None: nobody could tell.
    from: Option<String>,
    team: String,
    namespace: String,
}

struct Tally {
    /// Not told yet.
    count: u64,
    told: Option<Instant>,
    /// Why nobody could tell who it was, the last time.
    why: Option<String>,
}

impl Tally {
    fn is_due(&self) -> bool {
        self.count > 0 && self.is_quiet()
    }

    fn is_quiet(&self) -> bool {
        self.told.is_none_or(|told| told.elapsed() >= QUIET)
    }
}

/// What callers were refused. There are as many tallies as pairs of environments and namespaces have met
/// lately, and no more.
#[derive(Default)]
pub(crate) struct Refusals {
    tallies: Mutex<HashMap<Pair, Tally>>,
    due: Notify,
}

impl Refusals {
    fn count(&self, from: std::result::Result<&str, &Unknown>, admission: &Admission) {
        let pair = Pair {
            from: from.ok().map(str::to_owned),
            team: admission.team.clone(),
            namespace: admission.namespace.clone(),
        };
        let mut tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        let tally = tallies.entry(pair).or_insert(Tally {
            count: 0,
            told: None,
            why: None,
        });
        tally.count += 1;
        tally.why = from.err().map(ToString::to_string);
        if tally.is_due() {
            self.due.notify_one();
        }
    }

    /// Those that are to be told now.
    fn take(&self) -> Vec<(Pair, u64, Option<String>)> {
        let mut tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        tallies.retain(|_, tally| tally.count > 0 || !tally.is_quiet());
        let due = tallies.iter_mut().filter(|(_, tally)| tally.is_due());
        due.map(|(pair, tally)| {
            tally.told = Some(Instant::now());
            let count = std::mem::take(&mut tally.count);
            (pair.clone(), count, tally.why.take())
        })
        .collect()
    }

    /// Writes down what is counted, until it is told to stop.
    pub(crate) async fn keep(self: Arc<Self>, store: Store, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = self.due.notified() => {}
                () = tokio::time::sleep(LOOK) => {}
                () = stop.cancelled() => return,
            }
            for (pair, count, why) in self.take() {
                if let Err(error) = tell(&store, &pair, count, why.as_deref()).await {
                    let error = error.chain();
                    tracing::warn!(?pair, count, error, "refusals at the gateway are not kept");
                }
            }
        }
    }
}

async fn tell(store: &Store, pair: &Pair, count: u64, why: Option<&str>) -> Result<()> {
    let Pair {
        from,
        team,
        namespace,
    } = pair;
    let caller = Caller::system(PART, Uuid::now_v7());
    let mut change = Change::new().by(&caller);
    change.event(NewEvent::caused(
        REFUSED,
        Key::of::<Namespace>(team.as_str(), namespace.as_str()),
        team,
        &caller,
        Some(Outcome::Fail),
        json!({ "from": from, "to": namespace, "count": count, "reason": why }),
    ));
    store.commit(change).await.map(drop)
}

#[cfg(test)]
mod tests {
    use kernel::{EventFilter, Sealer};

    use super::*;

    fn admission() -> Admission {
        Admission {
            namespace: "payments-dev".into(),
            team: "payments".into(),
            from: ["payments-dev".to_owned()].into(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_counted_and_told_with_the_next_event() {
        let refusals = Refusals::default();
        let counts = |refusals: &Refusals| -> Vec<u64> {
            let taken = refusals.take().into_iter();
            taken.map(|(_, count, _)| count).collect()
        };
        refusals.count(Ok("search-dev"), &admission());
        assert_eq!(counts(&refusals), [1]);
        for _ in 0..1000 {
            refusals.count(Ok("search-dev"), &admission());
        }
        assert!(counts(&refusals).is_empty());
        tokio::time::advance(QUIET).await;
        assert_eq!(counts(&refusals), [1000]);
        tokio::time::advance(QUIET).await;
        assert!(counts(&refusals).is_empty());
        assert!(refusals.tallies.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn the_team_is_told_who_was_refused_where() {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/towpath.db", directory.path().display());
        let store = Store::open(&url, Sealer::generate().unwrap())
            .await
            .unwrap();
        let refusals = Arc::new(Refusals::default());
        let stop = CancellationToken::new();
        let keeping = tokio::spawn(refusals.clone().keep(store.clone(), stop.clone()));
        refusals.count(Ok("search-dev"), &admission());
        let filter = EventFilter {
            team: Some("payments".into()),
            ..EventFilter::default()
        };
        let event = testkit::eventually("it is kept", Duration::from_secs(10), || async {
            store.events(&filter, 0, 10).await.unwrap().pop()
        })
        .await;
        assert_eq!(event.kind, format!("dev.towpath.{REFUSED}"));
        assert_eq!(event.subject, "Namespace/payments/payments-dev");
        assert_eq!(event.outcome, Some(Outcome::Fail));
        let data = json!({
            "from": "search-dev", "to": "payments-dev", "count": 1, "reason": null,
        });
        assert_eq!(event.data, data);
        stop.cancel();
        keeping.await.unwrap();
    }
}
