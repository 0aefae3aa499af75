//! What becomes of teams over time, with nothing that backs their namespaces but the test.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use kernel::{Change, Driver, EventFilter, Resource, Store};
use serde_json::{Value, json};
use teams::{
    model::{Namespace, NamespaceStatus, Team},
    reconcile::Onboarding,
};
use testkit::eventually;
use uuid::Uuid;

use crate::support::Site;

on_both!(
    a_team_waits_for_what_is_not_there_and_is_ready_once,
    interactions_end_when_their_time_is_over,
    what_is_protected_goes_only_by_the_word_of_an_operator,
    what_stays_of_an_offboarded_team_is_said_with_its_reason,
    a_team_that_is_taken_in_again_loses_nothing_more,
    a_namespace_is_not_made_anew_before_what_deployed_to_the_former_has_ended,
);

pub(crate) const LONG: Duration = Duration::from_secs(30);

pub(crate) fn driver(site: &Site) -> kernel::DriverHandle {
    Driver::new(site.store.clone(), "test".into())
        .with(Arc::new(Onboarding(site.teams.clone())))
        .start()
}

pub(crate) async fn team(store: &Store, name: &str) -> Option<Resource<Team>> {
    store.get("", name).await.unwrap()
}

/// Says of a namespace what whoever backs it would.
async fn back(store: &Store, name: &str, protected: bool) {
    back_with(store, name, protected, None).await;
}

async fn back_with(store: &Store, name: &str, protected: bool, environment: Option<Uuid>) {
    let found = eventually("the namespace is asked for", LONG, || async {
        store.get::<Namespace>("payments", name).await.unwrap()
    })
    .await;
    kernel::anew(|| async {
        let found: Resource<Namespace> = store.expect("payments", &found.meta.name).await?;
        let mut change = Change::new();
        change.status(&Resource::<Namespace> {
            status: NamespaceStatus {
                ready: true,
                hosts: format!("*.{name}.localhost"),
                protected: Some(protected),
                environment,
                ..NamespaceStatus::default()
            },
            ..found
        })?;
        store.commit(change).await
    })
    .await
    .unwrap();
}

pub(crate) async fn told(store: &Store, what: &str) -> usize {
    let filter = EventFilter {
        type_prefix: Some(format!("dev.towpath.{what}")),
        ..EventFilter::default()
    };
    let (mut count, mut after) = (0, 0);
    loop {
        let events = store
            .events(&filter, after, Store::MAX_EVENTS)
            .await
            .unwrap();
        let Some(last) = events.last() else {
            return count;
        };
        count += events.len();
        after = last.seq;
    }
}

async fn a_team_waits_for_what_is_not_there_and_is_ready_once(site: Site) {
    site.outside.group("payments", &["ada"]);
    let driver = driver(&site);
    site.onboard(json!({ "name": "payments", "environments": ["dev", "prod"] }))
        .await;
    back(&site.store, "payments-dev", false).await;
    let waits = eventually("it says what it waits for", LONG, || async {
        let found = team(&site.store, "payments").await?;
        let condition = found.status.condition("NamespacesReady")?;
        (condition.message == "payments-prod is being made").then_some(found)
    })
    .await;
    assert_eq!(waits.status.phase, "onboarding");
    back(&site.store, "payments-prod", true).await;
    eventually("it is onboarded", LONG, || async {
        let found = team(&site.store, "payments").await?;
        (found.status.phase == "ready").then_some(())
    })
    .await;
    assert_eq!(told(&site.store, "team.onboarded").await, 1);
    let drawn: Vec<_> = site
        .outside
        .credentials
        .lock()
        .unwrap()
        .iter()
        .cloned()
        .collect();
    assert_eq!(drawn, ["payments-dev", "payments-prod"]);
    driver.shutdown().await;
}

async fn interactions_end_when_their_time_is_over(site: Site) {
    for name in ["search", "payments"] {
        site.onboard(json!({ "name": name, "environments": [] }))
            .await;
    }
    let soon = Timestamp::now() + Duration::from_millis(700);
    let interactions = json!({ "interactions": [
        { "with": "search", "mode": "facilitating", "expires": soon.to_string() },
        { "with": "search", "mode": "collaboration" },
    ]});
    let path = "/v1/platforms/teams/payments";
    let (status, answer) = site.ask("admin", "PATCH", path, interactions).await;
    assert_eq!(status, 200, "{answer}");
    let driver = driver(&site);
    let after = eventually("it has ended", LONG, || async {
        let found = team(&site.store, "payments").await?;
        (found.spec.interactions.len() == 1).then_some(found)
    })
    .await;
    assert_eq!(after.spec.interactions[0].expires, None);
    assert_eq!(told(&site.store, "team.interaction-ended").await, 1);
    driver.shutdown().await;
}

