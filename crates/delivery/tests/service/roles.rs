//! Environment roles that are given and taken away at one time.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
    mpsc,
};

use futures::future::join_all;
use kernel::{
    Action, Authorizer, Caller, ErrorKind, Query, Resource, Ruling, Sealer, Store, Target,
};
use serde_json::json;
use tokio::sync::oneshot;
use towpath_delivery::{
    api::{ApplyRequest, NewEnvironment},
    model::{Environment, EnvironmentRole},
    service::Delivery,
};

use crate::{
    defaults::{delivery, delivery_for},
    fakes::Operators,
    room::Room,
};

/// Says that it was asked, and waits until it may go on.
type Halt = (oneshot::Sender<()>, mpsc::Receiver<()>);

/// Holds whoever would first make an environment where the right to it is looked at: its role has been read then,
/// and nothing is written.
struct Holding(Mutex<Option<Halt>>);

impl Authorizer for Holding {
    fn decide(&self, caller: &Caller, action: Action, target: &Target<'_>) -> Ruling {
        let is_meant = action.word() == "environment.create";
        let halt = is_meant.then(|| self.0.lock().unwrap().take()).flatten();
        if let Some((asked, go_on)) = halt {
            asked.send(()).unwrap();
            go_on.recv().unwrap();
        }
        Operators.decide(caller, action, target)
    }

    fn sources(&self) -> Vec<(String, String)> {
        Operators.sources()
    }
}

async fn store() -> (tempfile::TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/store.db", directory.path().display());
    let sealer = Sealer::generate().unwrap();
    (directory, Store::open(&url, sealer).await.unwrap())
}

/// Applies the role `trial`.
async fn with_role(delivery: &Delivery) {
    let document = json!({
        "apiVersion": "towpath.dev/v1", "kind": "EnvironmentRole",
        "metadata": { "name": "trial" }, "spec": {},
    });
    let request = ApplyRequest {
        documents: vec![document],
    };
    let applied = delivery.apply(&Caller::local_admin(), request).await;
    applied.unwrap();
}

fn of_that_role() -> NewEnvironment {
    NewEnvironment {
        name: "first".into(),
        role: Some("trial".into()),
        ..NewEnvironment::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_is_removed_after_it_was_read_is_not_given() {
    let (_directory, store) = store().await;
    let this = delivery(&store);
    this.install_defaults().await.unwrap();
    with_role(&this).await;
    let (asked, is_asked) = oneshot::channel();
    let (lets_go, go_on) = mpsc::channel();
    let other = delivery_for(&store, Arc::new(Holding(Mutex::new(Some((asked, go_on))))));
    let gives = tokio::spawn(async move {
        let caller = Caller::local_admin();
        other.environment_create(&caller, of_that_role()).await
    });
    is_asked.await.unwrap();
    let caller = Caller::local_admin();
    let removed = this.environment_role_delete(&caller, "trial", None).await;
    // Whatever came of it: else the other would wait for ever.
    lets_go.send(()).unwrap();
    removed.unwrap();
    let refused = gives.await.unwrap().unwrap_err();
    assert!(refused.message.contains("trial"), "{refused:?}");
    let made: Vec<Resource<Environment>> = store.list_all(&Query::default()).await.unwrap();
    assert!(made.is_empty(), "{made:?}");
}

#[tokio::test]
async fn a_role_that_was_given_is_not_removed() {
    let (_directory, store) = store().await;
    let this = delivery(&store);
    this.install_defaults().await.unwrap();
    with_role(&this).await;
    let caller = Caller::local_admin();
    let given = this.environment_create(&caller, of_that_role()).await;
    given.unwrap();
    let refused = this.environment_role_delete(&caller, "trial", None).await;
    let refused = refused.unwrap_err();
    assert!(
        refused.message.contains("environment `first`"),
        "{refused:?}"
    );
    store.expect::<EnvironmentRole>("", "trial").await.unwrap();
}

/// Each deployment writes what is observed of its environment, which gives no role.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_nothing_has_is_removed_while_others_deploy() {
    let room = Room::open().await;
    let removed = AtomicBool::new(false);
    let deploys = async {
        let mut number = 0;
        while !removed.load(Ordering::SeqCst) {
            number += 1;
            room.deploy(&format!("notes:{number}"), &[], &[]).await;
        }
    };
    let removes = async {
        let caller = Caller::local_admin();
        for _ in 0..10 {
            with_role(&room.delivery).await;
            let gone = room
                .delivery
                .environment_role_delete(&caller, "trial", None);
            gone.await.unwrap();
        }
        removed.store(true, Ordering::SeqCst);
    };
    tokio::join!(deploys, removes);
}

#[tokio::test]
async fn of_those_who_make_one_environment_at_once_one_does_and_the_others_are_told() {
    let (_directory, store) = store().await;
    let this = delivery(&store);
    this.install_defaults().await.unwrap();
    with_role(&this).await;
    let caller = Caller::local_admin();
    let all = (0..10).map(|_| this.environment_create(&caller, of_that_role()));
    let (made, refused): (Vec<_>, Vec<_>) =
        join_all(all).await.into_iter().partition(Result::is_ok);
    assert_eq!((made.len(), refused.len()), (1, 9));
    for refused in refused {
        let error = refused.unwrap_err();
        assert_eq!(error.kind, ErrorKind::AlreadyExists, "{error:?}");
        assert_eq!(error.message, "environment `first` already exists");
    }
}
