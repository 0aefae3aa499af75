//! What a source does not say is unknown: of who came meanwhile, and of who is still there.

use kernel::EventFilter;
use serde_json::{Value, json};

use crate::{
    measured::{logs_in, measure, of, time, told},
    support::Site,
};

on_both!(
    whoever_was_there_before_their_source_first_answered_has_no_numbers,
    whoever_is_taken_in_while_a_source_is_away_came_then,
    that_an_upstream_has_no_such_group_takes_nobody_out,
);

/// Has the team looked at again.
async fn sync(site: &Site) {
    let path = "/v1/platforms/teams/payments/sync";
    assert_eq!(site.ask("admin", "POST", path, Value::Null).await.0, 202);
}

async fn is_there(site: &Site, who: &str) -> Value {
    told(site, &format!("{who} is there"), |found| {
        of(found, who).is_object()
    })
    .await
}

async fn is_out(site: &Site, who: &str) {
    told(site, &format!("{who} is out"), |found| {
        found["people"].is_object() && of(found, who).is_null()
    })
    .await;
}

async fn whoever_was_there_before_their_source_first_answered_has_no_numbers(site: Site) {
    *site.outside.lists.lock().unwrap() = true;
    site.outside.group("payments", &["ada"]);
    // The other source is away when the team is first looked at.
    *site.outside.upstream.lock().unwrap() = None;
    let driver = measure(&site).await;
    site.onboard(json!({ "name": "payments", "environments": [] }))
        .await;
    let found = is_there(&site, "local:ada").await;
    assert_eq!(of(&found, "local:ada")["joinedBy"], "team");
    assert_eq!(found["unknown"], Value::Null, "{found}");
    site.outside.upstream(&[("payments", "1", &["7"])]);
    sync(&site).await;
    let found = is_there(&site, "github:7").await;
    let seven = of(&found, "github:7");
    assert_eq!(
        (&seven["joinedBy"], &seven["joined"]),
        (&json!("before"), &Value::Null)
    );
    assert_eq!(found["people"]["deployment"]["unknown"], 1, "{found}");
    assert_eq!(found["unknown"].as_array().unwrap().len(), 1, "{found}");
    // From its first answer on it is seen who comes.
    site.outside.upstream(&[("payments", "1", &["7", "8"])]);
    sync(&site).await;
    let found = is_there(&site, "github:8").await;
    assert_eq!(of(&found, "github:8")["joinedBy"], "group");
    driver.shutdown().await;
}

async fn whoever_is_taken_in_while_a_source_is_away_came_then(site: Site) {
    *site.outside.lists.lock().unwrap() = true;
    site.outside.group("payments", &["ada"]);
    site.outside.upstream(&[("payments", "1", &[])]);
    let driver = measure(&site).await;
    site.onboard(json!({ "name": "payments", "environments": [], "leads": ["local:ada"] }))
        .await;
    is_there(&site, "local:ada").await;
    *site.outside.local_away.lock().unwrap() = true;
    let path = "/v1/platforms/teams/payments/members/bob";
    let (status, answer) = site.ask("local:ada", "PUT", path, Value::Null).await;
    assert_eq!(status, 204, "{answer}");
    let all = EventFilter {
        type_prefix: Some("dev.towpath.team.member-added".into()),
        ..EventFilter::default()
    };
    let added = site.store.events(&all, 0, 1).await.unwrap().remove(0);
    // A look that the other source answers.
    site.outside.upstream(&[("payments", "1", &["7"])]);
    sync(&site).await;
    let found = is_there(&site, "github:7").await;
    assert!(of(&found, "local:bob").is_null(), "{found}");
    assert!(of(&found, "local:ada").is_object(), "{found}");
    *site.outside.local_away.lock().unwrap() = false;
    sync(&site).await;
    let found = is_there(&site, "local:bob").await;
    let bob = of(&found, "local:bob");
    assert_eq!(bob["joinedBy"], "member", "{bob}");
    assert_eq!(time(&bob["joined"]), added.time);
    driver.shutdown().await;
}

async fn that_an_upstream_has_no_such_group_takes_nobody_out(site: Site) {
    *site.outside.lists.lock().unwrap() = true;
    site.outside.group("payments", &["ada"]);
    site.outside.upstream(&[("payments", "1", &["7"])]);
    let driver = measure(&site).await;
    site.onboard(json!({ "name": "payments", "environments": [] }))
        .await;
    is_there(&site, "github:7").await;
    logs_in(&site, "github:7").await;
    let let_in = |found: &Value| {
        let seven = of(found, "github:7");
        seven["access"].is_object() && seven["login"].is_object()
    };
    let found = told(&site, "7 has logged in", let_in).await;
    let before = of(&found, "github:7").clone();
    // So answers a directory whose token no longer shows the group.
    *site.outside.hides.lock().unwrap() = true;
    site.outside.group("payments", &["ada", "bob"]);
    sync(&site).await;
    let found = is_there(&site, "local:bob").await;
    assert_eq!(*of(&found, "github:7"), before);
    // What it lists it answers for.
    *site.outside.hides.lock().unwrap() = false;
    site.outside.upstream(&[("payments", "1", &[])]);
    sync(&site).await;
    is_out(&site, "github:7").await;
    // Of the platform's own groups it is a fact.
    site.outside.groups.lock().unwrap().remove("payments");
    sync(&site).await;
    is_out(&site, "local:ada").await;
    driver.shutdown().await;
}
