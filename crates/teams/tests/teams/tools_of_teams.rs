//! Whether the teams that a tool names are customers is known without reading each of them.

use kernel::{Change, Resource};
use serde_json::{Value, json};
use teams::model::{Offboarding, Team, TeamSpec};

use crate::{support::Site, tools::with};

on_both!(each_team_that_a_tool_names_is_told_by_what_it_is);

async fn each_team_that_a_tool_names_is_told_by_what_it_is(site: Site) {
    for team in ["security", "former"] {
        site.add_team(team).await;
    }
    // Its group is one of those who operate the platform: it gives nobody anything, and is a customer.
    let spec = TeamSpec {
        group: "platform".into(),
        ..TeamSpec::default()
    };
    let mut change = Change::new();
    let reserved = Resource::<Team>::new("", "operations", spec);
    change.create(&reserved).unwrap();
    site.store.commit(change).await.unwrap();
    let of = |team: &str| json!({ "kind": "team", "owner": team, "scope": "all" });
    site.register(&with(json!({
        "a": of("security"), "b": of("former"), "c": of("operations"), "d": of("ghost"),
    })))
    .await;
    assert_eq!(gone(&site).await, ["d does not exist"]);
    let mut former = site.store.expect::<Team>("", "former").await.unwrap();
    former.spec.offboarding = Some(Offboarding {
        since: former.meta.created,
        by: "local:max".into(),
        include_protected: false,
    });
    let mut change = Change::new();
    change.spec(&former).unwrap();
    site.store.commit(change).await.unwrap();
    assert_eq!(gone(&site).await, ["b was offboarded", "d does not exist"]);
    let mut change = Change::new();
    let former = site.store.expect::<Team>("", "former").await.unwrap();
    change.remove(&former).unwrap();
    site.store.commit(change).await.unwrap();
    site.add_team("ghost").await;
    assert_eq!(gone(&site).await, ["b does not exist"]);
}

/// The credentials whose owner is no customer, in the list of all tools, each with what is said of that.
async fn gone(site: &Site) -> Vec<String> {
    let (status, all) = site.get("local:bob", "/v1/platforms/tools").await;
    assert_eq!(status, 200, "{all}");
    let findings = all["items"][0]["status"]["findings"].as_array().cloned();
    let said = |one: &Value| {
        let message = one["message"].as_str().unwrap();
        let why = ["was offboarded", "does not exist"];
        let why = why.into_iter().find(|why| message.contains(why)).unwrap();
        format!("{} {why}", one["credential"].as_str().unwrap())
    };
    let findings = findings.unwrap_or_default();
    let of_owners = findings
        .iter()
        .filter(|one| one["rule"] == "credential-owner-gone");
    of_owners.map(said).collect()
}
