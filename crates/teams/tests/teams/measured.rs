//! How long teams and their people take is kept as it is seen, and told to whom it concerns.

use std::sync::Arc;

use jiff::Timestamp;
use kernel::{
    Caller, CallerKind, Cause, Change, Driver, DriverHandle, Event, EventFilter, Key, NewEvent,
    Outcome, Store,
};
use serde_json::{Value, json};
use teams::{
    model::TeamOnboarding,
    reconcile::{Measuring, Onboarding},
};
use testkit::eventually;
use uuid::Uuid;

use crate::{
    reconciled::{LONG, back, team},
    support::Site,
};

on_both!(
    a_teams_way_is_measured_from_its_beginning,
    a_newcomers_way_is_measured_from_when_they_came,
    what_happens_while_nobody_looks_is_found_in_the_log,
    who_was_there_before_has_no_numbers,
    whoever_leaves_is_named_no_more,
    who_comes_from_a_source_that_lists_waits_until_they_log_in,
    who_is_seen_by_a_login_has_not_been_seen_to_wait,
);

pub(crate) const PATH: &str = "/v1/platforms/teams/payments/onboarding";

pub(crate) async fn measure(site: &Site) -> DriverHandle {
    let measuring = Measuring::start(site.teams.clone()).await.unwrap();
    Driver::new(site.store.clone(), "test".into())
        .with(Arc::new(Onboarding(site.teams.clone())))
        .with(Arc::new(measuring))
        .start()
}

/// What an operator is told, once `is_so`.
pub(crate) async fn told(site: &Site, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    eventually(what, LONG, || async {
        let (status, found) = site.get("admin", PATH).await;
        assert_eq!(status, 200, "{found}");
        is_so(&found).then_some(found)
    })
    .await
}

pub(crate) fn of<'a>(onboarding: &'a Value, subject: &str) -> &'a Value {
    let members = onboarding["people"]["members"].as_array().unwrap();
    let found = members.iter().find(|one| one["subject"] == subject);
    found.unwrap_or(&Value::Null)
}

fn named(onboarding: &Value) -> Vec<&str> {
    let members = onboarding["people"]["members"].as_array().unwrap();
    members
        .iter()
        .filter_map(|one| one["subject"].as_str())
        .collect()
}

pub(crate) fn key(kind: &str, scope: &str, name: &str) -> Key {
    Key {
        kind: kind.into(),
        scope: scope.into(),
        name: name.into(),
    }
}

/// Writes one event, and answers it as it is kept.
pub(crate) async fn happen(store: &Store, event: NewEvent) -> Event {
    let head = store.head().await.unwrap();
    let kind = event.kind.clone();
    let mut change = Change::new();
    change.event(event);
    store.commit(change).await.unwrap();
    let filter = EventFilter {
        type_prefix: Some(kind),
        ..EventFilter::default()
    };
    store.events(&filter, head, 1).await.unwrap().remove(0)
}

fn person(subject: &str) -> Caller {
    Caller {
        subject: subject.into(),
        kind: CallerKind::Person,
        admin: false,
        correlation: Uuid::now_v7(),
        ..Caller::local_admin()
    }
}

/// What identity tells of a login.
pub(crate) async fn logs_in(site: &Site, subject: &str) -> Event {
    site.outside
        .logged_in
        .lock()
        .unwrap()
        .insert(subject.into());
    let session = key("Session", "", &Uuid::now_v7().simple().to_string());
    let (by, pass) = (person(subject), Some(Outcome::Pass));
    let event = NewEvent::caused("session.started", session, "", &by, pass, json!({}));
    happen(&site.store, event).await
}

/// What delivery tells of a deployment that somebody asks for and that succeeds.
pub(crate) async fn deploys(site: &Site, subject: &str, role: &str) -> Event {
    let name = Uuid::now_v7().simple().to_string();
    let deployment = key("Deployment", &format!("payments-{role}"), &name);
    let by = person(subject);
    let what = "deployment.requested";
    let event = NewEvent::caused(what, deployment.clone(), "payments", &by, None, json!({}));
    happen(&site.store, event).await;
    let data = match role {
        "unknown" => json!({ "urls": [] }),
        role => json!({ "urls": [], "role": role }),
    };
    let event = NewEvent {
        cause: Cause::system("deployments", by.correlation),
        outcome: Some(Outcome::Pass),
        ..NewEvent::caused(
            "deployment.succeeded",
            deployment,
            "payments",
            &by,
            None,
            data,
        )
    };
    happen(&site.store, event).await
}