async fn what_is_protected_goes_only_by_the_word_of_an_operator(site: Site) {
    site.outside.group("payments", &["ada"]);
    site.onboard(json!({ "name": "payments", "environments": [] }))
        .await;
    let path = "/v1/teams/payments/namespaces";
    let end = async |who: &str, name: &str| {
        let path = format!("{path}/{name}?confirm={name}");
        let (status, answer) = site.ask(who, "DELETE", &path, Value::Null).await;
        (status, answer["spec"]["includeProtected"].clone())
    };
    for name in ["payments-a", "payments-b"] {
        let new = json!({ "name": name, "role": "prod" });
        let (status, answer) = site.ask("local:ada", "POST", path, new).await;
        assert_eq!(status, 202, "{answer}");
    }
    // Nothing backs it: it goes, and not what will back it.
    let (status, unprotects) = end("local:ada", "payments-a").await;
    assert_eq!(status, 202);
    assert_ne!(unprotects, true);
    back_with(&site.store, "payments-b", true, Some(Uuid::new_v4())).await;
    assert_eq!(end("local:ada", "payments-b").await.0, 403);
    assert_eq!(end("admin", "payments-b").await, (202, json!(true)));
}

async fn what_stays_of_an_offboarded_team_is_said_with_its_reason(site: Site) {
    let driver = driver(&site);
    site.onboard(json!({ "name": "payments", "environments": ["prod"] }))
        .await;
    back(&site.store, "payments-prod", true).await;
    *site.outside.stays.lock().unwrap() = vec!["a ledger, by law".into()];
    let path = "/v1/platforms/teams/payments?confirm=payments";
    assert_eq!(site.ask("admin", "DELETE", path, Value::Null).await.0, 202);
    let left = eventually("it says what stays", LONG, || async {
        let found = team(&site.store, "payments").await?;
        (found.status.remaining.len() == 2).then_some(found.status.remaining)
    })
    .await;
    assert!(left[0].contains("its role `prod` is protected"), "{left:?}");
    assert_eq!(left[1], "a ledger, by law");
    driver.shutdown().await;
}

async fn a_team_that_is_taken_in_again_loses_nothing_more(site: Site) {
    site.onboard(json!({ "name": "payments", "environments": ["dev"] }))
        .await;
    let driver = driver(&site);
    back(&site.store, "payments-dev", false).await;
    eventually("it is onboarded", LONG, || async {
        let found = team(&site.store, "payments").await?;
        (found.status.phase == "ready").then_some(())
    })
    .await;
    *site.outside.returns.lock().unwrap() = Some("payments".into());
    let path = "/v1/platforms/teams/payments?confirm=payments";
    assert_eq!(site.ask("admin", "DELETE", path, Value::Null).await.0, 202);
    eventually("it was taken in again, and is looked at", LONG, || async {
        let found = team(&site.store, "payments").await?;
        let looked = found.status.synced.as_ref()?.generation == found.meta.generation;
        (found.spec.is_registered() && looked).then_some(())
    })
    .await;
    driver.shutdown().await;
    assert_eq!(*site.outside.removed.lock().unwrap(), []);
    let namespace: Resource<Namespace> =
        site.store.expect("payments", "payments-dev").await.unwrap();
    assert!(!namespace.is_deleting());
}

async fn a_namespace_is_not_made_anew_before_what_deployed_to_the_former_has_ended(site: Site) {
    let driver = driver(&site);
    site.onboard(json!({ "name": "payments", "environments": [] }))
        .await;
    let make = async || {
        let body = json!({ "name": "payments-load" });
        let path = "/v1/teams/payments/namespaces";
        site.ask("admin", "POST", path, body).await
    };
    assert_eq!(make().await.0, 202);
    let drawn = || site.outside.credentials.lock().unwrap().clone();
    eventually("it has its credential", LONG, || async {
        drawn().contains("payments-load").then_some(())
    })
    .await;
    *site.outside.holds_on.lock().unwrap() = true;
    let found = site.store.expect::<Namespace>("payments", "payments-load");
    let mut change = Change::new();
    change.remove(&found.await.unwrap()).unwrap();
    site.store.commit(change).await.unwrap();
    let (status, answer) = make().await;
    assert_eq!(status, 409, "{answer}");
    let detail = answer["detail"].as_str().unwrap();
    assert!(detail.contains("has not ended yet"), "{detail}");
    assert!(drawn().contains("payments-load"));
    // A platform that starts anew finds what is to end.
    driver.shutdown().await;
    *site.outside.holds_on.lock().unwrap() = false;
    let driver = self::driver(&site);
    eventually("it has ended", LONG, || async {
        (make().await.0 == 202).then_some(())
    })
    .await;
    eventually("the new one has its own", LONG, || async {
        let team = team(&site.store, "payments").await?;
        let uid = team.status.credentials.get("payments-load")?;
        let now = site.store.get::<Namespace>("payments", "payments-load");
        let now = now.await.unwrap()?;
        (*uid == now.meta.uid && drawn().contains("payments-load")).then_some(())
    })
    .await;
    driver.shutdown().await;
}
