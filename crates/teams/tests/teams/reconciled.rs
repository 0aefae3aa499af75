//! What becomes of teams over time, with nothing that backs their namespaces but the test.

use std::{sync::Arc, time::Duration};

use kernel::{Caller, Change, Driver, EventFilter, Key, NewEvent, Resource, Store};
use serde_json::{Value, json};
use teams::{
    model::{Namespace, NamespaceStatus, Team, Truth},
    reconcile::{Onboarding, PeopleChanges},
};
use testkit::eventually;
use uuid::Uuid;

use crate::support::Site;

on_both!(
    a_team_waits_for_what_is_not_there_and_is_ready_once,
    a_team_that_is_taken_in_again_is_onboarded_again_in_its_own_time,
    credentials_are_ready_when_their_keys_are_kept,
    a_group_that_was_made_for_a_team_goes_with_it,
    who_helps_another_team_says_what_for_and_until_when,
    what_is_learnt_of_somebody_is_told_of_their_teams_at_once,
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
pub(crate) async fn back(store: &Store, name: &str, protected: bool) {
    back_with(store, name, protected, None).await;
}

pub(crate) async fn back_with(
    store: &Store,
    name: &str,
    protected: bool,
    environment: Option<Uuid>,
) {
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
    // What comes later is not so yet, and the team is what it is.
    let path = "/v1/teams/payments/namespaces";
    let new = json!({ "name": "payments-load" });
    assert_eq!(site.ask("admin", "POST", path, new).await.0, 202);
    let waits = eventually("it says what it waits for", LONG, || async {
        let found = team(&site.store, "payments").await?;
        let condition = found.status.condition("NamespacesReady")?;
        (condition.message == "payments-load is being made").then_some(found)
    })
    .await;
    assert_eq!(waits.status.phase, "ready");
    back(&site.store, "payments-load", false).await;
    eventually("it is so again", LONG, || async {
        let found = team(&site.store, "payments").await?;
        let condition = found.status.condition("NamespacesReady")?;
        (condition.status == Truth::True).then_some(())
    })
    .await;
    assert_eq!(told(&site.store, "team.onboarded").await, 1);
    site.store
        .expect::<Namespace>("payments", "payments-load")
        .await
        .unwrap();
    let drawn: Vec<_> = site
        .outside
        .credentials
        .lock()
        .unwrap()
        .iter()
        .cloned()
        .collect();
    assert_eq!(drawn, ["payments-dev", "payments-load", "payments-prod"]);
    driver.shutdown().await;
}

async fn a_team_that_is_taken_in_again_is_onboarded_again_in_its_own_time(site: Site) {
    site.onboard(json!({ "name": "payments", "environments": [] }))
        .await;
    *site.outside.stays.lock().unwrap() = vec!["a ledger, by law".into()];
    let driver = driver(&site);
    let is = async |phase: &str| {
        eventually("it is so", LONG, || async {
            let found = team(&site.store, "payments").await?;
            (found.status.phase == phase).then_some(found)
        })
        .await
    };
    is("ready").await;
    let path = "/v1/platforms/teams/payments?confirm=payments";
    assert_eq!(site.ask("admin", "DELETE", path, Value::Null).await.0, 202);
    is("offboarded").await;
    site.onboard(json!({ "name": "payments" })).await;
    let again = is("ready").await;
    assert_eq!(told(&site.store, "team.onboarded").await, 2);
    let (began, onboarded) = (again.status.began.unwrap(), again.status.onboarded.unwrap());
    assert!(again.meta.created < began && began <= onboarded);
    driver.shutdown().await;
}

async fn credentials_are_ready_when_their_keys_are_kept(site: Site) {
    *site.outside.no_key.lock().unwrap() = Some("its first key is being drawn".into());
    site.outside.group("payments", &["ada"]);
    site.onboard(json!({ "name": "payments", "environments": ["dev"] }))
        .await;
    let driver = driver(&site);
    back(&site.store, "payments-dev", false).await;
    let condition = async |status: Truth| {
        eventually("it is said", LONG, || async {
            let found = team(&site.store, "payments").await?;
            let condition = found.status.condition("CredentialsReady")?;
            (condition.status == status)
                .then(|| (condition.message.clone(), found.status.phase.clone()))
        })
        .await
    };
    let (why, phase) = condition(Truth::False).await;
    assert_eq!(why, "payments-dev: its first key is being drawn");
    assert_eq!(phase, "onboarding");
    *site.outside.no_key.lock().unwrap() = None;
    condition(Truth::True).await;
    eventually("the team is ready", LONG, || async {
        let found = team(&site.store, "payments").await?;
        (found.status.phase == "ready").then_some(())
    })
    .await;
    driver.shutdown().await;
}

async fn a_group_that_was_made_for_a_team_goes_with_it(site: Site) {
    site.outside.group("search", &["bob"]);
    let driver = driver(&site);
    let lead = |name: &str, who: &str| json!({ "name": name, "leads": [who], "environments": [] });
    site.onboard(lead("payments", "local:ada")).await;
    site.onboard(lead("search", "local:bob")).await;
    let leads = async |name: &'static str, status: Truth| {
        eventually("it is said of the leads", LONG, || async {
            let found = team(&site.store, name).await?;
            let condition = found.status.condition("LeadsInGroup")?;
            (condition.status == status).then(|| condition.message.clone())
        })
        .await
    };
    leads("payments", Truth::True).await;
    for name in ["payments", "search"] {
        let path = format!("/v1/platforms/teams/{name}?confirm={name}");
        assert_eq!(site.ask("admin", "DELETE", &path, Value::Null).await.0, 202);
        eventually("it is gone", LONG, || async {
            team(&site.store, name).await.is_none().then_some(())
        })
        .await;
    }
    // What people have made is theirs.
    let groups = site.outside.groups.lock().unwrap().clone();
    assert!(groups.contains_key("search") && !groups.contains_key("payments"));
    // A team that is made later begins with its own lead.
    site.onboard(lead("payments", "local:eve")).await;
    leads("payments", Truth::True).await;
    assert_eq!(site.teams_of("local:ada").await, json!([]));
    assert_eq!(site.teams_of("local:eve").await, json!(["payments"]));
    site.onboard(lead("mistyped", "local:nobody")).await;
    let why = leads("mistyped", Truth::False).await;
    assert!(why.contains("there is no user `nobody`"), "{why}");
    assert!(why.contains("`towpath user set nobody`"), "{why}");
    site.outside.upstream(&[]);
    site.onboard(lead("foreign", "github:1")).await;
    let why = leads("foreign", Truth::Unknown).await;
    assert!(why.contains("waits for `github:1` to log in"), "{why}");
    site.onboard(lead("search", "local:eve")).await;
    let why = leads("search", Truth::False).await;
    assert!(
        why.contains("`local:eve` of its leads is not in the group `search`"),
        "{why}"
    );
    driver.shutdown().await;
}

