//! Groups that are renamed at their source.

use jiff::Timestamp;
use serde_json::{Value, json};
use testkit::eventually;

use crate::{
    reconciled::{LONG, driver, team, told},
    support::Site,
};

const TEAM: &str = "/v1/platforms/teams/payments";

/// Waits until the team is bound to this group of the upstream.
async fn bound(site: &Site, group: &str, id: &str) {
    eventually("the team is bound to its group", LONG, || async {
        let found = team(&site.store, "payments").await?;
        let bound = found.status.groups.get("github")?;
        (found.spec.group == group && bound.id == id && bound.of == group).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_group_is_followed_by_its_id_and_its_old_name_gives_nothing() {
    let site = Site::new().await;
    site.outside.upstream(&[("acme/pay", "42", &["7"])]);
    let _driver = driver(&site);
    site.onboard(json!({ "name": "payments", "group": "acme/pay", "environments": [] }))
        .await;
    bound(&site, "acme/pay", "42").await;

    // Renamed, and another made under the old name: whose the team is stays as it was, at once.
    site.outside
        .upstream(&[("acme/money", "42", &["7"]), ("acme/pay", "43", &["9"])]);
    let replica = site.replica().await;
    for site in [&site, &replica] {
        assert_eq!(site.teams_of("github:7").await, json!(["payments"]));
        assert_eq!(site.teams_of("github:9").await, json!([]));
    }
    let (_, members) = site.get("github:7", &format!("{TEAM}/members")).await;
    let github = &members["sources"][1];
    assert_eq!(github["members"][0]["subject"], "github:7", "{members}");
    assert_eq!(github["members"].as_array().unwrap().len(), 1);

    // The registry says so with the next look, and what happened.
    let sync = format!("{TEAM}/sync");
    let (status, _) = site.ask("admin", "POST", &sync, Value::Null).await;
    assert_eq!(status, 202);
    bound(&site, "acme/money", "42").await;
    assert_eq!(told(&site.store, "team.group-renamed").await, 1);
    assert_eq!(site.teams_of("github:7").await, json!(["payments"]));
    assert_eq!(site.teams_of("github:9").await, json!([]));

    // It is the other's when somebody says so.
    let group = json!({ "group": "acme/pay" });
    assert_eq!(site.ask("admin", "PATCH", TEAM, group).await.0, 200);
    bound(&site, "acme/pay", "43").await;
    assert_eq!(site.teams_of("github:7").await, json!([]));
    assert_eq!(site.teams_of("github:9").await, json!(["payments"]));
    assert_eq!(told(&site.store, "team.group-renamed").await, 1);
}

#[tokio::test]
async fn a_group_that_is_reserved_under_its_new_name_is_not_followed() {
    let before = Site::new().await;
    let site = before.reserving(&["managers", "acme/ops"]).await;
    site.outside.upstream(&[("acme/pay", "42", &["7"])]);
    let _driver = driver(&site);
    site.onboard(
        json!({ "name": "payments", "group": "acme/pay", "source": "github", "environments": [] }),
    )
    .await;
    bound(&site, "acme/pay", "42").await;
    site.outside.upstream(&[("acme/ops", "42", &["7"])]);
    let sync = format!("{TEAM}/sync");
    assert_eq!(site.ask("admin", "POST", &sync, Value::Null).await.0, 202);
    let found = eventually("the new name is seen", LONG, || async {
        let found = team(&site.store, "payments").await?;
        (found.status.groups["github"].name == "acme/ops").then_some(found)
    })
    .await;
    assert_eq!(found.spec.group, "acme/pay");
    assert_eq!(site.teams_of("github:7").await, json!(["payments"]));
}

#[tokio::test]
async fn each_look_has_those_leave_who_have_left_and_goes_on_where_nobody_can_say() {
    let site = Site::new().await;
    site.outside.upstream(&[("acme/pay", "42", &["7"])]);
    let _driver = driver(&site);
    site.onboard(json!({ "name": "payments", "group": "acme/pay", "environments": [] }))
        .await;
    bound(&site, "acme/pay", "42").await;
    let looked = || site.outside.looked.lock().unwrap().clone();
    let by_id = ("acme/pay".to_owned(), Some("42".to_owned()));
    eventually("it is asked, by the lasting id", LONG, || async {
        looked().contains(&by_id).then_some(())
    })
    .await;
    // It is away, and the team goes on.
    *site.outside.upstream.lock().unwrap() = None;
    let before = looked().len();
    let sync = format!("{TEAM}/sync");
    assert_eq!(site.ask("admin", "POST", &sync, Value::Null).await.0, 202);
    eventually("it is asked at the next look", LONG, || async {
        (looked().len() > before).then_some(())
    })
    .await;
    eventually("the team is ready", LONG, || async {
        let found = team(&site.store, "payments").await?;
        (found.status.phase == "ready").then_some(())
    })
    .await;
    // A source that does not count for the team is not asked of it.
    site.onboard(
        json!({ "name": "web", "group": "acme/pay-2", "source": "local", "environments": [] }),
    )
    .await;
    eventually("the other team is looked at", LONG, || async {
        let found = team(&site.store, "web").await?;
        (!found.status.conditions.is_empty()).then_some(())
    })
    .await;
    assert!(looked().iter().all(|(group, _)| group == "acme/pay"));
}

#[tokio::test]
async fn a_look_that_somebody_asked_for_takes_nothing_that_was_said_before() {
    let site = Site::new().await;
    let replica = site.replica().await;
    site.outside.upstream(&[("acme/pay", "42", &["7"])]);
    let _driver = driver(&site);
    site.onboard(json!({ "name": "payments", "group": "acme/pay", "environments": [] }))
        .await;
    eventually("it was told of by itself", LONG, || async {
        (told(&site.store, "team.sync").await > 0).then_some(())
    })
    .await;
    let since = || *site.outside.since.lock().unwrap();
    assert_eq!(since(), None);
    // On whichever replica.
    let before = Timestamp::now();
    let sync = format!("{TEAM}/sync");
    let (status, _) = replica.ask("admin", "POST", &sync, Value::Null).await;
    assert_eq!(status, 202);
    eventually("its source is asked anew", LONG, || async {
        since().filter(|since| *since >= before)
    })
    .await;
}
