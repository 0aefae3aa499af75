//! What comes with the platform, installed while others write too.

use std::{
    collections::BTreeMap,
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
};

use kernel::{Authorizer, Caller, Clock, Guard, Kind, Query, Resource, Sealer, Secret, Store};
use serde_json::json;
use towpath_delivery::{
    api::ApplyRequest,
    model::{EnvironmentRole, ResourceDefinition},
    service::{Delivery, Settings},
};

use crate::fakes::{Lenient, Operators, Shelf, Stage};

pub(crate) fn delivery(store: &Store) -> Delivery {
    delivery_for(store, Arc::new(Operators))
}

/// The same, where `authorizer` says who may what.
pub(crate) fn delivery_for(store: &Store, authorizer: Arc<dyn Authorizer>) -> Delivery {
    Delivery::new(
        store.clone(),
        vec![Arc::new(Stage::default())],
        vec![Arc::new(Shelf::default())],
        Arc::new(Lenient),
        Guard::new(store.clone(), authorizer),
        Settings {
            domain: "localhost".into(),
            gateway_port: 80,
            default_engine: "stage".into(),
            default_timeout_seconds: 20,
            clock: Clock::system(),
        },
        Secret::new([7; 32]),
    )
}

async fn all<K: Kind>(store: &Store) -> Vec<Resource<K>> {
    store.list_all(&Query::default()).await.unwrap()
}

/// Makes one of the defaults, as somebody does who wants it otherwise.
async fn postgres_otherwise(delivery: &Delivery) {
    let postgres = json!({
        "apiVersion": "towpath.dev/v1", "kind": "ResourceDefinition",
        "metadata": { "name": "postgres-default" },
        "spec": { "type": "postgres", "provisioner": "shelf" },
    });
    let request = ApplyRequest {
        documents: vec![postgres],
    };
    // Whoever comes second may be told so.
    let _ = delivery.apply(&Caller::local_admin(), request).await;
}

/// Lets `work` go on until it has waited `most` times, and goes no further with it. How often it was looked at, and
/// what it has ended with.
async fn go_on<F: Future>(mut work: Pin<&mut F>, most: usize) -> (usize, Option<F::Output>) {
    let mut looks = 0;
    let ended = poll_fn(|context| {
        if looks == most {
            return Poll::Ready(None);
        }
        looks += 1;
        work.as_mut().poll(context).map(Some)
    })
    .await;
    (looks, ended)
}

async fn sqlite() -> (Store, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/store.db", directory.path().display());
    let store = Store::open(&url, Sealer::generate().unwrap()).await;
    (store.unwrap(), directory)
}

/// At another moment each time: before what is there is read, in between, and after all is written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_somebody_makes_in_between_keeps_nothing_else_from_being_installed() {
    const PARTS: usize = 10;
    let (store, _directory) = sqlite().await;
    let (all_looks, installed) = go_on(pin!(delivery(&store).install_defaults()), usize::MAX).await;
    installed.unwrap().unwrap();
    let mut met: BTreeMap<&str, u32> = BTreeMap::new();
    let moments = (0..PARTS).map(|part| all_looks * part / PARTS);
    for moment in moments.chain([usize::MAX]) {
        let (store, _directory) = sqlite().await;
        let (this, other) = (delivery(&store), delivery(&store));
        let mut installing = pin!(this.install_defaults());
        let (looks, ended) = go_on(installing.as_mut(), moment).await;
        let written = !all::<ResourceDefinition>(&store).await.is_empty();
        let when = match (looks, written) {
            (0, _) => "before",
            (_, false) => "in between",
            (_, true) => "after",
        };
        *met.entry(when).or_default() += 1;
        postgres_otherwise(&other).await;
        match ended {
            Some(installed) => installed.unwrap(),
            None => installing.await.unwrap(),
        }
        let definitions: Vec<Resource<ResourceDefinition>> = all(&store).await;
        for name in ["postgres-default", "redis-default"] {
            let is_there = definitions.iter().any(|one| one.meta.name == name);
            assert!(is_there, "{name}, overtaken {when}: {moment}");
        }
        let roles: Vec<Resource<EnvironmentRole>> = all(&store).await;
        assert!(roles.iter().any(|role| role.meta.name == "dev"), "{moment}");
    }
    assert_eq!(met.len(), 3, "of {all_looks}: {met:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_that_start_together_both_find_everything_installed() {
    let (store, _directory) = sqlite().await;
    let (this, other) = (delivery(&store), delivery(&store));
    let (first, second) = tokio::join!(this.install_defaults(), other.install_defaults());
    first.and(second).unwrap();
    let installed: Vec<Resource<ResourceDefinition>> = all(&store).await;
    assert!(installed.len() > 5);
    this.install_defaults().await.unwrap();
    let again: Vec<Resource<ResourceDefinition>> = all(&store).await;
    assert_eq!(again.len(), installed.len());
}