pub(crate) fn time(value: &Value) -> Timestamp {
    value.as_str().unwrap().parse().unwrap()
}

/// That `reached` was reached at this event, and says how long after `from` that was.
#[track_caller]
fn assert_reached(reached: &Value, event: &Event, from: &Value) {
    assert_eq!(time(&reached["at"]), event.time, "{reached}");
    let took = event.time.duration_since(time(from)).as_secs_f64();
    let said = reached["seconds"].as_f64().unwrap();
    assert!((said - took).abs() < 1e-6, "{said} and not {took}");
}

async fn a_teams_way_is_measured_from_its_beginning(site: Site) {
    site.outside.group("payments", &["ada"]);
    let driver = measure(&site).await;
    site.onboard(json!({ "name": "payments", "environments": ["dev"] }))
        .await;
    let began = told(&site, "it is asked for", |found| found["asked"].is_string()).await;
    assert_eq!(began["ready"], Value::Null);
    back(&site.store, "payments-dev", false).await;
    let ready = told(&site, "it is ready", |found| found["ready"].is_object()).await;
    let status = team(&site.store, "payments").await.unwrap().status;
    assert_eq!(time(&ready["ready"]["at"]), status.onboarded.unwrap());
    assert_eq!(time(&ready["asked"]), status.began.unwrap());
    // A pipeline's deployment is the team's, and nobody's of its people.
    let dev = deploys(&site, "service-account:payments/ci", "dev").await;
    let found = told(&site, "it deployed", |found| {
        found["firstDeployment"].is_object()
    })
    .await;
    assert_reached(&found["firstDeployment"], &dev, &ready["asked"]);
    assert_eq!(found["firstProduction"], Value::Null);
    let prod = deploys(&site, "local:ada", "prod").await;
    deploys(&site, "local:ada", "prod").await;
    let found = told(&site, "it is in production", |found| {
        found["firstProduction"].is_object()
    })
    .await;
    assert_reached(&found["firstProduction"], &prod, &ready["asked"]);
    assert_reached(&found["firstDeployment"], &dev, &ready["asked"]);
    assert_reached(
        &of(&found, "local:ada")["deployment"],
        &prod,
        &ready["asked"],
    );
    assert_eq!(found["unknown"], Value::Null, "{found}");
    driver.shutdown().await;
}

async fn a_newcomers_way_is_measured_from_when_they_came(site: Site) {
    site.outside.group("payments", &["ada"]);
    let driver = measure(&site).await;
    site.onboard(json!({ "name": "payments", "environments": [], "leads": ["local:ada"] }))
        .await;
    let found = told(&site, "ada is there", |found| {
        of(found, "local:ada").is_object()
    })
    .await;
    let ada = of(&found, "local:ada");
    assert_eq!(
        (&ada["joinedBy"], &ada["joined"]),
        (&json!("team"), &found["asked"])
    );
    // A login from before is none of theirs as a member.
    logs_in(&site, "local:bob").await;
    let path = "/v1/platforms/teams/payments/members/bob";
    let (status, answer) = site.ask("local:ada", "PUT", path, Value::Null).await;
    assert_eq!(status, 204, "{answer}");
    let found = told(&site, "bob is there", |found| {
        of(found, "local:bob").is_object()
    })
    .await;
    let bob = of(&found, "local:bob").clone();
    assert_eq!(bob["joinedBy"], "member");
    let all = EventFilter {
        type_prefix: Some("dev.towpath.team.member-added".into()),
        ..EventFilter::default()
    };
    let added = site.store.events(&all, 0, 1).await.unwrap().remove(0);
    assert_eq!(time(&bob["joined"]), added.time);
    // The local source says who is in at each call: there is nothing to wait for.
    assert_reached(&bob["access"], &added, &bob["joined"]);
    assert_eq!(bob["login"], Value::Null);
    let login = logs_in(&site, "local:bob").await;
    logs_in(&site, "local:bob").await;
    let logged_in = |found: &Value| of(found, "local:bob")["login"].is_object();
    let found = told(&site, "bob has logged in", logged_in).await;
    assert_reached(&of(&found, "local:bob")["login"], &login, &bob["joined"]);
    let deployed = deploys(&site, "local:bob", "dev").await;
    let has_deployed = |found: &Value| of(found, "local:bob")["deployment"].is_object();
    let found = told(&site, "bob has deployed", has_deployed).await;
    assert_reached(
        &of(&found, "local:bob")["deployment"],
        &deployed,
        &bob["joined"],
    );
    let people = &found["people"];
    assert_eq!(people["count"], 2);
    assert_eq!(people["login"]["waiting"], 1, "ada");
    assert_eq!(
        people["deployment"]["median"],
        of(&found, "local:bob")["deployment"]["seconds"]
    );
    driver.shutdown().await;
}

