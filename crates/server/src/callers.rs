//! Whose workload calls the gateway, as the engines know it; and what it was refused, in the log of events.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use delivery::Engine;
use gateway::{Admission, Callers, Unknown};
use kernel::{Caller, Change, Key, NewEvent, Outcome, Result, Store, Tallies};
use serde_json::json;
use teams::model::Namespace;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Whose name the events bear.
const PART: &str = "gateway";

/// The event of a caller that was refused.
const REFUSED: &str = "namespace.ingress-refused";

/// What a caller is refused again within this time is counted, and told with the next event: a flood of
/// requests is none of events.
const QUIET: Duration = Duration::from_mins(10);

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

/// What callers were refused, with why nobody could tell who it was the last time. There are as many tallies
/// as pairs of environments and namespaces have met lately, and no more.
pub(crate) struct Refusals(Tallies<Pair, Option<String>>);

impl Default for Refusals {
    fn default() -> Self {
        Self(Tallies::new(QUIET))
    }
}

impl Refusals {
    fn count(&self, from: std::result::Result<&str, &Unknown>, admission: &Admission) {
        let pair = Pair {
            from: from.ok().map(str::to_owned),
            team: admission.team.clone(),
            namespace: admission.namespace.clone(),
        };
        self.0.leave(pair, from.err().map(ToString::to_string));
    }

    /// Writes down what is counted, until it is told to stop.
    pub(crate) async fn keep(self: Arc<Self>, store: Store, stop: CancellationToken) {
        let tell = |pair, count, why| tell(store.clone(), pair, count, why);
        self.0.keep(stop, tell).await;
    }
}

async fn tell(store: Store, pair: Pair, count: u64, why: Option<String>) -> Result<()> {
    let Pair {
        from,
        team,
        namespace,
    } = &pair;
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
