//! What goes with a namespace, and what stays.

use std::sync::Arc;

use kernel::{Caller, Change, Driver, Resource, Store};
use serde_json::json;
use teams::model::Namespace;
use testkit::eventually;
use towpath_delivery::{
    api::EnvironmentChange,
    model::Environment,
    reconcile::{Environments, Namespaces},
};

use crate::support::{Platform, WITHIN};

async fn namespace(store: &Store) -> Option<Resource<Namespace>> {
    store.get("pay", "pay-x").await.unwrap()
}

/// Writes of the namespace, as it is now, what `write` says.
async fn rewrite(
    store: &Store,
    write: impl Fn(&mut Change, Resource<Namespace>) -> kernel::Result<()>,
) {
    kernel::anew(|| async {
        let now = store.expect::<Namespace>("pay", "pay-x").await?;
        let mut change = Change::new();
        write(&mut change, now)?;
        store.commit(change).await
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_environment_that_was_given_a_protected_role_stays_until_it_is_said_that_it_goes_too() {
    let platform = Platform::start().await;
    let (store, delivery) = (platform.store.clone(), platform.delivery.clone());
    platform.driver.shutdown().await;
    let driver = Driver::new(store.clone(), "again".into())
        .with(Arc::new(Environments(delivery.clone())))
        .with(Arc::new(Namespaces(delivery.clone())))
        .start();
    let spec = serde_json::from_value(json!({ "role": "dev" })).unwrap();
    let mut change = Change::new();
    change
        .create(&Resource::<Namespace>::new("pay", "pay-x", spec))
        .unwrap();
    store.commit(change).await.unwrap();
    let backed = eventually("it is backed", WITHIN, || async {
        namespace(&store).await.filter(|one| one.status.ready)
    })
    .await;
    assert_eq!(backed.status.protected, Some(false));

    let to_prod = EnvironmentChange {
        role: Some("prod".into()),
        ..EnvironmentChange::default()
    };
    let caller = Caller::local_admin();
    let changed = delivery
        .environment_change(&caller, "pay-x", &to_prod, None)
        .await;
    changed.unwrap();
    let other = eventually("it says that the role is another", WITHIN, || async {
        namespace(&store).await.filter(|one| !one.status.ready)
    })
    .await;
    assert_eq!(other.status.protected, Some(true));

    // As if that had not been seen when it was asked to go.
    rewrite(&store, |change, mut now| {
        now.status.protected = Some(false);
        change.status(&now)?;
        change.delete(&now)
    })
    .await;
    let kept = eventually("it says why it stays", WITHIN, || async {
        let is_kept = |one: &Resource<Namespace>| one.status.message.starts_with("it is kept");
        namespace(&store).await.filter(is_kept)
    })
    .await;
    let why = "its environment has role `prod`, which is protected";
    let message = &kept.status.message;
    assert!(message.contains(why), "{message}");
    assert_eq!(kept.status.protected, Some(true));
    let environment = store.expect::<Environment>("", "pay-x").await.unwrap();
    assert!(!environment.is_deleting());

    rewrite(&store, |change, mut now| {
        now.spec.include_protected = true;
        change.spec(&now)
    })
    .await;
    eventually("both go", WITHIN, || async {
        let environment = store.get::<Environment>("", "pay-x").await.unwrap();
        let left = environment.is_some() || namespace(&store).await.is_some();
        (!left).then_some(())
    })
    .await;
    driver.shutdown().await;
}