async fn what_happens_while_nobody_looks_is_found_in_the_log(site: Site) {
    site.outside.group("payments", &["ada"]);
    let driver = measure(&site).await;
    site.onboard(json!({ "name": "payments", "environments": [] }))
        .await;
    told(&site, "ada is there", |found| {
        of(found, "local:ada").is_object()
    })
    .await;
    driver.shutdown().await;
    let login = logs_in(&site, "local:ada").await;
    let deployed = deploys(&site, "local:ada", "prod").await;
    let driver = measure(&site).await;
    let both = |found: &Value| {
        of(found, "local:ada")["login"].is_object() && found["firstProduction"].is_object()
    };
    let found = told(&site, "both are found", both).await;
    assert_reached(&of(&found, "local:ada")["login"], &login, &found["asked"]);
    assert_reached(
        &of(&found, "local:ada")["deployment"],
        &deployed,
        &found["asked"],
    );
    driver.shutdown().await;
}

async fn who_was_there_before_has_no_numbers(site: Site) {
    site.outside.group("payments", &["ada"]);
    // A platform from before this was kept.
    let former = Driver::new(site.store.clone(), "test".into())
        .with(Arc::new(Onboarding(site.teams.clone())))
        .start();
    site.onboard(json!({ "name": "payments", "environments": [] }))
        .await;
    eventually("it is ready", LONG, || async {
        let found = team(&site.store, "payments").await?;
        found.status.onboarded
    })
    .await;
    let first = deploys(&site, "local:ada", "unknown").await;
    former.shutdown().await;
    let driver = measure(&site).await;
    let found = told(&site, "it is looked at", |found| {
        found["firstDeployment"].is_object()
    })
    .await;
    // What the log has told all along is known.
    assert_reached(&found["firstDeployment"], &first, &found["asked"]);
    let ada = of(&found, "local:ada");
    assert_eq!(
        (&ada["joinedBy"], &ada["joined"]),
        (&json!("before"), &Value::Null)
    );
    assert_eq!(time(&ada["deployment"]["at"]), first.time);
    assert_eq!(ada["deployment"]["seconds"], Value::Null);
    assert_eq!(
        found["people"]["deployment"],
        json!({ "count": 0, "waiting": 0, "unknown": 1 })
    );
    // That the first is in production is no first deployment to production.
    let second = deploys(&site, "local:ada", "prod").await;
    site.outside.group("payments", &["ada", "bob"]);
    let path = "/v1/platforms/teams/payments/sync";
    assert_eq!(site.ask("admin", "POST", path, Value::Null).await.0, 202);
    let found = told(&site, "bob is there", |found| {
        of(found, "local:bob").is_object()
    })
    .await;
    assert_eq!(of(&found, "local:bob")["joinedBy"], "group");
    assert_eq!(found["firstProduction"], Value::Null, "{second:?}");
    let unknown = found["unknown"].as_array().unwrap();
    assert_eq!(unknown.len(), 2, "{found}");
    driver.shutdown().await;
}

