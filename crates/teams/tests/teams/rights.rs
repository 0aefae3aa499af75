//! Who sees which teams.

use serde_json::{Value, json};

use crate::support::Site;

on_both!(
    lists_hold_the_teams_of_their_reader,
    whom_a_team_works_with_tells_no_lead_which_teams_there_are,
    a_namespaces_quota_is_its_teams_to_say,
    sync_tells_a_name_and_a_generation_and_nothing_else,
);

async fn lists_hold_the_teams_of_their_reader(site: Site) {
    site.outside.group("payments", &["ada"]);
    for name in ["payments", "shop"] {
        site.onboard(json!({ "name": name })).await;
    }
    for (who, expected) in [
        ("local:ada", &["payments"][..]),
        ("pipeline shop", &["shop"]),
        ("agent payments", &["payments"]),
        ("deploy payments", &[]),
        ("local:eve", &[]),
        ("local:max", &["payments", "shop"]),
        ("admin", &["payments", "shop"]),
    ] {
        let (status, page) = site.get(who, "/v1/platforms/teams").await;
        assert_eq!(status, 200, "{page}");
        let items = page["items"].as_array().unwrap();
        let names: Vec<_> = items
            .iter()
            .map(|t| t["metadata"]["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, expected, "{who}");
    }
    for who in ["local:eve", "pipeline shop"] {
        let hidden = site.get(who, "/v1/platforms/teams/payments").await;
        let missing = site.get(who, "/v1/platforms/teams/no-such").await;
        assert_eq!((hidden.0, missing.0), (404, 404), "{who}");
        let text = |answer: &Value| answer["detail"].as_str().unwrap().to_owned();
        assert_eq!(
            text(&hidden.1).replace("payments", "no-such"),
            text(&missing.1)
        );
    }
}

async fn whom_a_team_works_with_tells_no_lead_which_teams_there_are(site: Site) {
    site.outside.group("payments", &["ada"]);
    let team = json!({ "name": "payments", "leads": ["local:ada"], "environments": [] });
    site.onboard(team).await;
    site.onboard(json!({ "name": "search", "environments": [] }))
        .await;
    let name = async |who: &str, other: &str| {
        let body = json!({ "interactions": [{ "with": other, "mode": "collaboration" }] });
        let path = "/v1/platforms/teams/payments";
        let (status, mut answer) = site.ask(who, "PATCH", path, body).await;
        // All that may differ: the name that was given, and when.
        let text = answer["spec"].take().to_string();
        (status, text.replace(other, "OTHER"))
    };
    let there = name("local:ada", "search").await;
    let not_there = name("local:ada", "no-such").await;
    assert_eq!((there.0, not_there.0), (200, 200));
    assert_eq!(there.1, not_there.1);
    // What cannot be a team, and her own, which she sees.
    for none in ["Search!", "payments"] {
        assert_eq!(name("local:ada", none).await.0, 422, "{none}");
    }
    // Who sees all teams is told of a slip.
    assert_eq!(name("admin", "search").await.0, 200);
    assert_eq!(name("admin", "no-such-either").await.0, 422);
}

async fn a_namespaces_quota_is_its_teams_to_say(site: Site) {
    site.outside.group("payments", &["ada", "bob"]);
    let team = json!({ "name": "payments", "leads": ["local:ada"], "environments": [] });
    site.onboard(team).await;
    let make = async |who: &str, name: &str, cpu: u64| {
        let amounts = |cpu: u64, memory: &str| json!({ "cpu": cpu, "memory": memory });
        let quota = json!({ "requests": amounts(cpu, "2Gi"), "limits": amounts(10, "20Gi") });
        let body = json!({ "name": name, "quota": quota });
        let path = "/v1/teams/payments/namespaces";
        site.ask(who, "POST", path, body).await
    };
    // Nobody is asked: whoever is in the team, and its pipelines, up to the allowance.
    assert_eq!(make("local:bob", "payments-load", 4).await.0, 202);
    assert_eq!(make("pipeline payments", "payments-more", 4).await.0, 202);
    let change = async |who: &str, cpu: u64| {
        let amounts = |cpu: u64, memory: &str| json!({ "cpu": cpu, "memory": memory });
        let quota =
            json!({ "requests": amounts(cpu, "2Gi"), "limits": amounts(cpu.max(10), "20Gi") });
        let path = "/v1/teams/payments/namespaces/payments-load";
        site.ask(who, "PATCH", path, json!({ "quota": quota }))
            .await
    };
    assert_eq!(change("local:bob", 6).await.0, 200);
    let (status, answer) = change("local:bob", 30).await;
    assert_eq!(status, 409, "{answer}");
    for (who, status) in [("agent payments", 403), ("pipeline shop", 404)] {
        assert_eq!(change(who, 2).await.0, status, "{who}");
    }
}

async fn sync_tells_a_name_and_a_generation_and_nothing_else(site: Site) {
    site.outside.group("payments", &["ada"]);
    let team = site.onboard(json!({ "name": "payments" })).await;
    let path = "/v1/platforms/teams/payments/sync";
    assert_eq!(
        site.ask("agent payments", "POST", path, Value::Null)
            .await
            .0,
        403
    );
    assert_eq!(
        site.ask("local:ada", "POST", path, Value::Null).await.0,
        202
    );
    let told = kernel::EventFilter {
        type_prefix: Some("dev.towpath.team.sync".into()),
        ..kernel::EventFilter::default()
    };
    let events = site.store.events(&told, 0, 10).await.unwrap();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].subject, "Team/payments");
    assert_eq!(events[0].team, "payments");
    assert_eq!(
        events[0].data,
        json!({ "team": "payments", "generation": team["metadata"]["generation"] })
    );
}
