//! Who is in a team: what its sources say, and nobody else.

use kernel::EventFilter;
use serde_json::{Value, json};

use crate::support::Site;

on_both!(
    a_group_that_becomes_reserved_is_no_teams_any_more,
    rights_follow_the_group_at_each_call,
    a_team_may_name_the_one_source_that_counts,
    leads_are_of_the_team_or_lead_nothing,
    each_source_answers_for_itself,
    leads_say_who_is_in_a_group_that_is_kept_here,
    nobody_is_taken_into_a_group_that_the_team_has_no_more,
);

const MEMBERS: &str = "/v1/platforms/teams/payments/members";

async fn rights_follow_the_group_at_each_call(site: Site) {
    site.outside.group("payments", &["ada"]);
    site.outside.group("pay", &["bob"]);
    // A group that no team names gives nothing.
    assert_eq!(site.teams_of("local:ada").await, json!([]));
    site.onboard(json!({ "name": "payments" })).await;
    assert_eq!(site.teams_of("local:ada").await, json!(["payments"]));
    site.outside.group("payments", &["bob"]);
    assert_eq!(site.teams_of("local:ada").await, json!([]));
    // Renamed at the source: nobody has it, nothing is removed, until the team names the new one.
    site.outside.groups.lock().unwrap().remove("payments");
    assert_eq!(site.teams_of("local:bob").await, json!([]));
    let path = "/v1/platforms/teams/payments";
    assert_eq!(
        site.ask("admin", "PATCH", path, json!({ "group": "pay" }))
            .await
            .0,
        200
    );
    assert_eq!(site.teams_of("local:bob").await, json!(["payments"]));
    // Somebody in two groups has both, and nothing else.
    site.outside.group("shop", &["bob"]);
    site.onboard(json!({ "name": "shop" })).await;
    assert_eq!(
        site.teams_of("local:bob").await,
        json!(["payments", "shop"])
    );
}

async fn a_team_may_name_the_one_source_that_counts(site: Site) {
    site.outside.group("payments", &["ada"]);
    let upstream = [("payments".to_owned(), vec!["7".to_owned()])];
    *site.outside.upstream.lock().unwrap() = Some(upstream.into());
    site.onboard(json!({ "name": "payments", "source": "github" }))
        .await;
    assert_eq!(site.teams_of("local:ada").await, json!([]));
    assert_eq!(site.teams_of("github:7").await, json!(["payments"]));
}

async fn leads_are_of_the_team_or_lead_nothing(site: Site) {
    site.outside.group("payments", &["bob"]);
    site.onboard(json!({ "name": "payments", "leads": ["local:ada", "local:bob"] }))
        .await;
    for (who, leads) in [("local:ada", json!([])), ("local:bob", json!(["payments"]))] {
        let (_, caller) = site.get(who, "/caller").await;
        assert_eq!(caller["leads"], leads, "{who}");
    }
}

async fn each_source_answers_for_itself(site: Site) {
    site.onboard(json!({ "name": "payments", "leads": ["local:ada"] }))
        .await;
    let (status, members) = site.get("local:ada", MEMBERS).await;
    assert_eq!(status, 200);
    assert_eq!(
        members,
        json!({
            "team": "payments", "group": "payments", "leads": ["local:ada"],
            "sources": [
                { "source": "local", "state": "complete",
                  "members": [{ "subject": "local:ada", "name": "ada" }] },
                { "source": "github", "state": "unavailable", "members": [],
                  "message": "github is away" },
            ],
        })
    );
    let upstream = [("payments".to_owned(), vec!["7".to_owned()])];
    *site.outside.upstream.lock().unwrap() = Some(upstream.into());
    site.outside.groups.lock().unwrap().remove("payments");
    let (_, members) = site.get("local:max", MEMBERS).await;
    assert_eq!(members["sources"][0]["state"], "missing");
    assert_eq!(members["sources"][1]["state"], "seen");
    assert_eq!(members["sources"][1]["members"][0]["subject"], "github:7");
    assert_eq!(site.get("local:eve", MEMBERS).await.0, 404);
}

