//! Who is told how long teams and their people took.

use serde_json::{Value, json};
use testkit::eventually;

use crate::{
    measured::{PATH, deploys, logs_in, measure, time, told},
    reconciled::LONG,
    support::Site,
};

on_both!(
    people_are_named_to_leads_and_operators_alone,
    all_teams_together_are_for_those_who_say_which_there_are,
    no_window_tells_a_manager_what_one_team_did,
);

async fn people_are_named_to_leads_and_operators_alone(site: Site) {
    site.outside
        .group("payments", &["ada", "bob", "cyd", "dan", "fay"]);
    site.outside.group("shop", &["eve"]);
    let driver = measure(&site).await;
    site.onboard(json!({ "name": "payments", "environments": [], "leads": ["local:ada"] }))
        .await;
    let new = json!({ "name": "shop", "environments": [], "leads": ["local:eve"] });
    site.onboard(new).await;
    for who in ["local:ada", "local:bob", "local:cyd", "local:dan"] {
        logs_in(&site, who).await;
    }
    told(&site, "four have logged in", |found| {
        found["people"]["login"]["count"] == 4
    })
    .await;
    for (who, sees) in [("admin", true), ("local:ada", true), ("local:bob", false)] {
        let (status, found) = site.get(who, PATH).await;
        assert_eq!(status, 200, "{who}");
        assert_eq!(found["people"]["members"].is_array(), sees, "{who}");
        // Five have access; of four logins some could tell the others'. The longest of few is one's.
        assert!(found["people"]["access"]["median"].is_f64(), "{found}");
        assert_eq!(found["people"]["access"]["p90"].is_f64(), sees, "{who}");
        assert_eq!(found["people"]["login"]["median"].is_f64(), sees, "{who}");
        assert_eq!(found["people"]["login"]["count"], 4);
    }
    let (status, found) = site.get("pipeline payments", PATH).await;
    assert_eq!((status, &found["people"]["members"]), (200, &Value::Null));
    // Who says which teams there are sees when it was ready, and nothing of its own.
    let (status, found) = site.get("local:max", PATH).await;
    assert_eq!(status, 200);
    let fields: Vec<_> = found.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["team", "asked", "ready"], "{found}");
    for who in ["local:eve", "pipeline shop", "github:9"] {
        assert_eq!(site.get(who, PATH).await.0, 404, "{who}");
    }
    driver.shutdown().await;
}

async fn all_teams_together_are_for_those_who_say_which_there_are(site: Site) {
    const ALL: &str = "/v1/platforms/onboarding";
    site.outside
        .group("payments", &["ada", "bob", "cyd", "dan", "fay"]);
    let driver = measure(&site).await;
    site.onboard(json!({ "name": "payments", "environments": [] }))
        .await;
    site.onboard(json!({ "name": "shop", "environments": ["dev"] }))
        .await;
    deploys(&site, "local:ada", "dev").await;
    let found = eventually("both are measured", LONG, || async {
        let (status, found) = site.get("admin", ALL).await;
        assert_eq!(status, 200, "{found}");
        let teams = &found["teams"];
        let is_so = teams["count"] == 2
            && teams["ready"]["count"] == 1
            && teams["firstDeployment"]["count"] == 1
            && teams["slowest"]
                .as_array()
                .unwrap()
                .iter()
                .any(|one| one["waitsFor"].is_array());
        is_so.then_some(found)
    })
    .await;
    let (status, told) = site.get("local:max", ALL).await;
    assert_eq!(status, 200, "{told}");
    assert_eq!(told["teams"]["ready"], found["teams"]["ready"]);
    let found = told;
    assert_eq!(found["teams"]["ready"]["waiting"], 1);
    let slowest = found["teams"]["slowest"].as_array().unwrap();
    let shop = slowest.iter().find(|one| one["team"] == "shop").unwrap();
    assert_eq!(
        shop["waitsFor"],
        json!(["NamespacesReady", "GatewaysReady"])
    );
    assert_eq!(found["people"]["count"], 5);
    assert!(found["people"]["access"]["median"].is_f64(), "{found}");
    assert_eq!(found["people"]["access"]["p90"], Value::Null);
    assert_eq!(found["people"]["members"], Value::Null);
    assert!(!found.to_string().contains("local:"), "{found}");
    // From some time on.
    let asked = time(&site.get("admin", PATH).await.1["asked"]);
    let later = asked + std::time::Duration::from_nanos(1);
    let (_, since) = site.get("admin", &format!("{ALL}?since={later}")).await;
    assert_eq!(since["teams"]["count"], 1, "{since}");
    assert_eq!(since["people"]["count"], 0, "{since}");
    for (who, status) in [
        ("admin", 200),
        ("local:ada", 403),
        ("pipeline payments", 403),
        ("agent payments", 403),
    ] {
        assert_eq!(site.get(who, ALL).await.0, status, "{who}");
    }
    assert_eq!(site.get("admin", &format!("{ALL}?since=soon")).await.0, 422);
    driver.shutdown().await;
}

async fn no_window_tells_a_manager_what_one_team_did(site: Site) {
    const ALL: &str = "/v1/platforms/onboarding";
    site.outside.group("payments", &["ada"]);
    let driver = measure(&site).await;
    site.onboard(json!({ "name": "shop", "environments": [] }))
        .await;
    site.onboard(json!({ "name": "payments", "environments": ["dev"] }))
        .await;
    deploys(&site, "local:ada", "dev").await;
    let found = told(&site, "it has deployed", |found| {
        found["firstDeployment"].is_object()
    })
    .await;
    let asked = time(&found["asked"]);
    // The window in which it is alone: whoever sees each team's numbers may have it.
    let (_, alone) = site.get("admin", &format!("{ALL}?since={asked}")).await;
    assert_eq!(alone["since"], json!(asked), "{alone}");
    assert_eq!(alone["teams"]["count"], 1, "{alone}");
    let seconds = &found["firstDeployment"]["seconds"];
    assert!(seconds.is_f64(), "{found}");
    assert_eq!(&alone["teams"]["firstDeployment"]["median"], seconds);
    assert_eq!(alone["teams"]["firstProduction"]["waiting"], 1);
    let day = asked.to_zoned(jiff::tz::TimeZone::UTC).start_of_day();
    let day = day.unwrap().timestamp();
    for query in [String::new(), format!("?since={asked}")] {
        let (status, found) = site.get("local:max", &format!("{ALL}{query}")).await;
        assert_eq!(status, 200, "{found}");
        if !query.is_empty() {
            assert_eq!(found["since"], json!(day));
        }
        let teams = &found["teams"];
        // Neither how long, nor whether: a count of one in a window of one says that too.
        assert_eq!(teams["firstDeployment"], Value::Null, "{found}");
        assert_eq!(teams["firstProduction"], Value::Null, "{found}");
        // What everybody sees of each team is told.
        assert!(teams["ready"]["count"].is_u64(), "{found}");
        assert!(!found.to_string().contains(&seconds.to_string()), "{found}");
    }
    driver.shutdown().await;
}
