//! What a replica does because it reconciles, beside its reconcilers.

use std::{sync::Arc, time::Duration};

use catalog::Catalog;
use delivery::{Engine, engine::ReleaseRef, model::Workload, service::Delivery};
use kernel::{
    Key, Kind, Result, Store,
    driver::{LEASE, Nudger},
};
use tokio::sync::{
    broadcast::{self, error::RecvError},
    watch,
};
use tokio_util::sync::CancellationToken;

/// The wait before the store is asked again after it did not answer.
const STORE_AWAY: Duration = Duration::from_secs(1);

/// Installs the definitions and starter kits that come with the platform where nobody reconciles: before the API
/// serves, so that the first deployment finds them. Where somebody does, they are there, and which
/// they are is for that replica to say. Answers whether it did.
pub(crate) async fn install_unless_led(delivery: &Delivery, catalog: &Catalog) -> Result<bool> {
    if !delivery.store().held_for(LEASE).await?.is_zero() {
        return Ok(false);
    }
    install(delivery, catalog).await?;
    Ok(true)
}

async fn install(delivery: &Delivery, catalog: &Catalog) -> Result<()> {
    delivery.install_defaults().await?;
    catalog.install().await
}

/// The same as soon as this replica reconciles: the one before may have been of another version.
pub(crate) async fn install_once_leading(
    delivery: Arc<Delivery>,
    catalog: Arc<Catalog>,
    mut leadership: watch::Receiver<bool>,
    stop: CancellationToken,
) {
    let installing = async {
        while leadership.wait_for(|leads| *leads).await.is_ok() {
            match install(&delivery, &catalog).await {
                Ok(()) => return,
                Err(error) => {
                    tracing::warn!(
                        error = error.chain(),
                        "definitions and starter kits could not be installed"
                    );
                    tokio::time::sleep(STORE_AWAY).await;
                }
            }
        }
    };
    tokio::select! {
        () = installing => {}
        () = stop.cancelled() => {}
    }
}

/// Has the engine leave what it runs to the replica that reconciles, whenever this one stops to.
pub(crate) async fn stand_down(
    engine: Arc<dyn Engine>,
    mut leadership: watch::Receiver<bool>,
    stop: CancellationToken,
) {
    let lost = async {
        while leadership.wait_for(|leads| *leads).await.is_ok()
            && leadership.wait_for(|leads| !*leads).await.is_ok()
        {
            engine.stand_down().await;
        }
    };
    tokio::select! {
        () = lost => {}
        () = stop.cancelled() => {}
    }
}

/// Has the reconciler look at a workload as soon as its engine sees a change. Where changes came
/// faster than they were passed on, nobody knows which were missed: then at every workload.
pub(crate) async fn relay(
    mut changes: broadcast::Receiver<ReleaseRef>,
    store: Store,
    nudger: Nudger,
    stop: CancellationToken,
) {
    let relaying = async {
        loop {
            match changes.recv().await {
                Ok(release) => {
                    let key = Key::of::<Workload>(release.environment, release.workload);
                    nudger.nudge(key);
                }
                Err(RecvError::Lagged(missed)) => {
                    tracing::debug!(missed, "an engine's changes came too fast");
                    nudge_all(&store, &nudger).await;
                }
                Err(RecvError::Closed) => return,
            }
        }
    };
    tokio::select! {
        () = relaying => {}
        () = stop.cancelled() => {}
    }
}

async fn nudge_all(store: &Store, nudger: &Nudger) {
    loop {
        match store.keys(Workload::KIND, None).await {
            Ok(keys) => return keys.into_iter().for_each(|key| nudger.nudge(key)),
            Err(error) => {
                tracing::warn!(error = error.chain(), "workloads could not be listed");
                tokio::time::sleep(STORE_AWAY).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, sync::Mutex};

    use async_trait::async_trait;
    use kernel::{Change, Driver, Event, Next, Reconciler, Resource, Sealer, reconciler::Context};
    use serde_json::json;
    use testkit::eventually;

    use super::*;

    /// Notes what it was made to look at.
    #[derive(Default)]
    struct Looks(Mutex<Vec<String>>);

    impl Looks {
        fn take(&self) -> BTreeSet<String> {
            std::mem::take(&mut *self.0.lock().expect("no panic"))
                .into_iter()
                .collect()
        }
    }

    #[async_trait]
    impl Reconciler for Looks {
        fn name(&self) -> &'static str {
            "looks"
        }

        fn kind(&self) -> &'static str {
            Workload::KIND
        }

        fn concerns(&self, _: &Event) -> Vec<Key> {
            vec![]
        }

        async fn reconcile(&self, _: &Context, key: &Key) -> Result<Next> {
            self.0.lock().expect("no panic").push(key.name.clone());
            Ok(Next::Idle)
        }
    }

    async fn store_with(directory: &tempfile::TempDir, names: &[&str]) -> Store {
        let url = format!("sqlite://{}/towpath.db", directory.path().display());
        let store = Store::open(&url, Sealer::generate().expect("a key"))
            .await
            .expect("a store");
        let mut change = Change::new();
        for name in names {
            let spec = json!({
                "deployment": "d-1",
                "release": 1,
                "highestRelease": 1,
                "correlation": uuid::Uuid::now_v7(),
                "score": {
                    "apiVersion": "score.dev/v1b1",
                    "metadata": { "name": name },
                    "containers": { "main": { "image": "." } },
                },
            });
            let spec = serde_json::from_value(spec).expect("a spec");
            let workload = Resource::<Workload>::new("dev", *name, spec);
            change.create(&workload).expect("it can be written");
        }
        store.commit(change).await.expect("it is written");
        store
    }

    fn release(workload: &str) -> ReleaseRef {
        ReleaseRef {
            environment: "dev".into(),
            workload: workload.into(),
            release: 1,
        }
    }

    #[tokio::test]
    async fn changes_that_come_too_fast_have_every_workload_looked_at() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = store_with(&directory, &["a", "b", "c"]).await;
        let looks = Arc::new(Looks::default());
        let driver = Driver::new(store.clone(), "test".into())
            .with(looks.clone())
            .start();
        let within = Duration::from_secs(10);
        let all: BTreeSet<String> = ["a", "b", "c"].map(String::from).into();
        let mut seen = BTreeSet::new();
        eventually("all are looked at once", within, || {
            seen.extend(looks.take());
            let done = seen == all;
            async move { done.then_some(()) }
        })
        .await;

        let (engine, changes) = broadcast::channel(2);
        // `c` has changed, and then so much that this is forgotten.
        for name in ["c", "a", "a", "a"] {
            engine.send(release(name)).expect("somebody listens");
        }
        let stop = CancellationToken::new();
        let relaying = tokio::spawn(relay(changes, store, driver.nudger(), stop.clone()));
        let mut seen = BTreeSet::new();
        eventually("all are looked at again", within, || {
            seen.extend(looks.take());
            let done = seen == all;
            async move { done.then_some(()) }
        })
        .await;
        // What comes in time leads to the one.
        engine.send(release("b")).expect("somebody listens");
        eventually("the one is looked at", within, || {
            let done = looks.take().contains("b");
            async move { done.then_some(()) }
        })
        .await;
        stop.cancel();
        relaying.await.expect("it ends");
        driver.shutdown().await;
    }
}
