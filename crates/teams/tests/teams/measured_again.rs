//! What measuring costs, and that it forgets nothing, however often it begins.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use kernel::{Driver, DriverHandle};
use serde_json::{Value, json};
use teams::reconcile::{Measuring, Onboarding};
use testkit::eventually;

use crate::{
    measured::{deploys, logs_in, of, told},
    reconciled::{LONG, team},
    support::Site,
};

on_both!(
    who_logs_in_between_two_terms_has_logged_in,
    sources_are_asked_where_people_change_and_not_where_they_deploy,
);

/// A term of the lease with what has measured before.
fn term(site: &Site, measuring: &Arc<Measuring>) -> DriverHandle {
    Driver::new(site.store.clone(), "test".into())
        .with(measuring.clone())
        .start()
}

/// Has a team of ada's and bob's looked at by all, which is over when this comes back.
async fn onboarded(site: &Site) {
    site.outside.group("payments", &["ada", "bob"]);
    let driver = Driver::new(site.store.clone(), "test".into())
        .with(Arc::new(Onboarding(site.teams.clone())))
        .start();
    site.onboard(json!({ "name": "payments", "environments": [] }))
        .await;
    eventually("it is onboarded", LONG, || async {
        team(&site.store, "payments").await?.status.onboarded
    })
    .await;
    driver.shutdown().await;
}

/// Until all runs that were begun have ended, and none waits.
async fn rests(driver: &DriverHandle) {
    let runs = || {
        let stats = driver.stats().remove(0);
        (stats.waiting + stats.running == 0).then_some(stats.runs)
    };
    eventually("nothing is looked at", LONG, || async {
        let before = runs()?;
        tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
        (runs()? == before).then_some(())
    })
    .await;
}

async fn who_logs_in_between_two_terms_has_logged_in(site: Site) {
    let measuring = Arc::new(Measuring::start(site.teams.clone()).await.unwrap());
    onboarded(&site).await;
    let first = term(&site, &measuring);
    told(&site, "both are waited for", |found| {
        found["people"]["login"]["waiting"] == 2
    })
    .await;
    rests(&first).await;
    first.shutdown().await;
    // Another replica leads, or none does.
    logs_in(&site, "local:ada").await;
    let second = term(&site, &measuring);
    let found = told(&site, "ada has logged in", |found| {
        of(found, "local:ada")["login"].is_object()
    })
    .await;
    assert_eq!(of(&found, "local:bob")["login"], Value::Null);
    // What happens in this term is heard as before.
    logs_in(&site, "local:bob").await;
    told(&site, "bob has logged in", |found| {
        of(found, "local:bob")["login"].is_object()
    })
    .await;
    second.shutdown().await;
}

async fn sources_are_asked_where_people_change_and_not_where_they_deploy(site: Site) {
    let asked = || site.outside.asked.load(Relaxed);
    let measuring = Arc::new(Measuring::start(site.teams.clone()).await.unwrap());
    onboarded(&site).await;
    site.outside.upstream(&[("payments", "1", &[])]);
    let driver = term(&site, &measuring);
    told(&site, "both are there", |found| {
        found["people"]["count"] == 2
    })
    .await;
    rests(&driver).await;
    let before = asked();
    for nth in 1..=5 {
        deploys(&site, "local:ada", "dev").await;
        let counted = |found: &Value| of(found, "local:ada")["deployment"].is_object();
        told(&site, &format!("deployment {nth} is counted"), counted).await;
    }
    logs_in(&site, "local:ada").await;
    let logged_in = |found: &Value| of(found, "local:ada")["login"].is_object();
    told(&site, "ada has logged in", logged_in).await;
    rests(&driver).await;
    assert_eq!(asked(), before, "the log says all of it");
    // Told of by whoever wants it, and where somebody comes, both are asked: the local source and the other.
    let path = "/v1/platforms/teams/payments/sync";
    site.outside.group("payments", &["ada", "bob", "cyd"]);
    assert_eq!(site.ask("admin", "POST", path, Value::Null).await.0, 202);
    told(&site, "cyd is there", |found| found["people"]["count"] == 3).await;
    rests(&driver).await;
    assert_eq!(asked(), before + 2);
    driver.shutdown().await;
}