async fn who_helps_another_team_says_what_for_and_until_when(site: Site) {
    for name in ["search", "payments"] {
        site.onboard(json!({ "name": name, "environments": [] }))
            .await;
    }
    let path = "/v1/platforms/teams/payments";
    let with = |more: Value| {
        let mut one = json!({ "with": "search", "mode": "facilitating" });
        for (field, value) in more.as_object().unwrap() {
            one[field] = value.clone();
        }
        json!({ "interactions": [one] })
    };
    let end = "2130-01-01T00:00:00Z";
    for lacking in [
        json!({}),
        json!({ "expires": end }),
        json!({ "skill": "tests" }),
    ] {
        let (status, answer) = site.ask("admin", "PATCH", path, with(lacking)).await;
        assert_eq!(status, 422, "{answer}");
        assert_eq!(answer["problems"][0]["path"], "interactions[0]", "{answer}");
    }
    let whole = with(json!({ "expires": end, "skill": "tests" }));
    assert_eq!(site.ask("admin", "PATCH", path, whole).await.0, 200);
    // One from before that was asked for.
    let mut before = team(&site.store, "search").await.unwrap();
    let open = json!([{ "with": "payments", "mode": "facilitating" }]);
    before.spec.interactions = serde_json::from_value(open).unwrap();
    let mut change = Change::new();
    change.spec(&before).unwrap();
    site.store.commit(change).await.unwrap();
    let driver = driver(&site);
    let flagged = eventually("it is flagged", LONG, || async {
        let found = team(&site.store, "search").await?;
        let condition = found.status.condition("TopologyDeclared")?;
        condition.message.contains("has no end").then_some(found)
    })
    .await;
    assert!(flagged.status.open_ended);
    assert_eq!(told(&site.store, "team.interaction-warning").await, 1);
    let boundary = json!({ "boundary": "what is paid, until it is booked" });
    assert_eq!(site.ask("admin", "PATCH", path, boundary).await.0, 200);
    eventually("all is said", LONG, || async {
        let found = team(&site.store, "payments").await?;
        let condition = found.status.condition("TopologyDeclared")?;
        (condition.status == Truth::True).then_some(())
    })
    .await;
    driver.shutdown().await;
}

