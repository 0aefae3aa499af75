//! The time of an environment is over, and it is not to go.

use std::time::Duration;

use kernel::{Caller, Change, Resource};
use serde_json::json;
use testkit::eventually;
use towpath_delivery::{
    api::{ApplyRequest, End, EnvironmentChange, NewEnvironment},
    model::{Environment, EnvironmentRole},
};

use crate::support::{Platform, WITHIN};

const HOUR: Duration = Duration::from_hours(1);
const SECOND: Duration = Duration::from_secs(1);

/// Says whether environments of the role `training` are protected.
async fn protect(platform: &Platform, protected: bool) {
    let role = json!({
        "apiVersion": "towpath.dev/v1",
        "kind": "EnvironmentRole",
        "metadata": { "name": "training" },
        "spec": { "protected": protected },
    });
    let documents = vec![role];
    platform
        .delivery
        .apply(&Caller::local_admin(), ApplyRequest { documents })
        .await
        .unwrap();
}

async fn environment(platform: &Platform) -> Resource<Environment> {
    platform.store.expect("", "pr-9").await.unwrap()
}

/// An environment that ends in an hour, whose role is protected since it was made.
async fn held() -> Platform {
    let platform = Platform::still().await;
    protect(&platform, false).await;
    let wanted = NewEnvironment {
        name: "pr-9".into(),
        role: Some("training".into()),
        ttl_seconds: Some(HOUR.as_secs()),
        ..NewEnvironment::default()
    };
    let caller = Caller::local_admin();
    let made = platform.delivery.environment_create(&caller, wanted).await;
    made.unwrap();
    protect(&platform, true).await;
    platform
}

/// Waits until it says why it stays.
async fn says_why(platform: &Platform) -> String {
    eventually("it says why it stays", WITHIN, || async {
        let message = environment(platform).await.status.message;
        (!message.is_empty()).then_some(message)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_environment_whose_role_is_protected_since_says_once_that_it_stays() {
    let platform = held().await;
    platform.pass(HOUR - SECOND).await;
    platform.looked("environments").await;
    assert_eq!(environment(&platform).await.status.message, "");
    platform.pass(SECOND).await;
    let why = says_why(&platform).await;
    assert!(why.contains("its role `training` is protected"), "{why}");
    platform.pass(HOUR).await;
    platform.looked("environments").await;
    let now = environment(&platform).await;
    assert!(!now.is_deleting());
    assert_eq!(now.status.message, why);
    let told = platform.told("environment.expiry-held").await;
    assert_eq!(told.len(), 1, "{told:?}");
    let expires = now.spec.expires.unwrap();
    let data = json!({ "expires": expires, "role": "training" });
    assert_eq!(told[0].data, data);

    // As the message says.
    let forever = EnvironmentChange {
        end: Some(End::Never),
        ..EnvironmentChange::default()
    };
    let caller = Caller::local_admin();
    let changed = platform
        .delivery
        .environment_change(&caller, "pr-9", &forever, None)
        .await;
    changed.unwrap();
    eventually("nothing is said of it any more", WITHIN, || async {
        let now = environment(&platform).await;
        now.status.message.is_empty().then_some(())
    })
    .await;
    platform.driver.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_stayed_for_its_role_goes_once_that_is_not_protected_any_more() {
    let platform = held().await;
    platform.pass(HOUR).await;
    says_why(&platform).await;
    assert_eq!(platform.told("environment.expired").await.len(), 0);
    protect(&platform, false).await;
    platform.pass(HOUR).await;
    eventually("it goes", WITHIN, || async {
        let found = platform.store.get::<Environment>("", "pr-9").await;
        found.unwrap().is_none().then_some(())
    })
    .await;
    assert_eq!(platform.told("environment.expired").await.len(), 1);
    platform.driver.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_environment_whose_role_is_not_there_says_so() {
    let platform = held().await;
    let role = platform.store.expect::<EnvironmentRole>("", "training");
    let mut change = Change::new();
    change.remove(&role.await.unwrap()).unwrap();
    platform.store.commit(change).await.unwrap();
    platform.pass(HOUR).await;
    let why = says_why(&platform).await;
    let expected = "its role `training` is no longer there";
    assert!(why.contains(expected), "{why}");
    assert!(!environment(&platform).await.is_deleting());
    platform.driver.shutdown().await;
}