async fn leads_say_who_is_in_a_group_that_is_kept_here(site: Site) {
    site.outside.group("payments", &["ada", "bob"]);
    site.onboard(json!({ "name": "payments", "leads": ["local:ada"] }))
        .await;
    let member = async |who: &str, method: &str, name: &str| {
        let path = format!("{MEMBERS}/{name}");
        site.ask(who, method, &path, Value::Null).await.0
    };
    assert_eq!(member("local:bob", "PUT", "eve").await, 403);
    for _ in 0..2 {
        assert_eq!(member("local:ada", "PUT", "eve").await, 204);
    }
    let filter = EventFilter {
        type_prefix: Some("dev.towpath.team.member-added".into()),
        ..EventFilter::default()
    };
    let added = site.store.events(&filter, 0, 10).await.unwrap();
    assert_eq!(added.len(), 1, "again is the same as once");
    assert_eq!(added[0].actor, "local:ada");
    assert_eq!(member("local:ada", "PUT", "nobody").await, 422);
    assert_eq!(site.teams_of("local:eve").await, json!(["payments"]));
    assert_eq!(member("local:ada", "DELETE", "eve").await, 204);
    assert_eq!(site.teams_of("local:eve").await, json!([]));
    // What is said elsewhere is changed there.
    let path = "/v1/platforms/teams/payments";
    for body in [
        json!({ "source": "github" }),
        json!({ "source": "", "group": "acme/pay" }),
    ] {
        assert_eq!(site.ask("admin", "PATCH", path, body).await.0, 200);
        assert_eq!(member("admin", "PUT", "eve").await, 409);
    }
}

async fn a_group_that_becomes_reserved_is_no_teams_any_more(before: Site) {
    before.outside.group("payments", &["ada"]);
    before
        .onboard(json!({ "name": "payments", "leads": ["local:ada"] }))
        .await;
    let site = before.reserving(&["managers", "payments"]).await;
    for who in ["local:ada", "pipeline payments"] {
        assert_eq!(site.teams_of(who).await, json!([]), "{who}");
    }
    let path = format!("{MEMBERS}/eve");
    for (who, status) in [("local:ada", 404), ("admin", 409)] {
        let (found, answer) = site.ask(who, "PUT", &path, Value::Null).await;
        assert_eq!(found, status, "{who} {answer}");
    }
    assert_eq!(site.outside.groups.lock().unwrap()["payments"].len(), 1);
    let path = "/v1/platforms/teams/payments";
    let (status, _) = site
        .ask("admin", "PATCH", path, json!({ "group": "pay" }))
        .await;
    assert_eq!(status, 200);
    assert_eq!(
        site.teams_of("pipeline payments").await,
        json!(["payments"])
    );
}

async fn nobody_is_taken_into_a_group_that_the_team_has_no_more(site: Site) {
    site.outside.group("payments", &["ada"]);
    site.outside.group("pay", &["ada"]);
    site.onboard(json!({ "name": "payments", "leads": ["local:ada"] }))
        .await;
    let other = site.replica().await;
    *site.outside.meanwhile.lock().unwrap() = Some(Box::pin(async move {
        let path = "/v1/platforms/teams/payments";
        let body = json!({ "group": "pay" });
        let (status, answer) = other.ask("admin", "PATCH", path, body).await;
        assert_eq!(status, 200, "{answer}");
    }));
    let path = format!("{MEMBERS}/eve");
    let (status, answer) = site.ask("local:ada", "PUT", &path, Value::Null).await;
    assert_eq!(status, 204, "{answer}");
    let groups = site.outside.groups.lock().unwrap();
    assert!(groups["pay"].contains("eve"), "{groups:?}");
    assert!(!groups["payments"].contains("eve"), "{groups:?}");
}