async fn what_is_learnt_of_somebody_is_told_of_their_teams_at_once(site: Site) {
    site.outside
        .upstream(&[("acme/pay", "42", &["7"]), ("acme/search", "43", &[])]);
    let driver = Driver::new(site.store.clone(), "test".into())
        .with(Arc::new(PeopleChanges::new(site.teams.clone(), "Person")))
        .start();
    for (name, group) in [("payments", "acme/pay"), ("search", "acme/search")] {
        let team = json!({ "name": name, "group": group, "source": "github", "environments": [] });
        site.onboard(team).await;
    }
    let told = eventually("their team is told of", LONG, async || {
        // Again and again: what is written before the driver listens is the next tick's.
        let mut change = Change::new();
        change.event(NewEvent::caused(
            "person.changed",
            Key {
                kind: "Person".into(),
                scope: String::new(),
                name: "7".into(),
            },
            "",
            &Caller::system("test", Uuid::now_v7()),
            None,
            json!({}),
        ));
        site.store.commit(change).await.unwrap();
        let filter = EventFilter {
            type_prefix: Some("dev.towpath.team.sync".into()),
            ..EventFilter::default()
        };
        let events = site.store.events(&filter, 0, 10).await.unwrap();
        (!events.is_empty()).then_some(events)
    })
    .await;
    for event in told {
        assert_eq!(event.data["team"], "payments");
    }
    driver.shutdown().await;
}

async fn interactions_end_when_their_time_is_over(site: Site) {
    for name in ["search", "payments"] {
        site.onboard(json!({ "name": name, "environments": [] }))
            .await;
    }
    let second = Duration::from_secs(1);
    let soon = site.clock.now() + second;
    let interactions = json!({ "interactions": [
        { "with": "search", "mode": "facilitating", "skill": "to measure relevance",
          "expires": soon.to_string() },
        { "with": "search", "mode": "collaboration" },
    ]});
    let path = "/v1/platforms/teams/payments";
    let (status, answer) = site.ask("admin", "PATCH", path, interactions).await;
    assert_eq!(status, 200, "{answer}");
    let driver = driver(&site);
    eventually("it is looked at before", LONG, || async {
        let found = team(&site.store, "payments").await?;
        found.status.condition("TopologyDeclared").map(drop)
    })
    .await;
    let before = team(&site.store, "payments").await.unwrap();
    assert_eq!(before.spec.interactions.len(), 2);
    // Nothing but the time tells of its end.
    site.clock.advance(second);
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
    // Protected only since it was asked to go.
    let (name, backing) = ("payments-c", Some(Uuid::new_v4()));
    let new = json!({ "name": name });
    assert_eq!(site.ask("local:ada", "POST", path, new).await.0, 202);
    back_with(&site.store, name, false, backing).await;
    assert_eq!(end("local:ada", name).await, (202, Value::Null));
    back_with(&site.store, name, true, backing).await;
    assert_eq!(end("local:ada", name).await.0, 403);
    assert_eq!(end("admin", name).await, (202, json!(true)));
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
