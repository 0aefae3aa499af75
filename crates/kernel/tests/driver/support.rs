//! A store, a kind, and a reconciler that does what the test says.

use std::{
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
};

use kernel::{
    Caller, Change, Key, Kind, Next, Reconciler, Resource, Result, Sealer, Store,
    reconciler::Context,
};
use tempfile::TempDir;

pub(crate) use testkit::PATIENCE;

pub(crate) struct Thing;

impl Kind for Thing {
    const KIND: &'static str = "Thing";
    type Spec = u32;
    type Status = u32;
}

pub(crate) async fn sqlite() -> (Store, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/store.db", directory.path().display());
    let store = Store::open(&url, Sealer::generate().unwrap())
        .await
        .unwrap();
    (store, directory)
}

pub(crate) async fn create(store: &Store, name: &str) {
    create_in(store, "", name).await;
}

pub(crate) async fn create_in(store: &Store, scope: &str, name: &str) {
    let mut change = Change::new().by(&Caller::local_admin());
    change
        .create(&Resource::<Thing>::new(scope, name, 1))
        .unwrap();
    store.commit(change).await.unwrap();
}

type Work = Pin<Box<dyn Future<Output = Result<Next>> + Send>>;
type Does = dyn Fn(Context, Key, u32) -> Work + Send + Sync;

/// Does what the test says, and counts.
pub(crate) struct Scripted {
    does: Box<Does>,
    runs: Mutex<BTreeMap<String, u32>>,
}

impl Scripted {
    /// `does` is told how many times the key ran before.
    pub(crate) fn new<W>(does: impl Fn(Context, Key, u32) -> W + Send + Sync + 'static) -> Arc<Self>
    where
        W: Future<Output = Result<Next>> + Send + 'static,
    {
        Arc::new(Self {
            does: Box::new(move |context, key, before| Box::pin(does(context, key, before))),
            runs: Mutex::default(),
        })
    }

    pub(crate) fn runs(&self, name: &str) -> u32 {
        let runs = self.runs.lock().unwrap();
        runs.get(name).copied().unwrap_or(0)
    }

    /// Waits until the key ran so often.
    pub(crate) async fn ran(&self, name: &str, times: u32) {
        let what = format!("{name} ran {times} times");
        testkit::eventually(&what, PATIENCE, || async {
            (self.runs(name) >= times).then_some(())
        })
        .await;
    }
}

#[async_trait::async_trait]
impl Reconciler for Scripted {
    fn name(&self) -> &'static str {
        "scripted"
    }

    fn kind(&self) -> &'static str {
        Thing::KIND
    }

    fn concurrency(&self) -> usize {
        4
    }

    async fn reconcile(&self, context: &Context, key: &Key) -> Result<Next> {
        let before = {
            let mut runs = self.runs.lock().unwrap();
            let run = runs.entry(key.name.clone()).or_default();
            *run += 1;
            *run - 1
        };
        (self.does)(context.clone(), key.clone(), before).await
    }
}