async fn whoever_leaves_is_named_no_more(site: Site) {
    site.outside.group("payments", &["ada", "bob"]);
    site.outside.upstream(&[("payments", "1", &["7", "8"])]);
    let driver = measure(&site).await;
    site.onboard(json!({ "name": "payments", "environments": [] }))
        .await;
    let all = ["github:7", "github:8", "local:ada", "local:bob"];
    told(&site, "all are there", |found| named(found) == all).await;
    let sync = async || {
        let path = "/v1/platforms/teams/payments/sync";
        assert_eq!(site.ask("admin", "POST", path, Value::Null).await.0, 202);
    };
    site.outside.group("payments", &["ada"]);
    // Who is merely not logged in has not left; who is told to be out has.
    site.outside.upstream(&[("payments", "1", &[])]);
    site.outside.left.lock().unwrap().insert("8".into());
    sync().await;
    told(&site, "two have left", |found| {
        named(found) == ["github:7", "local:ada"]
    })
    .await;
    // Of whoever cannot be asked nobody has left.
    *site.outside.upstream.lock().unwrap() = None;
    site.outside.group("payments", &["ada", "cyd"]);
    sync().await;
    told(&site, "a third is there", |found| {
        named(found) == ["github:7", "local:ada", "local:cyd"]
    })
    .await;
    let path = "/v1/platforms/teams/payments?confirm=payments";
    let (status, answer) = site.ask("admin", "DELETE", path, Value::Null).await;
    assert_eq!(status, 202, "{answer}");
    eventually("nobody is named", LONG, || async {
        let kept = site.store.get::<TeamOnboarding>("", "payments").await;
        kept.unwrap().is_none().then_some(())
    })
    .await;
    driver.shutdown().await;
}

async fn who_comes_from_a_source_that_lists_waits_until_they_log_in(site: Site) {
    *site.outside.lists.lock().unwrap() = true;
    site.outside.upstream(&[("payments", "1", &[])]);
    let driver = measure(&site).await;
    let new = json!({ "name": "payments", "environments": [], "source": "github" });
    site.onboard(new).await;
    told(&site, "it is looked at", |found| {
        found["people"]["count"] == 0 && found["unknown"].is_null()
    })
    .await;
    site.outside.upstream(&[("payments", "1", &["7"])]);
    let path = "/v1/platforms/teams/payments/sync";
    assert_eq!(site.ask("admin", "POST", path, Value::Null).await.0, 202);
    let found = told(&site, "7 is listed", |found| {
        of(found, "github:7").is_object()
    })
    .await;
    let seven = of(&found, "github:7").clone();
    assert_eq!(seven["joinedBy"], "group");
    assert_eq!(
        (&seven["access"], &seven["login"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(found["people"]["access"]["waiting"], 1);
    let login = logs_in(&site, "github:7").await;
    let found = told(&site, "7 has access", |found| {
        of(found, "github:7")["access"].is_object()
    })
    .await;
    let now = of(&found, "github:7");
    assert_reached(&now["login"], &login, &seven["joined"]);
    assert!(time(&now["access"]["at"]) >= login.time, "{now}");
    driver.shutdown().await;
}

async fn who_is_seen_by_a_login_has_not_been_seen_to_wait(site: Site) {
    site.outside.upstream(&[("payments", "1", &[])]);
    let driver = measure(&site).await;
    let new = json!({ "name": "payments", "environments": [], "source": "github" });
    site.onboard(new).await;
    told(&site, "it is looked at", |found| found["unknown"].is_null()).await;
    site.outside.upstream(&[("payments", "1", &["7"])]);
    let path = "/v1/platforms/teams/payments/sync";
    assert_eq!(site.ask("admin", "POST", path, Value::Null).await.0, 202);
    let found = told(&site, "7 is seen", |found| {
        of(found, "github:7").is_object()
    })
    .await;
    let seven = of(&found, "github:7");
    assert_eq!(seven["joinedBy"], "login");
    assert_eq!(seven["access"]["at"], seven["joined"]);
    assert_eq!(seven["access"]["seconds"], Value::Null);
    assert_eq!(
        found["people"]["access"],
        json!({ "count": 0, "waiting": 0, "unknown": 1 })
    );
    assert_eq!(found["people"]["deployment"]["waiting"], 1);
    driver.shutdown().await;
}
